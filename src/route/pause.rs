//! Whether the routed node keeps writes waiting because an application has told it to (`CLIENT PAUSE`).
//!
//! In: workers that saw the order accepted. Out: one atomic load for all that ask. It knows nothing of pauses that were ordered
//! past Pointsman.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// The last pause.
#[derive(Debug)]
pub struct Pause {
    began: Instant,
    /// When it ends, in milliseconds after `began`; 0 when it has been told to be over.
    until: AtomicU64,
    /// When it ended, in milliseconds after `began`, or will; 0 if there was none.
    last: AtomicU64,
}

impl Default for Pause {
    fn default() -> Self {
        Self { began: Instant::now(), until: AtomicU64::new(0), last: AtomicU64::new(0) }
    }
}

impl Pause {
    /// It lasts so long from now on, or as long as the one that is on if that one ends later.
    pub fn begin(&self, length: Duration) {
        let end = self.now().saturating_add(millis(length));
        self.until.fetch_max(end, Relaxed);
        self.last.fetch_max(end, Relaxed);
    }

    /// It is over.
    pub fn end(&self) {
        if self.until.swap(0, Relaxed) != 0 {
            self.last.store(self.now().max(1), Relaxed);
        }
    }

    /// True while it lasts.
    pub fn is_on(&self) -> bool {
        // Nearly always the first comparison settles it: this is asked for each command.
        let until = self.until.load(Relaxed);
        if until == 0 {
            return false;
        }
        let on = self.now() < until;
        if !on {
            // If it fails, another one has begun meanwhile, and the next command will see it.
            let _ = self.until.compare_exchange(until, 0, Relaxed, Relaxed);
        }
        on
    }

    /// How long it is over; zero while it lasts, the longest time if there was none.
    pub fn over_for(&self) -> Duration {
        match self.last.load(Relaxed) {
            0 => Duration::MAX,
            last => Duration::from_millis(self.now().saturating_sub(last)),
        }
    }

    fn now(&self) -> u64 {
        millis(self.began.elapsed())
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lasts_as_long_as_the_longest_order_and_no_longer_than_told() {
        let pause = Pause::default();
        assert!(!pause.is_on() && pause.over_for() == Duration::MAX);
        pause.begin(Duration::from_mins(1));
        pause.begin(Duration::from_millis(1));
        assert!(pause.is_on() && pause.over_for() == Duration::ZERO);
        pause.end();
        assert!(!pause.is_on() && pause.over_for() < Duration::from_secs(50));
        pause.begin(Duration::ZERO);
        assert!(!pause.is_on());
    }
}
