//! Primaries, and whole systems, that come back.

use crate::{
    common::{
        PATIENCE,
        raw::Raw,
        redis_server::{Builder, RedisServer},
        wait_for,
    },
    rig::{Rig, fence, wait_role},
    scene::{
        QUICK, a_server, changes, durable, epoch, noticed, ready, servers, stays, streams, streams_key, wait_route,
    },
    survivors::Survivors,
    writers::{Notes, Writers},
};
use std::time::{Duration, Instant};

/// How many clients write.
const WRITERS: usize = 5;

/// It comes back with its data before it counts as gone: nothing happens but a wait.
pub fn within_the_hysteresis() -> String {
    let mut nodes = servers(durable, 1);
    let rig = ready(&nodes, "[services.cart.health]\nfall = 20");
    let before = epoch(&rig);
    let writers = Writers::start(rig.port, WRITERS);
    writers.progress(200);
    streams(&nodes[1]);
    nodes[0].kill();
    noticed(&rig);
    nodes[0].restart();
    writers.progress(200);
    rig.wait_ready();
    let noted = writers.finish();
    noted.no_errors();
    assert_eq!(noted.missing(&nodes[0]), 0);
    assert_eq!(epoch(&rig), before, "no flip");
    assert_eq!(nodes[0].info("role"), "master");
    wait_for("the standby follows again", PATIENCE, || nodes[1].info("master_link_status") == "up");
    format!("same epoch; of {} acknowledged writes lost 0", noted.acknowledged.len())
}

/// It dies, comes back, its heir dies: one flip, then blocked, since who failed a moment ago isn't trusted. It serves again when
/// the routed one is back.
pub fn flapping() -> String {
    let mut nodes = servers(|| durable().with_file(), 1);
    let rig = ready(&nodes, QUICK);
    let writers = Survivors::start(rig.port, WRITERS, "w");
    writers.progress(100);
    streams(&nodes[1]);
    nodes[0].kill();
    wait_route(&rig, &nodes[1]);
    nodes[0].restart();
    rig.wait_ready();
    let flipped = epoch(&rig);
    for _ in 0..3 {
        writers.progress(50);
        nodes[1].kill();
        rig.wait("blocked", |service| {
            service["state"] == "blocked"
                && service["note"].as_str().is_some_and(|note| note.contains("short time ago"))
        });
        stays("one flip", Duration::from_millis(500), || nodes[0].info("role") == "slave");
        nodes[1].restart();
        rig.wait_ready();
    }
    writers.progress(50);
    let noted = writers.finish();
    assert_eq!(epoch(&rig), flipped, "one flip at most");
    assert_eq!(changes(&rig, "began").len(), 1);
    let lost = noted.missing(&nodes[1]);
    assert!(lost <= WRITERS, "{lost} lost");
    format!(
        "4 deaths, 1 flip, 3 times blocked by `cooldown` and served again; of {} writes lost {lost}",
        noted.acknowledged.len()
    )
}

/// How often copies that begin at once are tried, for each way to ask for them.
const AT_ONCE: usize = 20;

/// Writers run when the primary dies, and tell by their connections that it did.
const BUSY: bool = true;
/// They wrote before, and nobody does.
const IDLE: bool = false;

/// What a process ran is in its slow log.
fn telling(copies: &[(&str, &str)]) -> Builder {
    let server = a_server().set("slowlog-log-slower-than", "0").set("slowlog-max-len", "100000");
    copies.iter().fold(server, |server, (name, value)| server.set(name, value))
}

/// It comes back empty at once: its standby's data serves, and it never does. Full copies wait two seconds (Redis ships with five; it
/// counts whole ones, so that one second may be none).
pub fn empty_at_once() -> String {
    let (mut lost, mut acknowledged) = (0, 0);
    for _ in 0..3 {
        let Emptied { serves, lost: gone, acknowledged: all } = emptied(&[("repl-diskless-sync-delay", "2")], BUSY);
        assert!(serves, "the standby was emptied");
        (lost, acknowledged) = (lost + gone, acknowledged + all);
    }
    format!("3 rounds: the standby serves; of {acknowledged} acknowledged writes lost {lost} that were under way")
}

/// The same where full copies begin at once, which may empty the standby before it is parked: then nothing is served, and that is
/// said. How often is counted.
pub fn empty_at_once_undelayed() -> String {
    let ways: [(&str, &[(&str, &str)]); 3] = [
        ("diskless, delay 0", &[("repl-diskless-sync", "yes"), ("repl-diskless-sync-delay", "0")]),
        ("by a file", &[("repl-diskless-sync", "no")]),
        ("delay 5, max-replicas 1", &[("repl-diskless-sync-delay", "5"), ("repl-diskless-sync-max-replicas", "1")]),
    ];
    let kept = |copies, busy| (0..AT_ONCE).filter(|_| emptied(copies, busy).serves).count();
    let counted = ways.map(|(name, copies)| {
        let (busy, idle) = (kept(copies, BUSY), kept(copies, IDLE));
        println!("{name}: {busy}, {idle}");
        format!("{name}: {busy} of {AT_ONCE} under load, {idle} of {AT_ONCE} without")
    });
    format!("the standby serves, else blocked and said: {}", counted.join("; "))
}

/// What became of a pair whose primary came back empty.
struct Emptied {
    /// The standby was promoted with its data; else it was emptied, and that is said.
    serves: bool,
    lost: usize,
    acknowledged: usize,
}

fn emptied(copies: &[(&str, &str)], busy: bool) -> Emptied {
    let mut nodes = servers(|| telling(copies), 1);
    let rig = ready(&nodes, QUICK);
    let mut writers = Writers::start(rig.port, WRITERS);
    writers.progress(200);
    streams(&nodes[1]);
    let mut before = Notes::default();
    if !busy {
        before = writers.finish();
        nodes[1].wait_synced();
        writers = Writers::start(rig.port, 0);
    }
    nodes[0].kill();
    nodes[0].restart();
    let mut serves = false;
    wait_for("the standby serves, or nothing does", PATIENCE, || {
        let service = rig.service();
        serves = service["route"]["node"] == nodes[1].address() && service["mode"] == "open";
        serves || service["state"] == "blocked"
    });
    if !serves {
        return nothing_serves(&rig, &nodes, writers);
    }
    if busy {
        writers.progress(50);
    }
    rig.wait_ready();
    wait_role(&nodes[0], "slave");
    let mut noted = writers.finish();
    noted.no_errors();
    noted.acknowledged.append(&mut before.acknowledged);
    let gone = noted.lost(&nodes[1]);
    let ran = format!("{:?}", nodes[0].command(&["SLOWLOG", "GET", "-1"]).words());
    let stolen: Vec<_> = gone.iter().filter(|(key, _)| ran.contains(&format!("{key:?}"))).collect();
    assert!(stolen.is_empty(), "acknowledged by the empty process, and lost: {stolen:?}");
    let lost = gone.len();
    assert!(lost <= WRITERS, "{lost} of {} lost", noted.acknowledged.len());
    assert_eq!(changes(&rig, "began").len(), 1, "no flip back");
    Emptied { serves, lost, acknowledged: noted.acknowledged.len() }
}

/// Both are empty: nobody is written to by guess, and an operator is told.
fn nothing_serves(rig: &Rig, nodes: &[RedisServer], writers: Writers) -> Emptied {
    let blocked = || rig.service()["state"] == "blocked";
    stays("blocked", Duration::from_secs(1), blocked);
    let note = rig.service()["note"].to_string();
    println!("blocked: {note}");
    let held = nodes[1].command(&["DBSIZE"]).text();
    assert_eq!(held, "0", "the standby has its data and doesn't serve: {note}");
    let ran = format!("{:?}", nodes[0].command(&["SLOWLOG", "GET", "-1"]).words());
    assert!(!ran.contains("\"SET\""), "the empty process was written to: {ran}");
    writers.finish();
    Emptied { serves: false, lost: 0, acknowledged: 0 }
}

/// A server that keeps what it held when it was ended in order, or dumped.
fn dumping() -> Builder {
    a_server().set("save", "3600 1")
}

/// Everything is ended in order, after a planned switch and after a failover whose dead primary never learnt of it; the wrong
/// node comes back first.
pub fn ended() -> String {
    cold(dumping, RedisServer::stop)
}

/// The same, killed after a dump.
pub fn killed() -> String {
    cold(dumping, |server| {
        // One that died before has no say.
        if let Ok(mut raw) = Raw::try_connect(server.port()) {
            assert_eq!(raw.command(&["SAVE"]).text(), "OK");
        }
        server.kill();
    })
}

/// The same, killed with append-only files, which give their data a new history.
pub fn killed_with_logs() -> String {
    cold(durable, RedisServer::kill)
}

fn cold(build: fn() -> Builder, end: fn(&mut RedisServer)) -> String {
    let mut nodes = servers(|| build().with_file(), 1);
    let mut rig = ready(&nodes, QUICK);
    let writers = Survivors::start(rig.port, WRITERS, "planned");
    writers.progress(100);
    rig.switch("b");
    writers.progress(100);
    let planned = all_end(&mut rig, &mut nodes, 1, end);
    writers.progress(50);
    let noted = writers.finish();
    assert_eq!(noted.missing(&nodes[1]), 0, "of {}", noted.acknowledged.len());
    rig.wait_ready();

    let writers = Survivors::start(rig.port, WRITERS, "crash");
    writers.progress(100);
    streams_key(&nodes[0], "crash0:0");
    nodes[1].kill();
    wait_route(&rig, &nodes[0]);
    writers.progress(100);
    let crashed = all_end(&mut rig, &mut nodes, 0, end);
    writers.progress(50);
    let noted = writers.finish();
    rig.wait_ready();
    let lost = noted.missing(&nodes[0]);
    assert!(lost <= WRITERS, "{lost} of {}", noted.acknowledged.len());
    format!(
        "after a switch: serves {} ms after the last start; after a failover: {} ms, {lost} lost of those under way",
        planned.as_millis(),
        crashed.as_millis()
    )
}

/// Ends everything, starts the node that isn't routed, then Pointsman, then the routed one. How long until that one serves.
fn all_end(rig: &mut Rig, nodes: &mut [RedisServer], serving: usize, end: fn(&mut RedisServer)) -> Duration {
    let before = epoch(rig);
    // The history that a promotion begins is in the journal within a second.
    let history = nodes[serving].info("master_replid");
    wait_for("its history is known", PATIENCE, || {
        changes(rig, "lineage_seen").last().is_some_and(|seen| seen["lineage"]["id"] == history)
    });
    rig.pointsman.kill();
    nodes.iter_mut().for_each(end);
    nodes[1 - serving].restart();
    rig.pointsman.launch_only();
    wait_for("Pointsman answers", PATIENCE, || !rig.service().is_null());
    let elsewhere = || rig.service()["route"]["node"] == nodes[1 - serving].address();
    stays("nothing serves but the routed node", Duration::from_secs(2), || !elsewhere());
    nodes[serving].restart();
    let begun = Instant::now();
    rig.wait_steady();
    let served = begun.elapsed();
    assert_eq!(rig.service()["route"]["node"], nodes[serving].address());
    wait_for("roles and fences", PATIENCE, || {
        nodes[serving].info("role") == "master"
            && nodes[1 - serving].info("role") == "slave"
            && nodes.iter().all(|node| fence(node) == "0")
    });
    assert!(epoch(rig) >= before, "an older epoch");
    served
}
