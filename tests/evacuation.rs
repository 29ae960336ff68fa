//! Sites that are left: everything that can go, groups together, and what a guard refuses is named.

mod common;
#[path = "groups/members.rs"]
mod members;
#[path = "approval/people.rs"]
mod people;

use common::instance::Pointsman;
use members::{expect, outcomes, ready, routed, services};
use serde_json::json;

#[test]
fn a_site_is_left_by_everything_that_is_served_there() {
    require_server!("redis7");
    let (pointsman, _members) = services("", "", &[]);
    pointsman.cli_expect(&["switchover", "cart"], 0);
    ready(&pointsman, &["orders", "stock", "cart"]);
    let sites = |pointsman: &Pointsman| pointsman.api("/v1/sites", None).1["sites"].clone();
    assert_eq!(sites(&pointsman)[0]["routed"], json!(["orders", "stock"]));
    assert_eq!(sites(&pointsman)[1]["clusters"][2], json!({"svc": "cart", "cluster": "spare"}));
    let dry = expect(&pointsman, &["site", "evacuate", "east", "--dry-run"], 0);
    assert_eq!(dry["members"].as_array().map(Vec::len), Some(2), "{dry}");
    let done = expect(&pointsman, &["site", "evacuate", "east", "--reason", "a fire"], 0);
    assert_eq!((&done["group"], &done["outcome"]), (&json!("site east"), &json!("done")), "{done}");
    assert_eq!((sites(&pointsman)[0]["routed"].clone(), routed(&pointsman, "cart")), (json!([]), "spare".to_owned()));
    let nothing = expect(&pointsman, &["site", "evacuate", "east"], 0);
    assert_eq!(nothing["members"], json!([]), "{nothing}");
    pointsman.cli_expect(&["site", "evacuate", "moon"], 2);
    // Two at once: one goes, the other one is told.
    ready(&pointsman, &["orders", "stock", "cart"]);
    let both = std::thread::scope(|scope| {
        let other = scope.spawn(|| pointsman.cli(&["site", "evacuate", "west", "--json"]));
        [pointsman.cli(&["site", "evacuate", "west", "--json"]), other.join().expect("the second one")]
    });
    let codes = both.each_ref().map(|output| output.status.code());
    assert!(codes.contains(&Some(0)), "{both:?}");
    let late = both.iter().find(|output| output.status.code() == Some(3));
    assert!(
        late.is_none_or(|output| String::from_utf8_lossy(&output.stdout).contains("is under way, ordered by uid:")),
        "{both:?}"
    );
}

/// What can't go stays with its group and says why; the rest goes. Asked for by name only.
#[test]
fn what_can_go_goes_and_what_can_not_is_named() {
    require_server!("redis7");
    let (pointsman, _members) = services("", "", &[]);
    pointsman.cli_expect(&["drain", "stock", "spare"], 0);
    let whole = pointsman.cli(&["site", "evacuate", "east"]);
    let said = String::from_utf8_lossy(&whole.stderr).into_owned();
    assert!(whole.status.code() == Some(3) && said.contains("pointsman site evacuate east --partial"), "{said}");
    let dry = pointsman.cli_expect(&["site", "evacuate", "east", "--partial", "--dry-run"], 0);
    assert!(dry.contains("would be let through in part") && dry.contains("stock main -> spare refused: "), "{dry}");
    assert_eq!(routed(&pointsman, "cart"), "main");
    let left = expect(&pointsman, &["site", "evacuate", "east", "--partial", "--reason", "a fire"], 5);
    let found = (left["outcome"].as_str(), outcomes(&left));
    assert_eq!(found, (Some("partial"), vec!["refused", "refused", "done"]), "{left}");
    let why = |member: usize| left["members"][member]["detail"].as_str().unwrap_or_default();
    assert!(why(0).contains("stock: spare is drained") && why(1).contains("spare is drained"), "{left}");
    assert_eq!(["orders", "stock", "cart"].map(|name| routed(&pointsman, name)), ["main", "main", "spare"]);
    // Nothing is left that could go: refused as a whole.
    let none = expect(&pointsman, &["site", "evacuate", "east", "--partial"], 3);
    assert_eq!(none["outcome"], "refused", "{none}");
    pointsman.cli_expect(&["restore", "stock", "spare"], 0);
    ready(&pointsman, &["orders", "stock"]);
    let done = expect(&pointsman, &["site", "evacuate", "east", "--partial"], 0);
    assert_eq!(outcomes(&done), ["done", "done"], "{done}");
    let asked = pointsman.api("/v1/groups/checkout/switchover", Some(&json!({ "partial": true })));
    assert_eq!(asked.0, 400, "{}", asked.1);
}

/// One person's order and another's word for a part; what stays is looked at no more.
#[test]
fn a_part_waits_for_a_second_person_too() {
    require_server!("redis7");
    let people = people::tables(&[("ann", "operator"), ("bob", "approver")]);
    let (pointsman, mut members) = services("require_approval = true", &people, &[]);
    people::expect(&pointsman, "ann", &["drain", "cart", "spare"], 0);
    let waiting = people::expect(&pointsman, "ann", &["site", "evacuate", "east", "--partial"], 6);
    assert_eq!(outcomes(&waiting), ["-", "-", "refused"], "{waiting}");
    members[2].spare.kill();
    let id = waiting["id"].as_str().expect("an id");
    let done = people::expect(&pointsman, "bob", &["approve", id], 5)["group_operation"].clone();
    assert_eq!(outcomes(&done), ["done", "done", "refused"], "{done}");
    assert_eq!(routed(&pointsman, "cart"), "main");
}
