//! Since when commands can't be answered: one clock for a whole outage, whoever feels it.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// How often control is told that the node has the wrong role.
const WRONG_AGAIN: Duration = Duration::from_millis(20);
/// How long after the last refusal the node is taken to be well again.
const WRONG_OVER: Duration = Duration::from_secs(1);

/// The outage of one lane, if there is one.
#[derive(Debug, Default)]
pub struct Outage {
    since: Cell<Option<Instant>>,
    /// Sessions that wait for a connection.
    waiting: Cell<u32>,
    /// When the node last refused a command for its role or state.
    refused: Cell<Option<Instant>>,
}

impl Outage {
    /// Commands can't be answered from now on, if they could until now.
    pub fn began(&self) {
        if self.since.get().is_none() {
            self.since.set(Some(Instant::now()));
        }
    }

    /// Commands are answered again.
    pub fn ended(&self) {
        self.since.set(None);
    }

    /// How long it lasts already.
    pub fn lasts(&self) -> Option<Duration> {
        self.since.get().map(|since| since.elapsed())
    }

    /// A session begins, or ceases, to wait for a connection.
    pub fn waits(&self, begins: bool) {
        let waiting = self.waiting.get();
        self.waiting.set(if begins { waiting + 1 } else { waiting.saturating_sub(1) });
    }

    /// True while some session waits for a connection.
    pub fn is_felt(&self) -> bool {
        self.waiting.get() > 0
    }

    /// The node refused a command for its role or state. True if control is to be told (again).
    pub fn refused(&self) -> bool {
        self.began();
        let before = self.refused.replace(Some(Instant::now()));
        before.is_none_or(|before| before.elapsed() > WRONG_AGAIN)
    }

    /// True when the node has refused a command for its role or state a moment ago.
    pub fn is_wrong_role(&self) -> bool {
        self.refused.get().is_some_and(|at| at.elapsed() < WRONG_OVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_one_beginning_and_is_felt_by_who_waits() {
        let outage = Outage::default();
        assert!(outage.lasts().is_none() && !outage.is_felt() && !outage.is_wrong_role());
        outage.began();
        std::thread::sleep(Duration::from_millis(2));
        outage.began();
        assert!(outage.lasts() >= Some(Duration::from_millis(2)));
        outage.waits(true);
        assert!(outage.is_felt());
        outage.waits(false);
        outage.ended();
        assert!(outage.lasts().is_none() && !outage.is_felt());
        assert!(outage.refused() && !outage.refused() && outage.is_wrong_role() && outage.lasts().is_some());
    }
}
