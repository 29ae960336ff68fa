//! Keeps standbys' data from a primary that may come back without it.
//!
//! Input: a primary that refuses connections, and standbys that lost their link to it. Output: each is parked at once: it
//! follows nobody and keeps its data. When the primary has returned whole, or another one serves, they follow again. It never
//! parks a standby whose link is up, unless a silent primary is to fence itself by being cut off.
//!
//! A standby tries its primary again each second, and copies an empty one within milliseconds: the journal's disk isn't waited
//! for. A park that a crash made us forget is told by the standby itself, which says that it follows nowhere.

use super::{
    Now,
    machine::{Machine, TRY_AGAIN},
    naming::NOWHERE,
    pending::{Pending, Then},
};
use crate::model::{
    action::{Action, Done},
    error::StoreError,
    name::NodeAddress,
    observation::{Answer, Part},
    record::{Change, RecordKind},
};

/// Why a standby is parked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It lost its primary, or is to be cut off from it: recorded, since it is evidence from then on.
    Lost,
    /// It copies, perhaps from an empty process: until the copy is loaded it keeps what it had. No evidence.
    Copying,
}

impl Machine {
    /// Parks the standbys that lost the primary; with `all`, those too that only hear nothing from it.
    pub(super) fn park(&mut self, all: bool, now: Now) {
        // Parked by one manager, a standby that another one has just promoted would be no primary any more.
        if !self.managed() || self.yields_to().is_some() {
            return;
        }
        let Some(primary) = self.route.target.as_ref().map(|target| target.node.clone()) else { return };
        let standbys = self.nodes.iter().filter(|(address, _)| **address != primary && !self.is_moving(address));
        let standbys = standbys.filter_map(|(address, node)| {
            let why = self.why_park(address, node.fresh()?, all, now)?;
            Some((address.clone(), why))
        });
        for (node, why) in standbys.collect::<Vec<_>>() {
            if !self.may_move(&node, now) {
                continue;
            }
            if why == Why::Lost && !self.durable.parked.contains_key(&node) {
                let position = self.primary_then().map_or(0, |answer| answer.received);
                let change = Change::Parked { node: node.clone(), of: primary.clone(), position };
                let why = "a primary that restarts empty can't empty it then";
                let draft = self.draft(RecordKind::Decision, change, why);
                self.write(vec![draft], Then::Parked(node.clone()));
            }
            let limit = self.act_limit();
            self.act(Action::Park { node: node.clone() }, limit, Pending::Park(node));
        }
    }

    /// Why a standby should be parked, if it should.
    fn why_park(&self, address: &NodeAddress, answer: &Answer, all: bool, now: Now) -> Option<Why> {
        let Part::Standby { of, link_up, syncing, .. } = &answer.part else { return None };
        let known = self.parked_since.contains_key(address);
        if self.durable.parked.contains_key(address) {
            // One that restarted follows whom its own file names, and may be copying the emptiness already.
            return (!known || self.is_one_of_ours(of)).then_some(Why::Lost);
        }
        match (link_up, syncing) {
            _ if all => (!known).then_some(Why::Lost),
            (true, _) => None,
            (false, false) => (of.as_str() != NOWHERE).then_some(Why::Lost),
            (false, true) => (!self.refuses_for_long(now)).then_some(Why::Copying),
        }
    }

    /// Whether the primary has refused for longer than a restart takes to be noticed: who copies from it all the same shows that
    /// the path from here is broken.
    fn refuses_for_long(&self, now: Now) -> bool {
        let since = self.routed_node().and_then(|node| node.failing_since);
        since.is_some_and(|since| now.mono >= since + TRY_AGAIN)
    }

    /// A standby that was parked in the middle of a copy can't tell whether its primary is gone, nor can one whose record a crash
    /// lost: it is pointed back, and says so then.
    pub(super) fn ask_parked(&mut self, now: Now) {
        if self.refuses_for_long(now) && self.disk.error.is_none() && self.managed() {
            self.unpark_those(false, now);
        }
    }

    /// Whether a standby is parked, also by a park that a crash made us forget.
    pub(super) fn is_parked(&self, address: &NodeAddress, answer: &Answer) -> bool {
        let nowhere = matches!(&answer.part, Part::Standby { of, .. } if of.as_str() == NOWHERE);
        self.durable.parked.contains_key(address) || nowhere
    }

    /// A park, its end, or a record of them is under way.
    pub(super) fn is_moving(&self, node: &NodeAddress) -> bool {
        self.pending.values().any(|pending| match pending {
            Pending::Park(other) | Pending::Write { then: Then::Parked(other), .. } => other == node,
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

    /// The primary is well, or another one serves: parked standbys follow it.
    pub(super) fn unpark(&mut self, now: Now) {
        self.unpark_those(true, now);
    }

    fn unpark_those(&mut self, all: bool, now: Now) {
        let Some(primary) = self.route.target.as_ref().map(|target| target.node.clone()) else { return };
        let recorded = self.durable.parked.keys().filter(|_| all);
        let forgotten = self.nodes.iter().filter(|(address, node)| {
            !self.durable.parked.contains_key(*address)
                && node.fresh().is_some_and(|answer| self.is_parked(address, answer))
        });
        let parked = recorded.chain(forgotten.map(|(address, _)| address)).filter(|node| !self.is_moving(node));
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
            Ok(_) => {
                self.parked_since.remove(node);
                if self.durable.parked.contains_key(node) {
                    self.unparked(node);
                }
            }
            Err(error) => self.return_error = error.detail,
        }
    }

    /// Written once.
    pub(super) fn unparked(&mut self, node: &NodeAddress) {
        self.parked_since.remove(node);
        let draft = self.draft(RecordKind::Decision, Change::Unparked { node: node.clone() }, "");
        self.write(vec![draft], Then::Parked(node.clone()));
    }
}
