//! What goes wrong between the hold and the promotion: the old route opens again, and no client has noticed more than a wait.
//! The process is stopped at a named point (debug builds have them), the world is changed, and it goes on.
#![cfg(debug_assertions)]

mod common;
#[path = "switchover/load.rs"]
mod load;
#[path = "switchover/rig.rs"]
mod rig;

use common::{PATIENCE, redis_server::RedisServer, wait_for};
use load::Load;
use rig::{Rig, fence, wait_role};
use serde_json::Value;

/// Runs a switch under load that is stopped at `point` and goes on in a world that `change` has made; gives the operation.
#[track_caller]
fn interrupted(
    point: &str,
    subscribers: bool,
    change: impl FnOnce(&RedisServer, &RedisServer),
    mend: impl FnOnce(&RedisServer, &RedisServer),
) -> Value {
    let (main, spare) = RedisServer::pair("redis7");
    let settings = "[services.cart.failover]\nhold_timeout = \"2s\"";
    let mut rig = Rig::prepare(&[("main", vec![&main]), ("spare", vec![&spare])], settings);
    rig.pointsman = rig.pointsman.environment("POINTSMAN_STOP_AT", point);
    rig.pointsman.launch();
    rig.wait_ready();
    let mut load = Load::new(rig.port);
    load.writers(20);
    load.queue(0);
    if subscribers {
        load.channel(0, load::Protocol::Resp2);
    }
    load.progress(10);
    let epoch = rig.service()["epoch"].as_u64().expect("an epoch");
    let operation = std::thread::scope(|scope| {
        let switching = scope.spawn(|| rig.switch_ends("spare", &[], 4));
        wait_for(&format!("it stops at {point}"), PATIENCE, || is_stopped(rig.pointsman.id()));
        change(&main, &spare);
        rig.pointsman.thaw();
        switching.join().expect("rolled back")
    });
    rig.wait("open", |service| service["mode"] == "open");
    load.progress(10);
    assert_eq!(main.info("role"), "master");
    wait_for("no fence is left", PATIENCE, || fence(&main) == "0");
    assert_eq!(rig.service()["route"]["cluster"], "main");
    assert!(rig.service()["epoch"].as_u64() > Some(epoch), "the hold took an epoch, and its end another");
    mend(&main, &spare);
    rig.wait_ready();
    rig.switch("spare");
    load.progress(10);
    wait_role(&spare, "master");
    load.finish(spare.port());
    operation
}

/// Seconds between the fence and the confirmation, in which the fenced primary pinged its standbys.
#[test]
fn pings_of_the_fenced_primary_are_no_reason_to_give_up() {
    require_server!("redis7");
    let (main, spare) = RedisServer::pair("redis7");
    main.command(&["CONFIG", "SET", "repl-ping-replica-period", "1"]);
    let mut rig = Rig::prepare(&[("main", vec![&main]), ("spare", vec![&spare])], "");
    rig.pointsman = rig.pointsman.environment("POINTSMAN_STOP_AT", "before_act_confirm");
    rig.pointsman.launch();
    rig.wait_ready();
    let mut load = Load::new(rig.port);
    load.writers(8);
    load.progress(10);
    std::thread::scope(|scope| {
        let switching = scope.spawn(|| rig.switch("spare"));
        wait_for("it stops", PATIENCE, || is_stopped(rig.pointsman.id()));
        let offset = || main.info("master_repl_offset").parse::<u64>().expect("an offset");
        let fenced = offset();
        wait_for("three PINGs", PATIENCE, || offset() >= fenced + 3 * 14);
        rig.pointsman.thaw();
        switching.join().expect("done");
    });
    load.progress(10);
    wait_role(&spare, "master");
    load.finish(spare.port());
}

/// Whether a process is stopped, by the kernel's own word.
fn is_stopped(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
}

#[test]
fn the_candidate_hangs_after_the_hold() {
    require_server!("redis7");
    let operation = interrupted("before_act_catch_up", true, |_, spare| spare.freeze(), |_, spare| spare.thaw());
    assert_eq!(operation["outcome"], "rolled_back", "{operation:#}");
}

#[test]
fn somebody_lifts_the_fence_before_the_promotion() {
    require_server!("redis7");
    let lift = |main: &RedisServer, _: &RedisServer| {
        main.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
        main.command(&["CLIENT", "UNPAUSE"]);
    };
    let operation = interrupted("before_act_confirm", true, lift, |_, _| {});
    assert_eq!(operation["outcome"], "rolled_back", "{operation:#}");
}

#[test]
fn the_candidate_loses_its_link_after_the_hold() {
    require_server!("redis7");
    let cut = |_: &RedisServer, spare: &RedisServer| drop(spare.command(&["REPLICAOF", "127.0.0.1", "1"]));
    let back = |main: &RedisServer, spare: &RedisServer| {
        spare.command(&["REPLICAOF", "127.0.0.1", &main.port().to_string()]);
    };
    let operation = interrupted("before_act_catch_up", true, cut, back);
    assert_eq!(operation["outcome"], "rolled_back", "{operation:#}");
}
