//! The durable state: the fold of the journal.

use super::{
    group::Groups,
    name::{ClusterName, NodeAddress, OperationId, ServiceName},
    observation::Lineage,
    operation::{Operation, Outcome, Step, Terms},
    record::{Change, Record},
    route::{Epoch, Mode, Route, Target},
    view::Practice,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How many ended operations a service remembers beside the journal itself.
const REMEMBERED_OPERATIONS: usize = 32;
/// How many people are remembered who switched a service.
const REMEMBERED_PEOPLE: usize = 16;

/// Who acts where nobody ordered it.
pub const OURSELVES: &str = "pointsman";

/// A fence that was set, or may have been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// The setting's value before; absent until the fence is known to be set.
    pub saved: Option<String>,
    /// Where the node stopped; absent until the fence is known to be set.
    pub position: Option<u64>,
}

/// A primary that a failover left, until it has returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departed {
    /// The operation.
    pub id: OperationId,
    /// The history that was served.
    pub lineage: String,
    /// How far the candidate had received it.
    pub position: u64,
    /// How far the primary itself was when it answered the last time.
    #[serde(default)]
    pub held: u64,
}

/// An operation that has not ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Underway {
    /// Its first state.
    pub operation: Operation,
    /// The target before.
    pub from: Option<Target>,
    /// The target after.
    pub to: Option<Target>,
    /// The last step that was written.
    pub step: Step,
    /// The route's mode when it began, which the route gets back.
    pub mode: Mode,
}

/// A switch that waits for a second person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// As it was asked for.
    pub operation: Operation,
    /// How it is to be carried out.
    pub terms: Terms,
}

/// A primary that was proven silent and that stops by itself when it is cut off from its standbys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Silenced {
    /// The primary.
    pub node: NodeAddress,
    /// How many standbys it said were attached.
    pub attached: u64,
    /// It needs at least so many.
    pub standbys: u64,
    /// How many seconds after their last word it stops.
    pub lag_seconds: u64,
    /// Its position at its last answer.
    pub received: u64,
}

/// The oldest part of the journal, which is not kept any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Removed {
    /// The number of its last record.
    pub seq: u64,
    /// The hash that vouched for all of it: what is left continues this one.
    pub hash: String,
    /// When its last record was written, where this version can read it.
    pub until: Option<Timestamp>,
    /// How many files it was.
    pub segments: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// What is known of one service across restarts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceState {
    /// The highest number given to an operation of this service; the next one takes one more (`cart-17`).
    pub numbered: u64,
    /// The route.
    pub route: Route,
    /// When the route last changed its target or mode.
    pub since: Option<Timestamp>,
    /// Fences that are set or may be.
    pub fences: BTreeMap<NodeAddress, Fence>,
    /// Standbys that follow nobody, by our own doing, and the primary that they lost.
    pub parked: BTreeMap<NodeAddress, NodeAddress>,
    /// Where a primary was when it answered the last time, from when a standby that lost it is parked until none is.
    pub lost_at: Option<(NodeAddress, u64)>,
    /// The routed primary, where its standbys are parked so that it stops by itself.
    pub silenced: Option<Silenced>,
    /// Primaries that failovers left and that have not returned.
    pub departed: BTreeMap<NodeAddress, Departed>,
    /// When each node last failed as a primary.
    pub failed: BTreeMap<NodeAddress, Timestamp>,
    /// Standbys that a switch could not make follow the routed primary.
    pub strays: BTreeSet<NodeAddress>,
    /// The history of the routed primary.
    pub lineage: Option<Lineage>,
    /// The server process that was seen with it; empty if none is known.
    pub process: String,
    /// How many items it held when that was written; zero if it isn't known.
    pub items: u64,
    /// The process that answers as the routed primary and isn't ours, and why, in words.
    pub estranged: Option<(String, String)>,
    /// The operation that has not ended.
    pub underway: Option<Underway>,
    /// The switch that waits for a second person.
    pub waiting: Option<Waiting>,
    /// Who switched it by hand, as planned, the newest first.
    pub practised: Vec<Practice>,
    /// Clusters taken out.
    pub drained: BTreeSet<ClusterName>,
    /// Automatic failover is off until then.
    pub paused_until: Option<Timestamp>,
    /// When the last switch ended.
    pub last_switch: Option<Timestamp>,
    /// The last operations that ended, oldest first, bounded.
    pub ended: VecDeque<Operation>,
    /// Idempotency keys of the last day: request digest, operation, time.
    pub keys: BTreeMap<String, (String, OperationId, Timestamp)>,
}

/// The fold of the whole journal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Each service that was ever written about.
    pub services: BTreeMap<ServiceName, ServiceState>,
    /// Operations of groups and sites.
    pub groups: Groups,
    /// What was removed of the journal last.
    pub removed: Option<Removed>,
    /// The configuration in force last, one entry a setting; secrets are only named.
    pub settings: BTreeMap<String, String>,
}

impl State {
    /// Folds one more record in.
    pub fn apply(&mut self, record: &Record) {
        if let Change::Group { operation, key } = &record.detail {
            self.groups.apply(operation, key.as_ref(), record.time);
        }
        if let Some(svc) = &record.svc {
            self.services.entry(svc.clone()).or_default().apply(record);
        }
        match &record.detail {
            Change::Removed { removed } => self.removed = Some(removed.clone()),
            Change::Configured { set, unset, .. } => {
                self.settings.retain(|key, _| !unset.contains(key));
                self.settings.extend(set.clone());
            }
            _ => {}
        }
    }
}

impl ServiceState {
    /// The highest epoch that may have been shown to anybody: once a promotion was allowed, the new route serves before
    /// it is written.
    pub fn highest_epoch(&self) -> Epoch {
        let promoting = self.underway.as_ref().is_some_and(|u| u.step >= Step::Promote && u.step != Step::Abort);
        if promoting && self.route.mode == Mode::Hold { self.route.epoch.next() } else { self.route.epoch }
    }

    /// Folds one more record of this service in.
    pub fn apply(&mut self, record: &Record) {
        match &record.detail {
            Change::Routed { route } => self.routed(route, record.time),
            Change::Amended { id, lost } => {
                let underway = self.underway.as_mut().map(|underway| &mut underway.operation);
                if let Some(operation) = self.ended.iter_mut().chain(underway).find(|operation| operation.id == *id) {
                    operation.lost = lost.clone();
                }
            }
            Change::Retargeted { id, to } => {
                if let Some(underway) = self.underway.as_mut().filter(|u| u.operation.id == *id) {
                    underway.to = Some(to.clone());
                    underway.operation.to = Some(to.cluster.clone());
                }
            }
            Change::LineageSeen { lineage, process, items, .. } => {
                self.items = *items;
                (self.lineage, self.process, self.estranged) = (Some(lineage.clone()), process.clone(), None);
            }
            Change::Estranged { process, text } => self.estranged = Some((process.clone(), text.clone())),
            Change::Asked { operation, terms } => self.asked(operation, terms),
            Change::Began { operation, from, to } => {
                self.number(operation);
                self.waiting.take_if(|waiting| waiting.operation.id == operation.id);
                self.underway = Some(Underway {
                    operation: (**operation).clone(),
                    from: from.clone(),
                    to: to.clone(),
                    step: Step::Approach,
                    mode: self.route.mode,
                });
            }
            Change::Entered { id, step } => {
                if let Some(underway) = self.underway.as_mut().filter(|u| u.operation.id == *id) {
                    underway.step = *step;
                }
            }
            Change::Ended { operation } => self.ended(operation, record.time),
            Change::Drained { cluster } => {
                self.drained.insert(cluster.clone());
            }
            Change::Restored { cluster } => {
                self.drained.remove(cluster);
            }
            Change::Paused { until } => self.paused_until = Some(*until),
            Change::Resumed => self.paused_until = None,
            Change::Keyed { key, request, id } => {
                let day_ago = record.time - jiff::SignedDuration::from_hours(24);
                self.keys.retain(|_, (_, _, time)| *time >= day_ago);
                self.keys.insert(key.clone(), (request.clone(), id.clone(), record.time));
            }
            Change::FenceIntended { .. }
            | Change::Fenced { .. }
            | Change::Unfenced { .. }
            | Change::Parked { .. }
            | Change::Unparked { .. }
            | Change::Silenced { .. }
            | Change::Departed { .. }
            | Change::Strayed { .. }
            | Change::Gathered { .. } => self.node_changed(&record.detail, record.time),
            Change::Group { .. }
            | Change::Refused { .. }
            | Change::Suspected { .. }
            | Change::Removed { .. }
            | Change::Approved { .. }
            | Change::Overridden { .. }
            | Change::Configured { .. }
            | Change::ConfigurationRejected { .. }
            | Change::Noted { .. } => {}
        }
    }

    /// Folds in what became of one node.
    fn node_changed(&mut self, change: &Change, time: Timestamp) {
        match change {
            Change::FenceIntended { node } => {
                self.fences.entry(node.clone()).or_insert(Fence { saved: None, position: None });
            }
            Change::Fenced { node, saved, position } => {
                self.fences.insert(node.clone(), Fence { saved: saved.clone(), position: Some(*position) });
            }
            Change::Unfenced { node } => {
                self.fences.remove(node);
                self.departed.remove(node);
            }
            Change::Parked { node, of, position } => {
                self.parked.insert(node.clone(), of.clone());
                if *position > 0 {
                    self.lost_at = Some((of.clone(), *position));
                }
            }
            Change::Unparked { node } => {
                self.parked.remove(node);
                if self.parked.is_empty() {
                    (self.silenced, self.lost_at) = (None, None);
                }
            }
            Change::Silenced { silenced } => self.silenced = Some(silenced.clone()),
            Change::Departed { node, id, lineage, position, held } => {
                let (position, held) = (*position, *held);
                let departed = Departed { id: id.clone(), lineage: lineage.clone(), position, held };
                self.departed.insert(node.clone(), departed);
                self.failed.insert(node.clone(), time);
            }
            Change::Strayed { node } => {
                self.strays.insert(node.clone());
            }
            Change::Gathered { node } => {
                self.strays.remove(node);
            }
            _ => {}
        }
    }

    fn asked(&mut self, operation: &Operation, terms: &Terms) {
        self.number(operation);
        self.waiting = Some(Waiting { operation: operation.clone(), terms: terms.clone() });
    }

    /// An older epoch never replaces a newer one, whatever order the records come in.
    fn routed(&mut self, route: &Route, time: Timestamp) {
        if route.epoch >= self.route.epoch {
            let routed = route.target.as_ref().map(|target| &target.node);
            self.silenced.take_if(|silenced| Some(&silenced.node) != routed);
            self.route = route.clone();
            self.since = Some(time);
        }
    }

    /// A planned switch by hand that moved the route is practice for whoever ordered it.
    fn practise(&mut self, operation: &Operation, time: Timestamp) {
        let moved = operation.epoch_after.is_some_and(|after| after > operation.epoch_before);
        let by_hand = operation.kind == "switchover" && operation.actor != OURSELVES;
        if !moved || !by_hand || operation.outcome != Outcome::Done {
            return;
        }
        let Operation { actor, rehearsal, .. } = operation;
        self.practised.retain(|practice| practice.name != *actor);
        self.practised.insert(0, Practice { name: actor.clone(), time, rehearsal: *rehearsal });
        self.practised.truncate(REMEMBERED_PEOPLE);
    }

    /// Ids end in `-N`; the largest N seen is remembered, so that no id is given twice, over restarts too.
    fn number(&mut self, operation: &Operation) {
        let number = operation.id.as_str().rsplit('-').next().and_then(|text| text.parse().ok());
        self.numbered = self.numbered.max(number.unwrap_or(0));
    }

    fn ended(&mut self, operation: &Operation, time: Timestamp) {
        self.number(operation);
        if self.underway.as_ref().is_some_and(|u| u.operation.id == operation.id) {
            self.underway = None;
        }
        self.waiting.take_if(|waiting| waiting.operation.id == operation.id);
        self.practise(operation, time);
        if operation.epoch_after.is_some_and(|after| after > operation.epoch_before) {
            self.last_switch = Some(time);
        }
        // One that had to be written a second time is still one.
        self.ended.retain(|ended| ended.id != operation.id);
        if self.ended.len() >= REMEMBERED_OPERATIONS {
            self.ended.pop_front();
        }
        self.ended.push_back(operation.clone());
    }
}
