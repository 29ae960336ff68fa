//! Plain JSON: every event with its journal record, the services as they stand, and the journal's head, which proves later that
//! nothing before it was changed.
//!
//! Input: events. Output: one message.

use super::{event::Event, words};
use crate::model::{name::ServiceName, record::Record, view::ServiceView};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// What every message says of who sends it, and what it may be filled with.
#[derive(Debug)]
pub(super) struct Sender<'a> {
    /// The webhook's name.
    pub(super) hook: &'a str,
    /// This machine.
    pub(super) instance: &'a str,
    /// Where the runbooks are.
    pub(super) runbooks: &'a str,
    /// `SEQ:HASH` of the journal's last record.
    pub(super) head: String,
    /// The services as they stand.
    pub(super) views: &'a [ServiceView],
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    version: u32,
    hook: &'a str,
    instance: &'a str,
    head: &'a str,
    events: Vec<Told<'a>>,
    services: BTreeMap<&'a ServiceName, &'a ServiceView>,
}

#[derive(Debug, Serialize)]
struct Told<'a> {
    event: &'a str,
    alert: &'a str,
    severity: &'a str,
    status: &'a str,
    svc: Option<&'a ServiceName>,
    starts: Timestamp,
    ends: Option<Timestamp>,
    summary: &'a str,
    description: &'a str,
    on_call: &'a str,
    runbook_url: String,
    record: Option<&'a Record>,
}

/// The body to send.
pub(super) fn body(events: &[Event], sender: &Sender<'_>) -> Vec<u8> {
    let view = |svc: &ServiceName| sender.views.iter().find(|view| view.name == *svc);
    let told = events.iter().map(|event| Told {
        event: event.notice.as_str(),
        alert: words::alert(event.notice),
        severity: words::severity(event.notice),
        status: if event.ends.is_some() { "resolved" } else { "firing" },
        svc: event.svc.as_ref(),
        starts: event.starts,
        ends: event.ends,
        summary: &event.summary,
        description: &event.description,
        on_call: event.svc.as_ref().and_then(view).map_or("", |view| &view.on_call),
        runbook_url: words::runbook(sender.runbooks, event.notice),
        record: event.record.as_deref(),
    });
    let named = events.iter().filter_map(|event| event.svc.as_ref());
    let message = Message {
        version: 1,
        hook: sender.hook,
        instance: sender.instance,
        head: &sender.head,
        events: told.collect(),
        services: named.filter_map(|svc| Some((svc, view(svc)?))).collect(),
    };
    // Plain types always serialize.
    serde_json::to_vec(&message).unwrap_or_default()
}
