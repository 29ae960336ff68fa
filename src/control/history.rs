//! Questions about what was: records of the journal that fit, operations that ended long ago, timelines of incidents.
//!
//! Inputs: filters. Outputs: records, operations, timelines. It reads what is durable, a bounded part at a time, and decides nothing.

use super::Handle;
use crate::model::{
    name::{OperationId, ServiceName},
    narrative,
    operation::{Operation, Outcome},
    record::{Change, Record, RecordKind},
    timeline::{Gathering, Timeline, about},
};
use jiff::{SignedDuration, Timestamp};

/// How many records one page of a scan reads.
const PAGE: usize = 1000;
/// The most records that [`Handle::journal`] returns.
pub const JOURNAL_LIMIT: usize = 10_000;
/// The most records that one question looks at; where it stopped is said.
const LOOKS: usize = 50_000;
/// Times in a journal go back when the machine's clock is set back, by no more than this as a rule.
const CLOCK: SignedDuration = SignedDuration::from_hours(24);

/// Which journal records are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalFilter {
    /// Of this service, or of the services of this group.
    pub svc: Option<ServiceName>,
    /// Of this kind only.
    pub kind: Option<RecordKind>,
    /// With a greater number than this.
    pub after: u64,
    /// With a smaller number than this.
    pub before: Option<u64>,
    /// By this person, or `pointsman`.
    pub actor: Option<String>,
    /// Not written before.
    pub since: Option<Timestamp>,
    /// Not written later.
    pub until: Option<Timestamp>,
    /// About this operation, or about an operation that is a part of it.
    pub operation: Option<OperationId>,
    /// With this text in its words, in its reason, or as its actor; letters large or small.
    pub text: Option<String>,
    /// At most so many; 0 and everything above [`JOURNAL_LIMIT`] mean [`JOURNAL_LIMIT`].
    pub limit: usize,
    /// The newest first, instead of the oldest.
    pub newest: bool,
}

/// A part of the journal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JournalPage {
    /// Records that fit, in the order that was asked for.
    pub records: Vec<Record>,
    /// The number of the last record that was looked at, where more may follow: ask again with `after`, or with `before` where the newest
    /// come first.
    pub next: Option<u64>,
}

/// What came of asking for a timeline.
#[derive(Clone, Debug, PartialEq)]
pub enum TimelineReply {
    /// The incident; one without entries where there was none.
    Told(Box<Timeline>),
    /// No service of that name.
    UnknownService,
    /// The service had no operation of that name, or its records were removed.
    UnknownOperation,
    /// The journal can't be read, in its own words.
    Failed(String),
}

impl Handle {
    /// The last state that the journal holds of an operation that is not in memory any more.
    pub(super) async fn operation_in_journal(&self, id: &OperationId) -> Option<Operation> {
        let mut before = u64::MAX;
        loop {
            let page = self.shared.coordinator.newest(before, PAGE).await.ok()?;
            before = page.last()?.seq;
            let found = page.into_iter().find_map(|record| match record.detail {
                Change::Ended { operation } | Change::Began { operation, .. } if operation.id == *id => {
                    Some(*operation)
                }
                _ => None,
            });
            if found.is_some() {
                return found;
            }
        }
    }

    /// Journal records that match, at most as many as are asked for. An error is the journal's own words.
    pub async fn journal(&self, filter: &JournalFilter) -> Result<Vec<Record>, String> {
        let (mut filter, mut found) = (filter.clone(), Vec::new());
        filter.limit = limit(&filter);
        loop {
            let page = self.journal_page(&filter).await?;
            filter.limit -= page.records.len();
            found.extend(page.records);
            match page.next.filter(|_| filter.limit > 0) {
                Some(next) if filter.newest => filter.before = Some(next),
                Some(next) => filter.after = next,
                None => return Ok(found),
            }
        }
    }

    /// The same, and no more than a bounded part of the journal is looked at.
    pub async fn journal_page(&self, filter: &JournalFilter) -> Result<JournalPage, String> {
        let limit = limit(filter);
        let services = filter.svc.as_ref().map(|svc| self.services_of(svc));
        let text = filter.text.as_ref().map(|text| text.to_lowercase());
        let (mut after, mut before) = (filter.after, filter.before.unwrap_or(u64::MAX));
        let (mut records, mut looked) = (Vec::new(), 0);
        loop {
            let coordinator = &self.shared.coordinator;
            let asked = if filter.newest { coordinator.newest(before, PAGE) } else { coordinator.records(after, PAGE) };
            let page = asked.await.map_err(|error| error.detail)?;
            let whole = page.len() == PAGE;
            looked += page.len();
            for record in page {
                let seq = record.seq;
                let past = if filter.newest { seq <= filter.after } else { seq >= before };
                if past || is_past(filter, &record) {
                    return Ok(JournalPage { records, next: None });
                }
                if filter.newest {
                    before = seq;
                } else {
                    after = seq;
                }
                if fits(filter, services.as_deref(), text.as_deref(), &record) {
                    records.push(record);
                    if records.len() >= limit {
                        return Ok(JournalPage { records, next: Some(seq) });
                    }
                }
            }
            if !whole {
                return Ok(JournalPage { records, next: None });
            }
            if looked >= LOOKS {
                let next = Some(if filter.newest { before } else { after });
                return Ok(JournalPage { records, next });
            }
        }
    }

    /// What happened in an operation of a service, or else in its last incident.
    pub async fn timeline(&self, svc: &ServiceName, operation: Option<OperationId>) -> TimelineReply {
        let Some(desk) = self.desk(svc) else { return TimelineReply::UnknownService };
        let numbered = self.shared.coordinator.state().services.get(svc).map_or(0, |state| state.numbered);
        let known = |id: &OperationId| {
            let number = id.as_str().strip_prefix(svc.as_str()).and_then(|rest| rest.strip_prefix('-'));
            number.and_then(|number| number.parse::<u64>().ok()).is_some_and(|number| number <= numbered)
        };
        if operation.as_ref().is_some_and(|id| !known(id)) {
            return TimelineReply::UnknownOperation;
        }
        let asked = operation.is_some();
        let mut gathering = Gathering::new(operation);
        let mut before = u64::MAX;
        loop {
            let page = match self.shared.coordinator.newest(before, PAGE).await {
                Ok(page) => page,
                Err(error) => return TimelineReply::Failed(error.detail),
            };
            let Some(last) = page.last() else { break };
            before = last.seq;
            let mut own = page.iter().filter(|record| record.svc.as_ref() == Some(svc));
            if !own.all(|record| gathering.take(record)) {
                break;
            }
        }
        if asked && !gathering.is_found() {
            return TimelineReply::UnknownOperation;
        }
        let running = gathering.operation().and_then(|id| desk.operation(id));
        let running = running.filter(|operation| matches!(operation.outcome, Outcome::Running | Outcome::Waiting));
        TimelineReply::Told(Box::new(gathering.timeline(svc.clone(), running)))
    }

    /// The service of this name, or the services of the group of this name.
    fn services_of(&self, name: &ServiceName) -> Vec<ServiceName> {
        if self.desk(name).is_some() {
            return vec![name.clone()];
        }
        let in_group = |view: &crate::model::view::ServiceView| view.groups.iter().any(|group| group == name.as_str());
        let members: Vec<_> = self.services().into_iter().filter(in_group).map(|view| view.name).collect();
        if members.is_empty() { vec![name.clone()] } else { members }
    }
}

fn limit(filter: &JournalFilter) -> usize {
    if filter.limit == 0 { JOURNAL_LIMIT } else { filter.limit.min(JOURNAL_LIMIT) }
}

/// Whether nothing that fits can follow.
fn is_past(filter: &JournalFilter, record: &Record) -> bool {
    if filter.newest {
        filter.since.is_some_and(|since| record.time.duration_since(since) < -CLOCK)
    } else {
        filter.until.is_some_and(|until| record.time.duration_since(until) > CLOCK)
    }
}

fn fits(filter: &JournalFilter, services: Option<&[ServiceName]>, text: Option<&str>, record: &Record) -> bool {
    let of_service = |services: &[ServiceName]| record.svc.as_ref().is_some_and(|svc| services.contains(svc));
    let part_of = |id: &OperationId| match &record.detail {
        Change::Began { operation, .. } | Change::Ended { operation } => operation.group.as_ref() == Some(id),
        _ => false,
    };
    let of_group = |name: &ServiceName| match &record.detail {
        Change::Group { operation, .. } => operation.group == name.as_str(),
        // What was said about a group's operation: its id is the group's name and a number.
        Change::Refused { id: Some(id), .. } => {
            id.as_str().rsplit_once('-').is_some_and(|(group, _)| name.as_str() == group)
        }
        _ => false,
    };
    (services.is_none_or(of_service) || filter.svc.as_ref().is_some_and(of_group))
        && filter.kind.is_none_or(|kind| record.kind == kind)
        && filter.actor.as_ref().is_none_or(|actor| record.actor == *actor)
        && filter.since.is_none_or(|since| record.time >= since)
        && filter.until.is_none_or(|until| record.time <= until)
        && filter.operation.as_ref().is_none_or(|id| about(&record.detail) == Some(id) || part_of(id))
        && text.is_none_or(|text| {
            let words = [&narrative::words(&record.detail), &record.reason, &record.actor];
            words.iter().any(|words| words.to_lowercase().contains(text))
        })
}
