//! What is remembered of each caller: when they were last here, and how much they asked of late.
//!
//! Inputs: callers as they come. Outputs: whether a request is within its bounds, and the last use of each name. Bounded: so many
//! names, and of each a few words. It never knows what was asked.

use crate::model::person::{Caller, Way};
use jiff::Timestamp;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Requests a second that one person may send for long: one each 20 ms.
const EACH: Duration = Duration::from_millis(20);
/// How far ahead of that somebody may be: 200 requests at once.
const BURST: Duration = Duration::from_secs(4);
/// One line of the log for what was denied, each second; ten at once.
const LINE_EACH: Duration = Duration::from_secs(1);
const LINE_BURST: Duration = Duration::from_secs(10);
/// The account of the log's lines; no person has an empty name.
const LINES: &str = "";
/// How many event streams one person may have: never all of them.
pub(super) const STREAMS_OF_ONE: usize = 1000;
/// The most names that are remembered; the people of the configuration are fewer.
const NAMES: usize = 512;

/// When and how somebody was here the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastUse {
    pub(super) at: Timestamp,
    pub(super) via: Way,
}

/// Everybody who was here.
#[derive(Default)]
pub(super) struct Visitors {
    #[expect(clippy::disallowed_types, reason = "the admin floor's own; held for one look-up")]
    known: std::sync::Mutex<HashMap<String, Seen>>,
}

struct Seen {
    /// When all that was asked would be done at the even pace.
    done: Instant,
    last: Option<LastUse>,
    streams: Arc<AtomicUsize>,
}

/// One open stream of somebody.
pub(super) struct Stream(Arc<AtomicUsize>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Visitors {
    /// Notes that somebody is here.
    pub(super) fn note(&self, caller: &Caller, at: Timestamp) {
        self.with(&caller.name, Instant::now(), |seen| seen.last = Some(LastUse { at, via: caller.via }));
    }

    /// Takes one request into the account of a name. The error is how long to wait.
    pub(super) fn pace(&self, name: &str, now: Instant) -> Result<(), Duration> {
        self.take(name, now, EACH, BURST)
    }

    /// Whether one more denial is logged: a flood of them is only counted.
    pub(super) fn worth_a_line(&self, now: Instant) -> bool {
        self.take(LINES, now, LINE_EACH, LINE_BURST).is_ok()
    }

    fn take(&self, name: &str, now: Instant, each: Duration, burst: Duration) -> Result<(), Duration> {
        self.with(name, now, |seen| {
            let done = seen.done.max(now) + each;
            match done.checked_duration_since(now + burst) {
                Some(late) if !late.is_zero() => Err(late),
                _ => {
                    seen.done = done;
                    Ok(())
                }
            }
        })
    }

    /// One more stream of somebody, if they don't have too many.
    pub(super) fn stream(&self, name: &str) -> Option<Stream> {
        let streams = self.with(name, Instant::now(), |seen| seen.streams.clone());
        let stream = Stream(streams);
        // Counted first, so that two at once don't both take the last place; dropping gives it back.
        let before = stream.0.fetch_add(1, Relaxed);
        (before < STREAMS_OF_ONE).then_some(stream)
    }

    /// When somebody was last here, since Pointsman started.
    pub(super) fn last_use(&self, name: &str) -> Option<LastUse> {
        let known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.get(name).and_then(|seen| seen.last)
    }

    fn with<T>(&self, name: &str, now: Instant, act: impl FnOnce(&mut Seen) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !known.contains_key(name) && known.len() >= NAMES {
            let oldest = known.iter().min_by_key(|(_, seen)| seen.done).map(|(name, _)| name.clone());
            oldest.and_then(|name| known.remove(&name));
        }
        let fresh = || Seen { done: now, last: None, streams: Arc::default() };
        act(known.entry(name.to_owned()).or_insert_with(fresh))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_even_pace() {
        let (visitors, now) = (Visitors::default(), Instant::now());
        assert!((0..200).all(|_| visitors.pace("ann", now).is_ok()));
        assert_eq!(visitors.pace("ann", now), Err(EACH), "how long to wait");
        assert!(visitors.pace("bob", now).is_ok(), "each has an account of their own");
        let later = now + EACH * 3;
        assert!((0..3).all(|_| visitors.pace("ann", later).is_ok()));
        assert!(visitors.pace("ann", later).is_err(), "a refused request costs nothing, and gives nothing");
        let rested = now + Duration::from_hours(1);
        assert_eq!((0..300).filter(|_| visitors.pace("ann", rested).is_ok()).count(), 200);
    }

    #[test]
    fn a_flood_of_denials_is_a_few_lines() {
        let (visitors, now) = (Visitors::default(), Instant::now());
        assert_eq!((0..1000).filter(|_| visitors.worth_a_line(now)).count(), 10);
        assert!(visitors.worth_a_line(now + LINE_EACH));
    }

    #[test]
    fn streams_are_counted_and_given_back() {
        let visitors = Visitors::default();
        let mut open: Vec<_> = (0..STREAMS_OF_ONE).map(|_| visitors.stream("ann").expect("within bounds")).collect();
        assert!(visitors.stream("ann").is_none() && visitors.stream("ann").is_none());
        assert!(visitors.stream("bob").is_some());
        open.pop();
        assert!(visitors.stream("ann").is_some());
    }

    #[test]
    fn names_are_bounded_and_the_longest_away_is_forgotten() {
        let (visitors, start) = (Visitors::default(), Instant::now());
        let caller = |name: String| Caller { name, role: crate::model::person::Role::Viewer, via: Way::Token };
        for n in 0..NAMES + 10 {
            let now = start + Duration::from_secs(n as u64);
            visitors.pace(&n.to_string(), now).expect("within bounds");
            visitors.note(&caller(n.to_string()), Timestamp::UNIX_EPOCH);
        }
        assert!(visitors.known.lock().expect("not poisoned").len() <= NAMES);
        assert_eq!(visitors.last_use("3"), None);
        assert!(visitors.last_use("10").is_some() && visitors.last_use(&(NAMES + 9).to_string()).is_some());
    }
}
