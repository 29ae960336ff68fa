//! Planned switches under load.

use super::{
    idle::{Idle, Readers},
    load::Load,
    scene::{on_both, prepared, ready, servers, takes_writes, wait_follows, wait_writable},
};
use crate::{
    common::{PATIENCE, wait_for},
    scene::{QUICK, is_stopped},
};
use std::time::{Duration, Instant};

/// As many as the goal of the project says.
const SESSIONS: usize = 32;
/// How many more do nothing, or read.
const IDLE: usize = 4;

/// There and back: no error, no dropped connection, nothing lost, nothing twice, session state intact.
pub fn planned() -> String {
    on_both(|component| {
        let nodes = servers(component, 1);
        let rig = ready(&nodes, "");
        let mut idle = Idle::start(rig.port, IDLE);
        // An open transaction would be waited for, and the switch refused in the end.
        idle.commit();
        let load = Load::start(rig.port, SESSIONS, "w");
        let readers = Readers::start(rig.port, IDLE);
        load.progress(200);
        let mut stalls = Vec::new();
        let mut begun = Vec::new();
        for (to, from, name) in [(1, 0, "b"), (0, 1, "a")] {
            rig.wait_ready();
            begun.push(Instant::now());
            let operation = rig.switch(name);
            wait_writable(&nodes[to]);
            load.progress(200);
            wait_follows(&nodes[from], &nodes[to]);
            assert!(!takes_writes(&nodes[from]));
            idle.are_intact();
            stalls.push(operation["client_stall_ms"].as_f64().unwrap_or(f64::NAN));
        }
        let ledger = load.finish();
        let reads = readers.finish();
        ledger.is_clean(&nodes[0]);
        assert_eq!((ledger.cut, ledger.unknown.len(), ledger.undone.len()), (0, 0, 0), "{:?}", ledger.undone);
        assert!(ledger.lost(&nodes[0]).is_empty(), "{:?}", ledger.lost(&nodes[0]));
        let gaps: Vec<Duration> = begun.iter().map(|begun| ledger.gap(*begun)).collect();
        format!(
            "{SESSIONS} sessions, {} rows, {reads} reads, 0 errors, 0 lost, 0 twice, 0 cut; stalls {stalls:.0?} ms, longest silence {} ms",
            ledger.acknowledged.len(),
            gaps[0].as_millis()
        )
    })
}

/// The candidate dies in the hold of a planned switch, before it has caught up: the old route opens, and nothing is lost.
pub fn candidate_dies_in_catch_up() -> String {
    on_both(|component| {
        let mut nodes = servers(component, 1);
        let mut rig = prepared(&nodes, QUICK);
        rig.pointsman = rig.pointsman.environment("POINTSMAN_STOP_AT", "before_act_catch_up");
        rig.pointsman.launch();
        rig.wait_ready();
        let load = Load::start(rig.port, 8, "w");
        load.progress(100);
        let operation = std::thread::scope(|scope| {
            let switching = scope.spawn(|| rig.switch_ends("b", &[], 4));
            wait_for("it stops in the hold", PATIENCE, || is_stopped(rig.pointsman.id()));
            nodes[1].kill();
            rig.pointsman.thaw();
            switching.join().expect("rolled back")
        });
        assert_eq!(operation["outcome"], "rolled_back", "{operation:#}");
        load.progress(100);
        let ledger = load.finish();
        ledger.is_clean(&nodes[0]);
        assert_eq!((ledger.cut, ledger.unknown.len()), (0, 0));
        assert!(ledger.lost(&nodes[0]).is_empty());
        nodes[1].restart();
        rig.wait_ready();
        format!("rolled back; of {} acknowledged rows lost 0, 0 cut", ledger.acknowledged.len())
    })
}
