//! One service on one worker: what its sessions share. Everything in here belongs to one thread.

use super::{
    ask::Ask,
    budget::Budget,
    cluster::{Cluster, Lease, Node},
    handle::{Ending, Handle},
    outage::Outage,
};
use crate::{
    model::{
        name::NodeAddress,
        route::{Mode, Target},
        signal::Signal,
    },
    net::ClientTls,
    protocol::elastic::refusal::Refusal,
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

/// What a request needs before it can be sent.
pub enum Need {
    /// The route has to change, within the time that is left for it.
    Route,
    /// A connection to that node of the cluster.
    Connection(Rc<Cluster>, usize),
    /// A node that takes it: all of the cluster's were tried.
    Node(Rc<Cluster>),
    /// Nothing: it is refused.
    Refused(Refusal),
}

/// One service on one worker.
pub struct Lane {
    /// Its place at the service's board.
    pub seat: Seat,
    /// What the worker's services share.
    pub desk: Rc<Desk>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// How many requests may be sent again.
    pub budget: Budget,
    /// Since when requests can't be served.
    pub outage: Outage,
    /// Bounds how many connections are opened at once.
    pub opening: Semaphore,
    /// Wakes the steward before its time.
    pub attend: Notify,
    /// Grows with each view, and whenever sessions have to look around.
    version: Cell<u64>,
    clusters: RefCell<Vec<Rc<Cluster>>>,
    routed: RefCell<Option<Rc<Cluster>>>,
    handles: RefCell<HashMap<u64, Rc<Handle>>>,
    last_id: Cell<u64>,
    /// Requests that wait in a hold, and since when the first of them does.
    held: Cell<u64>,
    first_held: Cell<Option<Instant>>,
    second: Cell<u64>,
    retiring: Cell<bool>,
}

impl Lane {
    /// A lane that follows `board`.
    pub fn new(
        worker: usize,
        desk: Rc<Desk>,
        board: Arc<Board>,
        counters: Arc<Counters>,
        tls: Option<ClientTls>,
    ) -> Rc<Self> {
        let lane = Rc::new(Self {
            seat: Seat::new(worker, board, tls),
            desk,
            counters,
            budget: Budget::default(),
            outage: Outage::default(),
            opening: Semaphore::new(OPENING),
            attend: Notify::new(),
            version: Cell::new(1),
            clusters: RefCell::default(),
            routed: RefCell::default(),
            handles: RefCell::default(),
            last_id: Cell::new(0),
            held: Cell::new(0),
            first_held: Cell::new(None),
            second: Cell::new(0),
            retiring: Cell::new(false),
        });
        lane.arrange(&lane.seat.view());
        lane
    }

    /// Takes the board's view, and with it the clusters and what the probes found.
    pub fn refresh(&self) -> Arc<View> {
        let view = self.seat.refresh();
        self.arrange(&view);
        view
    }

    /// Makes the clusters what the view says. What stays keeps its connections; what has gone is forgotten when its last request has ended.
    fn arrange(&self, view: &View) {
        let known = self.clusters.borrow().clone();
        let configured = view.settings.clusters.iter().map(|cluster| {
            let nodes: Vec<_> = cluster.nodes.iter().map(|node| node.address.clone()).collect();
            self.cluster(&known, &cluster.name, &nodes)
        });
        let mut clusters: Vec<_> = configured.collect();
        // A routed cluster that a reload took out is served on.
        let lost = |target: &&Target| !clusters.iter().any(|cluster| cluster.name == target.cluster);
        if let Some(target) = view.route.target.as_ref().filter(lost) {
            let before = known.iter().find(|cluster| cluster.name == target.cluster).cloned();
            let nodes = [target.node.clone()];
            clusters.push(before.unwrap_or_else(|| self.cluster(&known, &target.cluster, &nodes)));
        }
        for node in clusters.iter().flat_map(|cluster| &cluster.nodes) {
            if let Some(peer) = view.peers.iter().find(|peer| peer.node == node.address) {
                node.judge(peer.health);
            }
        }
        let routed = view.route.target.as_ref();
        let routed = routed.and_then(|target| clusters.iter().find(|cluster| cluster.name == target.cluster).cloned());
        *self.routed.borrow_mut() = routed;
        *self.clusters.borrow_mut() = clusters;
    }

    /// The cluster of these nodes: the known one if it is the same.
    fn cluster(
        &self,
        known: &[Rc<Cluster>],
        name: &crate::model::name::ClusterName,
        nodes: &[NodeAddress],
    ) -> Rc<Cluster> {
        let same = |cluster: &&Rc<Cluster>| {
            cluster.name == *name && cluster.nodes.iter().map(|node| &node.address).eq(nodes.iter().take(64))
        };
        if let Some(cluster) = known.iter().find(same) {
            return Rc::clone(cluster);
        }
        let node = |address: &NodeAddress| {
            let before = known.iter().flat_map(|cluster| &cluster.nodes).find(|node| node.address == *address);
            before.cloned().unwrap_or_else(|| Node::new(address, self.seat.node_tls()))
        };
        Cluster::new(name.clone(), nodes.iter().map(node).collect())
    }

    /// Takes new TLS files for connections from now on.
    pub fn set_node_tls(&self, tls: Option<ClientTls>) {
        self.for_each_node(|_, node| node.set_tls(tls.clone()));
        self.seat.set_node_tls(tls);
    }

    /// A connection for the request, if it may be sent now and one is kept; else what it needs first. Nothing waits between this and
    /// the sending, so that no request follows the lane's word that it holds.
    ///
    /// `opened` is a connection that was opened for the request; where it isn't of use any more, it is kept for others.
    pub fn admit(&self, ask: &Ask, opened: Option<Lease>) -> Result<Lease, Need> {
        let result = self.admitted(ask);
        let Some(lease) = opened else {
            let (cluster, place) = result?;
            return match cluster.nodes[place].take() {
                Some(line) => Ok(Lease::new(line, cluster, place, false)),
                None => Err(Need::Connection(cluster, place)),
            };
        };
        match result {
            Ok((cluster, _)) if Rc::ptr_eq(&cluster, &lease.cluster) => Ok(lease),
            Ok((cluster, place)) => {
                lease.give_back(Instant::now());
                Err(Need::Connection(cluster, place))
            }
            Err(need) => {
                lease.give_back(Instant::now());
                Err(need)
            }
        }
    }

    /// The cluster that the request may be sent to now, and the node that is to take it.
    fn admitted(&self, ask: &Ask) -> Result<(Rc<Cluster>, usize), Need> {
        self.seat.look(|view| self.admitted_by(view, ask))
    }

    fn admitted_by(&self, view: &View, ask: &Ask) -> Result<(Rc<Cluster>, usize), Need> {
        let name = view.settings.name.as_str();
        if view.route.mode == Mode::Hold {
            let run_out = self.outage.left_of(view.settings.failover.hold_timeout).is_zero();
            return Err(if run_out { Need::Refused(Refusal::held_too_long(name)) } else { Need::Route });
        }
        if let Some(refusal) = Refusal::by_mode(name, view.route.mode, &ask.request) {
            return Err(Need::Refused(refusal));
        }
        let Some(cluster) = ask.cluster.clone().or_else(|| self.routed.borrow().clone()) else {
            return Err(Need::Refused(Refusal::no_route(name)));
        };
        match cluster.choose(ask.tried(&cluster)) {
            Some(place) => Ok((cluster, place)),
            None => Err(Need::Node(cluster)),
        }
    }

    /// A configured cluster of that name from which something may be answered.
    pub fn living(&self, name: &str) -> Option<Rc<Cluster>> {
        self.clusters.borrow().iter().find(|cluster| cluster.name.as_str() == name && cluster.is_alive()).cloned()
    }

    /// The cluster that the route leads to.
    pub fn routed(&self) -> Option<Rc<Cluster>> {
        self.routed.borrow().clone()
    }

    /// The cluster that the route will lead to.
    pub fn next(&self) -> Option<Rc<Cluster>> {
        let next = self.seat.look(|view| view.next.as_ref().map(|(target, _)| target.cluster.clone()))?;
        self.clusters.borrow().iter().find(|cluster| cluster.name == next).cloned()
    }

    /// Every node of every cluster.
    pub fn for_each_node(&self, mut act: impl FnMut(&Rc<Cluster>, &Rc<Node>)) {
        for cluster in &*self.clusters.borrow() {
            cluster.nodes.iter().for_each(|node| act(cluster, node));
        }
    }

    /// What a session compares with what it saw last.
    pub fn version(&self) -> u64 {
        self.version.get()
    }

    /// Has every session look around.
    pub fn wake_all(&self) {
        self.version.set(self.version.get() + 1);
        self.handles.borrow().values().for_each(|handle| handle.wake());
    }

    /// How long requests may wait, of the whole outage.
    pub fn patience(&self) -> Duration {
        self.outage.left_of(self.seat.look(|view| view.settings.failover.hold_timeout))
    }

    /// Requests are served.
    pub fn is_well(&self) {
        if self.seat.mode() != Mode::Hold {
            self.outage.ended();
        }
    }

    /// Counts a request that waits in a hold, or no more does.
    pub fn hold(&self, more: bool) {
        let held = self.held.get();
        self.held.set(if more { held + 1 } else { held.saturating_sub(1) });
        if more && self.first_held.get().is_none() {
            self.first_held.set(Some(Instant::now()));
        }
    }

    /// The hold is over: how long the first request waited in it.
    pub fn release(&self) -> Duration {
        self.first_held.take().map_or(Duration::ZERO, |first| first.elapsed())
    }

    /// Reports a signal about a cluster, by the node that stands for it.
    pub fn report(&self, signal: impl FnOnce(NodeAddress) -> Signal, cluster: &Cluster) {
        if let Some(first) = cluster.first() {
            self.seat.board.report(signal(first.clone()));
        }
    }

    /// Seconds since the lane began, by its steward's rounds.
    pub fn second(&self) -> u64 {
        self.second.get()
    }

    /// Another second has passed.
    pub fn tick(&self) {
        self.second.set(self.second.get() + 1);
        let second = self.second.get();
        self.handles.borrow().values().for_each(|handle| handle.look_at_clock(second));
        self.budget.second();
        if self.outage.is_forgotten() {
            self.is_well();
        }
    }

    /// A session begins.
    pub fn enter(&self) -> Rc<Handle> {
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        let handle = Rc::new(Handle::new(id));
        self.handles.borrow_mut().insert(id, Rc::clone(&handle));
        handle
    }

    /// A session has ended.
    pub fn leave(&self, handle: &Handle) {
        self.handles.borrow_mut().remove(&handle.id);
    }

    /// Ends all sessions: now, or with the answer that is under way.
    pub fn end_sessions(&self, now: bool) {
        let when = if now { Ending::Now } else { Ending::AtSafePoint };
        self.handles.borrow().values().for_each(|handle| handle.end(when));
    }

    /// From now on each answer is the last one of its connection.
    pub fn retire(&self) {
        self.retiring.set(true);
    }

    /// True from then on.
    pub fn is_retiring(&self) -> bool {
        self.retiring.get()
    }

    /// Publishes counts that are cheaper to gather than to keep.
    pub fn publish_counts(&self) {
        let gauge = self.seat.gauge();
        let (mut busy, mut kept) = (0, 0);
        self.for_each_node(|_, node| {
            busy += node.busy() as u64;
            kept += node.kept() as u64;
        });
        gauge.in_flight.store(busy, Relaxed);
        gauge.shared_upstreams.store(busy + kept, Relaxed);
        gauge.clients.store(self.handles.borrow().len() as u64, Relaxed);
        gauge.held.store(self.held.get(), Relaxed);
    }
}
