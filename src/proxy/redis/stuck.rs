//! Sessions that can't move: operators are told which, and why, before and during a switch.

use super::session::Session;
use crate::model::signal::StuckSession;

impl Session {
    /// True for a session that can't move.
    pub(super) fn is_stuck(&self) -> bool {
        self.stuck_by().is_some()
    }

    /// Why this session can't move, if it can't.
    fn stuck_by(&self) -> Option<&str> {
        let pinned = self.pinned.as_ref()?;
        let unknown = pinned.forever.as_deref().filter(|why| why.starts_with("unknown command"));
        unknown.or_else(|| {
            (self.state.in_multi() && self.state.queued().is_none()).then_some("transaction too large to be kept")
        })
    }

    /// Tells operators when that has changed.
    pub(super) fn tell_stuck(&mut self) {
        if self.told_stuck == self.is_stuck() {
            return;
        }
        self.told_stuck = self.is_stuck();
        let stuck = |why: &str| StuckSession { client: self.peer.to_string(), why: why.to_owned() };
        self.lane.seat.set_stuck(self.id, self.stuck_by().map(stuck));
    }
}
