//! The read port of a service: shows its workers what the read route says, and tells it what they answer.
//!
//! Inputs: the service's core after each step, signals of the read port's workers. Outputs: views on the read port's board. It never
//! decides, and nothing of the service itself waits for it.

use crate::{
    config::Service,
    decision::{Machine, Now, ReadRoute, ReadView},
    model::{name::ServiceName, signal::Signal, view::RouteView},
    route::{Board, View},
};
use std::sync::Arc;

/// The read port of one service.
pub(super) struct Reads {
    svc: ServiceName,
    board: Arc<Board>,
    route: ReadRoute,
}

impl Reads {
    /// A read port whose board leads nowhere yet.
    pub fn new(svc: ServiceName, board: Arc<Board>) -> Self {
        Self { svc, board, route: ReadRoute::default() }
    }

    /// Takes a worker's signal in; gives back what is a sign of a node's trouble.
    pub fn hears(&mut self, signal: Signal) -> Option<Signal> {
        match signal {
            Signal::Refused(_)
            | Signal::Reset(_)
            | Signal::TimedOut(_)
            | Signal::WrongRole(_)
            | Signal::Stranger(_) => Some(signal),
            answer => {
                self.route.acknowledged(&answer);
                None
            }
        }
    }

    /// Shows the workers what has changed.
    pub fn follow(&mut self, machine: &Machine, settings: &Arc<Service>, now: Now) {
        let stuck = self.board.sum(|gauge| &gauge.stuck) > 0;
        let ReadView { route, process, next } = self.route.follow(machine, self.board.workers(), stuck, now);
        let before = self.board.view();
        let same = before.route == route && before.process.as_deref() == process.as_deref() && before.next == next;
        if same && Arc::ptr_eq(&before.settings, settings) {
            return;
        }
        if before.route.target != route.target {
            let node = route.target.as_ref().map_or("", |target| target.node.as_str());
            tracing::info!(svc = %self.svc, epoch = %route.epoch, node, "reads go to this node");
        }
        let (process, settings) = (process.map(Into::into), settings.clone());
        self.board.publish(View { process, next, ..View::new(route, settings) });
    }

    /// Where reads go, as operators see it.
    pub fn shown(&self) -> Option<RouteView> {
        self.route.shown()
    }
}
