//! Keeps standbys' data from a primary that may come back without it.
//!
//! Input: a primary that refuses connections, and standbys that lost their link to it. Output: each is parked, journal first:
//! it follows nobody and keeps its data. When the primary has returned whole, or another one serves, they follow again. It
//! never parks a standby whose link is up, unless a silent primary is to fence itself by being cut off.

use super::{
    Now,
    health::NodeState,
    machine::Machine,
    pending::{Pending, Then},
};
use crate::model::{
    action::{Action, Done},
    error::StoreError,
    name::NodeAddress,
    observation::{Answer, Part},
    record::{Change, RecordKind},
};
use std::time::Duration;

/// Between two tries at one node.
const TRY_AGAIN: Duration = Duration::from_secs(1);

impl Machine {
    /// Parks the standbys that lost the primary; with `all`, those too that only hear nothing from it.
    pub(super) fn park(&mut self, all: bool, now: Now) {
        // Parked by one manager, a standby that another one has just promoted would be no primary any more.
        if !self.managed() || self.yields_to().is_some() {
            return;
        }
        let Some(primary) = self.route.target.as_ref().map(|target| target.node.clone()) else { return };
        // In the middle of a full copy too: until that is loaded, it keeps what it had, and the copy may be of an empty node.
        let lost = |part: &Part| matches!(part, Part::Standby { link_up, .. } if all || !link_up);
        let standbys: Vec<NodeAddress> = self
            .nodes
            .iter()
            .filter(|(address, node)| {
                let lost = !self.parked_since.contains_key(*address) && node.fresh().is_some_and(|a| lost(&a.part));
                **address != primary && (lost || self.has_unparked(address, node))
            })
            .filter(|(address, _)| !self.durable.fences.contains_key(*address))
            .filter(|(address, _)| !self.is_moving(address))
            .map(|(address, _)| address.clone())
            .collect();
        for node in standbys {
            if !self.may_move(&node, now) {
                continue;
            }
            if self.durable.parked.contains_key(&node) {
                self.send_park(node, now);
            } else {
                let change = Change::Parked { node: node.clone(), of: primary.clone() };
                let draft =
                    self.draft(RecordKind::Decision, change, "a primary that restarts empty can't empty it then");
                self.write(vec![draft], Then::Park(node));
            }
        }
    }

    /// A parked standby restarted, and its own file says whom it follows: it may be copying the emptiness already.
    fn has_unparked(&self, address: &NodeAddress, node: &NodeState) -> bool {
        let Some(Answer { part: Part::Standby { of, .. }, .. }) = node.fresh() else { return false };
        self.durable.parked.contains_key(address) && self.nodes.keys().any(|other| self.is_named(other, of))
    }

    /// A park, its end, or a record of them is under way.
    fn is_moving(&self, node: &NodeAddress) -> bool {
        self.pending.values().any(|pending| match pending {
            Pending::Park(other) | Pending::Write { then: Then::Park(other) | Then::Unpark(other), .. } => {
                other == node
            }
            _ => false,
        })
    }

    /// At most one try a second at each node.
    fn may_move(&mut self, node: &NodeAddress, now: Now) -> bool {
        let at = self.park_again.entry(node.clone()).or_default();
        let may = now.mono >= *at;
        if may {
            *at = now.mono + TRY_AGAIN;
        }
        may
    }

    pub(super) fn send_park(&mut self, node: NodeAddress, now: Now) {
        let _ = self.may_move(&node, now);
        let limit = self.act_limit();
        self.act(Action::Park { node: node.clone() }, limit, Pending::Park(node));
    }

    /// The primary is well, or another one serves: parked standbys follow it.
    pub(super) fn unpark(&mut self, now: Now) {
        let Some(primary) = self.route.target.as_ref().map(|target| target.node.clone()) else { return };
        let parked = self.durable.parked.keys().filter(|node| !self.is_moving(node));
        for node in parked.cloned().collect::<Vec<_>>() {
            let state = self.nodes.get(&node);
            let answer = state.and_then(|state| state.fresh());
            let standby = answer.is_some_and(|answer| matches!(answer.part, Part::Standby { .. }));
            if state.is_none() || (answer.is_some() && !standby) {
                // It left the configuration, or serves: nothing is to be done there.
                self.unparked(&node);
            } else if standby && self.may_move(&node, now) {
                let limit = self.act_limit();
                self.act(Action::Repoint { node: node.clone(), to: primary.clone() }, limit, Pending::Park(node));
            }
        }
    }

    /// A park or its end was carried out, or failed: then it is tried again while it is still wanted.
    pub(super) fn park_ended(&mut self, node: &NodeAddress, result: Result<Done, StoreError>, now: Now) {
        match result {
            Ok(Done::Parked) => {
                self.parked_since.insert(node.clone(), now.mono);
                self.probe(node, now);
            }
            Ok(_) => self.unparked(node),
            Err(error) => self.return_error = error.detail,
        }
    }

    /// Written once.
    pub(super) fn unparked(&mut self, node: &NodeAddress) {
        self.parked_since.remove(node);
        let draft = self.draft(RecordKind::Decision, Change::Unparked { node: node.clone() }, "");
        self.write(vec![draft], Then::Unpark(node.clone()));
    }
}
