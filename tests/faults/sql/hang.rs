//! A primary that hangs, and what becomes of it when it wakes.

use super::{
    load::Load,
    scene::{is_named, on_both, ready, semi_synchronous, servers, strays, takes_writes, wait_route},
};
use crate::{
    common::{
        PATIENCE,
        mysql_server::{MysqlServer, SHOP},
        wait_for,
    },
    scene::{HANG, epoch, ms, stays, until},
};
use mysql::prelude::Queryable;
use std::time::{Duration, Instant};

const SESSIONS: usize = 16;
const ROUNDS: usize = 5;
/// A server is read-only.
const READ_ONLY: u16 = 1290;

/// With `unfenced = "promote"`: replaced in time, fenced when it wakes, and what it executed then is named.
pub fn hangs() -> String {
    on_both(|component| {
        let (mut gaps, mut fenced, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let nodes = servers(component, 1);
            let rig = ready(&nodes, &format!("{HANG}\n[services.cart.failover]\nunfenced = \"promote\""));
            let load = Load::start(rig.port, SESSIONS, "w");
            load.progress(200);
            nodes[1].wait_synced(&nodes[0]);
            nodes[0].freeze();
            let crash = Instant::now();
            wait_route(&rig, &nodes[1]);
            load.progress(200);
            nodes[0].thaw();
            fenced.push(until("the old primary is fenced", || !takes_writes(&nodes[0])));
            stays("it takes no more writes", Duration::from_millis(300), || !takes_writes(&nodes[0]));
            let ledger = load.finish();
            ledger.is_clean(&nodes[1]);
            gaps.push(ledger.gap(crash));
            // What was acknowledged after the flip is on the new one: nobody wrote through Pointsman to the old one.
            let later: Vec<_> =
                ledger.lost(&nodes[1]).into_iter().filter(|(_, at)| *at > crash + Duration::from_millis(50)).collect();
            assert!(later.is_empty(), "acknowledged by the old primary after it was left: {later:?}");
            let strays = strays(&nodes[0], &nodes[1]);
            if strays.count == 0 {
                wait_for("it follows", PATIENCE, || nodes[0].replicates());
            } else {
                is_named(&rig, &nodes[0], &strays);
            }
            alone.push(strays.count.to_string());
        }
        let slowest = gaps.iter().max().expect("rounds");
        assert!(*slowest <= Duration::from_millis(3500), "back after {} ms", ms(&gaps));
        format!("gaps {} ms; fenced {} ms after SIGCONT; strays, named: {}", ms(&gaps), ms(&fenced), alone.join(", "))
    })
}

/// A semi-synchronous primary finishes nothing without its standby, so it is replaced by itself.
pub fn semi_synchronous_hangs() -> String {
    on_both(|component| semi_synchronous_rounds(component, ""))
}

/// As [`semi_synchronous_hangs`], where it would be replaced anyway.
pub fn semi_synchronous_hangs_unfenced() -> String {
    on_both(|component| semi_synchronous_rounds(component, "[services.cart.failover]\nunfenced = \"promote\""))
}

fn semi_synchronous_rounds(component: &str, policy: &str) -> String {
    let settings = format!("tune = true\n{HANG}\n{policy}");
    let (mut gaps, mut fenced, mut alone, mut acknowledged) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let nodes = semi_synchronous(component);
        let rig = ready(&nodes, &settings);
        let load = Load::start(rig.port, SESSIONS, "w");
        load.progress(100);
        nodes[0].freeze();
        let crash = Instant::now();
        wait_route(&rig, &nodes[1]);
        load.progress(100);
        fenced.push(woken_beside(&nodes[0]));
        wait_for("its setting says so", PATIENCE, || !takes_writes(&nodes[0]));
        load.progress(50);
        let ledger = load.finish();
        ledger.is_clean(&nodes[1]);
        let lost = ledger.lost(&nodes[1]);
        assert!(lost.is_empty(), "acknowledged by two, and lost: {lost:?}");
        acknowledged += ledger.acknowledged.len();
        gaps.push(ledger.gap(crash));
        alone.push(strays(&nodes[0], &nodes[1]).count.to_string());
    }
    let slowest = gaps.iter().max().expect("rounds");
    assert!(*slowest <= Duration::from_millis(3500), "back after {} ms", ms(&gaps));
    format!(
        "gaps {} ms, 0 of {acknowledged} acknowledged rows lost; others refused {} ms after SIGCONT, none acknowledged before; strays {}",
        ms(&gaps),
        ms(&fenced),
        alone.join(", ")
    )
}

/// Wakes a semi-synchronous primary that was left, beside a client that doesn't go through Pointsman and writes there until it is refused
/// for the fence. How long that took; nothing was acknowledged to it before.
fn woken_beside(old: &MysqlServer) -> Duration {
    let write = |number: usize| {
        let mut outsider = old.connect_as(SHOP, Some("shop")).map_err(|_| false)?;
        let row = format!("INSERT INTO ledger (id, who) VALUES ('outsider:{number}', 'outsider')");
        let refused = |error: &mysql::Error| matches!(error, mysql::Error::MySqlError(said) if said.code == READ_ONLY);
        outsider.query_drop(row).map_err(|error| refused(&error))
    };
    old.thaw();
    let (woken, mut number) = (Instant::now(), 0);
    wait_for("an outsider is refused", PATIENCE, || {
        number += 1;
        let told = write(number);
        assert!(told.is_err(), "a write was acknowledged {:?} after it woke", woken.elapsed());
        told == Err(true)
    });
    woken.elapsed()
}

/// With shipped policy and nothing that fences it: blocked, said, and over when it wakes.
pub fn unfenced_blocks() -> String {
    on_both(|component| {
        let nodes = servers(component, 1);
        let rig = ready(&nodes, HANG);
        let before = epoch(&rig);
        nodes[0].freeze();
        let blocked = until("blocked", || {
            let service = rig.service();
            service["state"] == "blocked"
                && service["note"].as_str().is_some_and(|note| note.contains("can't be fenced"))
        });
        assert!(blocked < Duration::from_secs(6), "said only after {blocked:?}: {}", rig.pointsman.log());
        stays("blocked", Duration::from_secs(2), || !takes_writes(&nodes[1]));
        nodes[0].thaw();
        rig.wait_ready();
        assert_eq!(epoch(&rig), before, "no flip");
        let load = Load::start(rig.port, 4, "w");
        load.progress(8);
        load.finish().is_clean(&nodes[0]);
        format!("blocked after {} ms; served again when it woke", blocked.as_millis())
    })
}
