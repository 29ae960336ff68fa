//! When to try again, and with how much: longer waits each time, at most five minutes, never in step with others; a body that is
//! refused is made smaller, and given up when it can't be.

use super::post::Trouble;
use std::time::Duration;

/// Before the second attempt.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait.
const CAP: Duration = Duration::from_mins(5);
/// The most records of one delivery.
const PAGE: usize = 100;
/// So many refusals in a row of as little as can be told at once, and it is given up: the rest must not wait for it for ever.
const PATIENCE: u32 = 10;

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another attempt after so long.
    Again(Duration),
    /// None: the endpoint will never take this.
    GiveUp,
}

/// Counts what happened in a row.
#[derive(Debug)]
pub(super) struct Pace {
    failures: u32,
    /// Refusals in a row of one record.
    refusals: u32,
    page: usize,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { failures: 0, refusals: 0, page: PAGE }
    }

    /// How many records to tell at once.
    pub(super) fn page(&self) -> usize {
        self.page
    }

    /// Whether the last attempt failed.
    pub(super) fn failing(&self) -> bool {
        self.failures > 0
    }

    /// One more failure. At least as long a wait as the endpoint asked for, within the cap.
    pub(super) fn failed(&mut self, trouble: &Trouble) -> Next {
        self.failures = self.failures.saturating_add(1);
        if trouble.is_of_the_body() {
            self.refusals = if self.page == 1 { self.refusals + 1 } else { 0 };
            if self.refusals >= PATIENCE {
                *self = Self::new();
                return Next::GiveUp;
            }
            self.page = (self.page / 2).max(1);
        }
        let wait = wait(self.failures, random());
        Next::Again(trouble.after().map_or(wait, |asked| wait.max(asked.min(CAP))))
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self::new();
    }
}

/// Doubles with each failure; `random` takes away up to half of it.
fn wait(failures: u32, random: u8) -> Duration {
    let whole = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(CAP);
    whole.saturating_sub(whole / 2 * u32::from(random) / 255)
}

fn random() -> u8 {
    let mut byte = [0];
    // A system without random bytes keeps step, which is no harm.
    let _ = rustix::rand::getrandom(&mut byte, rustix::rand::GetRandomFlags::NONBLOCK);
    byte[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_differ() {
        let whole: Vec<u64> = (1..12).map(|failures| wait(failures, 0).as_secs()).collect();
        assert_eq!(whole, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(wait(u32::MAX, 0), CAP);
        assert_eq!((wait(1, 255), wait(40, 255)), (FIRST / 2, CAP / 2));
    }

    #[test]
    fn an_endpoint_is_listened_to_within_reason() {
        let says = |status, seconds| Trouble::Refused { status, after: Some(Duration::from_secs(seconds)) };
        let mut pace = Pace::new();
        assert_eq!(pace.failed(&says(503, 40)), Next::Again(Duration::from_secs(40)));
        assert_eq!(pace.failed(&says(429, 1_000_000)), Next::Again(CAP));
        assert!(pace.failing() && pace.page() == PAGE, "it isn't the body's fault");
        pace.succeeded();
        assert!(!pace.failing());
    }

    #[test]
    fn a_body_that_is_refused_is_made_smaller_and_at_last_given_up() {
        let mut pace = Pace::new();
        let refused = Trouble::Refused { status: 413, after: None };
        let mut pages = Vec::new();
        while let Next::Again(_) = pace.failed(&refused) {
            pages.push(pace.page());
            assert!(pages.len() < 100, "never given up");
        }
        assert_eq!(pages[..7], [50, 25, 12, 6, 3, 1, 1]);
        assert_eq!(pages.len(), 15, "ten times one record");
        assert!(!pace.failing() && pace.page() == PAGE, "the next one has its own chances");
        for _ in 0..100 {
            assert!(matches!(pace.failed(&Trouble::Lost("x".into())), Next::Again(_)), "silence is never a reason");
        }
    }
}
