//! One service on one worker: what its sessions share. Everything in here belongs to one thread.

use super::{
    handle::{Ending, Handle},
    manners::Manners,
    outage::Outage,
    threads::Threads,
    witness::Witness,
};
use crate::{
    config::Service,
    model::{
        name::NodeAddress,
        route::{Mode, Target},
        signal::{Signal, StuckSession},
    },
    net::{ClientTls, Endpoint},
    proxy::{counters::Counters, desk::Desk},
    route::{Board, Gauge, View},
};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, Semaphore};

/// Sessions that can't move are shown up to this number.
const STUCK_SHOWN: usize = 20;
/// Connections to nodes that one worker opens at once for one service.
const OPENING: usize = 64;

/// What sessions may do now; computed when the view changes, so that a command costs one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Everything passes.
    Open,
    /// Nothing begins; what has begun goes on.
    Hold,
    /// Each command is looked at: it may have to be refused, or slowed down.
    Guarded,
}

/// One service on one worker.
pub struct Lane {
    /// The worker's index.
    pub worker: usize,
    /// What the worker's services share.
    pub desk: Rc<Desk>,
    /// The service's board.
    pub board: Arc<Board>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// The sessions of all workers, for `KILL`.
    pub threads: Arc<Threads>,
    view: RefCell<Arc<View>>,
    /// Grows with each view that changes where commands go.
    version: Cell<u64>,
    gate: Cell<Gate>,
    slow: Cell<Option<Duration>>,
    /// Since when commands can't be answered.
    pub outage: Outage,
    endpoints: RefCell<HashMap<NodeAddress, Rc<Endpoint>>>,
    node_tls: RefCell<Option<ClientTls>>,
    manners: RefCell<Option<Rc<Manners>>>,
    /// All sessions that have logged in.
    handles: RefCell<HashMap<u32, Rc<Handle>>>,
    /// Those with something open that only they can end.
    busy: RefCell<HashMap<u32, Rc<Handle>>>,
    parked: RefCell<Vec<Rc<Handle>>>,
    in_flight: Cell<u64>,
    backends: Cell<u64>,
    /// Told when the view has changed.
    pub changed: Notify,
    /// Wakes the steward before its time.
    pub attend: Notify,
    /// Bounds how many connections are opened at once.
    pub opening: Semaphore,
    /// Whether the process that is served lives.
    pub witness: Witness,
    first_parked: Cell<Option<Instant>>,
    stuck: RefCell<HashMap<u32, StuckSession>>,
}

impl Lane {
    /// A lane that follows `board`.
    pub fn new(
        worker: usize,
        desk: Rc<Desk>,
        board: Arc<Board>,
        counters: Arc<Counters>,
        threads: Arc<Threads>,
        tls: Option<ClientTls>,
    ) -> Rc<Self> {
        let view = board.view().clone();
        Rc::new(Self {
            worker,
            desk,
            board,
            counters,
            threads,
            version: Cell::new(1),
            gate: Cell::new(gate(&view)),
            slow: Cell::new(None),
            view: RefCell::new(view),
            outage: Outage::default(),
            endpoints: RefCell::default(),
            node_tls: RefCell::new(tls),
            manners: RefCell::default(),
            handles: RefCell::default(),
            busy: RefCell::default(),
            parked: RefCell::default(),
            in_flight: Cell::new(0),
            backends: Cell::new(0),
            changed: Notify::new(),
            attend: Notify::new(),
            opening: Semaphore::new(OPENING),
            witness: Witness::default(),
            first_parked: Cell::new(None),
            stuck: RefCell::default(),
        })
    }

    /// The view that this worker acts on: the last one that its steward took from the board.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// Takes the board's view.
    pub fn refresh(&self) -> Arc<View> {
        let view = self.board.view().clone();
        self.gate.set(gate(&view));
        self.slow.set(view.slow);
        *self.view.borrow_mut() = Arc::clone(&view);
        view
    }

    /// What a session compares with what it saw last: while it is the same, its node is where the route leads.
    pub fn version(&self) -> u64 {
        self.version.get()
    }

    /// Has every session look where the route leads.
    pub fn wake_all(&self) {
        self.version.set(self.version.get() + 1);
        self.changed.notify_waiters();
        self.handles.borrow().values().for_each(|handle| handle.wake());
    }

    /// Where a node is; kept, so that a resolver that fails later does no harm.
    pub fn endpoint(&self, node: &NodeAddress) -> Rc<Endpoint> {
        let mut endpoints = self.endpoints.borrow_mut();
        let fresh = || Rc::new(Endpoint::new(node.as_str(), self.node_tls.borrow().clone()));
        Rc::clone(endpoints.entry(node.clone()).or_insert_with(fresh))
    }

    /// Takes new TLS files for connections from now on.
    pub fn set_node_tls(&self, tls: Option<ClientTls>) {
        *self.node_tls.borrow_mut() = tls;
        self.endpoints.borrow_mut().clear();
    }

    /// How the routed node greets, once that is known.
    pub fn manners(&self) -> Option<Rc<Manners>> {
        self.manners.borrow().clone()
    }

    /// Notes how a node greeted: applications are greeted alike from now on.
    pub fn learn(&self, node: &NodeAddress, manners: Manners) {
        if self.target().is_some_and(|target| target.node == *node) || self.manners.borrow().is_none() {
            let mut known = self.manners.borrow_mut();
            if known.as_deref() != Some(&manners) {
                *known = Some(Rc::new(manners));
            }
        }
    }

    /// The service's settings.
    pub fn settings(&self) -> Arc<Service> {
        Arc::clone(&self.view.borrow().settings)
    }

    /// The route's mode.
    pub fn mode(&self) -> Mode {
        self.view.borrow().route.mode
    }

    /// Where commands go now; none while nothing may be sent.
    pub fn target(&self) -> Option<Target> {
        let view = self.view.borrow();
        match view.route.mode {
            Mode::Closed => None,
            _ => view.route.target.clone(),
        }
    }

    /// What sessions may do now.
    pub fn gate(&self) -> Gate {
        self.gate.get()
    }

    /// Changes what sessions may do, until the next view.
    pub fn set_gate(&self, gate: Gate) {
        self.gate.set(gate);
    }

    /// Notes a session that waits for the hold to end.
    pub fn park(&self, handle: &Rc<Handle>) {
        if !handle.parked.replace(true) {
            if self.first_parked.get().is_none() {
                self.first_parked.set(Some(Instant::now()));
            }
            self.parked.borrow_mut().push(Rc::clone(handle));
        }
    }

    /// Lets the sessions go that waited; says how long the first of them did.
    pub fn unpark(&self) -> Duration {
        for handle in self.parked.take() {
            handle.parked.set(false);
            handle.wake();
        }
        self.first_parked.take().map_or(Duration::ZERO, |first| first.elapsed())
    }

    /// The node refused a command for its role or state.
    pub fn wrong_role(&self, node: &NodeAddress) {
        if self.outage.refused() {
            self.report(Signal::WrongRole, node);
        }
    }

    /// The node lets somebody in: unless it refuses commands, the outage is over.
    pub fn is_well(&self) {
        if self.mode() != Mode::Hold && !self.outage.is_wrong_role() {
            self.outage.ended();
        }
    }

    /// An outage that nobody feels any more is over.
    pub fn look_at_outage(&self) {
        if !self.outage.is_felt() {
            self.is_well();
        }
    }

    /// True when commands have waited for as long as they may.
    pub fn is_run_out(&self) -> bool {
        self.outage.lasts().is_some_and(|lasts| lasts > self.view.borrow().settings.failover.hold_timeout)
    }

    /// True when the route leads to that node.
    pub fn leads_to(&self, node: &NodeAddress) -> bool {
        let view = self.view.borrow();
        view.route.mode != Mode::Closed && view.route.target.as_ref().is_some_and(|target| target.node == *node)
    }

    /// True while a failover leaves the process that was served: what it still answers counts for nobody.
    pub fn serves_nobody(&self) -> bool {
        self.view.borrow().process.as_deref() == Some("")
    }

    /// How long a write has to wait before it is sent, while a switch is approached and the standby is behind.
    pub fn pause(&self) -> Option<Duration> {
        self.slow.get()
    }

    /// This worker's gauge.
    pub fn gauge(&self) -> &Gauge {
        self.board.gauge(self.worker)
    }

    /// Reports a signal about a node.
    pub fn report(&self, signal: impl FnOnce(NodeAddress) -> Signal, node: &NodeAddress) {
        self.board.report(signal(node.clone()));
    }

    /// A session has logged in.
    pub fn enter(&self, handle: &Rc<Handle>) {
        self.handles.borrow_mut().insert(handle.id(), Rc::clone(handle));
    }

    /// A session has ended.
    pub fn leave(&self, handle: &Handle) {
        let id = handle.id();
        self.ended(handle);
        self.handles.borrow_mut().remove(&id);
        self.busy.borrow_mut().remove(&id);
        self.parked.borrow_mut().retain(|parked| parked.id() != id);
        self.set_stuck(id, None);
        self.quiet();
    }

    /// Every session, for the steward's rounds.
    pub fn for_each(&self, mut act: impl FnMut(&Rc<Handle>)) {
        self.handles.borrow().values().for_each(&mut act);
    }

    /// Every session with something open that only it can end.
    pub fn for_each_busy(&self, mut act: impl FnMut(&Rc<Handle>)) {
        self.busy.borrow().values().for_each(&mut act);
    }

    /// Notes that a session has something open (a transaction?), or no more. Returns true if it has no more.
    pub fn set_busy(&self, handle: &Rc<Handle>, busy: bool, transaction: bool) -> bool {
        if busy || handle.busy_for().is_some() {
            handle.set_idle(busy && transaction);
        }
        let changed = handle.set_busy(busy);
        if changed && busy {
            self.busy.borrow_mut().insert(handle.id(), Rc::clone(handle));
        } else if changed {
            self.busy.borrow_mut().remove(&handle.id());
            self.quiet();
        }
        changed && !busy
    }

    /// Ends all sessions: now, or when nothing is under way in them.
    pub fn end_sessions(&self, now: bool) {
        let when = if now { Ending::Now } else { Ending::AtSafePoint };
        self.handles.borrow().values().for_each(|handle| handle.end(when));
    }

    /// A command of this session was sent.
    pub fn began(&self, handle: &Handle) {
        if !handle.in_flight.replace(true) {
            self.in_flight.set(self.in_flight.get() + 1);
        }
    }

    /// It was answered, or never will be.
    pub fn ended(&self, handle: &Handle) {
        if handle.in_flight.replace(false) {
            self.in_flight.set(self.in_flight.get().saturating_sub(1));
            self.quiet();
        }
    }

    /// In a hold this may have been the last one.
    fn quiet(&self) {
        if self.gate.get() == Gate::Hold && self.is_drained() {
            self.attend.notify_one();
        }
    }

    /// True when nothing is in flight and nothing is open.
    pub fn is_drained(&self) -> bool {
        self.in_flight.get() == 0 && self.busy.borrow().is_empty()
    }

    /// A connection to a node was opened or closed.
    pub fn count_backend(&self, more: bool) {
        let count = self.backends.get();
        self.backends.set(if more { count + 1 } else { count.saturating_sub(1) });
    }

    /// Notes, or forgets, why a session can't move.
    pub fn set_stuck(&self, id: u32, session: Option<StuckSession>) {
        let mut stuck = self.stuck.borrow_mut();
        let changed = match session {
            Some(session) if stuck.get(&id) == Some(&session) => false,
            Some(session) => {
                stuck.insert(id, session);
                true
            }
            None => stuck.remove(&id).is_some(),
        };
        if changed {
            self.gauge().stuck.store(stuck.len() as u64, Relaxed);
            self.board.set_stuck(self.worker, stuck.values().take(STUCK_SHOWN).cloned().collect());
        }
    }

    /// Publishes counts that are cheaper to gather than to keep.
    pub fn publish_counts(&self) {
        let gauge = self.gauge();
        gauge.in_flight.store(self.in_flight.get() + self.busy.borrow().len() as u64, Relaxed);
        gauge.clients.store(self.handles.borrow().len() as u64, Relaxed);
        gauge.pinned_upstreams.store(self.backends.get(), Relaxed);
        gauge.held.store(self.parked.borrow().len() as u64, Relaxed);
    }
}

fn gate(view: &View) -> Gate {
    match view.route.mode {
        Mode::Open if view.route.target.is_some() => Gate::Open,
        Mode::Hold => Gate::Hold,
        _ => Gate::Guarded,
    }
}
