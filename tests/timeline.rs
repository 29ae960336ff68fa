//! Incidents as they are told afterwards, on real servers: a primary that is killed, a suspicion that ends in nothing, a switch that is
//! refused; and the filters of the journal.

mod common;
#[path = "switchover/rig.rs"]
mod rig;

use common::{PATIENCE, holds_within, redis_server::RedisServer, relay::Relay, wait_for};
use rig::{Rig, wait_role};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

const QUICK: &str = "[services.cart.health]\ninterval = \"100ms\"\nfall = 2";

/// The incident of an operation, or the last one.
#[track_caller]
fn timeline(rig: &Rig, operation: &str) -> Value {
    let (status, body) = rig.pointsman.api(&format!("/v1/services/cart/timeline{operation}"), None);
    assert_eq!(status, 200, "{body:#}");
    body
}

fn entries(timeline: &Value) -> Vec<(f64, String, String)> {
    let entry = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        (entry["offset_ms"].as_f64().expect("an offset"), text("kind"), text("words"))
    };
    timeline["entries"].as_array().expect("entries").iter().map(entry).collect()
}

fn has(entries: &[(f64, String, String)], kind: &str, words: &str) -> bool {
    entries.iter().any(|(_, of, text)| of == kind && text.contains(words))
}

#[test]
fn a_killed_primary_is_told_from_the_first_sign_to_the_last_phase() {
    require_server!("redis7");
    let (mut main, spare) = RedisServer::pair("redis7");
    let rig = Rig::start(&[("main", vec![&main]), ("spare", vec![&spare])], QUICK);
    rig.wait_ready();
    let mut client = rig.raw();
    assert_eq!(client.command(&["SET", "k", "v"]).text(), "OK");
    assert_eq!(timeline(&rig, "")["entries"], serde_json::json!([]), "nothing has happened yet");
    main.kill();
    wait_role(&spare, "master");
    rig.wait("done", |service| service["route"]["node"] == spare.address() && service["operation"].is_null());
    let told = timeline(&rig, "");
    let all = entries(&told);
    let id = told["operation"]["id"].as_str().expect("an operation").to_owned();
    assert_eq!(told["operation"]["kind"], "failover", "{told:#}");
    assert_eq!((all[0].0, all[0].1.as_str()), (0.0, "evidence"), "it begins with what was found: {all:#?}");
    assert!(all.windows(2).all(|two| two[0].0 <= two[1].0), "in their order: {all:#?}");
    let spare_lost = format!("witness: {} lost its link to the primary", spare.address());
    for (kind, words) in [
        ("evidence", "refuses connections"),
        ("evidence", spare_lost.as_str()),
        ("evidence", "holds requests back"),
        ("evidence", "is down: 2 probes in a row failed"),
        ("decision", "is left:"),
        ("operation", "began: failover to spare"),
        ("phase", "promote took"),
        ("operation", "ended: failover main -> spare done in"),
    ] {
        assert!(has(&all, kind, words), "{kind} {words}: {all:#?}");
    }
    // By name the same; on the command line the same in words.
    assert_eq!(entries(&timeline(&rig, &format!("?operation={id}"))), all);
    let text = rig.pointsman.cli_expect(&["history", "cart", "--timeline"], 0);
    assert!(text.starts_with(&format!("{id}: failover cart: main -> spare done")), "{text}");
    assert!(text.contains(" ms  evidence   probe: ") && text.contains(" ms  phase      promote took "), "{text}");
    let json = rig.pointsman.cli_expect(&["history", "cart", "--timeline", &id, "--json"], 0);
    assert_eq!(serde_json::from_str::<Value>(&json).expect("JSON"), told);
    assert_eq!(rig.pointsman.api("/v1/services/cart/timeline?operation=cart-99", None).0, 404);
    assert_eq!(rig.pointsman.api("/v1/services/basket/timeline", None).0, 404);
    // When the old primary is back, what was lost belongs to it.
    main.restart();
    rig.wait_ready();
    assert!(has(&entries(&timeline(&rig, &format!("?operation={id}"))), "operation", &format!("{id} lost 0 bytes")));
    // The head that vouches for an operation stands in the log where it ended.
    let log = rig.pointsman.log();
    let ended = log.lines().find(|line| line.contains("operation ended")).expect("said");
    assert!(ended.contains("journal_head=\""), "{ended}");
}

#[test]
fn a_suspicion_that_ends_in_nothing_is_told_with_its_witnesses_and_why_nothing_was_done() {
    require_server!("redis7");
    let main = RedisServer::builder("redis7").set("repl-ping-replica-period", "1").start();
    let spare = RedisServer::builder("redis7").set("repl-ping-replica-period", "1").replica_of(&main).start();
    spare.wait_synced();
    let relay = Relay::to(main.port());
    let rig = Rig::behind(&relay, &main, &spare, QUICK);
    relay.silence(true);
    rig.wait("isolated", |service| service["state"] == "isolated");
    wait_for("written while it lasts", PATIENCE, || {
        rig.journal("svc=cart&text=is%20suspect").iter().any(|record| record["detail"]["what"] == "suspected")
    });
    relay.silence(false);
    rig.wait_steady();
    let refusals = || rig.journal("svc=cart&kind=refusal&text=no%20failover");
    wait_for("its end is written", PATIENCE, || !refusals().is_empty());
    assert_eq!(refusals().len(), 1, "{:#?}", refusals());
    let told = timeline(&rig, "");
    let all = entries(&told);
    assert!(told["operation"].is_null(), "{told:#}");
    let heard = format!("witness: {} hears the primary", spare.address());
    for (kind, words) in [
        ("evidence", "gives no answer"),
        ("evidence", heard.as_str()),
        ("evidence", "the path from here is broken"),
        ("refusal", "it answers again after"),
    ] {
        assert!(has(&all, kind, words), "{kind} {words}: {all:#?}");
    }
    let text = rig.pointsman.cli_expect(&["history", "cart", "--timeline"], 0);
    assert!(text.starts_with("cart: a suspicion without an operation"), "{text}");
    let many = rig.journal("svc=cart&text=suspect").len();
    assert!(many <= 3, "no record a probe: {many}");
}

#[test]
fn a_refused_switch_is_told_with_its_guards() {
    require_server!("redis7");
    let (rig, _main, _spare) = Rig::pair("");
    rig.wait_ready();
    rig.pointsman.cli_expect(&["drain", "cart", "spare", "--reason", "its disk is old"], 0);
    let operation = rig.switch_ends("spare", &["--reason", "for the night shift"], 3);
    let told = timeline(&rig, "");
    let all = entries(&told);
    assert_eq!(told["operation"]["id"], operation["id"], "{told:#}");
    assert_eq!(all.len(), 1, "{all:#?}");
    let (_, kind, words) = &all[0];
    assert_eq!(kind, "refusal");
    assert!(
        words.contains("refused") && words.contains("eligible: ") && words.contains("for the night shift"),
        "{words}"
    );
}

#[test]
fn history_is_filtered_turned_and_followed() {
    require_server!("redis7");
    let (rig, _main, _spare) = Rig::pair("");
    rig.wait_ready();
    rig.pointsman.cli_expect(&["drain", "cart", "spare", "--reason", "disk of Rack Seven"], 0);
    let first = rig.journal("svc=cart&text=rack%20seven");
    assert!(!first.is_empty(), "letters large or small");
    let (id, time) =
        (first[0]["seq"].as_u64().expect("a number"), first[0]["time"].as_str().expect("a time").to_owned());
    rig.pointsman.cli_expect(&["restore", "cart", "spare"], 0);
    let operation = rig.switch("spare")["id"].as_str().expect("an id").to_owned();
    let lines = |more: &[&str]| {
        let text = rig.pointsman.cli_expect(&[&["history", "cart"], more].concat(), 0);
        text.lines().filter(|line| !line.starts_with(' ')).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let about = lines(&["--operation", &operation]);
    assert!(about.len() >= 3 && about.iter().all(|line| line.contains(&operation)), "{about:#?}");
    let oldest = lines(&[]);
    let newest = lines(&["--newest"]);
    assert_eq!(oldest.iter().rev().collect::<Vec<_>>(), newest.iter().collect::<Vec<_>>());
    assert_eq!(lines(&["--newest", "--limit", "2"]), newest[..2]);
    assert_eq!(lines(&["--limit", "2"]), oldest[oldest.len() - 2..]);
    let since = lines(&["--since", &time]);
    assert!(since[0].contains(&format!("#{id} ")) && since.len() < oldest.len(), "{since:#?}");
    assert!(lines(&["--until", "1h"]).is_empty());
    assert_eq!(lines(&["--since", "1h"]), oldest);
    let own = lines(&["--actor", "pointsman"]);
    assert!(!own.is_empty() && own.len() < oldest.len());
    assert_eq!(lines(&["--actor", "nobody"]), Vec::<String>::new());
    rig.pointsman.cli_expect(&["history", "basket"], 2);
    // Small pages lead through all of it, in either order.
    let mut seen = Vec::new();
    let mut place = String::new();
    while let Some(page) = Some(rig.pointsman.api(&format!("/v1/journal?limit=2&order=newest{place}"), None).1) {
        seen.extend(page["records"].as_array().expect("records").iter().map(|record| record["seq"].as_u64()));
        let Some(next) = page["next"].as_u64() else { break };
        place = format!("&before={next}");
    }
    let last = seen[0].expect("a number");
    assert_eq!(seen, (1..=last).rev().map(Some).collect::<Vec<_>>());
    followed(&rig);
}

/// What comes later is shown, one object a line.
fn followed(rig: &Rig) {
    let socket = format!("unix:{}", rig.pointsman.folder().join("admin.sock").display());
    let mut follower = Command::new(common::instance::program())
        .args(["history", "cart", "--follow", "--json", "--text", "after the fact"])
        .env("POINTSMAN_ADMIN", socket)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary under test starts");
    let mut lines = BufReader::new(follower.stdout.take().expect("a pipe")).lines();
    rig.pointsman.cli_expect(&["pause", "cart", "--for", "1m", "--reason", "after the fact"], 0);
    let line = lines.next().expect("a line").expect("text");
    let record: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(record["reason"], "after the fact", "{record}");
    follower.kill().expect("it runs");
    let ended = holds_within(PATIENCE, || follower.try_wait().is_ok_and(|ended| ended.is_some()));
    assert!(ended);
}
