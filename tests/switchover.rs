//! The planned switch, on real servers under real clients: nobody may feel it.

mod common;
#[path = "switchover/load.rs"]
mod load;
#[path = "switchover/rig.rs"]
mod rig;

use common::{
    PATIENCE, Stop,
    raw::{Raw, Reply},
    redis_server::RedisServer,
    wait_for,
};
use load::Load;
use rig::{Rig, fence, wait_role};
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn a_switch_there_and_back_disturbs_nobody() {
    require_server!("redis7");
    there_and_back("redis7", 1);
}

#[test]
fn with_redis_8_too() {
    require_server!("redis8");
    there_and_back("redis8", 1);
}

#[test]
fn with_valkey_too() {
    require_server!("valkey");
    there_and_back("valkey", 1);
}

#[test]
fn with_two_workers_too() {
    require_server!("redis8");
    there_and_back("redis8", 2);
}

#[test]
fn a_blocked_subscriber_holds_no_switch_up() {
    require_server!("redis7");
    blocked_subscriber("redis7");
}

#[test]
fn nor_with_redis_8() {
    require_server!("redis8");
    blocked_subscriber("redis8");
}

#[test]
fn nor_with_valkey() {
    require_server!("valkey");
    blocked_subscriber("valkey");
}

/// A subscriber that is blocked on the same connection (RESP3) hears every message once over a switch there and back.
#[track_caller]
fn blocked_subscriber(component: &str) {
    let (main, spare) = RedisServer::pair(component);
    let rig = Rig::start(&[("main", vec![&main]), ("spare", vec![&spare])], "");
    let mut subscriber = rig.raw();
    subscriber.command(&["HELLO", "3"]);
    subscriber.request(&["SUBSCRIBE", "news"]);
    subscriber.reply();
    subscriber.request(&["BLPOP", "blocked", "0"]);
    let stop = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let end = Stop(&stop);
        let publisher = scope.spawn(|| {
            let (mut publisher, mut sent) = (rig.raw(), 0);
            while !stop.load(Ordering::Relaxed) {
                publisher.command(&["PUBLISH", "news", &sent.to_string()]);
                sent += 1;
            }
            sent
        });
        for to in ["spare", "main"] {
            rig.wait_ready();
            rig.switch(to);
        }
        drop(end);
        publisher.join().expect("a publisher without an error")
    });
    for number in 0..sent {
        let message = ["message", "news", &number.to_string()].map(|part| Reply::Bulk(part.into()));
        assert_eq!(subscriber.reply(), Reply::Push(message.to_vec()), "of {sent}");
    }
    assert_eq!(rig.raw().command(&["RPUSH", "blocked", "x"]), Reply::Integer(1));
    assert_eq!(subscriber.reply(), Reply::Array(["blocked", "x"].map(|part| Reply::Bulk(part.into())).to_vec()));
}

/// 50 writers, transactions, watchers, pipelines, blocked readers, subscribers of both protocols: there and back again.
#[track_caller]
fn there_and_back(component: &str, workers: usize) {
    let (main, spare) = RedisServer::pair(component);
    let rig = Rig::with_workers(&[("main", vec![&main]), ("spare", vec![&spare])], workers);
    let load = Load::everything(rig.port);
    load.progress(20);
    for (to, new, old) in [("spare", &spare, &main), ("main", &main, &spare)] {
        rig.wait_ready();
        let before = load.longest_wait();
        let epoch = rig.service()["epoch"].as_u64().expect("an epoch");
        let operation = rig.switch(to);
        load.progress(20);
        let felt = load.longest_wait();
        println!(
            "{component}, {workers} workers, to {to}: longest wait before {before:?}, over the switch {felt:?}; {operation}"
        );

        assert!(operation["epoch_after"].as_u64() > Some(epoch), "{operation:#}");
        assert_eq!(operation["lost"]["count"], 0, "{operation:#}");
        assert_eq!(operation["lost"]["known"], true, "{operation:#}");
        let stall = operation["client_stall_ms"].as_f64().expect("the stall is measured");
        assert!(stall >= 0.0 && stall < felt.as_secs_f64() * 1000.0 + 1.0, "stall {stall} ms, felt {felt:?}");
        wait_role(new, "master");
        wait_role(old, "slave");
        rig.wait_steady();
        wait_for("the fence is lifted", PATIENCE, || fence(old) == "0" && fence(new) == "0");
    }
    main_holds_everything(load, &main, &spare);
}

fn main_holds_everything(load: Load, main: &RedisServer, spare: &RedisServer) {
    let requests = load.finish(main.port());
    println!("{requests} requests, none disturbed");
    spare.wait_synced();
    assert_eq!(main.info("db0"), spare.info("db0"), "both hold the same");
}

/// It is away during the switch and comes back as a standby of the old primary.
#[test]
fn a_standby_that_was_away_is_made_to_follow_when_it_is_back() {
    require_server!("redis7");
    let (main, spare) = RedisServer::pair("redis7");
    let mut third = RedisServer::builder("redis7").replica_of(&main).start();
    third.wait_synced();
    let rig = Rig::start(&[("main", vec![&main, &third]), ("spare", vec![&spare])], "");
    third.kill();
    rig.wait_ready();
    let operation = rig.switch("spare");
    let told = format!("{} does not follow {} yet", third.address(), spare.address());
    assert!(operation["detail"].as_str().is_some_and(|detail| detail.contains(&told)), "{operation:#}");
    rig.wait("its note", |service| service["note"].as_str().is_some_and(|note| note.starts_with(&told)));
    third.restart();
    wait_for("it follows", PATIENCE, || third.info("master_port") == spare.port().to_string());
    rig.wait("no note", |service| service["note"] == "");
    let kinds = rig.journal("svc=cart").into_iter().map(|record| record["detail"]["what"].clone());
    assert_eq!(kinds.filter(|what| what == "strayed" || what == "gathered").count(), 2);
}

#[test]
fn the_other_standby_follows_the_new_primary() {
    require_server!("redis7");
    let (main, spare) = RedisServer::pair("redis7");
    let third = RedisServer::builder("redis7").replica_of(&main).start();
    third.wait_synced();
    let rig = Rig::start(&[("main", vec![&main, &third]), ("spare", vec![&spare])], "");
    let mut load = Load::new(rig.port);
    load.writers(10);
    load.progress(10);
    rig.wait_ready();
    rig.switch("spare");
    load.progress(10);
    wait_role(&spare, "master");
    for standby in [&main, &third] {
        wait_for("it follows the new primary", PATIENCE, || {
            standby.info("master_port") == spare.port().to_string() && standby.info("master_link_status") == "up"
        });
    }
    load.finish(spare.port());
    third.wait_synced();
    rig.wait_steady();
}

#[test]
fn without_replication_only_the_route_moves() {
    require_server!("redis7");
    let (main, spare) = (RedisServer::start("redis7"), RedisServer::start("redis7"));
    let rig = Rig::start(&[("main", vec![&main]), ("spare", vec![&spare])], "replication = \"none\"");
    let mut client = rig.raw();
    client.send("SET where main\r\n").expect("+OK\r\n");
    rig.wait_ready();
    rig.switch("spare");
    assert_eq!(client.command(&["GET", "where"]), Reply::Null, "the same connection, the other cluster");
    client.send("SET where spare\r\n").expect("+OK\r\n");
    assert_eq!(main.command(&["GET", "where"]).text(), "main");
    assert_eq!(spare.command(&["GET", "where"]).text(), "spare");
    for server in [&main, &spare] {
        assert_eq!(server.info("role"), "master", "roles are not Pointsman's to touch");
        assert_eq!(fence(server), "0", "nor is it fenced");
    }
}

#[test]
fn a_switch_to_where_the_route_is_changes_nothing() {
    require_server!("redis7");
    let (rig, main, _spare) = Rig::pair("");
    let epoch = rig.service()["epoch"].clone();
    let operation = rig.switch_ends("main", &[], 0);
    assert_eq!(operation["outcome"], "done", "{operation:#}");
    assert_eq!(rig.service()["epoch"], epoch);
    assert_eq!(main.info("role"), "master");
}

/// An idempotency key is the same operation for a day, over a restart too; with another body it is refused.
#[test]
fn a_key_is_remembered_over_a_restart() {
    require_server!("redis7");
    let (mut rig, _main, spare) = Rig::pair("");
    rig.wait_ready();
    let body = serde_json::json!({"to": "spare", "reason": "a test"});
    let first = keyed(&rig, &body);
    assert_eq!(first.0, 200, "{}", first.1);
    wait_role(&spare, "master");
    let epoch = rig.service()["epoch"].clone();
    assert_eq!(keyed(&rig, &body).1["id"], first.1["id"], "the same operation");
    rig.pointsman.kill();
    rig.pointsman.launch();
    rig.wait_steady();
    assert_eq!(keyed(&rig, &body).1["id"], first.1["id"], "after a restart too");
    assert_eq!(rig.service()["epoch"], epoch, "and nothing was switched again");
    assert_eq!(keyed(&rig, &serde_json::json!({"to": "main"})).0, 422, "another request by the same key");
}

/// A switchover request with an idempotency key, by hand, since the harness sends none.
fn keyed(rig: &Rig, body: &serde_json::Value) -> (u16, serde_json::Value) {
    let body = body.to_string();
    let mut raw = Raw::connect_unix(&rig.pointsman.folder().join("admin.sock"));
    raw.send(format!(
        "POST /v1/services/cart/switchover HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Idempotency-Key: test-key\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let answer = String::from_utf8(raw.until_closed()).expect("text");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    let json = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {answer}")))
}
