//! Journal records: what was decided, ordered or refused; the fold of their changes is the state (see [`super::state`]).

use super::{
    group::{GroupKey, GroupOperation},
    guard::Refusal,
    name::{ClusterName, NodeAddress, OperationId, ServiceName},
    observation::Lineage,
    operation::{Loss, Operation, Step, Terms},
    route::{Epoch, Route, Target},
    state::{Removed, Silenced},
    suspicion::Suspicion,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What sort of record it is, for filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// A change of state that was decided.
    Decision,
    /// Something that was not done, and why.
    Refusal,
    /// An operation began, moved on or ended.
    Operation,
    /// A guard was overridden.
    Override,
    /// The configuration changed, or a bad one was turned down.
    Configuration,
    /// Pointsman started.
    Start,
    /// Pointsman stopped.
    Stop,
}

/// A change. Adding a variant or a field with a default keeps older journals readable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Change {
    /// The route is now this.
    Routed {
        /// The whole route.
        route: Route,
    },
    /// A fence is about to be set on a node: written before it is set, so that it can't be forgotten.
    FenceIntended {
        /// The node.
        node: NodeAddress,
    },
    /// The fence is set.
    Fenced {
        /// The node.
        node: NodeAddress,
        /// The setting's value before.
        saved: Option<String>,
        /// Where the node stopped.
        position: u64,
    },
    /// The fence is gone.
    Unfenced {
        /// The node.
        node: NodeAddress,
    },
    /// A standby that lost its primary is being parked; written beside, since the standby itself says that it is.
    Parked {
        /// The standby.
        node: NodeAddress,
        /// The primary that it lost.
        of: NodeAddress,
        /// Where that one was when it answered the last time, so that a restart knows how far the standby is behind; zero where it
        /// isn't known.
        #[serde(default)]
        position: u64,
    },
    /// The standby follows a primary again, or is one.
    Unparked {
        /// The standby.
        node: NodeAddress,
    },
    /// The routed primary is silent, a standby confirmed it, and it stops by itself once its standbys are parked: written before
    /// they are, so that a restart still knows it.
    Silenced {
        /// How.
        silenced: Silenced,
    },
    /// A failover leaves this primary: when it returns, it is fenced, and what it holds is compared with this.
    Departed {
        /// The primary that is gone.
        node: NodeAddress,
        /// The operation.
        id: OperationId,
        /// The history that was served.
        lineage: String,
        /// How far the candidate had received it.
        position: u64,
        /// How far the primary itself was when it answered the last time: one that returns with less can't tell what was lost.
        #[serde(default)]
        held: u64,
    },
    /// The loss of an ended operation is known now.
    Amended {
        /// The operation.
        id: OperationId,
        /// What was lost.
        lost: Loss,
    },
    /// The operation goes to another node than it began with: its candidate died.
    Retargeted {
        /// The operation.
        id: OperationId,
        /// Where it goes now.
        to: Target,
    },
    /// A standby that a switch could not make follow the new primary: it is told again until it does.
    Strayed {
        /// The standby.
        node: NodeAddress,
    },
    /// It follows, or is not configured any more.
    Gathered {
        /// The standby.
        node: NodeAddress,
    },
    /// The history that the routed primary continues, so that a stranger is recognised after a restart.
    LineageSeen {
        /// The routed node.
        node: NodeAddress,
        /// Its history.
        lineage: Lineage,
        /// The server process that was seen with it: as long as that one runs, whatever name it gives its history is ours. Redis
        /// takes a new name without a parent when it keeps a backlog for the first time. Empty where it isn't known.
        #[serde(default)]
        process: String,
        /// How many items it held, written again as that changes: an append-only file's data comes back under a new history, and
        /// is ours if it holds as many. Zero where it isn't known.
        #[serde(default)]
        items: u64,
    },
    /// The process that answers as the routed primary doesn't hold what was served: remembered, so that a restart doesn't serve
    /// it while nobody can tell.
    Estranged {
        /// The process.
        process: String,
        /// Why, in words.
        text: String,
    },
    /// An operation waits for a second person: it is bound to the route that it names, and survives a restart.
    Asked {
        /// As it was asked for.
        operation: Box<Operation>,
        /// How it is to be carried out.
        terms: Terms,
    },
    /// A second person agreed; what follows stands beside: that the operation began, or the guards that refused it after all.
    Approved {
        /// The operation.
        id: OperationId,
        /// Who agreed.
        by: String,
        /// Why, in that person's words; may be empty.
        #[serde(default)]
        reason: String,
    },
    /// An operator passed a guard by name.
    Overridden {
        /// The operation.
        id: OperationId,
        /// The guard, and what it would have refused for.
        guard: Refusal,
    },
    /// An operation began.
    Began {
        /// Its first state.
        operation: Box<Operation>,
        /// The routed target before.
        from: Option<Target>,
        /// The target after.
        to: Option<Target>,
    },
    /// An operation enters a step that a restart must know of.
    Entered {
        /// The operation.
        id: OperationId,
        /// The step.
        step: Step,
    },
    /// An operation ended, or was refused as it stood.
    Ended {
        /// Its last state.
        operation: Box<Operation>,
    },
    /// Something was not done.
    Refused {
        /// What would have been done.
        intent: String,
        /// Why not.
        guards: Vec<Refusal>,
        /// The operation that it was about, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<OperationId>,
    },
    /// An operation of a group or a site began, moved on or ended: its state at that moment.
    Group {
        /// As it stands.
        operation: Box<GroupOperation>,
        /// The idempotency key that it came with, in its first record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<GroupKey>,
    },
    /// A cluster was taken out.
    Drained {
        /// The cluster.
        cluster: ClusterName,
    },
    /// A cluster was put back.
    Restored {
        /// The cluster.
        cluster: ClusterName,
    },
    /// Automatic failover is off until then.
    Paused {
        /// When it is on again.
        until: Timestamp,
    },
    /// Automatic failover is on again.
    Resumed,
    /// An idempotency key was used.
    Keyed {
        /// The key.
        key: String,
        /// A digest of the request.
        request: String,
        /// What it became.
        id: OperationId,
    },
    /// What was found about the routed primary while something was wrong with it, and what came of that. Written once for all of
    /// it: when it has lasted for a while, and at its end.
    Suspected {
        /// The evidence.
        suspicion: Box<Suspicion>,
    },
    /// The oldest part of the journal is removed: written before it is gone.
    Removed {
        /// Which part.
        removed: Removed,
    },
    /// The configuration changed: each change with before and after, secrets never shown.
    Configured {
        /// One line a change.
        changes: Vec<String>,
        /// The settings that have another value now, so that a start can tell what was changed since; a secret is only named.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        set: BTreeMap<String, String>,
        /// The settings that are gone.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        unset: BTreeSet<String>,
    },
    /// A new configuration was turned down and the old one stays.
    ConfigurationRejected {
        /// One line a problem.
        problems: Vec<String>,
    },
    /// Something worth keeping that changes no state: a role adopted, a manager found, a torn line dropped, a start.
    Noted {
        /// In words.
        text: String,
    },
}

/// A record before it has a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The service; absent for records of the whole process.
    pub svc: Option<ServiceName>,
    /// What sort.
    pub kind: RecordKind,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The route's epoch, after the change.
    pub epoch: Option<Epoch>,
    /// What.
    pub change: Change,
}

/// A record as it stands in the journal and in the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Record {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When it was written.
    pub time: Timestamp,
    /// The service, if it is about one.
    pub svc: Option<ServiceName>,
    /// What sort.
    pub kind: RecordKind,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The route's epoch, after the change.
    pub epoch: Option<Epoch>,
    /// What.
    pub detail: Change,
}
