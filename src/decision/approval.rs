//! A second person's consent: a switch by hand that was let through waits for it, in the journal, over restarts.
//!
//! Inputs: orders, the service's settings, the route, time. Outputs: the switch that waits, its beginning under the same id when
//! somebody else agrees and every guard still holds, or its end: withdrawn, expired, or because the route it was asked for moved.
//! It never keeps anything else from happening, and never asks for Pointsman's own decisions. Who may approve is not known here.

use super::{
    Now, Ticket,
    machine::Machine,
    pending::{Pending, Then},
};
use crate::model::{
    guard::{Guard, Refusal},
    name::OperationId,
    narrative::agreed,
    operation::{Command, Operation, Order, Outcome, Terms},
    record::{Change, Draft, RecordKind},
    state::Waiting,
};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// That a second person agreed.
pub(super) struct Consent {
    /// Who.
    pub(super) by: String,
    /// Why, in that person's words.
    pub(super) reason: String,
}

impl Consent {
    /// The record of it.
    pub(super) fn change(&self, id: &OperationId) -> Change {
        Change::Approved { id: id.clone(), by: self.by.clone(), reason: self.reason.clone() }
    }
}

impl Waiting {
    /// The order that was given, as it is carried out now: to the very cluster that the second person sees.
    fn order(&self, approver: &str) -> Order {
        let Self { operation, terms } = self;
        let (to, dry_run) = (operation.to.clone(), false);
        let command = if operation.kind == "failover" {
            Command::Failover { to, dry_run, accept_loss: terms.accept_loss }
        } else {
            let timeout = Duration::from_millis(terms.timeout_ms);
            Command::Switchover { to, dry_run, cut_sessions: terms.cut_sessions, timeout }
        };
        Order {
            overrides: terms.overrides.clone(),
            approver: Some(approver.to_owned()),
            rehearsal: operation.rehearsal,
            ..Order::new(command, operation.actor.clone(), operation.reason.clone())
        }
    }

    fn expired(&self, wall: Timestamp) -> bool {
        self.operation.expires.is_none_or(|expires| wall >= expires)
    }
}

impl Machine {
    /// The switch that waits for a second person, unless it begins or ends already.
    fn waiting(&self) -> Option<&Waiting> {
        let waiting = self.durable.waiting.as_ref()?;
        let id = &waiting.operation.id;
        let begins = self.switch.as_ref().is_some_and(|switch| switch.operation.id == *id);
        let ends = |change: &Change| matches!(change, Change::Ended { operation } if operation.id == *id);
        let ends = self.drafts_on_their_way().any(|draft| ends(&draft.change));
        (!begins && !ends).then_some(waiting)
    }

    /// What is shown of it.
    pub(super) fn waiting_operation(&self) -> Option<&Operation> {
        self.durable.waiting.as_ref().map(|waiting| &waiting.operation)
    }

    fn drafts_on_their_way(&self) -> impl Iterator<Item = &Draft> {
        let writes = self.pending.values().filter_map(|pending| match pending {
            Pending::Write { drafts, .. } => Some(drafts),
            _ => None,
        });
        writes.flatten()
    }

    /// Whether a second person must agree to this order first.
    pub(super) fn needs_approval(&self, order: &Order) -> bool {
        let agreed = order.approver.as_ref().is_some_and(|by| *by != order.actor);
        self.settings.approval.required && !agreed && !order.overrides.contains(&Guard::Approval)
    }

    /// What an override of the guard passes, for the record of it.
    pub(super) fn unasked(&self, order: &Order) -> Option<Refusal> {
        let passed = self.settings.approval.required && order.overrides.contains(&Guard::Approval);
        let alone = passed && order.approver.is_none();
        alone.then(|| {
            Refusal::new(Guard::Approval, "nobody else was asked, though the service asks for a second person")
        })
    }

    /// One switch at a time waits: whoever asks second is told who asked first, for what, and since when.
    pub(super) fn somebody_waits(&self) -> Option<Refusal> {
        let asked = self.drafts_on_their_way().find_map(|draft| match &draft.change {
            Change::Asked { operation, .. } => Some(&**operation),
            _ => None,
        });
        let first = asked.or_else(|| self.waiting().map(|waiting| &waiting.operation))?;
        let Operation { id, kind, actor, started, .. } = first;
        let to = first.to.as_ref().map_or("", |to| to.as_str());
        let words = format!("{id} waits for a second person: {kind} to {to}, asked for by {actor} at {started:.0}");
        Some(Refusal::new(Guard::Busy, words))
    }

    /// Every guard holds: the switch waits, once that is written down.
    pub(super) fn wait_for_approval(&mut self, ticket: Ticket, mut operation: Operation, order: &Order, now: Now) {
        let timeout = SignedDuration::try_from(self.settings.approval.timeout).unwrap_or(SignedDuration::from_mins(15));
        operation.outcome = Outcome::Waiting;
        operation.expires = now.wall.checked_add(timeout).ok();
        let change = Change::Asked { operation: Box::new(operation.clone()), terms: Terms::of(order) };
        let draft = Draft {
            actor: operation.actor.clone(),
            epoch: Some(operation.epoch_before),
            ..self.draft(RecordKind::Operation, change, operation.reason.clone())
        };
        let anyway = order.overrides.contains(&Guard::Journal);
        let then = Then::Answer { ticket, operation: Box::new(operation), route: None, anyway };
        self.write(vec![draft], then);
    }

    /// What an order is about: an approval is about the switch that waits.
    pub(super) fn meant(&self, order: &Order) -> Order {
        let waiting = match &order.command {
            Command::Approve(id) => self.waiting().filter(|waiting| waiting.operation.id == *id),
            _ => None,
        };
        waiting.map_or_else(|| order.clone(), |waiting| waiting.order(&order.actor))
    }

    /// A second person agrees: every guard is asked again, then it runs under the id that it waited under.
    pub(super) fn order_approve(&mut self, ticket: Ticket, order: &Order, id: &OperationId, now: Now) {
        let waiting = self.waiting().filter(|waiting| waiting.operation.id == *id).cloned();
        let refusal = match &waiting {
            None => Some(self.does_not_wait(id)),
            Some(waiting) if waiting.operation.actor == order.actor => {
                let words = format!("{} asked for {id}: another person must approve it", order.actor);
                Some(Refusal::new(Guard::Approval, words))
            }
            Some(waiting) if waiting.expired(now.wall) => {
                Some(Refusal::new(Guard::Approval, format!("{id} expired: ask for it again")))
            }
            Some(_) if self.starting => Some(Refusal::new(Guard::Route, "no route is known yet")),
            Some(_) => self.busy(),
        };
        match (waiting, refusal) {
            (Some(waiting), None) => {
                let meant = waiting.order(&order.actor);
                let operation = Operation {
                    approver: Some(order.actor.clone()),
                    started: now.wall,
                    expires: None,
                    outcome: Outcome::Running,
                    guards: Vec::new(),
                    ..waiting.operation
                };
                let consent = Consent { by: order.actor.clone(), reason: order.reason.clone() };
                self.order_switch(ticket, operation, &meant, Some(consent), now);
            }
            (_, refusal) => {
                let operation = self.operation_of(order, now);
                self.refuse(ticket, operation, refusal.into_iter().collect(), false);
            }
        }
    }

    /// It is given up. Who may do that was judged before.
    pub(super) fn order_withdraw(&mut self, ticket: Ticket, order: &Order, id: &OperationId, now: Now) {
        let mut operation = self.operation_of(order, now);
        let Some(waiting) = self.waiting().filter(|waiting| waiting.operation.id == *id) else {
            let refusal = self.does_not_wait(id);
            return self.refuse(ticket, operation, vec![refusal], false);
        };
        let ended = given_up(waiting, &format!("withdrawn by {}", order.actor));
        operation.detail = format!("{id} is withdrawn");
        let change = Change::Ended { operation: Box::new(ended) };
        self.instant(ticket, operation, order, Some(change), None);
    }

    fn does_not_wait(&self, id: &OperationId) -> Refusal {
        let known = self.operation(id);
        let known = known.map(|known| format!("{}{}", known.outcome.as_str(), agreed(known.approver.as_deref())));
        let words = match known {
            Some(known) => format!("{id} doesn't wait for a second person any more: {known}"),
            None => format!("{id} doesn't wait for a second person"),
        };
        Refusal::new(Guard::Approval, words)
    }

    /// Called after each event: what waits ends when its time is over, or when the route is not the one any more that it was asked
    /// for. Where the journal can't say so, it ends all the same, and is written when it can be.
    pub(super) fn watch_waiting(&mut self, now: Now) {
        if self.starting {
            return;
        }
        let Some(waiting) = self.waiting() else { return };
        let Operation { epoch_before, started, .. } = &waiting.operation;
        let words = if self.route.epoch != *epoch_before {
            format!("the route moved since it was asked for: the epoch is {}, it was {epoch_before}", self.route.epoch)
        } else if waiting.expired(now.wall) {
            format!("nobody approved it since {started:.0}")
        } else {
            return;
        };
        let ended = given_up(waiting, &words);
        let change = Change::Ended { operation: Box::new(ended) };
        let draft = Draft { epoch: Some(self.route.epoch), ..self.draft(RecordKind::Refusal, change, "") };
        self.write(vec![draft], Then::Anyway);
    }
}

/// What waited, refused in these words; nothing has changed.
fn given_up(waiting: &Waiting, words: &str) -> Operation {
    let mut operation = waiting.operation.clone();
    operation.outcome = Outcome::Refused;
    operation.epoch_after = Some(operation.epoch_before);
    operation.guards.push(Refusal::new(Guard::Approval, words));
    operation
}
