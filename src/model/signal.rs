//! What the data path tells control: passive signs of a node's trouble, and answers to changes of the route.

use super::{name::NodeAddress, route::Epoch};
use serde::{Deserialize, Serialize};

/// Sent up by a worker through the board's bounded mailbox. A lost sign is harmless (a probe finds out); answers are
/// sent again until the route moves on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Connecting to the node was refused.
    Refused(NodeAddress),
    /// A live connection to the node broke.
    Reset(NodeAddress),
    /// A request got no answer for long.
    TimedOut(NodeAddress),
    /// The node answered that it isn't what the route says (READONLY, LOADING, ...).
    WrongRole(NodeAddress),
    /// Another process answers there than the one that is served.
    Stranger(NodeAddress),
    /// This worker has its upstreams and subscriptions ready on the next target.
    Warm {
        /// The worker's index.
        worker: usize,
        /// The epoch of the view that asked for it.
        epoch: Epoch,
    },
    /// This worker has seen the hold of this epoch and sends nothing more to the old node.
    Held {
        /// The worker's index.
        worker: usize,
        /// The epoch of the hold.
        epoch: Epoch,
    },
    /// This worker has seen the hold of this epoch and has nothing in flight on the old route any more.
    Drained {
        /// The worker's index.
        worker: usize,
        /// The epoch of the hold.
        epoch: Epoch,
    },
    /// This worker's subscriptions were handed over: everything the old node published was delivered, the new one's copies dropped.
    HandedOver {
        /// The worker's index.
        worker: usize,
        /// The epoch of the hold.
        epoch: Epoch,
    },
    /// How long requests waited in the hold that just ended, at most, in microseconds.
    Stalled {
        /// The worker's index.
        worker: usize,
        /// The epoch that ended the hold.
        epoch: Epoch,
        /// The longest wait.
        longest_us: u64,
    },
}

/// A session that can't move now, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StuckSession {
    /// The client's address.
    pub client: String,
    /// Why it can't move, e.g. `unknown command JSON.SET`, `transaction open for 3 s`.
    pub why: String,
}
