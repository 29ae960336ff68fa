//! A primary's process dies, and comes back.

use super::{
    idle::{Idle, Readers},
    load::{Ledger, Load},
    scene::{
        is_named, on_both, ready, semi_synchronous, servers, strays, takes_writes, wait_follows, wait_route,
        wait_writable,
    },
};
use crate::{
    common::{PATIENCE, mysql_server::MysqlServer, wait_for},
    rig::Rig,
    scene::{QUICK, epoch, last_operation, median, ms, noticed},
};
use std::time::{Duration, Instant};

/// How many sessions write.
const SESSIONS: usize = 16;
/// How many do nothing, have a transaction open, or read.
const IDLE: usize = 4;
/// How many times a crash is timed.
const ROUNDS: usize = 5;

/// With an interval of 100 ms and two failed probes.
pub fn kills() -> String {
    on_both(|component| rounds(component, QUICK))
}

/// With shipped defaults.
pub fn kills_by_default() -> String {
    on_both(|component| rounds(component, ""))
}

fn rounds(component: &str, settings: &str) -> String {
    let all: Vec<Crash> = (0..ROUNDS).map(|_| crash(component, settings)).collect();
    let gaps: Vec<_> = all.iter().map(|crash| crash.gap).collect();
    let middle = median(&gaps);
    assert!(middle <= Duration::from_secs(1), "the median of {} ms is {middle:?}", ms(&gaps));
    let sum =
        |field: fn(&Crash) -> usize| all.iter().map(|crash| field(crash).to_string()).collect::<Vec<_>>().join(", ");
    format!(
        "gaps {} ms; lost {}; cut {} of {SESSIONS}; of {} rows of unknown outcome the new primary has {}, the old one {}; strays {}",
        ms(&gaps),
        sum(|crash| crash.lost),
        sum(|crash| crash.cut),
        sum(|crash| crash.unknown[0]),
        sum(|crash| crash.unknown[1]),
        sum(|crash| crash.unknown[2]),
        sum(|crash| crash.strays)
    )
}

struct Crash {
    gap: Duration,
    lost: usize,
    cut: usize,
    strays: usize,
    /// Rows of unknown outcome: all, those that the new primary has, those that the old one has.
    unknown: [usize; 3],
}

fn crash(component: &str, settings: &str) -> Crash {
    let mut nodes = servers(component, 1);
    let rig = ready(&nodes, settings);
    let mut idle = Idle::start(rig.port, IDLE);
    let load = Load::start(rig.port, SESSIONS, "w");
    let readers = Readers::start(rig.port, IDLE);
    load.progress(200);
    nodes[1].wait_synced(&nodes[0]);
    nodes[0].kill();
    let crash = Instant::now();
    wait_writable(&nodes[1]);
    wait_route(&rig, &nodes[1]);
    load.progress(200);
    let ledger = load.finish();
    assert!(readers.finish() > 0, "no read");
    ledger.is_clean(&nodes[1]);
    idle.are_intact();
    idle.were_rolled_back();
    // Only a session whose write was under way may be cut; the others keep their connection.
    assert!(ledger.cut <= ledger.unknown.len() + ledger.undone.len(), "{ledger:?}");
    let lost = ledger.lost(&nodes[1]).len();
    assert!(lost <= 2 * SESSIONS, "asynchronous replication loses what was under way: {lost}");
    let operation = last_operation(&rig);
    assert_eq!((&operation["kind"], &operation["outcome"]), (&"failover".into(), &"done".into()), "{operation:#}");
    assert_eq!(operation["lost"]["known"], false, "not known before it returned: {operation:#}");
    let strays = comes_back(&rig, &mut nodes);
    let unknown = [ledger.unknown.len(), ledger.unknown_at(&nodes[1]), ledger.unknown_at(&nodes[0])];
    Crash { gap: ledger.gap(crash), lost, cut: ledger.cut, strays, unknown }
}

/// The old primary returns: a standby if it holds nothing else, fenced and named if it does. How many transactions it holds alone.
fn comes_back(rig: &Rig, nodes: &mut [MysqlServer]) -> usize {
    nodes[0].restart();
    wait_for("it is fenced", PATIENCE, || !takes_writes(&nodes[0]));
    let alone = strays(&nodes[0], &nodes[1]);
    if alone.count == 0 {
        rig.wait_ready();
        wait_follows(&nodes[0], &nodes[1]);
    } else {
        is_named(rig, &nodes[0], &alone);
    }
    alone.count
}

/// A primary that comes back with transactions nobody else has: made here, so that it is certain.
pub fn returned_with_strays() -> String {
    on_both(|component| {
        let mut nodes = servers(component, 1);
        let rig = ready(&nodes, QUICK);
        let load = Load::start(rig.port, SESSIONS, "w");
        load.progress(100);
        nodes[1].query(nodes[1].pick("STOP REPLICA IO_THREAD", "STOP SLAVE IO_THREAD"));
        // What nobody else receives any more, and Pointsman nothing of.
        nodes[0].query("INSERT INTO shop.ledger (id, who) VALUES ('stray:1', 'stray')");
        nodes[0].kill();
        wait_route(&rig, &nodes[1]);
        load.progress(100);
        nodes[0].restart();
        wait_for("it is fenced", PATIENCE, || !takes_writes(&nodes[0]));
        let alone = strays(&nodes[0], &nodes[1]);
        assert!(alone.count > 0, "{alone:?}");
        is_named(&rig, &nodes[0], &alone);
        load.progress(100);
        let ledger = load.finish();
        ledger.is_clean(&nodes[1]);
        assert_eq!(nodes[1].query("SELECT 1 FROM shop.ledger WHERE id = 'stray:1'").len(), 0, "never merged");
        format!("fenced, {} named; {} rows lost with it", alone.said, ledger.lost(&nodes[1]).len())
    })
}

/// What two have is never lost: a semi-synchronous primary is killed.
pub fn semi_synchronous_dies() -> String {
    on_both(|component| {
        let mut nodes = semi_synchronous(component);
        let rig = ready(&nodes, QUICK);
        let load = Load::start(rig.port, SESSIONS, "w");
        load.progress(200);
        nodes[0].kill();
        let crash = Instant::now();
        wait_route(&rig, &nodes[1]);
        load.progress(200);
        let ledger = load.finish();
        ledger.is_clean(&nodes[1]);
        let lost = ledger.lost(&nodes[1]);
        assert!(lost.is_empty(), "acknowledged by two, and lost: {lost:?}");
        let strays = comes_back(&rig, &mut nodes);
        format!(
            "gap {} ms, 0 of {} acknowledged rows lost; strays {strays}",
            ledger.gap(crash).as_millis(),
            ledger.acknowledged.len()
        )
    })
}

/// It comes back before it counts as gone: nothing happens but a wait.
pub fn within_the_hysteresis() -> String {
    on_both(|component| {
        let mut nodes = servers(component, 1);
        let rig = ready(&nodes, "[services.cart.health]\nfall = 100");
        let before = epoch(&rig);
        let load = Load::start(rig.port, SESSIONS, "w");
        load.progress(100);
        nodes[0].kill();
        let crash = Instant::now();
        noticed(&rig);
        nodes[0].restart();
        load.progress(100);
        rig.wait_ready();
        let ledger: Ledger = load.finish();
        ledger.is_clean(&nodes[0]);
        assert!(ledger.lost(&nodes[0]).is_empty(), "{:?}", ledger.lost(&nodes[0]));
        assert_eq!(epoch(&rig), before, "no flip");
        wait_follows(&nodes[1], &nodes[0]);
        format!(
            "same epoch, gap {} ms; of {} acknowledged rows lost 0, {} connections cut",
            ledger.gap(crash).as_millis(),
            ledger.acknowledged.len(),
            ledger.cut
        )
    })
}

/// The primary dies, and its heir as soon as it is one: the next standby serves.
pub fn candidate_dies() -> String {
    on_both(|component| {
        let mut nodes = servers(component, 2);
        let rig = ready(&nodes, QUICK);
        let load = Load::start(rig.port, SESSIONS, "w");
        load.progress(100);
        nodes[1..].iter().for_each(|standby| standby.wait_synced(&nodes[0]));
        nodes[0].kill();
        let crash = Instant::now();
        let mut heir = 0;
        wait_for("a promotion", PATIENCE, || {
            heir = 1 + usize::from(takes_writes(&nodes[2]));
            nodes[1..].iter().any(takes_writes)
        });
        nodes[heir].kill();
        let third = 3 - heir;
        wait_route(&rig, &nodes[third]);
        load.progress(100);
        let ledger = load.finish();
        ledger.is_clean(&nodes[third]);
        format!(
            "gap {} ms, {} lost that the heir alone had",
            ledger.gap(crash).as_millis(),
            ledger.lost(&nodes[third]).len()
        )
    })
}
