//! The machine of one service: takes events in, keeps what it knows, hands effects out.

use super::{Effect, Event, Now};
use crate::{
    config::Service,
    model::{name::OperationId, operation::Operation, route::Route, state::ServiceState, view::ServiceView},
};
use std::sync::Arc;

/// The decision core of one service.
///
/// The driver owns one for each service, calls [`Machine::start`] once, then [`Machine::step`] for each event, and
/// carries the effects out in their order. The board begins with `Route::default()` (closed, epoch 0); each route comes
/// by [`Effect::Publish`].
#[derive(Debug)]
pub struct Machine {
    settings: Arc<Service>,
    workers: usize,
    durable: ServiceState,
    route: Route,
}

impl Machine {
    /// A machine that continues from the journal's fold. `workers` is how many workers must acknowledge a hold.
    pub fn new(settings: Arc<Service>, durable: ServiceState, workers: usize) -> Self {
        Self { settings, workers, durable, route: Route::default() }
    }

    /// The first effects: what a restart must publish at once and read first. Called once, before any step.
    pub fn start(&mut self, now: Now) -> Vec<Effect> {
        let _ = (now, self.workers);
        Vec::new()
    }

    /// Takes one event in and says what to do.
    pub fn step(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let _ = (event, now, &self.settings);
        Vec::new()
    }

    /// What `status` shows. `connections` is left at zero: the driver fills it in from the board.
    pub fn view(&self, now: Now) -> ServiceView {
        let _ = now;
        todo!()
    }

    /// The route in force, as last published.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// An operation that runs or is among the last that ended.
    pub fn operation(&self, id: &OperationId) -> Option<&Operation> {
        self.durable.ended.iter().rev().find(|operation| operation.id == *id)
    }
}
