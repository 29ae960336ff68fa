//! Who is primary: at the start, and when somebody else changed it.
//!
//! Inputs: the nodes' last answers, the durable route and history. Outputs: the first route, an adopted one, or the words
//! that say why none can be told. It never guesses between two, and never promotes against what it finds.

use super::{
    Now,
    health::NodeState,
    machine::{Machine, TRY_AGAIN},
    pending::Then,
};
use crate::config::Replication;
use crate::model::{
    name::NodeAddress,
    observation::{Answer, Part},
    record::{Change, RecordKind},
    route::{Mode, Route, Target},
    view::Health,
};
use std::time::Duration;

/// What the nodes' answers say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This node is the primary.
    Primary(Target),
    /// No node that answers is one.
    Nobody,
    /// Can't be told, and why.
    Unclear(String),
}

impl Machine {
    /// Looks at the roles after each event while no switch is under way.
    pub(super) fn watch_roles(&mut self, now: Now) {
        // Before anything waits: whoever answers at the routed address is judged before the next request reaches it.
        if !self.starting && self.managed() {
            self.judge_history(now);
        }
        if self.is_writing() || now.mono < self.not_before {
            return;
        }
        if self.starting {
            self.first_route(now);
            // Before a parked standby is told to follow it.
            if !self.starting && self.managed() {
                self.judge_history(now);
            }
        }
        if self.starting {
            return;
        }
        if self.managed() {
            self.watch_routed(now);
        } else if self.external() {
            self.follow_external(now);
        } else if self.settings.serves_as_whole() {
            self.follow_first_node(now);
        }
    }

    /// Somebody else moves the roles: the route goes at once to the node that takes writes.
    fn follow_external(&mut self, now: Now) {
        let Some(routed) = self.route.target.clone() else { return };
        self.unclear.clear();
        let primaries = self.primaries();
        let routed_is = primaries.iter().find(|(address, ..)| **address == routed.node);
        // One that continues the routed one's history was promoted after it: whoever still writes there loses it.
        let heirs: Vec<_> = match routed_is {
            Some((.., answer)) => primaries
                .iter()
                .filter(|(address, _, heir)| **address != routed.node && heir.lineage.succeeds(&answer.lineage))
                .collect(),
            None => primaries.iter().collect(),
        };
        match heirs.as_slice() {
            [(address, node, _)] => {
                let target = Target { cluster: node.cluster.clone(), node: (*address).clone() };
                let since = node.primary_since.unwrap_or(now.mono);
                if !self.asked_since(since, now) {
                    return;
                }
                let why = format!("{} takes writes now, by somebody else's order", target.node);
                self.adopt(&target, &why, now);
            }
            [] if routed_is.is_some() => self.unclear = self.rivals(&routed),
            [] => {}
            several => {
                let names: Vec<&str> = several.iter().map(|(address, ..)| address.as_str()).collect();
                self.unclear =
                    format!("{} take writes: which of them is the primary can't be told", names.join(" and "));
            }
        }
    }

    /// Whether every node was asked since then, so that a second heir isn't overlooked; those that don't answer aren't
    /// waited for.
    fn asked_since(&mut self, since: Duration, now: Now) -> bool {
        let waited = now.mono >= since + self.settings.health.timeout;
        let left = self.nodes.iter().filter(|(_, node)| node.seen < since).map(|(address, _)| address.clone());
        let left: Vec<NodeAddress> = left.collect();
        for node in &left {
            self.probe(node, now);
        }
        waited || left.is_empty()
    }

    fn first_route(&mut self, now: Now) {
        if self.nodes.values().any(|node| node.last.is_none()) {
            return;
        }
        let independent = self.settings.replication == Replication::None;
        let found = if independent { self.first_independent() } else { self.find_primary() };
        self.unclear.clear();
        match (found, self.durable.route.target.clone()) {
            (Found::Primary(target), Some(routed)) if target == routed => self.resume(),
            (Found::Primary(target), Some(routed)) => {
                let why = format!("found at start: {} is the primary now, not {}", target.node, routed.node);
                self.adopt(&target, &why, now);
            }
            (Found::Primary(target), None) => self.adopt(&target, "first start: this node takes writes", now),
            (Found::Nobody, Some(_)) => self.resume(),
            (Found::Nobody, None) => self.unclear = format!("no primary found: {}", self.failures(now)),
            (Found::Unclear(why), _) => self.unclear = why,
        }
    }

    /// The durable route serves again; no session survived the restart, so its epoch may stay.
    fn resume(&mut self) {
        self.publish(self.durable.route.clone(), None, false);
        // Whoever answers there now isn't judged yet.
        self.admitted.clone_from(&self.durable.process);
    }

    /// Somebody else moved the role: follow it, and write that down.
    pub(super) fn adopt(&mut self, target: &Target, why: &str, now: Now) {
        self.not_before = now.mono + TRY_AGAIN;
        let mode = if self.durable.route.target.is_none() { Mode::Open } else { self.durable.route.mode };
        let epoch = self.route.epoch.max(self.durable.route.epoch).next();
        let answer = self.nodes.get(&target.node).and_then(NodeState::fresh).filter(|_| self.managed());
        let route = Route { epoch, mode, target: Some(target.clone()) };
        let mut drafts = vec![self.draft(RecordKind::Decision, Change::Routed { route: route.clone() }, why)];
        drafts.extend(answer.map(|answer| self.lineage_draft(&target.node, answer)));
        self.write(drafts, Then::Route(route));
    }

    /// Without replication: the durable route, else the first cluster in order with a node that takes writes.
    fn first_independent(&self) -> Found {
        if self.durable.route.target.is_some() {
            return Found::Nobody;
        }
        let clusters = self.settings.clusters.iter().map(|cluster| cluster.name.as_str());
        let mut writable = clusters.filter_map(|cluster| self.writable_in(cluster));
        writable.next().map_or(Found::Nobody, Found::Primary)
    }

    /// The first node of a cluster that takes writes.
    pub(super) fn writable_in(&self, cluster: &str) -> Option<Target> {
        let cluster = self.settings.cluster(cluster)?;
        let mut addresses = cluster.nodes.iter().map(|node| NodeAddress::from(node.address.as_str()));
        let node = addresses.find(|address| {
            let answer = self.nodes.get(address).and_then(NodeState::fresh);
            answer.is_some_and(|answer| answer.writable && matches!(answer.part, Part::Primary { .. }))
        })?;
        Some(Target { cluster: cluster.name.as_str().into(), node })
    }

    /// Every node that says it is a primary, but for those that we fenced ourselves.
    pub(super) fn primaries(&self) -> Vec<(&NodeAddress, &NodeState, &Answer)> {
        let answers = self.nodes.iter().filter_map(|(address, node)| Some((address, node, node.fresh()?)));
        answers
            .filter(|(address, _, answer)| {
                matches!(answer.part, Part::Primary { .. }) && !self.durable.fences.contains_key(*address)
            })
            .collect()
    }

    /// Whether a node that answers follows `primary`.
    fn is_followed(&self, primary: &NodeAddress) -> bool {
        self.nodes.values().filter_map(NodeState::fresh).any(|answer| self.follows(answer, primary))
    }

    /// Whether somebody made a node follow it: the word of a routed primary that its own file made a standby doesn't count.
    fn is_chosen(&self, primary: &NodeAddress) -> bool {
        let fallen = self.routed().zip(self.served.as_ref());
        let by_file = |address: &NodeAddress, answer: &Answer| {
            fallen.is_some_and(|(routed, served)| *address == routed.node && answer.run_id != served.run_id)
        };
        let answers = self.nodes.iter().filter_map(|(address, node)| Some((address, node.fresh()?)));
        answers.filter(|(address, answer)| !by_file(address, answer)).any(|(_, answer)| self.follows(answer, primary))
    }

    /// Who is primary, by what every node says, the durable route and its history. A standby that its own file made a primary at its
    /// restart is nobody's choice, if another one has more.
    fn find_primary(&self) -> Found {
        let mut primaries = self.primaries();
        primaries.retain(|(address, node, answer)| {
            !node.born_primary || self.is_chosen(address) || !self.is_behind(address, answer)
        });
        let target = |address: &NodeAddress, node: &NodeState| {
            Found::Primary(Target { cluster: node.cluster.clone(), node: address.clone() })
        };
        match primaries.as_slice() {
            [] => Found::Nobody,
            [(address, node, answer)] => match self.stranger(address, answer) {
                None => target(address, node),
                Some(why) => Found::Unclear(why),
            },
            several => {
                let followed: Vec<_> = several.iter().filter(|(address, ..)| self.is_followed(address)).collect();
                if let [(address, node, answer)] = followed.as_slice()
                    && self.stranger(address, answer).is_none()
                {
                    return target(address, node);
                }
                if let Some((address, node)) = self.only_heir(several).or_else(|| self.full_heir(several)) {
                    return target(address, node);
                }
                let names: Vec<&str> = several.iter().map(|(address, ..)| address.as_str()).collect();
                Found::Unclear(format!(
                    "{} all take writes and nothing tells which is ours: make all but one of them standbys",
                    names.join(" and ")
                ))
            }
        }
    }

    /// Of several primaries, the routed one if it alone continues the durable history.
    fn only_heir<'a>(
        &self,
        several: &[(&'a NodeAddress, &'a NodeState, &'a Answer)],
    ) -> Option<(&'a NodeAddress, &'a NodeState)> {
        let known = self.durable.lineage.as_ref()?;
        let routed = &self.durable.route.target.as_ref()?.node;
        let heirs: Vec<_> = several.iter().filter(|(.., answer)| answer.lineage.continues(known)).collect();
        match heirs.as_slice() {
            [(address, node, _)] if *address == routed => Some((*address, *node)),
            _ => None,
        }
    }

    /// Of several primaries, the one that continues each other one's history and had all that the other holds when it was promoted:
    /// whoever serves it loses nothing, also where our own state is lost.
    fn full_heir<'a>(
        &self,
        several: &[(&'a NodeAddress, &'a NodeState, &'a Answer)],
    ) -> Option<(&'a NodeAddress, &'a NodeState)> {
        let has_all = |heir: &Answer, other: &Answer| heir.lineage.succeeds_all(&other.lineage, other.received);
        let mut heirs = several.iter().filter(|(address, _, heir)| {
            several.iter().all(|(other, _, answer)| other == address || has_all(heir, answer))
        });
        let (address, node, answer) = heirs.next()?;
        self.stranger(address, answer).is_none().then_some((*address, *node))
    }

    /// Nodes that have received more of the served history than `primary` had when it became one.
    fn ahead_at_fork<'a>(
        &'a self,
        primary: &'a NodeAddress,
        answer: &Answer,
    ) -> impl Iterator<Item = (&'a NodeAddress, &'a Answer)> {
        let known = self.durable.lineage.as_ref();
        let forked = answer.lineage.shared_until(known, answer.received);
        let lineage = answer.lineage.clone();
        let others = self.nodes.iter().filter(move |(address, _)| *address != primary);
        let answers = others.filter_map(|(address, node)| Some((address, node.answer.as_ref()?)));
        answers.filter(move |(_, other)| {
            known.is_some_and(|known| {
                other.lineage.has_more(other.received, (&lineage, forked), known, &self.durable.process)
            })
        })
    }

    /// A standby of the served history that has received more of it than `primary` had when it became one.
    fn outdone<'a>(&'a self, primary: &'a NodeAddress, answer: &Answer) -> Option<&'a NodeAddress> {
        let mut ahead = self.ahead_at_fork(primary, answer);
        ahead.find(|(_, other)| matches!(other.part, Part::Standby { .. })).map(|(address, _)| address)
    }

    /// Whether it has less than any other node, the process that was served among them, also when that one is gone.
    fn is_behind(&self, primary: &NodeAddress, answer: &Answer) -> bool {
        let known = self.durable.lineage.as_ref();
        let routed = self.routed().is_some_and(|routed| routed.node == *primary);
        let until = (&answer.lineage, answer.lineage.shared_until(known, answer.received));
        let more =
            |served: &Answer, known| served.lineage.has_more(served.received, until, known, &self.durable.process);
        let served = self.primary_then().filter(|_| !routed);
        let outdone = served.zip(known).is_some_and(|(served, known)| more(served, known));
        outdone || self.ahead_at_fork(primary, answer).next().is_some()
    }

    /// Why a lone primary can't be taken for ours, if so.
    fn stranger(&self, address: &NodeAddress, answer: &Answer) -> Option<String> {
        match &self.durable.route.target {
            Some(routed) if routed.node == *address => None,
            Some(routed) => {
                let routed_follows = self
                    .nodes
                    .get(&routed.node)
                    .and_then(NodeState::fresh)
                    .is_some_and(|answer| matches!(answer.part, Part::Standby { .. }))
                    && self.is_followed(address);
                let ours = self.durable.lineage.as_ref().is_some_and(|known| answer.lineage.continues(known));
                match self.outdone(address, answer) {
                    _ if routed_follows => None,
                    _ if !ours => Some(format!(
                        "{address} takes writes, but holds another history than {}, which was served last and isn't primary now",
                        routed.node
                    )),
                    better => better.map(|better| {
                        format!(
                            "{address} takes writes, but {better} has received more: make one a standby of the other"
                        )
                    }),
                }
            }
            None => {
                let preferred = self.settings.clusters.first().map(|cluster| cluster.name.as_str());
                let in_preferred = self.nodes.get(address).is_some_and(|node| Some(node.cluster.as_str()) == preferred);
                let all_answer = self.nodes.values().all(|node| node.fresh().is_some());
                (!in_preferred && !all_answer && !self.is_followed(address)).then(|| {
                    format!("{address} takes writes, but nodes of more preferred clusters don't answer and nothing follows it")
                })
            }
        }
    }

    /// The routed node while it serves: does it still say it is the primary, and is its data what it was?
    fn watch_routed(&mut self, now: Now) {
        let Some(routed) = self.route.target.clone() else { return };
        let Some(node) = self.nodes.get(&routed.node) else {
            self.unclear = format!("{} is routed and not in the configuration any more", routed.node);
            return;
        };
        let rise = self.settings.health.rise;
        self.unclear.clear();
        match node.fresh() {
            Some(answer) if matches!(answer.part, Part::Primary { .. }) => self.unclear = self.rivals(&routed),
            Some(answer) => {
                let (answer, sure) = (answer.clone(), node.standby_for >= rise);
                self.keep_fallen(&routed, &answer);
                if sure && !self.follow_others(&routed, "was made a standby", now) {
                    self.watch_fallen(&routed, &answer, now);
                }
            }
            None if node.health == Health::Down => {
                self.follow_others(&routed, "is down", now);
            }
            None => {}
        }
    }

    /// Somebody promoted another node, or nobody did yet; whether another one was found.
    fn follow_others(&mut self, routed: &Target, what: &str, now: Now) -> bool {
        match self.find_primary() {
            Found::Primary(target) if target != *routed => {
                let why = format!("{} {what}, and {} was promoted, not by us", routed.node, target.node);
                self.adopt(&target, &why, now);
                true
            }
            Found::Unclear(why) => {
                self.unclear = why;
                true
            }
            Found::Primary(_) | Found::Nobody => false,
        }
    }

    /// Other nodes that take writes beside the routed primary, in words; empty if there are none.
    fn rivals(&self, routed: &Target) -> String {
        let rivals: Vec<&str> = self
            .primaries()
            .iter()
            .map(|(address, ..)| address.as_str())
            .filter(|name| *name != routed.node.as_str())
            .collect();
        if rivals.is_empty() {
            return String::new();
        }
        format!("{} takes writes too: make it a standby of {}", rivals.join(" and "), routed.node)
    }

    /// What each node that doesn't answer was found to do.
    pub(super) fn failures(&self, now: Now) -> String {
        let failures = self.nodes.iter().filter(|(_, node)| node.fresh().is_none());
        let words: Vec<String> =
            failures.map(|(address, node)| format!("{address} {}", node.failure(now.mono))).collect();
        if words.is_empty() { "every node that answers is a standby".into() } else { words.join(", ") }
    }
}
