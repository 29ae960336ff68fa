//! The ledger of writes, and what must hold at each moment.

use super::{
    SECOND, Sabotage, Storm, Us,
    core::micros,
    net::{Path, US},
    node::{Follows, Proc},
};
use crate::{
    config::{Replication, SecondOpinion, Unfenced},
    model::{
        name::NodeAddress,
        record::{Change, Draft},
        route::{Mode, Route},
    },
};
use std::collections::{BTreeMap, BTreeSet};

struct Write {
    node: usize,
    worker: usize,
    epoch: u64,
    accepted: Option<Us>,
    acknowledged: bool,
    /// Its loss is one that asynchronous replication allows.
    excused: bool,
}

/// A promotion that lost writes, as no planned one may.
pub(super) struct Flip {
    pub(super) operation: String,
    /// Acknowledged writes that the new primary did not have.
    pub(super) lost: Vec<u32>,
}

pub(super) struct Ledger {
    writes: Vec<Write>,
    /// By write: the node that gave it its name, and its number there.
    names: BTreeMap<u32, (usize, u64)>,
    /// The last number that each node gave.
    numbers: Vec<u64>,
    /// By epoch: where its first write was accepted, and when.
    served: BTreeMap<u64, (usize, Us)>,
    /// By epoch: which node was shown to clients.
    shown: BTreeMap<u64, NodeAddress>,
    highest: u64,
    pub(super) flips: Vec<Flip>,
    /// Writes that a standby had when its primary came back without them: no emptiness may take them from it.
    pub(super) protected: BTreeSet<u32>,
    /// Since when each node is up and a standby that Pointsman reaches hears it.
    heard_since: Vec<Option<Us>>,
    /// Until when a node that a failover left is cooling, by our own clock.
    cooling_until: BTreeMap<NodeAddress, Us>,
    /// The wall clock went forward: what was to last longer than a process can't be told to be unfinished any more, since only that
    /// clock outlives us.
    pub(super) forget_cooldowns_at_boot: bool,
    /// Until when a firewall lies.
    pub(super) lied_until: Us,
    /// When anything last kept Pointsman from acting.
    pub(super) disturbed_at: Us,
    pub(super) automatic: u64,
    pub(super) planned: u64,
}

impl Ledger {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            writes: Vec::new(),
            names: BTreeMap::new(),
            numbers: vec![0; nodes],
            served: BTreeMap::new(),
            shown: BTreeMap::new(),
            highest: 0,
            flips: Vec::new(),
            protected: BTreeSet::new(),
            heard_since: vec![None; nodes],
            cooling_until: BTreeMap::new(),
            forget_cooldowns_at_boot: false,
            lied_until: 0,
            disturbed_at: 0,
            automatic: 0,
            planned: 0,
        }
    }

    /// Pointsman starts.
    pub(super) fn booted(&mut self) {
        if std::mem::take(&mut self.forget_cooldowns_at_boot) {
            self.cooling_until.clear();
        }
    }

    fn add(&mut self, write: Write) -> u32 {
        self.writes.push(write);
        u32::try_from(self.writes.len() - 1).unwrap_or(u32::MAX)
    }

    pub(super) fn sent(&mut self, node: usize, worker: usize, epoch: u64) -> u32 {
        self.add(Write { node, worker, epoch, accepted: None, acknowledged: false, excused: false })
    }

    pub(super) fn foreign(&mut self, node: usize, now: Us) -> u32 {
        let accepted = Some(now);
        let write = self.add(Write { node, worker: 0, epoch: 0, accepted, acknowledged: false, excused: false });
        self.give_name(write, node);
        write
    }

    fn give_name(&mut self, write: u32, n: usize) {
        self.numbers[n] += 1;
        self.names.insert(write, (n, self.numbers[n]));
    }

    pub(super) fn name_of(&self, write: u32) -> Option<(usize, u64)> {
        self.names.get(&write).copied()
    }

    pub(super) fn accepted_at(&self, write: u32) -> Us {
        self.writes[write as usize].accepted.unwrap_or(0)
    }

    pub(super) fn worker(&self, write: u32) -> usize {
        self.writes[write as usize].worker
    }

    /// Acknowledged writes that aren't in `data`, and whose loss nothing excuses.
    pub(super) fn missing(&self, data: &[u32]) -> Vec<u32> {
        let mut there = vec![false; self.writes.len()];
        for write in data {
            there[*write as usize] = true;
        }
        let writes = self.writes.iter().zip(there).enumerate();
        let missing = writes.filter(|(_, (write, there))| write.acknowledged && !write.excused && !there);
        missing.filter_map(|(id, _)| u32::try_from(id).ok()).collect()
    }

    pub(super) fn excuse(&mut self, writes: &[u32]) {
        for write in writes {
            self.writes[*write as usize].excused = true;
        }
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.writes.iter().filter(|write| write.acknowledged).count()
    }
}

impl Storm {
    /// One of our writes was carried out.
    pub(super) fn accepted(&mut self, write: u32, n: usize) {
        let entry = &mut self.ledger.writes[write as usize];
        entry.accepted = Some(self.now);
        let epoch = entry.epoch;
        self.ledger.give_name(write, n);
        self.ledger.served.entry(epoch).or_insert((n, self.now));
    }

    /// A client hears that its write is safe.
    pub(super) fn acknowledged(&mut self, write: u32) {
        let entry = &mut self.ledger.writes[write as usize];
        entry.acknowledged = true;
        let (epoch, node, at) = (entry.epoch, entry.node, entry.accepted.unwrap_or(self.now));
        let later = self.ledger.served.range(epoch + 1..).find(|(_, (other, first))| *other != node && *first < at);
        if let Some((later, (other, _))) = later {
            let (node, other) = (&self.nodes[node].name, &self.nodes[*other].name);
            let words = format!("two writers: {node} took a write of epoch {epoch} after {other} one of epoch {later}");
            self.violated(words);
        }
    }

    /// A route is shown: its epoch never goes back, and an epoch that is open names one node.
    pub(super) fn check_route(&mut self, route: &Route) {
        let epoch = route.epoch.0;
        if epoch < self.ledger.highest {
            self.violated(format!("epoch {epoch} is shown after {}", self.ledger.highest));
        }
        self.ledger.highest = epoch;
        if let (Mode::Open | Mode::ReadOnly, Some(target)) = (route.mode, &route.target) {
            let before = self.ledger.shown.insert(epoch, target.node.clone());
            if before.is_some_and(|before| before != target.node) {
                self.violated(format!("epoch {epoch} names two nodes"));
            }
        }
    }

    /// What the core is about to decide.
    pub(super) fn check_drafts(&mut self, drafts: &[Draft]) {
        for draft in drafts {
            if let Change::Began { operation, from, .. } = &draft.change {
                let from = from.as_ref().map(|target| target.node.clone());
                let own = operation.actor == "pointsman";
                self.check_consent(operation, drafts);
                if operation.kind != "failover" {
                    self.ledger.planned += 1;
                } else if own {
                    self.ledger.automatic += 1;
                    self.check_failover(from.as_ref(), &operation.reason);
                }
                if let (Some(from), "failover") = (from, operation.kind.as_str()) {
                    let cooldown = micros(self.settings.failover.cooldown);
                    self.ledger.cooling_until.insert(from, self.now + cooldown);
                }
            }
        }
    }

    /// No flip of its own while paused, tilted, or against what standbys hear.
    fn check_failover(&mut self, from: Option<&NodeAddress>, reason: &str) {
        let now = self.clock();
        let paused = self.core.durable().and_then(|state| state.paused_until);
        if !self.settings.failover.automatic || paused.is_some_and(|until| until > now.wall) {
            self.violated(format!("an automatic failover while it is off: {reason}"));
        }
        if self.now < self.core.thawed + micros(self.settings.health.timeout) && self.core.thawed > 0 {
            self.violated(format!("an automatic failover just after a pause of our own: {reason}"));
        }
        let external = self.settings.replication == Replication::External;
        if external {
            self.violated("a failover of its own where somebody else moves the roles".into());
        }
        let old = from.and_then(|from| self.index(from.as_str())).filter(|n| self.nodes[*n].proc == Proc::Up);
        let since = old.and_then(|n| self.ledger.heard_since[n]);
        let alone = self.settings.health.second_opinion == SecondOpinion::None
            || self.settings.replication == Replication::None;
        let replaced = reason.contains("restarted with");
        if !alone && !replaced && since.is_some_and(|since| self.now >= since + 3 * SECOND / 2) {
            self.violated(format!("a standby hears the primary all the time, and it is failed over: {reason}"));
        }
    }

    /// Promote is about to be sent.
    pub(super) fn check_promotion(&mut self, node: &NodeAddress) {
        let Some(switch) = self.core.machine.as_ref().and_then(|machine| machine.switch.as_ref()) else {
            return self.check_reopening(node);
        };
        let (from, planned, stage_began) = (switch.from.node.clone(), switch.planned, micros(switch.held_since));
        let (own, again) = (switch.operation.actor == "pointsman", switch.maybe_promoted);
        if self.settings.replication != Replication::Managed {
            self.violated(format!("{node} is promoted though the roles are not ours"));
        }
        let open = self.workers.iter().filter(|worker| matches!(worker.route.mode, Mode::Open | Mode::ReadOnly));
        if open.count() > 0 {
            self.violated(format!("{node} is promoted before every worker acknowledged the hold"));
        }
        let cooling = self.ledger.cooling_until.get(node).is_some_and(|until| self.now < *until);
        if own && !planned && !again && cooling {
            self.violated(format!("{node} is promoted although it is cooling"));
        }
        let Some(old) = self.index(from.as_str()) else { return };
        let lied = self.now < self.ledger.lied_until;
        let lives = self.answers_writes(old) && self.nodes[old].since + SECOND < stage_began;
        let accepted = !planned && self.settings.failover.unfenced == Unfenced::Promote;
        let alone = self.settings.health.second_opinion == SecondOpinion::None;
        if lives && !accepted && !lied && !alone && !again {
            self.violated(format!("{node} is promoted while {from} takes writes"));
        }
    }

    /// Outside of a switch only the routed node may be made primary again, where nobody else is one. A former standby that its own
    /// file made a primary at its start, and that has less of what clients were told is safe, was nobody's choice: waiting for it
    /// would lose more, and who writes there isn't sent by Pointsman.
    fn check_reopening(&mut self, node: &NodeAddress) {
        let target = self.core.machine.as_ref().and_then(|machine| machine.route().target.clone());
        let routed = target.is_some_and(|target| target.node == *node);
        let left = |name| self.core.durable().is_some_and(|state| state.fences.contains_key(name));
        let Some(n) = self.index(node.as_str()) else { return };
        let lacks = |node: &super::node::Node| self.ledger.missing(&node.data).len();
        let chosen = |other: &super::node::Node| !other.by_file || lacks(other) <= lacks(&self.nodes[n]);
        let others = self.nodes.iter().filter(|other| other.name != *node && !left(&other.name) && chosen(other));
        let others = others.filter(|other| other.takes_writes(self.now)).count();
        if !routed || others > 0 {
            self.violated(format!("{node} is promoted outside of a switch, {others} others take writes"));
        }
    }

    /// A promotion happens at a node.
    pub(super) fn promoted(&mut self, n: usize) {
        if self.nodes[n].is_primary() {
            return;
        }
        if self.sabotage == Some(Sabotage::ShownTooSoon) {
            self.show_too_soon();
        }
        let open = self.workers.iter().any(|worker| matches!(worker.route.mode, Mode::Open));
        let lost = self.ledger.missing(&self.nodes[n].data);
        let under_way = self.core.durable().and_then(|state| state.underway.as_ref());
        let idle = self.core.machine.as_ref().is_some_and(|machine| machine.switch.is_none());
        let Some(under_way) = under_way else {
            if idle {
                // The routed node again: its restart was judged already.
                return;
            }
            // An order that was given before a pause or a crash and was carried out late.
            return self.ledger.excuse(&lost);
        };
        let (kind, operation) = (under_way.operation.kind.clone(), under_way.operation.id.to_string());
        if open && self.core.machine.is_some() {
            self.violated(format!("{} is promoted while a worker's route is open", self.nodes[n].name));
        }
        if kind == "switchover" && !lost.is_empty() {
            let count = lost.len();
            self.violated(format!("a planned switch to {} loses {count} acknowledged writes", self.nodes[n].name));
        }
        self.say(|storm| format!("{} lacks {} acknowledged writes: {lost:?}", storm.nodes[n].name, lost.len()));
        self.ledger.excuse(&lost);
        self.ledger.flips.push(Flip { operation, lost });
    }

    fn show_too_soon(&mut self) {
        if let Some(switch) = self.core.machine.as_ref().and_then(|machine| machine.switch.as_ref()) {
            let route = switch.new_route();
            self.workers.iter_mut().for_each(|worker| worker.route = route.clone());
        }
    }

    /// Whether Pointsman's present configuration has a node: one that a reload took out is neither asked nor given orders.
    fn is_configured(&self, name: &NodeAddress) -> bool {
        self.settings.nodes().any(|(_, node)| node.address == *name)
    }

    /// A node came back without some of its data. What a standby within reach still has must outlive that; the rest is gone. Where
    /// another manager comes first, keeping that is its duty: Pointsman parks nobody beside it, and the storm's one does nothing.
    pub(super) fn data_went(&mut self, n: usize, before: &[u32]) {
        let mut kept: Vec<u32> = self.nodes[n].data.clone();
        let yields = self.core.machine.as_ref().is_some_and(|machine| machine.yields_to().is_some());
        let undisturbed = self.now >= self.ledger.disturbed_at + 5 * SECOND && !yields;
        for (other, node) in self.nodes.iter().enumerate() {
            let well = node.proc == Proc::Up && node.host && node.link.copied_at.is_none();
            let follows = matches!(node.follows, Follows::Void) || node.follows == Follows::Node(n);
            let long = self.now >= node.since + SECOND;
            let reached = self.net.open(US, other + 1) && self.is_configured(&node.name);
            if undisturbed && other != n && well && follows && long && reached {
                kept.extend(&node.data);
                self.ledger.protected.extend(&node.data);
            }
        }
        let missing = self.ledger.missing(&kept);
        let gone: Vec<u32> = missing.into_iter().filter(|write| before.contains(write)).collect();
        self.say(|_| format!("{} acknowledged writes are gone for good: {gone:?}", gone.len()));
        self.ledger.excuse(&gone);
    }

    /// Which primaries somebody hears, besides us.
    pub(super) fn note_heard(&mut self) {
        for n in 0..self.nodes.len() {
            let up = self.nodes[n].proc == Proc::Up && self.nodes[n].is_primary();
            let heard = up
                && self.nodes.iter().enumerate().any(|(s, standby)| {
                    standby.follows == Follows::Node(n)
                        && standby.link.up
                        && standby.proc == Proc::Up
                        && self.net.open(s + 1, n + 1)
                        && self.net.path(US, s + 1) == Path::Open
                        && self.net.path(s + 1, US) == Path::Open
                        && standby.host
                        && self.is_configured(&standby.name)
                });
            let since = &mut self.ledger.heard_since[n];
            *since = if heard { Some(since.unwrap_or(self.now)) } else { None };
        }
    }
}
