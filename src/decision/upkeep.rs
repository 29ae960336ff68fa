//! Roles that aren't as they should be although nobody is switching, and that nobody ordered: they are mended.
//!
//! Inputs: a routed primary that restarted as a standby, since its own start-up file says so. Output: it is made primary again
//! if its history proves that it is ours. It never promotes a node that isn't routed.

use super::{
    Now,
    health::NodeState,
    history::Ahead,
    machine::{Machine, TRY_AGAIN},
    pending::{Pending, Then},
};
use crate::model::{
    action::{Action, Done},
    error::StoreError,
    name::NodeAddress,
    observation::{Answer, Part},
    record::{Change, Draft, RecordKind},
    route::Target,
};
use jiff::Timestamp;

impl Machine {
    /// The routed node just restarted as a standby of another of our nodes, by its own file: it copies that one within moments, unless
    /// it is parked. Whoever should be primary is judged meanwhile.
    pub(super) fn keep_fallen(&mut self, routed: &Target, answer: &Answer) {
        let restarted = self.served.as_ref().is_some_and(|served| served.run_id != answer.run_id);
        let heir = self.durable.lineage.as_ref().is_some_and(|known| answer.lineage.continues(known));
        let ours = heir || self.keeps(answer);
        if restarted && ours && !self.is_parked(&routed.node, answer) && !self.is_moving(&routed.node) {
            let limit = self.act_limit();
            self.act(Action::Park { node: routed.node.clone() }, limit, Pending::Park(routed.node.clone()));
        }
    }

    /// The routed node answers as a standby and no other primary is there. If its process is a new one, it is its own file
    /// that says so: with our history it serves again, with another one it is strange. Else somebody is moving it.
    pub(super) fn watch_fallen(&mut self, routed: &Target, answer: &Answer, now: Now) {
        let restarted = self.served.as_ref().is_none_or(|served| served.run_id != answer.run_id);
        if !restarted || self.strange.as_ref().is_some_and(|strange| strange.run_id == answer.run_id) {
            return;
        }
        let known = self.durable.lineage.as_ref();
        let heir = known.is_some_and(|known| answer.lineage.continues(known));
        let shrunk = self.served.as_ref().filter(|served| answer.items < served.items / 2);
        let words = match (heir, shrunk, self.ahead_of(routed, answer)) {
            (true, None, Ahead::Nobody) => return self.reopen_role(&routed.node, None, now),
            (false, None, _) if self.keeps(answer) => {
                let history = self.lineage_draft(&routed.node, answer);
                return self.reopen_role(&routed.node, Some(history), now);
            }
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

    /// Journal first, then the same node is made primary again; the route stays, so that it is no failover. `history`: the name that
    /// what it holds has now, where it isn't the one that was served.
    fn reopen_role(&mut self, node: &NodeAddress, history: Option<Draft>, now: Now) {
        let may = now.mono >= self.tilted_until && self.yields_to().is_none() && !self.is_moving(node);
        if !may || self.durable.fences.contains_key(node) {
            return;
        }
        self.not_before = now.mono + TRY_AGAIN;
        let text =
            format!("{node} restarted as a standby by its own file, holds what it served, and is made primary again");
        let draft = self.draft(RecordKind::Decision, Change::Noted { text }, "");
        self.write(history.into_iter().chain([draft]).collect(), Then::Reopen(node.clone()));
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

    /// What an override carried out without the journal is written when its disk has room again, so that a restart falls back to no
    /// older route, and forgets no fence and no primary that was left.
    pub(super) fn write_late(&mut self, now: Now) {
        let idle = self.unwritten.is_empty() && self.disk.error.is_none();
        if self.is_writing() || idle || now.mono < self.write_again {
            return;
        }
        self.write_again = now.mono + TRY_AGAIN;
        if self.unwritten.is_empty() {
            return self.try_disk();
        }
        let state = &self.durable;
        let routed = Change::Routed { route: state.route.clone() };
        let mut changes: Vec<Change> = self.unwritten.contains(&routed).then_some(routed).into_iter().collect();
        changes.extend(state.fences.iter().map(|(node, fence)| match fence.position {
            Some(position) => Change::Fenced { node: node.clone(), saved: fence.saved.clone(), position },
            None => Change::FenceIntended { node: node.clone() },
        }));
        changes.extend(state.departed.iter().map(|(node, departed)| Change::Departed {
            node: node.clone(),
            id: departed.id.clone(),
            lineage: departed.lineage.clone(),
            position: departed.position,
            held: departed.held,
        }));
        changes.extend(self.unwritten.iter().filter(|change| matches!(change, Change::Ended { .. })).cloned());
        let why = "the journal could not be written when this was done";
        let drafts = changes.into_iter().map(|change| self.draft(RecordKind::Operation, change, why)).collect();
        self.write(drafts, Then::Late(self.unwritten.len()));
    }

    /// Takes a change out of what is written late, since it is written with something that must not come before it. False if it isn't
    /// owed, or is on its way already.
    pub(super) fn take_unwritten(&mut self, change: &Change) -> bool {
        let late = |pending: &Pending| matches!(pending, Pending::Write { then: Then::Late(_), .. });
        let owed = self.unwritten.iter().position(|owed| owed == change);
        match owed.filter(|_| !self.pending.values().any(late)) {
            Some(place) => {
                self.unwritten.remove(place);
                true
            }
            None => false,
        }
    }

    /// So that it is known, and in the journal, when the disk takes writes again: whoever waits for that gives no order before.
    fn try_disk(&mut self) {
        let Disk { error: Some(error), since: Some(since) } = &self.disk else { return };
        let text = format!("the journal could not be written since {since:.0}: {error}");
        let draft = self.draft(RecordKind::Decision, Change::Noted { text }, "");
        self.write(vec![draft], Then::Nothing);
    }
}

/// Whether the journal's disk takes writes.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    /// Why the last write failed.
    pub(super) error: Option<String>,
    /// Since when none succeeded.
    since: Option<Timestamp>,
}

impl Disk {
    /// One more write failed.
    pub(super) fn failed(&mut self, error: &str, at: Timestamp) {
        self.error = Some(error.to_owned());
        self.since.get_or_insert(at);
    }
}
