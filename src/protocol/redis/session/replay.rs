//! Writes the commands that recreate a session's state.

use super::super::Protocol;
use super::super::reply::request;
use super::login::Login;
use super::state::{Label, ReplyMode, Selector, Session};

/// What comes back for what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Replay {
    /// Answers to swallow, in order, before the client's own.
    pub replies: usize,
    /// Confirmations of subscriptions to swallow: arrays in RESP2 (after the answers), pushes in RESP3.
    pub confirmations: usize,
}

impl Session {
    /// Appends what a *shared* upstream of this session's kind needs: protocol, login, database. Returns the number of replies.
    pub fn open(&self, out: &mut Vec<u8>) -> usize {
        let first = match &self.selector {
            Selector::Itself => &self.login,
            Selector::Before(login) => login,
        };
        let mut replies = log_in(out, self.protocol, first.as_deref());
        if self.database != 0 {
            request(out, &[b"SELECT", self.database.to_string().as_bytes()]);
            replies += 1;
        }
        if self.selects_as_another() {
            replies += log_in(out, self.protocol, self.login.as_deref());
        }
        replies
    }

    /// Appends what gives a connection with the label `was` this session's. Returns the number of replies.
    pub fn relabel(&self, was: &Label, out: &mut Vec<u8>) -> usize {
        let mut replies = 0;
        let mut say = |verb: &[&[u8]], was: Option<&[u8]>, is: Option<&[u8]>| {
            if was != is {
                let last = is.unwrap_or_default();
                request(out, &[&[&b"CLIENT"[..]], verb, &[last]].concat());
                replies += 1;
            }
        };
        let (is, was) = (self.label().parts(), was.parts());
        say(&[b"SETNAME"], was[0], is[0]);
        say(&[b"SETINFO", b"LIB-NAME"], was[1], is[1]);
        say(&[b"SETINFO", b"LIB-VER"], was[2], is[2]);
        replies
    }

    /// Appends everything that brings a fresh *pinned* upstream into this session's state, but for the transaction (see
    /// [`Session::queued`]) and the watch, which is lost.
    /// Tracking that is redirected is left out: ids differ between servers, see [`Session::break_redirect`].
    pub fn replay(&self, out: &mut Vec<u8>) -> Replay {
        let mut count = Replay { replies: self.open(out), confirmations: 0 };
        count.replies += self.relabel(&Label::default(), out);
        let mut say = |args: &[&[u8]]| {
            request(out, args);
            count.replies += 1;
        };
        if self.no_evict {
            say(&[b"CLIENT", b"NO-EVICT", b"ON"]);
        }
        if self.no_touch {
            say(&[b"CLIENT", b"NO-TOUCH", b"ON"]);
        }
        if let Some(tracking) = self.tracking().filter(|tracking| tracking.redirect.is_none()) {
            let options = tracking.options.iter().map(|option| &**option);
            say(&[&b"CLIENT"[..], b"TRACKING", b"ON"].into_iter().chain(options).collect::<Vec<_>>());
        }
        if let Some(rare) = &self.rare {
            for (verb, channels) in
                [(&b"SUBSCRIBE"[..], &rare.channels), (b"PSUBSCRIBE", &rare.patterns), (b"SSUBSCRIBE", &rare.shards)]
            {
                if !channels.is_empty() {
                    let args: Vec<&[u8]> = std::iter::once(verb).chain(channels.iter().map(|c| &**c)).collect();
                    request(out, &args);
                    count.confirmations += channels.len();
                }
            }
        }
        if self.monitor {
            request(out, &[b"MONITOR"]);
            count.replies += 1;
        }
        if self.reply == ReplyMode::Off {
            // It answers nothing, and nothing after it is answered.
            request(out, &[b"CLIENT", b"REPLY", b"OFF"]);
        }
        count
    }
}

/// Appends what a fresh connection needs to speak this protocol as this user. Returns the number of replies.
fn log_in(out: &mut Vec<u8>, protocol: Protocol, login: Option<&Login>) -> usize {
    let user = login.map(|login| login.user.as_deref());
    let password = login.map(|login| login.password.expose()).unwrap_or_default();
    match (protocol, user) {
        (Protocol::Resp3, None) => request(out, &[b"HELLO", b"3"]),
        (Protocol::Resp3, Some(user)) => {
            request(out, &[b"HELLO", b"3", b"AUTH", user.unwrap_or(b"default"), password]);
        }
        (Protocol::Resp2, Some(Some(user))) => request(out, &[b"AUTH", user, password]),
        (Protocol::Resp2, Some(None)) => request(out, &[b"AUTH", password]),
        (Protocol::Resp2, None) => return 0,
    }
    1
}
