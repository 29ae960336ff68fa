//! The decision core: one state machine a service. Pure: `step(event, now)` changes the state and says what to do.
//!
//! Inputs: observations, signals, orders, and how earlier effects ended. Outputs: effects. No tokio, no clock, no random,
//! no I/O: the driver in `control/` carries effects out and brings their results back as events.

mod abort;
mod approach;
mod approval;
mod asking;
mod evidence;
mod failover;
mod guards;
mod health;
mod history;
mod inquiry;
#[cfg(debug_assertions)]
mod invariants;
mod machine;
mod naming;
mod orders;
mod parking;
mod pending;
mod planning;
mod practice;
mod reading;
mod recovery;
mod returning;
mod roles;
mod settling;
#[cfg(test)]
mod storm;
mod switch;
mod switchover;
#[cfg(test)]
mod tests;
mod upkeep;
mod view;
mod whole;
#[cfg(test)]
mod world;

pub use machine::Machine;
pub use reading::{ReadRoute, ReadView};

use crate::{
    config::Service,
    model::{
        action::{Action, Done},
        error::StoreError,
        guard::Refusal,
        name::{NodeAddress, OperationId},
        observation::{Fitness, Observation},
        operation::{Operation, Order},
        record::{Draft, Record},
        route::{Readying, Route, Target},
        signal::{Signal, StuckSession},
    },
};
use jiff::Timestamp;
use std::{sync::Arc, time::Duration};

/// The time of an event: `mono` for every decision, `wall` only for what people read.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Since the process started, never backward.
    pub mono: Duration,
    /// For records and pages.
    pub wall: Timestamp,
}

/// Names an effect whose result comes back as an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What happened.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields' types say what they are")]
pub enum Event {
    /// A probe ended.
    Observed { node: NodeAddress, observation: Observation },
    /// A node's fitness was read, or could not be.
    Fitness { node: NodeAddress, fitness: Result<Fitness, StoreError>, differences: Vec<Refusal> },
    /// A worker reported.
    Signal(Signal),
    /// The workers' counts, read by the driver before each tick.
    Counted { in_flight: u64, stuck: Vec<StuckSession> },
    /// An operator orders; the answer carries the same ticket.
    Ordered { ticket: Ticket, order: Order },
    /// Records became durable, or could not.
    Written { ticket: Ticket, result: Result<Vec<Record>, String> },
    /// An action ended.
    Acted { ticket: Ticket, result: Result<Done, StoreError> },
    /// Time passed (at least at each [`Effect::Wake`], and each probe interval).
    Tick,
    /// The configuration was reloaded.
    Configured(Arc<Service>),
}

/// What to do. Effects of one step are carried out in order; those with a ticket report back.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields' types say what they are")]
pub enum Effect {
    /// Make the drafts durable together.
    Write { ticket: Ticket, drafts: Vec<Draft> },
    /// Show the workers this route (and what comes next); each write is to wait for `slow` before it is sent.
    Publish { route: Route, next: Option<(Target, Readying)>, cut_sessions: bool, slow: Option<Duration> },
    /// Carry an action out, within `limit`.
    Act { ticket: Ticket, action: Action, limit: Duration },
    /// Probe this node now, besides the regular rhythm.
    Probe { node: NodeAddress },
    /// Read this node's fitness now.
    ReadFitness { node: NodeAddress },
    /// Answer an order: a refused, ended or instant operation. The core answers each order exactly once.
    Answer { ticket: Ticket, operation: Box<Operation> },
    /// An operation moved on (for `GET /v1/operations/ID` and the event stream).
    Progress { operation: Box<Operation> },
    /// The order became this operation (so that a caller who doesn't wait has its id).
    Accepted { ticket: Ticket, id: OperationId },
    /// Wake the core at this monotonic time at the latest.
    Wake { at: Duration },
}
