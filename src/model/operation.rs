//! Orders, and the operations they become: what operators ask for, watch, and read afterwards.

use super::{
    guard::{Guard, Refusal},
    name::{ClusterName, OperationId, ServiceName},
    route::{Epoch, Mode},
    signal::StuckSession,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A planned switch, to `to` or else to the next cluster in order.
    Switchover {
        /// The cluster asked for.
        to: Option<ClusterName>,
        /// Only evaluate the guards.
        dry_run: bool,
        /// Cut sessions that can't move instead of refusing.
        cut_sessions: bool,
        /// How long the approach may take.
        timeout: Duration,
    },
    /// An unplanned switch, by hand.
    Failover {
        /// The cluster asked for.
        to: Option<ClusterName>,
        /// Only evaluate the guards.
        dry_run: bool,
        /// The operator accepts that writes may be lost.
        accept_loss: bool,
    },
    /// Automatic failover off for a while.
    Pause(Duration),
    /// Automatic failover on again.
    Resume,
    /// Minimum service.
    Mode(Mode),
    /// Take a cluster out of what may be chosen.
    Drain(ClusterName),
    /// Put it back.
    Restore(ClusterName),
    /// A second person agrees to a switch that waits for one.
    Approve(OperationId),
    /// A switch that waits for a second person is given up.
    Withdraw(OperationId),
}

impl Command {
    /// The name used in the API, in metrics and in the journal.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Switchover { .. } => "switchover",
            Self::Failover { .. } => "failover",
            Self::Pause(_) => "pause",
            Self::Resume => "resume",
            Self::Mode(_) => "mode",
            Self::Drain(_) => "drain",
            Self::Restore(_) => "restore",
            Self::Approve(_) => "approve",
            Self::Withdraw(_) => "withdraw",
        }
    }
}

/// An order, with who gave it and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What.
    pub command: Command,
    /// Who: a person's name, or `uid:0` where the configuration has none; `pointsman` for its own decisions.
    pub actor: String,
    /// Why, in the operator's words; may be empty.
    pub reason: String,
    /// Refuse unless the route is at this epoch.
    pub if_epoch: Option<Epoch>,
    /// Guards that the operator overrides by name.
    pub overrides: Vec<Guard>,
    /// Who agreed already, where the order comes from an operation of several services that was approved as a whole.
    pub approver: Option<String>,
    /// The operation of a group or a site that this is a part of.
    pub group: Option<OperationId>,
    /// It is done for practice.
    pub rehearsal: bool,
}

impl Order {
    /// An order without conditions, overrides or a second person.
    pub fn new(command: Command, actor: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            command,
            actor: actor.into(),
            reason: reason.into(),
            if_epoch: None,
            overrides: Vec::new(),
            approver: None,
            group: None,
            rehearsal: false,
        }
    }
}

/// How a switch that waits for a second person is to be carried out, beside what its operation says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Terms {
    /// Cut sessions that can't move instead of refusing.
    pub cut_sessions: bool,
    /// How long the approach may take, in milliseconds.
    pub timeout_ms: u64,
    /// A failover: writes may be lost.
    pub accept_loss: bool,
    /// Guards that the operator overrides by name.
    pub overrides: Vec<Guard>,
}

impl Terms {
    /// Those of an order.
    pub fn of(order: &Order) -> Self {
        let overrides = order.overrides.clone();
        match order.command {
            Command::Switchover { cut_sessions, timeout, .. } => Self {
                cut_sessions,
                timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
                accept_loss: false,
                overrides,
            },
            Command::Failover { accept_loss, .. } => Self { accept_loss, overrides, ..Self::default() },
            _ => Self { overrides, ..Self::default() },
        }
    }
}

/// How an operation ended, or that it hasn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// What was asked for is so.
    Done,
    /// A guard said no; nothing changed.
    Refused,
    /// It failed and the old route serves.
    RolledBack,
    /// Some of it happened, and more needs a look.
    Partial,
    /// Nobody knows yet.
    Unknown,
    /// Under way.
    Running,
    /// Waits for a second person.
    Waiting,
}

impl Outcome {
    /// All outcomes, so that each has its metric from the start.
    pub const ALL: [Self; 7] =
        [Self::Done, Self::Refused, Self::RolledBack, Self::Partial, Self::Unknown, Self::Running, Self::Waiting];

    /// The name used in the API and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::RolledBack => "rolled_back",
            Self::Partial => "partial",
            Self::Unknown => "unknown",
            Self::Running => "running",
            Self::Waiting => "waiting",
        }
    }
}

/// One step of a switch. Each is a phase with its own duration in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Everything runs; sessions that can't move are waited for, the next target is warmed, the delay shrinks.
    Approach,
    /// The hold is in force and what was in flight finishes.
    Close,
    /// The old primary stops taking writes.
    Fence,
    /// The candidate applies all that the old one wrote.
    CatchUp,
    /// Subscriptions change sides.
    HandOver,
    /// The point of no return.
    Promote,
    /// The new route serves.
    Serve,
    /// The old primary becomes a standby, the others follow the new one, the fence is lifted.
    Demote,
    /// Everything is looked at once more.
    Verify,
    /// Before the point of no return: the fence is lifted and the old route opens again.
    Abort,
}

impl Step {
    /// All steps, in order.
    pub const ALL: [Self; 10] = [
        Self::Approach,
        Self::Close,
        Self::Fence,
        Self::CatchUp,
        Self::HandOver,
        Self::Promote,
        Self::Serve,
        Self::Demote,
        Self::Verify,
        Self::Abort,
    ];

    /// The name used in the API, in metrics and in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approach => "approach",
            Self::Close => "close",
            Self::Fence => "fence",
            Self::CatchUp => "catch_up",
            Self::HandOver => "hand_over",
            Self::Promote => "promote",
            Self::Serve => "serve",
            Self::Demote => "demote",
            Self::Verify => "verify",
            Self::Abort => "abort",
        }
    }
}

/// A finished or running phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Phase {
    /// Which step.
    pub name: Step,
    /// How long it took, in milliseconds.
    pub ms: f64,
}

/// What was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Loss {
    /// False: `count` is an upper bound.
    pub known: bool,
    /// How much.
    pub count: u64,
    /// In which unit.
    pub unit: String,
    /// More, in words.
    pub detail: String,
}

impl Default for Loss {
    fn default() -> Self {
        Self { known: true, count: 0, unit: "bytes".into(), detail: String::new() }
    }
}

/// An operation as the API, the CLI and the journal show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// The service.
    pub svc: ServiceName,
    /// `switchover`, `failover`, `mode`, ...
    pub kind: String,
    /// The cluster before.
    pub from: Option<ClusterName>,
    /// The cluster after.
    pub to: Option<ClusterName>,
    /// The route's epoch before.
    pub epoch_before: Epoch,
    /// The route's epoch after.
    pub epoch_after: Option<Epoch>,
    /// When it began.
    pub started: Timestamp,
    /// Who ordered it.
    pub actor: String,
    /// Who approved it.
    pub approver: Option<String>,
    /// Until when it waits for a second person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The operation of a group or a site that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<OperationId>,
    /// It was done for practice.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearsal: bool,
    /// Why.
    pub reason: String,
    /// Guards that refused, or were overridden.
    pub guards: Vec<Refusal>,
    /// Sessions that couldn't move, where that is why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<StuckSession>,
    /// How it stands.
    pub outcome: Outcome,
    /// What went wrong, or what to look at.
    #[serde(default)]
    pub detail: String,
    /// Its phases so far.
    pub phases: Vec<Phase>,
    /// The longest wait of any client's request in the hold, in milliseconds, once known.
    pub client_stall_ms: Option<f64>,
    /// What was lost.
    pub lost: Loss,
}

impl Operation {
    /// One that has just begun, with nothing known of it yet but what it is.
    pub fn begun(id: impl Into<OperationId>, svc: impl Into<ServiceName>, kind: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            svc: svc.into(),
            kind: kind.into(),
            from: None,
            to: None,
            epoch_before: Epoch(0),
            epoch_after: None,
            started: Timestamp::UNIX_EPOCH,
            actor: String::new(),
            approver: None,
            expires: None,
            group: None,
            rehearsal: false,
            reason: String::new(),
            guards: Vec::new(),
            sessions: Vec::new(),
            outcome: Outcome::Running,
            detail: String::new(),
            phases: Vec::new(),
            client_stall_ms: None,
            lost: Loss::default(),
        }
    }
}

impl Operation {
    /// A switchover or a failover.
    pub fn is_switch(&self) -> bool {
        matches!(self.kind.as_str(), "switchover" | "failover")
    }
}
