//! Operations of several services: groups that switch together, and sites that are left.
//!
//! Inputs: orders for a group or a site, the members' own answers. Outputs: ordinary orders to the members, one after the other, each
//! bound to its own epoch, and a record of how far it came. `runner` takes orders up and lets no two meet, `judge` asks every member's
//! guards first, `work` carries out, `waiting` is a second person's, `restart` tells what a stopped process left, `show` is what is shown. Nothing here moves a route:
//! a member's core does, or refuses.

mod ask;
mod judge;
mod restart;
mod runner;
mod show;
mod waiting;
mod work;

pub(super) use runner::{Request, Runner};

use super::handle::Key;
use crate::model::{
    group::{GroupKind, GroupOperation},
    guard::Guard,
    name::{ClusterName, OperationId},
    operation::Terms,
};

/// Whose members an order is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// A group of the configuration.
    Group(String),
    /// Everything that is routed to a site.
    Site(String),
}

/// Where the members go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// To the first place in order in which each of them may be.
    Any,
    /// Each to its cluster of this name.
    Cluster(ClusterName),
    /// Each to its first cluster in this site.
    Site(String),
}

/// An order for several services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOrder {
    /// Whose.
    pub of: Of,
    /// What is done to each.
    pub kind: GroupKind,
    /// Where a switch goes.
    pub to: To,
    /// Only evaluate the guards.
    pub dry_run: bool,
    /// Of a site: what its guards refuse stays, and the rest goes all the same.
    pub partial: bool,
    /// How each switch is to be carried out.
    pub terms: Terms,
    /// Who.
    pub actor: String,
    /// Why; may be empty.
    pub reason: String,
    /// It is done for practice.
    pub rehearsal: bool,
}

impl GroupOrder {
    fn overrides(&self, guard: Guard) -> bool {
        self.terms.overrides.contains(&guard)
    }
}

/// A second person's word on what waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConsent {
    /// The operation.
    pub id: OperationId,
    /// Agreed, or given up.
    pub approve: bool,
    /// Who.
    pub actor: String,
    /// Why; may be empty.
    pub reason: String,
    /// The caller's idempotency key.
    pub key: Option<Key>,
}

/// What came of an order for several services.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupReply {
    /// It ended, or waits for a second person: its outcome tells.
    Ended(Box<GroupOperation>),
    /// It still runs.
    Running(OperationId),
    /// There is no such group, site, cluster or operation: in words.
    Unknown(String),
    /// The idempotency key was used with another request within the last day.
    KeyReused,
    /// Control did not take the order up in time, or is stopping.
    Late,
}
