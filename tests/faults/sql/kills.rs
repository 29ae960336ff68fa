//! Pointsman itself is killed, at any moment of a failover; and the primary is locked, which is no death.

use super::{
    load::Load,
    scene::{on_both, prepared, ready, servers, takes_writes},
};
use crate::{
    common::{PATIENCE, mysql_server::MysqlServer, wait_for},
    kills::{Dice, asked, check_journal, seed},
    rig::Rig,
    scene::{QUICK, changes, epoch, pass},
};
use mysql::prelude::Queryable;
use serde_json::Value;
use std::time::{Duration, Instant};

/// How many failovers are broken of each flavour, unless `POINTSMAN_MOMENTS` says otherwise.
const MOMENTS: u64 = 8;
const SESSIONS: usize = 8;
/// An answer that was on its way at the crash arrives within this time.
const UNDER_WAY: Duration = Duration::from_millis(50);

/// Each round, on a fresh pair: the primary is killed, Pointsman at a random moment of the first second after, both come back.
pub fn moments() -> String {
    let (seed, moments) = (seed(), asked("POINTSMAN_MOMENTS").unwrap_or(MOMENTS));
    println!("POINTSMAN_SEED={seed}");
    let told = on_both(|component| {
        let mut dice = Dice(seed);
        let rounds: Vec<(bool, usize)> = (0..moments).map(|number| round(component, number, &mut dice)).collect();
        let flips = rounds.iter().filter(|(flipped, _)| *flipped).count();
        let lost: usize = rounds.iter().map(|(_, lost)| lost).sum();
        format!("{moments} kills, {flips} flips, {lost} rows lost of those under way")
    });
    format!("seed {seed}: {told}")
}

fn round(component: &str, number: u64, dice: &mut Dice) -> (bool, usize) {
    let mut nodes = servers(component, 1);
    let mut rig = prepared(&nodes, QUICK);
    rig.pointsman.launch();
    rig.wait_ready();
    let before = epoch(&rig);
    let load = Load::start(rig.port, SESSIONS, "w");
    load.progress(50);
    nodes[1].wait_synced(&nodes[0]);
    nodes[0].kill();
    let crash = Instant::now();
    let (kill, gone, restart) =
        (dice.ms(if number.is_multiple_of(2) { 150 } else { 1000 }), dice.ms(300), dice.ms(2000));
    pass(kill);
    rig.pointsman.kill();
    pass(gone);
    rig.pointsman.launch_only();
    pass((crash + restart).saturating_duration_since(Instant::now()));
    nodes[0].restart();
    let serving = settles(&rig, &nodes);
    load.progress(20);
    let ledger = load.finish();
    // Whoever came before the route was known was told that the service is closed.
    ledger.is_true(&nodes[serving]);
    let lost = ledger.lost(&nodes[serving]);
    let later = lost.iter().filter(|(_, at)| *at > crash + UNDER_WAY).count();
    assert_eq!(later, 0, "acknowledged after the crash, and gone: two servers took writes");
    assert!(epoch(&rig) >= before, "an older epoch");
    wait_for("the other one takes no writes", PATIENCE, || !takes_writes(&nodes[1 - serving]));
    check_journal(&rig, &mut 0);
    println!(
        "{component} {number}: killed {kill:?} after, away {gone:?}, primary back {restart:?}: node {serving} serves"
    );
    (serving == 1, lost.len())
}

/// The place of the server that is routed in the end, and takes writes.
fn settles(rig: &Rig, nodes: &[MysqlServer]) -> usize {
    let routed = |service: &Value| nodes.iter().position(|node| service["route"]["node"] == node.address());
    let serves = |service: &Value| routed(service).is_some_and(|serving| takes_writes(&nodes[serving]));
    rig.wait("serving", |service| service["mode"] == "open" && serves(service));
    routed(&rig.service()).expect("just seen")
}

/// A global read lock of four seconds: writes wait, reads go on, nobody dies.
pub fn locked() -> String {
    on_both(|component| {
        let nodes = servers(component, 1);
        let rig = ready(&nodes, "");
        let before = epoch(&rig);
        let load = Load::start(rig.port, SESSIONS, "w");
        load.progress(50);
        let mut locking = nodes[0].connect();
        let begun = Instant::now();
        locking.query_drop("FLUSH TABLES WITH READ LOCK").expect("a lock");
        pass(Duration::from_secs(4));
        locking.query_drop("UNLOCK TABLES").expect("no lock");
        load.progress(50);
        let ledger = load.finish();
        ledger.is_clean(&nodes[0]);
        assert_eq!((ledger.cut, ledger.unknown.len(), ledger.undone.len()), (0, 0, 0));
        assert_eq!((epoch(&rig), changes(&rig, "began").len()), (before, 0), "no flip, not even tried");
        format!("writes stood for {} ms; no flip, no error", ledger.gap(begun).as_millis())
    })
}
