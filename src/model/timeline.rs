//! An incident of one service in the order in which it happened: a pure view of the journal's records.

use super::{
    name::{OperationId, ServiceName},
    operation::Operation,
    record::{Change, Record, RecordKind},
    suspicion::Ending,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What an incident was, moment by moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Timeline {
    /// The service.
    pub svc: ServiceName,
    /// The operation; absent where a suspicion ended without one.
    pub operation: Option<Operation>,
    /// The moment that offsets count from: the first thing that was found, or the order.
    pub began: Option<Timestamp>,
    /// In their order.
    pub entries: Vec<Entry>,
}

/// One moment of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Entry {
    /// When.
    pub time: Timestamp,
    /// How many milliseconds after the beginning.
    pub offset_ms: f64,
    /// What sort.
    pub kind: EntryKind,
    /// What, in words.
    pub words: String,
}

/// The sorts of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// Something was found.
    Evidence,
    /// Something was decided.
    Decision,
    /// A step of a switch.
    Phase,
    /// An operation began, moved on or ended.
    Operation,
    /// Something was not done, and why.
    Refusal,
    /// A guard was overridden.
    Override,
    /// Something worth knowing.
    Note,
}

impl EntryKind {
    /// The name used in the API and by the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::Decision => "decision",
            Self::Phase => "phase",
            Self::Operation => "operation",
            Self::Refusal => "refusal",
            Self::Override => "override",
            Self::Note => "note",
        }
    }
}

/// The operation that a record is about.
pub fn about(change: &Change) -> Option<&OperationId> {
    match change {
        Change::Asked { operation, .. } | Change::Began { operation, .. } | Change::Ended { operation } => {
            Some(&operation.id)
        }
        Change::Group { operation, .. } => Some(&operation.id),
        Change::Refused { id, .. } => id.as_ref(),
        Change::Amended { id, .. }
        | Change::Retargeted { id, .. }
        | Change::Entered { id, .. }
        | Change::Departed { id, .. }
        | Change::Approved { id, .. }
        | Change::Overridden { id, .. }
        | Change::Keyed { id, .. } => Some(id),
        _ => None,
    }
}

/// Whether a record is a switch's own: a drained cluster or a changed mode is no incident, and mustn't hide the one before it.
fn is_of_a_switch(change: &Change) -> bool {
    match change {
        Change::Asked { operation, .. } | Change::Began { operation, .. } | Change::Ended { operation } => {
            operation.is_switch()
        }
        change => !matches!(change, Change::Keyed { .. } | Change::Overridden { .. }),
    }
}

/// A suspicion that ended without an operation, or lasts.
fn is_incident(record: &Record) -> bool {
    matches!(&record.detail, Change::Suspected { suspicion } if suspicion.end != Ending::Failover)
}

/// Picks the records of one incident out of those of a service, as they come, newest first.
#[derive(Debug)]
pub struct Gathering {
    /// The operation, once it is known; none while any will do, or where it is a suspicion alone.
    id: Option<OperationId>,
    found: bool,
    alone: bool,
    /// What came of the records so far, newest first.
    records: Vec<Record>,
    /// Nothing before this moment belongs to it.
    from: Option<Timestamp>,
}

/// No incident has more records of its own than this; those in its middle are left out.
const MOST: usize = 2000;

impl Gathering {
    /// Of this operation, or else of the last incident.
    pub fn new(id: Option<OperationId>) -> Self {
        Self { id, found: false, alone: false, records: Vec::new(), from: None }
    }

    /// Takes one more record; false when no older one can belong to it.
    pub fn take(&mut self, record: &Record) -> bool {
        if matches!(record.detail, Change::Amended { .. }) {
            // The loss of an operation may become known long after it, and long after the incident that is looked for.
            self.keep(record);
            return true;
        }
        if !self.found && !self.begins_here(record) {
            return true;
        }
        self.found = true;
        if self.from.is_some_and(|from| record.time < from) {
            return false;
        }
        if self.belongs(record) {
            self.keep(record);
        }
        match &record.detail {
            Change::Suspected { suspicion } if self.alone || suspicion.end == Ending::Failover => {
                self.from = Some(suspicion.began);
            }
            Change::Began { operation, .. } if Some(&operation.id) == self.id.as_ref() => self.opened(operation),
            // One that was refused has no other record.
            Change::Ended { operation } if Some(&operation.id) == self.id.as_ref() && operation.phases.is_empty() => {
                self.opened(operation);
            }
            _ => {}
        }
        true
    }

    /// The operation that it turned out to be about.
    pub fn operation(&self) -> Option<&OperationId> {
        self.id.as_ref()
    }

    /// Whether anything of it was found.
    pub fn is_found(&self) -> bool {
        self.found
    }

    /// Whether the incident's last record is this one.
    fn begins_here(&mut self, record: &Record) -> bool {
        match (&self.id, about(&record.detail)) {
            (Some(id), Some(about)) => id == about,
            (None, Some(id)) if is_of_a_switch(&record.detail) => {
                self.id = Some(id.clone());
                true
            }
            (Some(_), None) | (None, Some(_)) => false,
            (None, None) => {
                self.alone = is_incident(record);
                self.alone
            }
        }
    }

    fn opened(&mut self, operation: &Operation) {
        // What was found before it is in the record of a suspicion that was written with it.
        self.from = self.from.or(Some(operation.started));
    }

    fn belongs(&self, record: &Record) -> bool {
        match about(&record.detail) {
            Some(id) => self.id.as_ref() == Some(id) && !matches!(record.detail, Change::Keyed { .. }),
            None => true,
        }
    }

    fn keep(&mut self, record: &Record) {
        if self.records.len() < MOST {
            self.records.push(record.clone());
        }
    }

    /// The incident. `running`: the operation as it stands, where it hasn't ended.
    pub fn timeline(mut self, svc: ServiceName, running: Option<Operation>) -> Timeline {
        let id = self.id.take();
        let other =
            |record: &Record| matches!(&record.detail, Change::Amended { id: of, .. } if Some(of) != id.as_ref());
        self.records.retain(|record| !other(record));
        let ended = self.records.iter().find_map(|record| match &record.detail {
            Change::Ended { operation } if Some(&operation.id) == id.as_ref() => Some((**operation).clone()),
            _ => None,
        });
        let mut operation = running.or(ended);
        for record in &self.records {
            if let (Change::Amended { lost, .. }, Some(operation)) = (&record.detail, &mut operation) {
                operation.lost = lost.clone();
                break;
            }
        }
        let mut entries: Vec<Entry> = self.records.iter().rev().flat_map(super::narrative::entries).collect();
        if let Some(operation) = &operation {
            entries.extend(super::narrative::phases(operation));
        }
        entries.sort_by_key(|entry| entry.time);
        let began = entries.first().map(|entry| entry.time);
        for entry in &mut entries {
            let passed = began.map_or(jiff::SignedDuration::ZERO, |began| entry.time.duration_since(began));
            entry.offset_ms = (passed.as_secs_f64() * 1e6).round() / 1e3;
        }
        Timeline { svc, operation, began, entries }
    }
}

/// The sort of entry that a record of this kind is.
pub(super) fn kind_of(kind: RecordKind) -> EntryKind {
    match kind {
        RecordKind::Decision => EntryKind::Decision,
        RecordKind::Refusal => EntryKind::Refusal,
        RecordKind::Operation => EntryKind::Operation,
        RecordKind::Override => EntryKind::Override,
        RecordKind::Configuration | RecordKind::Start | RecordKind::Stop => EntryKind::Note,
    }
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
