//! Roles that aren't as they should be although nobody is switching, and that nobody ordered: they are mended.
//!
//! Inputs: a routed primary that restarted as a standby, since its own start-up file says so; standbys that still follow
//! another of our nodes, since they could not be reached when the primary moved. Output: the first is made primary again if
//! its history proves that it is ours, the others follow it. It never promotes a node that isn't routed.

use super::{
    Now,
    health::NodeState,
    machine::{Machine, Pending, Then},
    roles::{Strange, continues},
};
use crate::model::{
    action::{Action, Done},
    error::StoreError,
    name::NodeAddress,
    observation::{Answer, Part},
    record::{Change, RecordKind},
    route::Target,
};
use std::time::Duration;

/// Between two tries.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Somebody may be moving the roles by hand: so long is waited for the end of that.
const STRAY: Duration = Duration::from_secs(5);

/// Whether a standby has more of the served history than its primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ahead {
    /// None has.
    Nobody,
    /// One may: it was asked after the primary, and the primary is asked again.
    Unknown,
    /// This one has.
    Standby(String),
}

impl Machine {
    /// The routed node answers as a standby and no other primary is there. If its process is a new one, it is its own file
    /// that says so: with our history it serves again, with another one it is strange. Else somebody is moving it.
    pub(super) fn watch_fallen(&mut self, routed: &Target, answer: &Answer, now: Now) {
        let restarted = self.served.as_ref().is_none_or(|served| served.run_id != answer.run_id);
        if !restarted || self.strange.as_ref().is_some_and(|strange| strange.run_id == answer.run_id) {
            return;
        }
        let known = self.durable.lineage.as_ref();
        let heir = known.is_some_and(|known| continues(answer, known));
        let shrunk = self.served.as_ref().filter(|served| answer.items < served.items / 2);
        let words = match (heir, shrunk, self.ahead_of(routed, answer)) {
            (true, None, Ahead::Nobody) => return self.reopen_role(&routed.node, now),
            (true, None, Ahead::Unknown) => return,
            (true, None, Ahead::Standby(standby)) => {
                format!("{} restarted as a standby, with less than {standby} has received", routed.node)
            }
            (_, Some(served), _) => {
                let (now, before) = (answer.items, served.items);
                format!("{} restarted as a standby with {now} items, {before} before", routed.node)
            }
            (false, None, _) => {
                format!("{} restarted as a standby with another history than the one that was served", routed.node)
            }
        };
        self.estrange(&answer.run_id, &words);
    }

    /// The routed node's process isn't ours any more: written down once.
    pub(super) fn estrange(&mut self, run_id: &str, text: &str) {
        let text = format!("{text}; `pointsman mode {} open` accepts what it holds now", self.svc);
        let draft = self.draft(RecordKind::Decision, Change::Noted { text: text.clone() }, "");
        self.write(vec![draft], Then::Nothing);
        self.strange = Some(Strange { run_id: run_id.to_owned(), text });
    }

    /// A standby of the history that was served which has more of it than the restarted primary. A primary under load is
    /// overtaken by any standby that is asked later: only what a standby said before the primary was asked proves anything.
    pub(super) fn ahead_of(&self, routed: &Target, answer: &Answer) -> Ahead {
        let (Some(known), Some(primary)) = (&self.durable.lineage, self.nodes.get(&routed.node)) else {
            return Ahead::Nobody;
        };
        let took = primary.last.as_ref().map_or(Duration::ZERO, |last| last.took);
        let standbys = self.nodes.iter().filter_map(|(address, node)| Some((address, node, node.answer.as_ref()?)));
        let mut found = Ahead::Nobody;
        for (address, node, standby) in standbys {
            let follows = matches!(standby.part, Part::Standby { .. }) && *address != routed.node;
            if follows && standby.lineage.id == known.id && standby.received > answer.received {
                if node.answered + took <= primary.seen {
                    return Ahead::Standby(address.to_string());
                }
                found = Ahead::Unknown;
            }
        }
        found
    }

    /// Whether every node was asked since then, so that a second heir isn't overlooked; those that don't answer aren't
    /// waited for.
    pub(super) fn asked_since(&mut self, since: Duration, now: Now) -> bool {
        let waited = now.mono >= since + self.settings.health.timeout;
        let left = self.nodes.iter().filter(|(_, node)| node.seen < since).map(|(address, _)| address.clone());
        let left: Vec<NodeAddress> = left.collect();
        for node in &left {
            self.probe(node, now);
        }
        waited || left.is_empty()
    }

    /// Journal first, then the same node is made primary again; the route stays.
    fn reopen_role(&mut self, node: &NodeAddress, now: Now) {
        if !self.own_guards(now).is_empty() || self.durable.fences.contains_key(node) {
            return;
        }
        self.not_before = now.mono + TRY_AGAIN;
        let text =
            format!("{node} restarted as a standby by its own file, holds what it served, and is made primary again");
        let draft = self.draft(RecordKind::Decision, Change::Noted { text }, "");
        self.write(vec![draft], Then::Reopen(node.clone()));
    }

    /// The record is durable.
    pub(super) fn send_reopen(&mut self, node: NodeAddress) {
        let routed = self.route.target.as_ref().is_some_and(|target| target.node == node);
        let waits = self.nodes.get(&node).and_then(NodeState::fresh);
        let standby = waits.is_some_and(|answer| matches!(answer.part, Part::Standby { .. }));
        if routed && standby && self.switch.is_none() {
            let limit = self.act_limit();
            self.act(Action::Promote { node: node.clone() }, limit, Pending::Reopen(node));
        }
    }

    pub(super) fn role_reopened(&mut self, node: &NodeAddress, result: Result<Done, StoreError>, now: Now) {
        if let Err(error) = result {
            self.return_error = error.detail;
        }
        self.probe(node, now);
    }

    /// A standby that follows another of our nodes, or nobody although it isn't parked: it is pointed to the primary.
    pub(super) fn stray(&mut self, now: Now) -> Option<(NodeAddress, Action)> {
        let routed = self.route.target.as_ref()?.node.clone();
        let well = self.nodes.get(&routed)?.fresh().is_some_and(|answer| matches!(answer.part, Part::Primary { .. }));
        if !well || self.strange.is_some() || !self.managed() {
            self.strays.clear();
            return None;
        }
        let strays: Vec<NodeAddress> = self
            .nodes
            .iter()
            .filter(|(address, node)| **address != routed && self.strays_from(&routed, address, node))
            .map(|(address, _)| address.clone())
            .collect();
        self.strays.retain(|node, _| strays.contains(node));
        for node in strays {
            let since = *self.strays.entry(node.clone()).or_insert(now.mono);
            if now.mono >= since + STRAY {
                return Some((node.clone(), Action::Repoint { node, to: routed }));
            }
        }
        None
    }

    fn strays_from(&self, routed: &NodeAddress, address: &NodeAddress, node: &NodeState) -> bool {
        let Some(Answer { part: Part::Standby { of, .. }, .. }) = node.fresh() else { return false };
        let ours = of.as_str() == "127.0.0.1:1" || self.nodes.keys().any(|other| self.is_named(other, of));
        let ordered = self.durable.parked.contains_key(address) || self.durable.fences.contains_key(address);
        ours && !ordered && !self.is_named(routed, of)
    }
}
