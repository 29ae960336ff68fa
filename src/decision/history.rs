//! Whether the process that answers as the routed primary holds what was served.
//!
//! Inputs: its answers, what its standbys hold, the history in the journal. Output: it is served, or it is strange, and why. A
//! process that wasn't judged is served nothing: the alarm holds requests meanwhile.

use super::{
    Now,
    health::NodeState,
    machine::{Machine, TRY_AGAIN},
    pending::Then,
};
use crate::model::{
    name::NodeAddress,
    observation::{Answer, Part},
    record::{Change, Draft, RecordKind},
    route::{Mode, Target},
    view::Health,
};
use std::time::Duration;

/// The name of no process.
const NOBODY: &str = "";
/// By one part in so many may the number of items change before the journal is told.
const DRIFT: u64 = 8;

/// The routed primary isn't what it was: another history, or most of its data gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Strange {
    /// The process it was found in.
    pub(super) run_id: String,
    /// In words.
    pub(super) text: String,
}

/// The process that was served last and how much it held, to know a restart and what it lost. Forgotten when the route
/// moves to another node.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) run_id: String,
    pub(super) items: u64,
}

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
    /// The process at the routed node that may be served; `None` where nobody judges that, or none is known. Workers send
    /// nothing to another one, and hand no answers of another one on. While a failover holds, none is: one that hangs and wakes
    /// now would run what lies in its sockets, and its heir has none of that.
    pub fn process(&self) -> Option<&str> {
        let leaving = self.switch.as_ref().is_some_and(|switch| !switch.planned && switch.managed);
        if leaving && self.route.mode == Mode::Hold {
            return Some(NOBODY);
        }
        Some(self.admitted.as_str()).filter(|process| self.managed() && !process.is_empty())
    }

    /// The process that was seen at a node last; before any was, the journal's. A candidate is promoted as what it was seen to
    /// be: one that restarts meanwhile is another one.
    pub(super) fn process_at(&self, target: &Target) -> String {
        let seen = self.nodes.get(&target.node).and_then(|node| node.answer.as_ref()).map(|answer| &answer.run_id);
        let recorded = (self.durable.route.target.as_ref() == Some(target)).then_some(&self.durable.process);
        seen.or(recorded).cloned().unwrap_or_default()
    }

    /// Whether the process that answers as the routed primary holds what was served.
    pub(super) fn judge_history(&mut self, now: Now) {
        let Some((routed, answer)) =
            self.route.target.clone().zip(self.routed_node().and_then(NodeState::fresh).cloned())
        else {
            return;
        };
        if !matches!(answer.part, Part::Primary { .. })
            || self.strange.as_ref().is_some_and(|strange| strange.run_id == answer.run_id)
        {
            return;
        }
        if !self.may_judge(&answer, now) {
            return;
        }
        let known = self.durable.lineage.as_ref();
        let same_process = self.served.as_ref().is_some_and(|served| served.run_id == answer.run_id);
        let recorded = self.durable.process == answer.run_id;
        let heir = same_process
            || (recorded && !answer.run_id.is_empty())
            || known.is_none_or(|known| answer.lineage.continues(known));
        let kept = self.keeps(&answer);
        let ahead = if same_process || recorded || !heir { Ahead::Nobody } else { self.ahead_of(&routed, &answer) };
        let shrunk = self.served.as_ref().filter(|served| !same_process && answer.items < served.items / 2);
        let text = match (heir || kept, shrunk) {
            (true, None) if ahead == Ahead::Unknown => return,
            (true, None) => {
                if let Ahead::Standby(standby) = ahead {
                    let words = format!("{} restarted with less than {standby} has received", routed.node);
                    return self.estrange(&answer.run_id, &words);
                }
                self.strange = None;
                self.served = Some(Served { run_id: answer.run_id.clone(), items: answer.items });
                self.admitted.clone_from(&answer.run_id);
                let drifted = answer.items.abs_diff(self.durable.items) > self.durable.items / DRIFT;
                let new = !recorded || known.is_none_or(|known| !answer.lineage.is_called(known));
                // A new history isn't made to wait by a mere count, and a server that was known, which gives its history another name
                // when its first standby comes, by nothing but the journal.
                let renamed = new && recorded && self.disk.error.is_none();
                let due = if new { self.not_before } else { self.count_again };
                if (new || drifted) && !self.is_writing() && (renamed || now.mono >= due) {
                    let again = if new { &mut self.not_before } else { &mut self.count_again };
                    *again = now.mono + TRY_AGAIN;
                    let draft = self.lineage_draft(&routed.node, &answer);
                    self.write(vec![draft], Then::Nothing);
                }
                return;
            }
            (_, Some(served)) => {
                format!("{} restarted with {} items, {} before", routed.node, answer.items, served.items)
            }
            (false, None) => format!("{} restarted with another history than the one that was served", routed.node),
        };
        self.estrange(&answer.run_id, &text);
    }

    /// Whether a process of another history holds as many items as were served: Redis gives an append-only file's data a new
    /// history without a parent at each start, and it is still ours. One that names a parent knows its history, and by that it is
    /// judged alone.
    pub(super) fn keeps(&self, answer: &Answer) -> bool {
        let standbys = self.standbys_of_ours().map(|(_, standby)| standby.items);
        let most = standbys.chain(self.served.as_ref().map(|served| served.items)).max();
        // After a restart of Pointsman the journal tells how much was served, as nearly as it is kept.
        let journal = Some(self.durable.items).filter(|items| self.served.is_none() && *items > 0);
        let comparable = self.served.is_some() || self.has_witness() || journal.is_some();
        let least = most.map(|items| items - items / 100).max(journal.map(|items| items - items / DRIFT));
        // Not after a process that was strange: what follows that one may hold nearly as much, and has lost what it lost.
        comparable
            && self.strange.is_none()
            && !answer.lineage.tells_its_parent()
            && least.is_some_and(|least| answer.items >= least)
    }

    /// A new process is judged by what its standbys hold, so each that is well is asked first.
    fn may_judge(&mut self, answer: &Answer, now: Now) -> bool {
        let same = self.served.as_ref().is_none_or(|served| served.run_id == answer.run_id);
        if same || self.judging.as_ref().is_none_or(|(run_id, _)| *run_id != answer.run_id) {
            self.judging = (!same).then(|| (answer.run_id.clone(), now.mono));
        }
        let Some((_, since)) = self.judging else { return true };
        let waiting: Vec<NodeAddress> = self
            .standbys_of_ours()
            .filter(|(address, _)| {
                self.nodes.get(*address).is_some_and(|node| node.health == Health::Up && node.seen <= since)
            })
            .map(|(address, _)| address.clone())
            .collect();
        for node in &waiting {
            self.probe(node, now);
        }
        waiting.is_empty()
    }

    /// A standby that was parked when the primary died holds what was served, also when we have restarted since.
    fn has_witness(&self) -> bool {
        self.standbys_of_ours().any(|(node, standby)| self.is_parked(node, standby) && standby.items > 0)
    }

    /// Standbys that hold the history that was served, as far as is known.
    fn standbys_of_ours(&self) -> impl Iterator<Item = (&NodeAddress, &Answer)> {
        let known = self.durable.lineage.as_ref();
        let standbys = self.nodes.iter().filter_map(|(address, node)| Some((address, node.answer.as_ref()?)));
        standbys.filter(move |(_, standby)| {
            matches!(standby.part, Part::Standby { .. }) && known.is_some_and(|known| standby.lineage.is_same(known))
        })
    }

    /// An operator accepts what the routed primary holds.
    pub(super) fn accept_history(&mut self) -> Option<Draft> {
        self.strange.take()?;
        let routed = self.route.target.clone()?;
        let answer = self.nodes.get(&routed.node).and_then(NodeState::fresh)?.clone();
        // One that is a standby isn't served yet: it is made primary again, since its history is ours now.
        let primary = matches!(answer.part, Part::Primary { .. });
        self.served = primary.then(|| Served { run_id: answer.run_id.clone(), items: answer.items });
        self.admitted.clone_from(&answer.run_id);
        Some(self.lineage_draft(&routed.node, &answer))
    }

    pub(super) fn lineage_draft(&self, node: &NodeAddress, answer: &Answer) -> Draft {
        let (lineage, process) = (answer.lineage.clone(), answer.run_id.clone());
        let change = Change::LineageSeen { node: node.clone(), lineage, process, items: answer.items };
        self.draft(RecordKind::Decision, change, "the history that the routed primary continues")
    }

    /// The routed node's process isn't ours any more: written down once.
    pub(super) fn estrange(&mut self, run_id: &str, text: &str) {
        let text = format!("{text}; `pointsman mode {} open` accepts what it holds now", self.svc);
        let change = Change::Estranged { process: run_id.to_owned(), text: text.clone() };
        let draft = self.draft(RecordKind::Decision, change, "");
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
            let until = (&answer.lineage, answer.received);
            if follows && standby.lineage.has_more(standby.received, until, known, &self.durable.process) {
                if node.answered + took <= primary.seen {
                    return Ahead::Standby(address.to_string());
                }
                found = Ahead::Unknown;
            }
        }
        found
    }
}
