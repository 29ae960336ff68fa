//! The ways out of a switch: back to the old route before the point of no return, and the end with its answer.

use super::{
    Effect, Now,
    evidence::{Cause, Verdict},
    health::NodeState,
    machine::Machine,
    pending::Then,
    switch::{Stage, Switch},
};
use crate::model::{
    error::StoreError,
    guard::{Guard, Refusal},
    observation::Part,
    operation::{Outcome, Step},
    record::Change,
};
use std::time::Duration;

/// Between two tries to lift the fence while the old route is held.
const RETRY: Duration = Duration::from_millis(200);
/// After so many tries the old route opens although the fence may still be set: reads are served, and the clean-up goes on.
const TRIES: u32 = 5;
/// Between two tries to write how an operation ended.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

impl Machine {
    /// Before the point of no return: the old route serves again.
    pub(super) fn abort(&mut self, switch: &mut Switch, why: &str, now: Now) {
        match switch.stage {
            // Nothing was held or sent yet.
            Stage::Closing => self.refuse_switch(switch, vec![Refusal::new(Guard::Journal, why)], now),
            // A restart must not promote any more; only then may the old route open.
            Stage::Committing | Stage::Looking | Stage::Promoting if switch.managed => {
                switch.say(why);
                self.enter(switch, Stage::Withdrawing, Duration::ZERO, now);
                self.write(vec![switch.entered(Step::Abort)], Then::Switch);
            }
            _ => {
                switch.say(why);
                self.reopen(switch, now);
            }
        }
    }

    /// The primary may die in the middle of a switch as at any other time. Where nothing is promoted yet, and where the new route
    /// serves already, the switch ends then, and standbys are kept from copying whatever takes its place.
    pub(super) fn interrupted(&mut self, switch: &mut Switch, now: Now) -> bool {
        let served = matches!(switch.stage, Stage::Demoting | Stage::Verifying | Stage::Lifting);
        let held = (Stage::Draining..=Stage::Confirming).contains(&switch.stage) || switch.stage == Stage::Reopening;
        let waits = switch.stage == Stage::Approaching;
        if self.is_back(switch, now) {
            self.abort(switch, "the primary answers again, with what was served", now);
            return true;
        }
        if self.external() || !(served || waits || (held && switch.planned)) {
            return false;
        }
        if self.managed() {
            self.judge_history(now);
        }
        let (words, refused) = match self.verdict(now) {
            Verdict::Suspect { words, refused: true, .. } => (words, true),
            Verdict::Dead { words, cause } => (words, cause != Cause::Silent),
            _ => return false,
        };
        self.alarm(refused, now);
        if waits {
            self.refuse_switch(switch, vec![Refusal::new(Guard::Primary, words)], now);
        } else if served {
            switch.say(&words);
            self.end(switch, Outcome::Partial, switch.last_epoch(), Vec::new(), now);
        } else if switch.stage != Stage::Reopening {
            self.abort(switch, &words, now);
        } else {
            return false;
        }
        true
    }

    /// Whether the primary that a failover leaves has come back with what was served, while nothing is promoted yet: then nothing
    /// need be lost. What else comes back there must find no standby to empty.
    fn is_back(&mut self, switch: &Switch, now: Now) -> bool {
        let early = matches!(switch.stage, Stage::Draining | Stage::Applying);
        if switch.planned || !switch.managed || switch.fence_first || !early {
            return false;
        }
        self.judge_history(now);
        let answer = self.routed_node().and_then(NodeState::fresh);
        let primary = answer.is_some_and(|answer| matches!(answer.part, Part::Primary { .. }));
        match self.verdict(now) {
            Verdict::Well => primary,
            Verdict::Suspect { refused: true, .. } | Verdict::Dead { cause: Cause::Refused | Cause::Replaced, .. } => {
                self.park(false, now);
                false
            }
            Verdict::Suspect { .. } | Verdict::Dead { .. } => false,
        }
    }

    /// Lifts the fence if it may be set, then opens.
    pub(super) fn reopen(&mut self, switch: &mut Switch, now: Now) {
        self.enter(switch, Stage::Reopening, Duration::ZERO, now);
        if switch.fence_sent {
            self.send_unfence(switch);
        } else {
            self.reopened(switch, true, now);
        }
    }

    pub(super) fn reopen_failed(&mut self, switch: &mut Switch, error: &StoreError, now: Now) {
        if switch.tries < TRIES {
            self.retry(switch, RETRY, now);
        } else {
            switch.say(&format!("the fence of {} could not be lifted yet: {error}", switch.from.node));
            self.reopened(switch, false, now);
        }
    }

    pub(super) fn reopened(&mut self, switch: &mut Switch, lifted: bool, now: Now) {
        switch.reopening = Some(switch.old_route());
        let mut drafts = vec![switch.draft(Change::Routed { route: switch.old_route() })];
        if lifted && self.durable.fences.contains_key(&switch.from.node) {
            drafts.push(switch.draft(Change::Unfenced { node: switch.from.node.clone() }));
        }
        let outcome = if lifted { Outcome::RolledBack } else { Outcome::Partial };
        self.end(switch, outcome, switch.last_epoch(), drafts, now);
    }

    /// How it ended is durable, or can't be: either way the caller hears it once. A journal that still believes the
    /// operation to be under way is told again until it can be.
    pub(super) fn ended(&mut self, mut switch: Box<Switch>, failed: Option<&str>, now: Now) {
        if switch.operation.epoch_after > Some(switch.operation.epoch_before) {
            self.moved_at = now.mono;
        }
        if let Some(route) = switch.reopening.take() {
            self.publish(route, None, false);
        }
        if let (Some(error), Some(_)) = (failed, &switch.answer) {
            switch.say(&format!("this end is not in the journal: {error}"));
        }
        if let Some(ticket) = switch.answer.take() {
            self.emit(Effect::Answer { ticket, operation: Box::new(switch.operation.clone()) });
        } else if failed.is_none() {
            self.emit(Effect::Progress { operation: Box::new(switch.operation.clone()) });
        }
        let believed = self.durable.underway.as_ref().is_some_and(|u| u.operation.id == switch.operation.id);
        if failed.is_some() && believed {
            self.retry(&mut switch, WRITE_AGAIN, now);
            self.switch = Some(switch);
        }
    }

    pub(super) fn end_again(&mut self, switch: &mut Switch) {
        switch.retry_at = None;
        self.write(switch.last_words.clone(), Then::Switch);
    }
}
