//! What a session shows to its lane: how to wake it, what it waits for, and whether it has to end.
//!
//! Input: the session's own steps, the steward's orders. Output: each other's news, without a message. Never: bytes.

use crate::proxy::bell::Bell;
use std::{cell::Cell, task::Context};

/// When a session has to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// It goes on.
    #[default]
    No,
    /// With the answer that is under way; at once if none is.
    AtSafePoint,
    /// At once.
    Now,
}

/// What a client owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owes {
    /// The rest of a request's head.
    Head,
    /// More of a request's body.
    Body,
    /// Reading its answer.
    Reading,
}

impl Owes {
    /// How long it may owe that, in seconds: all of a head, any progress with the others.
    fn limit(self) -> u64 {
        match self {
            Self::Head => 10,
            Self::Body => 60,
            Self::Reading => 300,
        }
    }
}

/// One session of a lane.
pub struct Handle {
    /// Its number in the lane.
    pub id: u64,
    bell: Bell,
    ending: Cell<Ending>,
    /// What the client owes, and since which second of the lane.
    owes: Cell<Option<(Owes, u64)>>,
    late: Cell<bool>,
}

impl Handle {
    /// A session that begins.
    pub fn new(id: u64) -> Self {
        let (bell, ending, owes, late) = Default::default();
        Self { id, bell, ending, owes, late }
    }

    /// Notes the session's task.
    pub fn register(&self, cx: &Context<'_>) {
        self.bell.register(cx.waker());
    }

    /// Has the session look around.
    pub fn wake(&self) {
        self.bell.ring();
    }

    /// Tells it to end.
    pub fn end(&self, when: Ending) {
        self.ending.set(self.ending.get().max(when));
        self.wake();
    }

    /// Whether it has to end.
    pub fn ending(&self) -> Ending {
        self.ending.get()
    }

    /// From this second on the client owes that, or nothing.
    pub fn owes(&self, what: Option<Owes>, second: u64) {
        self.owes.set(what.map(|what| (what, second)));
    }

    /// The same, unless it has owed that before.
    pub fn still_owes(&self, what: Option<Owes>, second: u64) {
        if self.owes.get().map(|(owes, _)| owes) != what {
            self.owes(what, second);
        }
    }

    /// Wakes it if its client has taken too long.
    pub fn look_at_clock(&self, second: u64) {
        let due = self.owes.get().is_some_and(|(owes, since)| second.saturating_sub(since) > owes.limit());
        if due && !self.late.replace(true) {
            self.wake();
        }
    }

    /// True, once, if the client has taken too long.
    pub fn take_late(&self) -> bool {
        let late = self.late.replace(false);
        if late {
            self.owes.set(None);
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_owes_for_too_long_is_late() {
        let handle = Handle::new(1);
        handle.look_at_clock(1000);
        assert!(!handle.take_late());
        handle.owes(Some(Owes::Head), 1000);
        handle.still_owes(Some(Owes::Head), 1009);
        handle.look_at_clock(1010);
        assert!(!handle.take_late());
        handle.owes(Some(Owes::Head), 1010);
        handle.look_at_clock(1020);
        assert!(!handle.take_late());
        handle.look_at_clock(1021);
        assert!(handle.take_late());
    }
}
