//! When the primary is gone: the alarm, the decision, and the next candidate if the first dies.
//!
//! Input: the verdict on the primary. Output: nothing but a watchful eye while it is well; a shield, parked standbys and more
//! probes while it is suspect; a failover when it is proven gone and no guard says no. Each reason not to act is shown, and
//! recorded once.

use super::{
    Now,
    evidence::{Cause, Hearing, Verdict},
    guards::Purpose,
    health::NodeState,
    inquiry::Alert,
    machine::{Machine, TRY_AGAIN},
    pending::Then,
    switch::{Stage, Switch},
};
use crate::{
    config::{FullJournal, Unfenced},
    model::{
        guard::{Guard, Refusal},
        name::{ClusterName, NodeAddress},
        observation::{Answer, Lineage, Part, Reach},
        operation::{Command, Loss, Step},
        record::{Change, Draft, RecordKind},
        route::{Mode, Route, Target},
        state::Silenced,
        view::Health,
    },
};
use std::time::Duration;

impl Machine {
    /// Looks at the primary after each event while no switch is under way.
    pub(super) fn watch_primary(&mut self, now: Now) {
        if self.starting || self.external() || self.route.target.is_none() {
            return;
        }
        match self.verdict(now) {
            Verdict::Well => self.relax(now),
            Verdict::Suspect { words, refused, hearing } => {
                self.alarm(refused, now);
                self.inquire(&words, &format!("{refused} {hearing:?}"), now);
                self.alert.words = words;
                self.alert.heard = hearing == Hearing::Heard;
                self.alert.proven &= !self.alert.heard;
                if hearing == Hearing::Unheard && !refused {
                    self.cut_off(now);
                }
                self.alert.refusals.clear();
            }
            Verdict::Dead { cause, words } => {
                self.alarm(cause != Cause::Silent, now);
                self.park(false, now);
                self.inquire(&words, &format!("gone {cause:?}"), now);
                self.alert.words.clone_from(&words);
                self.alert.heard = false;
                self.alert.proven = true;
                self.decide(cause, &words, now);
            }
        }
    }

    /// All is well: what the alarm did is undone.
    fn relax(&mut self, now: Now) {
        self.close_inquiry(now);
        if self.routed_node().is_none_or(|node| node.sick_for == 0) {
            self.alert = Alert { inquiry: std::mem::take(&mut self.alert.inquiry), ..Alert::default() };
        }
        if let Some(mode) = self.shielded {
            self.publish(Route { mode, ..self.route.clone() }, None, false);
        }
        self.unpark(now);
        self.plan(now);
    }

    /// Before anything is proven: standbys are asked at once, and kept from losing their data with a primary that refuses.
    pub(super) fn alarm(&mut self, refused: bool, now: Now) {
        // In its first moments each standby is asked until it says that it lost the primary too: only then can it be parked.
        let since = self.routed_node().and_then(|node| node.failing_since).unwrap_or(now.mono);
        let early = refused && now.mono < since + TRY_AGAIN;
        let unaware = |node: &NodeState| {
            let link_up = |answer: &Answer| matches!(answer.part, Part::Standby { link_up: true, .. });
            early && (node.seen < since || node.fresh().is_some_and(link_up))
        };
        let late = |node: &NodeState| now.mono >= node.seen + self.settings.health.interval / 2;
        let due = self.nodes.iter().filter(|(_, node)| late(node) || unaware(node));
        for node in due.map(|(address, _)| address.clone()).collect::<Vec<_>>() {
            self.probe(&node, now);
        }
        if refused {
            self.shield();
            self.park(false, now);
            self.ask_parked(now);
        }
    }

    /// Requests wait instead of meeting a process that took the address before it was looked at: it may be empty. The
    /// epoch stays and nothing is written, since a restart looks before it serves.
    fn shield(&mut self) {
        let mode = self.route.mode;
        if self.shielded.is_none() && matches!(mode, Mode::Open | Mode::ReadOnly) {
            self.publish(Route { mode: Mode::Hold, ..self.route.clone() }, None, false);
            self.shielded = Some(mode);
        }
    }

    /// The mode of the service, whatever the shield makes of it.
    pub(super) fn mode(&self) -> Mode {
        self.shielded.unwrap_or(self.route.mode)
    }

    /// The primary is gone.
    fn decide(&mut self, cause: Cause, words: &str, now: Now) {
        let (target, mut refusals) = self.choose(Purpose::Failover { by_hand: false }, None, &[], now);
        refusals.extend(self.own_guards(now));
        refusals.extend(self.fence_guard(cause, now));
        let again = now.mono >= self.alert.again;
        // Whether the journal can be written is found out by writing.
        let unwritten = self.settings.failover.full_journal == FullJournal::Promote;
        refusals.retain(|refusal| refusal.name != Guard::Journal || !(again || unwritten));
        match (target, self.route.target.clone()) {
            (Some(to), Some(from)) if refusals.is_empty() && again => {
                self.alert.again = now.mono + TRY_AGAIN;
                let command = Command::Failover { to: Some(to.cluster.clone()), dry_run: false, accept_loss: true };
                let operation = self.own_operation(command, words, now);
                let mut switch = Switch::new(operation, from, to, self.mode(), self.managed(), now);
                switch.overrides.extend(unwritten.then_some(Guard::Journal));
                self.leave(Box::new(switch), cause, Vec::new(), now);
            }
            _ => self.not_done("failover", words, refusals),
        }
    }

    /// What keeps Pointsman from switching by itself, and an operator not.
    pub(super) fn own_guards(&self, now: Now) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        if !self.settings.failover.automatic {
            let words = format!("`failover.automatic` is false: order `pointsman failover {} --accept-loss`", self.svc);
            refusals.push(Refusal::new(Guard::Paused, words));
        }
        if let Some(until) = self.durable.paused_until.filter(|until| *until > now.wall) {
            refusals.push(Refusal::new(Guard::Paused, format!("automatic failover is off until {until:.0}")));
        }
        if now.mono < self.tilted_until {
            refusals.push(Refusal::new(Guard::Tilt, "Pointsman itself stood still a moment ago: it looks again first"));
        }
        refusals
    }

    /// A silent primary must have stopped, unless the service says otherwise.
    pub(super) fn fence_guard(&mut self, cause: Cause, now: Now) -> Option<Refusal> {
        if cause != Cause::Silent || !self.managed() || self.settings.failover.unfenced == Unfenced::Promote {
            return None;
        }
        let routed = self.routed().and_then(|to| self.nodes.get_key_value(&to.node));
        let silenced = routed.and_then(|(address, node)| self.silence_of(address, node));
        if silenced.is_some() && self.own_guards(now).is_empty() {
            self.silence(silenced, now);
        }
        self.fences_itself(now).err().map(|words| Refusal::new(Guard::Fence, words))
    }

    /// A primary that finishes no write without its standbys loses nothing but time by being cut off from them, should it wake within
    /// `hang_window` after all. Parking them takes its time too where each says goodbye to it first, so it begins as soon as they hear
    /// nothing either.
    fn cut_off(&mut self, now: Now) {
        let routed = self.routed().and_then(|to| self.nodes.get_key_value(&to.node));
        let silenced = routed.and_then(|(address, node)| self.silence_of(address, node));
        let waits = silenced.as_ref().is_some_and(|silenced| silenced.standbys > 0 && silenced.lag_seconds == 0);
        if waits && self.managed() && self.own_guards(now).is_empty() {
            // They are no witnesses any more once they are parked.
            self.alert.proven = true;
            self.silence(silenced, now);
        }
    }

    /// It stops by itself without its standbys. Journal first: a restart knows only from there what they had confirmed.
    fn silence(&mut self, silenced: Option<Silenced>, now: Now) {
        let known = self.durable.silenced.as_ref().map(|known| &known.node) == silenced.as_ref().map(|new| &new.node);
        match silenced {
            Some(_) if known => self.park(true, now),
            Some(silenced) if !self.is_writing() => {
                let change = Change::Silenced { silenced };
                let draft = self.draft(RecordKind::Decision, change, "its standbys hear nothing from it either");
                self.write(vec![draft], Then::Nothing);
            }
            _ => {}
        }
    }

    /// Shows why nothing was done, and records it once for each set of guards.
    pub(super) fn not_done(&mut self, intent: &str, reason: &str, refusals: Vec<Refusal>) {
        let names = |refusals: &[Refusal]| refusals.iter().map(|refusal| refusal.name).collect::<Vec<_>>();
        if !refusals.is_empty() && names(&refusals) != self.alert.recorded {
            self.alert.recorded = names(&refusals);
            let change = Change::Refused { intent: intent.to_owned(), guards: refusals.clone(), id: None };
            let draft = self.draft(RecordKind::Refusal, change, reason);
            self.write(vec![draft], Then::Nothing);
        }
        self.alert.refusals = refusals;
    }

    /// The first move of a failover: that it began, the hold, and what is to become of the old primary, in one write.
    pub(super) fn leave(&mut self, mut switch: Box<Switch>, cause: Cause, overridden: Vec<Draft>, now: Now) {
        switch.unplanned(&self.settings.failover);
        // One that came back as a standby takes no writes, and can't be fenced.
        let answers = self.routed_node().and_then(NodeState::fresh);
        let primary = answers.is_some_and(|answer| matches!(answer.part, Part::Primary { .. }));
        switch.fence_first = switch.managed && cause == Cause::Replaced && primary;
        switch.operation.lost = self.possible_loss(&switch.to);
        let mut drafts = vec![switch.draft(Change::Began {
            operation: Box::new(switch.operation.clone()),
            from: Some(switch.from.clone()),
            to: Some(switch.to.clone()),
        })];
        drafts.extend(overridden);
        drafts.extend(self.inquiry_of_failover(now));
        drafts.push(switch.draft(Change::Routed { route: switch.hold() }));
        if switch.managed {
            drafts.extend(self.departure(&switch, &switch.from.node, &switch.to.node));
        }
        drafts.push(switch.entered(Step::Close));
        self.enter(&mut switch, Stage::Closing, Duration::ZERO, now);
        self.write(drafts, Then::Switch);
        self.switch = Some(switch);
    }

    /// A node that was primary, or may be, and is left: on its return it is fenced and compared.
    fn departure(&self, switch: &Switch, node: &NodeAddress, heir: &NodeAddress) -> [Draft; 2] {
        let received = self.nodes.get(heir).and_then(|heir| heir.answer.as_ref()).map_or(0, |answer| answer.received);
        let lineage = self.durable.lineage.as_ref().map(|lineage| lineage.id.clone()).unwrap_or_default();
        [
            switch.draft(Change::FenceIntended { node: node.clone() }),
            switch.draft(Change::Departed {
                node: node.clone(),
                id: switch.operation.id.clone(),
                lineage,
                position: received,
                held: self.nodes.get(node).and_then(NodeState::served_position).unwrap_or(0),
            }),
        ]
    }

    /// Nothing can be lost by waiting for what the candidate received and has not applied yet.
    pub(super) fn apply_rest(&mut self, switch: &mut Switch, now: Now) {
        self.enter(switch, Stage::Applying, self.settings.failover.hold_timeout / 2, now);
        self.applied(switch, false, now);
    }

    pub(super) fn applied(&mut self, switch: &mut Switch, over: bool, now: Now) {
        let candidate = self.nodes.get(&switch.to.node).and_then(NodeState::fresh);
        match candidate.map(|answer| answer.applied >= answer.received) {
            // A park that is still on its way would undo the promotion.
            Some(true) if !self.is_moving(&switch.to.node) => self.commit(switch, now),
            _ if over => self.abort(switch, "the candidate did not apply what it had received in time", now),
            _ => self.probe(&switch.to.node.clone(), now),
        }
    }

    /// The candidate died while it was promoted: the next one, if there is one. The dead one may have been promoted, so it
    /// is treated as a primary that is left.
    pub(super) fn next_candidate(&mut self, switch: &mut Switch, now: Now) -> bool {
        let dead = self.nodes.get(&switch.to.node);
        let dead = dead.is_some_and(|node| node.health == Health::Down && node.failed() == Some(&Reach::Refused));
        if switch.planned || !switch.managed || !dead {
            return false;
        }
        let tried = switch.to.node.clone();
        let mut others =
            self.heirs(None).into_iter().filter(|heir| heir.node != tried && heir.node != switch.from.node);
        let purpose = Purpose::Failover { by_hand: false };
        let next = others.find(|heir| self.candidate_refusals(purpose, heir, now).is_empty());
        let Some(next) = next else { return false };
        let id = switch.operation.id.clone();
        let mut drafts = vec![switch.draft(Change::Retargeted { id, to: next.clone() })];
        drafts.extend(self.departure(switch, &tried, &next.node));
        switch.next = Some(next);
        self.enter(switch, Stage::Rechoosing, Duration::ZERO, now);
        self.write(drafts, Then::Switch);
        true
    }

    /// The next candidate is in the journal and takes the dead one's place; if it isn't, the dead one is asked again.
    pub(super) fn rechosen(&mut self, switch: &mut Switch, failed: Option<String>, now: Now) {
        match (switch.next.take(), failed) {
            (Some(next), None) => {
                switch.say(&format!("{} died while it was promoted", switch.to.node));
                switch.operation.to = Some(next.cluster.clone());
                switch.to = next;
            }
            (_, failed) => {
                switch.blocked = format!("the journal could not be written: {}", failed.unwrap_or_default());
            }
        }
        self.promote(switch, now);
    }

    /// Candidates of a failover, the best first: most received, then the primary's own cluster, then the configured order.
    pub(super) fn heirs(&self, to: Option<&ClusterName>) -> Vec<Target> {
        let routed = self.routed();
        let own = routed.map(|target| target.cluster.as_str());
        let nodes = self
            .settings
            .endpoints()
            .map(|(cluster, node)| Target { cluster: cluster.name.as_str().into(), node: node.address.clone() });
        let mut heirs: Vec<Target> = nodes
            .filter(|heir| to.is_none_or(|to| heir.cluster == *to) && routed.is_none_or(|from| from.node != heir.node))
            .collect();
        let rank = |heir: &Target| {
            let node = self.nodes.get(&heir.node);
            let answer = node.and_then(|node| node.fresh());
            let eligible = answer.is_some_and(|answer| {
                answer.priority != 0
                    && matches!(answer.part, Part::Standby { .. })
                    && !self.durable.drained.contains(&heir.cluster)
                    && !self.durable.fences.contains_key(&heir.node)
            });
            let received = answer.map_or(0, |answer| answer.received);
            let priority = answer.map_or(0, |answer| u32::MAX - answer.priority);
            std::cmp::Reverse((eligible, received, Some(heir.cluster.as_str()) == own, priority))
        };
        heirs.sort_by_key(rank);
        heirs
    }

    /// The upper bound of what a failover loses, as far as the last probes say; more may have been written since.
    pub(super) fn possible_loss(&self, to: &Target) -> Loss {
        if self.settings.serves_as_whole() {
            let detail = "the clusters are independent: what only the old one holds is still there when it returns";
            return Loss { known: false, count: 0, unit: "documents".into(), detail: detail.into() };
        }
        let received = |node: &NodeAddress| {
            self.nodes.get(node).and_then(|state| state.answer.as_ref()).map_or(0, |answer| answer.received)
        };
        let primary = self.primary_then().map_or(0, |answer| answer.received);
        let (count, detail) = if self.all_was_received() {
            let words =
                "the old primary acknowledged no write that a standby had not received, and each of them answers";
            (0, words)
        } else {
            let words = "as of the last probe that the old primary answered; what was written after it is not counted";
            (primary.saturating_sub(received(&to.node)), words)
        };
        Loss { known: false, count, unit: self.unit().into(), detail: detail.into() }
    }

    /// Whether a primary that is gone had each write received by a standby before it acknowledged it (it stops at once without
    /// them), and every standby that it had answers: then the one that has received most has all that was acknowledged.
    fn all_was_received(&self) -> bool {
        let Some(primary) = self.primary_then() else { return false };
        let Part::Primary { standbys } = &primary.part else { return false };
        let waits = primary.self_fence.is_some_and(|fence| fence.standbys > 0 && fence.lag.is_zero());
        let standby = |node: &NodeState| matches!(node.fresh().map(|answer| &answer.part), Some(Part::Standby { .. }));
        waits && self.nodes.values().filter(|node| standby(node)).count() >= standbys.len()
    }

    /// What losses are counted in.
    pub(super) fn unit(&self) -> &'static str {
        let routed = self.routed_node().and_then(|node| node.answer.as_ref()).map(|answer| &answer.lineage);
        routed.or(self.durable.lineage.as_ref()).map_or("bytes", Lineage::unit)
    }

    /// A pause of our own thread: what was found before it, or timed out in it, proves nothing.
    pub(super) fn notice_pause(&mut self, now: Now) {
        let health = &self.settings.health;
        let longest = Duration::from_secs(2).max(health.interval * 3);
        if now.mono >= self.stepped_at + longest {
            self.tilted_until = now.mono + health.timeout + health.interval * 2;
            self.nodes.values_mut().for_each(NodeState::forget_failures);
        }
        self.stepped_at = now.mono;
    }

    /// Whether a node may be promoted by ourselves again, or failed as a primary too short a time ago.
    pub(super) fn cooling(&self, node: &NodeAddress, now: Now) -> Option<Refusal> {
        let until = self.cooling_until.get(node).filter(|until| **until > now.mono)?;
        let left = until.saturating_sub(now.mono).as_secs_f64();
        Some(Refusal::new(Guard::Cooldown, format!("{node} failed as a primary a short time ago: wait {left:.0} s")))
    }

    /// Cooldowns run by our own clock; the wall clock only tells how much of them went by before a restart.
    pub(super) fn recall_failures(&mut self, now: Now) {
        let cooldown = self.settings.failover.cooldown;
        for (node, at) in &self.durable.failed {
            let gone = Duration::try_from(now.wall.duration_since(*at)).unwrap_or(Duration::ZERO);
            self.cooling_until.entry(node.clone()).or_insert(now.mono + cooldown.saturating_sub(gone));
        }
    }
}
