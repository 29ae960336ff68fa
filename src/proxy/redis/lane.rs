//! One service on one worker: what its sessions and upstreams share. Everything in here belongs to one thread.

use super::{client::Client, pool::Pool, shared::{Key, Shared}};
use crate::{
    config::Service,
    model::{
        name::NodeAddress,
        route::{Epoch, Mode, Target},
        signal::Signal,
    },
    protocol::redis::command::DenyList,
    proxy::counters::Counters,
    route::{Board, Gauge, View},
};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Waker,
    time::Instant,
};

/// Bytes that one read takes from an application at most.
pub const SCRATCH: usize = 64 * 1024;

/// What all services of one worker share.
pub struct Turn {
    /// Where applications' bytes are read into; borrowed for one synchronous step at a time.
    pub scratch: RefCell<Box<[u8]>>,
    /// Spare buffers.
    pub pool: Rc<Pool>,
    /// Upstreams with bytes that nobody has tried to send in this turn.
    dirty: RefCell<Vec<Rc<Shared>>>,
    /// The task that sends them when every ready session has had its turn.
    flusher: RefCell<Option<Waker>>,
    started: Instant,
    now_us: Cell<u32>,
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            scratch: RefCell::new(vec![0; SCRATCH].into_boxed_slice()),
            pool: Rc::default(),
            dirty: RefCell::default(),
            flusher: RefCell::default(),
            started: Instant::now(),
            now_us: Cell::new(0),
        }
    }
}

impl Turn {
    /// Reads the clock, once a turn; in microseconds, and it wraps: only differences mean something.
    #[expect(clippy::cast_possible_truncation, reason = "wraps on purpose")]
    pub fn tick(&self) -> u32 {
        let now = self.started.elapsed().as_micros() as u32;
        self.now_us.set(now);
        now
    }

    /// The clock as last read.
    pub fn now_us(&self) -> u32 {
        self.now_us.get()
    }

    /// Has the upstream flushed at the end of this turn.
    pub fn mark_dirty(&self, upstream: Rc<Shared>) {
        let mut dirty = self.dirty.borrow_mut();
        if dirty.is_empty() {
            self.tick();
            if let Some(flusher) = &*self.flusher.borrow() {
                flusher.wake_by_ref();
            }
        }
        dirty.push(upstream);
    }

    /// Sends what was gathered; runs for as long as the worker.
    pub async fn flush_forever(self: Rc<Self>) {
        std::future::poll_fn(|cx| {
            let mut flusher = self.flusher.borrow_mut();
            if !flusher.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                *flusher = Some(cx.waker().clone());
            }
            drop(flusher);
            // Flushing marks nothing as dirty, so that the borrow may last.
            for upstream in self.dirty.borrow_mut().drain(..) {
                upstream.flush();
            }
            std::task::Poll::<()>::Pending
        })
        .await;
    }
}

/// One service on one worker.
pub struct Lane {
    /// The worker's index.
    pub worker: usize,
    /// What the worker's services share.
    pub turn: Rc<Turn>,
    /// The service's board.
    pub board: Arc<Board>,
    /// What is counted.
    pub counters: Arc<Counters>,
    view: RefCell<Arc<View>>,
    deny: RefCell<Rc<DenyList>>,
    /// Shared upstreams by what they are logged in as.
    pub shared: RefCell<HashMap<Key, Rc<Shared>>>,
    /// Sessions that wait for the hold to end.
    pub parked: RefCell<Vec<Rc<Client>>>,
    /// Sessions with an upstream of their own, which have to act when the route moves.
    pub pinned: RefCell<HashMap<u64, Rc<Client>>>,
    /// Requests sent on pinned upstreams and not answered, blocked readers left out.
    pub pinned_in_flight: Cell<u64>,
    next_id: Cell<u64>,
}

impl Lane {
    /// A lane that follows `board`.
    pub fn new(worker: usize, turn: Rc<Turn>, board: Arc<Board>, counters: Arc<Counters>) -> Rc<Self> {
        let view = board.view().clone();
        let deny = deny_list(&view.settings);
        Rc::new(Self {
            worker,
            turn,
            board,
            counters,
            view: RefCell::new(view),
            deny: RefCell::new(Rc::new(deny)),
            shared: RefCell::default(),
            parked: RefCell::default(),
            pinned: RefCell::default(),
            pinned_in_flight: Cell::new(0),
            next_id: Cell::new(0),
        })
    }

    /// The view that this worker acts on: the last one that its steward took from the board.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// Takes the board's view.
    pub fn refresh(&self) -> Arc<View> {
        let view = self.board.view().clone();
        if !Arc::ptr_eq(&view.settings, &self.view.borrow().settings) {
            *self.deny.borrow_mut() = Rc::new(deny_list(&view.settings));
        }
        *self.view.borrow_mut() = Arc::clone(&view);
        view
    }

    /// What applications may not send.
    pub fn deny(&self) -> Rc<DenyList> {
        Rc::clone(&self.deny.borrow())
    }

    /// The service's settings.
    pub fn settings(&self) -> Arc<Service> {
        Arc::clone(&self.view.borrow().settings)
    }

    /// The route's mode.
    pub fn mode(&self) -> Mode {
        self.view.borrow().route.mode
    }

    /// The route's epoch.
    pub fn epoch(&self) -> Epoch {
        self.view.borrow().route.epoch
    }

    /// Where requests go now; none while nothing may be sent.
    pub fn target(&self) -> Option<Target> {
        let view = self.view.borrow();
        match view.route.mode {
            Mode::Closed => None,
            _ => view.route.target.clone(),
        }
    }

    /// Bytes that one slow reader may keep here.
    pub fn client_buffer(&self) -> usize {
        self.view.borrow().settings.client_buffer
    }

    /// This worker's gauge.
    pub fn gauge(&self) -> &Gauge {
        self.board.gauge(self.worker)
    }

    /// Reports a signal about a node.
    pub fn report(&self, signal: impl FnOnce(NodeAddress) -> Signal, node: &NodeAddress) {
        self.board.report(signal(node.clone()));
    }

    /// A number that no other session of this lane has.
    pub fn next_id(&self) -> u64 {
        self.next_id.replace(self.next_id.get() + 1)
    }

    /// Publishes counts that are cheaper to gather than to keep.
    pub fn publish_counts(&self) {
        let in_flight: u64 = self.shared.borrow().values().map(|upstream| upstream.in_flight()).sum();
        let gauge = self.gauge();
        gauge.in_flight.store(in_flight + self.pinned_in_flight.get(), Relaxed);
        gauge.shared_upstreams.store(self.shared.borrow().values().filter(|one| one.is_up()).count() as u64, Relaxed);
        gauge.held.store(self.parked.borrow().len() as u64, Relaxed);
    }
}

/// The configured list; `config` is checked before it gets here, so an unknown name can't occur: the default then stays.
fn deny_list(settings: &Service) -> DenyList {
    settings.deny.as_ref().and_then(|names| DenyList::parse(names).ok()).unwrap_or_default()
}
