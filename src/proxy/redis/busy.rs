//! What a session says while a script keeps the node so busy that it gets no upstream of its own.
//!
//! A busy node refuses `SELECT`, so no connection for another database than 0 can be opened until the script has ended. Input: the
//! node's `BUSY`, and requests that would need such a connection. Output: that error; and for a transaction, which Redis lets
//! begin, one that is sure to be discarded. Never: a command that runs without those that were to run with it.

use super::session::{Flow, Session};
use crate::protocol::redis::{
    command::{Class, Kind, Local, Route},
    reply,
};

/// Whether the node was too busy, with its words.
#[derive(Default)]
pub(super) enum Busy {
    /// It wasn't.
    #[default]
    No,
    /// It was for the request that comes next.
    Refused(Box<[u8]>),
    /// It was for a transaction that has begun: nothing of it will run.
    Doomed(Box<[u8]>),
}

/// True for the error of a node that is kept by a script: it refuses even `SELECT`, and will be well again.
pub fn is_busy(error: &[u8]) -> bool {
    error.starts_with(b"-BUSY ")
}

impl Session {
    /// Answers a request that no upstream could be had for, or that belongs to a transaction that has none. `None` if it is to go
    /// its way.
    pub(super) fn busy(&mut self, class: &Class) -> Option<Flow> {
        let kind = class.spec.map(|spec| spec.kind);
        match std::mem::take(&mut self.busy) {
            Busy::No => return None,
            Busy::Refused(error) if kind == Some(Kind::Multi) => {
                self.busy = Busy::Doomed(error);
                self.client.say(reply::ok);
            }
            Busy::Refused(error) => self.client.say(|out| out.extend_from_slice(&error)),
            Busy::Doomed(_) if kind == Some(Kind::Exec) => {
                let text = "EXECABORT Transaction discarded because of previous errors.";
                self.client.say(|out| reply::error(out, text));
            }
            Busy::Doomed(_) if kind == Some(Kind::Discard) => self.client.say(reply::ok),
            Busy::Doomed(_) if matches!(class.route, Route::Local(Local::Quit | Local::Reset | Local::Abort)) => {
                return None;
            }
            Busy::Doomed(error) => {
                self.client.say(|out| out.extend_from_slice(&error));
                self.busy = Busy::Doomed(error);
            }
        }
        self.client.flush();
        Some(Flow::Done)
    }
}
