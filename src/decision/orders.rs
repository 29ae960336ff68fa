//! Orders of operators: each is answered exactly once, and each that changes or is refused has exactly one end in the journal.

use super::{
    Effect, Now, Ticket,
    approval::Consent,
    evidence::{Cause, Verdict},
    guards::{Purpose, may_be_overridden},
    machine::Machine,
    pending::{Pending, Then},
    switch::Switch,
};
use crate::model::{
    guard::{Guard, Refusal},
    name::ClusterName,
    operation::{Command, Operation, Order, Outcome},
    record::{Change, Draft, RecordKind},
    route::{Mode, Route, Target},
};
use jiff::SignedDuration;
use std::time::Duration;

impl Machine {
    /// Takes an order in, perhaps after a moment.
    pub(super) fn ordered(&mut self, ticket: Ticket, order: &Order, now: Now) {
        if !self.asks_first(ticket, order, now) {
            self.take_order(ticket, order, now);
        }
    }

    /// Judges an order and begins what it asks for.
    pub(super) fn take_order(&mut self, ticket: Ticket, order: &Order, now: Now) {
        match &order.command {
            Command::Approve(id) => return self.order_approve(ticket, order, id, now),
            Command::Withdraw(id) => return self.order_withdraw(ticket, order, id, now),
            _ => {}
        }
        let operation = self.operation_of(order, now);
        if let Some(refusal) = self.epoch_guard(order) {
            return self.refuse(ticket, operation, vec![refusal], is_dry(&order.command));
        }
        match order.command.clone() {
            Command::Switchover { .. } | Command::Failover { .. } => {
                self.order_switch(ticket, operation, order, None, now);
            }
            Command::Pause(length) => {
                let length = SignedDuration::try_from(length).unwrap_or(SignedDuration::from_hours(24));
                let until = now.wall.checked_add(length).unwrap_or(now.wall);
                self.instant(ticket, operation, order, Some(Change::Paused { until }), None);
            }
            Command::Resume => {
                let change = self.durable.paused_until.map(|_| Change::Resumed);
                self.instant(ticket, operation, order, change, None);
            }
            Command::Approve(_) | Command::Withdraw(_) => {}
            Command::Mode(mode) => self.order_mode(ticket, operation, order, mode),
            Command::Drain(cluster) => self.order_drain(ticket, operation, order, &cluster),
            Command::Restore(cluster) => {
                let drained = self.durable.drained.contains(&cluster);
                match self.no_such(&cluster).filter(|_| !drained).or_else(|| self.busy()) {
                    Some(refusal) => self.refuse(ticket, operation, vec![refusal], false),
                    None => {
                        self.instant(ticket, operation, order, drained.then_some(Change::Restored { cluster }), None);
                    }
                }
            }
        }
    }

    pub(super) fn operation_of(&mut self, order: &Order, now: Now) -> Operation {
        let id = if is_dry(&order.command) {
            format!("{}-dry-run", self.svc)
        } else {
            self.numbered = self.numbered.max(self.durable.numbered) + 1;
            format!("{}-{}", self.svc, self.numbered)
        };
        Operation {
            from: self.routed().map(|target| target.cluster.clone()),
            epoch_before: self.route.epoch.max(self.durable.route.epoch),
            started: now.wall,
            actor: order.actor.clone(),
            approver: order.approver.clone(),
            group: order.group.clone(),
            rehearsal: order.rehearsal,
            reason: order.reason.clone(),
            ..Operation::begun(id, self.svc.clone(), order.command.as_str())
        }
    }

    fn epoch_guard(&self, order: &Order) -> Option<Refusal> {
        let asked = order.if_epoch.filter(|epoch| *epoch != self.route.epoch)?;
        Some(Refusal::new(Guard::Epoch, format!("the epoch is {}, not {asked}", self.route.epoch)))
    }

    /// Another operation is under way, or a change is being written.
    pub(super) fn busy(&self) -> Option<Refusal> {
        if let Some(switch) = &self.switch {
            let Operation { id, kind, actor, started, .. } = &switch.operation;
            let words = format!("{kind} {id} is under way, ordered by {actor}, since {started:.0}");
            return Some(Refusal::new(Guard::Busy, words));
        }
        let changing = self.pending.values().any(|pending| match pending {
            Pending::Write { then: Then::Route(_), .. } => true,
            Pending::Write { drafts, then: Then::Answer { .. } } => drafts.len() > 1,
            _ => false,
        });
        changing.then(|| Refusal::new(Guard::Busy, "a change of this service is being written"))
    }

    fn no_such(&self, cluster: &ClusterName) -> Option<Refusal> {
        let known = self.settings.cluster(cluster.as_str()).is_some();
        (!known).then(|| Refusal::new(Guard::Eligible, format!("there is no cluster {cluster}")))
    }

    /// An order to switch; with `consent` the second person's, whose operation waited.
    pub(super) fn order_switch(
        &mut self,
        ticket: Ticket,
        mut operation: Operation,
        order: &Order,
        consent: Option<Consent>,
        now: Now,
    ) {
        let dry = is_dry(&order.command);
        let (to, purpose) = match &order.command {
            Command::Failover { to, .. } => (to.clone(), Purpose::Failover { by_hand: true }),
            Command::Switchover { to, cut_sessions, .. } => (to.clone(), Purpose::Switchover { cut: *cut_sessions }),
            _ => return,
        };
        if consent.is_none() && to.is_some() && to == operation.from && !self.starting {
            operation.to = to;
            operation.detail = "the route is there already".into();
            if dry {
                return self.refuse(ticket, operation, Vec::new(), true);
            }
            return self.instant(ticket, operation, order, None, None);
        }
        let waits = !dry && self.needs_approval(order);
        if let Some(refusal) = self.somebody_waits().filter(|_| waits) {
            return self.refuse(ticket, operation, vec![refusal], false);
        }
        let passed: Vec<Guard> = order.overrides.iter().copied().filter(|guard| may_be_overridden(*guard)).collect();
        let (target, mut refusals) = self.choose(purpose, to.as_ref(), &passed, now);
        operation.to = target.as_ref().map(|target| target.cluster.clone());
        if let Command::Failover { accept_loss, .. } = order.command {
            refusals.extend(self.failover_guards(accept_loss || dry, now));
        }
        if !dry && matches!(purpose, Purpose::Switchover { .. }) {
            // The approach waits for sessions that can't move, and refuses when they don't end in time.
            refusals.retain(|refusal| refusal.name != Guard::Sessions);
        }
        let (overridden, refused): (Vec<_>, Vec<_>) =
            refusals.into_iter().partition(|refusal| passed.contains(&refusal.name));
        operation.guards.clone_from(&overridden);
        match (target, self.routed().cloned()) {
            (Some(_), Some(_)) if refused.is_empty() && waits => self.wait_for_approval(ticket, operation, order, now),
            (Some(target), Some(from)) if refused.is_empty() && !dry => {
                operation.guards.extend(self.unasked(order));
                self.accept(ticket, operation, order, (from, target), consent.as_ref(), now);
            }
            (target, _) => {
                if let Some(target) = target.filter(|_| dry) {
                    operation.detail = self.counts(&target);
                }
                let approved = consent.map(|consent| consent.change(&operation.id));
                self.refuse_beside(ticket, operation, refused, approved, dry);
            }
        }
    }

    /// What a failover by hand asks beside: the primary must be gone for sure, and the operator must accept the loss.
    fn failover_guards(&mut self, accepted: bool, now: Now) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        if !accepted {
            let words = "writes that the candidate has not received would be lost: say --accept-loss";
            refusals.push(Refusal::new(Guard::Primary, words));
        }
        match self.verdict(now) {
            Verdict::Well => {
                refusals.push(Refusal::new(Guard::Primary, "the primary answers: a switchover loses nothing"));
            }
            Verdict::Suspect { words, refused, .. } => {
                refusals.push(Refusal::new(Guard::Evidence, words));
                refusals.extend(self.fence_guard(if refused { Cause::Refused } else { Cause::Silent }, now));
            }
            Verdict::Dead { cause, .. } => refusals.extend(self.fence_guard(cause, now)),
        }
        refusals
    }

    fn accept(
        &mut self,
        ticket: Ticket,
        operation: Operation,
        order: &Order,
        (from, to): (Target, Target),
        consent: Option<&Consent>,
        now: Now,
    ) {
        if consent.is_some() {
            // It was known as one that waits: whoever looks from now on sees it running.
            self.emit(Effect::Progress { operation: Box::new(operation.clone()) });
        }
        self.emit(Effect::Accepted { ticket, id: operation.id.clone() });
        let mut switch = Box::new(Switch::new(operation, from, to, self.mode(), self.managed(), now));
        switch.answer = Some(ticket);
        switch.overrides = order.overrides.iter().copied().filter(|guard| may_be_overridden(*guard)).collect();
        let id = &switch.operation.id;
        let mut drafts: Vec<Draft> = switch
            .operation
            .guards
            .iter()
            .map(|guard| {
                let change = Change::Overridden { id: id.clone(), guard: guard.clone() };
                Draft { kind: RecordKind::Override, ..switch.draft(change) }
            })
            .collect();
        drafts.extend(consent.map(|consent| Draft {
            kind: RecordKind::Decision,
            actor: consent.by.clone(),
            reason: consent.reason.clone(),
            ..switch.draft(consent.change(id))
        }));
        if let Command::Switchover { cut_sessions, timeout, .. } = order.command {
            switch.cut_sessions = cut_sessions;
            switch.timeout = timeout.max(Duration::from_millis(1));
            self.begin(switch, drafts, now);
        } else {
            let cause = match self.verdict(now) {
                Verdict::Dead { cause, .. } => cause,
                _ => Cause::Silent,
            };
            self.leave(switch, cause, drafts, now);
        }
    }

    fn order_mode(&mut self, ticket: Ticket, operation: Operation, order: &Order, mode: Mode) {
        if let Some(refusal) = self.busy() {
            return self.refuse(ticket, operation, vec![refusal], false);
        }
        let Some(target) = self.route.target.clone().filter(|_| !self.starting) else {
            let refusal = Refusal::new(Guard::Route, "no route is known yet");
            return self.refuse(ticket, operation, vec![refusal], false);
        };
        let accepted = if mode == Mode::Open { self.accept_history() } else { None };
        let accepted = accepted.map(|draft| draft.change);
        if mode == self.mode() {
            return self.instant(ticket, operation, order, accepted, None);
        }
        let route = Route { epoch: self.route.epoch.next(), mode, target: Some(target) };
        self.instant(ticket, operation, order, accepted, Some(route));
    }

    fn order_drain(&mut self, ticket: Ticket, operation: Operation, order: &Order, cluster: &ClusterName) {
        let routed = self.routed().is_some_and(|target| target.cluster == *cluster);
        let routed = routed
            .then(|| Refusal::new(Guard::Eligible, format!("{cluster} is routed: switch to another cluster first")));
        let refusals: Vec<Refusal> = [self.busy(), self.no_such(cluster), routed].into_iter().flatten().collect();
        if !refusals.is_empty() {
            return self.refuse(ticket, operation, refusals, false);
        }
        let drained = self.durable.drained.contains(cluster);
        let change = (!drained).then(|| Change::Drained { cluster: cluster.clone() });
        self.instant(ticket, operation, order, change, None);
    }

    /// An order that needs no steps: what changes and its end are written together, then it is answered.
    pub(super) fn instant(
        &mut self,
        ticket: Ticket,
        mut operation: Operation,
        order: &Order,
        change: Option<Change>,
        route: Option<Route>,
    ) {
        operation.outcome = Outcome::Done;
        operation.epoch_after = Some(route.as_ref().map_or(operation.epoch_before, |route| route.epoch));
        if operation.detail.is_empty() {
            let same = change.is_none() && route.is_none();
            operation.detail = if same { "it is so already".into() } else { effect(&order.command) };
        }
        let mut changes: Vec<Change> = change.into_iter().collect();
        changes.extend(route.clone().map(|route| Change::Routed { route }));
        let anyway = order.overrides.contains(&Guard::Journal);
        self.write_order(ticket, operation, changes, route, anyway);
    }

    /// Refused, and recorded; a dry run is answered without a trace.
    pub(super) fn refuse(&mut self, ticket: Ticket, operation: Operation, refusals: Vec<Refusal>, dry: bool) {
        self.refuse_beside(ticket, operation, refusals, None, dry);
    }

    /// As [`Machine::refuse`], with what is recorded before it.
    fn refuse_beside(
        &mut self,
        ticket: Ticket,
        mut operation: Operation,
        refusals: Vec<Refusal>,
        before: Option<Change>,
        dry: bool,
    ) {
        operation.outcome = if refusals.is_empty() { Outcome::Done } else { Outcome::Refused };
        if refusals.iter().any(|refusal| refusal.name == Guard::Sessions) {
            operation.sessions.clone_from(&self.stuck);
        }
        operation.epoch_after = Some(operation.epoch_before);
        operation.guards.extend(refusals);
        if dry {
            self.emit(Effect::Answer { ticket, operation: Box::new(operation) });
        } else {
            self.write_order(ticket, operation, before.into_iter().collect(), None, true);
        }
    }

    fn write_order(
        &mut self,
        ticket: Ticket,
        operation: Operation,
        mut changes: Vec<Change>,
        route: Option<Route>,
        anyway: bool,
    ) {
        let refused = operation.outcome == Outcome::Refused;
        changes.push(Change::Ended { operation: Box::new(operation.clone()) });
        let draft = |change| Draft {
            kind: if refused { RecordKind::Refusal } else { RecordKind::Operation },
            actor: operation.actor.clone(),
            epoch: operation.epoch_after,
            ..self.draft(RecordKind::Operation, change, operation.reason.clone())
        };
        let drafts = changes.into_iter().map(draft).collect();
        self.write(drafts, Then::Answer { ticket, operation: Box::new(operation), route, anyway });
    }

    /// An order's records are durable, or could not be written and the operator didn't say `--override journal`.
    pub(super) fn answer(
        &mut self,
        ticket: Ticket,
        mut operation: Operation,
        route: Option<Route>,
        result: Result<(), String>,
    ) {
        match result {
            Ok(()) => {
                if let Some(route) = route {
                    self.publish(route, None, false);
                }
            }
            Err(error) => {
                operation.outcome = Outcome::Refused;
                operation.epoch_after = Some(operation.epoch_before);
                operation.guards.push(Refusal::new(Guard::Journal, error));
            }
        }
        self.emit(Effect::Answer { ticket, operation: Box::new(operation) });
    }
}

/// What an order without steps brought about.
fn effect(command: &Command) -> String {
    match command {
        Command::Drain(cluster) => format!("{cluster} is drained"),
        Command::Restore(cluster) => format!("{cluster} is restored"),
        Command::Pause(length) => format!("automatic failover is off for {} s", length.as_secs()),
        Command::Resume => "automatic failover is on".into(),
        Command::Mode(mode) => format!("the mode is {}", mode.as_str()),
        Command::Switchover { .. } | Command::Failover { .. } | Command::Approve(_) | Command::Withdraw(_) => {
            String::new()
        }
    }
}

fn is_dry(command: &Command) -> bool {
    matches!(command, Command::Switchover { dry_run: true, .. } | Command::Failover { dry_run: true, .. })
}
