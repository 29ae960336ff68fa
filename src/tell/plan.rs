//! What one webhook has to tell now, and what it will have told then.
//!
//! Inputs: its book, the journal's next records, the conditions, the services, the time. Output: events and the next book. Pure: the
//! same inputs give the same events, so that a delivery that failed is simply planned anew.

use super::{
    book::{Book, Told},
    event::Event,
    seen::{Seen, is_condition},
    words::{self, Words},
};
use crate::{
    config::Notice,
    model::{
        guard::{Guard, Refusal},
        name::ServiceName,
        operation::{Operation, Outcome},
        record::{Change, Record, RecordKind},
        view::{ServiceView, Standing},
    },
};
use jiff::{SignedDuration, Timestamp};
use std::{sync::Arc, time::Duration};

/// How long what happened once is an alert, where nothing else ends it.
const LASTS: SignedDuration = SignedDuration::from_hours(1);

/// How long a service must be blocked before that is told: while a death is judged it may be for a moment.
const BLOCKED_FOR: Duration = Duration::from_secs(5);

/// The world at the moment of planning.
#[derive(Clone, Copy)]
pub(super) struct Now<'a> {
    pub(super) time: Timestamp,
    pub(super) views: &'a [ServiceView],
    /// What this webhook wants to hear of.
    pub(super) wanted: &'a [Notice],
    /// How long a service must be without a way to fail over before that is told.
    pub(super) not_ready_after: Duration,
}

impl Now<'_> {
    fn wants(&self, notice: Notice) -> bool {
        self.wanted.contains(&notice)
    }

    fn view(&self, svc: &ServiceName) -> Option<&ServiceView> {
        self.views.iter().find(|view| view.name == *svc)
    }

    /// Whether a condition has lasted long enough to be told.
    pub(super) fn long_enough(&self, notice: Notice, lasted: SignedDuration) -> bool {
        let least = match notice {
            Notice::NotReady => self.not_ready_after,
            Notice::Blocked => BLOCKED_FOR,
            _ => Duration::ZERO,
        };
        Duration::try_from(lasted).unwrap_or_default() >= least
    }
}

/// What to tell, in its order, and the book for when it is told.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) events: Vec<Event>,
    pub(super) book: Book,
}

/// Plans the next delivery. `page` are the records that follow the book's.
pub(super) fn plan(book: &Book, page: Vec<Record>, seen: &Seen, now: Now<'_>) -> Plan {
    let mut plan = Plan { events: Vec::new(), book: book.clone() };
    for record in page {
        plan.read(&Arc::new(record), now);
    }
    plan.look(seen, now);
    plan.end(seen, now);
    plan
}

impl Plan {
    fn read(&mut self, record: &Arc<Record>, now: Now<'_>) {
        self.book.after = record.seq;
        if now.wants(Notice::Record) {
            let (summary, description) = (String::new(), String::new());
            self.tell(Notice::Record, record, (summary, description));
        }
        for (notice, words) in of_record(record).into_iter().filter(|(notice, _)| now.wants(*notice)) {
            self.tell(notice, record, words);
        }
        if matches!(&record.detail, Change::Ended { operation } if moved(operation) && operation.outcome == Outcome::Done)
        {
            self.over(record.time, |told| told.notice == Notice::Failed && told.svc == record.svc);
        }
    }

    fn tell(&mut self, notice: Notice, record: &Arc<Record>, (summary, description): Words) {
        let (svc, starts) = (record.svc.clone(), record.time);
        let event = Event { notice, svc, starts, ends: None, summary, description, record: Some(record.clone()) };
        if notice != Notice::Record {
            self.book.keep(&event);
        }
        self.events.push(event);
    }

    /// Conditions that nobody has heard of.
    fn look(&mut self, seen: &Seen, now: Now<'_>) {
        for (key, condition) in seen.iter() {
            let due = now.wants(key.0) && now.long_enough(key.0, condition.lasted(now.time));
            if due && !self.book.has(key) {
                let event = condition.event(key);
                self.book.keep(&event);
                self.events.push(event);
            }
        }
    }

    /// What is over.
    fn end(&mut self, seen: &Seen, now: Now<'_>) {
        for told in self.book.told.clone() {
            if let Some(ends) = ends(&told, seen, now) {
                self.over(ends, |other| *other == told);
            }
        }
    }

    fn over(&mut self, ends: Timestamp, which: impl Fn(&Told) -> bool) {
        let told = std::mem::take(&mut self.book.told);
        let (over, lasts): (Vec<Told>, Vec<Told>) = told.into_iter().partition(which);
        self.book.told = lasts;
        self.events.extend(over.iter().map(|told| told.over(ends)));
    }
}

/// When an alert was over, if it is.
fn ends(told: &Told, seen: &Seen, now: Now<'_>) -> Option<Timestamp> {
    let view = told.svc.as_ref().and_then(|svc| now.view(svc));
    if is_condition(told.notice) {
        // After a restart nothing is known of a service at first.
        let known = view.is_none_or(|view| view.state != Standing::Starting);
        return match seen.get(&(told.notice, told.svc.clone())) {
            Some(condition) => condition.ended,
            None => known.then_some(now.time),
        };
    }
    if told.svc.is_some() && view.is_none() {
        // The service isn't configured any more.
        return Some(now.time);
    }
    let over = match told.notice {
        Notice::Failover => view.is_some_and(has_returned),
        _ => now.time.duration_since(told.starts) >= LASTS,
    };
    over.then_some(now.time)
}

/// Whether no fence is left and the old primary is a standby: then a planned switch would be let through, or is kept by what has
/// nothing to do with the nodes.
fn has_returned(view: &ServiceView) -> bool {
    let passing = [Guard::Sessions, Guard::Cooldown, Guard::Paused, Guard::Approval];
    let readiness = &view.switchover_ready;
    let passing = |reason: &Refusal| passing.contains(&reason.name);
    readiness.ready || (!readiness.reasons.is_empty() && readiness.reasons.iter().all(passing))
}

/// Whether the route moved.
fn moved(operation: &Operation) -> bool {
    operation.epoch_after.is_some_and(|after| after > operation.epoch_before) && operation.from != operation.to
}

/// What a record is news of.
fn of_record(record: &Record) -> Vec<(Notice, Words)> {
    let mut news = Vec::new();
    let svc = record.svc.as_ref().map_or("Pointsman", ServiceName::as_str);
    match &record.detail {
        Change::Ended { operation } if matches!(operation.kind.as_str(), "switchover" | "failover") => {
            match operation.outcome {
                Outcome::Refused => news.push((Notice::Refused, words::ended(operation))),
                Outcome::RolledBack | Outcome::Partial | Outcome::Unknown => {
                    news.push((Notice::Failed, words::ended(operation)));
                }
                Outcome::Done | Outcome::Running | Outcome::Waiting => {}
            }
            let ended = !matches!(operation.outcome, Outcome::Running | Outcome::Waiting);
            if ended && moved(operation) {
                let notice = if operation.kind == "failover" { Notice::Failover } else { Notice::Switchover };
                news.push((notice, words::ended(operation)));
            }
        }
        Change::Refused { intent, guards, .. } => {
            news.push((Notice::Refused, (format!("{svc}: not done: {intent}"), words::listed(guards))));
        }
        Change::Group { operation, .. }
            if matches!(operation.outcome, Outcome::RolledBack | Outcome::Partial | Outcome::Unknown) =>
        {
            news.push((Notice::Failed, words::group_ended(operation)));
        }
        Change::Overridden { id, guard } => {
            let why = if record.reason.is_empty() { "no reason given" } else { &record.reason };
            let summary = format!("{svc}: {} passed the guard {}: {why}", record.actor, guard.name.as_str());
            let found = words::listed(std::slice::from_ref(guard));
            news.push((Notice::Override, (summary, format!("Operation {id}. The guard had found: {found}"))));
        }
        _ => {}
    }
    if record.kind == RecordKind::Start
        && let Change::Noted { text } = &record.detail
    {
        news.push((Notice::Start, (text.clone(), String::new())));
    }
    news
}
