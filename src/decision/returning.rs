//! Clean-up after operations that ended with a fence left: the node returns, or serves again.
//!
//! Input: the fences in the journal. Output: one action at a time, tried again until no fence is left. It never touches a
//! node that we did not fence.

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

    /// An action of the clean-up ended.
    pub(super) fn returned(&mut self, node: &NodeAddress, result: Result<Done, StoreError>, now: Now) {
        match result {
            Ok(Done::Unfenced) => {
                self.return_error.clear();
                let change = Change::Unfenced { node: node.clone() };
                let draft = self.draft(RecordKind::Decision, change, "the fence is not needed any more");
                self.write(vec![draft], Then::Nothing);
            }
            Ok(_) => {
                self.return_error.clear();
                self.clean_up_at = now.mono;
                self.probe(node, now);
            }
            Err(error) => self.return_error = error.detail,
        }
    }
}
