//! Clean-up after operations that ended with a fence or a stray left: the node returns, serves again, or follows.
//!
//! Input: the fences and strays in the journal. Output: actions, tried again until none is left. It never touches a node
//! that we did not fence, but for standbys that a switch of ours left behind.

use super::{
    Now,
    machine::{Machine, Pending, Then},
};
use crate::model::{
    action::{Action, Done},
    error::StoreError,
    name::NodeAddress,
    observation::Part,
    record::{Change, RecordKind},
};
use std::time::Duration;

/// Between two tries.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Between two tries to make strays follow: they may be away for days, and nothing waits for them.
pub(super) const GATHER_AGAIN: Duration = Duration::from_secs(5);

impl Machine {
    /// Called after each event while no switch is under way.
    pub(super) fn clean_up(&mut self, now: Now) {
        let waiting = self.pending.values().any(|p| matches!(p, Pending::Return(_) | Pending::Write { .. }));
        if self.starting || waiting || now.mono < self.clean_up_at || self.durable.fences.is_empty() {
            return;
        }
        let next = self.durable.fences.keys().find_map(|node| Some((node.clone(), self.way_back(node)?)));
        if let Some((node, action)) = next {
            self.clean_up_at = now.mono + TRY_AGAIN;
            let limit = self.act_limit();
            self.act(action, limit, Pending::Return(node));
        }
    }

    /// What a fenced node needs next; nothing while that can't be told.
    fn way_back(&self, node: &NodeAddress) -> Option<Action> {
        let saved = self.durable.fences.get(node)?.saved.clone();
        let unfence = Action::Unfence { node: node.clone(), saved };
        let answer = self.nodes.get(node)?.fresh()?;
        let routed = &self.route.target.as_ref()?.node;
        match &answer.part {
            _ if routed == node => Some(unfence),
            Part::Standby { link_up: true, .. } => Some(unfence),
            Part::Standby { .. } => None,
            Part::Primary { .. } => {
                let primary = self.nodes.get(routed)?.fresh()?;
                matches!(primary.part, Part::Primary { .. })
                    .then(|| Action::Demote { node: node.clone(), to: routed.clone() })
            }
        }
    }

    /// Called after each event while no switch is under way: tells strays to follow the routed primary.
    pub(super) fn gather(&mut self, now: Now) {
        let waiting = self.pending.values().any(|p| matches!(p, Pending::Return(_) | Pending::Write { .. }));
        if self.starting || waiting || self.durable.strays.is_empty() {
            return;
        }
        let Some(routed) = self.route.target.clone() else { return };
        let home = self.durable.strays.iter().filter(|node| self.is_home(node, &routed.node));
        let home: Vec<_> = home.cloned().map(|node| Change::Gathered { node }).collect();
        if !home.is_empty() {
            let why = "follows the routed primary, or is not configured any more";
            let drafts = home.into_iter().map(|change| self.draft(RecordKind::Decision, change, why)).collect();
            return self.write(drafts, Then::Nothing);
        }
        let answer = |node: &NodeAddress| self.nodes.get(node)?.fresh();
        let standby = |node: &NodeAddress| answer(node).is_some_and(|a| matches!(a.part, Part::Standby { .. }));
        if now.mono < self.gather_at || standby(&routed.node) || answer(&routed.node).is_none() {
            return;
        }
        let strays =
            self.durable.strays.iter().filter(|node| standby(node) && !self.durable.fences.contains_key(*node));
        for node in strays.cloned().collect::<Vec<_>>() {
            self.gather_at = now.mono + GATHER_AGAIN;
            let limit = self.act_limit();
            self.act(Action::Repoint { node: node.clone(), to: routed.node.clone() }, limit, Pending::Return(node));
        }
    }

    /// Whether a node is no stray any more.
    fn is_home(&self, node: &NodeAddress, routed: &NodeAddress) -> bool {
        let Some(state) = self.nodes.get(node) else { return true };
        let name = self.nodes.get(routed).and_then(|primary| primary.replicate_from.as_ref()).unwrap_or(routed);
        let follows = |part: &Part| matches!(part, Part::Standby { of, .. } if of == name);
        node == routed || state.fresh().is_some_and(|answer| follows(&answer.part))
    }

    /// What an operator should know of a stray; absent if the node is none.
    pub(super) fn stray_note(&self, node: &NodeAddress) -> Option<String> {
        let routed = &self.routed()?.node;
        self.durable.strays.contains(node).then(|| {
            let why = self.stray_errors.get(node).map(|why| format!(" ({why})")).unwrap_or_default();
            format!("does not follow {routed} yet, and is told again every {} s{why}", GATHER_AGAIN.as_secs())
        })
    }

    /// An action of the clean-up ended.
    pub(super) fn returned(&mut self, node: &NodeAddress, result: Result<Done, StoreError>, now: Now) {
        match result {
            Ok(Done::Unfenced) => {
                self.return_error.clear();
                let change = Change::Unfenced { node: node.clone() };
                let draft = self.draft(RecordKind::Decision, change, "the fence is not needed any more");
                self.write(vec![draft], Then::Nothing);
            }
            Ok(Done::Repointed) => {
                self.stray_errors.remove(node);
                self.probe(node, now);
            }
            Ok(_) => {
                self.return_error.clear();
                self.clean_up_at = now.mono;
                self.probe(node, now);
            }
            Err(error) if self.durable.strays.contains(node) && !self.durable.fences.contains_key(node) => {
                self.stray_errors.insert(node.clone(), error.detail);
            }
            Err(error) => self.return_error = error.detail,
        }
    }
}
