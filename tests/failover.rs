//! A primary that dies, hangs, or comes back without its data: what applications feel, on real servers.

mod common;
#[path = "switchover/rig.rs"]
mod rig;
#[path = "failover/writers.rs"]
mod writers;

use common::{
    PATIENCE,
    raw::Reply,
    redis_server::{Builder, RedisServer},
    wait_for,
};
use rig::{Rig, fence, wait_role};
use serde_json::Value;
use std::time::{Duration, Instant};
use writers::Writers;

/// Probes as quick as the goals of the project ask for.
const QUICK: &str = "[services.cart.health]\ninterval = \"100ms\"\nfall = 2";

fn redis7() -> Builder {
    RedisServer::builder("redis7")
}

/// The last operation of the journal, once it has ended.
#[track_caller]
fn last_operation(rig: &Rig) -> Value {
    let ended = |record: &Value| record["detail"]["what"] == "ended";
    let mut last = Value::Null;
    wait_for("an operation's end in the journal", PATIENCE, || {
        let records = rig.journal("svc=cart&limit=1000");
        last =
            records.iter().rev().find(|record| ended(record)).map_or(Value::Null, |r| r["detail"]["operation"].clone());
        !last.is_null()
    });
    last
}

/// A standby that was copied a moment ago is sent nothing before it has acknowledged its copy, up to a second later: a crash
/// in that time is another test.
#[track_caller]
fn streams(standby: &RedisServer) {
    wait_for("the standby streams", PATIENCE, || standby.command(&["EXISTS", "w0:0"]) == Reply::Integer(1));
}

/// Pointsman has seen that nobody listens, as it does within milliseconds under traffic.
#[track_caller]
fn noticed(rig: &Rig) {
    rig.wait("noticed", |service| service["state"] == "suspect");
}

#[test]
fn a_killed_primary_is_replaced_and_connections_stay() {
    require_server!("redis7");
    let (main, spare) = RedisServer::pair("redis7");
    let mut main = main;
    let rig = Rig::start(&[("main", vec![&main]), ("spare", vec![&spare])], QUICK);
    rig.wait_ready();
    let mut idle = rig.raw();
    assert_eq!(idle.command(&["CLIENT", "SETNAME", "idle"]).text(), "OK");
    let mut subscriber = rig.raw();
    subscriber.request(&["SUBSCRIBE", "news"]).reply();
    let writers = Writers::start(rig.port, 20);
    writers.progress(200);
    streams(&spare);
    main.kill();
    let crash = Instant::now();
    wait_role(&spare, "master");
    writers.progress(200);
    let notes = writers.finish();
    let (gap, missing) = (notes.gap(crash), notes.missing(&spare));
    println!(
        "first acknowledged write {gap:?} after; {} acknowledged, {missing} lost, {} unknown",
        notes.acknowledged.len(),
        notes.unknown.len()
    );
    assert!(notes.errors.is_empty(), "only writes in flight may fail, and say so: {:?}", notes.errors);
    assert!(notes.unknown.len() <= 20, "one a connection at most: {}", notes.unknown.len());
    assert!(missing <= 20, "asynchronous replication loses what was under way: {missing}");
    assert_eq!(idle.command(&["GET", "nothing"]), Reply::Null, "an idle connection lasts");
    wait_for("the subscription moved", PATIENCE, || spare.command(&["PUBLISH", "news", "again"]) == Reply::Integer(1));
    assert_eq!(subscriber.reply(), Reply::Array(["message", "news", "again"].map(|t| Reply::Bulk(t.into())).into()));
    let operation = last_operation(&rig);
    assert_eq!(operation["kind"], "failover", "{operation:#}");
    assert_eq!(operation["outcome"], "done", "{operation:#}");
    assert_eq!(operation["actor"], "pointsman", "{operation:#}");
    assert_eq!(operation["lost"]["known"], false, "an upper bound: {operation:#}");
    // It returns, empty: fenced, demoted, the loss amended.
    main.restart();
    rig.wait_steady();
    wait_role(&main, "slave");
    assert_eq!((fence(&main), fence(&spare)), ("0".into(), "0".into()));
    main.wait_synced();
    let amended = rig.journal("svc=cart&limit=1000").into_iter().any(|record| record["detail"]["what"] == "amended");
    assert!(amended, "the record of the loss is amended");
}

#[test]
fn a_primary_that_restarts_empty_at_once_empties_nobody() {
    require_server!("redis7");
    // As Redis ships: with no delay before a full copy, a standby that happens to connect within the same milliseconds has
    // copied the emptiness before anybody can keep it from that.
    let mut main = redis7().set("repl-diskless-sync-delay", "5").start();
    let spare = redis7().set("repl-diskless-sync-delay", "5").replica_of(&main).start();
    spare.wait_synced();
    let rig = Rig::start(&[("main", vec![&main]), ("spare", vec![&spare])], QUICK);
    rig.wait_ready();
    let writers = Writers::start(rig.port, 5);
    writers.progress(200);
    streams(&spare);
    main.kill();
    main.restart();
    wait_role(&spare, "master");
    writers.progress(50);
    let notes = writers.finish();
    assert!(notes.errors.is_empty(), "{:?}", notes.errors);
    assert!(notes.missing(&spare) <= 5, "{} of {} lost", notes.missing(&spare), notes.acknowledged.len());
    rig.wait_steady();
    wait_role(&main, "slave");
}

#[test]
fn a_quick_restart_with_its_data_is_no_failover() {
    require_server!("redis7");
    let mut main = redis7().set("appendonly", "yes").set("appendfsync", "always").start();
    let spare = redis7().replica_of(&main).start();
    spare.wait_synced();
    let rig = Rig::start(&[("main", vec![&main]), ("spare", vec![&spare])], "[services.cart.health]\nfall = 20");
    rig.wait_ready();
    let epoch = rig.service()["epoch"].clone();
    let writers = Writers::start(rig.port, 5);
    writers.progress(200);
    streams(&spare);
    main.kill();
    noticed(&rig);
    main.restart();
    writers.progress(200);
    rig.wait_steady();
    let notes = writers.finish();
    assert!(notes.errors.is_empty(), "{:?}", notes.errors);
    assert_eq!(notes.missing(&main), 0);
    assert_eq!(rig.service()["epoch"], epoch, "no flip");
    assert_eq!(main.info("role"), "master");
    wait_for("the standby follows again", PATIENCE, || spare.info("master_link_status") == "up");
    rig.wait_ready();
}

#[test]
fn a_hung_primary_that_cannot_be_fenced_blocks_and_says_so() {
    require_server!("redis7");
    let (rig, main, spare) = hang("");
    main.freeze();
    rig.wait("blocked", |service| {
        service["state"] == "blocked" && service["note"].as_str().is_some_and(|note| note.contains("can't be fenced"))
    });
    assert_eq!(spare.info("role"), "slave");
    main.thaw();
    rig.wait_steady();
    assert_eq!(rig.raw().command(&["SET", "k", "v"]).text(), "OK");
}

#[test]
fn a_hung_primary_is_replaced_where_the_service_says_so_and_fenced_when_it_wakes() {
    require_server!("redis7");
    let (rig, main, spare) = hang("[services.cart.failover]\nunfenced = \"promote\"");
    let writers = Writers::start(rig.port, 5);
    writers.progress(100);
    streams(&spare);
    main.freeze();
    let crash = Instant::now();
    wait_role(&spare, "master");
    writers.progress(50);
    main.thaw();
    rig.wait_steady();
    wait_role(&main, "slave");
    let notes = writers.finish();
    println!("first acknowledged write {:?} after; {} unknown", notes.gap(crash), notes.unknown.len());
    assert!(notes.errors.is_empty(), "{:?}", notes.errors);
    main.wait_synced();
    assert!(notes.missing(&spare) <= 5);
}

/// A pair whose primary says something each second, and a Pointsman that takes two seconds of silence for a hang.
fn hang(settings: &str) -> (Rig, RedisServer, RedisServer) {
    let main = redis7().set("repl-ping-replica-period", "1").start();
    let spare = redis7().set("repl-ping-replica-period", "1").replica_of(&main).start();
    spare.wait_synced();
    let settings = format!("[services.cart.health]\ninterval = \"100ms\"\nfall = 2\nhang_window = \"2s\"\n{settings}");
    let rig = Rig::start(&[("main", vec![&main]), ("spare", vec![&spare])], &settings);
    rig.wait_ready();
    (rig, main, spare)
}

/// With shipped defaults: a script that stops the primary for four seconds is no death.
#[test]
fn a_slow_script_is_no_death() {
    require_server!("redis7");
    let (rig, main, _spare) = Rig::pair("");
    rig.wait_ready();
    let epoch = rig.service()["epoch"].clone();
    let started = Instant::now();
    let slow = "local t = redis.call('TIME')[1] + 4 while tonumber(redis.call('TIME')[1]) < t do end return 1";
    assert_eq!(rig.raw().command(&["EVAL", slow, "0"]), Reply::Integer(1));
    assert!(started.elapsed() > Duration::from_secs(3));
    rig.wait_steady();
    assert_eq!(rig.service()["epoch"], epoch, "no flip");
    assert_eq!(main.info("role"), "master");
}
