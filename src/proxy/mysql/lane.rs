//! One service on one worker: what its sessions share. Everything in here belongs to one thread.

use super::{
    handle::{Ending, Handle},
    manners::Manners,
    outage::Outage,
    threads::Threads,
    witness::Witness,
};
use crate::{
    model::{name::NodeAddress, route::Mode, signal::Signal},
    net::ClientTls,
    proxy::{counters::Counters, desk::Desk, seat::Seat},
    route::{Board, View},
};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, Semaphore};

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
    /// Its place at the service's board.
    pub seat: Seat,
    /// What the worker's services share.
    pub desk: Rc<Desk>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// The sessions of all workers, for `KILL`.
    pub threads: Arc<Threads>,
    /// Grows with each view that changes where commands go.
    version: Cell<u64>,
    gate: Cell<Gate>,
    slow: Cell<Option<Duration>>,
    /// Since when commands can't be answered.
    pub outage: Outage,
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
        let seat = Seat::new(worker, board, tls);
        let gate = seat.look(gate);
        Rc::new(Self {
            seat,
            desk,
            counters,
            threads,
            version: Cell::new(1),
            gate: Cell::new(gate),
            slow: Cell::new(None),
            outage: Outage::default(),
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
        })
    }

    /// Takes the board's view.
    pub fn refresh(&self) -> Arc<View> {
        let view = self.seat.refresh();
        self.gate.set(gate(&view));
        self.slow.set(view.slow);
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

    /// How the routed node greets, once that is known.
    pub fn manners(&self) -> Option<Rc<Manners>> {
        self.manners.borrow().clone()
    }

    /// Notes how a node greeted: applications are greeted alike from now on.
    pub fn learn(&self, node: &NodeAddress, manners: Manners) {
        if self.seat.target().is_some_and(|target| target.node == *node) || self.manners.borrow().is_none() {
            let mut known = self.manners.borrow_mut();
            if known.as_deref() != Some(&manners) {
                *known = Some(Rc::new(manners));
            }
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
            self.seat.report(Signal::WrongRole, node);
        }
    }

    /// The node lets somebody in: unless it refuses commands, the outage is over.
    pub fn is_well(&self) {
        if self.seat.mode() != Mode::Hold && !self.outage.is_wrong_role() {
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
        let most = self.seat.look(|view| view.settings.failover.hold_timeout);
        self.outage.lasts().is_some_and(|lasts| lasts > most)
    }

    /// How long a write has to wait before it is sent, while a switch is approached and the standby is behind.
    pub fn pause(&self) -> Option<Duration> {
        self.slow.get()
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
        self.seat.set_stuck(id.into(), None);
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

    /// Publishes counts that are cheaper to gather than to keep.
    pub fn publish_counts(&self) {
        let gauge = self.seat.gauge();
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
