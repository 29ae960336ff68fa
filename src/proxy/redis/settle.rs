//! What a reply on a pinned upstream belongs to, and what it changes in the session.
//!
//! Input: whole replies, and the requests that are unanswered. Output: what the client gets of the reply, and the session's state as
//! the reply confirms it. Never: bytes to anybody.

use super::{
    ask::{Answer, Ask},
    lane::Lane,
    queue::Queue,
};
use crate::{
    protocol::redis::{
        Protocol,
        command::Retry,
        scan::{Reply, ReplyError, ReplyKind},
        session::{Change, Session},
    },
    proxy::counters::Outcome,
};

/// A command that the server refuses: it has a transaction discarded.
pub(super) const SPOILER: &[u8] = b"*1\r\n$3\r\nGET\r\n";

/// What the client gets of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// All of it.
    Reply,
    /// Nothing.
    Nothing,
    /// What EXEC answers when a watched key has changed.
    LostRace,
}

impl Shown {
    fn when(shown: bool) -> Self {
        if shown { Self::Reply } else { Self::Nothing }
    }
}

/// Finds what a reply belongs to, and says what the client gets.
pub(super) fn judge(
    queue: &mut Queue<Ask>,
    session: &mut Session,
    lane: &Lane,
    reply: Reply,
    bytes: &[u8],
) -> Result<Shown, ReplyError> {
    drop_silent(queue);
    let verb = verb(bytes);
    let confirms = verb.is_some_and(|verb| verb.ends_with(b"subscribe"));
    if confirms && let Some(shown) = confirmed(queue, session) {
        return Ok(Shown::when(shown));
    }
    // With `CLIENT REPLY OFF` Redis 7.0.15, 8.0.6 and Valkey 9.1 confirm subscriptions all the same, though nothing waits for it;
    // Redis 6.0.16 sends nothing, not even messages (measured).
    let told = confirms || verb.is_some_and(|verb| verb.ends_with(b"message"));
    let unasked = reply.kind == ReplyKind::Push
        || (told && session.protocol() == Protocol::Resp2 && session.subscribed())
        || (confirms && queue.is_empty())
        || (session.monitoring() && matches!(bytes, [b'+', b'0'..=b'9', ..]));
    if unasked {
        return Ok(Shown::Reply);
    }
    if reply.kind != ReplyKind::Error && queue.front().is_some_and(|ask| ask.pauses) {
        lane.note_pause(queue.front_bytes());
    }
    if queue.front().is_some_and(|ask| !ask.is_own()) {
        lane.counters.count(Outcome::Answered, 1);
        lane.counters.count(Outcome::Error, u64::from(reply.kind == ReplyKind::Error));
    }
    settle(queue, session, reply, bytes).ok_or(ReplyError::Length)
}

/// Takes out what was written and gets no answer.
pub(super) fn drop_silent(queue: &mut Queue<Ask>) {
    while queue.front().is_some_and(|ask| ask.answer == Answer::Silence) && queue.answered().is_some() {}
}

/// One confirmation of a (un)subscription came. `None` if nobody asked for it.
fn confirmed(queue: &mut Queue<Ask>, session: &mut Session) -> Option<bool> {
    let ask = queue.front_mut()?;
    let (left, shown) = match &mut ask.answer {
        Answer::Confirmations(left) => (left, true),
        Answer::SwallowedConfirmations(left) => (left, false),
        _ => return None,
    };
    if *left == 0 {
        // UNSUBSCRIBE from everything: one for each, or one that says that there was nothing.
        *left = match ask.change.as_deref() {
            Some(Change::Unsubscribe(kind, _)) => session.channels(*kind).max(1),
            _ => 1,
        };
    }
    *left -= 1;
    if *left == 0 {
        let ask = queue.answered()?;
        if let Some(change) = ask.change {
            session.apply(*change);
        }
    }
    Some(shown)
}

/// Takes out the request that was answered, and notes what it changed. `None` if there is none.
pub(super) fn settle(queue: &mut Queue<Ask>, session: &mut Session, reply: Reply, bytes: &[u8]) -> Option<Shown> {
    let own = queue.front().is_some_and(Ask::is_own);
    if !own && session.in_multi() && bytes.starts_with(b"+QUEUED") {
        session.queue(queue.front_bytes());
    }
    if bytes.starts_with(b"-UNBLOCKED force")
        && let Some(ask) = queue.front_mut().filter(|ask| ask.block.is_some())
    {
        // The node was demoted; it closes the connection next, and the request, which took nothing, is issued again elsewhere.
        ask.retry = Retry::Read;
        return Some(Shown::Nothing);
    }
    let ask = queue.answered()?;
    if ask.answer == Answer::LostRace {
        session.exec_failed();
        return Some(Shown::LostRace);
    }
    let failed = reply.kind == ReplyKind::Error;
    if failed {
        spoil(session, &ask);
    }
    match ask.change.map(|change| *change) {
        Some(Change::Exec)
            if (failed || bytes.starts_with(b"*-1") || bytes.starts_with(b"_"))
            // EXEC without MULTI leaves everything as it was; a WATCH outlives it.
            && session.in_multi() =>
        {
            session.exec_failed();
        }
        Some(change) if !failed => session.apply(change),
        _ => {}
    }
    Some(Shown::when(ask.answer != Answer::Swallowed))
}

/// The node refused a command of a transaction and will discard all of it; so must the next one, to which what was queued is sent
/// again after a move.
pub(super) fn spoil(session: &mut Session, refused: &Ask) {
    // These are refused inside a transaction, and it goes on; or they end it.
    let harmless = [Change::Multi, Change::Watch, Change::Exec, Change::Discard, Change::Reset];
    let harmless = refused.change.as_deref().is_some_and(|change| harmless.contains(change));
    if session.in_multi() && !refused.is_own() && !harmless {
        session.queue(SPOILER);
    }
}

/// The first word of an array or push whose first element is a bulk string: what kind of message it is.
fn verb(bytes: &[u8]) -> Option<&[u8]> {
    let [b'*' | b'>', b'2'..=b'4', b'\r', b'\n', b'$', rest @ ..] = bytes else { return None };
    let end = rest.iter().take(4).position(|&byte| byte == b'\n')?;
    let word = rest.get(end + 1..)?;
    word.split(|&byte| byte == b'\r').next()
}
