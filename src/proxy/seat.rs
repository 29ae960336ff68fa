//! A worker's seat at a service's board, whatever the kind: the view it acts on, where nodes are, and what it tells control.
//!
//! Inputs: the board, new TLS files. Outputs: the view that the steward took last, signals, the worker's gauge and its sessions that can't move.
//! It belongs to one thread, knows no protocol, and never looks at the board by itself: a whole worker acts on one view at a time.

use crate::{
    config::Service,
    model::{
        name::NodeAddress,
        route::{Mode, Target},
        signal::{Signal, StuckSession},
    },
    net::{ClientTls, Endpoint},
    route::{Board, Gauge, View},
};
use std::{
    cell::RefCell,
    collections::HashMap,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// Sessions that can't move are shown up to this number.
const STUCK_SHOWN: usize = 20;

/// One worker at one service's board.
pub struct Seat {
    /// The worker's index.
    pub worker: usize,
    /// The service's board.
    pub board: Arc<Board>,
    view: RefCell<Arc<View>>,
    endpoints: RefCell<HashMap<NodeAddress, Rc<Endpoint>>>,
    node_tls: RefCell<Option<ClientTls>>,
    /// Sessions that can't move, and why.
    stuck: RefCell<HashMap<u64, StuckSession>>,
}

impl Seat {
    /// A seat that begins with the board's view.
    pub fn new(worker: usize, board: Arc<Board>, tls: Option<ClientTls>) -> Self {
        let view = RefCell::new(board.view().clone());
        let (endpoints, stuck) = Default::default();
        Self { worker, board, view, endpoints, node_tls: RefCell::new(tls), stuck }
    }

    /// The view that this worker acts on: the last one that its steward took from the board.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// Takes the board's view.
    pub fn refresh(&self) -> Arc<View> {
        let view = self.board.view().clone();
        *self.view.borrow_mut() = Arc::clone(&view);
        view
    }

    /// Asks the view without taking hold of it: what is asked for each command costs no counting of references.
    pub fn look<T>(&self, question: impl FnOnce(&View) -> T) -> T {
        question(&self.view.borrow())
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

    /// True when the route leads to that node.
    pub fn leads_to(&self, node: &NodeAddress) -> bool {
        let view = self.view.borrow();
        view.route.mode != Mode::Closed && view.route.target.as_ref().is_some_and(|target| target.node == *node)
    }

    /// True while a failover leaves the process that was served: what it still answers counts for nobody.
    pub fn serves_nobody(&self) -> bool {
        self.view.borrow().process.as_deref() == Some("")
    }

    /// Where a node is; kept, so that a resolver that fails later does no harm.
    pub fn endpoint(&self, node: &NodeAddress) -> Rc<Endpoint> {
        let mut endpoints = self.endpoints.borrow_mut();
        let fresh = || Rc::new(Endpoint::new(node.as_str(), self.node_tls()));
        Rc::clone(endpoints.entry(node.clone()).or_insert_with(fresh))
    }

    /// TLS towards the nodes.
    pub fn node_tls(&self) -> Option<ClientTls> {
        self.node_tls.borrow().clone()
    }

    /// Takes new TLS files for connections from now on.
    pub fn set_node_tls(&self, tls: Option<ClientTls>) {
        *self.node_tls.borrow_mut() = tls;
        self.endpoints.borrow_mut().clear();
    }

    /// This worker's gauge.
    pub fn gauge(&self) -> &Gauge {
        self.board.gauge(self.worker)
    }

    /// Reports a signal about a node.
    pub fn report(&self, signal: impl FnOnce(NodeAddress) -> Signal, node: &NodeAddress) {
        self.board.report(signal(node.clone()));
    }

    /// Notes, or forgets, why a session can't move.
    pub fn set_stuck(&self, id: u64, session: Option<StuckSession>) {
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
}
