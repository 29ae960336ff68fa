//! One service on one worker: what its sessions and upstreams share. Everything in here belongs to one thread.

use super::{
    backlog::Backlog,
    client::{Client, Ready},
    door::Door,
    outage::Clocks,
    shared::Shared,
    spare::Spares,
    turn::Turn,
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
    protocol::redis::command::{DenyList, pause_length},
    proxy::counters::Counters,
    route::{Board, Gauge, View},
};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Sessions that can't move are shown up to this number.
const STUCK_SHOWN: usize = 20;

/// What sessions may do now; computed when the view changes, so that a command costs one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Everything passes.
    Open,
    /// Nothing is read.
    Hold,
    /// Each request is looked at: it may have to be refused.
    Guarded,
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
    gate: Cell<Gate>,
    /// The clocks of an outage.
    pub clocks: Clocks,
    endpoints: RefCell<HashMap<NodeAddress, Rc<Endpoint>>>,
    node_tls: RefCell<Option<ClientTls>>,
    deny: RefCell<Rc<DenyList>>,
    /// Shared upstreams by what they are logged in as.
    pub shared: RefCell<Vec<Rc<Shared>>>,
    /// Pinned upstreams that nobody uses now.
    pub spares: Spares,
    /// Whether the server lets in who says no password.
    pub door: Door,
    /// Which process is at the node, for users who may not ask.
    pub witness: Witness,
    /// Clients with more waiting than fits their buffers.
    pub backlog: Backlog,
    /// Sessions that wait for the hold to end.
    pub parked: RefCell<Vec<Rc<Client>>>,
    /// All sessions.
    clients: RefCell<HashMap<u64, Rc<Client>>>,
    /// Sessions with an upstream of their own, which have to act when the route moves.
    pub pinned: RefCell<HashMap<u64, Rc<Client>>>,
    /// True while the node seems to keep writes waiting, and nothing else.
    pub writes_stopped: Cell<bool>,
    /// Told when the view has changed.
    pub changed: Notify,
    /// Wakes the steward before its time.
    pub attend: Notify,
    /// When the first request was parked in this hold.
    first_parked: Cell<Option<Instant>>,
    /// Sessions that can't move, and why.
    stuck: RefCell<HashMap<u64, StuckSession>>,
    next_id: Cell<u64>,
}

impl Lane {
    /// A lane that follows `board`.
    pub fn new(
        worker: usize,
        turn: Rc<Turn>,
        board: Arc<Board>,
        counters: Arc<Counters>,
        tls: Option<ClientTls>,
    ) -> Rc<Self> {
        let view = board.view().clone();
        let deny = deny_list(&view.settings);
        Rc::new(Self {
            worker,
            turn,
            board,
            counters,
            gate: Cell::new(gate(&view)),
            clocks: Clocks::default(),
            view: RefCell::new(view),
            spares: Spares::default(),
            endpoints: RefCell::default(),
            node_tls: RefCell::new(tls),
            deny: RefCell::new(Rc::new(deny)),
            shared: RefCell::default(),
            door: Door::default(),
            witness: Witness::default(),
            backlog: Backlog::default(),
            parked: RefCell::default(),
            clients: RefCell::default(),
            pinned: RefCell::default(),
            writes_stopped: Cell::new(false),
            changed: Notify::new(),
            attend: Notify::new(),
            first_parked: Cell::new(None),
            stuck: RefCell::default(),
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
        self.gate.set(gate(&view));
        *self.view.borrow_mut() = Arc::clone(&view);
        view
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

    /// Where requests go now; none while nothing may be sent.
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

    /// The node has accepted a `CLIENT PAUSE` or `CLIENT UNPAUSE`. One that is only queued is taken for done: at worst writes have
    /// upstreams of their own for nothing.
    pub fn note_pause(&self, request: &[u8]) {
        match pause_length(request) {
            Some(length) => self.board.pause.begin(length),
            None => self.board.pause.end(),
        }
    }

    /// True while a write may keep its upstream waiting for long.
    pub fn pauses_writes(&self) -> bool {
        self.board.pause.is_on() || self.writes_stopped.get()
    }

    /// Notes a session that waits for the hold to end.
    pub fn park(&self, client: &Rc<Client>) {
        if !client.is_parked(true) {
            if self.first_parked.get().is_none() {
                self.first_parked.set(Some(Instant::now()));
            }
            self.parked.borrow_mut().push(Rc::clone(client));
        }
    }

    /// Wakes the sessions that waited; says how long the first of them did.
    pub fn unpark(&self) -> Duration {
        for client in self.parked.take() {
            client.is_parked(false);
            client.wake();
        }
        self.first_parked.take().map_or(Duration::ZERO, |first| first.elapsed())
    }

    /// True when the route leads to that node, and to the process on it.
    pub fn leads_to(&self, node: &NodeAddress, process: Option<&str>) -> bool {
        // Asked for each command on a pinned upstream: nothing is cloned.
        let view = self.view.borrow();
        let there = view.route.target.as_ref().is_some_and(|target| target.node == *node);
        there && view.route.mode != Mode::Closed && self.serves(process)
    }

    /// True for the process that is served, or when nobody judges that.
    pub fn serves(&self, process: Option<&str>) -> bool {
        let view = self.view.borrow();
        view.process.is_none() || view.process.as_deref() == process
    }

    /// True while a failover leaves the process that was served: what it still answers counts for nobody.
    pub fn serves_nobody(&self) -> bool {
        self.view.borrow().process.as_deref() == Some("")
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

    /// A session has begun.
    pub fn enter(&self, id: u64, client: &Rc<Client>) {
        self.clients.borrow_mut().insert(id, Rc::clone(client));
    }

    /// A session has ended.
    pub fn leave(&self, id: u64) {
        self.clients.borrow_mut().remove(&id);
        self.pinned.borrow_mut().remove(&id);
        self.set_stuck(id, None);
    }

    /// Ends all sessions: now, or when what they are owed was delivered.
    pub fn end_sessions(&self, now: bool) {
        for client in self.clients.borrow().values() {
            if now { client.close() } else { client.end() }
        }
    }

    /// Ends the sessions that used this upstream last: its server doesn't let them in any more.
    pub fn end_sessions_of(&self, shared_id: usize) {
        for client in self.clients.borrow().values().filter(|client| client.shared_id() == shared_id) {
            client.end();
        }
    }

    /// Replies came: in a hold this may have been the last one.
    pub fn quiet(&self) {
        if self.mode() == Mode::Hold && self.in_flight() == 0 {
            self.attend.notify_one();
        }
    }

    /// Requests that were sent and not answered, blocked readers left out.
    pub fn in_flight(&self) -> u64 {
        let shared: u64 = self.shared.borrow().iter().map(|upstream| upstream.sent()).sum();
        let pinned: usize = self.pinned.borrow().values().map(|client| client.pinned_in_flight()).sum();
        shared + pinned as u64
    }

    /// Pinned sessions that have less than this ready for a move.
    pub fn lagging(&self, ready: Ready) -> usize {
        self.pinned.borrow().values().filter(|client| client.ready() < ready).count()
    }

    /// Wakes every session that has an upstream of its own.
    pub fn wake_pinned(&self) {
        self.pinned.borrow().values().for_each(|client| client.wake());
    }

    /// Notes, or forgets, why a session can't move.
    pub fn set_stuck(&self, id: u64, session: Option<StuckSession>) {
        let mut stuck = self.stuck.borrow_mut();
        let changed = match session {
            Some(session) => stuck.insert(id, session).is_none(),
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
        gauge.in_flight.store(self.in_flight(), Relaxed);
        gauge.shared_upstreams.store(self.shared.borrow().iter().filter(|one| one.is_up()).count() as u64, Relaxed);
        gauge.clients.store(self.clients.borrow().len() as u64, Relaxed);
        gauge.pinned_upstreams.store((self.pinned.borrow().len() + self.spares.len()) as u64, Relaxed);
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

/// The configured list; `config` is checked before it gets here, so an unknown name can't occur: the default then stays.
fn deny_list(settings: &Service) -> DenyList {
    settings.deny.as_ref().and_then(|names| DenyList::parse(names).ok()).unwrap_or_default()
}
