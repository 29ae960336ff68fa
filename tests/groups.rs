//! Services that switch together, and sites that are left, on the real binary with real servers.

mod common;
#[path = "groups/members.rs"]
mod members;
#[path = "approval/people.rs"]
mod people;
#[path = "switchover/rig.rs"]
mod rig;

use common::mysql_orders;
use common::mysql_server::{MysqlServer, PASSWORD};
use common::{PATIENCE, holds_within, instance::Pointsman, ports::free_port, wait_for};
use members::{Member, expect, group, member, operation, outcomes, ready, routed, service, services};
use serde_json::{Value, json};

/// Whether it was stopped at the point that the environment names.
#[cfg(debug_assertions)]
fn is_stopped(id: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| stat.contains(") T "))
}

#[test]
fn members_follow_each_other_each_under_its_own_epoch() {
    require_server!("redis7");
    let (pointsman, _members) = services("", "", &[]);
    assert_eq!((&group(&pointsman)["state"], &group(&pointsman)["site"]), (&json!("together"), &json!("east")));
    let dry = expect(&pointsman, &["switchover", "checkout", "--dry-run"], 0);
    assert_eq!(dry["members"][0]["to"], "spare", "{dry}");
    assert_eq!(routed(&pointsman, "orders"), "main");
    let done = expect(&pointsman, &["switchover", "checkout", "--key", "k1", "--rehearsal"], 0);
    assert_eq!((done["outcome"].as_str(), outcomes(&done)), (Some("done"), vec!["done", "done"]), "{done}");
    assert_eq!(done["id"], "checkout-1");
    for name in ["orders", "stock"] {
        let service = service(&pointsman, name);
        assert_eq!((service["route"]["cluster"].as_str(), service["epoch"].as_u64()), (Some("spare"), Some(3)));
        assert_eq!((&service["groups"], &service["practised"][0]["rehearsal"]), (&json!(["checkout"]), &json!(true)));
    }
    let own = operation(&pointsman, done["members"][0]["operation"].as_str().expect("an id"));
    assert_eq!((&own["svc"], &own["group"]), (&json!("orders"), &json!("checkout-1")));
    assert_eq!(routed(&pointsman, "cart"), "main", "who isn't in the group stays");
    let again = expect(&pointsman, &["switchover", "checkout", "--key", "k1", "--rehearsal"], 0);
    assert_eq!((&again["id"], service(&pointsman, "orders")["epoch"].as_u64()), (&done["id"], Some(3)));
    assert_eq!(expect(&pointsman, &["operation", "checkout-1"], 0)["outcome"], "done");
    let history = pointsman.cli_expect(&["history", "checkout"], 0);
    assert!(
        history.contains("switchover checkout (checkout-1): done") && history.contains("stock-1 ended"),
        "{history}"
    );
    assert!(!history.contains("cart"), "{history}");
    assert!(pointsman.cli_expect(&["status", "checkout"], 0).contains("group checkout: together in west"));
    // What is no switch goes to each member too.
    pointsman.cli_expect(&["mode", "checkout", "read_only", "--reason", "audit"], 0);
    assert_eq!(
        (&service(&pointsman, "orders")["mode"], &service(&pointsman, "stock")["mode"]),
        (&json!("read_only"), &json!("read_only"))
    );
    pointsman.cli_expect(&["mode", "checkout", "open"], 0);
    pointsman.cli_expect(&["pause", "checkout", "--for", "1m"], 0);
    assert_eq!(service(&pointsman, "stock")["state"], "paused");
    pointsman.cli_expect(&["resume", "checkout"], 0);
    pointsman.cli_expect(&["drain", "checkout", "main"], 2);
    pointsman.cli_expect(&["switchover", "checkout", "--to", "nowhere"], 2);
    pointsman.cli_expect(&["switchover", "checkout", "--to-site", "moon"], 2);
}

#[test]
fn any_refusal_leaves_every_member_where_it_is() {
    require_server!("redis7");
    let (pointsman, _members) = services("", "", &[]);
    pointsman.cli_expect(&["drain", "stock", "spare"], 0);
    for arguments in [&["switchover", "checkout", "--dry-run"][..], &["switchover", "checkout"]] {
        let refused = expect(&pointsman, arguments, 3);
        let words = refused["guards"][0]["detail"].as_str().unwrap_or_default();
        assert!(words.starts_with("stock: spare is drained"), "{refused}");
    }
    assert_eq!((routed(&pointsman, "orders"), routed(&pointsman, "stock")), ("main".into(), "main".into()));
    assert_eq!(service(&pointsman, "orders")["epoch"], 1);
}

/// A dry run leaves nothing behind that could be looked at, so its end is the answer, however soon one is asked for.
#[test]
fn a_dry_run_is_answered_by_its_end() {
    require_server!("redis7");
    let (pointsman, _members) = services("", "", &[]);
    let impatient = json!({"reason": "", "dry_run": true, "wait": "1ms"});
    for _ in 0..5 {
        let (status, answer) = pointsman.api("/v1/groups/checkout/switchover", Some(&impatient));
        assert_eq!((status, &answer["outcome"], outcomes(&answer).len()), (200, &json!("done"), 2), "{answer}");
    }
}

/// The second member's candidate dies when the first one has been switched; gives the operation.
#[cfg(debug_assertions)]
#[track_caller]
fn second_fails(more: &str, code: i32) -> (Pointsman, [Member; 3], Value) {
    let (pointsman, mut members) = services("", more, &[("POINTSMAN_STOP_AT", "before_write_unfenced+ended")]);
    let order = ["switchover", "checkout", "--timeout", "2s"];
    let operation = std::thread::scope(|scope| {
        let switching = scope.spawn(|| expect(&pointsman, &order, code));
        wait_for("it stops before the first one's end", PATIENCE, || is_stopped(pointsman.id()));
        members[1].spare.kill();
        pointsman.thaw();
        switching.join().expect("an answer")
    });
    (pointsman, members, operation)
}

#[test]
#[cfg(debug_assertions)]
fn a_member_that_fails_stops_the_rest_and_that_is_visible() {
    require_server!("redis7");
    let (mut pointsman, _members, partial) = second_fails("", 5);
    assert_eq!(
        (partial["outcome"].as_str(), outcomes(&partial)),
        (Some("partial"), vec!["done", "refused"]),
        "{partial}"
    );
    let shown = |pointsman: &Pointsman| {
        let group = group(pointsman);
        assert_eq!((&group["state"], &group["split"]), (&json!("split"), &json!(true)), "{group}");
        assert_eq!(group["note"], "stock in east, orders in west");
        assert_eq!(pointsman.metric(&["pointsman_group_split{", "checkout"]), Some(1.0));
        let status = pointsman.cli_expect(&["status"], 0);
        assert!(status.contains("group checkout: split: stock in east, orders in west"), "{status}");
        let operation = operation(pointsman, "checkout-1");
        assert!(
            operation["detail"].as_str().is_some_and(|words| words.contains("orders done (in spare)")),
            "{operation}"
        );
    };
    shown(&pointsman);
    pointsman.kill();
    pointsman.launch();
    wait_for("its routes", PATIENCE, || {
        routed(&pointsman, "stock") == "main" && routed(&pointsman, "orders") == "spare"
    });
    shown(&pointsman);
}

/// The first one's candidate dies in the middle: it is rolled back, and nobody follows it.
#[test]
#[cfg(debug_assertions)]
fn after_a_member_that_fails_none_begins() {
    require_server!("redis7");
    let (pointsman, mut members) = services("", "", &[("POINTSMAN_STOP_AT", "before_act_catch_up")]);
    let failed = std::thread::scope(|scope| {
        let switching = scope.spawn(|| expect(&pointsman, &["switchover", "checkout", "--timeout", "2s"], 4));
        wait_for("it stops in the first one's switch", PATIENCE, || is_stopped(pointsman.id()));
        members[0].spare.kill();
        pointsman.thaw();
        switching.join().expect("an answer")
    });
    assert_eq!(outcomes(&failed), ["rolled_back", "-"], "{failed}");
    assert_eq!((routed(&pointsman, "orders"), routed(&pointsman, "stock")), ("main".into(), "main".into()));
    assert_eq!(service(&pointsman, "stock")["epoch"], 1, "it was never touched");
}

#[test]
#[cfg(debug_assertions)]
fn a_member_that_fails_brings_the_others_back() {
    require_server!("redis7");
    let (pointsman, members, back) = second_fails("on_error = \"switch_back\"\n", 4);
    assert_eq!(
        (back["outcome"].as_str(), outcomes(&back)),
        (Some("rolled_back"), vec!["rolled_back", "refused"]),
        "{back}"
    );
    assert_eq!((routed(&pointsman, "orders"), routed(&pointsman, "stock")), ("main".into(), "main".into()));
    assert_eq!(service(&pointsman, "orders")["epoch"], 5, "there and back, each under its own epoch");
    rig::wait_role(&members[0].main, "master");
    assert_eq!(group(&pointsman)["state"], "together");
}

#[test]
#[cfg(debug_assertions)]
fn a_kill_in_the_middle_is_told_and_nothing_is_guessed() {
    require_server!("redis7");
    let (mut pointsman, _members) = services("", "", &[("POINTSMAN_CRASH_AT", "after_act_promote")]);
    pointsman.cli_expect(&["switchover", "checkout"], 5);
    wait_for("the crash", PATIENCE, || !pointsman.runs());
    pointsman = pointsman.environment("POINTSMAN_CRASH_AT", "");
    pointsman.launch();
    let mut last = Value::Null;
    let ended = holds_within(PATIENCE, || {
        last = operation(&pointsman, "checkout-1");
        last["outcome"] == "partial"
    });
    assert!(ended, "{last}\n{}", pointsman.log());
    assert_eq!(last["members"][0]["operation"], "orders-1");
    assert_eq!(last["members"][1]["outcome"], Value::Null, "nobody went on by itself: {last}");
    let words = last["detail"].as_str().unwrap_or_default();
    assert!(words.contains("Pointsman stopped during the operation") && words.contains("stock not begun"), "{words}");
    assert_eq!((routed(&pointsman, "orders"), routed(&pointsman, "stock")), ("spare".into(), "main".into()));
    // The operator's next order brings them together.
    ready(&pointsman, &["orders", "stock"]);
    let done = expect(&pointsman, &["switchover", "checkout", "--to-site", "west"], 0);
    assert_eq!(outcomes(&done), ["done", "done"], "{done}");
    assert_eq!(group(&pointsman)["site"], "west");
}

#[test]
fn a_failover_drags_nobody_along() {
    require_server!("redis7");
    let (pointsman, mut members) = services("", "", &[]);
    members[0].main.kill();
    wait_for("failed over", PATIENCE, || routed(&pointsman, "orders") == "spare");
    wait_for("shown", PATIENCE, || group(&pointsman)["state"] == "split");
    assert_eq!(routed(&pointsman, "stock"), "main");
    assert_eq!(service(&pointsman, "stock")["epoch"], 1);
}

#[test]
fn one_approval_is_for_all_members_and_survives_a_kill() {
    require_server!("redis7");
    let people = people::tables(&[("ann", "operator"), ("bob", "approver")]);
    let (mut pointsman, _members) = services("require_approval = true", &people, &[]);
    let waiting = people::expect(&pointsman, "ann", &["switchover", "checkout"], 6);
    assert_eq!((&waiting["outcome"], &waiting["id"]), (&json!("waiting"), &json!("checkout-1")));
    people::expect(&pointsman, "bob", &["switchover", "checkout"], 3);
    pointsman.kill();
    pointsman.launch();
    ready(&pointsman, &["orders", "stock"]);
    assert_eq!(group(&pointsman)["state"], "waiting");
    assert_eq!(pointsman.metric(&["pointsman_group_operations_waiting{", "checkout"]), Some(1.0));
    people::expect(&pointsman, "bob", &["approve", "checkout-2"], 3);
    let own = people::cli(&pointsman, "ann", &["approve", "checkout-1"]);
    assert_eq!(own.status.code(), Some(77));
    let done = people::expect(&pointsman, "bob", &["approve", "checkout-1"], 0);
    assert_eq!((&done["outcome"], &done["actor"], &done["approver"]), (&json!("done"), &json!("ann"), &json!("bob")));
    for member in done["members"].as_array().expect("members") {
        let own = operation(&pointsman, member["operation"].as_str().expect("an id"));
        assert_eq!((&own["actor"], &own["approver"], &own["outcome"]), (&json!("ann"), &json!("bob"), &json!("done")));
    }
    // It is bound to every member's epoch.
    ready(&pointsman, &["orders", "stock"]);
    let waiting = people::expect(&pointsman, "ann", &["switchover", "checkout"], 6);
    let id = waiting["id"].as_str().expect("an id").to_owned();
    people::expect(&pointsman, "ann", &["switchover", "stock"], 0);
    // At once: before anybody looked whether a route moved.
    people::expect(&pointsman, "bob", &["approve", &id], 3);
    wait_for("its end", PATIENCE, || operation(&pointsman, &id)["outcome"] == "refused");
    let words = operation(&pointsman, &id)["guards"][0]["detail"].to_string();
    assert!(words.contains("stock") && words.contains("epoch"), "{words}");
    let waiting = people::expect(&pointsman, "ann", &["switchover", "checkout", "--to", "main"], 6);
    people::expect(&pointsman, "ann", &["withdraw", waiting["id"].as_str().expect("an id")], 0);
    assert_eq!(routed(&pointsman, "orders"), "spare");
}

/// The same key twice acts once and is answered alike; a word that isn't taken is in the journal.
#[test]
fn words_on_what_waits_act_once_and_are_written_down() {
    require_server!("redis7");
    let people = people::tables(&[("ann", "operator"), ("bob", "approver"), ("cid", "approver")]);
    let (pointsman, _members) = services("require_approval = true", &people, &[]);
    people::expect(&pointsman, "cid", &["switchover", "checkout"], 6);
    let own = people::expect(&pointsman, "cid", &["approve", "checkout-1", "--reason", "in a hurry"], 3);
    assert!(own["group_operation"]["guards"][0]["detail"].to_string().contains("another person"), "{own}");
    for history in [&["history", "checkout"][..], &["history", "--operation", "checkout-1", "--kind", "refusal"]] {
        let told = pointsman.cli_expect(history, 0);
        assert!(told.contains("cid  not done: approve checkout-1: in a hurry"), "{told}");
    }
    let withdrawn = ["withdraw", "checkout-1", "--key", "w1"];
    let answers = [0, 0].map(|code| people::expect(&pointsman, "cid", &withdrawn, code));
    assert_eq!(answers[0]["detail"], "checkout-1 is withdrawn");
    assert_eq!(answers[0], answers[1]);
    people::expect(&pointsman, "ann", &["switchover", "checkout"], 6);
    let approved = ["approve", "checkout-2", "--key", "a1"];
    let answers = [0, 0].map(|code| people::expect(&pointsman, "bob", &approved, code));
    assert_eq!((&answers[0]["outcome"], &answers[1]), (&json!("done"), &answers[0]));
    assert_eq!(service(&pointsman, "orders")["epoch"], 3, "it acted once");
    // A key is one request's.
    let other = people::expect(&pointsman, "bob", &["approve", "checkout-1", "--key", "a1"], 3);
    assert_eq!(other["type"], "urn:pointsman:key-reused", "{other}");
}

#[test]
fn a_group_waits_no_longer_than_its_strictest_member() {
    require_server!("redis7");
    let careful = |time: &str| format!("require_approval = true\napproval_timeout = \"{time}\"");
    let members = [member("orders", &careful("1h")), member("stock", &careful("5m"))];
    let services = members.iter().map(|member| member.tables.as_str()).collect::<String>();
    let people = people::tables(&[("ann", "operator"), ("bob", "approver")]);
    let group = "[groups.checkout]\nmembers = [\"orders\", \"stock\"]\n";
    let pointsman = Pointsman::start(&format!("{services}{group}{people}"));
    ready(&pointsman, &["orders", "stock"]);
    let waiting = people::expect(&pointsman, "ann", &["switchover", "checkout"], 6);
    let time = |key: &str| waiting[key].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()).expect("a time");
    let left = time("expires").duration_since(time("started"));
    assert!((295..=305).contains(&left.as_secs()), "{left:?}");
}

#[test]
fn redis_and_mysql_switch_together() {
    require_server!("redis7");
    require_server!("mysql9");
    let (primary, replica) = MysqlServer::pair("mysql9");
    let cart = member("cart", "");
    let cart_tables = cart.tables.replace("site = \"east\"\n", "").replace("site = \"west\"\n", "");
    let orders = mysql_orders::services(&primary, &replica, free_port(), "", "");
    let text = format!(
        "{orders}{cart_tables}[groups.checkout]\nmembers = [\"orders\", \"cart\"]\non_error = \"switch_back\"\n"
    );
    let mut pointsman = Pointsman::prepare(&text).environment("ORDERS_PASSWORD", PASSWORD);
    pointsman.launch();
    ready(&pointsman, &["orders", "cart"]);
    let done = expect(&pointsman, &["switchover", "checkout"], 0);
    assert_eq!(outcomes(&done), ["done", "done"], "{done}");
    assert_eq!((routed(&pointsman, "orders"), routed(&pointsman, "cart")), ("spare".into(), "spare".into()));
    rig::wait_role(&cart.spare, "master");
    ready(&pointsman, &["orders", "cart"]);
    let done = expect(&pointsman, &["switchover", "checkout", "--to", "main"], 0);
    assert_eq!(outcomes(&done), ["done", "done"], "{done}");
}
