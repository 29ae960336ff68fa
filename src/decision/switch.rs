//! A switch under way: what it is, where it stands, what it knows. Its moves stand in `switchover`, `settling` and `abort`.

use super::{
    Now, Ticket,
    machine::Machine,
    pending::{Pending, Then},
};
use crate::{
    config::{AfterFailover, Failover},
    model::{
        action::Action,
        guard::{Guard, Refusal},
        name::NodeAddress,
        observation::Lineage,
        operation::{Operation, Outcome, Phase, Step},
        record::{Change, Draft, RecordKind},
        route::{Epoch, Mode, Route, Target},
        signal::Signal,
    },
};
use std::{collections::BTreeSet, time::Duration};

/// Where a switch stands. Each stage waits for one thing: records, one action, or a condition with a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Records: the operation began.
    Beginning,
    /// Condition: every guard holds, every worker is warm.
    Approaching,
    /// Records: the hold and the fence's intent.
    Closing,
    /// Condition: nothing is in flight on the old route.
    Draining,
    /// Action: fence the old primary.
    Fencing,
    /// Action: the candidate applies all of it.
    CatchingUp,
    /// Condition: in a failover, the candidate applied what it had received.
    Applying,
    /// Condition: every worker's subscriptions changed sides.
    HandingOver,
    /// Action: the fenced primary has not moved.
    Confirming,
    /// Records: promotion follows.
    Committing,
    /// Records: after a restart, a hold with an epoch that nobody saw before.
    Resuming,
    /// Condition: after a restart, every node was seen once.
    Looking,
    /// Records: the candidate died, and another one is promoted in its place.
    Rechoosing,
    /// Action: promote. The point of no return.
    Promoting,
    /// Records: the new route, which serves already.
    Serving,
    /// Action: the old primary follows the new one; beside it, the others are repointed.
    Demoting,
    /// Condition: every node says what it should.
    Verifying,
    /// Action: lift the fence.
    Lifting,
    /// Beside it: settings are written into the nodes' own files.
    Persisting,
    /// Records: promotion does not follow after all.
    Withdrawing,
    /// Action: lift the fence of the old primary, which serves again then.
    Reopening,
    /// Records: it ended.
    Ending,
}

impl Stage {
    /// The phase it belongs to in the report; none keeps the one before.
    fn step(self) -> Option<Step> {
        match self {
            Self::Beginning | Self::Approaching => Some(Step::Approach),
            Self::Closing | Self::Draining => Some(Step::Close),
            Self::Fencing => Some(Step::Fence),
            Self::CatchingUp | Self::Applying => Some(Step::CatchUp),
            Self::HandingOver => Some(Step::HandOver),
            Self::Confirming
            | Self::Committing
            | Self::Resuming
            | Self::Looking
            | Self::Rechoosing
            | Self::Promoting => Some(Step::Promote),
            Self::Serving => Some(Step::Serve),
            Self::Demoting => Some(Step::Demote),
            Self::Verifying | Self::Lifting | Self::Persisting => Some(Step::Verify),
            Self::Withdrawing | Self::Reopening => Some(Step::Abort),
            Self::Ending => None,
        }
    }
}

/// Writers are slowed while a switch approaches.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slow {
    pub(super) pause: Duration,
    pub(super) behind: u64,
    pub(super) again: Duration,
}

/// A switch of the route from one node to another.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one switch, not the states of one thing")]
pub(super) struct Switch {
    pub(super) operation: Operation,
    /// Who waits for the answer; nobody after a restart.
    pub(super) answer: Option<Ticket>,
    pub(super) from: Target,
    pub(super) to: Target,
    /// Where it goes instead, while that is being written.
    pub(super) next: Option<Target>,
    /// False: from a primary that is gone.
    pub(super) planned: bool,
    /// The primary that is gone answers all the same, with other data: it is fenced before another one is promoted.
    pub(super) fence_first: bool,
    /// Whether Pointsman moves the roles too.
    pub(super) managed: bool,
    pub(super) cut_sessions: bool,
    pub(super) overrides: Vec<Guard>,
    /// The epoch of its hold; a restart may take a later one.
    pub(super) hold_epoch: Epoch,
    /// The mode before, which the old route gets back.
    pub(super) mode: Mode,
    /// The mode that the new route gets.
    pub(super) mode_after: Mode,
    /// How long the approach may take.
    pub(super) timeout: Duration,
    pub(super) stage: Stage,
    pub(super) step: Step,
    step_began: Duration,
    pub(super) deadline: Duration,
    pub(super) retry_at: Option<Duration>,
    pub(super) tries: u32,
    /// When the approach began: what was seen before is not enough to commit on.
    pub(super) approached: Duration,
    /// Where the primary was at its first probe of the approach: the candidate must have received that before it closes.
    pub(super) mark: Option<u64>,
    /// How long each write waits, so that the candidate catches up before the hold; how far that was behind when this was decided,
    /// and when it is decided again.
    pub(super) slow: Slow,
    pub(super) held_since: Duration,
    pub(super) warm: BTreeSet<usize>,
    /// Workers that saw the hold: they send nothing more to the old node.
    pub(super) held: BTreeSet<usize>,
    pub(super) drained: BTreeSet<usize>,
    pub(super) handed_over: BTreeSet<usize>,
    /// The action that the stage waits for.
    pub(super) acting: Option<Ticket>,
    pub(super) side: BTreeSet<Ticket>,
    /// Standbys that don't follow the new primary, as far as is known.
    pub(super) strays: BTreeSet<NodeAddress>,
    /// What ends it, kept to be written again where the journal failed.
    pub(super) last_words: Vec<Draft>,
    /// Whether the fence was sent, and so may be set.
    pub(super) fence_sent: bool,
    pub(super) saved: Option<String>,
    pub(super) position: Option<(u64, Lineage)>,
    pub(super) caught_up: bool,
    /// Whether promote may have been carried out: from then on, only forward.
    pub(super) maybe_promoted: bool,
    pub(super) promoted: bool,
    /// The old route, to be shown when its end is durable.
    pub(super) reopening: Option<Route>,
    /// Why it doesn't move on, for `status`.
    pub(super) blocked: String,
}

impl Switch {
    pub(super) fn new(operation: Operation, from: Target, to: Target, mode: Mode, managed: bool, now: Now) -> Self {
        Self {
            hold_epoch: operation.epoch_before.next(),
            operation,
            answer: None,
            from,
            to,
            next: None,
            planned: true,
            fence_first: false,
            managed,
            cut_sessions: false,
            overrides: Vec::new(),
            mode,
            mode_after: mode,
            timeout: Duration::ZERO,
            stage: Stage::Beginning,
            step: Step::Approach,
            step_began: now.mono,
            deadline: now.mono,
            retry_at: None,
            tries: 0,
            approached: now.mono,
            mark: None,
            slow: Slow::default(),
            held_since: now.mono,
            warm: BTreeSet::new(),
            held: BTreeSet::new(),
            drained: BTreeSet::new(),
            handed_over: BTreeSet::new(),
            acting: None,
            side: BTreeSet::new(),
            strays: BTreeSet::new(),
            last_words: Vec::new(),
            fence_sent: false,
            saved: None,
            position: None,
            caught_up: false,
            maybe_promoted: false,
            promoted: false,
            reopening: None,
            blocked: String::new(),
        }
    }

    /// It leaves a primary that is gone.
    pub(super) fn unplanned(&mut self, policy: &Failover) {
        self.planned = false;
        if policy.after_failover == AfterFailover::ReadOnly {
            self.mode_after = Mode::ReadOnly;
        }
    }

    /// The epoch that ends the hold, whichever way it goes.
    pub(super) fn last_epoch(&self) -> Epoch {
        self.hold_epoch.next()
    }

    pub(super) fn hold(&self) -> Route {
        Route { epoch: self.hold_epoch, mode: Mode::Hold, target: Some(self.from.clone()) }
    }

    pub(super) fn new_route(&self) -> Route {
        Route { epoch: self.last_epoch(), mode: self.mode_after, target: Some(self.to.clone()) }
    }

    pub(super) fn old_route(&self) -> Route {
        Route { epoch: self.last_epoch(), mode: self.mode, target: Some(self.from.clone()) }
    }

    /// Whether the old primary answers, and so is fenced and demoted in this switch; else when it returns.
    pub(super) fn demotes(&self) -> bool {
        self.planned || self.fence_first
    }

    pub(super) fn overrides(&self, guard: Guard) -> bool {
        self.overrides.contains(&guard)
    }

    /// Counts a worker's answer, if it answers what this switch asked.
    pub(super) fn acknowledged(&mut self, signal: &Signal) {
        match signal {
            Signal::Warm { worker, epoch } if *epoch == self.operation.epoch_before => {
                self.warm.insert(*worker);
            }
            Signal::Held { worker, epoch } if *epoch == self.hold_epoch => {
                self.held.insert(*worker);
            }
            Signal::Drained { worker, epoch } if *epoch == self.hold_epoch => {
                self.held.insert(*worker);
                self.drained.insert(*worker);
            }
            Signal::HandedOver { worker, epoch } if *epoch == self.hold_epoch => {
                self.handed_over.insert(*worker);
            }
            Signal::Stalled { epoch, longest_us, .. } if *epoch == self.last_epoch() => {
                let ms = Duration::from_micros(*longest_us).as_secs_f64() * 1e3;
                let before = self.operation.client_stall_ms.unwrap_or(0.0);
                self.operation.client_stall_ms = Some(before.max(ms));
            }
            _ => {}
        }
    }

    /// Adds words to what the report says went wrong.
    pub(super) fn say(&mut self, words: &str) {
        if !self.operation.detail.is_empty() {
            self.operation.detail.push_str("; ");
        }
        self.operation.detail.push_str(words);
    }

    /// A draft of this operation's records.
    pub(super) fn draft(&self, change: Change) -> Draft {
        let epoch = match &change {
            Change::Routed { route } => route.epoch,
            Change::Ended { operation } => operation.epoch_after.unwrap_or(operation.epoch_before),
            Change::Entered { step: Step::Promote, .. } => self.last_epoch(),
            _ => self.operation.epoch_before,
        };
        Draft {
            svc: Some(self.operation.svc.clone()),
            kind: RecordKind::Operation,
            actor: self.operation.actor.clone(),
            reason: self.operation.reason.clone(),
            epoch: Some(epoch),
            change,
        }
    }

    pub(super) fn entered(&self, step: Step) -> Draft {
        self.draft(Change::Entered { id: self.operation.id.clone(), step })
    }

    fn close_phase(&mut self, now: Now) {
        let ms = now.mono.saturating_sub(self.step_began).as_secs_f64() * 1e3;
        self.operation.phases.push(Phase { name: self.step, ms });
        self.step_began = now.mono;
    }
}

impl Machine {
    /// Moves a switch to its next stage; `limit` bounds a condition's wait.
    pub(super) fn enter(&mut self, switch: &mut Switch, stage: Stage, limit: Duration, now: Now) {
        if let Some(step) = stage.step()
            && step != switch.step
        {
            switch.close_phase(now);
            switch.step = step;
            self.emit(super::Effect::Progress { operation: Box::new(switch.operation.clone()) });
        }
        switch.stage = stage;
        switch.retry_at = None;
        switch.tries = 0;
        switch.deadline = now.mono + limit;
        if !limit.is_zero() {
            self.emit(super::Effect::Wake { at: switch.deadline });
        }
    }

    /// Sends the action that the switch's stage waits for.
    pub(super) fn switch_act(&mut self, switch: &mut Switch, action: Action, limit: Duration) {
        switch.retry_at = None;
        switch.acting = Some(self.act(action, limit, Pending::SwitchAct));
    }

    /// Tries the stage's action again after a moment.
    pub(super) fn retry(&mut self, switch: &mut Switch, after: Duration, now: Now) {
        switch.tries = switch.tries.saturating_add(1);
        switch.retry_at = Some(now.mono + after);
        self.emit(super::Effect::Wake { at: now.mono + after });
    }

    /// Writes how it ended; the answer follows when that is durable.
    pub(super) fn end(
        &mut self,
        switch: &mut Switch,
        outcome: Outcome,
        epoch: Epoch,
        mut drafts: Vec<Draft>,
        now: Now,
    ) {
        drafts.extend(self.strays_of(switch));
        switch.close_phase(now);
        switch.operation.outcome = outcome;
        switch.operation.epoch_after = Some(epoch);
        self.enter(switch, Stage::Ending, Duration::ZERO, now);
        // A route that serves and could not be written before must not be forgotten by an operation that ended.
        let written = drafts.iter().any(|draft| matches!(draft.change, Change::Routed { .. }));
        let routed = Change::Routed { route: self.route.clone() };
        let owed = self.durable.route != self.route || self.take_unwritten(&routed);
        if !self.starting && self.shielded.is_none() && owed && !written {
            drafts.insert(0, switch.draft(routed));
        }
        drafts.push(switch.draft(Change::Ended { operation: Box::new(switch.operation.clone()) }));
        switch.last_words.clone_from(&drafts);
        self.write(drafts, Then::Switch);
    }

    /// Ends a switch that changed nothing, because of `guards`.
    pub(super) fn refuse_switch(&mut self, switch: &mut Switch, guards: Vec<Refusal>, now: Now) {
        if guards.iter().any(|guard| guard.name == Guard::Sessions) {
            switch.operation.sessions.clone_from(&self.stuck);
        }
        switch.operation.guards.extend(guards);
        if self.shielded.is_none() {
            self.publish(self.route.clone(), None, false);
        }
        self.end(switch, Outcome::Refused, switch.operation.epoch_before, Vec::new(), now);
    }
}
