//! Operations of several services at once: of a group, whose members switch together, and of a site that is left.
//!
//! Each member keeps its own route, epoch and operation; what stands here only says which of them belong together, and how far they
//! came. The fold of their records is part of the state.

use super::{
    guard::Refusal,
    name::{ClusterName, OperationId, ServiceName},
    operation::{Outcome, Terms},
    route::{Epoch, Mode},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// How many ended operations of groups and sites are remembered beside the journal.
const REMEMBERED: usize = 64;

/// What happens to the others when a member can't be switched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// No further member is switched; those that were stay where they are.
    #[default]
    Stop,
    /// Those that were switched go back.
    SwitchBack,
    /// The others are switched all the same: a site that is left, and what is no switch.
    GoOn,
}

impl OnError {
    /// The word of the configuration and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::SwitchBack => "switch_back",
            Self::GoOn => "go_on",
        }
    }
}

/// How one member of such an operation stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GroupMember {
    /// The service.
    pub svc: ServiceName,
    /// Its own operation, once there is one.
    pub operation: Option<OperationId>,
    /// How that stands; absent until its turn comes.
    pub outcome: Option<Outcome>,
    /// The cluster before.
    pub from: Option<ClusterName>,
    /// The cluster after.
    pub to: Option<ClusterName>,
    /// The epoch that it is bound to.
    pub epoch: Epoch,
    /// What stands in the way, what went wrong, or that it was switched back.
    pub detail: String,
}

impl GroupMember {
    /// Its guards refused, so that it isn't moved with the others.
    pub fn stays(&self) -> bool {
        self.outcome == Some(Outcome::Refused)
    }
}

/// What is done to every member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum GroupKind {
    /// A planned switch of each.
    Switchover,
    /// Automatic failover off for so long.
    Pause {
        /// In seconds.
        seconds: u64,
    },
    /// Automatic failover on again.
    Resume,
    /// Minimum service.
    Mode {
        /// Which.
        mode: Mode,
    },
}

impl GroupKind {
    /// The name used in the API and in the journal.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Switchover => "switchover",
            Self::Pause { .. } => "pause",
            Self::Resume => "resume",
            Self::Mode { .. } => "mode",
        }
    }
}

/// An operation of a group or a site, as the API, the CLI and the journal show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GroupOperation {
    /// Its id: the group's name, `-` and a number that only grows; `site:` and a number for a site.
    pub id: OperationId,
    /// The group's name, or `site ` and the site's.
    pub group: String,
    /// What is done.
    #[serde(flatten)]
    pub kind: GroupKind,
    /// Who ordered it.
    pub actor: String,
    /// Who approved it, for all members.
    pub approver: Option<String>,
    /// Until when it waits for a second person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// It was done for practice.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearsal: bool,
    /// Why.
    pub reason: String,
    /// When it began, or was asked for.
    pub started: Timestamp,
    /// How it stands. Partial: some members were switched and others weren't.
    pub outcome: Outcome,
    /// What happens when a member can't be switched.
    pub on_error: OnError,
    /// Guards that refused, each with the service that it is about.
    #[serde(default)]
    pub guards: Vec<Refusal>,
    /// What went wrong, or what to look at.
    pub detail: String,
    /// The members, in the order in which they are switched.
    pub members: Vec<GroupMember>,
    /// How each is to be carried out.
    #[serde(default)]
    pub terms: Terms,
}

impl GroupOperation {
    /// One that has just begun, with nothing known of it yet but what it is.
    pub fn begun(id: impl Into<OperationId>, group: impl Into<String>, kind: GroupKind) -> Self {
        Self {
            id: id.into(),
            group: group.into(),
            kind,
            actor: String::new(),
            approver: None,
            expires: None,
            rehearsal: false,
            reason: String::new(),
            started: Timestamp::UNIX_EPOCH,
            outcome: Outcome::Running,
            on_error: OnError::Stop,
            guards: Vec::new(),
            detail: String::new(),
            members: Vec::new(),
            terms: Terms::default(),
        }
    }

    /// Whether it runs or waits.
    pub fn is_open(&self) -> bool {
        matches!(self.outcome, Outcome::Running | Outcome::Waiting)
    }
}

/// Where the members of a group stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gathering {
    /// All routes lead to one place.
    Together,
    /// They lead to several.
    Split,
    /// An operation of the group runs.
    Switching,
    /// One waits for a second person.
    Waiting,
}

impl Gathering {
    /// The name used in the API and in `status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Together => "together",
            Self::Split => "split",
            Self::Switching => "switching",
            Self::Waiting => "waiting",
        }
    }
}

/// A group as shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GroupView {
    /// Its name; of a site's operation `site ` and the site's name.
    pub name: String,
    /// Its members, in the order in which they are switched.
    pub members: Vec<ServiceName>,
    /// What happens when one of them can't be switched.
    pub on_error: OnError,
    /// Where they stand.
    pub state: Gathering,
    /// Whether their routes lead to several places, also while an operation runs or waits.
    pub split: bool,
    /// The site of all routes; absent where they differ, or where clusters have no site.
    pub site: Option<String>,
    /// Who stands where, where that differs; else empty.
    pub note: String,
    /// The operation that runs or waits, else the last one.
    pub operation: Option<GroupOperation>,
}

/// A cluster of a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SiteCluster {
    /// The service.
    pub svc: ServiceName,
    /// Its cluster there.
    pub cluster: ClusterName,
}

/// A site as shown: what stands there, and what is served from there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SiteView {
    /// Its name.
    pub name: String,
    /// Services whose route leads there.
    pub routed: Vec<ServiceName>,
    /// The clusters there.
    pub clusters: Vec<SiteCluster>,
}

/// An idempotency key and a digest of the request that came with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GroupKey {
    /// The key.
    pub key: String,
    /// The digest.
    pub request: String,
}

/// What is known of groups' and sites' operations across restarts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Groups {
    /// By what stands before the number in an id: the highest number that was given.
    pub numbered: BTreeMap<String, u64>,
    /// Those that run or wait, by id.
    pub open: BTreeMap<OperationId, GroupOperation>,
    /// The last ones that ended, oldest first.
    pub ended: VecDeque<GroupOperation>,
    /// Idempotency keys of the last day: request digest, operation, time.
    pub keys: BTreeMap<String, (String, OperationId, Timestamp)>,
}

impl Groups {
    /// The next id of this group or of any site.
    pub fn next_id(&self, group: &str) -> OperationId {
        let before = if group.starts_with(SITE) { "site:".to_owned() } else { format!("{group}-") };
        let number = self.numbered.get(&before).map_or(1, |number| number + 1);
        format!("{before}{number}").into()
    }

    /// An operation that runs, waits, or ended lately.
    pub fn operation(&self, id: &OperationId) -> Option<&GroupOperation> {
        self.open.get(id).or_else(|| self.ended.iter().rev().find(|operation| operation.id == *id))
    }

    /// Folds one more state of an operation in.
    pub fn apply(&mut self, operation: &GroupOperation, key: Option<&GroupKey>, time: Timestamp) {
        let id = operation.id.as_str();
        let before = id.trim_end_matches(|letter: char| letter.is_ascii_digit());
        let number = id[before.len()..].parse().unwrap_or(0);
        let highest = self.numbered.entry(before.to_owned()).or_default();
        *highest = number.max(*highest);
        if let Some(GroupKey { key, request }) = key {
            let day_ago = time - jiff::SignedDuration::from_hours(24);
            self.keys.retain(|_, (_, _, time)| *time >= day_ago);
            self.keys.insert(key.clone(), (request.clone(), operation.id.clone(), time));
        }
        if operation.is_open() {
            self.open.insert(operation.id.clone(), operation.clone());
            return;
        }
        self.open.remove(&operation.id);
        self.ended.retain(|ended| ended.id != operation.id);
        if self.ended.len() >= REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back(operation.clone());
    }
}

/// How the `group` of a site's operation begins; no group's name has a blank.
pub const SITE: &str = "site ";

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(id: &str, outcome: Outcome) -> GroupOperation {
        GroupOperation {
            actor: "ann".into(),
            outcome,
            ..GroupOperation::begun(id, "checkout", GroupKind::Mode { mode: Mode::ReadOnly })
        }
    }

    #[test]
    fn ids_grow_and_what_ended_is_not_open() {
        let mut groups = Groups::default();
        assert_eq!(groups.next_id("checkout").as_str(), "checkout-1");
        let key = GroupKey { key: "k".into(), request: "r".into() };
        groups.apply(&operation("checkout-7", Outcome::Running), Some(&key), Timestamp::UNIX_EPOCH);
        groups.apply(&operation("site:2", Outcome::Waiting), None, Timestamp::UNIX_EPOCH);
        assert_eq!(groups.open.len(), 2);
        groups.apply(&operation("checkout-7", Outcome::Done), None, Timestamp::UNIX_EPOCH);
        assert_eq!((groups.open.len(), groups.ended.len(), groups.keys.len()), (1, 1, 1));
        assert_eq!(groups.next_id("checkout").as_str(), "checkout-8");
        assert_eq!(groups.next_id("site east").as_str(), "site:3");
        let json = serde_json::to_value(operation("checkout-7", Outcome::Done)).expect("JSON");
        assert_eq!((json["kind"].as_str(), json["mode"].as_str()), (Some("mode"), Some("read_only")));
        let back: GroupOperation = serde_json::from_value(json).expect("an operation");
        assert_eq!(back, operation("checkout-7", Outcome::Done));
    }
}
