//! The commands that bring an upstream into a session's state, and what is done with their answers.

use super::{
    ask::{Answer, Ask},
    pinned::Pinned,
    session::Session,
};
use crate::protocol::redis::session::Replay;

/// The commands that bring an upstream into a session's state: those that log in, and the rest.
pub struct Script {
    /// All of them.
    pub bytes: Vec<u8>,
    /// Where the rest begins.
    login: usize,
    /// Replies to the login.
    pub replies: usize,
    rest: Replay,
}

impl Script {
    pub fn of(session: &Session) -> Self {
        let mut bytes = Vec::new();
        let replies = session.state.open(&mut bytes);
        let login = bytes.len();
        bytes.clear();
        let whole = session.state.replay(&mut bytes);
        let rest = Replay { replies: whole.replies - replies, confirmations: whole.confirmations };
        Self { bytes, login, replies, rest }
    }

    pub fn login(&self) -> &[u8] {
        self.bytes.get(..self.login).unwrap_or_default()
    }

    /// Asks for the rest on an upstream that is logged in; nobody gets the answers.
    pub fn play(&self, pinned: &mut Pinned, monitoring: bool) {
        let mut bytes = self.bytes.get(self.login..).unwrap_or_default();
        let late = usize::from(monitoring).min(self.rest.replies);
        let confirmations =
            (self.rest.confirmations > 0).then_some(Answer::SwallowedConfirmations(self.rest.confirmations));
        let answers = std::iter::repeat_n(Answer::Swallowed, self.rest.replies - late)
            .chain(confirmations)
            .chain(std::iter::repeat_n(Answer::Swallowed, late));
        for answer in answers {
            pinned.queue.push(std::mem::take(&mut bytes), Ask::own(answer));
        }
        // CLIENT REPLY OFF alone has no answer at all.
        if !bytes.is_empty() {
            pinned.queue.push(bytes, Ask::own(Answer::Silence));
        }
    }
}
