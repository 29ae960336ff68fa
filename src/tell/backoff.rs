//! How long to wait before the next attempt: longer each time, at most five minutes, never in step with others.

use std::time::Duration;

/// Before the second attempt.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait.
const CAP: Duration = Duration::from_mins(5);

/// Counts failures in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// One more failure: how long to wait now. At least what the endpoint asked for, within the cap.
    pub(super) fn failed(&mut self, asked: Option<Duration>) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let wait = wait(self.failures, random());
        asked.map_or(wait, |asked| wait.max(asked.min(CAP)))
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// How many failures there were in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

/// Doubles with each failure; `random` takes away up to half of it.
fn wait(failures: u32, random: u8) -> Duration {
    let whole = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(CAP);
    whole - whole / 2 * u32::from(random) / 255
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
        let mut backoff = Backoff::default();
        let asked = backoff.failed(Some(Duration::from_secs(40)));
        assert_eq!(asked, Duration::from_secs(40), "the endpoint is listened to");
        assert_eq!(backoff.failed(Some(Duration::from_hours(9))), CAP, "within reason");
        assert_eq!(backoff.failures(), 2);
        backoff.succeeded();
        assert!(backoff.failed(None) <= FIRST);
    }
}
