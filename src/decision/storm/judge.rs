//! When everything has healed: is the service steady on one primary, is every operation told once, and is each write that a
//! client was told is safe still there, or its loss one that nobody could prevent?

use super::{
    Item, MS, SECOND, Sabotage, Storm, Us, consent,
    core::micros,
    node::{FENCE, Follows, WRITE_BYTES},
    plan::Plan,
};
use crate::{
    config::Replication,
    decision::world::Dice,
    model::{
        guard::Guard,
        operation::{Command, Outcome},
        record::Change,
        route::Mode,
        view::Standing,
    },
};
use std::{collections::BTreeMap, fmt::Write};

/// How long a healed service may take to be steady, beside its cooldown.
const STEADY_WITHIN: Us = 120 * SECOND;
/// How often an operator may do what the service says must be done.
const HELPS: u32 = 4;

/// What a seed's storm was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Story {
    pub(super) automatic: u64,
    pub(super) planned: u64,
    pub(super) acknowledged: usize,
    pub(super) lost: usize,
    /// How often an operator had to do what the service said.
    pub(super) helps: u32,
}

/// Runs the storm of `seed`; an error says what must not be.
pub(super) fn storm(seed: u64, sabotage: Option<Sabotage>, traced: bool) -> Result<Story, String> {
    let mut dice = Dice::new(seed + 1);
    for _ in 0..8 {
        dice.below(2);
    }
    let mut plan = Plan::of(&mut dice);
    plan.settings.approval = consent::approval(seed);
    let mut storm = Storm::new(plan, dice, sabotage, traced);
    storm.people = consent::People::new(seed);
    let plan = format!("{:?}", storm.settings);
    storm.say(|_| plan);
    let told = storm.weather();
    match storm.broken.first() {
        Some(broken) => Err(broken.clone()),
        None => Ok(told),
    }
}

impl Storm {
    fn weather(&mut self) -> Story {
        if !self.run_until(30 * SECOND, Self::steady) && self.broken.is_empty() {
            self.violated(format!("it doesn't start: {}", self.state()));
        }
        self.foretell();
        let length = self.plan.length;
        self.run(length);
        self.heal();
        let frozen = self.core.frozen_until.saturating_sub(self.now);
        self.run(frozen + SECOND);
        self.order(Command::Resume);
        self.run(SECOND);
        if matches!(self.mode(), Mode::ReadOnly) {
            self.order(Command::Mode(Mode::Open));
        }
        let mut story = Story { helps: self.converge(), ..Story::default() };
        self.run(3 * SECOND);
        // A return to the preferred cluster may just have begun.
        self.run_until(30 * SECOND, Self::steady);
        self.end_of_waiting();
        self.run_until(30 * SECOND, Self::steady);
        if self.broken.is_empty() {
            self.judge(&mut story);
        }
        story
    }

    fn mode(&self) -> Mode {
        self.core.machine.as_ref().map_or(Mode::Closed, |machine| machine.route().mode)
    }

    pub(super) fn state(&self) -> String {
        let Some(machine) = &self.core.machine else { return "Pointsman is down".into() };
        let view = machine.view(self.clock());
        let mut words = format!("{:?} ({}), {:?}", view.state, view.note, machine.route());
        if let Some(state) = self.core.durable() {
            let (fences, parked, under_way) = (&state.fences, &state.parked, &state.underway);
            let under_way = under_way.as_ref().map(|under_way| (&under_way.operation.kind, under_way.step));
            let _ = write!(words, ", fences {fences:?}, parked {parked:?}, under way {under_way:?}");
        }
        for node in &self.nodes {
            let (name, follows, up) = (&node.name, node.follows, node.link.up);
            let _ = write!(words, "; {name} {:?} {follows:?} link {up} to_write {}", node.proc, node.to_write);
        }
        words
    }

    /// One primary, every other node its standby, and nothing left to do.
    pub(super) fn steady(&self) -> bool {
        let (Some(machine), Some(state)) = (&self.core.machine, self.core.durable()) else { return false };
        let Some(target) = machine.route().target.as_ref() else { return false };
        if machine.route().mode == Mode::Hold || machine.route().mode == Mode::Closed || machine.switch.is_some() {
            return false;
        }
        let idle = state.underway.is_none() && state.fences.is_empty() && state.parked.is_empty();
        if !idle || state.route != *machine.route() {
            return false;
        }
        let primary = self.index(target.node.as_str());
        let roles = self.nodes.iter().enumerate().all(|(n, node)| match self.settings.replication {
            Replication::None => node.is_primary(),
            // Where a fence's former value was never known, the store's default took its place.
            _ if Some(n) == primary => node.is_primary() && node.to_write < FENCE,
            _ => {
                node.to_write < FENCE
                    && node.link.up
                    && primary.is_some_and(|primary| node.follows == Follows::Node(primary))
            }
        });
        roles && machine.view(self.clock()).state == Standing::Steady
    }

    /// Until it is steady; an operator does what the service says must be done.
    fn converge(&mut self) -> u32 {
        let limit = STEADY_WITHIN + micros(self.settings.failover.cooldown);
        for help in 0..=HELPS {
            if self.run_until(limit, Self::steady) || !self.broken.is_empty() {
                return help;
            }
            let Some(machine) = &self.core.machine else { break };
            let view = machine.view(self.clock());
            let routed = machine.route().target.as_ref().and_then(|target| self.index(target.node.as_str()));
            // Nobody rebuilds from a primary that is in doubt.
            let sure = help < HELPS && view.state != Standing::Blocked;
            let rebuilt = sure && routed.is_some_and(|routed| self.rebuild(routed));
            if !rebuilt && (help == HELPS || view.state != Standing::Blocked || !self.help(&view.note, help)) {
                break;
            }
        }
        self.violated(format!("healed, and not steady: {}", self.state()));
        HELPS
    }

    /// What an operator would do who reads `note`.
    fn help(&mut self, note: &str, before: u32) -> bool {
        self.say(|_| format!("an operator reads: {note}"));
        let routed = self.core.durable().and_then(|state| state.route.target.clone());
        let routed = routed.and_then(|target| self.index(target.node.as_str())).unwrap_or(0);
        let accepts = note.contains("accepts what it holds now");
        if accepts || note.contains("--accept-loss") {
            let lacks = |n: usize| self.ledger.missing(&self.nodes[n].data).len();
            let better = (0..self.nodes.len()).filter(|n| lacks(*n) < lacks(routed)).min_by_key(|n| lacks(*n));
            let cluster = |n: usize| {
                let cluster = self.settings.nodes().find(|(_, node)| node.address == self.nodes[n].name);
                cluster.map(|(cluster, _)| cluster.name.as_str().into())
            };
            let to = better.and_then(cluster).filter(|to| Some(to) != cluster(routed).as_ref());
            match (before, better) {
                (0, _) => {
                    let command = Command::Failover { to: None, dry_run: false, accept_loss: true };
                    self.order_past(command, vec![Guard::Approval]);
                }
                // Another node has more of what clients were told is safe, whatever its history is called.
                (1, Some(_)) => {
                    let passed = vec![Guard::Lineage, Guard::Lag, Guard::Fence, Guard::Eligible, Guard::Approval];
                    self.order_past(Command::Failover { to, dry_run: false, accept_loss: true }, passed);
                }
                _ if accepts => {
                    if better.is_none() {
                        // Nobody has more.
                        self.accepting();
                    }
                    self.order(Command::Mode(Mode::Open));
                }
                _ => return false,
            }
            return true;
        }
        if note.contains("make one a standby of the other") {
            let best = (0..self.nodes.len()).max_by_key(|n| self.nodes[*n].data.len()).unwrap_or(0);
            let now = self.now;
            for (_, node) in self.nodes.iter_mut().enumerate().filter(|(n, node)| *n != best && node.is_primary()) {
                node.follow(Follows::Node(best), now);
            }
            return true;
        }
        let standby_of = note.contains("make it a standby of") || note.contains("make all but one of them standbys");
        if standby_of || note.contains("takes writes, but holds another history") || note.contains("can't be told") {
            self.runs += 1;
            let replid = (self.runs << 8) + 4;
            let best = (0..self.nodes.len()).max_by_key(|n| (self.nodes[*n].is_primary(), *n == routed)).unwrap_or(0);
            self.nodes[best].promote(replid);
            for n in (0..self.nodes.len()).filter(|n| *n != best) {
                self.nodes[n].follow(Follows::Node(best), self.now);
            }
            let lost = self.ledger.missing(&self.nodes[best].data);
            self.ledger.excuse(&lost);
            return true;
        }
        false
    }

    /// An operator is about to order `mode open` where Pointsman says that it accepts what a strange primary holds: what that one
    /// lacks is lost by this order, but for what should have outlived and nobody has any more.
    pub(super) fn accepting(&mut self) {
        let Some(machine) = self.core.machine.as_ref().filter(|machine| machine.strange.is_some()) else { return };
        let routed = machine.route().target.as_ref().and_then(|target| self.index(target.node.as_str()));
        if let Some(routed) = routed.filter(|_| self.now >= self.core.frozen_until) {
            let mut lost = self.ledger.missing(&self.nodes[routed].data);
            let held = |write: &u32| self.nodes.iter().any(|node| node.data.contains(write));
            lost.retain(|write| !self.ledger.protected.contains(write) || held(write));
            self.ledger.excuse(&lost);
        }
    }

    /// The routed node's own start-up file made it copy another one while we were away, did not know yet which process was served, or
    /// were in the middle of a switch: nobody could prevent that.
    pub(super) fn excuse_own_file(&mut self, n: usize) {
        let knows = self.core.machine.as_ref().is_some_and(|m| m.served.is_some() && m.switch.is_none());
        if knows && self.now >= self.core.frozen_until {
            return;
        }
        let routed = self.core.durable().and_then(|state| state.route.target.as_ref());
        if routed.is_some_and(|target| target.node == self.nodes[n].name) {
            let lost = self.ledger.missing(&self.nodes[n].data);
            self.ledger.excuse(&lost);
        }
    }

    fn judge(&mut self, story: &mut Story) {
        (story.automatic, story.planned) = (self.ledger.automatic, self.ledger.planned);
        story.acknowledged = self.ledger.acknowledged();
        story.lost = self.ledger.flips.iter().map(|flip| flip.lost.len()).sum();
        let target = self.core.machine.as_ref().and_then(|machine| machine.route().target.clone());
        let Some(primary) = target.and_then(|target| self.index(target.node.as_str())) else { return };
        let lost = self.ledger.missing(&self.nodes[primary].data);
        if self.settings.replication == Replication::Managed && !lost.is_empty() {
            let count = lost.len();
            self.violated(format!("{count} acknowledged writes are lost, and no failover explains it: {lost:?}"));
        }
        self.judge_losses();
        self.judge_records();
    }

    /// What a failover says it lost, once its old primary returned, covers what clients lost.
    fn judge_losses(&mut self) {
        let mut words = Vec::new();
        for flip in &self.ledger.flips {
            let ended = self.core.durable().and_then(|s| s.ended.iter().find(|o| o.id.as_str() == flip.operation));
            let Some(ended) = ended.filter(|operation| operation.lost.known && operation.kind == "failover") else {
                continue;
            };
            let count = flip.lost.len() as u64 * if self.plan.named { 1 } else { WRITE_BYTES };
            if count > ended.lost.count {
                words.push(format!("{} says {:?} was lost, and {count} were", flip.operation, ended.lost));
            }
        }
        for words in words {
            self.violated(words);
        }
    }

    /// Every operation has one end, every flip one record, and an abort left the old route.
    fn judge_records(&mut self) {
        let mut ends: BTreeMap<&str, u32> = BTreeMap::new();
        let mut began: BTreeMap<&str, Option<&str>> = BTreeMap::new();
        let mut routes: BTreeMap<u64, u32> = BTreeMap::new();
        let mut words = Vec::new();
        let mut at = None;
        for record in &self.core.journal {
            match &record.detail {
                Change::Asked { operation, .. } => {
                    ends.entry(operation.id.as_str()).or_default();
                }
                Change::Began { operation, from, .. } => {
                    ends.entry(operation.id.as_str()).or_default();
                    began.insert(operation.id.as_str(), from.as_ref().map(|from| from.node.as_str()));
                }
                Change::Ended { operation } => {
                    *ends.entry(operation.id.as_str()).or_default() += 1;
                    let back = matches!(operation.outcome, Outcome::RolledBack | Outcome::Refused);
                    let from = began.get(operation.id.as_str()).copied().flatten();
                    if back && from.is_some() && from != at {
                        words.push(format!("{} is {:?} and {at:?} is routed", operation.id, operation.outcome));
                    }
                }
                Change::Routed { route } => {
                    at = route.target.as_ref().map(|target| target.node.as_str());
                    *routes.entry(route.epoch.0).or_default() += 1;
                }
                _ => {}
            }
        }
        words.extend(ends.iter().filter(|(_, n)| **n != 1).map(|(id, n)| format!("{id} has {n} ends")));
        words.extend(routes.iter().filter(|(_, n)| **n > 1).map(|(epoch, n)| format!("epoch {epoch} has {n} records")));
        for words in words {
            self.violated(words);
        }
        let quiet = self.agenda.values().filter(|(_, item)| matches!(item, Item::Fsync(..))).count();
        if quiet > 0 && !self.run_until(100 * MS, |_| false) && quiet > 50 {
            self.violated("the journal never rests".into());
        }
    }
}
