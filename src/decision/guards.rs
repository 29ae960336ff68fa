//! The one readiness engine: `status`, dry runs, orders and the commit of a switch all ask here.
//!
//! Input: what is known now. Output: every guard that does not hold, with words an operator can act on. It changes nothing.

use super::{Now, health::NodeState, machine::Machine, switch::Switch};
use crate::model::{
    guard::{Guard, Refusal},
    lineage::shown,
    name::{ClusterName, NodeAddress},
    observation::{Answer, Part},
    route::{Mode, Target},
    view::Health,
};
use std::{collections::BTreeMap, time::Duration};

/// The lag at which a planned switch closes: what is left is applied inside the hold.
const SMALL_LAG: Duration = Duration::from_secs(1);

/// The same where each transaction is applied for itself, as it is in what has named transactions: what waits to be applied is felt as
/// much as what wasn't received.
const SMALL_DELAY: Duration = Duration::from_millis(100);

/// Guards that no override passes: without them there is nothing to switch, or two operations would meet.
const FIRM: [Guard; 6] = [Guard::Reachable, Guard::Primary, Guard::Busy, Guard::Epoch, Guard::Route, Guard::Identity];

/// What the guards are asked for.
#[derive(Clone, Copy)]
pub(super) enum Purpose<'a> {
    /// A planned switch; `cut` says that sessions that can't move will be cut.
    Switchover { cut: bool },
    /// An unplanned one; `by_hand` says that an operator ordered it.
    Failover { by_hand: bool },
    /// The end of a planned switch's approach.
    Commit(&'a Switch),
}

impl Purpose<'_> {
    fn planned(self) -> bool {
        !matches!(self, Self::Failover { .. })
    }
}

/// Whether an operator may pass it by name.
pub(super) fn may_be_overridden(guard: Guard) -> bool {
    !FIRM.contains(&guard)
}

impl Machine {
    /// Every guard that keeps a switch to `to` from happening now.
    pub(super) fn readiness(&self, purpose: Purpose, to: &Target, now: Now) -> Vec<Refusal> {
        let mut refusals = self.service_guards(purpose);
        refusals.extend(self.candidate_refusals(purpose, to, now));
        if let Purpose::Commit(switch) = purpose {
            refusals.extend(self.approach_guards(switch));
        }
        refusals
    }

    /// The guards that ask about the candidate alone.
    pub(super) fn candidate_refusals(&self, purpose: Purpose, to: &Target, now: Now) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        let Some(candidate) = self.nodes.get(&to.node) else {
            return vec![Refusal::new(Guard::Reachable, format!("{} is not configured", to.node))];
        };
        if let Some(answer) = candidate.fresh().filter(|_| candidate.health == Health::Up) {
            self.candidate_guards(purpose, to, candidate, answer, now, &mut refusals);
        } else {
            let failure = candidate.failure(now.mono);
            let failure = if failure.is_empty() { "answers, but not for long enough yet" } else { &failure };
            refusals.push(Refusal::new(Guard::Reachable, format!("{} {failure}", to.node)));
        }
        if matches!(purpose, Purpose::Failover { by_hand: false }) {
            refusals.extend(self.cooling(&to.node, now));
        }
        refusals.extend(self.fit(purpose, to));
        refusals
    }

    fn service_guards(&self, purpose: Purpose) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        let mut refuse = |guard, detail: String| refusals.push(Refusal::new(guard, detail));
        let commit = matches!(purpose, Purpose::Commit(_));
        if self.starting || self.route.target.is_none() {
            refuse(
                Guard::Route,
                format!("no route is known yet: {}", self.unclear).trim_end_matches([':', ' ']).into(),
            );
        } else if !matches!(self.mode(), Mode::Open | Mode::ReadOnly) {
            refuse(Guard::Route, format!("the service is in mode {}", self.mode().as_str()));
        }
        if let Some(busy) = self.busy().filter(|_| !commit) {
            refuse(busy.name, busy.detail);
        }
        if let Some(error) = &self.disk.error {
            refuse(Guard::Journal, error.clone());
        }
        // A failover leaves its dead primary fenced by intent: that must not keep the next one from happening.
        let left: Vec<&str> = self.open_fences().map(NodeAddress::as_str).collect();
        if purpose.planned() && !left.is_empty() {
            let nodes = left;
            refuse(Guard::Fence, format!("the fence of {} is not lifted yet", nodes.join(", ")));
        }
        for detail in self.identity() {
            refuse(Guard::Identity, detail);
        }
        if let Some(strange) = self.strange.as_ref().filter(|_| purpose.planned()) {
            refuse(Guard::Lineage, strange.text.clone());
        }
        if purpose.planned() {
            let well = self.routed_node().and_then(NodeState::fresh);
            // A cluster that serves as a whole may be left whatever its state is: nothing is fenced there or waited for.
            let whole = self.settings.serves_as_whole();
            let can = |answer: &Answer| whole || answer.writable || !answer.sick.is_empty();
            if !well.is_some_and(|answer| can(answer) && matches!(answer.part, Part::Primary { .. })) {
                refuse(Guard::Primary, self.primary_trouble());
            }
            let cut = match purpose {
                Purpose::Switchover { cut } => cut,
                Purpose::Failover { .. } => true,
                Purpose::Commit(switch) => switch.cut_sessions,
            };
            if !cut && let Some(first) = self.stuck.first() {
                let count = self.stuck.len();
                refuse(Guard::Sessions, format!("{count} can't move, such as {}: {}", first.client, first.why));
            }
        }
        refusals
    }

    fn primary_trouble(&self) -> String {
        let Some(target) = self.routed() else { return "none is known".into() };
        match self.routed_node().and_then(NodeState::fresh) {
            Some(Answer { part: Part::Standby { .. }, .. }) => format!("{} is a standby", target.node),
            Some(_) => format!("{} takes no writes", target.node),
            None => format!("{} doesn't answer", target.node),
        }
    }

    /// The manager that comes before us on some node: it alone moves roles.
    pub(super) fn yields_to(&self) -> Option<&str> {
        let mut answers = self.nodes.values().filter_map(NodeState::fresh);
        answers.find(|answer| answer.yields)?.other_managers.first().map(String::as_str)
    }

    /// Other managers, several primaries, a node configured twice.
    pub(super) fn identity(&self) -> Vec<String> {
        let mut found = Vec::new();
        if !self.starting && !self.unclear.is_empty() {
            found.push(self.unclear.clone());
        }
        let mut processes: BTreeMap<&str, &NodeAddress> = BTreeMap::new();
        for (address, answer) in self.nodes.iter().filter_map(|(address, node)| Some((address, node.fresh()?))) {
            if let Some(other) = answer.other_managers.first().filter(|_| answer.yields) {
                found.push(format!("{address} is managed by {other} too"));
            }
            if let Some(twin) = processes.insert(answer.run_id.as_str(), address).filter(|_| !answer.run_id.is_empty())
            {
                let what = if self.settings.serves_as_whole() { "cluster" } else { "server" };
                found.push(format!("{twin} and {address} are the same {what}"));
            }
        }
        found
    }

    fn candidate_guards(
        &self,
        purpose: Purpose,
        to: &Target,
        candidate: &NodeState,
        answer: &Answer,
        now: Now,
        refusals: &mut Vec<Refusal>,
    ) {
        let mut refuse = |guard, detail: String| refusals.push(Refusal::new(guard, detail));
        if self.durable.drained.contains(&to.cluster) {
            refuse(
                Guard::Eligible,
                format!("{} is drained: `pointsman restore {} {}`", to.cluster, self.svc, to.cluster),
            );
        }
        for why in [&answer.sick, &answer.unfit].into_iter().filter(|why| !why.is_empty()) {
            refuse(Guard::Fit, format!("{}: {why}", self.named(to)));
        }
        if self.durable.fences.contains_key(&to.node) {
            refuse(Guard::Fence, format!("the fence of {} is not lifted yet", to.node));
        }
        match (&answer.part, self.managed()) {
            (Part::Primary { .. }, true) => refuse(Guard::Eligible, format!("{} is not a standby", to.node)),
            // Why a whole cluster can't be the target it says itself.
            (Part::Primary { .. }, false) if answer.writable || self.settings.serves_as_whole() => {}
            (_, false) => refuse(Guard::Eligible, format!("{} takes no writes", to.node)),
            (Part::Standby { .. }, true) if answer.priority == 0 => {
                refuse(Guard::Eligible, format!("{} is configured never to be promoted", to.node));
            }
            (Part::Standby { syncing: true, .. }, true) => {
                refuse(Guard::Lag, format!("{} is in the middle of a full copy", to.node));
            }
            (Part::Standby { link_up: false, .. }, true) if purpose.planned() => {
                refuse(Guard::Lag, format!("{}'s link to its primary is down", to.node));
            }
            (Part::Standby { .. }, true) => {}
        }
        if !self.managed() {
            return;
        }
        let Some(primary) = self.routed_node() else { return };
        let named = answer.lineage.transactions.is_some();
        refusals.extend(self.history_guard(purpose, to, answer));
        let mut refuse = |guard, detail: String| refusals.push(Refusal::new(guard, detail));
        if let Some(served) =
            self.served.as_ref().filter(|served| !purpose.planned() && answer.items < served.items / 2)
        {
            let words = format!("{} holds {} items, the primary held {}", to.node, answer.items, served.items);
            refuse(Guard::Lineage, words);
        }
        if self.strange.is_some() {
            return;
        }
        let small = if named { SMALL_DELAY } else { SMALL_LAG };
        let most = match purpose {
            Purpose::Commit(_) => small.min(self.settings.failover.max_lag),
            _ => self.settings.failover.max_lag,
        };
        if let (Purpose::Commit(_), true, Some(delay)) =
            (purpose, named, candidate.delay().filter(|delay| *delay > small))
        {
            let delay = delay.as_secs_f64();
            refuse(Guard::Lag, format!("{} has received {delay:.1} s more than it has applied", to.node));
        }
        // Of a primary that hasn't answered since a restart of ours only the journal knows where it was.
        let recorded =
            self.recorded_position().filter(|_| primary.answer.is_none() && self.is_parked(&to.node, answer));
        let has_all = recorded.is_some_and(|position| answer.received >= position);
        match candidate.lag(primary, now.mono).or(has_all.then_some(Duration::ZERO)) {
            Some(lag) if lag <= most => {}
            Some(lag) => {
                let (lag, most) = (lag.as_secs_f64(), most.as_secs_f64());
                refuse(Guard::Lag, format!("{} is {lag:.1} s behind, at most {most:.1} s", to.node));
            }
            None => refuse(Guard::Lag, format!("how far {} is behind is not known yet", to.node)),
        }
    }

    /// Whether the candidate's history is the primary's: a beginning of it, and nothing of its own.
    pub(super) fn history_guard(&self, purpose: Purpose, to: &Target, answer: &Answer) -> Option<Refusal> {
        let then = self.primary_then().filter(|_| self.strange.is_none());
        let known = then.map(|primary| &primary.lineage).or(self.durable.lineage.as_ref())?;
        let author = then.map_or(&self.durable.process, |primary| &primary.run_id);
        if let Some(errant) = answer.lineage.errant(known, author) {
            let words = || format!("{} holds transactions that the primary doesn't have: {}", to.node, shown(&errant));
            return (!errant.is_empty()).then(|| Refusal::new(Guard::Lineage, words()));
        }
        // One that the dead primary had no time to lead holds a beginning of the history before.
        let beginning = !purpose.planned() && answer.lineage.is_beginning_of(known, answer.received);
        let words = || format!("{} doesn't share the primary's history", to.node);
        (!answer.lineage.is_same(known) && !beginning).then(|| Refusal::new(Guard::Lineage, words()))
    }

    /// Where the routed primary was when it answered the last time, as the journal was told when it was lost.
    fn recorded_position(&self) -> Option<u64> {
        let routed = &self.routed()?.node;
        let silenced = self.durable.silenced.as_ref().filter(|silenced| silenced.node == *routed);
        let lost = self.durable.lost_at.as_ref().filter(|(node, _)| node == routed);
        silenced.map(|silenced| silenced.received).max(lost.map(|(_, position)| *position))
    }

    /// The last answer of the process that was served, also when another one has taken its place since.
    pub(super) fn primary_then(&self) -> Option<&Answer> {
        let node = self.routed_node()?;
        let now = node.answer.as_ref()?;
        let former = node.former.as_deref().map(|(answer, _)| answer);
        match &self.served {
            Some(served) if served.run_id != now.run_id => former.filter(|former| former.run_id == served.run_id),
            _ => Some(now),
        }
    }

    /// What replication doesn't carry, and our own rights on both nodes.
    fn fit(&self, purpose: Purpose, to: &Target) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        // Reads from a cluster that differs are better than none.
        if self.settings.serves_as_whole() && !purpose.planned() {
            return refusals;
        }
        let guard = self.guard_of_comparison();
        let mut nodes = vec![&to.node];
        if purpose.planned() {
            nodes.extend(self.routed().map(|target| &target.node));
        }
        for address in nodes {
            match self.nodes.get(address).and_then(|node| node.fitness.as_ref()) {
                None => refusals.push(Refusal::new(guard, format!("{address} was not compared yet"))),
                Some(read) => match &read.result {
                    Err(error) => refusals.push(Refusal::new(guard, error.clone())),
                    Ok(fitness) if self.managed() && !fitness.missing_rights.is_empty() => {
                        let missing = fitness.missing_rights.join("; ");
                        refusals.push(Refusal::new(Guard::Rights, format!("{address}: {missing}")));
                    }
                    Ok(_) => {}
                },
            }
        }
        let read = self.nodes.get(&to.node).and_then(|node| node.fitness.as_ref());
        refusals.extend(read.into_iter().flat_map(|read| read.differences.iter().cloned()));
        refusals
    }

    /// What a commit asks beside: facts newer than the order, and every worker ready on the new node.
    fn approach_guards(&self, switch: &Switch) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        for address in [&switch.from.node, &switch.to.node] {
            let Some(node) = self.nodes.get(address) else { continue };
            if node.seen <= switch.approached {
                refusals.push(Refusal::new(Guard::Reachable, format!("{address} was not probed since the order")));
            }
            if node.fitness.as_ref().is_none_or(|read| read.at <= switch.approached) {
                let words = format!("{address} was not compared since the order");
                refusals.push(Refusal::new(self.guard_of_comparison(), words));
            }
        }
        // A standby that was copied a moment ago is sent nothing more before it has acknowledged its copy, which it does once a
        // second: that second belongs before the hold.
        let received = self.nodes.get(&switch.to.node).and_then(NodeState::fresh).map(|answer| answer.received);
        if self.managed() && (switch.mark.is_none() || received < switch.mark) {
            let words = format!("{} has not received yet what was written before the order", switch.to.node);
            refusals.push(Refusal::new(Guard::Lag, words));
        }
        if switch.warm.len() < self.workers {
            let (warm, all) = (switch.warm.len(), self.workers);
            let detail = format!("{warm} of {all} workers have their connections to {} ready", switch.to.node);
            refusals.push(Refusal::new(Guard::Reachable, detail));
        }
        refusals
    }

    /// The node that a switch to `to` (else to the first other cluster in order that is ready) would go to, and what
    /// keeps it from happening.
    pub(super) fn choose(
        &self,
        purpose: Purpose,
        to: Option<&ClusterName>,
        passed: &[Guard],
        now: Now,
    ) -> (Option<Target>, Vec<Refusal>) {
        let targets = if self.managed() && !purpose.planned() { self.heirs(to) } else { self.others(to) };
        let mut first = None;
        for target in targets {
            let refusals = self.readiness(purpose, &target, now);
            if refusals.iter().all(|refusal| passed.contains(&refusal.name)) {
                return (Some(target), refusals);
            }
            first.get_or_insert((Some(target), refusals));
        }
        first.unwrap_or_else(|| {
            let words = to.map_or("there is no other cluster".into(), |to| format!("there is no cluster {to}"));
            (None, vec![Refusal::new(Guard::Eligible, words)])
        })
    }

    /// The best node of `to`, else of each other cluster in order.
    fn others(&self, to: Option<&ClusterName>) -> Vec<Target> {
        let routed = self.routed().map(|target| target.cluster.clone());
        let others = self.settings.clusters.iter().map(|cluster| ClusterName::from(cluster.name.as_str()));
        let others = others.filter(|name| match to {
            Some(to) => name == to,
            None => Some(name) != routed.as_ref(),
        });
        others.filter_map(|name| self.best_node(&name)).collect()
    }

    /// A cluster's best candidate: one that answers, follows, may be promoted, and has received most; else its first node.
    fn best_node(&self, cluster: &ClusterName) -> Option<Target> {
        if !self.managed()
            && let Some(target) = self.writable_in(cluster.as_str())
        {
            return Some(target);
        }
        let nodes = &self.settings.cluster(cluster.as_str())?.nodes;
        let addresses = nodes.iter().map(|node| NodeAddress::from(node.address.as_str()));
        let rank = |address: &NodeAddress| {
            let answer = self.nodes.get(address).and_then(NodeState::fresh);
            answer.map(|answer| {
                let link = matches!(answer.part, Part::Standby { link_up: true, .. });
                (answer.priority != 0, link, answer.received, u32::MAX - answer.priority)
            })
        };
        // `max_by_key` prefers the last of equals; the first in order is meant.
        let node = addresses.rev().max_by_key(rank)?;
        Some(Target { cluster: cluster.clone(), node })
    }
}
