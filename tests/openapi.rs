//! `/openapi.json` against the API that runs: every route is described and the reverse, and every answer, errors too, is as described.
//!
//! A new route needs its line in `src/admin/openapi.rs` and its requests in `openapi/requests.rs`; a forgotten one fails here by name.

mod common;
#[path = "openapi/document.rs"]
mod document;
#[path = "openapi/requests.rs"]
mod requests;
#[path = "openapi/source.rs"]
mod source;

use document::Document;
use requests::{Rig, Said, UNREACHED};
use serde_json::Value;
use std::collections::BTreeSet;

fn described(rig: &Rig) -> Document {
    let answer = rig.get("/openapi.json");
    assert_eq!(answer.status, 200, "{}", answer.body);
    Document::new(serde_json::from_str(&answer.body).expect("JSON"))
}

/// What is no data: the page and what belongs to it.
fn is_page(path: &str) -> bool {
    !path.starts_with("/v1/") && path.strip_suffix(".json").is_none()
}

#[test]
fn every_route_is_described_and_every_description_is_a_route() {
    require_server!("redis7");
    let rig = Rig::start();
    let (routes, told) = (source::routes(), described(&rig).operations());
    assert!(routes.len() >= 9, "{routes:?}");
    let untold = routes.iter().filter(|(_, path)| !is_page(path));
    let untold =
        untold.filter(|(method, route)| !told.iter().any(|(m, path)| m == method && source::serves(route, path)));
    let untold: Vec<_> = untold.collect();
    assert!(untold.is_empty(), "routes that no description has: {untold:?}");
    let unserved = told
        .iter()
        .filter(|(method, path)| !routes.iter().any(|(m, route)| m == method && source::serves(route, path)));
    let unserved: Vec<_> = unserved.collect();
    assert!(unserved.is_empty(), "described, but no route: {unserved:?}");
    // One route serves all actions of a service; each that it takes must be described.
    let body = Value::Object(serde_json::Map::new());
    for action in requests::ACTIONS {
        let taken = rig.post(&format!("/v1/services/nobody/{action}"), &body);
        let path = format!("/v1/services/{{svc}}/{action}");
        let known = !taken.body.contains("has no action");
        assert_eq!(known, told.contains(&("POST".to_owned(), path)), "{action}: {}", taken.body);
    }
}

#[test]
fn every_answer_is_as_described() {
    require_server!("redis7");
    let rig = Rig::start();
    let document = described(&rig);
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for Said { method, path, asked, body, expected, answer } in rig.converse() {
        let shown = format!("{method} {asked} {}", body.as_ref().map(Value::to_string).unwrap_or_default());
        if answer.status != expected {
            wrong.push(format!("{shown}: {} instead of {expected}: {}", answer.status, answer.body));
        }
        if let Some(fault) = document.judge(method, path, answer.status, &answer.kind, &answer.body) {
            wrong.push(format!("{shown}: {}: {fault}", answer.status));
        }
        // What isn't understood is not described, and what is understood is.
        let untold = body.as_ref().and_then(|body| document.takes(method, path, body));
        if expected != 400 && untold.is_some() {
            wrong.push(format!("{shown}: its body is not described: {}", untold.unwrap_or_default()));
        }
        seen.insert((method.to_owned(), path.to_owned(), answer.status));
    }
    for (method, path) in document.operations() {
        for status in document.statuses(&method, &path) {
            let reached = seen.contains(&(method.clone(), path.clone(), status));
            let excused = UNREACHED.iter().any(|(p, s, _)| (*p == path || *p == "*") && *s == status);
            if !reached && !excused {
                wrong.push(format!("{method} {path}: {status} is described and no request here leads to it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn events_are_as_described() {
    require_server!("redis7");
    let rig = Rig::start();
    let document = described(&rig);
    let mut stream = rig.events();
    rig.pointsman.cli_expect(&["switchover", "cart", "--reason", "to see events"], 0);
    let mut seen = BTreeSet::new();
    while !["service", "operation", "journal"].iter().all(|name| seen.contains(*name)) {
        let (name, data) = stream.next_event();
        let component = match name.as_str() {
            "service" => "ServiceView",
            "operation" => "Operation",
            "journal" => "Record",
            "group" => "GroupView",
            other => panic!("an event that nothing describes: {other}"),
        };
        assert_eq!(document.component(component, &data), None, "{name}");
        seen.insert(name);
    }
}

#[test]
fn what_is_no_path_or_no_method_is_a_problem_too() {
    require_server!("redis7");
    let rig = Rig::start();
    let document = described(&rig);
    for (answer, status) in [
        (rig.get("/v2"), 404),
        (rig.post("/v1/services", &serde_json::json!({})), 405),
        (
            rig.post("/v1/services/cart/pause", &serde_json::json!({ "for": "1m", "reason": "x".repeat(65 * 1024) })),
            413,
        ),
    ] {
        assert_eq!((answer.status, answer.kind.as_str()), (status, "application/problem+json"), "{}", answer.body);
        assert_eq!(document.component("Problem", &answer.body), None);
    }
}

/// The test can fail: what it should find, it finds.
#[test]
fn an_answer_that_is_not_as_described_is_found() {
    require_server!("redis7");
    let rig = Rig::start();
    let document = described(&rig);
    let good = rig.get("/v1/services/cart");
    let judge = |body: &str| document.judge("GET", "/v1/services/{svc}", 200, "application/json", body);
    assert_eq!(judge(&good.body), None);
    for (old, new) in [
        ("\"epoch\":", "\"epocs\":"),
        ("\"state\":\"steady\"", "\"state\":\"fine\""),
        ("{\"name\"", "{\"x\":1,\"name\""),
    ] {
        let bad = good.body.replacen(old, new, 1);
        assert_ne!(bad, good.body, "{old} is not in it");
        assert!(judge(&bad).is_some(), "{new}");
    }
    assert!(document.judge("GET", "/v1/services/{svc}", 418, "application/json", "{}").is_some());
    assert!(document.judge("GET", "/v1/services/{svc}", 200, "text/plain", &good.body).is_some());
}
