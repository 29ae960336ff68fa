//! The steps of a switch, one small function a move, in their order.
//!
//! Begin -> approach -> close -> drain -> fence -> catch up -> hand over -> confirm -> commit -> promote -> serve ->
//! demote -> verify -> lift -> end. Without replication: begin -> approach -> close -> drain -> commit -> serve -> end.
//! From a primary that is gone: close -> drain -> apply -> commit -> promote -> serve -> verify -> end. Nothing is
//! promoted before the one fsync of `commit`; every way out before that leads to `abort`.

use super::{
    Now, Ticket,
    health::NodeState,
    machine::Machine,
    pending::Then,
    switch::{Stage, Switch},
};
use crate::model::{
    action::{Action, Done},
    error::StoreError,
    guard::{Guard, Refusal},
    name::NodeAddress,
    operation::Step,
    record::{Change, Draft},
    route::Readying,
};
use std::time::Duration;

/// Between two tries of an action that must succeed.
const RETRY: Duration = Duration::from_millis(200);

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
        if let Some(error) = failed.as_ref().filter(|_| overridden) {
            // By the service's own setting it may be overridden without an order that says so.
            if switch.operation.guards.iter().all(|guard| guard.name != Guard::Journal) {
                switch.operation.guards.push(Refusal::new(Guard::Journal, error.as_str()));
            }
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
            (Stage::CatchingUp, Ok(Done::CaughtUp)) if switch.caught_up => self.confirm(&mut switch, now),
            (Stage::CatchingUp, Ok(Done::CaughtUp)) => {
                switch.caught_up = true;
                self.hand_over(&mut switch, now);
            }
            (Stage::Confirming, Ok(Done::Confirmed)) => self.commit(&mut switch, now),
            (Stage::Confirming, Ok(Done::Grown { position })) => self.grown(&mut switch, position, now),
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
                Ok(Done::Repointed) => {
                    switch.strays.remove(node);
                    if self.durable.parked.contains_key(node) {
                        self.unparked(node);
                    }
                }
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
        if self.interrupted(&mut switch, now) {
            self.switch = Some(switch);
            return;
        }
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

    /// The hold and the fence's intent are durable together before the hold begins.
    pub(super) fn close(&mut self, switch: &mut Switch, now: Now) {
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

    /// Heartbeats of the fenced primary came between: the candidate applies them too, so that nothing rests on what they look
    /// like. Tried as long as clients may wait.
    fn grown(&mut self, switch: &mut Switch, position: u64, now: Now) {
        let limit = self.settings.failover.hold_timeout;
        match switch.position.as_mut() {
            Some((known, _)) if now.mono.saturating_sub(switch.held_since) < limit => {
                *known = position;
                self.catch_up(switch, now);
            }
            _ => self.abort(switch, &format!("{} did not stand still within {limit:?}", switch.from.node), now),
        }
    }

    /// The one fsync inside the hold. Without replication it is the new route itself.
    pub(super) fn commit(&mut self, switch: &mut Switch, now: Now) {
        self.enter(switch, Stage::Committing, Duration::ZERO, now);
        let drafts = if switch.managed {
            self.history(switch).into_iter().chain([switch.entered(Step::Promote)]).collect()
        } else {
            vec![switch.draft(Change::Routed { route: switch.new_route() })]
        };
        self.write(drafts, Then::Switch);
    }

    /// The history that the candidate continues, where the journal doesn't name it yet: the promotion begins a new one, and
    /// of that one only its parent proves that it is ours. Two switches within a second leave no probe between them.
    fn history(&self, switch: &Switch) -> Option<Draft> {
        let answer = |node| self.nodes.get(node).and_then(|node| node.answer.as_ref());
        let candidate = || Some(answer(&switch.to.node)?.lineage.clone());
        // A fenced primary that was replaced names a history that isn't the one that was served.
        let fenced = switch.position.as_ref().filter(|_| switch.planned).map(|(_, lineage)| lineage.clone());
        let lineage = fenced.or_else(candidate)?;
        let known = self.durable.lineage.as_ref().is_some_and(|known| lineage.is_called(known));
        let node = switch.from.node.clone();
        let (process, items) = answer(&node).map(|answer| (answer.run_id.clone(), answer.items)).unwrap_or_default();
        (!known).then(|| switch.draft(Change::LineageSeen { node, lineage, process, items }))
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
        // The process that we promoted is the one that serves, whatever history it begins. It stands behind the publication, which
        // forgets who was served before.
        if let Some(answer) = self.nodes.get(&switch.to.node).and_then(NodeState::fresh) {
            self.served = Some(super::history::Served { run_id: answer.run_id.clone(), items: answer.items });
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
}
