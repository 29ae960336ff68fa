//! What the machine waits for, and what follows when it comes: records that became durable, actions that ended.
//!
//! Input: a ticket with its result. Output: the move of whoever waited for it.

use super::{Effect, Now, Ticket, machine::Machine, upkeep::Disk};
use crate::model::{
    action::Done,
    error::StoreError,
    name::NodeAddress,
    operation::Operation,
    record::{Change, Draft, Record},
    route::Route,
};

/// What a ticket waits for.
#[derive(Debug)]
pub(super) enum Pending {
    /// Records, and what follows them.
    Write { drafts: Vec<Draft>, then: Then },
    /// The action of the switch's stage.
    SwitchAct,
    /// An action beside the switch's stage: the stage waits for it, its failure is said.
    SwitchSide(NodeAddress),
    /// An action that cleans up after an ended operation.
    Return(NodeAddress),
    /// A standby is parked, or follows again.
    Park(NodeAddress),
    /// The routed node, which restarted as a standby, is made primary again.
    Reopen(NodeAddress),
}

/// What follows when records are durable.
#[derive(Debug)]
pub(super) enum Then {
    /// Nothing waits for them.
    Nothing,
    /// Nothing either: it is so, whether the journal can say it yet or not.
    Anyway,
    /// The switch's stage.
    Switch,
    /// Nothing either: they say that this standby is parked, or isn't any more.
    Parked(NodeAddress),
    /// The routed node is made primary again.
    Reopen(NodeAddress),
    /// So many changes that had been carried out without the journal are in it now.
    Late(usize),
    /// The start, or an adopted role: the route is published.
    Route(Route),
    /// An order that needs no switch: a changed route is published, the answer is given.
    Answer { ticket: Ticket, operation: Box<Operation>, route: Option<Route>, anyway: bool },
}

impl Machine {
    /// Records are on their way to the disk.
    pub(super) fn is_writing(&self) -> bool {
        self.pending.values().any(|pending| matches!(pending, Pending::Write { .. }))
    }

    /// An action of the clean-up is under way.
    pub(super) fn is_returning(&self) -> bool {
        self.pending.values().any(|pending| matches!(pending, Pending::Return(_)))
    }

    pub(super) fn written(&mut self, ticket: Ticket, result: Result<Vec<Record>, String>, now: Now) {
        let Some(Pending::Write { drafts, then }) = self.pending.remove(&ticket) else { return };
        let result = match result {
            Ok(records) => {
                self.disk = Disk::default();
                for record in &records {
                    self.learn(record);
                    if let Change::Departed { node, .. } = &record.detail {
                        self.cooling_until.insert(node.clone(), now.mono + self.settings.failover.cooldown);
                    }
                    if let Change::Amended { id, .. } = &record.detail
                        && let Some(operation) = self.durable.ended.iter().find(|operation| operation.id == *id)
                    {
                        let operation = Box::new(operation.clone());
                        self.emit(Effect::Progress { operation });
                    }
                }
                Ok(())
            }
            Err(error) => {
                self.disk.failed(&error, now.wall);
                Err(error)
            }
        };
        match then {
            // What could not be written is tried again by what asked for it.
            Then::Nothing => {}
            Then::Anyway => {
                if result.is_err() {
                    self.fold(drafts, now);
                }
            }
            // A standby that lost its primary is evidence, also where the disk has no room to say so: else nobody would hear that it is
            // the journal which keeps a failover from happening. A restart is told by the standby itself.
            Then::Parked(_) => {
                if result.is_err() && drafts.iter().any(|draft| matches!(draft.change, Change::Parked { .. })) {
                    self.fold(drafts, now);
                }
            }
            Then::Reopen(node) => {
                if result.is_ok() {
                    self.send_reopen(node);
                }
            }
            Then::Late(count) => {
                if result.is_ok() {
                    self.unwritten.drain(..count.min(self.unwritten.len()));
                }
            }
            Then::Switch => self.switch_written(result, drafts, now),
            Then::Route(route) => {
                if result.is_ok() {
                    self.publish(route, None, false);
                }
            }
            Then::Answer { ticket, operation, route, anyway } => {
                if result.is_err() && anyway {
                    self.fold(drafts, now);
                }
                let result = if anyway { Ok(()) } else { result };
                self.answer(ticket, *operation, route, result);
            }
        }
    }

    /// Folds a record in. A switch that waited for a second person may end under anybody's order: that is shown here.
    pub(super) fn learn(&mut self, record: &Record) {
        let waited = self.durable.waiting.as_ref().map(|waiting| waiting.operation.id.clone());
        self.durable.apply(record);
        if let Change::Ended { operation } = &record.detail
            && waited.as_ref() == Some(&operation.id)
        {
            self.emit(Effect::Progress { operation: operation.clone() });
        }
    }

    pub(super) fn acted(&mut self, ticket: Ticket, result: Result<Done, StoreError>, now: Now) {
        match self.pending.remove(&ticket) {
            Some(Pending::SwitchAct) => self.switch_acted(ticket, result, now),
            Some(Pending::SwitchSide(node)) => self.switch_side_acted(ticket, &node, result),
            Some(Pending::Return(node)) => self.returned(&node, result, now),
            Some(Pending::Reopen(node)) => self.role_reopened(&node, result, now),
            Some(Pending::Park(node)) => self.park_ended(&node, result, now),
            Some(Pending::Write { .. }) | None => {}
        }
    }
}
