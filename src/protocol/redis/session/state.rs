//! The state itself, and what a change does to it.

use std::sync::Arc;

use super::super::Protocol;
use super::change::{Change, Channel};
use super::login::Login;

/// How many bytes of a transaction's queued commands are kept for sending them again.
pub const QUEUE_MAX: usize = 64 * 1024;

/// The channel of invalidation messages in RESP2.
const INVALIDATE: &[u8] = b"__redis__:invalidate";

/// `CLIENT REPLY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplyMode {
    /// One reply a request.
    #[default]
    On,
    /// No replies.
    Off,
    /// No reply to the next request.
    Skip,
}

/// As whom a database is selected. Redis keeps the database over `AUTH`, also for a user that may not `SELECT` it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Selector {
    /// As the user that the session is.
    #[default]
    Itself,
    /// As the user that it was, before it logs in as the one that it is.
    Before(Option<Arc<Login>>),
}

/// `CLIENT TRACKING ON` with its options.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tracking {
    /// The options as they were given, `REDIRECT` left out.
    pub options: Vec<Box<[u8]>>,
    /// The id of the connection that gets the messages. Ids differ between servers.
    pub redirect: Option<u64>,
}

impl Tracking {
    pub(super) fn read(options: &[&[u8]]) -> Self {
        let mut tracking = Self::default();
        let mut rest = options;
        while let [option, tail @ ..] = rest {
            rest = match tail {
                [id, tail @ ..] if option.eq_ignore_ascii_case(b"REDIRECT") => {
                    tracking.redirect = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
                    tail
                }
                [prefix, tail @ ..] if option.eq_ignore_ascii_case(b"PREFIX") => {
                    tracking.options.extend([(*option).into(), (*prefix).into()]);
                    tail
                }
                _ => {
                    tracking.options.push((*option).into());
                    tail
                }
            };
        }
        tracking
    }
}

/// What `CLIENT SETINFO` tells of the client's library.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Library {
    pub(super) name: Option<Box<[u8]>>,
    pub(super) version: Option<Box<[u8]>>,
}

/// What a connection is called in `CLIENT LIST`, by `CLIENT SETNAME` and `CLIENT SETINFO`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Label {
    pub(super) name: Option<Box<[u8]>>,
    pub(super) library: Option<Arc<Library>>,
}

impl Label {
    /// The client's name, its library's name and version.
    pub(super) fn parts(&self) -> [Option<&[u8]>; 3] {
        let library = self.library.as_deref();
        [
            self.name.as_deref(),
            library.and_then(|library| library.name.as_deref()),
            library.and_then(|library| library.version.as_deref()),
        ]
    }
}

/// State that few sessions have.
#[derive(Debug, Clone, Default)]
pub(super) struct Rare {
    pub(super) tracking: Option<Box<Tracking>>,
    pub(super) channels: Vec<Box<[u8]>>,
    pub(super) patterns: Vec<Box<[u8]>>,
    pub(super) shards: Vec<Box<[u8]>>,
    /// Frames queued since MULTI, MULTI itself left out.
    queue: Vec<u8>,
    queued: usize,
    /// True when the queue outgrew [`QUEUE_MAX`].
    overflowed: bool,
    /// What the queued commands will change when EXEC runs them.
    pending: Vec<Change>,
}

impl Rare {
    fn set(&mut self, kind: Channel) -> &mut Vec<Box<[u8]>> {
        match kind {
            Channel::Plain => &mut self.channels,
            Channel::Pattern => &mut self.patterns,
            Channel::Shard => &mut self.shards,
        }
    }

    fn is_empty(&self) -> bool {
        self.tracking.is_none() && self.channels.is_empty() && self.patterns.is_empty() && self.shards.is_empty()
    }
}

/// One client's state. At most 100 bytes for a plain client.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent switch of the protocol")]
pub struct Session {
    pub(super) login: Option<Arc<Login>>,
    pub(super) label: Label,
    pub(super) rare: Option<Box<Rare>>,
    pub(super) database: u32,
    pub(super) selector: Selector,
    pub(super) protocol: Protocol,
    pub(super) reply: ReplyMode,
    pub(super) no_evict: bool,
    pub(super) no_touch: bool,
    pub(super) monitor: bool,
    multi: bool,
    watch: bool,
}

impl Session {
    /// The protocol that the client speaks.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The credentials the server accepted; `None`: the default user without a password.
    pub fn login(&self) -> Option<&Arc<Login>> {
        self.login.as_ref()
    }

    /// The selected database.
    pub fn database(&self) -> u32 {
        self.database
    }

    /// True when its connections select its database before they log in as who it is.
    pub fn selects_as_another(&self) -> bool {
        self.selector != Selector::Itself
    }

    /// As whom a connection of this session selects its database.
    pub fn selector(&self) -> &Selector {
        &self.selector
    }

    /// Changes that, until the next login or `SELECT`.
    pub fn set_selector(&mut self, selector: Selector) {
        self.selector = selector;
    }

    /// The name given by `CLIENT SETNAME`.
    pub fn name(&self) -> Option<&[u8]> {
        self.label.name.as_deref()
    }

    /// What its connection is called.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// `CLIENT REPLY`'s mode. `Skip` lasts for one request: see [`Self::skipped`].
    pub fn reply_mode(&self) -> ReplyMode {
        self.reply
    }

    /// Notes that the request after `CLIENT REPLY SKIP` has passed.
    pub fn skipped(&mut self) {
        if self.reply == ReplyMode::Skip {
            self.reply = ReplyMode::On;
        }
    }

    /// True between MULTI and EXEC or DISCARD.
    pub fn in_multi(&self) -> bool {
        self.multi
    }

    /// True while keys are watched: a move then answers EXEC with a null.
    pub fn watching(&self) -> bool {
        self.watch
    }

    /// True while tracking is on: a move then owes the client an invalidate-all.
    pub fn tracking(&self) -> Option<&Tracking> {
        self.rare.as_ref()?.tracking.as_deref()
    }

    /// Forgets tracking whose messages go to another connection; gives that one's id.
    pub fn break_redirect(&mut self) -> Option<u64> {
        let id = self.tracking()?.redirect?;
        self.change_rare(|rare| rare.tracking = None);
        Some(id)
    }

    /// True when messages of invalidation come on this connection: with RESP2 these are another one's.
    pub fn hears_invalidations(&self) -> bool {
        match self.protocol {
            Protocol::Resp3 => self.tracking().is_some(),
            Protocol::Resp2 => {
                self.rare.as_ref().is_some_and(|rare| rare.channels.iter().any(|one| **one == *INVALIDATE))
            }
        }
    }

    /// True when any channel, pattern or shard channel is subscribed.
    pub fn subscribed(&self) -> bool {
        self.rare.as_ref().is_some_and(|r| !(r.channels.is_empty() && r.patterns.is_empty() && r.shards.is_empty()))
    }

    /// How many channels of this kind are subscribed.
    pub fn channels(&self, kind: Channel) -> usize {
        self.rare.as_ref().map_or(0, |rare| match kind {
            Channel::Plain => rare.channels.len(),
            Channel::Pattern => rare.patterns.len(),
            Channel::Shard => rare.shards.len(),
        })
    }

    /// True after MONITOR.
    pub fn monitoring(&self) -> bool {
        self.monitor
    }

    /// True when the state can't be shared: the session then needs, or keeps, an upstream of its own.
    pub fn pins(&self) -> bool {
        self.multi
            || self.watch
            || self.monitor
            || self.no_evict
            || self.no_touch
            || self.reply != ReplyMode::On
            || self.rare.as_ref().is_some_and(|rare| !rare.is_empty())
    }

    /// Remembers a change that was accepted. Inside a transaction the server only queues (`+QUEUED`), so what is applied then,
    /// but for the commands that end it, is kept until EXEC; call it with `Exec` once EXEC was answered.
    pub fn apply(&mut self, change: Change) {
        let ends = matches!(change, Change::Exec | Change::Discard | Change::Reset | Change::Multi);
        if self.multi && !ends {
            self.rare().pending.push(change);
            return;
        }
        match change {
            Change::Hello(protocol, login, name) => {
                self.protocol = protocol.unwrap_or(self.protocol);
                if login.is_some() {
                    self.selector = Selector::Itself;
                }
                self.login = login.or(self.login.take());
                self.label.name = name.or(self.label.name.take()).filter(|name| !name.is_empty());
            }
            Change::Login(login) => {
                self.login = Some(login);
                self.selector = Selector::Itself;
            }
            Change::Database(database) => {
                self.database = database;
                self.selector = Selector::Itself;
            }
            Change::Name(name) => self.label.name = Some(name).filter(|name| !name.is_empty()),
            Change::LibraryName(name) => self.library().name = Some(name),
            Change::LibraryVersion(version) => self.library().version = Some(version),
            Change::NoEvict(on) => self.no_evict = on,
            Change::NoTouch(on) => self.no_touch = on,
            Change::Reply(mode) => self.reply = mode,
            Change::Tracking(tracking) => self.change_rare(|rare| rare.tracking = tracking),
            Change::Subscribe(kind, channels) => self.change_rare(|rare| {
                for channel in channels {
                    if !rare.set(kind).contains(&channel) {
                        rare.set(kind).push(channel);
                    }
                }
            }),
            Change::Unsubscribe(kind, gone) => self.change_rare(|rare| {
                rare.set(kind).retain(|channel| !(gone.is_empty() || gone.contains(channel)));
            }),
            Change::Monitor => self.monitor = true,
            Change::Multi => self.multi = true,
            Change::Watch => self.watch = true,
            Change::Unwatch => self.watch = false,
            Change::Exec => self.end_multi(true),
            Change::Discard => self.end_multi(false),
            // The server forgets everything but the client's library.
            Change::Reset => {
                let library = self.label.library.take();
                *self = Self { label: Label { name: None, library }, ..Self::default() };
            }
        }
    }

    /// Keeps a command that the server queued, so that the transaction can be sent again; past [`QUEUE_MAX`] it can't. An empty frame
    /// is one that was too large to be kept until here.
    pub fn queue(&mut self, frame: &[u8]) {
        let rare = self.rare();
        if rare.overflowed || frame.is_empty() || rare.queue.len().saturating_add(frame.len()) > QUEUE_MAX {
            rare.overflowed = true;
            rare.queue = Vec::new();
        } else {
            rare.queue.extend_from_slice(frame);
            rare.queued += 1;
        }
    }

    /// The commands queued since MULTI and their number; `None` when they were too many bytes to keep.
    pub fn queued(&self) -> Option<(&[u8], usize)> {
        match &self.rare {
            Some(rare) if rare.overflowed => None,
            Some(rare) => Some((&rare.queue, rare.queued)),
            None => Some((&[], 0)),
        }
    }

    /// EXEC failed or was answered with a null: nothing of the queue was run.
    pub fn exec_failed(&mut self) {
        self.end_multi(false);
    }

    fn end_multi(&mut self, executed: bool) {
        self.multi = false;
        self.watch = false;
        let mut pending = Vec::new();
        self.change_rare(|rare| {
            pending = std::mem::take(&mut rare.pending);
            rare.queue = Vec::new();
            rare.queued = 0;
            rare.overflowed = false;
        });
        for change in pending.into_iter().filter(|_| executed) {
            // A watch set inside a transaction is refused by the server, and it ends with the transaction anyway.
            if change != Change::Watch {
                self.apply(change);
            }
        }
    }

    fn library(&mut self) -> &mut Library {
        Arc::make_mut(self.label.library.get_or_insert_default())
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Changes the rare state and frees it when nothing is left of it.
    fn change_rare(&mut self, change: impl FnOnce(&mut Rare)) {
        change(self.rare());
        if !self.multi && self.rare.as_ref().is_some_and(|rare| rare.is_empty()) {
            self.rare = None;
        }
    }
}
