//! A cluster as one worker sees it: its nodes, their kept connections, and which of them takes the next request.
//!
//! Input: what the probes found, what requests met. Output: a node for a request, a kept connection. Never: I/O that waits.

use crate::{
    model::{
        name::{ClusterName, NodeAddress},
        view::Health,
    },
    net::{ClientTls, Endpoint},
    proxy::line::Line,
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

/// Connections that are kept for later requests, at most, of one worker to one node.
const KEPT: usize = 256;
/// How long a connection is kept that nobody uses.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// How long a node is left out that a connection was refused by or broke before it was ready; the probes know more by then.
const EJECTED_FOR: Duration = Duration::from_secs(1);

/// Whether answers may still come from a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// As far as is known.
    #[default]
    Here,
    /// The probes get no answer: what can be asked elsewhere is.
    Down,
    /// For so long, or while its cluster was left, that nothing is awaited from it any more.
    Gone,
}

/// One node.
pub struct Node {
    /// Its address as configured.
    pub address: NodeAddress,
    endpoint: RefCell<Rc<Endpoint>>,
    /// The last one used is the last one.
    kept: RefCell<Vec<(Line, Instant)>>,
    busy: Cell<usize>,
    /// Connections that are being opened ahead of their time.
    pub warming: Cell<bool>,
    usable: Cell<bool>,
    presence: Cell<Presence>,
    down_since: Cell<Option<Instant>>,
    ejected: Cell<Option<Instant>>,
    /// It has said something since it is down, whatever the probes say.
    heard: Cell<bool>,
}

impl Node {
    /// A node that nothing is known of.
    pub fn new(address: &NodeAddress, tls: Option<ClientTls>) -> Rc<Self> {
        Rc::new(Self {
            address: address.clone(),
            endpoint: RefCell::new(Rc::new(Endpoint::new(address.as_str(), tls))),
            kept: RefCell::default(),
            busy: Cell::new(0),
            warming: Cell::new(false),
            usable: Cell::new(true),
            presence: Cell::default(),
            down_since: Cell::new(None),
            ejected: Cell::new(None),
            heard: Cell::new(false),
        })
    }

    /// Where it is; kept, so that a resolver that fails later does no harm.
    pub fn endpoint(&self) -> Rc<Endpoint> {
        Rc::clone(&self.endpoint.borrow())
    }

    /// Takes new TLS files for connections from now on.
    pub fn set_tls(&self, tls: Option<ClientTls>) {
        *self.endpoint.borrow_mut() = Rc::new(Endpoint::new(self.address.as_str(), tls));
        self.kept.borrow_mut().clear();
    }

    /// A kept connection that its node hasn't closed.
    pub fn take(&self) -> Option<Line> {
        loop {
            let (mut line, _) = self.kept.borrow_mut().pop()?;
            if line.is_quiet() {
                return Some(line);
            }
        }
    }

    /// Keeps a connection on which nothing is outstanding.
    pub fn keep(&self, line: Line, now: Instant) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < KEPT {
            kept.push((line, now));
        }
    }

    /// Kept connections.
    pub fn kept(&self) -> usize {
        self.kept.borrow().len()
    }

    /// Connections in use.
    pub fn busy(&self) -> usize {
        self.busy.get()
    }

    /// Closes connections that nobody has used for long, and lets requests try again where they were refused.
    pub fn tidy(&self, now: Instant) {
        let mut kept = self.kept.borrow_mut();
        let old = kept.partition_point(|(_, since)| now.saturating_duration_since(*since) > KEPT_FOR);
        kept.drain(..old);
        self.ejected.set(self.ejected.get().filter(|since| now.saturating_duration_since(*since) <= EJECTED_FOR));
    }

    /// It refused a connection, or broke one.
    pub fn eject(&self) {
        self.ejected.set(Some(Instant::now()));
        self.kept.borrow_mut().clear();
    }

    /// True while it is left out for that.
    pub fn is_ejected(&self) -> bool {
        self.ejected.get().is_some()
    }

    /// It has said something.
    pub fn heard(&self) {
        self.heard.set(true);
    }

    /// What the probes found.
    pub fn judge(&self, health: Health) {
        self.usable.set(health == Health::Up);
        if health != Health::Down {
            self.down_since.set(None);
        } else if self.down_since.get().is_none() {
            self.down_since.set(Some(Instant::now()));
            self.heard.set(false);
        }
    }

    /// Whether answers may still come from it. `left`: the route leads to another cluster.
    pub fn presence(&self) -> Presence {
        self.presence.get()
    }

    /// Looks at the clock: true if its presence is another one than before. A node is given up that has said nothing, neither to a
    /// probe nor on any connection, for `window`, or at once where its cluster was `left`.
    pub fn look(&self, window: Duration, left: bool) -> bool {
        let presence = match self.down_since.get() {
            None => Presence::Here,
            Some(_) if self.heard.get() => Presence::Here,
            Some(since) if left || since.elapsed() >= window => Presence::Gone,
            Some(_) => Presence::Down,
        };
        self.presence.replace(presence) != presence
    }

    /// The lower, the better.
    fn rank(&self) -> (bool, bool, usize) {
        (!self.usable.get(), self.is_ejected(), self.busy.get())
    }

    /// True if the probes say that requests may go there, and none was refused a moment ago.
    pub fn is_well(&self) -> bool {
        self.usable.get() && !self.is_ejected()
    }
}

/// One cluster.
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// Its nodes; at least one. No more than 64 are used.
    pub nodes: Vec<Rc<Node>>,
    /// Its nodes send `X-Elastic-Product`.
    pub product: Cell<bool>,
    /// Where the next search for a node begins, so that equals take turns.
    turn: Cell<usize>,
}

impl Cluster {
    /// A cluster of these nodes.
    pub fn new(name: ClusterName, mut nodes: Vec<Rc<Node>>) -> Rc<Self> {
        nodes.truncate(64);
        Rc::new(Self { name, nodes, product: Cell::new(false), turn: Cell::new(0) })
    }

    /// The node that stands for the cluster in what control is told.
    pub fn first(&self) -> Option<&NodeAddress> {
        self.nodes.first().map(|node| &node.address)
    }

    /// The least busy of those that may get requests; of all, if none may. Without those that were `tried`, by their bits.
    pub fn choose(&self, tried: u64) -> Option<usize> {
        let len = self.nodes.len();
        let start = self.turn.get();
        self.turn.set(start.wrapping_add(1));
        let places = (0..len).map(|step| (start % len + step) % len).filter(|place| tried & (1 << place) == 0);
        places.min_by_key(|&place| self.nodes[place].rank())
    }

    /// True unless the probes get no answer from any of its nodes.
    pub fn is_alive(&self) -> bool {
        self.nodes.iter().any(|node| node.presence() == Presence::Here)
    }

    /// True if another node than this one may get requests.
    pub fn has_other(&self, node: &Rc<Node>) -> bool {
        self.nodes.iter().any(|other| !Rc::ptr_eq(other, node) && other.is_well())
    }
}

/// One request more at a node, as long as it lives.
struct Busy(Rc<Node>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get().saturating_sub(1));
    }
}

/// A connection to a node for one request.
pub struct Lease {
    /// The connection.
    pub line: Line,
    /// Of which cluster.
    pub cluster: Rc<Cluster>,
    /// Which of its nodes.
    pub place: usize,
    /// It has carried no request yet.
    pub fresh: bool,
    /// Something of the request was taken.
    pub touched: bool,
    /// The node takes nothing more; what it has said may still be read.
    pub deaf: bool,
    busy: Busy,
}

impl Lease {
    /// A connection to that node of the cluster.
    pub fn new(line: Line, cluster: Rc<Cluster>, place: usize, fresh: bool) -> Self {
        let node = Rc::clone(&cluster.nodes[place]);
        node.busy.set(node.busy.get() + 1);
        Self { line, cluster, place, fresh, touched: false, deaf: false, busy: Busy(node) }
    }

    /// The node.
    pub fn node(&self) -> &Rc<Node> {
        &self.busy.0
    }

    /// Keeps the connection for later requests.
    pub fn give_back(self, now: Instant) {
        let Self { line, busy, .. } = self;
        busy.0.keep(line, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(many: u16) -> Rc<Cluster> {
        let node = |port| Node::new(&format!("127.0.0.1:{port}").into(), None);
        Cluster::new("a".into(), (1..=many).map(node).collect())
    }

    #[test]
    fn the_least_busy_of_the_usable_nodes_is_chosen_and_equals_take_turns() {
        let cluster = cluster(3);
        let mut chosen: Vec<_> = (0..3).filter_map(|_| cluster.choose(0)).collect();
        chosen.sort_unstable();
        assert_eq!(chosen, [0, 1, 2]);
        cluster.nodes[0].busy.set(1);
        cluster.nodes[1].judge(Health::Unknown);
        assert!((0..3).all(|_| cluster.choose(0) == Some(2)));
        cluster.nodes[2].eject();
        assert!((0..3).all(|_| cluster.choose(0) == Some(0)));
        assert!((0..3).all(|_| cluster.choose(0b001) == Some(2)), "rather one that refused than one that is unwell");
        assert!((0..3).all(|_| cluster.choose(0b101) == Some(1)), "any, if none is usable");
        assert_eq!(cluster.choose(0b111), None);
    }

    #[test]
    fn a_node_is_given_up_that_says_nothing_for_the_window_or_was_left() {
        let cluster = cluster(1);
        let (node, long) = (&cluster.nodes[0], Duration::from_mins(1));
        assert!(!node.look(long, true) && node.presence() == Presence::Here);
        node.judge(Health::Down);
        assert!(node.look(long, false) && node.presence() == Presence::Down && !cluster.is_alive());
        assert!(node.look(Duration::ZERO, false) && node.presence() == Presence::Gone);
        node.heard();
        assert!(node.look(Duration::ZERO, true) && node.presence() == Presence::Here);
        node.judge(Health::Up);
        node.judge(Health::Down);
        assert!(node.look(long, true) && node.presence() == Presence::Gone);
    }
}
