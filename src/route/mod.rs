//! The board: one route a service that readers see by one atomic load, and the mailbox of what workers report.
//!
//! Down: control publishes a [`View`]; workers load it before they send, and are woken when it changes. Up: workers send
//! [`Signal`]s through a bounded mailbox and keep gauges that control reads. It never decides, never blocks a worker.

mod pause;

pub use pause::Pause;

use crate::{
    config::Service,
    model::{
        observation::Peer,
        route::{Readying, Route, Target},
        signal::{Signal, StuckSession},
    },
};
use arc_swap::{ArcSwap, Guard};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::{mpsc, watch};

/// How many signals may wait for control; more are dropped, since a probe finds out what they would have told.
const MAILBOX: usize = 1024;

/// What workers act on. Replaced whole, so that a reader never sees half a change.
#[derive(Clone, Debug)]
pub struct View {
    /// Where traffic goes.
    pub route: Route,
    /// The server process that may be served there: another one that answers at the same address may be empty. `None` where
    /// nobody judges that (roles are somebody else's, or the server doesn't say). Empty: none may, and what was sent to the one
    /// before gets no answer any more, since it is being left.
    pub process: Option<Arc<str>>,
    /// Where it will go, while a switch is under way.
    pub next: Option<(Target, Readying)>,
    /// Cut sessions that can't move, because the operator said so.
    pub cut_sessions: bool,
    /// Each write waits so long before it is sent: the next node doesn't catch up otherwise, and a short pause for each is less than a
    /// long hold for all. Where the data path has no such pause it is ignored.
    pub slow: Option<Duration>,
    /// Where clusters serve as a whole: every node of every cluster, as last probed. Else empty.
    pub peers: Arc<[Peer]>,
    /// Limits, denied commands and time-outs; replaced by a reload.
    pub settings: Arc<Service>,
}

impl View {
    /// A route with nothing under way.
    pub fn new(route: Route, settings: Arc<Service>) -> Self {
        Self { route, process: None, next: None, cut_sessions: false, slow: None, peers: Arc::default(), settings }
    }
}

/// Counts of one worker for one service. The worker alone writes; control and the metrics page read.
#[derive(Debug, Default)]
pub struct Gauge {
    /// Applications' connections.
    pub clients: AtomicU64,
    /// Upstreams that many clients share.
    pub shared_upstreams: AtomicU64,
    /// Upstreams of one client each.
    pub pinned_upstreams: AtomicU64,
    /// Requests that wait in a hold.
    pub held: AtomicU64,
    /// Requests sent and not yet answered.
    pub in_flight: AtomicU64,
    /// Sessions that can't move now.
    pub stuck: AtomicU64,
}

/// One service's board; a service with a read port has a second one for it.
#[derive(Debug)]
pub struct Board {
    /// Whether the routed node keeps writes waiting because an application has told it to.
    pub pause: Pause,
    /// True for the board of a service's read port: a node that refuses writes for its role is what it should be there.
    pub reads: bool,
    view: ArcSwap<View>,
    changed: watch::Sender<()>,
    mailbox: mpsc::Sender<Signal>,
    gauges: Vec<Gauge>,
    stuck: Vec<ArcSwap<Vec<StuckSession>>>,
}

impl Board {
    /// A board for `workers` workers, and the mailbox's other end for control.
    pub fn new(view: View, workers: usize) -> (Arc<Self>, mpsc::Receiver<Signal>) {
        Self::make(view, workers, false)
    }

    /// The same for the read port of a service.
    pub fn for_reads(view: View, workers: usize) -> (Arc<Self>, mpsc::Receiver<Signal>) {
        Self::make(view, workers, true)
    }

    fn make(view: View, workers: usize, reads: bool) -> (Arc<Self>, mpsc::Receiver<Signal>) {
        let (mailbox, signals) = mpsc::channel(MAILBOX);
        let board = Self {
            pause: Pause::default(),
            reads,
            view: ArcSwap::from_pointee(view),
            changed: watch::Sender::new(()),
            mailbox,
            gauges: (0..workers).map(|_| Gauge::default()).collect(),
            stuck: (0..workers).map(|_| ArcSwap::default()).collect(),
        };
        (Arc::new(board), signals)
    }

    /// The view now: one atomic load.
    pub fn view(&self) -> Guard<Arc<View>> {
        self.view.load()
    }

    /// Replaces the view and wakes the workers. Only control calls it.
    pub fn publish(&self, view: View) {
        debug_assert!(view.route.epoch >= self.view.load().route.epoch, "an epoch never goes backward");
        if view.route.target != self.view.load().route.target {
            // It was the other node that was told.
            self.pause.end();
        }
        self.view.store(Arc::new(view));
        self.changed.send_replace(());
    }

    /// Resolves each time the view changed.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Reports a signal; returns false if the mailbox is full.
    pub fn report(&self, signal: Signal) -> bool {
        self.mailbox.try_send(signal).is_ok()
    }

    /// The gauge of one worker.
    ///
    /// # Panics
    /// If there are not so many workers: the number is fixed when the process starts.
    pub fn gauge(&self, worker: usize) -> &Gauge {
        &self.gauges[worker]
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.gauges.len()
    }

    /// The sum of one count over the workers.
    pub fn sum(&self, count: impl Fn(&Gauge) -> &AtomicU64) -> u64 {
        self.gauges.iter().map(|gauge| count(gauge).load(Relaxed)).sum()
    }

    /// Says which sessions of a worker can't move; a bounded list (the count in the gauge is exact).
    ///
    /// # Panics
    /// If there are not so many workers.
    pub fn set_stuck(&self, worker: usize, sessions: Vec<StuckSession>) {
        self.stuck[worker].store(Arc::new(sessions));
    }

    /// The sessions that can't move, of all workers.
    pub fn stuck(&self) -> Vec<StuckSession> {
        self.stuck.iter().flat_map(|sessions| sessions.load().iter().cloned().collect::<Vec<_>>()).collect()
    }
}
