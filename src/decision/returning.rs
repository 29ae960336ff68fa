//! Clean-up after operations that ended with a fence left: the node returns, or serves again.
//!
//! Input: the fences in the journal, intended ones of primaries that failovers left among them. Output: one action at a time,
//! tried again until no fence is left; and what a returned primary had that nobody else has. It never touches a node that
//! we did not fence or leave.

use super::{
    Now,
    machine::{Machine, Pending, Then},
};
use crate::model::{
    action::{Action, Done},
    error::StoreError,
    name::NodeAddress,
    observation::{Lineage, Part},
    operation::Loss,
    record::{Change, Draft, RecordKind},
};
use std::time::Duration;

/// Between two tries.
const TRY_AGAIN: Duration = Duration::from_secs(1);

impl Machine {
    /// Called after each event while no switch is under way.
    pub(super) fn clean_up(&mut self, now: Now) {
        let waiting = self.pending.values().any(|p| matches!(p, Pending::Return(_) | Pending::Write { .. }));
        if self.starting || waiting || now.mono < self.clean_up_at {
            return;
        }
        let next = self.durable.fences.keys().find_map(|node| Some((node.clone(), self.way_back(node)?)));
        let next = next.or_else(|| self.stray(now));
        if let Some((node, action)) = next {
            self.clean_up_at = now.mono + TRY_AGAIN;
            let limit = self.act_limit();
            self.act(action, limit, Pending::Return(node));
        }
    }

    /// What a fenced node needs next; nothing while that can't be told.
    fn way_back(&self, node: &NodeAddress) -> Option<Action> {
        let fence = self.durable.fences.get(node)?;
        let unfence = Action::Unfence { node: node.clone(), saved: fence.saved.clone() };
        let answer = self.nodes.get(node)?.fresh()?;
        let routed = &self.route.target.as_ref()?.node;
        let primary = || self.nodes.get(routed)?.fresh().filter(|answer| matches!(answer.part, Part::Primary { .. }));
        match &answer.part {
            _ if routed == node => Some(unfence),
            Part::Standby { link_up: true, .. } => Some(unfence),
            // Its own start-up file made it follow somebody, or its new primary is away.
            Part::Standby { of, syncing: false, .. } if !self.is_named(routed, of) => {
                primary().map(|_| Action::Repoint { node: node.clone(), to: routed.clone() })
            }
            Part::Standby { .. } => None,
            // It stops first, so that what it holds can be counted and nobody adds to it.
            Part::Primary { .. } if fence.position.is_none() => Some(Action::Fence { node: node.clone() }),
            Part::Primary { .. } => primary().map(|_| Action::Demote { node: node.clone(), to: routed.clone() }),
        }
    }

    /// Whether `name` is one of the names of `node`.
    pub(super) fn is_named(&self, node: &NodeAddress, name: &NodeAddress) -> bool {
        node == name || self.nodes.get(node).and_then(|state| state.replicate_from.as_ref()) == Some(name)
    }

    /// A primary that a failover left has stopped: how much it wrote that its heir had not received is what was lost.
    fn count_loss(&mut self, node: &NodeAddress, position: u64, lineage: &Lineage) -> Option<Draft> {
        let departed = self.durable.departed.get(node)?;
        let ours = lineage.id == departed.lineage;
        let lost = Loss {
            known: ours,
            count: if ours { position.saturating_sub(departed.position) } else { 0 },
            unit: "bytes".into(),
            detail: if ours {
                format!("{node} returned and had that much which its heir had not received, pings included")
            } else {
                format!("{node} returned with another history: what it had can't be told any more")
            },
        };
        let change = Change::Amended { id: departed.id.clone(), lost };
        Some(self.draft(RecordKind::Operation, change, ""))
    }

    /// An action of the clean-up ended.
    pub(super) fn returned(&mut self, node: &NodeAddress, result: Result<Done, StoreError>, now: Now) {
        match result {
            Ok(Done::Unfenced) => {
                self.return_error.clear();
                let change = Change::Unfenced { node: node.clone() };
                let draft = self.draft(RecordKind::Decision, change, "the fence is not needed any more");
                self.write(vec![draft], Then::Nothing);
                // Else its own file makes it a primary again at its next start.
                let limit = self.act_limit();
                self.act(Action::Persist { node: node.clone() }, limit, Pending::Return(node.clone()));
            }
            Ok(Done::Fenced { position, lineage, saved }) => {
                self.return_error.clear();
                self.clean_up_at = now.mono;
                let mut drafts: Vec<Draft> = self.count_loss(node, position, &lineage).into_iter().collect();
                let fenced = Change::Fenced { node: node.clone(), saved, position };
                drafts.push(self.draft(RecordKind::Decision, fenced, "it returned after a failover"));
                self.write(drafts, Then::Nothing);
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
