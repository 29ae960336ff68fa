//! What was found about a primary that may be gone, so that it can be read afterwards why something was done, or nothing.

use super::name::NodeAddress;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Something was wrong with the routed primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Suspicion {
    /// The primary.
    pub node: NodeAddress,
    /// When the first probe failed.
    pub began: Timestamp,
    /// What came of it.
    pub end: Ending,
    /// Why, in words.
    pub words: String,
    /// What was found, in its order; what was written of the same suspicion before isn't repeated.
    pub evidence: Vec<Evidence>,
    /// How much more was found than is kept.
    #[serde(default)]
    pub left_out: u64,
    /// How many suspicions before this one ended so soon that they have no record.
    #[serde(default)]
    pub brief: u64,
}

/// What came of a suspicion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It lasts.
    Open,
    /// Nothing was done: the primary answers again, or the route left it.
    Cleared,
    /// The route moves.
    Failover,
}

/// One finding. Who says the same again isn't noted twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Evidence {
    /// When.
    pub time: Timestamp,
    /// What sort.
    pub source: Source,
    /// About whom, or by whom.
    pub who: String,
    /// What, in words.
    pub words: String,
}

/// Where a finding comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A probe of the primary.
    Probe,
    /// Live traffic met it.
    Signal,
    /// A standby says what it hears of it.
    Witness,
    /// What follows from all of that.
    Verdict,
    /// What was done at once.
    Action,
}

impl Source {
    /// The name used in the API and by the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Signal => "signal",
            Self::Witness => "witness",
            Self::Verdict => "verdict",
            Self::Action => "action",
        }
    }
}
