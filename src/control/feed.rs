//! The stream of events that operators' tools follow: numbered, with the last few remembered.
//!
//! Inputs: events from the drivers. Outputs: followers, each of which is a place in the one ring and holds no event itself, so that a
//! thousand of them, slow ones among them, cost what the ring costs. Bounded: a follower that is too slow finds a gap and reads the
//! services anew. Of a service only its newest state is told: who follows wants to know how it is, not how it was.

use crate::model::{group::GroupView, name::ServiceName, operation::Operation, record::Record, view::ServiceView};
use bytes::Bytes;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, OnceLock},
};
use tokio::sync::watch;

/// How many events are remembered: for followers that come back, and as far as a slow one may be behind.
const REMEMBERED: usize = 1024;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A service looks different.
    Service(Arc<ServiceView>),
    /// An operation moved on or ended.
    Operation(Arc<Operation>),
    /// A group looks different, or an operation of a site moved on.
    Group(Arc<GroupView>),
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
    written: Arc<OnceLock<Bytes>>,
}

impl Numbered {
    /// The event as it is sent: written by the first follower that sends it, and the same bytes for all others.
    pub fn written(&self, write: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.written.get_or_init(|| write(self)).clone()
    }
}

/// What a follower finds.
#[derive(Clone, Debug)]
pub enum Next {
    /// The next event.
    Event(Numbered),
    /// Events are forgotten that it didn't see: it should read the services anew. It goes on with what comes from now on.
    Gap,
    /// Nothing more for now.
    Nothing,
}

/// One follower's place in the stream.
pub struct Follower {
    feed: Arc<Feed>,
    seen: u64,
    newest: watch::Receiver<u64>,
}

impl Follower {
    /// The next event that it didn't see. Never waits.
    #[expect(clippy::should_implement_trait, reason = "it has no end, and says what was missed: no iterator")]
    pub fn next(&mut self) -> Next {
        let (next, seen) = self.feed.after(self.seen);
        self.seen = seen;
        next
    }

    /// Waits until something happened since this was asked the last time; false when nothing will any more.
    pub async fn changed(&mut self) -> bool {
        self.newest.changed().await.is_ok()
    }
}

/// Numbers events and hands them out.
pub(super) struct Feed {
    #[expect(clippy::disallowed_types, reason = "never on the data path; held for one push or to find one event")]
    ring: std::sync::Mutex<Ring>,
    newest: watch::Sender<u64>,
}

struct Ring {
    next: u64,
    events: VecDeque<Numbered>,
    /// The newest event of each service that the ring holds.
    latest: HashMap<ServiceName, u64>,
}

impl Ring {
    fn forget_oldest(&mut self) {
        if let Some(Numbered { id, event: Event::Service(view), .. }) = self.events.pop_front()
            && self.latest.get(&view.name) == Some(&id)
        {
            self.latest.remove(&view.name);
        }
    }

    /// Whether a newer state of the same service follows.
    fn is_outdated(&self, numbered: &Numbered) -> bool {
        match &numbered.event {
            Event::Service(view) => self.latest.get(&view.name).is_some_and(|latest| *latest > numbered.id),
            Event::Operation(_) | Event::Group(_) | Event::Journal(_) => false,
        }
    }
}

impl Feed {
    /// A feed whose ids begin at `first`: the start's wall time in microseconds, so that ids grow over restarts.
    #[expect(clippy::disallowed_types, reason = "see the field")]
    pub(super) fn new(first: u64) -> Self {
        let ring = Ring { next: first, events: VecDeque::with_capacity(REMEMBERED), latest: HashMap::new() };
        Self { ring: std::sync::Mutex::new(ring), newest: watch::Sender::new(first) }
    }

    /// Numbers an event, remembers it and wakes the followers.
    pub(super) fn publish(&self, event: Event) {
        let mut ring = self.ring.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let numbered = Numbered { id: ring.next, event, written: Arc::default() };
        ring.next += 1;
        if ring.events.len() == REMEMBERED {
            ring.forget_oldest();
        }
        if let Event::Service(view) = &numbered.event {
            ring.latest.insert(view.name.clone(), numbered.id);
        }
        ring.events.push_back(numbered);
        let newest = ring.next;
        drop(ring);
        self.newest.send_replace(newest);
    }

    /// Events after `last` (an id that somebody saw), or from now on.
    pub(super) fn follow(self: &Arc<Self>, last: Option<u64>) -> Follower {
        // The mark first: what happens in between wakes the follower once for nothing, and is never slept over.
        let newest = self.newest.subscribe();
        let ring = self.ring.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let seen = last.unwrap_or(ring.next.saturating_sub(1));
        drop(ring);
        Follower { feed: self.clone(), seen, newest }
    }

    /// What comes after `seen`, and what is seen then.
    fn after(&self, seen: u64) -> (Next, u64) {
        let ring = self.ring.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let last = ring.next.saturating_sub(1);
        let oldest = ring.events.front().map_or(ring.next, |event| event.id);
        if seen > last || seen.saturating_add(1) < oldest {
            return (Next::Gap, last);
        }
        // Ids have no gaps, so that an id tells its place.
        let skip = usize::try_from(seen + 1 - oldest).unwrap_or(usize::MAX);
        match ring.events.iter().skip(skip).find(|event| !ring.is_outdated(event)) {
            Some(event) => (Next::Event(event.clone()), event.id),
            None => (Next::Nothing, last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{name::Kind, operation::Outcome, route::Epoch};

    fn event(n: u64) -> Event {
        Event::Operation(Arc::new(Operation {
            epoch_before: Epoch(n),
            outcome: Outcome::Done,
            ..Operation::begun(format!("op-{n}"), "cart", "mode")
        }))
    }

    fn service(name: &str) -> Event {
        Event::Service(Arc::new(ServiceView::unknown(name.into(), Kind::Redis)))
    }

    /// The ids that it finds until there is nothing; a gap is 0.
    fn ids(follower: &mut Follower) -> Vec<u64> {
        std::iter::from_fn(|| match follower.next() {
            Next::Event(event) => Some(event.id),
            Next::Gap => Some(0),
            Next::Nothing => None,
        })
        .collect()
    }

    #[test]
    fn a_follower_that_comes_back_gets_what_it_missed_once() {
        let feed = Arc::new(Feed::new(100));
        for n in 0..5 {
            feed.publish(event(n));
        }
        let mut back = feed.follow(Some(102));
        assert_eq!(ids(&mut back), [103, 104]);
        let mut fresh = feed.follow(None);
        feed.publish(event(5));
        assert_eq!((ids(&mut back), ids(&mut fresh)), (vec![105], vec![105]));
        assert!(ids(&mut back).is_empty());
    }

    #[test]
    fn forgotten_and_foreign_ids_are_a_gap_and_then_the_present() {
        let feed = Arc::new(Feed::new(1));
        let mut slow = feed.follow(None);
        for n in 0..(REMEMBERED as u64 + 10) {
            feed.publish(event(n));
        }
        assert_eq!(ids(&mut slow), [0], "one that is too slow");
        assert_eq!(ids(&mut feed.follow(Some(5))), [0]);
        assert_eq!(ids(&mut feed.follow(Some(10))).len(), REMEMBERED, "just remembered");
        let mut foreign = feed.follow(Some(u64::MAX));
        assert_eq!(ids(&mut foreign), [0], "an id from nowhere");
        feed.publish(event(9));
        assert_eq!((ids(&mut slow), ids(&mut foreign)), (vec![REMEMBERED as u64 + 11], vec![REMEMBERED as u64 + 11]));
    }

    #[test]
    fn of_a_service_only_its_newest_state_is_told() {
        let feed = Arc::new(Feed::new(1));
        let mut follower = feed.follow(None);
        for one in [service("cart"), event(1), service("orders"), service("cart"), service("cart")] {
            feed.publish(one);
        }
        assert_eq!(ids(&mut follower), [2, 3, 5]);
        for n in 0..REMEMBERED as u64 {
            feed.publish(event(n));
        }
        let ring = feed.ring.lock().expect("not poisoned");
        assert!(ring.latest.is_empty(), "services whose events are forgotten are forgotten too");
    }

    #[test]
    fn an_event_is_written_once_for_all() {
        let feed = Arc::new(Feed::new(1));
        let (mut one, mut other) = (feed.follow(None), feed.follow(None));
        feed.publish(event(1));
        let (Next::Event(first), Next::Event(second)) = (one.next(), other.next()) else { panic!("an event each") };
        assert_eq!(first.written(|_| Bytes::from_static(b"x")), second.written(|_| unreachable!("written already")));
    }

    #[tokio::test]
    async fn nothing_is_slept_over() {
        let feed = Arc::new(Feed::new(1));
        let mut follower = feed.follow(None);
        feed.publish(event(1));
        assert!(follower.changed().await, "what happened before it waits wakes it too");
    }
}
