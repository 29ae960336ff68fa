//! The route of a service: where its traffic goes, under which epoch, in which mode.

use super::name::{ClusterName, NodeAddress};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A number that only grows; each change of a route takes a larger one, each session remembers the one it connected under.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The next epoch. Saturates after 2^64 changes, which never come.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What applications may do on a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Reads and writes.
    Open,
    /// Nothing new is sent; requests wait, within bounds.
    Hold,
    /// Commands that only read.
    ReadOnly,
    /// Every request is refused with an honest error.
    #[default]
    Closed,
}

impl Mode {
    /// All modes, in the order in which metrics list them.
    pub const ALL: [Self; 4] = [Self::Open, Self::Hold, Self::ReadOnly, Self::Closed];

    /// The name used in configuration, metrics and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Hold => "hold",
            Self::ReadOnly => "read_only",
            Self::Closed => "closed",
        }
    }
}

/// One node of one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Target {
    /// The cluster.
    pub cluster: ClusterName,
    /// Its node that takes writes.
    pub node: NodeAddress,
}

/// Where a service's traffic goes. `target` is absent until a primary is known for the first time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Route {
    /// Grows with each change of this value.
    pub epoch: Epoch,
    /// What is let through.
    pub mode: Mode,
    /// Where it goes.
    pub target: Option<Target>,
}

/// How far the next target is to be made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Readying {
    /// Connect upstreams and subscribe there while the old one still delivers; report [`super::signal::Signal::Warm`].
    Warm,
    /// The old node is fenced and the next has caught up: end the old subscriptions at a PING, drop the new one's copies
    /// up to a PING; report [`super::signal::Signal::HandedOver`].
    HandOver,
}
