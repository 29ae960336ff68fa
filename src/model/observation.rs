//! What a probe of one node found.

use super::{
    name::{ClusterName, NodeAddress},
    transactions::Transactions,
    view::Health,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How far a probe got. What a failure proves differs, so the failures are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The node answered the probe in full.
    Answered(Box<Answer>),
    /// The host is up and nobody listens there, or the listener went away (RST).
    Refused,
    /// Connections are accepted or stay open, but no answer came within the time-out.
    Silent,
    /// Connecting timed out, no route, or the name doesn't resolve.
    Unreachable(String),
    /// It answers, but not to us: wrong password, missing right, TLS mismatch, not a server of this kind, too many connections.
    Rejected(String),
}

/// One node of a cluster that serves as a whole, where a probe of the cluster asks all of its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its address.
    pub node: NodeAddress,
    /// As of the last probe: requests go to those that are up, and to any where none is.
    pub health: Health,
    /// The server's version, if it answered.
    pub version: String,
    /// Why it isn't up, or what else an operator should see of it.
    pub note: String,
}

/// One probe of one node, or of a cluster that serves as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What came of it.
    pub reach: Reach,
    /// How long the probe took.
    pub took: Duration,
    /// Of a cluster that serves as a whole: each of its nodes. Else empty.
    pub peers: Vec<Peer>,
}

impl Observation {
    /// Of one node that is asked for itself.
    pub fn new(reach: Reach, took: Duration) -> Self {
        Self { reach, took, peers: Vec::new() }
    }

    /// The answer, if there was one.
    pub fn answer(&self) -> Option<&Answer> {
        match &self.reach {
            Reach::Answered(answer) => Some(answer),
            _ => None,
        }
    }
}

/// A history of data: the store's own id of it and, where there was one, the history it continues.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Lineage {
    /// Redis: `master_replid`. MySQL: always `gtid`, since there [`Lineage::transactions`] tell the history.
    pub id: String,
    /// Redis: `master_replid2`, empty if none.
    pub previous: String,
    /// Up to which position the previous history is shared. Redis: `second_repl_offset` (-1 is 0 here).
    pub previous_until: u64,
    /// Where a history is a set of named transactions: those that are executed. Redis: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub transactions: Option<Transactions>,
}

/// What a node says of its part in replication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// It takes writes; the standbys that it says are attached, as they announce themselves.
    Primary {
        /// Attached standbys: address and acknowledged position.
        standbys: Vec<(NodeAddress, u64)>,
    },
    /// It follows another node.
    Standby {
        /// The primary as configured at the node.
        of: NodeAddress,
        /// Whether its link to the primary is up.
        link_up: bool,
        /// How long it has heard nothing from the primary, as far as it says.
        silent_for: Option<Duration>,
        /// Whether it is in the middle of a full copy.
        syncing: bool,
    },
}

/// How a primary that is cut off from its standbys stops taking writes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelfFence {
    /// It needs at least so many standbys that keep up. Redis: `min-replicas-to-write`.
    pub standbys: u64,
    /// How long after their last word it has stopped. Redis: `min-replicas-max-lag` and a second, since it counts whole ones. Zero
    /// for one that finishes no write without them, such as a semi-synchronous MySQL.
    pub lag: Duration,
}

/// What a node that answered said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts that a node tells, not the states of one thing")]
pub struct Answer {
    /// The server process's own identity, new at each start. Redis: `run_id`.
    pub run_id: String,
    /// The server's version, e.g. `7.0.15`, with its flavour where that isn't the obvious one (`valkey 9.0.0`).
    pub version: String,
    /// Its part in replication.
    pub part: Part,
    /// Whether it takes writes from ordinary clients now (a fenced primary doesn't).
    pub writable: bool,
    /// Whether it is reading its data from disk and refuses commands.
    pub loading: bool,
    /// Whether our durable fence is set on it.
    pub fenced: bool,
    /// Its history.
    pub lineage: Lineage,
    /// Native position of what it has received (of a primary: of what it has written). Redis: bytes of the replication stream.
    pub received: u64,
    /// Native position of what it has applied.
    pub applied: u64,
    /// Roughly how many items it holds; an empty restart is recognised by it.
    pub items: u64,
    /// Chosen never, or in this order (Redis `replica-priority`; 0 = never).
    pub priority: u32,
    /// Other managers that announce themselves on this node.
    pub other_managers: Vec<String>,
    /// Whether one of them comes before us, in the order of their names, or may not have seen us yet: then we manage nothing, so that
    /// one of all is left.
    pub yields: bool,
    /// How long an idle primary may say nothing to its standbys; absent where it doesn't say. Redis: the ping period.
    pub heartbeat: Option<Duration>,
    /// Whether it stops by itself when it is cut off from its standbys; our own fence doesn't count.
    pub self_fence: Option<SelfFence>,
    /// Why it refuses writes although it is alive and a primary, or would if it were one (its disk is full, say); empty if
    /// it doesn't. Another node may do better. Not a full memory, which is the application's business.
    pub sick: String,
    /// Why the route may not be moved here although it answers (its state is below what the service requires, say); empty if it may.
    /// The routed one serves on, whatever this says.
    pub unfit: String,
    /// Anything else an operator should see, e.g. a failing background save.
    pub note: String,
}

/// What replication doesn't carry, by name: compared between nodes before a switch. Values are shown to operators, so
/// secrets appear as hashes only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fitness {
    /// Name of the fact (such as `maxmemory`, `acl user app`) and its value.
    pub facts: Arc<BTreeMap<String, String>>,
    /// Rights that our login lacks there, each with the statement that mends it.
    pub missing_rights: Vec<String>,
    /// How many items each collection holds, for people: never compared. Elasticsearch: documents of each index; else empty.
    pub counts: Arc<BTreeMap<String, u64>>,
}
