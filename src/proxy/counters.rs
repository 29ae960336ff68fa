//! What one worker counts for one service. The worker alone writes, with plain stores; the metrics page sums when scraped.

use crate::protocol::elastic::Class;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The node answered.
    Answered,
    /// The node answered with an error.
    Error,
    /// Pointsman answered for the node (login, name, database).
    Local,
    /// Pointsman refused it: denied, read only, closed, no node.
    Refused,
    /// Its connection broke after it was sent; whether it ran isn't known.
    Unknown,
    /// It was sent again on another connection.
    Retried,
    /// A blocked pop was asked again after a loss: an element that it had taken in that moment is lost.
    Reissued,
    /// A fault of Pointsman's own ended its session.
    Fault,
}

impl Outcome {
    /// All, in the order of [`Counters::commands`].
    pub const ALL: [Self; 8] = [
        Self::Answered,
        Self::Error,
        Self::Local,
        Self::Refused,
        Self::Unknown,
        Self::Retried,
        Self::Reissued,
        Self::Fault,
    ];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Error => "error",
            Self::Local => "local",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Retried => "retried",
            Self::Reissued => "reissued",
            Self::Fault => "fault",
        }
    }
}

/// Upper bounds of the latency buckets in microseconds; one more bucket stands for "longer".
pub const BOUNDS_US: [u32; 15] =
    [50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 409_600, 1_638_400, 6_553_600];

/// One worker's counts for one service.
#[derive(Debug, Default)]
pub struct Counters {
    commands: [AtomicU64; Outcome::ALL.len()],
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
    requests: [[AtomicU64; Outcome::ALL.len()]; Class::ALL.len()],
}

/// The sum of some workers' [`Counters`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Commands by outcome, in the order of [`Outcome::ALL`].
    pub commands: [u64; Outcome::ALL.len()],
    /// Commands by time from being read to being answered (not cumulative), by [`BOUNDS_US`]. Pinned commands aren't timed.
    pub buckets: [u64; BOUNDS_US.len() + 1],
    /// The sum of those times in microseconds.
    pub sum_us: u64,
    /// Where requests have classes (HTTP): by class and outcome, in the orders of [`Class::ALL`] and [`Outcome::ALL`].
    pub requests: [[u64; Outcome::ALL.len()]; Class::ALL.len()],
}

/// Adds with a load and a store: only one thread writes, so the bus needn't be locked.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}

impl Counters {
    /// Counts `many` commands.
    pub fn count(&self, outcome: Outcome, many: u64) {
        if let Some(counter) = self.commands.get(outcome as usize) {
            add(counter, many);
        }
    }

    /// Counts a request of that class, which is counted as a command too.
    pub fn count_request(&self, class: Class, outcome: Outcome) {
        if let Some(counter) = self.requests.get(class as usize).and_then(|class| class.get(outcome as usize)) {
            add(counter, 1);
        }
    }

    /// Notes that `many` commands took this long.
    pub fn took(&self, us: u32, many: u64) {
        let bucket = BOUNDS_US.iter().position(|&bound| us <= bound).unwrap_or(BOUNDS_US.len());
        if let Some(counter) = self.buckets.get(bucket) {
            add(counter, many);
        }
        add(&self.sum_us, u64::from(us) * many);
    }

    /// Adds these counts to a sum.
    pub fn add_to(&self, sum: &mut Snapshot) {
        for (total, counter) in sum.commands.iter_mut().zip(&self.commands) {
            *total += counter.load(Relaxed);
        }
        for (total, counter) in sum.buckets.iter_mut().zip(&self.buckets) {
            *total += counter.load(Relaxed);
        }
        sum.sum_us += self.sum_us.load(Relaxed);
        for (total, counter) in sum.requests.iter_mut().flatten().zip(self.requests.iter().flatten()) {
            *total += counter.load(Relaxed);
        }
    }
}
