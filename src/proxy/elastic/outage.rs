//! Since when requests can't be served: one clock for a whole outage, whoever feels it.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// An outage that nobody has felt for so long is over.
const QUIET: Duration = Duration::from_secs(1);

/// The outage of one lane, if there is one.
#[derive(Debug, Default)]
pub struct Outage {
    since: Cell<Option<Instant>>,
    /// Requests that wait now.
    waiting: Cell<u32>,
    felt: Cell<Option<Instant>>,
}

/// A request that waits.
pub struct Waiting<'a>(&'a Outage);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get().saturating_sub(1));
        self.0.felt.set(Some(Instant::now()));
    }
}

impl Outage {
    /// Requests can't be served from now on, if they could until now.
    pub fn began(&self) {
        let now = Instant::now();
        self.felt.set(Some(now));
        if self.since.get().is_none() {
            self.since.set(Some(now));
        }
    }

    /// Requests are served again.
    pub fn ended(&self) {
        self.since.set(None);
    }

    /// A request waits as long as the answer lives.
    pub fn wait(&self) -> Waiting<'_> {
        self.waiting.set(self.waiting.get() + 1);
        Waiting(self)
    }

    /// How much of `most` is left for who waits; all of it without an outage.
    pub fn left_of(&self, most: Duration) -> Duration {
        self.since.get().map_or(most, |since| most.saturating_sub(since.elapsed()))
    }

    /// True when nobody has waited or was refused for a while.
    pub fn is_forgotten(&self) -> bool {
        self.waiting.get() == 0 && self.felt.get().is_none_or(|felt| felt.elapsed() > QUIET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_one_beginning_and_is_felt_by_who_waits() {
        let (outage, minute) = (Outage::default(), Duration::from_mins(1));
        assert!(outage.left_of(minute) == minute && outage.is_forgotten());
        outage.began();
        while outage.left_of(minute) > minute.saturating_sub(Duration::from_millis(2)) {
            std::thread::yield_now();
        }
        outage.began();
        assert!(outage.left_of(minute) <= minute.saturating_sub(Duration::from_millis(2)));
        assert_eq!(outage.left_of(Duration::from_millis(1)), Duration::ZERO);
        let waiting = outage.wait();
        assert!(!outage.is_forgotten());
        drop(waiting);
        assert!(!outage.is_forgotten(), "a moment ago");
        outage.ended();
        assert_eq!(outage.left_of(minute), minute);
    }
}
