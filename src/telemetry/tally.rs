//! What one worker counts for one service, and the sum over workers.
//!
//! A worker alone writes its tally, with plain loads and stores: no locked instruction on the data path. A scrape reads it
//! from another thread and may see a count that is one command old.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Upper bounds of the latency buckets in seconds; one more bucket has none.
pub(super) const BOUNDS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// The same bounds in microseconds.
const BOUNDS_US: [u64; 14] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000];

/// How a command ended, as the application saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandOutcome {
    /// The node's own reply was delivered, errors of the node included.
    Answered,
    /// Pointsman answered with an error and the node never saw the command.
    Refused,
    /// Pointsman had to say that the outcome is unknown.
    Unknown,
}

impl CommandOutcome {
    /// All outcomes, so that each has its series from the start.
    pub const ALL: [Self; 3] = [Self::Answered, Self::Refused, Self::Unknown];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// Counts of one worker for one service. Only that worker may call [`Tally::count`] and [`Tally::observe`].
#[derive(Debug, Default)]
pub struct Tally {
    outcomes: [AtomicU64; 3],
    buckets: [AtomicU64; 15],
    sum_us: AtomicU64,
}

impl Tally {
    /// Counts `commands` that ended in this way.
    pub fn count(&self, outcome: CommandOutcome, commands: u64) {
        add(&self.outcomes[outcome as usize], commands);
    }

    /// Notes how long a command took from its last byte in to its reply's first byte out. A worker may sample.
    pub fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let index = BOUNDS_US.iter().position(|bound| us <= *bound).unwrap_or(BOUNDS_US.len());
        add(&self.buckets[index], 1);
        add(&self.sum_us, us);
    }

    /// Adds this tally to a sum.
    pub fn add_to(&self, traffic: &mut Traffic) {
        for (sum, count) in traffic.outcomes.iter_mut().zip(&self.outcomes) {
            *sum += count.load(Relaxed);
        }
        for (sum, count) in traffic.buckets.iter_mut().zip(&self.buckets) {
            *sum += count.load(Relaxed);
        }
        traffic.sum_us += self.sum_us.load(Relaxed);
    }
}

/// A single writer needs no atomic addition.
fn add(count: &AtomicU64, more: u64) {
    count.store(count.load(Relaxed).wrapping_add(more), Relaxed);
}

/// The sum over the workers, for one service and one scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests that wait in a hold now.
    pub held: u64,
    pub(super) outcomes: [u64; 3],
    pub(super) buckets: [u64; 15],
    pub(super) sum_us: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_holds_every_workers_counts() {
        let (one, two) = (Tally::default(), Tally::default());
        one.count(CommandOutcome::Answered, 3);
        two.count(CommandOutcome::Answered, 4);
        two.count(CommandOutcome::Unknown, 1);
        one.observe(Duration::from_micros(100));
        one.observe(Duration::from_micros(101));
        two.observe(Duration::from_secs(60));
        let mut traffic = Traffic::default();
        one.add_to(&mut traffic);
        two.add_to(&mut traffic);
        assert_eq!(traffic.outcomes, [7, 0, 1]);
        assert_eq!((traffic.buckets[0], traffic.buckets[1], traffic.buckets[14]), (1, 1, 1));
        assert_eq!(traffic.sum_us, 60_000_201);
    }

    #[test]
    fn both_tables_of_bounds_agree() {
        for (seconds, us) in BOUNDS.iter().zip(BOUNDS_US) {
            assert_eq!(Duration::from_secs_f64(*seconds), Duration::from_micros(us));
        }
    }
}
