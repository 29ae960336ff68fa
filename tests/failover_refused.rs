//! What is no death of the primary, and what is said about it: a broken path and a disk that takes nothing.

mod common;
#[path = "switchover/rig.rs"]
mod rig;

use common::{PATIENCE, raw::Raw, redis_server::RedisServer, relay::Relay, wait_for};
use rig::{Rig, wait_role};
use std::time::{Duration, Instant};

/// A Pointsman that reaches its primary through a relay, while the standby has its own path.
fn behind_a_relay(settings: &str) -> (Rig, Relay, RedisServer, RedisServer) {
    let main = RedisServer::builder("redis7").set("repl-ping-replica-period", "1").start();
    let spare = RedisServer::builder("redis7").set("repl-ping-replica-period", "1").replica_of(&main).start();
    spare.wait_synced();
    let relay = Relay::to(main.port());
    let settings = format!("[services.cart.health]\ninterval = \"100ms\"\nfall = 2\nhang_window = \"1s\"\n{settings}");
    let rig = Rig::behind(&relay, &main, &spare, &settings);
    (rig, relay, main, spare)
}

#[test]
fn a_path_that_only_we_lost_is_no_death() {
    require_server!("redis7");
    let (rig, relay, main, spare) = behind_a_relay("[services.cart.failover]\nunfenced = \"promote\"");
    let epoch = rig.service()["epoch"].clone();
    let breaks: [fn(&Relay, bool); 2] = [Relay::silence, Relay::refuse];
    for set_broken in breaks {
        set_broken(&relay, true);
        rig.wait("isolated", |service| {
            service["state"] == "isolated" && service["note"].as_str().is_some_and(|note| note.contains("hears it"))
        });
        let since = Instant::now();
        wait_for("longer than any window", PATIENCE, || since.elapsed() > Duration::from_secs(3));
        assert_eq!((rig.service()["epoch"].clone(), spare.info("role").as_str()), (epoch.clone(), "slave"), "no flip");
        set_broken(&relay, false);
        rig.wait_steady();
        assert_eq!(Raw::connect(rig.port).command(&["SET", "k", "v"]).text(), "OK", "service goes on");
    }
    assert_eq!(main.info("role"), "master");
}

/// A disk that can't be written makes Redis refuse writes. It is alive, so nothing is lost by leaving it in order.
#[test]
fn a_primary_that_can_not_save_is_left_as_planned() {
    require_server!("redis7");
    let main = RedisServer::builder("redis7").set("save", "3600 1").start();
    let spare = RedisServer::builder("redis7").replica_of(&main).start();
    spare.wait_synced();
    let rig =
        Rig::start(&[("main", vec![&main]), ("spare", vec![&spare])], "[services.cart.health]\ninterval = \"100ms\"");
    rig.wait_ready();
    let mut client = rig.raw();
    assert_eq!(client.command(&["SET", "before", "v"]).text(), "OK");
    // A folder in the dump's place stands for a disk that takes nothing.
    std::fs::create_dir_all(format!("{}/dump.rdb/in-the-way", folder_of(&main))).expect("a folder");
    let _ = main.command(&["BGSAVE"]);
    wait_role(&spare, "master");
    rig.wait("routed there", |service| service["route"]["node"] == spare.address());
    assert_eq!(client.command(&["SET", "after", "v"]).text(), "OK");
    assert_eq!(spare.command(&["GET", "before"]).text(), "v");
    let began = rig.journal("svc=cart&limit=1000").into_iter().find(|record| record["detail"]["what"] == "began");
    let began = began.expect("an operation");
    assert_eq!(began["detail"]["operation"]["kind"], "switchover", "{began:#}");
    assert!(began["reason"].as_str().is_some_and(|reason| reason.contains("MISCONF")), "{began:#}");
}

fn folder_of(server: &RedisServer) -> String {
    match server.command(&["CONFIG", "GET", "dir"]) {
        common::raw::Reply::Array(pair) if pair.len() == 2 => pair[1].text(),
        other => panic!("CONFIG GET gave {other:?}"),
    }
}
