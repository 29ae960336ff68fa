//! `kill -9` at every named point of a planned switch, under load: whatever the moment, Pointsman finishes or rolls back on its
//! return, knows its epoch and its fences, loses no acknowledged write, applies none twice, and never leaves two writable nodes.
//! Debug builds only: a release build has no such points.
#![cfg(debug_assertions)]

mod common;
#[path = "switchover/ledger.rs"]
mod ledger;
#[path = "switchover/load.rs"]
mod load;
#[path = "switchover/rig.rs"]
mod rig;

use common::{PATIENCE, redis_server::RedisServer, wait_for};
use ledger::{Ledger, TwoWriters};
use pointsman::control::CRASH_POINTS;
use rig::{Rig, fence};

/// The points before this one are passed before promotion is sent: from there the switch is rolled back, later it is finished.
const PROMOTE: &str = "before_act_promote";

#[test]
fn a_crash_at_any_point_of_a_switch_is_survived() {
    require_server!("redis7");
    let (main, spare) = RedisServer::pair("redis7");
    let mut rig = Rig::prepare(&[("main", vec![&main]), ("spare", vec![&spare])], "");
    let mut here = "main";
    let ledger = Ledger::start(rig.port, 8);
    let watch = TwoWriters::watch(&main, &spare);
    let promoted = CRASH_POINTS.iter().position(|point| *point == PROMOTE).expect("it is a point");
    for (index, point) in CRASH_POINTS.iter().enumerate() {
        let there = if here == "main" { "spare" } else { "main" };
        rig.pointsman = rig.pointsman.environment("POINTSMAN_CRASH_AT", point);
        rig.pointsman.launch();
        rig.wait_ready();
        ledger.progress(1);
        let epoch = rig.service()["epoch"].as_u64().expect("an epoch");
        // The answer never comes: the process dies in the middle.
        let output = rig.pointsman.cli(&["switchover", "cart", "--to", there, "--timeout", "10s"]);
        wait_for(&format!("the crash at {point} ({output:?})"), PATIENCE, || !rig.pointsman.runs());

        rig.pointsman = rig.pointsman.environment("POINTSMAN_CRASH_AT", "");
        rig.pointsman.launch();
        rig.wait_steady();
        let service = rig.service();
        assert!(service["epoch"].as_u64() >= Some(epoch), "{point}: an older epoch than {epoch}: {service}");
        let routed = service["route"]["cluster"].as_str().expect("a route").to_owned();
        assert!(index < promoted || routed == there, "{point}: promoted, and not finished: {service}");
        let (new, old) = if routed == "main" { (&main, &spare) } else { (&spare, &main) };
        wait_for(&format!("{point}: roles and fences"), PATIENCE, || {
            new.info("role") == "master" && old.info("role") == "slave" && fence(old) == "0" && fence(new) == "0"
        });
        ledger.progress(1);
        here = if routed == "main" { "main" } else { "spare" };
        println!("{point}: back on {here} at epoch {}", service["epoch"]);
    }
    watch.finish();
    let (routed, other) = if here == "main" { (&main, &spare) } else { (&spare, &main) };
    let acknowledged = ledger.finish(routed);
    other.wait_synced();
    println!("{} points, {acknowledged} acknowledged writes, none lost, none twice", CRASH_POINTS.len());
}
