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
    model::{name::NodeAddress, route::Mode},
    net::ClientTls,
    protocol::redis::command::{DenyList, pause_length},
    proxy::{counters::Counters, seat::Seat},
    route::{Board, View},
};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

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
    /// Its place at the service's board.
    pub seat: Seat,
    /// What the worker's services share.
    pub turn: Rc<Turn>,
    /// What is counted.
    pub counters: Arc<Counters>,
    gate: Cell<Gate>,
    /// The clocks of an outage.
    pub clocks: Clocks,
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
        let seat = Seat::new(worker, board, tls);
        let (deny, gate) = seat.look(|view| (deny_list(&view.settings), gate(view)));
        Rc::new(Self {
            seat,
            turn,
            counters,
            gate: Cell::new(gate),
            clocks: Clocks::default(),
            spares: Spares::default(),
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
            next_id: Cell::new(0),
        })
    }

    /// Takes the board's view.
    pub fn refresh(&self) -> Arc<View> {
        let before = self.seat.settings();
        let view = self.seat.refresh();
        if !Arc::ptr_eq(&view.settings, &before) {
            *self.deny.borrow_mut() = Rc::new(deny_list(&view.settings));
        }
        self.gate.set(gate(&view));
        view
    }

    /// What applications may not send.
    pub fn deny(&self) -> Rc<DenyList> {
        Rc::clone(&self.deny.borrow())
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
            Some(length) => self.seat.board.pause.begin(length),
            None => self.seat.board.pause.end(),
        }
    }

    /// True while a write may keep its upstream waiting for long.
    pub fn pauses_writes(&self) -> bool {
        self.seat.board.pause.is_on() || self.writes_stopped.get()
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
        self.seat.leads_to(node) && self.serves(process)
    }

    /// True for the process that is served, or when nobody judges that.
    pub fn serves(&self, process: Option<&str>) -> bool {
        self.seat.look(|view| view.process.is_none() || view.process.as_deref() == process)
    }

    /// Bytes that one slow reader may keep here.
    pub fn client_buffer(&self) -> usize {
        self.seat.look(|view| view.settings.client_buffer)
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
        self.seat.set_stuck(id, None);
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
        if self.seat.mode() == Mode::Hold && self.in_flight() == 0 {
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

    /// Publishes counts that are cheaper to gather than to keep.
    pub fn publish_counts(&self) {
        let gauge = self.seat.gauge();
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
