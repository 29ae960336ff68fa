//! What `status` and the API show of a service.

use super::{
    guard::Refusal,
    name::{ClusterName, Kind, NodeAddress, ServiceName},
    operation::Operation,
    route::{Epoch, Mode},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Part of a cluster or node in its service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the contract's words, explained in the design")]
pub enum Role {
    Primary,
    Standby,
    Drained,
    Fenced,
    Returning,
    #[default]
    Unknown,
}

/// Whether a cluster or node is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the contract's words, explained in the design")]
pub enum Health {
    Up,
    Suspect,
    Down,
    #[default]
    Unknown,
}

/// What the decision core of a service is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the contract's words, explained in the design")]
pub enum Standing {
    #[default]
    Starting,
    Steady,
    Suspect,
    Blocked,
    Holding,
    Switching,
    Returning,
    Isolated,
    Paused,
    Closed,
}

macro_rules! lower_case_names {
    ($type:ty: $($variant:ident = $name:literal),+) => {
        impl $type {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name used in the API and in `status`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}
lower_case_names!(Role: Primary = "primary", Standby = "standby", Drained = "drained", Fenced = "fenced", Returning = "returning", Unknown = "unknown");
lower_case_names!(Health: Up = "up", Suspect = "suspect", Down = "down", Unknown = "unknown");
lower_case_names!(Standing: Starting = "starting", Steady = "steady", Suspect = "suspect", Blocked = "blocked", Holding = "holding", Switching = "switching", Returning = "returning", Isolated = "isolated", Paused = "paused", Closed = "closed");

/// The route as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RouteView {
    /// The cluster.
    pub cluster: ClusterName,
    /// The node.
    pub node: NodeAddress,
    /// Since when.
    pub since: Option<Timestamp>,
}

/// Whether an operation would be let through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Readiness {
    /// Yes or no.
    pub ready: bool,
    /// Where it would go.
    pub to: Option<ClusterName>,
    /// Why not.
    pub reasons: Vec<Refusal>,
}

/// One node as shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NodeView {
    /// Its configured address.
    pub address: NodeAddress,
    /// Whether it is well.
    pub health: Health,
    /// Its part.
    pub role: Role,
    /// Its version; empty until it answered.
    pub version: String,
    /// What an operator should know; empty if nothing.
    pub note: String,
    /// As for the cluster.
    pub lag_seconds: Option<f64>,
    /// How long the last probe took, in seconds.
    pub probe_seconds: Option<f64>,
}

/// One cluster as shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ClusterView {
    /// Its name.
    pub name: ClusterName,
    /// Its site.
    pub site: String,
    /// Its part.
    pub role: Role,
    /// Whether it is well.
    pub health: Health,
    /// How long ago the primary's position was the one that it has received.
    pub lag_seconds: Option<f64>,
    /// How long ago it had received what it has applied.
    pub delay_seconds: Option<f64>,
    /// The native distance to the primary.
    pub distance: Option<u64>,
    /// Whether it is taken out.
    pub drained: bool,
    /// Its nodes.
    pub nodes: Vec<NodeView>,
}

/// Connections of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Connections {
    /// Applications' connections.
    pub client: u64,
    /// Those of them that are on the read port.
    #[serde(default)]
    pub read_client: u64,
    /// Upstream connections that many clients share.
    pub shared_upstream: u64,
    /// Upstream connections of one client each.
    pub pinned_upstream: u64,
}

/// Who last moved a service by hand, so that a team sees who has practised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Practice {
    /// The person.
    pub name: String,
    /// When the person's last switch of this service was done.
    pub time: Timestamp,
    /// Whether it was for practice.
    pub rehearsal: bool,
}

/// A service as shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServiceView {
    /// Its name.
    pub name: ServiceName,
    /// Its kind.
    pub kind: Kind,
    /// The route's mode.
    pub mode: Mode,
    /// The route's epoch.
    pub epoch: Epoch,
    /// What the core is doing.
    pub state: Standing,
    /// Why, in words; empty if there is nothing to say.
    pub note: String,
    /// Where the traffic goes; absent until a primary is known.
    pub route: Option<RouteView>,
    /// Where the read port leads; absent where there is none, and until a node is known.
    #[serde(default)]
    pub read_route: Option<RouteView>,
    /// Would a planned switch be let through?
    pub switchover_ready: Readiness,
    /// Would a failover?
    pub failover_ready: Readiness,
    /// The clusters, in order of preference.
    pub clusters: Vec<ClusterView>,
    /// Connections, as the workers count them.
    pub connections: Connections,
    /// Who to call.
    pub on_call: String,
    /// The operation that runs or waits for a second person.
    #[serde(default)]
    pub operation: Option<Operation>,
    /// Whether a switch by hand waits for a second person.
    #[serde(default)]
    pub require_approval: bool,
    /// The groups that it switches with.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Who last switched it by hand, the newest first, one entry a person.
    #[serde(default)]
    pub practised: Vec<Practice>,
    /// What is not wrong now and will hurt: all clusters in one site, fewer than two people who have practised.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl ServiceView {
    /// A service of which nothing is known yet.
    pub fn unknown(name: ServiceName, kind: Kind) -> Self {
        Self {
            name,
            kind,
            mode: Mode::Closed,
            epoch: Epoch(0),
            state: Standing::Starting,
            note: String::new(),
            route: None,
            read_route: None,
            switchover_ready: Readiness::default(),
            failover_ready: Readiness::default(),
            clusters: Vec::new(),
            connections: Connections::default(),
            on_call: String::new(),
            operation: None,
            require_approval: false,
            groups: Vec::new(),
            practised: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// What a node holds that the primary doesn't have, and what makes it a standby again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rebuild {
    /// What nobody else has, in the server's own notation, cut short where it is long; empty if nothing.
    pub holds: String,
    /// Commands that show what that is in full, to be read or saved before it is given up.
    pub look: Vec<String>,
    /// Commands that make the node a standby of the primary again, in their order. They give up what it alone holds.
    pub commands: Vec<String>,
}
