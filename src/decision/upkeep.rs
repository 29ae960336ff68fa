//! Roles that aren't as they should be although nobody is switching, and that nobody ordered: they are mended.
//!
//! Inputs: a routed primary that restarted as a standby, since its own start-up file says so; standbys that still follow
//! another of our nodes, since they could not be reached when the primary moved. Output: the first is made primary again if
//! its history proves that it is ours, the others follow it. It never promotes a node that isn't routed.

use super::{
    Now,
    health::NodeState,
    machine::{Machine, Pending, Then},
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

impl Machine {
    /// The routed node answers as a standby and no other primary is there. If its process is a new one, it is its own file
    /// that says so: with our history it serves again, with another one it is strange. Else somebody is moving it.
    pub(super) fn watch_fallen(&mut self, routed: &Target, answer: &Answer, now: Now) {
        let restarted = self.served.as_ref().is_none_or(|served| served.run_id != answer.run_id);
        if !restarted || self.strange.as_ref().is_some_and(|strange| strange.run_id == answer.run_id) {
            return;
        }
        let known = self.durable.lineage.as_ref();
        let heir = known.is_some_and(|known| super::roles::continues(answer, known));
        let shrunk = self.served.as_ref().filter(|served| answer.items < served.items / 2);
        let words = match (heir, shrunk, self.ahead_of(routed, answer)) {
            (true, None, super::roles::Ahead::Nobody) => return self.reopen_role(&routed.node, now),
            (true, None, super::roles::Ahead::Unknown) => return,
            (true, None, super::roles::Ahead::Standby(standby)) => {
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
