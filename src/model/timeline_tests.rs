//! Timelines of made-up journals: what belongs to an incident and what doesn't.

use super::*;
use crate::model::{
    guard::{Guard, Refusal},
    operation::{Loss, Outcome, Phase, Step},
    route::Epoch,
    suspicion::{Evidence, Source, Suspicion},
};

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_000_000_000_000 + ms).expect("a time")
}

fn record(ms: i64, kind: RecordKind, detail: Change) -> Record {
    Record {
        seq: 0,
        time: at(ms),
        svc: Some("cart".into()),
        kind,
        actor: "pointsman".into(),
        reason: String::new(),
        epoch: None,
        detail,
    }
}

fn operation(id: &str, started: i64, outcome: Outcome, phases: Vec<Phase>) -> Operation {
    Operation {
        from: Some("main".into()),
        to: Some("spare".into()),
        epoch_before: Epoch(1),
        epoch_after: Some(Epoch(3)),
        started: at(started),
        actor: "pointsman".into(),
        outcome,
        phases,
        ..Operation::begun(id, "cart", "failover")
    }
}

fn suspicion(began: i64, end: Ending) -> Change {
    let found =
        |ms, source, who: &str, words: &str| Evidence { time: at(ms), source, who: who.into(), words: words.into() };
    Change::Suspected {
        suspicion: Box::new(Suspicion {
            node: "a:1".into(),
            began: at(began),
            end,
            words: "why".into(),
            evidence: vec![
                found(began, Source::Probe, "a:1", "refuses connections"),
                found(began + 40, Source::Witness, "b:1", "lost its link to it"),
            ],
            left_out: 0,
            brief: 0,
        }),
    }
}

fn noted(ms: i64, text: &str) -> Record {
    record(ms, RecordKind::Decision, Change::Noted { text: text.into() })
}

/// An old switch, a failover with its suspicion, something unrelated between, a suspicion that ended in nothing.
fn journal() -> Vec<Record> {
    let phases = vec![Phase { name: Step::Close, ms: 2.0 }, Phase { name: Step::Promote, ms: 10.0 }];
    let running = Box::new(operation("cart-2", 600, Outcome::Running, vec![]));
    let done = Box::new(operation("cart-2", 600, Outcome::Done, phases));
    let old = Box::new(operation("cart-1", -90_000, Outcome::Done, vec![Phase { name: Step::Close, ms: 1.0 }]));
    let began = |operation| Change::Began { operation, from: None, to: None };
    vec![
        record(-89_000, RecordKind::Operation, Change::Ended { operation: old }),
        noted(-5000, "long before"),
        noted(300, "parked"),
        record(601, RecordKind::Operation, began(running)),
        record(601, RecordKind::Decision, suspicion(0, Ending::Failover)),
        record(620, RecordKind::Operation, Change::Ended { operation: done }),
        noted(2000, "between"),
        record(9000, RecordKind::Refusal, suspicion(8000, Ending::Cleared)),
        record(
            9500,
            RecordKind::Operation,
            Change::Amended { id: "cart-2".into(), lost: Loss { count: 7, ..Loss::default() } },
        ),
    ]
}

fn timeline(id: Option<&str>) -> Timeline {
    let mut gathering = Gathering::new(id.map(OperationId::from));
    let _ = journal().iter().rev().all(|record| gathering.take(record));
    assert!(gathering.is_found());
    gathering.timeline("cart".into(), None)
}

fn told(timeline: &Timeline) -> Vec<(f64, EntryKind)> {
    timeline.entries.iter().map(|entry| (entry.offset_ms, entry.kind)).collect()
}

#[test]
fn a_failover_begins_with_the_first_evidence_and_ends_with_its_loss() {
    use EntryKind::{Decision, Evidence, Operation, Phase};
    let timeline = timeline(Some("cart-2"));
    assert_eq!(
        told(&timeline),
        [
            (0.0, Evidence),
            (40.0, Evidence),
            (300.0, Decision),
            (600.0, Phase),
            (601.0, Operation),
            (601.0, Decision),
            (602.0, Phase),
            (620.0, Operation),
            (9500.0, Operation),
        ],
        "{timeline:#?}"
    );
    assert_eq!(timeline.operation.expect("there").lost.count, 7);
    assert_eq!(timeline.entries[1].words, "witness: b:1 lost its link to it");
}

#[test]
fn the_last_incident_may_be_a_suspicion_that_ended_in_nothing() {
    use EntryKind::{Evidence, Refusal};
    let timeline = timeline(None);
    assert_eq!(told(&timeline), [(0.0, Evidence), (40.0, Evidence), (1000.0, Refusal)], "{timeline:#?}");
    assert!(timeline.operation.is_none());
    assert_eq!(timeline.entries[2].words, "no failover from a:1: why");
}

#[test]
fn a_refused_order_is_an_incident_with_its_guards() {
    let mut refused = operation("cart-3", 9600, Outcome::Refused, vec![]);
    refused.guards = vec![Refusal::new(Guard::Lag, "12 s")];
    let mut records = journal();
    records.push(record(9601, RecordKind::Refusal, Change::Ended { operation: Box::new(refused) }));
    let mut gathering = Gathering::new(None);
    let _ = records.iter().rev().all(|record| gathering.take(record));
    let timeline = gathering.timeline("cart".into(), None);
    let own: Vec<_> = timeline.entries.iter().filter(|entry| entry.words.starts_with("cart-3")).collect();
    assert_eq!(own.len(), 1, "{timeline:#?}");
    assert_eq!((own[0].kind, timeline.entries.len()), (EntryKind::Refusal, 1));
    assert!(own[0].words.ends_with("refused\n      lag: 12 s"), "{}", own[0].words);
}

#[test]
fn what_is_no_switch_does_not_hide_the_incident_before_it() {
    let mut records = journal();
    let done = operation("cart-9", 90_000, Outcome::Done, vec![]);
    let drain = Operation { kind: "drain".into(), ..done };
    records.push(record(90_000, RecordKind::Operation, Change::Ended { operation: Box::new(drain) }));
    let keyed = Change::Keyed { key: "k".into(), request: String::new(), id: "cart-9".into() };
    records.push(record(90_000, RecordKind::Operation, keyed));
    let last = |records: &[Record]| {
        let mut gathering = Gathering::new(None);
        let _ = records.iter().rev().all(|record| gathering.take(record));
        gathering.timeline("cart".into(), None)
    };
    assert_eq!(last(&records), last(&journal()));
}
