//! A second person: on the real binary, with real servers and two people who have a token each.

mod common;
#[path = "approval/people.rs"]
mod people;
#[path = "switchover/rig.rs"]
mod rig;

use common::{PATIENCE, instance::Pointsman, ports::free_port, redis_server::RedisServer, wait_for};
use rig::Rig;
use serde_json::Value;

const PEOPLE: [(&str, &str); 3] = [("ann", "operator"), ("bob", "approver"), ("cid", "approver")];

/// A service that asks for a second person, and its two servers; ready for a switch.
#[track_caller]
fn careful(more: &str) -> (Rig, RedisServer, RedisServer) {
    let (main, spare) = RedisServer::pair("redis7");
    let port = free_port();
    let clusters = [("main", vec![&main]), ("spare", vec![&spare])];
    let service = rig::service(port, &clusters, &format!("require_approval = true\n{more}"));
    let rig = Rig { pointsman: Pointsman::start(&(service + &people::tables(&PEOPLE))), port };
    rig.wait_ready();
    (rig, main, spare)
}

fn operation(rig: &Rig, id: &str) -> Value {
    rig.pointsman.api(&format!("/v1/operations/{id}"), None).1
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn waits(rig: &Rig) -> Option<f64> {
    rig.pointsman.metric(&["pointsman_operations_waiting{", "svc=\"cart\""])
}

#[test]
fn it_waits_over_a_kill_and_runs_when_somebody_else_agrees() {
    require_server!("redis7");
    let (mut rig, _main, _spare) = careful("");
    let output = people::cli(&rig.pointsman, "ann", &["switchover", "cart", "--key", "k1", "--reason", "the sale"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("pointsman approve cart-1") && said.contains("not ann"), "{said}");
    rig.pointsman.kill();
    rig.pointsman.launch();
    rig.wait_ready();
    let service = rig.service();
    assert_eq!((text(&service["operation"], "outcome"), text(&service["route"], "cluster")), ("waiting", "main"));
    let status = rig.pointsman.cli_expect(&["status"], 0);
    assert!(status.contains("waits for a second person") && status.contains("pointsman approve cart-1"), "{status}");
    assert_eq!(waits(&rig), Some(1.0));
    let (_, list) = rig.pointsman.api("/v1/operations?svc=cart", None);
    assert_eq!(text(&list["operations"][0], "id"), "cart-1", "{list}");

    // The same request is the same operation, as long as it waits and afterwards.
    let again =
        people::expect(&rig.pointsman, "ann", &["switchover", "cart", "--key", "k1", "--reason", "the sale"], 6);
    assert_eq!(text(&again, "id"), "cart-1");
    let refused = people::cli(&rig.pointsman, "ann", &["approve", "cart-1"]);
    assert_eq!(refused.status.code(), Some(77), "an operator approves nothing");
    let done = people::expect(&rig.pointsman, "bob", &["approve", "cart-1", "--reason", "seen", "--key", "k2"], 0);
    assert_eq!((text(&done, "id"), text(&done, "outcome")), ("cart-1", "done"));
    assert_eq!((text(&done, "actor"), text(&done, "approver")), ("ann", "bob"));
    assert_eq!(rig.service()["route"]["cluster"], "spare");
    let again =
        people::expect(&rig.pointsman, "ann", &["switchover", "cart", "--key", "k1", "--reason", "the sale"], 0);
    assert_eq!((text(&again, "id"), rig.service()["route"]["cluster"].as_str()), ("cart-1", Some("spare")));
    people::expect(&rig.pointsman, "bob", &["approve", "cart-1", "--reason", "seen", "--key", "k2"], 0);
    people::expect(&rig.pointsman, "cid", &["approve", "cart-1"], 3);
    let history = rig.pointsman.cli_expect(&["history", "cart"], 0);
    assert!(history.contains("cart-1 waits for a second person until"), "{history}");
    assert!(history.contains("bob  cart-1 approved by bob: seen"), "{history}");
    assert_eq!(rig.service()["practised"][0]["name"], "ann");
    assert_eq!(waits(&rig), Some(0.0));
}

#[test]
fn of_two_at_once_one_asks_and_the_other_is_told_who_did() {
    require_server!("redis7");
    let (rig, _main, _spare) = careful("");
    let ask = |name: &'static str| people::cli(&rig.pointsman, name, &["switchover", "cart", "--json"]);
    let both = std::thread::scope(|scope| {
        let other = scope.spawn(|| ask("cid"));
        [("ann", ask("ann")), ("cid", other.join().expect("the second one"))]
    });
    let code = |code| both.iter().filter(move |(_, output)| output.status.code() == Some(code)).collect::<Vec<_>>();
    let (first, second) = (code(6), code(3));
    assert_eq!((first.len(), second.len()), (1, 1), "{both:?}");
    let problem: Value = serde_json::from_slice(&second[0].1.stdout).expect("JSON");
    assert_eq!((text(&problem["guards"][0], "name"), problem["status"].as_u64()), ("busy", Some(409)));
    let words = text(&problem, "detail");
    assert!(
        words.contains(&format!("cart-1 waits for a second person: switchover to spare, asked for by {}", first[0].0))
    );

    // Nobody approves for themselves, whatever their role; the one who asked may give it up.
    people::expect(&rig.pointsman, "bob", &["withdraw", "cart-1"], 0);
    assert_eq!(text(&operation(&rig, "cart-1"), "outcome"), "refused");
    let own = people::expect(&rig.pointsman, "bob", &["switchover", "cart", "--rehearsal"], 6);
    let refused = people::expect(&rig.pointsman, "bob", &["approve", text(&own, "id")], 3);
    assert!(text(&refused["guards"][0], "detail").contains("another person"), "{refused}");
    let others = people::cli(&rig.pointsman, "ann", &["withdraw", text(&own, "id")]);
    assert_eq!(others.status.code(), Some(77), "not the one who asked, and no approver");
    let approve = |name: &'static str| people::cli(&rig.pointsman, name, &["approve", text(&own, "id")]);
    let codes = std::thread::scope(|scope| {
        let other = scope.spawn(|| approve("cid").status.code());
        [approve("cid").status.code(), other.join().expect("the second one")]
    });
    assert!(codes.contains(&Some(0)) && codes.contains(&Some(3)), "it runs once: {codes:?}");
    assert_eq!(rig.service()["practised"], serde_json::json!([rig.service()["practised"][0]]));
    assert_eq!((text(&rig.service()["practised"][0], "name"), rig.service()["epoch"].as_u64()), ("bob", Some(3)));
    assert_eq!(rig.service()["practised"][0]["rehearsal"], true);
}

#[test]
fn it_expires_and_says_so() {
    require_server!("redis7");
    let (rig, _main, _spare) = careful("approval_timeout = \"1s\"\n");
    people::expect(&rig.pointsman, "ann", &["switchover", "cart"], 6);
    wait_for("its end", PATIENCE, || text(&operation(&rig, "cart-1"), "outcome") == "refused");
    let words = operation(&rig, "cart-1")["guards"][0]["detail"].to_string();
    assert!(words.contains("nobody approved it since"), "{words}");
    people::expect(&rig.pointsman, "bob", &["approve", "cart-1"], 3);
    assert_eq!(rig.service()["route"]["cluster"], "main");
    assert!(rig.pointsman.metric(&["pointsman_refusals_total{", "guard=\"approval\""]) >= Some(1.0));
}

#[test]
fn an_emergency_goes_at_once_loudly_and_ends_what_waited() {
    require_server!("redis7");
    let (rig, _main, _spare) = careful("");
    people::expect(&rig.pointsman, "ann", &["switchover", "cart"], 6);
    let arguments = ["switchover", "cart", "--override", "approval", "--reason", "nobody else is awake"];
    let done = people::expect(&rig.pointsman, "bob", &arguments, 0);
    assert_eq!(text(&done["guards"][0], "name"), "approval");
    wait_for("what waited has ended", PATIENCE, || text(&operation(&rig, "cart-1"), "outcome") == "refused");
    let words = operation(&rig, "cart-1")["guards"][0]["detail"].to_string();
    assert!(words.contains("the route moved since it was asked for"), "{words}");
    let log = rig.pointsman.log();
    assert!(log.lines().any(|line| line.contains("ERROR") && line.contains("a guard is overridden")), "{log}");
    assert_eq!(rig.pointsman.metric(&["pointsman_overrides_total{", "guard=\"approval\""]), Some(1.0));
    assert_eq!(rig.journal("kind=override").len(), 1);
}

#[test]
fn a_dead_primary_is_replaced_although_something_waits() {
    require_server!("redis7");
    let (rig, mut main, _spare) = careful("");
    people::expect(&rig.pointsman, "ann", &["switchover", "cart"], 6);
    main.kill();
    rig.wait("failed over", |service| service["route"]["cluster"] == "spare" && service["mode"] == "open");
    assert_eq!(text(&operation(&rig, "cart-1"), "outcome"), "refused");
    people::expect(&rig.pointsman, "bob", &["approve", "cart-1"], 3);
}
