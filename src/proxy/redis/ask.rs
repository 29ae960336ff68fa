//! What is known of a request on a pinned upstream until it is answered.

use crate::protocol::redis::{
    command::{Block, Class, Kind, Retry},
    session::{Change, ReplyMode, Session},
};
use std::time::Instant;

/// What the server will say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// One reply, for the client.
    One,
    /// One reply to a request of Pointsman's own: nobody gets it.
    Swallowed,
    /// So many confirmations of (un)subscriptions, for the client; 0: to be counted when the first one comes.
    Confirmations(usize),
    /// As before, but of a replay: nobody gets them.
    SwallowedConfirmations(usize),
    /// One reply, for the client: what EXEC answers when a watched key has changed, whatever the server says.
    LostRace,
    /// Nothing (`CLIENT REPLY OFF`, `SKIP`).
    Silence,
}

/// One unanswered request.
#[derive(Debug)]
pub struct Ask {
    /// What the server will say.
    pub answer: Answer,
    /// What it changes if it succeeds.
    pub change: Option<Box<Change>>,
    /// May it be sent again?
    pub retry: Retry,
    /// True for `CLIENT PAUSE` and `CLIENT UNPAUSE`.
    pub pauses: bool,
    /// Set when it blocks, with the time since when.
    pub block: Option<Box<(Block, Instant)>>,
    /// True for a command that may not exist.
    pub unknown: bool,
}

impl Ask {
    /// A request of Pointsman's own, with one reply.
    pub const OWN: Self = Self {
        answer: Answer::Swallowed,
        change: None,
        retry: Retry::Read,
        pauses: false,
        block: None,
        unknown: false,
    };

    /// Something of Pointsman's own that is answered in this way.
    pub fn own(answer: Answer) -> Self {
        Self { answer, ..Self::OWN }
    }

    /// True when a switch has to wait for its answer.
    pub fn is_in_flight(&self) -> bool {
        self.block.is_none() && self.answer != Answer::Silence
    }

    /// True when it blocks, and takes what it returns from the data.
    pub fn takes(&self) -> bool {
        self.block.as_ref().is_some_and(|block| block.0.takes)
    }

    /// True for what no client asked.
    pub fn is_own(&self) -> bool {
        matches!(self.answer, Answer::Swallowed | Answer::SwallowedConfirmations(_))
    }

    /// True when it may be asked again after the node has proved that it was not executed.
    pub fn may_be_asked_again(&self) -> bool {
        !self.is_own() && (self.retry != Retry::Never || self.change.is_some())
    }

    /// Of a client's whole request. `CLIENT REPLY` takes effect here, because it has no answer of its own.
    pub fn new(class: &Class, request: &[u8], session: &mut Session) -> Self {
        let change = class.spec.and_then(|spec| changes(spec.kind).then(|| Change::read(spec, request)).flatten());
        let mut answer = match &change {
            Some(Change::Subscribe(_, channels) | Change::Unsubscribe(_, channels)) => {
                Answer::Confirmations(channels.len())
            }
            _ => Answer::One,
        };
        let skipped = session.reply_mode();
        if skipped != ReplyMode::On && change != Some(Change::Reply(ReplyMode::On)) {
            answer = Answer::Silence;
        }
        session.skipped();
        if let Some(Change::Reply(mode)) = change {
            session.apply(Change::Reply(mode));
            let answer = if mode == ReplyMode::On { Answer::One } else { Answer::Silence };
            return Self { answer, change: None, retry: Retry::Never, pauses: false, block: None, unknown: false };
        }
        if answer == Answer::Silence {
            // Nobody will say whether it worked; most likely it did.
            if let Some(change) = change {
                session.apply(change);
            }
            return Self { answer, change: None, retry: Retry::Never, pauses: false, block: None, unknown: false };
        }
        let block = class.block.map(|block| Box::new((block, Instant::now())));
        let pauses = class.spec.is_some_and(|spec| spec.kind == Kind::Once && matches!(spec.name, "PAUSE" | "UNPAUSE"));
        Self { answer, change: change.map(Box::new), retry: class.retry, pauses, block, unknown: class.spec.is_none() }
    }
}

/// True for commands that may change the connection: only these are read closely.
fn changes(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::Plain
            | Kind::Script
            | Kind::Eval
            | Kind::ScriptRo
            | Kind::Publish
            | Kind::BlockLast
            | Kind::BlockFirst
            | Kind::Streams
            | Kind::Wait
    )
}
