//! The stream of events that operators' tools follow: numbered, with the last few remembered.
//!
//! Inputs: events from the drivers. Outputs: followers, each of which is a place in the one ring and holds no event itself, so that a
//! thousand of them, slow ones among them, cost what the ring costs. Bounded: a follower that is too slow finds a gap and reads the
//! services anew. Of a service only its newest state is told: who follows wants to know how it is, not how it was.

use crate::model::{group::GroupView, name::ServiceName, operation::Operation, record::Record, view::ServiceView};
use bytes::{Bytes, BytesMut};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::sync::watch;

/// How many events are remembered: for followers that come back, and as far as a slow one may be behind.
const REMEMBERED: usize = 1024;
/// How many bytes of events are joined before a follower is given them; the last one may go beyond. A connection holds a few such pieces of
/// one that doesn't read.
const PIECE: usize = 8 * 1024;

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
#[derive(Debug)]
struct Numbered {
    id: u64,
    event: Event,
    /// As it is sent: written for the first follower that comes to it, and the same bytes for all others.
    written: Option<Bytes>,
}

/// Writes an event with its id (for `Last-Event-ID`) as it is sent.
pub type Write = fn(u64, &Event) -> Bytes;

/// What a follower finds.
#[derive(Clone, Debug)]
pub enum Next {
    /// The next events, as they are sent.
    Events(Bytes),
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
    /// The next events that it didn't see, joined: followers at the same place share the bytes. Never waits. All followers write alike.
    pub fn next(&mut self, write: Write) -> Next {
        let (next, seen) = self.feed.after(self.seen, write);
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
    #[expect(clippy::disallowed_types, reason = "never on the data path; held for one push or to join a few events")]
    ring: std::sync::Mutex<Ring>,
    newest: watch::Sender<u64>,
}

struct Ring {
    next: u64,
    events: VecDeque<Numbered>,
    /// The newest event of each service that the ring holds.
    latest: HashMap<ServiceName, u64>,
    /// What was given to the follower that asked last, until the next event: those who are woken with it are at the same place.
    joined: Option<Joined>,
}

/// Events behind the one with the id `after`, up to and with `through`, as they are sent.
struct Joined {
    after: u64,
    through: u64,
    bytes: Bytes,
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
    fn is_outdated(latest: &HashMap<ServiceName, u64>, numbered: &Numbered) -> bool {
        match &numbered.event {
            Event::Service(view) => latest.get(&view.name).is_some_and(|latest| *latest > numbered.id),
            Event::Operation(_) | Event::Group(_) | Event::Journal(_) => false,
        }
    }

    /// Joins a piece of what comes after one that the ring still tells the place of.
    fn join(&mut self, after: u64, oldest: u64, write: Write) -> Joined {
        // Ids have no gaps, so that an id tells its place.
        let skip = usize::try_from(after + 1 - oldest).unwrap_or(usize::MAX);
        let (mut bytes, mut through) = (BytesMut::new(), after);
        for numbered in self.events.iter_mut().skip(skip) {
            if bytes.len() >= PIECE {
                break;
            }
            through = numbered.id;
            if !Self::is_outdated(&self.latest, numbered) {
                let Numbered { id, event, written } = numbered;
                bytes.extend_from_slice(written.get_or_insert_with(|| write(*id, event)));
            }
        }
        Joined { after, through, bytes: bytes.freeze() }
    }
}

impl Feed {
    /// A feed whose ids begin at `first`: the start's wall time in microseconds, so that ids grow over restarts.
    #[expect(clippy::disallowed_types, reason = "see the field")]
    pub(super) fn new(first: u64) -> Self {
        let ring =
            Ring { next: first, events: VecDeque::with_capacity(REMEMBERED), latest: HashMap::new(), joined: None };
        Self { ring: std::sync::Mutex::new(ring), newest: watch::Sender::new(first) }
    }

    /// Numbers an event, remembers it and wakes the followers.
    pub(super) fn publish(&self, event: Event) {
        let mut ring = self.ring.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let numbered = Numbered { id: ring.next, event, written: None };
        ring.next += 1;
        if ring.events.len() == REMEMBERED {
            ring.forget_oldest();
        }
        if let Event::Service(view) = &numbered.event {
            ring.latest.insert(view.name.clone(), numbered.id);
        }
        ring.events.push_back(numbered);
        ring.joined = None;
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
    fn after(&self, seen: u64, write: Write) -> (Next, u64) {
        let mut ring = self.ring.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let last = ring.next.saturating_sub(1);
        let oldest = ring.events.front().map_or(ring.next, |event| event.id);
        if seen > last || seen.saturating_add(1) < oldest {
            return (Next::Gap, last);
        }
        if seen == last {
            return (Next::Nothing, last);
        }
        let known = ring.joined.take().filter(|joined| joined.after == seen);
        // Never empty: the newest event is never outdated.
        let joined = known.unwrap_or_else(|| ring.join(seen, oldest, write));
        let found = (Next::Events(joined.bytes.clone()), joined.through);
        ring.joined = Some(joined);
        found
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

    fn write(id: u64, _: &Event) -> Bytes {
        format!("{id} ").into()
    }

    /// What it finds until there is nothing.
    fn pieces(follower: &mut Follower, write: Write) -> Vec<Bytes> {
        std::iter::from_fn(|| match follower.next(write) {
            Next::Events(bytes) => Some(bytes),
            Next::Gap => Some(Bytes::from_static(b"0")),
            Next::Nothing => None,
        })
        .collect()
    }

    /// The ids that it finds until there is nothing; a gap is 0.
    fn ids(follower: &mut Follower) -> Vec<u64> {
        let text = String::from_utf8(pieces(follower, write).concat()).expect("numbers");
        text.split_whitespace().map(|id| id.parse().expect("a number")).collect()
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
    fn an_event_is_written_once_for_all_and_those_at_one_place_share_the_bytes() {
        let feed = Arc::new(Feed::new(1));
        let mut early = feed.follow(None);
        feed.publish(event(1));
        let [mut one, mut other] = [feed.follow(Some(1)), feed.follow(Some(1))];
        assert_eq!(ids(&mut early), [1]);
        feed.publish(event(2));
        let written_once: Write = |_, _| unreachable!("written already");
        let shared = pieces(&mut one, write);
        let same = pieces(&mut other, written_once);
        assert_eq!(shared, ["2 "]);
        assert_eq!(same[0].as_ptr(), shared[0].as_ptr(), "not a copy of it");
        assert_eq!(pieces(&mut early, written_once), ["2 "]);
        assert_eq!(pieces(&mut feed.follow(Some(0)), written_once), ["1 2 "]);
        feed.publish(event(3));
        assert_eq!(pieces(&mut feed.follow(Some(0)), write), ["1 2 3 "], "what is shared has the newest too");
    }

    #[test]
    fn much_comes_in_pieces() {
        let feed = Arc::new(Feed::new(1));
        let large: Write = |_, _| Bytes::from(vec![b'x'; PIECE - 1]);
        let mut follower = feed.follow(None);
        for n in 0..3 {
            feed.publish(event(n));
        }
        let lengths: Vec<_> = pieces(&mut follower, large).iter().map(Bytes::len).collect();
        assert_eq!(lengths, [2 * (PIECE - 1), PIECE - 1]);
    }

    #[tokio::test]
    async fn nothing_is_slept_over() {
        let feed = Arc::new(Feed::new(1));
        let mut follower = feed.follow(None);
        feed.publish(event(1));
        assert!(follower.changed().await, "what happened before it waits wakes it too");
    }
}
