//! What is planned, and in which form it goes out. Deliveries to a real server are in `tests/telling.rs`.

use super::{
    alertmanager,
    book::Book,
    event::Event,
    plain::{self, Sender},
    plan::{Now, Plan, plan},
    seen::{Seen, holds},
    words,
};
use crate::{
    config::Notice,
    model::{
        group::{GroupKind, GroupMember, GroupOperation},
        guard::{Guard, Refusal},
        name::Kind,
        operation::{Loss, Operation, Outcome},
        record::{Change, Record, RecordKind},
        route::Epoch,
        view::{Readiness, ServiceView, Standing},
    },
};
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde_json::Value;
use std::time::Duration;

fn at(second: i64) -> Timestamp {
    "2026-11-22T01:02:00Z".parse::<Timestamp>().expect("a time") + second.seconds()
}

fn operation(kind: &str, outcome: Outcome, moved: bool) -> Operation {
    Operation {
        from: Some("main".into()),
        to: Some("spare".into()),
        epoch_before: Epoch(7),
        epoch_after: moved.then_some(Epoch(8)),
        started: at(0),
        actor: "pointsman".into(),
        reason: "the primary is gone".into(),
        outcome,
        client_stall_ms: Some(812.5),
        lost: Loss { known: false, count: 126, unit: "bytes".into(), detail: String::new() },
        ..Operation::begun("cart-17", "cart", kind)
    }
}

fn record(seq: u64, second: i64, kind: RecordKind, detail: Change) -> Record {
    let (svc, actor) = (Some("cart".into()), "ann".to_owned());
    Record { seq, time: at(second), svc, kind, actor, reason: "sale".into(), epoch: None, detail }
}

fn ended(seq: u64, second: i64, operation: Operation) -> Record {
    record(seq, second, RecordKind::Operation, Change::Ended { operation: Box::new(operation) })
}

/// A service that is as it should be, or isn't.
fn cart(ready: bool) -> ServiceView {
    let reasons =
        if ready { vec![] } else { vec![Refusal::new(Guard::Reachable, "10.0.1.5:6379 refuses connections")] };
    let readiness = Readiness { ready, to: None, reasons };
    ServiceView {
        state: Standing::Steady,
        switchover_ready: readiness.clone(),
        failover_ready: readiness,
        on_call: "cache team".into(),
        ..ServiceView::unknown("cart".into(), Kind::Redis)
    }
}

fn now(views: &[ServiceView], second: i64) -> Now<'_> {
    Now { time: at(second), views, wanted: Notice::ALL, not_ready_after: Duration::from_mins(1) }
}

/// What is told, as `event` or `-event` where it is over, records left out.
fn told(plan: &Plan) -> Vec<String> {
    let events = plan.events.iter().filter(|event| event.notice != Notice::Record);
    let name = |event: &Event| format!("{}{}", if event.ends.is_some() { "-" } else { "" }, event.notice.as_str());
    events.map(name).collect()
}

#[test]
fn a_failover_is_told_once_and_is_over_when_the_service_is_ready_again() {
    let (seen, book) = (Seen::default(), Book { after: 4, told: vec![] });
    let page = vec![ended(5, 1, operation("failover", Outcome::Done, true))];
    let (broken, well) = ([cart(false)], [cart(true)]);
    let first = plan(&book, page.clone(), &seen, now(&broken, 2));
    assert_eq!((told(&first), first.book.after), (vec!["failover".to_owned()], 5));
    assert!(first.events.iter().any(|event| event.notice == Notice::Record), "as a record too");
    assert_eq!(plan(&book, page, &seen, now(&broken, 3)).book, first.book, "a delivery that failed is planned anew");
    let quiet = plan(&first.book, vec![], &seen, now(&broken, 60));
    assert_eq!((told(&quiet), &quiet.book), (vec![], &first.book));
    let over = plan(&first.book, vec![], &seen, now(&well, 99));
    assert_eq!((told(&over), over.book.told.len()), (vec!["-failover".to_owned()], 0));
    assert_eq!((over.events[0].starts, over.events[0].ends), (at(1), Some(at(99))));
    let stuck = Readiness { ready: false, to: None, reasons: vec![Refusal::new(Guard::Sessions, "one")] };
    let busy = [ServiceView { switchover_ready: stuck, ..cart(true) }];
    assert_eq!(
        told(&plan(&first.book, vec![], &seen, now(&busy, 9))),
        ["-failover"],
        "what an application does is not it"
    );
    let gone = plan(&first.book, vec![], &seen, now(&[], 60));
    assert_eq!(told(&gone), ["-failover"], "the service was taken out of the configuration");
}

#[test]
fn each_end_of_a_switch_has_its_name() {
    for (kind, outcome, moved, expected) in [
        ("switchover", Outcome::Done, true, vec!["switchover"]),
        ("switchover", Outcome::Done, false, vec![]),
        ("switchover", Outcome::RolledBack, false, vec!["failed"]),
        ("switchover", Outcome::Refused, false, vec!["refused"]),
        ("failover", Outcome::Partial, true, vec!["failed", "failover"]),
        ("failover", Outcome::Unknown, false, vec!["failed"]),
        ("failover", Outcome::Waiting, false, vec![]),
        ("mode", Outcome::Done, false, vec![]),
    ] {
        let views = [cart(false)];
        let page = vec![ended(1, 0, operation(kind, outcome, moved))];
        let plan = plan(&Book::default(), page, &Seen::default(), now(&views, 0));
        assert_eq!(told(&plan), expected, "{kind} {outcome:?}");
    }
}

#[test]
fn a_failed_switch_is_over_with_the_next_one_that_is_done_or_after_an_hour() {
    let views = [cart(true)];
    let failed = ended(1, 0, operation("switchover", Outcome::RolledBack, false));
    let first = plan(&Book::default(), vec![failed], &Seen::default(), now(&views, 0));
    let done = ended(2, 60, operation("switchover", Outcome::Done, true));
    let next = plan(&first.book, vec![done], &Seen::default(), now(&views, 61));
    assert_eq!(told(&next), ["switchover", "-failed"]);
    let hour = plan(&first.book, vec![], &Seen::default(), now(&views, 3601));
    assert_eq!(told(&hour), ["-failed"]);
}

#[test]
fn overrides_refusals_and_starts_are_told() {
    let noted = |text: &str| Change::Noted { text: text.to_owned() };
    let refused =
        Change::Refused { intent: "failover".into(), guards: vec![Refusal::new(Guard::Lag, "9 s")], id: None };
    let overridden = Change::Overridden { id: "cart-18".into(), guard: Refusal::new(Guard::Lag, "9 s") };
    let page = vec![
        record(1, 0, RecordKind::Override, overridden),
        record(2, 0, RecordKind::Refusal, refused),
        record(3, 0, RecordKind::Start, noted("pointsman 1 started")),
        record(4, 0, RecordKind::Decision, noted("nothing to tell")),
    ];
    let views = [cart(true)];
    let plan = plan(&Book::default(), page, &Seen::default(), now(&views, 0));
    assert_eq!(told(&plan), ["override", "refused", "start"]);
    let overridden = &plan.events[1];
    assert_eq!(overridden.summary, "cart: ann passed the guard lag: sale");
    assert_eq!(overridden.description, "Operation cart-18. The guard had found: lag: 9 s");
}

#[test]
fn what_is_not_wanted_is_not_told_and_passed_by() {
    let views = [cart(false)];
    let page = vec![ended(1, 0, operation("switchover", Outcome::Done, true))];
    let wanted = Now { wanted: &[Notice::Failover], ..now(&views, 0) };
    let plan = plan(&Book::default(), page, &Seen::default(), wanted);
    assert_eq!((plan.events.len(), plan.book.after), (0, 1));
}

/// Looks at the services as they are at that second.
fn look(seen: &mut Seen, views: &[ServiceView], second: i64) {
    seen.look(holds(views, &[], &[], None), at(second));
}

#[test]
fn a_condition_is_told_when_it_lasts_and_when_it_is_over() {
    let (mut seen, book) = (Seen::default(), Book::default());
    let (broken, well) = ([cart(false)], [cart(true)]);
    look(&mut seen, &broken, 0);
    assert_eq!(told(&plan(&book, vec![], &seen, now(&broken, 59))), Vec::<String>::new(), "a switch takes as long");
    let first = plan(&book, vec![], &seen, now(&broken, 60));
    assert_eq!(told(&first), ["not_ready"]);
    assert_eq!(first.events[0].description, "reachable: 10.0.1.5:6379 refuses connections");
    look(&mut seen, &well, 70);
    let over = plan(&first.book, vec![], &seen, now(&well, 75));
    assert_eq!((told(&over), over.events[0].ends), (vec!["-not_ready".to_owned()], Some(at(70))));
    // Nobody could be told while it lasted: both are told at once.
    let late = plan(&book, vec![], &seen, now(&well, 75));
    assert_eq!(told(&late), ["not_ready", "-not_ready"]);
}

#[test]
fn a_service_that_is_blocked_for_a_moment_is_no_news() {
    let blocked = [ServiceView { state: Standing::Blocked, note: "nobody is fit".into(), ..cart(true) }];
    let mut seen = Seen::default();
    look(&mut seen, &blocked, 0);
    assert_eq!(told(&plan(&Book::default(), vec![], &seen, now(&blocked, 4))), Vec::<String>::new());
    let plan = plan(&Book::default(), vec![], &seen, now(&blocked, 5));
    assert_eq!((told(&plan), plan.events[0].description.as_str()), (vec!["blocked".to_owned()], "nobody is fit"));
}

#[test]
fn what_nobody_had_to_hear_of_is_forgotten() {
    let mut seen = Seen::default();
    look(&mut seen, &[cart(false)], 0);
    look(&mut seen, &[cart(true)], 3);
    seen.forget(|_, condition| condition.lasted(at(3)) < SignedDuration::from_mins(1));
    assert_eq!(seen.iter().count(), 0);
}

#[test]
fn after_a_restart_a_condition_is_over_when_the_service_is_known_again() {
    let views = [cart(false)];
    let mut seen = Seen::default();
    look(&mut seen, &views, 0);
    let book = plan(&Book::default(), vec![], &seen, now(&views, 60)).book;
    let starting = [ServiceView { state: Standing::Starting, ..cart(true) }];
    assert_eq!(told(&plan(&book, vec![], &Seen::default(), now(&starting, 61))), Vec::<String>::new());
    assert_eq!(told(&plan(&book, vec![], &Seen::default(), now(&[cart(true)], 62))), ["-not_ready"]);
}

#[test]
fn conditions_are_found_and_a_pause_is_none() {
    let names = |view: ServiceView, external: bool| {
        let mut seen = Seen::default();
        let external = if external { vec![view.name.clone()] } else { vec![] };
        seen.look(holds(&[view], &external, &[], None), at(0));
        seen.iter().map(|((notice, _), _)| notice.as_str()).collect::<Vec<_>>()
    };
    let reasons = |guard| Readiness { ready: false, to: None, reasons: vec![Refusal::new(guard, "x")] };
    let waiting = operation("switchover", Outcome::Waiting, false);
    assert_eq!(names(cart(true), false), Vec::<&str>::new());
    assert_eq!(names(ServiceView { state: Standing::Blocked, ..cart(true) }, false), ["blocked"]);
    assert_eq!(names(ServiceView { operation: Some(waiting), ..cart(true) }, false), ["approval"]);
    assert_eq!(names(ServiceView { failover_ready: reasons(Guard::Paused), ..cart(true) }, false), Vec::<&str>::new());
    assert_eq!(
        names(ServiceView { failover_ready: reasons(Guard::Journal), ..cart(true) }, false),
        ["not_ready", "journal"]
    );
    assert_eq!(names(cart(false), true), Vec::<&str>::new(), "others move its roles");
    assert_eq!(holds(&[], &[], &[], Some("x.toml:1:1: error: …")).len(), 1);
}

#[test]
fn a_group_that_waits_and_one_that_is_partly_done_are_told() {
    let member = |svc: &str, outcome| GroupMember {
        svc: svc.into(),
        operation: None,
        outcome,
        from: None,
        to: None,
        epoch: Epoch(7),
        detail: String::new(),
    };
    let group = |outcome, cart| GroupOperation {
        actor: "ann".into(),
        reason: "the sale".into(),
        started: at(0),
        outcome,
        members: vec![member("orders", cart), member("cart", None)],
        ..GroupOperation::begun("checkout-3", "checkout", GroupKind::Switchover)
    };
    let views = [cart(true)];
    let mut seen = Seen::default();
    seen.look(holds(&views, &[], &[group(Outcome::Waiting, None)], None), at(0));
    let first = plan(&Book::default(), vec![], &seen, now(&views, 1));
    assert_eq!(first.events[0].summary, "checkout: a switchover that ann asked for waits for a second person");
    assert_eq!(told(&plan(&first.book, vec![], &seen, now(&views, 2))), Vec::<String>::new(), "it still waits");
    let partial = Box::new(group(Outcome::Partial, Some(Outcome::Done)));
    let record =
        Record { svc: None, ..record(1, 3, RecordKind::Operation, Change::Group { operation: partial, key: None }) };
    seen.look(holds(&views, &[], &[], None), at(3));
    let next = plan(&first.book, vec![record], &seen, now(&views, 3));
    assert_eq!(told(&next), ["failed", "-approval"]);
    assert!(next.events[1].description.ends_with("Members: orders: done, cart: not yet."), "{:?}", next.events[1]);
    seen.settle();
    let hour = plan(&next.book, vec![], &seen, now(&views, 3700));
    assert_eq!(told(&hour), ["-failed"]);
}

fn sender(views: &[ServiceView]) -> Sender<'_> {
    Sender { hook: "pager", instance: "host", runbooks: "docs/runbooks.md", head: "5:abc".into(), views }
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("JSON")
}

#[test]
fn alertmanagers_form_has_one_alert_of_each_sort_with_a_fingerprint_that_stays() {
    let (broken, well) = ([cart(false)], [cart(true)]);
    let page = vec![ended(5, 1, operation("failover", Outcome::Done, true))];
    let first = plan(&Book::default(), page.clone(), &Seen::default(), now(&broken, 2));
    let bodies = alertmanager::bodies(&first.events, &sender(&broken));
    assert_eq!(bodies.len(), 1);
    let message = json(&bodies[0]);
    assert_eq!(message["version"], "4");
    assert_eq!(message["groupKey"], "{}:{svc=\"cart\"}");
    assert_eq!((&message["status"], &message["receiver"]), (&"firing".into(), &"pager".into()));
    let alert = &message["alerts"][0];
    assert_eq!(alert["labels"]["alertname"], "PointsmanFailover");
    assert_eq!(alert["labels"]["svc"], "cart");
    assert_eq!(alert["annotations"]["on_call"], "cache team");
    assert_eq!(alert["annotations"]["runbook_url"], "docs/runbooks.md#pointsmanfailover");
    assert_eq!(alert["annotations"]["journal_head"], "5:abc");
    assert!(alert["annotations"]["description"].as_str().is_some_and(|words| words.contains("at most 126 bytes")));
    assert_eq!(
        (&alert["startsAt"], &alert["endsAt"]),
        (&"2026-11-22T01:02:01Z".into(), &"0001-01-01T00:00:00Z".into())
    );
    assert_eq!(message["commonLabels"], alert["labels"]);

    let over = plan(&first.book, vec![], &Seen::default(), now(&well, 9));
    let resolved = json(&alertmanager::bodies(&over.events, &sender(&well))[0]);
    assert_eq!((&resolved["status"], &resolved["alerts"][0]["status"]), (&"resolved".into(), &"resolved".into()));
    assert_eq!(resolved["alerts"][0]["fingerprint"], alert["fingerprint"]);
    assert_eq!(resolved["alerts"][0]["endsAt"], "2026-11-22T01:02:09Z");

    // Both in one message: the later one alone.
    let both = plan(&Book::default(), page, &Seen::default(), now(&well, 9));
    assert_eq!(told(&both), ["failover", "-failover"]);
    let message = json(&alertmanager::bodies(&both.events, &sender(&well))[0]);
    assert_eq!((message["alerts"].as_array().map(Vec::len), &message["status"]), (Some(1), &"resolved".into()));
}

#[test]
fn plain_json_has_the_record_the_service_and_the_head() {
    let views = [cart(false)];
    let page = vec![ended(5, 1, operation("failover", Outcome::Done, true))];
    let plan = plan(&Book::default(), page, &Seen::default(), now(&views, 2));
    let message = json(&plain::body(&plan.events, &sender(&views)));
    assert_eq!(
        (&message["version"], &message["head"], &message["hook"]),
        (&1.into(), &"5:abc".into(), &"pager".into())
    );
    assert_eq!(message["events"][0]["event"], "record");
    let failover = &message["events"][1];
    assert_eq!(
        (&failover["event"], &failover["status"], &failover["ends"]),
        (&"failover".into(), &"firing".into(), &Value::Null)
    );
    assert_eq!(failover["record"]["seq"], 5);
    assert_eq!(failover["record"]["detail"]["operation"]["outcome"], "done");
    assert_eq!(failover["on_call"], "cache team");
    assert_eq!(message["services"]["cart"]["state"], "steady");
}

#[test]
fn every_alert_has_a_runbook_where_its_link_leads() {
    let runbooks = include_str!("../../docs/runbooks.md");
    for notice in Notice::ALL.iter().copied().filter(|notice| *notice != Notice::Record) {
        let alert = words::alert(notice);
        assert!(runbooks.contains(&format!("\n## {alert}\n")), "{alert}");
        assert_eq!(words::runbook("x", notice), format!("x#{}", alert.to_lowercase()));
    }
}
