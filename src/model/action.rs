//! What the decision core asks a store to do at a node, and what comes back.

use super::{name::NodeAddress, observation::Lineage};
use serde::{Deserialize, Serialize};

/// One step at one node. Every action is idempotent: after a crash it is sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Stop writes at `node`, durably: pause, then the setting that doesn't expire; answers [`Done::Fenced`].
    Fence {
        /// The primary to fence.
        node: NodeAddress,
    },
    /// Wait until `node` has applied `position` of `lineage` with its link up; answers [`Done::CaughtUp`].
    CatchUp {
        /// The candidate.
        node: NodeAddress,
        /// What it must have applied.
        position: u64,
        /// Whose history it must be.
        lineage: Lineage,
    },
    /// Read the fenced primary's position again, and fail (not retryable) if it isn't `position` or the fence is gone; answers
    /// [`Done::Confirmed`], or [`Done::Grown`] where only heartbeats came after it.
    Confirm {
        /// The fenced primary.
        node: NodeAddress,
        /// Where it must still be.
        position: u64,
    },
    /// Make `node` the primary and see that it says so; answers [`Done::Promoted`]. The point of no return.
    Promote {
        /// The candidate.
        node: NodeAddress,
    },
    /// Make the fenced old primary a standby of `to`, see that it says so, then end the pause and cut every client
    /// connection there that isn't ours; answers [`Done::Demoted`]. The durable setting stays until [`Action::Unfence`].
    Demote {
        /// The old primary.
        node: NodeAddress,
        /// The new one.
        to: NodeAddress,
    },
    /// Make a standby follow `to`; answers [`Done::Repointed`].
    Repoint {
        /// The standby.
        node: NodeAddress,
        /// The primary to follow.
        to: NodeAddress,
    },
    /// Put the setting back that the fence changed, and end its pause; answers [`Done::Unfenced`].
    Unfence {
        /// The fenced node.
        node: NodeAddress,
        /// What [`Done::Fenced`] saved; absent if we crashed before it was known, then the store's default is set.
        saved: Option<String>,
    },
    /// Write the node's changed settings into its own configuration file, where it has one; answers [`Done::Persisted`].
    Persist {
        /// The node.
        node: NodeAddress,
    },
}

impl Action {
    /// The node it is for.
    pub fn node(&self) -> &NodeAddress {
        match self {
            Self::Fence { node }
            | Self::CatchUp { node, .. }
            | Self::Confirm { node, .. }
            | Self::Promote { node }
            | Self::Demote { node, .. }
            | Self::Repoint { node, .. }
            | Self::Unfence { node, .. }
            | Self::Persist { node } => node,
        }
    }
}

/// How an action ended well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "done", rename_all = "snake_case")]
pub enum Done {
    /// No write is accepted any more; the last position, its history, and the setting's value before.
    Fenced {
        /// Where the primary stopped.
        position: u64,
        /// Its history.
        lineage: Lineage,
        /// The value to put back.
        saved: Option<String>,
    },
    /// The candidate applied the position asked for.
    CaughtUp,
    /// The fenced primary hasn't moved.
    Confirmed,
    /// It is fenced, and grew by what may only be heartbeats: the candidate must have applied them too before it is promoted.
    Grown {
        /// Where the primary is now.
        position: u64,
    },
    /// The candidate is the primary.
    Promoted,
    /// The old primary is a standby.
    Demoted,
    /// The standby follows the new primary.
    Repointed,
    /// The fence is gone.
    Unfenced,
    /// The node's configuration file is up to date, or it has none.
    Persisted,
}
