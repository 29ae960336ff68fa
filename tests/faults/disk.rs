//! Row 21: the primary's disk is full, or takes nothing any more without saying so.

use crate::{
    common::{
        PATIENCE,
        redis_server::{Builder, RedisServer},
        volume::Volume,
        wait_for,
    },
    rig::{Rig, wait_role},
    scene::{self, HANG, a_server, changes, last_operation, streams, wait_route},
    table,
    writers::{Notes, Writers},
};
use std::time::{Duration, Instant};

const WRITERS: usize = 10;
/// MiB of the primary's disk.
const DISK: u64 = 24;

/// A disk for the primary.
fn volume() -> Volume {
    Volume::new(DISK).unwrap_or_else(|| table::skip("a loop mount"))
}

/// A primary on that disk and its standby, which has another one.
#[track_caller]
fn pair(volume: &Volume, with: &[(&str, &str)], settings: &str) -> (Vec<RedisServer>, Rig) {
    let build = |builder: Builder| {
        let builder = builder.set("repl-ping-replica-period", "1");
        with.iter().fold(builder, |builder, (name, value)| builder.set(name, value))
    };
    let main = build(a_server()).set("dir", &volume.path().display().to_string()).start();
    let spare = build(a_server()).replica_of(&main).start();
    spare.wait_synced();
    let servers = vec![main, spare];
    let rig = scene::ready(&servers, settings);
    (servers, rig)
}

/// A full disk stops every write with MISCONF; the primary lives, so it is left as planned and nothing is lost.
pub fn full_and_says_so() -> String {
    let dumps = round_of_full("dumps", &[("save", "3600 1")]);
    let log = round_of_full("append-only, fsync each second", &[("appendonly", "yes"), ("appendfsync", "everysec")]);
    format!("{dumps}. {log}")
}

fn round_of_full(name: &str, with: &[(&str, &str)]) -> String {
    let volume = volume();
    let (mut servers, rig) = pair(&volume, with, HANG);
    let writers = Writers::start(rig.port, WRITERS);
    writers.progress(200);
    streams(&servers[1]);
    volume.fill();
    let full = Instant::now();
    if name == "dumps" {
        let _ = servers[0].command(&["BGSAVE"]);
    }
    wait_route(&rig, &servers[1]);
    writers.progress(200);
    let notes = writers.finish();
    let refused = notes.errors.iter().filter(|error| error.contains("MISCONF")).count();
    assert_eq!(refused, notes.errors.len(), "{name}: MISCONF is handed on, and nothing else: {:?}", notes.errors);
    assert!(notes.unknown.is_empty(), "{name}: {:?}", notes.unknown);
    assert_eq!(notes.missing(&servers[1]), 0, "{name}: a planned switch loses nothing");
    let operation = last_operation(&rig);
    assert_eq!(operation["kind"], "switchover", "{operation:#}");
    assert!(["done", "partial"].iter().any(|outcome| operation["outcome"] == *outcome), "{operation:#}");
    // Redis ends a standby that can't write to its disk what it is sent (`replica-ignore-disk-write-errors`).
    assert_eq!(rig.raw().command(&["SET", "one", "more"]).text(), "OK");
    // Redis 8 hangs in the report of its own end.
    wait_for("the standby ends itself", PATIENCE, || {
        !servers[0].runs() || servers[0].log().contains("Software Failure")
    });
    servers[0].kill();
    assert!(servers[0].log().contains("unable to write command to disk"), "{}", servers[0].log());
    volume.empty();
    servers[0].restart();
    rig.wait_ready();
    let (gap, acknowledged, outcome) = (notes.gap(full), notes.acknowledged.len(), &operation["outcome"]);
    format!("{name}: {outcome}, gap {} ms, {refused} MISCONF handed on, 0 of {acknowledged} lost", gap.as_millis())
}

/// A server that promised to fsync each write ends itself where it can't: a crash.
pub fn full_and_it_ends_itself() -> String {
    let volume = volume();
    let (mut servers, rig) = pair(&volume, &[("appendonly", "yes"), ("appendfsync", "always")], HANG);
    let writers = Writers::start(rig.port, WRITERS);
    writers.progress(200);
    streams(&servers[1]);
    volume.fill();
    let full = Instant::now();
    wait_role(&servers[1], "master");
    writers.progress(200);
    let notes = writers.finish();
    assert_eq!(last_operation(&rig)["kind"], "failover");
    volume.empty();
    servers[0].restart();
    returned(&rig, &servers, &notes, full)
}

/// A disk that stands still stops the primary at its next write: a hang.
pub fn frozen() -> String {
    let settings = format!("{HANG}\n[services.cart.failover]\nunfenced = \"promote\"");
    let round = |fsync: &str| {
        let volume = volume();
        let (servers, rig) = pair(&volume, &[("appendonly", "yes"), ("appendfsync", fsync)], &settings);
        let writers = Writers::start(rig.port, WRITERS);
        writers.progress(200);
        streams(&servers[1]);
        let frozen = volume.freeze();
        let stalled = Instant::now();
        wait_role(&servers[1], "master");
        writers.progress(200);
        drop(frozen);
        let thawed = Instant::now();
        // By what Pointsman shows: a demotion cuts connections, ours too.
        rig.wait("demoted", |service| service["clusters"][0]["role"] == "standby");
        let demoted = thawed.elapsed();
        let notes = writers.finish();
        let words = returned(&rig, &servers, &notes, stalled);
        format!("fsync {fsync}: {words}; demoted {} ms after the thaw", demoted.as_millis())
    };
    ["always", "everysec"].map(round).join(". ")
}

/// The old primary follows, and what was lost is within what asynchronous replication may lose.
fn returned(rig: &Rig, servers: &[RedisServer], notes: &Notes, since: Instant) -> String {
    rig.wait_ready();
    wait_role(&servers[0], "slave");
    servers[0].wait_synced();
    assert!(notes.errors.is_empty(), "{:?}", notes.errors);
    assert!(notes.unknown.len() <= WRITERS, "one a connection at most: {}", notes.unknown.len());
    let (missing, gap) = (notes.missing(&servers[1]), notes.gap(since));
    assert!(missing <= WRITERS, "what was under way: {missing}");
    assert!(gap < Duration::from_secs(10), "no write was acknowledged for {gap:?}");
    wait_for("the loss is amended", PATIENCE, || !changes(rig, "amended").is_empty());
    let (acknowledged, unknown) = (notes.acknowledged.len(), notes.unknown.len());
    format!("gap {} ms, {missing} of {acknowledged} lost, {unknown} unknown", gap.as_millis())
}
