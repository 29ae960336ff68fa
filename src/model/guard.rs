//! Guards: the named conditions that must hold before a switch, and refusals that name the one that did not.

use serde::{Deserialize, Serialize};

macro_rules! guards {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// A condition with a name that operators see, alert on, and may override one by one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Guard { $($(#[$doc])* $variant),+ }

        impl Guard {
            /// Every guard, so that each has its metric from the start.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name used in the API, in metrics and in `--override`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The guard of that name.
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|guard| guard.as_str() == name)
            }
        }
    };
}

guards! {
    /// The candidate answers.
    Reachable = "reachable",
    /// The candidate may be chosen: not drained, a standby of the routed primary (or, without replication, a writable node).
    Eligible = "eligible",
    /// The routed primary answers (a planned switch needs it).
    Primary = "primary",
    /// The candidate's lag is within `max_lag`, and its link is up.
    Lag = "lag",
    /// The candidate shares the primary's history and holds nothing of its own.
    Lineage = "lineage",
    /// Users, rights, memory limits and modes of the candidate equal the primary's.
    Fit = "fit",
    /// What applications rely on is described alike in both clusters, where no replication carries it: indices, mappings, templates.
    Difference = "difference",
    /// Pointsman's own login can do what a switch needs on each node.
    Rights = "rights",
    /// Somebody besides our own probes agrees that the primary is gone.
    Evidence = "evidence",
    /// Pointsman's own thread ran without a pause.
    Tilt = "tilt",
    /// Automatic failover isn't paused.
    Paused = "paused",
    /// The candidate didn't fail as a primary a short time ago.
    Cooldown = "cooldown",
    /// No fence of an earlier operation is left; a primary that may still take writes is fenced or fences itself.
    Fence = "fence",
    /// No session is in a state that can't move.
    Sessions = "sessions",
    /// The journal can be written.
    Journal = "journal",
    /// No other operation runs on this service.
    Busy = "busy",
    /// A second person agreed, where the service asks for one.
    Approval = "approval",
    /// The epoch is the one the operator named.
    Epoch = "epoch",
    /// No other Pointsman manages this service, exactly one node takes writes, no node is configured twice.
    Identity = "identity",
    /// The service's route is known and in a mode that can be switched.
    Route = "route",
}

/// A guard that does not hold, and why, in words an operator can act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Refusal {
    /// Which guard.
    pub name: Guard,
    /// What was found, with names and numbers.
    pub detail: String,
}

impl Refusal {
    /// A refusal by `name` because of `detail`.
    pub fn new(name: Guard, detail: impl Into<String>) -> Self {
        Self { name, detail: detail.into() }
    }
}
