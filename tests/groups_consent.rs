//! A second person for several services at once: what is asked again, what passes them by, and when nobody comes.

mod common;
#[path = "groups/members.rs"]
mod members;
#[path = "approval/people.rs"]
mod people;

use common::{PATIENCE, wait_for};
use members::{operation, ready, routed, services};
use serde_json::json;

const PEOPLE: [(&str, &str); 2] = [("ann", "operator"), ("bob", "approver")];

#[test]
fn every_guard_is_asked_again_when_it_is_approved() {
    require_server!("redis7");
    let (pointsman, _members) = services("require_approval = true", &people::tables(&PEOPLE), &[]);
    let waiting = people::expect(&pointsman, "ann", &["switchover", "checkout"], 6);
    let id = waiting["id"].as_str().expect("an id");
    // A member for which nobody must ask changes meanwhile, and its route stays.
    people::expect(&pointsman, "ann", &["drain", "stock", "spare"], 0);
    let refused = people::expect(&pointsman, "bob", &["approve", id], 3)["group_operation"].clone();
    let why = refused["guards"][0]["detail"].as_str().unwrap_or_default();
    assert!(why.starts_with("stock: spare is drained"), "{refused}");
    assert_eq!(refused["approver"], "bob", "{refused}");
    assert_eq!((routed(&pointsman, "orders"), routed(&pointsman, "stock")), ("main".into(), "main".into()));
    people::expect(&pointsman, "bob", &["approve", id], 3);
}

#[test]
fn an_emergency_goes_at_once_and_every_member_says_so() {
    require_server!("redis7");
    let (pointsman, _members) = services("require_approval = true", &people::tables(&PEOPLE), &[]);
    let alone = ["switchover", "checkout", "--override", "approval", "--reason", "nobody else is awake"];
    let done = people::expect(&pointsman, "ann", &alone, 0);
    assert_eq!((&done["outcome"], &done["approver"]), (&json!("done"), &json!(null)), "{done}");
    let told = pointsman.cli_expect(&["history", "orders", "--kind", "override"], 0);
    assert!(told.contains("ann") && told.contains("nobody else is awake"), "{told}");
}

#[test]
fn when_nobody_comes_it_ends() {
    require_server!("redis7");
    let settings = "require_approval = true\napproval_timeout = \"1s\"";
    let (pointsman, _members) = services(settings, &people::tables(&PEOPLE), &[]);
    let waiting = people::expect(&pointsman, "ann", &["switchover", "checkout"], 6);
    let id = waiting["id"].as_str().expect("an id");
    wait_for("its end", PATIENCE, || operation(&pointsman, id)["outcome"] == "refused");
    let why = operation(&pointsman, id)["guards"][0]["detail"].to_string();
    assert!(why.contains("nobody approved it since"), "{why}");
    people::expect(&pointsman, "bob", &["approve", id], 3);
    assert_eq!(routed(&pointsman, "orders"), "main");
    ready(&pointsman, &["orders", "stock"]);
}
