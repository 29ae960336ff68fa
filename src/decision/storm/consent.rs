//! A second person in the storm: what waits is approved, withdrawn or forgotten some time later, whatever goes on meanwhile; and
//! nothing begins by hand that nobody else agreed to.

use super::{Item, MS, SECOND, Storm};
use crate::{
    config::Approval,
    decision::{Event, Ticket, world::Dice},
    model::{
        guard::Guard,
        name::OperationId,
        operation::{Command, Operation, Order, Outcome},
        record::{Change, Draft},
    },
};
use std::time::Duration;

/// Of so many seeds one has a service that asks for a second person.
const ONE_OF: u64 = 4;

/// How people answer. They have a dice of their own, so that each seed's weather is what it would be without them.
pub(super) struct People {
    dice: Dice,
}

impl People {
    pub(super) fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed.wrapping_mul(31) + 7) }
    }
}

/// Whether the service of this seed asks, and for how long it waits.
pub(super) fn approval(seed: u64) -> Approval {
    Approval { required: seed % ONE_OF == ONE_OF - 1, timeout: Duration::from_secs(6) }
}

impl Storm {
    /// An order was answered: if it waits, somebody may say something to it.
    pub(super) fn hear_of(&mut self, operation: &Operation) {
        if operation.outcome == Outcome::Waiting {
            let after = self.people.dice.below(8 * SECOND) + MS;
            self.at(after, Item::Consent(operation.id.clone()));
        }
    }

    pub(super) fn consent(&mut self, id: OperationId) {
        let (command, actor) = match self.people.dice.below(10) {
            0..6 => (Command::Approve(id), "uid:1"),
            6 => (Command::Approve(id), "uid:0"),
            7 => (Command::Withdraw(id), "uid:0"),
            _ => return,
        };
        if self.core.machine.is_none() || self.now < self.core.frozen_until {
            return;
        }
        self.core.ordered += 1;
        let ticket = Ticket(1_000_000 + self.core.ordered);
        self.step(Event::Ordered { ticket, order: Order::new(command, actor, "the storm") });
    }

    /// What begins by hand was agreed to by somebody else, while it waited, for the route as it is; or the guard was passed by name.
    pub(super) fn check_consent(&mut self, operation: &Operation, drafts: &[Draft]) {
        if !self.settings.approval.required || operation.actor == "pointsman" {
            return;
        }
        let passed =
            |change: &Change| matches!(change, Change::Overridden { guard, .. } if guard.name == Guard::Approval);
        if drafts.iter().any(|draft| passed(&draft.change)) {
            return;
        }
        let waiting = self.core.durable().and_then(|state| state.waiting.as_ref());
        let bound = waiting.is_some_and(|waiting| {
            let asked = &waiting.operation;
            (&asked.id, asked.epoch_before, &asked.to) == (&operation.id, operation.epoch_before, &operation.to)
        });
        let other = operation.approver.as_ref().is_some_and(|by| *by != operation.actor);
        let moved = self.core.machine.as_ref().is_some_and(|machine| machine.route().epoch != operation.epoch_before);
        if !bound || !other || moved {
            self.violated(format!(
                "{} begins without a second person's consent to just that: {operation:?}",
                operation.id
            ));
        }
    }

    /// What nobody answered ends, at the latest when it is given up: a clock that was set back makes it wait for longer.
    pub(super) fn end_of_waiting(&mut self) {
        let none = |storm: &Self| storm.core.durable().is_none_or(|state| state.waiting.is_none());
        if self.run_until(8 * SECOND, none) || !self.broken.is_empty() {
            return;
        }
        let id =
            self.core.durable().and_then(|state| state.waiting.as_ref()).map(|waiting| waiting.operation.id.clone());
        if let Some(id) = id {
            self.order(Command::Withdraw(id));
        }
        if !self.run_until(2 * SECOND, none) && self.broken.is_empty() {
            self.violated(format!("something waits for ever: {}", self.state()));
        }
    }
}
