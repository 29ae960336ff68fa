//! The steps of a switch, one small function a move, in their order.
//!
//! Begin -> approach -> close -> drain -> fence -> catch up -> hand over -> confirm -> commit -> promote -> serve ->
//! demote -> verify -> lift -> end. Without replication: begin -> approach -> close -> drain -> commit -> serve -> end.
//! From a primary that is gone: close -> drain -> apply -> commit -> promote -> serve -> verify -> end. Nothing is
//! promoted before the one fsync of `commit`; every way out before that leads to `abort`.

use super::{
    Now, Ticket,
    guards::Purpose,
    machine::{Machine, Pending, Then},
    switch::{Stage, Switch},
};
use crate::model::{
    action::{Action, Done},
    error::StoreError,
    guard::{Guard, Refusal},
    name::NodeAddress,
    observation::Part,
    operation::{Outcome, Step},
    record::{Change, Draft},
    route::Readying,
};
use std::time::Duration;

/// Between two tries of an action that must succeed.
const RETRY: Duration = Duration::from_millis(200);
/// How long the old primary and the others get to become standbys before the operation ends as partial.
const RETURN_LIMIT: Duration = Duration::from_secs(15);
/// How often nodes are looked at while the end is verified.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Machine {
    /// The first move: the operation is written down.
    pub(super) fn begin(&mut self, mut switch: Box<Switch>, mut drafts: Vec<Draft>, now: Now) {
        let began = Change::Began {
            operation: Box::new(switch.operation.clone()),
            from: Some(switch.from.clone()),
            to: Some(switch.to.clone()),
        };
        drafts.insert(0, switch.draft(began));
        self.enter(&mut switch, Stage::Beginning, Duration::ZERO, now);
        self.write(drafts, Then::Switch);
        self.switch = Some(switch);
    }

    /// Records that a stage waited for are durable, or could not be written.
    pub(super) fn switch_written(&mut self, result: Result<(), String>, drafts: Vec<Draft>, now: Now) {
        let Some(mut switch) = self.switch.take() else { return };
        let failed = result.err();
        let overridden = switch.overrides(Guard::Journal);
        if failed.is_some() && overridden {
            self.fold(drafts, now);
        }
        let failed = failed.filter(|_| !overridden);
        match (switch.stage, failed) {
            (Stage::Ending, failed) => return self.ended(switch, failed.as_deref(), now),
            (Stage::Beginning, Some(error)) => {
                self.refuse_switch(&mut switch, vec![Refusal::new(Guard::Journal, error)], now);
            }
            (Stage::Beginning, None) if switch.planned => self.approach(&mut switch, now),
            (Stage::Beginning, None) => self.close(&mut switch, now),
            (Stage::Closing, None) => self.drain(&mut switch, now),
            (Stage::Resuming, None) => self.resumed(&mut switch, now),
            (Stage::Resuming, Some(error)) => {
                switch.blocked = format!("the journal could not be written: {error}");
                self.retry(&mut switch, RETRY, now);
            }
            (Stage::Committing, None) if switch.managed => self.promote(&mut switch, now),
            (Stage::Committing, None) => self.serve_independent(&mut switch, now),
            (Stage::Rechoosing, failed) => self.rechosen(&mut switch, failed, now),
            (Stage::Serving, failed) => self.served(&mut switch, failed, now),
            (Stage::Withdrawing, _) => self.reopen(&mut switch, now),
            (_, Some(error)) => self.abort(&mut switch, &format!("the journal could not be written: {error}"), now),
            (_, None) => {}
        }
        self.switch = Some(switch);
    }

    /// The stage's action ended.
    pub(super) fn switch_acted(&mut self, ticket: Ticket, result: Result<Done, StoreError>, now: Now) {
        let Some(mut switch) = self.switch.take_if(|switch| switch.acting == Some(ticket)) else { return };
        switch.acting = None;
        match (switch.stage, result) {
            (Stage::Fencing, Ok(Done::Fenced { position, lineage, saved })) => {
                self.fenced(&mut switch, position, saved.clone());
                switch.position = Some((position, lineage));
                if switch.planned {
                    self.catch_up(&mut switch, now);
                } else {
                    self.apply_rest(&mut switch, now);
                }
            }
            (Stage::CatchingUp, Ok(Done::CaughtUp)) => {
                switch.caught_up = true;
                self.hand_over(&mut switch, now);
            }
            (Stage::Confirming, Ok(Done::Confirmed)) => self.commit(&mut switch, now),
            (Stage::Promoting, Ok(Done::Promoted)) => self.serve(&mut switch, now),
            (Stage::Promoting, Err(error)) => self.promote_failed(&mut switch, &error, now),
            (Stage::Demoting, Ok(Done::Demoted)) => switch.tries = 0,
            (Stage::Lifting, Ok(Done::Unfenced)) => self.persist(&mut switch, now),
            (Stage::Reopening, Ok(Done::Unfenced)) => self.reopened(&mut switch, true, now),
            (Stage::Reopening, Err(error)) => self.reopen_failed(&mut switch, &error, now),
            (Stage::Demoting | Stage::Lifting, Err(error)) => {
                switch.blocked.clone_from(&error.detail);
                self.retry(&mut switch, RETRY, now);
            }
            (Stage::Ending, _) => {}
            (_, Err(error)) => {
                let words = format!("{}: {error}", switch.step.as_str());
                self.abort(&mut switch, &words, now);
            }
            (_, Ok(done)) => {
                let words = format!("{}: {done:?} is no answer to what was asked", switch.step.as_str());
                self.abort(&mut switch, &words, now);
            }
        }
        self.switch = Some(switch);
    }

    /// An action beside the stage ended; its failure is said in the report.
    pub(super) fn switch_side_acted(&mut self, ticket: Ticket, node: &NodeAddress, result: Result<Done, StoreError>) {
        if let Some(switch) = self.switch.as_mut() {
            switch.side.remove(&ticket);
            match result {
                Ok(Done::Repointed) if self.durable.parked.contains_key(node) => self.unparked(node),
                Ok(_) => {}
                Err(error) => switch.say(&format!("{node}: {error}")),
            }
        }
    }

    /// Looks whether the condition that the stage waits for holds, or its time is over.
    pub(super) fn advance_switch(&mut self, now: Now) {
        let Some(mut switch) = self.switch.take() else { return };
        let over = now.mono >= switch.deadline;
        let retry = switch.retry_at.is_some_and(|at| now.mono >= at);
        match switch.stage {
            Stage::Approaching => self.approached(&mut switch, over, now),
            Stage::Draining => self.drained(&mut switch, over, now),
            Stage::Applying => self.applied(&mut switch, over, now),
            Stage::HandingOver if switch.handed_over.len() >= self.workers => self.confirm(&mut switch, now),
            Stage::HandingOver if over => {
                self.abort(&mut switch, "subscriptions could not be handed over in time", now);
            }
            Stage::Resuming if retry => self.hold_again(&mut switch, now),
            Stage::Looking => self.looked(&mut switch, now),
            Stage::Promoting if retry => self.promote_again(&mut switch, now),
            Stage::Demoting | Stage::Verifying | Stage::Lifting if over => self.partial(&mut switch, now),
            Stage::Demoting if retry => self.send_demote(&mut switch),
            Stage::Demoting if switch.acting.is_none() && switch.side.is_empty() && switch.retry_at.is_none() => {
                self.verify(&mut switch, now);
            }
            Stage::Verifying => self.verified(&mut switch, retry, now),
            Stage::Persisting if switch.side.is_empty() => self.finished(&mut switch, now),
            Stage::Lifting | Stage::Reopening if retry => self.send_unfence(&mut switch),
            Stage::Ending if retry => self.end_again(&mut switch),
            _ => {}
        }
        self.switch = Some(switch);
    }

    fn approach(&mut self, switch: &mut Switch, now: Now) {
        switch.approached = now.mono;
        self.enter(switch, Stage::Approaching, switch.timeout, now);
        self.publish(self.route.clone(), Some((switch.to.clone(), Readying::Warm)), false);
        for node in [switch.from.node.clone(), switch.to.node.clone()] {
            self.emit(super::Effect::Probe { node: node.clone() });
            self.read_fitness(&node, now);
        }
    }

    /// Everything still runs; the hold begins when every guard holds on facts that are newer than the order.
    fn approached(&mut self, switch: &mut Switch, over: bool, now: Now) {
        let mut refusals = self.readiness(Purpose::Commit(switch), &switch.to, now);
        refusals.retain(|refusal| !switch.overrides(refusal.name));
        if refusals.is_empty() {
            self.close(switch, now);
        } else if over {
            self.refuse_switch(switch, refusals, now);
        }
    }

    /// The hold and the fence's intent are durable together before the hold begins.
    fn close(&mut self, switch: &mut Switch, now: Now) {
        let mut drafts = vec![switch.draft(Change::Routed { route: switch.hold() })];
        if switch.managed && switch.planned {
            drafts.push(switch.draft(Change::FenceIntended { node: switch.from.node.clone() }));
        }
        drafts.push(switch.entered(Step::Close));
        self.enter(switch, Stage::Closing, Duration::ZERO, now);
        self.write(drafts, Then::Switch);
    }

    fn drain(&mut self, switch: &mut Switch, now: Now) {
        switch.held_since = now.mono;
        self.enter(switch, Stage::Draining, self.settings.failover.drain_timeout, now);
        self.publish(switch.hold(), Some((switch.to.clone(), Readying::Warm)), switch.cut_sessions);
    }

    fn drained(&mut self, switch: &mut Switch, over: bool, now: Now) {
        let all = switch.drained.len() >= self.workers;
        match (all, over, switch.managed) {
            (true, _, true) if switch.planned => self.fence(switch, now),
            (false, true, _) if switch.planned => {
                let stuck: Vec<String> = self.stuck.iter().map(|s| format!("{} ({})", s.client, s.why)).collect();
                let stuck = if stuck.is_empty() { String::new() } else { format!(": {}", stuck.join(", ")) };
                switch.operation.sessions.clone_from(&self.stuck);
                let words = format!("{} requests in flight did not end in time{stuck}", self.in_flight);
                self.abort(switch, &words, now);
            }
            _ if switch.planned && !all => {}
            // What is in flight towards a primary that is gone ends with its connections; nothing more goes there.
            _ if switch.held.len() < self.workers
                && now.mono < switch.held_since + self.settings.failover.hold_timeout => {}
            _ if switch.held.len() < self.workers => {
                self.abort(switch, "not every worker stopped sending to the old primary in time", now);
            }
            _ if switch.fence_first => self.fence(switch, now),
            (_, _, true) => self.apply_rest(switch, now),
            (_, _, false) => self.commit(switch, now),
        }
    }

    fn fence(&mut self, switch: &mut Switch, now: Now) {
        self.enter(switch, Stage::Fencing, Duration::ZERO, now);
        switch.fence_sent = true;
        let limit = self.act_limit();
        self.switch_act(switch, Action::Fence { node: switch.from.node.clone() }, limit);
    }

    /// Written without waiting: the one fsync that the hold waits for is the one of `commit`.
    fn fenced(&mut self, switch: &mut Switch, position: u64, saved: Option<String>) {
        switch.saved.clone_from(&saved);
        let fenced = switch.draft(Change::Fenced { node: switch.from.node.clone(), saved, position });
        self.write(vec![fenced], Then::Nothing);
    }

    fn catch_up(&mut self, switch: &mut Switch, now: Now) {
        self.enter(switch, Stage::CatchingUp, Duration::ZERO, now);
        let Some((position, lineage)) = switch.position.clone() else { return };
        let held = now.mono.saturating_sub(switch.held_since);
        let limit = (self.settings.failover.hold_timeout / 2).saturating_sub(held).max(self.settings.health.timeout);
        self.switch_act(switch, Action::CatchUp { node: switch.to.node.clone(), position, lineage }, limit);
    }

    fn hand_over(&mut self, switch: &mut Switch, now: Now) {
        self.enter(switch, Stage::HandingOver, self.settings.failover.drain_timeout, now);
        self.publish(switch.hold(), Some((switch.to.clone(), Readying::HandOver)), switch.cut_sessions);
    }

    fn confirm(&mut self, switch: &mut Switch, now: Now) {
        self.enter(switch, Stage::Confirming, Duration::ZERO, now);
        let Some((position, _)) = switch.position else { return };
        let limit = self.act_limit();
        self.switch_act(switch, Action::Confirm { node: switch.from.node.clone(), position }, limit);
    }

    /// The one fsync inside the hold. Without replication it is the new route itself.
    pub(super) fn commit(&mut self, switch: &mut Switch, now: Now) {
        self.enter(switch, Stage::Committing, Duration::ZERO, now);
        let draft = if switch.managed {
            switch.entered(Step::Promote)
        } else {
            switch.draft(Change::Routed { route: switch.new_route() })
        };
        self.write(vec![draft], Then::Switch);
    }

    /// The point of no return. Sent again until it is known to be so.
    pub(super) fn promote(&mut self, switch: &mut Switch, now: Now) {
        if switch.stage != Stage::Promoting {
            self.enter(switch, Stage::Promoting, Duration::ZERO, now);
        }
        let limit = self.act_limit();
        self.switch_act(switch, Action::Promote { node: switch.to.node.clone() }, limit);
    }

    fn promote_again(&mut self, switch: &mut Switch, now: Now) {
        if !self.next_candidate(switch, now) {
            self.promote(switch, now);
        }
    }

    fn promote_failed(&mut self, switch: &mut Switch, error: &StoreError, now: Now) {
        switch.maybe_promoted |= error.maybe_done;
        if switch.maybe_promoted {
            switch.blocked = format!("{} was told to be primary and can't be asked: {error}", switch.to.node);
            self.emit(super::Effect::Probe { node: switch.to.node.clone() });
            self.retry(switch, RETRY, now);
        } else {
            self.abort(switch, &format!("promote: {error}"), now);
        }
    }

    /// The new route serves first and is written afterwards: a restart would come to the same route and epoch.
    pub(super) fn serve(&mut self, switch: &mut Switch, now: Now) {
        switch.promoted = true;
        switch.blocked.clear();
        self.enter(switch, Stage::Serving, Duration::ZERO, now);
        self.publish(switch.new_route(), None, false);
        // The process that we promoted is the one that serves, whatever history it begins: a second switch may come before the
        // next probe has told its name. It stands behind the publication, which forgets who was served before.
        if let Some(answer) = self.nodes.get(&switch.to.node).and_then(super::health::NodeState::fresh) {
            self.served = Some(super::roles::Served { run_id: answer.run_id.clone(), items: answer.items });
        }
        // After a restart it may be written already: a flip has one record.
        let written = self.durable.route == switch.new_route();
        let route = (!written).then(|| switch.draft(Change::Routed { route: switch.new_route() }));
        let mut drafts: Vec<Draft> = route.into_iter().collect();
        if self.durable.parked.contains_key(&switch.to.node) {
            self.parked_since.remove(&switch.to.node);
            drafts.push(switch.draft(Change::Unparked { node: switch.to.node.clone() }));
        }
        if drafts.is_empty() {
            self.served(switch, None, now);
        } else {
            self.write(drafts, Then::Switch);
        }
    }

    fn serve_independent(&mut self, switch: &mut Switch, now: Now) {
        switch.promoted = true;
        self.enter(switch, Stage::Serving, Duration::ZERO, now);
        self.publish(switch.new_route(), None, false);
        self.finished(switch, now);
    }

    fn served(&mut self, switch: &mut Switch, failed: Option<String>, now: Now) {
        if let Some(error) = failed {
            switch.say(&format!("the new route serves and is not in the journal: {error}"));
        }
        self.enter(switch, Stage::Demoting, RETURN_LIMIT, now);
        if switch.demotes() && self.durable.fences.contains_key(&switch.from.node) {
            self.send_demote(switch);
        }
        self.repoint_others(switch);
    }

    fn send_demote(&mut self, switch: &mut Switch) {
        let limit = self.act_limit();
        self.switch_act(switch, Action::Demote { node: switch.from.node.clone(), to: switch.to.node.clone() }, limit);
    }

    fn repoint_others(&mut self, switch: &mut Switch) {
        let standby = |node: &super::health::NodeState| {
            node.fresh().is_some_and(|answer| matches!(answer.part, Part::Standby { .. }))
        };
        let others: Vec<NodeAddress> = self
            .nodes
            .iter()
            .filter(|(address, node)| **address != switch.from.node && **address != switch.to.node && standby(node))
            .map(|(address, _)| address.clone())
            .collect();
        for node in others {
            let action = Action::Repoint { node: node.clone(), to: switch.to.node.clone() };
            let limit = self.act_limit();
            let ticket = self.act(action, limit, Pending::SwitchSide(node));
            switch.side.insert(ticket);
        }
    }

    fn verify(&mut self, switch: &mut Switch, now: Now) {
        let left = switch.deadline.saturating_sub(now.mono);
        switch.approached = now.mono;
        self.enter(switch, Stage::Verifying, left, now);
        self.look_again(switch, now);
    }

    fn look_again(&mut self, switch: &mut Switch, now: Now) {
        if switch.demotes() {
            self.probe(&switch.from.node, now);
        }
        self.probe(&switch.to.node, now);
        self.retry(switch, LOOK_AGAIN, now);
    }

    fn verified(&mut self, switch: &mut Switch, retry: bool, now: Now) {
        let fresh = |node: &NodeAddress| {
            self.nodes.get(node).filter(|state| state.seen > switch.approached).and_then(|state| state.fresh())
        };
        let new = fresh(&switch.to.node).is_some_and(|answer| matches!(answer.part, Part::Primary { .. }));
        let old =
            fresh(&switch.from.node).is_some_and(|answer| matches!(answer.part, Part::Standby { link_up: true, .. }));
        let fenced = switch.demotes() && self.durable.fences.contains_key(&switch.from.node);
        let fallen_back =
            fresh(&switch.from.node).is_some_and(|answer| matches!(answer.part, Part::Primary { .. }) && fenced);
        match (new, old, fenced) {
            // It restarted, without its fence and in its old role.
            (true, ..) if fallen_back => {
                let left = switch.deadline.saturating_sub(now.mono);
                self.enter(switch, Stage::Demoting, left, now);
                self.send_demote(switch);
            }
            (true, true, true) => {
                let left = switch.deadline.saturating_sub(now.mono);
                self.enter(switch, Stage::Lifting, left, now);
                self.send_unfence(switch);
            }
            (true, _, false) => self.persist(switch, now),
            _ if retry => self.look_again(switch, now),
            _ => {}
        }
    }

    pub(super) fn send_unfence(&mut self, switch: &mut Switch) {
        let limit = self.act_limit();
        let saved = switch.saved.clone();
        self.switch_act(switch, Action::Unfence { node: switch.from.node.clone(), saved }, limit);
    }

    /// Best effort: a node's own file should say what the node is. A failure is said, not counted.
    fn persist(&mut self, switch: &mut Switch, now: Now) {
        self.enter(switch, Stage::Persisting, Duration::ZERO, now);
        let answers = self
            .nodes
            .iter()
            .filter(|(address, node)| node.fresh().is_some() && (**address != switch.from.node || switch.demotes()));
        for node in answers.map(|(address, _)| address.clone()).collect::<Vec<_>>() {
            let limit = self.act_limit();
            let ticket = self.act(Action::Persist { node: node.clone() }, limit, Pending::SwitchSide(node));
            switch.side.insert(ticket);
        }
    }

    fn finished(&mut self, switch: &mut Switch, now: Now) {
        let fence = switch.demotes() && self.durable.fences.contains_key(&switch.from.node);
        let drafts = fence.then(|| switch.draft(Change::Unfenced { node: switch.from.node.clone() }));
        self.end(switch, Outcome::Done, switch.last_epoch(), drafts.into_iter().collect(), now);
    }

    /// The new route serves; the old primary is not yet a standby. The clean-up goes on after the operation's end.
    fn partial(&mut self, switch: &mut Switch, now: Now) {
        let why = std::mem::take(&mut switch.blocked);
        let words =
            format!("{} is not a standby of {} yet, and is being returned: {why}", switch.from.node, switch.to.node);
        switch.say(words.trim_end_matches([':', ' ']));
        self.end(switch, Outcome::Partial, switch.last_epoch(), Vec::new(), now);
    }
}
