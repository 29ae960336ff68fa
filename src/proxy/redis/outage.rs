//! Since when requests can't be answered, and since when the route leads where it does.
//!
//! Input: refusals, broken connections, moves of the route. Output: one clock for the whole outage, and signals to control. It decides
//! nothing.

use super::lane::Lane;
use crate::model::signal::Signal;
use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// How often control is told that the node has the wrong role.
const WRONG_AGAIN: Duration = Duration::from_millis(20);
/// How long after the last refusal the node is taken to be well again.
const WRONG_OVER: Duration = Duration::from_secs(1);
/// How long a new primary that wants standbys of its own may take to have them: the others are told to follow it at once.
const SETTLING: Duration = Duration::from_secs(2);

/// The clocks of one lane.
#[derive(Default)]
pub struct Clocks {
    /// Since when requests can't be answered.
    outage: Cell<Option<Instant>>,
    /// When the node last refused a command for its role or state.
    refused: Cell<Option<Instant>>,
    /// When the route last moved to another node.
    moved: Cell<Option<Instant>>,
}

impl Lane {
    /// The route leads to another node from now on.
    pub fn moved(&self) {
        self.clocks.moved.set(Some(Instant::now()));
    }

    /// True when the node is new on the route, and may want standbys that it doesn't have yet.
    pub fn is_settling(&self) -> bool {
        self.clocks.moved.get().is_some_and(|at| at.elapsed() < SETTLING)
    }

    /// The node refused a command for its role or state.
    pub fn wrong_role(&self) {
        self.outage_began();
        let before = self.clocks.refused.replace(Some(Instant::now()));
        if before.is_none_or(|before| before.elapsed() > WRONG_AGAIN)
            && let Some(target) = self.seat.target()
        {
            self.seat.report(Signal::WrongRole, &target.node);
        }
    }

    /// True when the node has refused a command for its role or state a moment ago.
    pub fn is_wrong_role(&self) -> bool {
        self.clocks.refused.get().is_some_and(|at| at.elapsed() < WRONG_OVER)
    }

    /// Requests can't be answered from now on, if they could until now.
    pub fn outage_began(&self) {
        if self.clocks.outage.get().is_none() {
            self.clocks.outage.set(Some(Instant::now()));
        }
    }

    /// Requests can't be answered since then, if they could until then: an upstream turned out to be silent.
    pub fn outage_began_before(&self, ago: Duration) {
        if self.clocks.outage.get().is_none() {
            let now = Instant::now();
            self.clocks.outage.set(Some(now.checked_sub(ago).unwrap_or(now)));
        }
    }

    /// Requests are answered again.
    pub fn outage_ended(&self) {
        self.clocks.outage.set(None);
    }

    /// How long the outage lasts already.
    pub fn outage(&self) -> Option<Duration> {
        self.clocks.outage.get().map(|since| since.elapsed())
    }
}
