//! The stream of events that operators' tools follow: numbered, live, with the last few remembered.
//!
//! Inputs: events from the drivers. Outputs: subscriptions. Bounded: a follower that is too slow misses events and is
//! told so by the channel; it then reads the services anew.

use crate::model::{operation::Operation, record::Record, view::ServiceView};
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::broadcast;

/// How many events are remembered for followers that come back, and how many a slow one may be behind.
const REMEMBERED: usize = 1024;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A service looks different.
    Service(Arc<ServiceView>),
    /// An operation moved on or ended.
    Operation(Arc<Operation>),
    /// A record became durable.
    Journal(Arc<Record>),
}

/// An event and its id, which grows, over restarts too.
#[derive(Clone, Debug)]
pub struct Numbered {
    /// The id, for `Last-Event-ID`.
    pub id: u64,
    /// What happened.
    pub event: Event,
}

/// What a follower gets.
pub struct Subscription {
    /// Whether events after the id asked for are forgotten: the follower should read the services anew.
    pub gap: bool,
    /// Events after the id asked for, oldest first.
    pub missed: Vec<Numbered>,
    /// Events from now on. `Lagged` means that some were missed.
    pub live: broadcast::Receiver<Numbered>,
}

/// Numbers events and hands them out.
pub(super) struct Feed {
    #[expect(clippy::disallowed_types, reason = "never on the data path; held for one push or one copy of the ring")]
    ring: std::sync::Mutex<Ring>,
    live: broadcast::Sender<Numbered>,
}

struct Ring {
    next: u64,
    events: VecDeque<Numbered>,
}

impl Feed {
    /// A feed whose ids begin at `first`: the start's wall time in microseconds, so that ids grow over restarts.
    #[expect(clippy::disallowed_types, reason = "see the field")]
    pub(super) fn new(first: u64) -> Self {
        let ring = Ring { next: first, events: VecDeque::with_capacity(REMEMBERED) };
        Self { ring: std::sync::Mutex::new(ring), live: broadcast::Sender::new(REMEMBERED) }
    }

    /// Numbers an event, remembers it and hands it to the followers.
    pub(super) fn publish(&self, event: Event) {
        let mut ring = self.ring.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let numbered = Numbered { id: ring.next, event };
        ring.next += 1;
        if ring.events.len() == REMEMBERED {
            ring.events.pop_front();
        }
        ring.events.push_back(numbered.clone());
        // Under the lock, so that no follower sees an event twice or not at all; without followers nobody is told.
        let _ = self.live.send(numbered);
    }

    /// Events from now on, and the remembered ones after `last`.
    pub(super) fn subscribe(&self, last: Option<u64>) -> Subscription {
        let ring = self.ring.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let live = self.live.subscribe();
        let Some(last) = last else { return Subscription { gap: false, missed: Vec::new(), live } };
        let oldest = ring.events.front().map_or(ring.next, |event| event.id);
        let missed = ring.events.iter().filter(|event| event.id > last).cloned().collect();
        Subscription { gap: last.saturating_add(1) < oldest || last >= ring.next, missed, live }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::operation::Outcome, model::route::Epoch};

    fn event(n: u64) -> Event {
        Event::Operation(Arc::new(Operation {
            id: format!("op-{n}").into(),
            svc: "cart".into(),
            kind: "mode".into(),
            from: None,
            to: None,
            epoch_before: Epoch(n),
            epoch_after: None,
            started: jiff::Timestamp::UNIX_EPOCH,
            actor: String::new(),
            approver: None,
            expires: None,
            group: None,
            rehearsal: false,
            reason: String::new(),
            guards: vec![],
            sessions: vec![],
            outcome: Outcome::Done,
            detail: String::new(),
            phases: vec![],
            client_stall_ms: None,
            lost: crate::model::operation::Loss::default(),
        }))
    }

    #[test]
    fn a_follower_that_comes_back_gets_what_it_missed_once() {
        let feed = Feed::new(100);
        for n in 0..5 {
            feed.publish(event(n));
        }
        let mut back = feed.subscribe(Some(102));
        assert!(!back.gap);
        assert_eq!(back.missed.iter().map(|e| e.id).collect::<Vec<_>>(), [103, 104]);
        feed.publish(event(5));
        assert_eq!(back.live.try_recv().unwrap().id, 105);
        assert!(back.live.try_recv().is_err());
    }

    #[test]
    fn forgotten_and_foreign_ids_are_a_gap() {
        let feed = Feed::new(1);
        for n in 0..(REMEMBERED as u64 + 10) {
            feed.publish(event(n));
        }
        assert!(feed.subscribe(Some(5)).gap);
        assert!(!feed.subscribe(Some(11)).gap);
        assert!(feed.subscribe(Some(u64::MAX)).gap, "an id from nowhere");
        assert!(!feed.subscribe(None).gap);
    }
}
