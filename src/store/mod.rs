//! What it takes to run a store: probe, compare, fence, promote, demote. One folder a flavour, each with its own client.
//!
//! Inputs: actions of the decision core. Outputs: observations and how an action ended. It never touches the data path
//! and never decides.

pub mod elastic;
mod likeness;
pub mod mysql;
pub mod redis;

use crate::model::{
    action::{Action, Done},
    error::{Side, StoreError},
    guard::Refusal,
    name::NodeAddress,
    observation::{Fitness, Observation},
    view::Rebuild,
};
use std::{future::Future, pin::Pin};

/// A boxed future: the price of one allocation an action, paid at the border of floors so that no generic tower grows.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A kind of store. Methods may be called concurrently for different nodes; each is bounded in time by the store itself.
pub trait Store: Send + Sync {
    /// Asks one node for its role, position and state. Never fails: what went wrong is part of the observation.
    fn probe<'a>(&'a self, node: &'a NodeAddress) -> BoxFuture<'a, Observation>;

    /// Whether the node answers on a connection that is opened for this, within the time that a probe has. It waits behind no
    /// other question. The default never knows.
    fn knock<'a>(&'a self, node: &'a NodeAddress) -> BoxFuture<'a, bool> {
        let _ = node;
        Box::pin(std::future::ready(false))
    }

    /// Asks one node for what replication doesn't carry (users, limits, modes) and which rights our login lacks. Slower
    /// than a probe; asked every few seconds and again before a commit.
    fn fitness<'a>(&'a self, node: &'a NodeAddress) -> BoxFuture<'a, Result<Fitness, StoreError>>;

    /// Names each difference between the primary and a candidate that applications would feel after a switch.
    fn compare(&self, primary: &Fitness, candidate: &Fitness) -> Vec<Refusal>;

    /// Carries one action out.
    fn act<'a>(&'a self, action: &'a Action) -> BoxFuture<'a, Result<Done, StoreError>>;

    /// What `node` holds that `primary` doesn't have, and the commands by which an operator makes it a standby of `primary` again.
    /// Only reads. The default is for kinds whose returned primaries are demoted by themselves.
    fn rebuild<'a>(
        &'a self,
        node: &'a NodeAddress,
        primary: &'a NodeAddress,
    ) -> BoxFuture<'a, Result<Rebuild, StoreError>> {
        let error = StoreError {
            side: Side::Client,
            retryable: false,
            maybe_done: false,
            detail: format!("{node} needs no rebuilding: what returns is made a standby of {primary} by itself"),
        };
        Box::pin(std::future::ready(Err(error)))
    }

    /// What `check --connect` says of a node: errors and advice, each with the command that mends it.
    fn inspect<'a>(&'a self, node: &'a NodeAddress) -> BoxFuture<'a, Inspection>;

    /// Sets what detection needs on a node (Redis: the ping period) where the service says `tune = true`, else does nothing.
    /// Done again when the node restarted, since the node forgets it.
    fn tune<'a>(&'a self, node: &'a NodeAddress) -> BoxFuture<'a, Result<(), StoreError>> {
        let _ = node;
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A finding of `check --connect`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// True: a switch would fail or be refused. False: advice.
    pub error: bool,
    /// What is so.
    pub message: String,
    /// The command that mends it.
    pub mend: String,
}

/// What `check --connect` found at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The server's version, if it answered.
    pub version: Option<String>,
    /// The server process's own identity, if it answered: two addresses with one identity are one server.
    pub identity: Option<String>,
    /// Errors and advice.
    pub findings: Vec<Finding>,
}
