//! Failovers of other kinds, on real servers: between independent clusters, and by hand; and what is no failover: a primary whose
//! own file makes it a standby, a lost journal, a second manager, writes that the primary refuses.

mod common;
#[path = "switchover/rig.rs"]
mod rig;

use common::{
    PATIENCE,
    ports::free_port,
    raw::Reply,
    redis_server::{Builder, RedisServer},
    wait_for,
};
use rig::{Rig, fence, wait_role};
use serde_json::Value;
use std::{fs::OpenOptions, io::Write};

const QUICK: &str = "[services.cart.health]\ninterval = \"100ms\"\nfall = 2";

fn redis7() -> Builder {
    RedisServer::builder("redis7")
}

fn clusters<'a>(main: &'a RedisServer, spare: &'a RedisServer) -> [(&'static str, Vec<&'a RedisServer>); 2] {
    [("main", vec![main]), ("spare", vec![spare])]
}

fn says(service: &Value, words: &str) -> bool {
    service["note"].as_str().is_some_and(|note| note.contains(words))
}

#[test]
fn an_independent_cluster_takes_over_for_reading_until_somebody_opens_it() {
    require_server!("redis7");
    let (mut main, spare) = (redis7().start(), redis7().start());
    let rig = Rig::start(&clusters(&main, &spare), &format!("replication = \"none\"\n{QUICK}"));
    let mut client = rig.raw();
    assert_eq!(client.command(&["SET", "k", "of main"]).text(), "OK");
    assert_eq!(spare.command(&["SET", "k", "of spare"]).text(), "OK");
    main.kill();
    rig.wait("read only there", |service| {
        service["route"]["node"] == spare.address() && service["mode"] == "read_only" && service["state"] == "steady"
    });
    assert_eq!(client.command(&["GET", "k"]).text(), "of spare");
    assert!(client.command(&["SET", "k", "v"]).text().starts_with("READONLY pointsman:"));
    rig.pointsman.cli_expect(&["mode", "cart", "open"], 0);
    wait_for("open", PATIENCE, || client.command(&["SET", "k", "by order"]).text() == "OK");
    main.restart();
    rig.wait("main is back", |service| service["clusters"][0]["health"] == "up");
    assert_eq!(rig.service()["route"]["node"], spare.address(), "no way back without an order");
    assert_eq!(
        (main.info("role").as_str(), fence(&main).as_str()),
        ("master", "0"),
        "nothing is Pointsman's to change"
    );
}

#[test]
fn a_hung_primary_is_left_by_hand_when_its_guard_is_overridden_by_name() {
    require_server!("redis7");
    let main = redis7().set("repl-ping-replica-period", "1").start();
    let spare = redis7().set("repl-ping-replica-period", "1").replica_of(&main).start();
    spare.wait_synced();
    let rig = Rig::start(&clusters(&main, &spare), &format!("{QUICK}\nhang_window = \"2s\""));
    rig.wait_ready();
    let failover = ["failover", "cart", "--to", "spare", "--reason", "it hangs", "--accept-loss"];
    rig.pointsman.cli_expect(&failover, 3);
    main.freeze();
    rig.wait("blocked", |service| service["state"] == "blocked" && says(service, "can't be fenced"));
    rig.pointsman.cli_expect(&failover, 3);
    assert_eq!(spare.info("role"), "slave");
    rig.pointsman.cli_expect(&[&failover[..], &["--override", "fence"]].concat(), 0);
    assert_eq!(spare.info("role"), "master");
    assert_eq!(rig.raw().command(&["SET", "k", "v"]).text(), "OK");
    let overridden = rig.journal("svc=cart&kind=override&limit=100");
    assert!(overridden.iter().any(|record| record["detail"]["guard"]["name"] == "fence"), "{overridden:#?}");
    main.thaw();
    // Asked of Pointsman: what was sent to the hung server kills its clients when it wakes.
    rig.wait("a standby again", |service| {
        service["state"] == "steady"
            && service["clusters"][0]["role"] == "standby"
            && service["switchover_ready"]["ready"] == true
    });
}

/// Its file says whom it follows, and nobody is there; its data says that it is ours.
#[test]
fn a_primary_that_its_own_file_makes_a_standby_is_opened_again() {
    require_server!("redis7");
    let mut main = redis7().with_file().set("save", "3600 1").start();
    let spare = redis7().replica_of(&main).start();
    spare.wait_synced();
    let rig = Rig::start(&clusters(&main, &spare), "[services.cart.health]\ninterval = \"100ms\"\nfall = 50");
    rig.wait_ready();
    let epoch = rig.service()["epoch"].clone();
    assert_eq!(rig.raw().command(&["SET", "k", "v"]).text(), "OK");
    let Reply::Array(folder) = main.command(&["CONFIG", "GET", "dir"]) else { panic!("no setting") };
    let mut file = OpenOptions::new().append(true).open(format!("{}/redis.conf", folder[1].text())).expect("its file");
    writeln!(file, "replicaof 127.0.0.1 {}", free_port()).expect("its file");
    main.stop();
    main.restart();
    assert_eq!(main.info("role"), "slave", "its file says so");
    wait_role(&main, "master");
    rig.wait_steady();
    assert_eq!(rig.raw().command(&["GET", "k"]).text(), "v");
    assert_eq!(rig.raw().command(&["SET", "k", "w"]).text(), "OK");
    assert_eq!(
        (rig.service()["epoch"].clone(), rig.service()["route"]["node"].clone()),
        (epoch, main.address().into())
    );
    wait_for("the standby follows again", PATIENCE, || spare.command(&["GET", "k"]).text() == "w");
}

#[test]
fn without_its_journal_two_primaries_are_not_told_apart_and_nobody_is_served() {
    require_server!("redis7");
    let (mut main, spare) = RedisServer::pair("redis7");
    let mut rig = Rig::start(&clusters(&main, &spare), QUICK);
    rig.wait_ready();
    main.kill();
    wait_role(&spare, "master");
    rig.wait("routed there", |service| service["route"]["node"] == spare.address() && service["mode"] == "open");
    assert_eq!(rig.raw().command(&["SET", "k", "v"]).text(), "OK");
    rig.pointsman.kill();
    std::fs::remove_dir_all(rig.pointsman.folder().join("state")).expect("the state folder");
    std::fs::remove_file(rig.pointsman.folder().join("admin.sock")).expect("its socket");
    main.restart();
    rig.pointsman.launch_only();
    rig.wait("blocked", |service| service["state"] == "blocked" && says(service, "take writes"));
    assert!(rig.service()["route"].is_null(), "{:#}", rig.service());
    assert_eq!((main.info("role"), spare.info("role")), ("master".into(), "master".into()), "nothing was guessed");
    assert_eq!(main.command(&["REPLICAOF", "127.0.0.1", &spare.port().to_string()]).text(), "OK");
    rig.wait_steady();
    assert_eq!(rig.service()["route"]["node"], spare.address());
    assert_eq!(rig.raw().command(&["GET", "k"]).text(), "v");
}

#[test]
fn of_two_managers_one_is_told_of_the_other_and_moves_nothing() {
    require_server!("redis7");
    let (mut main, spare) = RedisServer::pair("redis7");
    let rigs = [Rig::start(&clusters(&main, &spare), QUICK), Rig::start(&clusters(&main, &spare), QUICK)];
    let told = |rig: &&Rig| says(&rig.service(), "is managed by");
    wait_for("one is told of the other", PATIENCE, || rigs.iter().filter(told).count() == 1);
    let waits = rigs.iter().find(told).expect("just seen");
    let guards = Rig::guards(&waits.switch_ends("spare", &[], 3));
    assert!(!guards.is_empty() && guards.iter().all(|guard| guard == "identity"), "{guards:?}");
    main.kill();
    wait_role(&spare, "master");
    for rig in &rigs {
        rig.wait("routed there", |service| service["route"]["node"] == spare.address() && service["mode"] == "open");
    }
    let began = rigs.each_ref().map(|rig| rig.journal("svc=cart&limit=1000"));
    let began = began.map(|records| records.iter().filter(|record| record["detail"]["what"] == "began").count());
    assert_eq!(began.iter().sum::<usize>(), 1, "one failover, by one of them: {began:?}");
}

/// So that a hang is seen sooner; each start of a server forgets it.
#[test]
fn the_ping_period_is_set_where_the_service_says_so_and_set_again_after_a_restart() {
    require_server!("redis7");
    let mut main = redis7().set("appendonly", "yes").start();
    let spare = redis7().replica_of(&main).start();
    spare.wait_synced();
    let rig = Rig::start(&clusters(&main, &spare), "tune = true\n[services.cart.health]\nfall = 50");
    let period = |server: &RedisServer| match server.command(&["CONFIG", "GET", "repl-ping-replica-period"]) {
        Reply::Array(pair) => pair[1].text(),
        other => panic!("CONFIG GET gave {other:?}"),
    };
    wait_for("both are tuned", PATIENCE, || [&main, &spare].iter().all(|server| period(server) == "1"));
    main.kill();
    main.restart();
    wait_for("tuned again", PATIENCE, || period(&main) == "1");
    rig.wait_steady();
}

/// It answers and refuses writes: no death, and what it says is shown.
#[test]
fn writes_that_the_primary_refuses_are_told_with_their_reason() {
    require_server!("redis7");
    let main = redis7().set("min-replicas-to-write", "1").set("min-replicas-max-lag", "1").start();
    let mut spare = redis7().replica_of(&main).start();
    spare.wait_synced();
    let rig = Rig::start(&clusters(&main, &spare), QUICK);
    rig.wait_ready();
    let epoch = rig.service()["epoch"].clone();
    spare.kill();
    rig.wait("told of NOREPLICAS", |service| says(service, "NOREPLICAS"));
    assert!(rig.raw().command(&["SET", "k", "v"]).text().starts_with("NOREPLICAS"));
    assert_eq!(rig.raw().command(&["GET", "k"]), Reply::Null);
    spare.restart();
    rig.wait_steady();
    assert_eq!(main.command(&["CONFIG", "SET", "maxmemory", "1"]).text(), "OK");
    rig.wait("told of OOM", |service| service["state"] == "steady" && says(service, "OOM"));
    assert!(rig.raw().command(&["SET", "k", "v"]).text().starts_with("OOM"));
    assert_eq!(main.command(&["CONFIG", "SET", "maxmemory", "0"]).text(), "OK");
    rig.wait("all is well", |service| service["state"] == "steady" && service["note"] == "");
    assert_eq!((rig.service()["epoch"].clone(), main.info("role").as_str()), (epoch, "master"), "no flip");
}
