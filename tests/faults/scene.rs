//! What scenarios share: pairs, questions to the journal, and conditions that must hold for a while.

use crate::{
    common::{
        PATIENCE, holds_within,
        raw::Reply,
        redis_server::{Builder, RedisServer},
        wait_for,
    },
    rig::Rig,
    table,
};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Probes as quick as the goals of the project ask for.
pub const QUICK: &str = "[services.cart.health]\ninterval = \"100ms\"\nfall = 2";

/// As [`QUICK`], where two seconds of silence are a hang.
pub const HANG: &str = "[services.cart.health]\ninterval = \"100ms\"\nfall = 2\nhang_window = \"2s\"";

/// Which server the scenarios are played on, as `tests/servers/install` calls it: `POINTSMAN_SERVER`, else Redis 7.
pub fn component() -> String {
    std::env::var("POINTSMAN_SERVER").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "redis7".to_owned())
}

/// One of the [`component`], installed or the scenario is skipped.
pub fn a_server() -> Builder {
    let component = component();
    table::needs(&component);
    RedisServer::builder(&component)
}

/// A server that keeps every acknowledged write over a kill -9.
pub fn durable() -> Builder {
    a_server().set("appendonly", "yes").set("appendfsync", "always")
}

/// A primary made by `build`, and `standbys` of it, all in sync.
#[track_caller]
pub fn servers(build: impl Fn() -> Builder, standbys: usize) -> Vec<RedisServer> {
    let mut all = vec![build().start()];
    for _ in 0..standbys {
        let standby = build().replica_of(&all[0]).start();
        all.push(standby);
    }
    all[1..].iter().for_each(RedisServer::wait_synced);
    all
}

/// One service whose clusters are these servers, ready for a switch. They are called a, b, c.
#[track_caller]
pub fn ready(servers: &[RedisServer], settings: &str) -> Rig {
    let mut rig = prepared(servers, settings);
    rig.pointsman.launch();
    rig.wait_ready();
    rig
}

/// As [`ready`], not yet started.
#[track_caller]
pub fn prepared(servers: &[RedisServer], settings: &str) -> Rig {
    let clusters: Vec<_> = ["a", "b", "c"].into_iter().zip(servers.iter().map(|server| vec![server])).collect();
    Rig::prepare(&clusters, settings)
}

/// A standby that was copied a moment ago is sent nothing before it has acknowledged its copy, up to a second later, and then all
/// that was written meanwhile at once: a fault in that time is another test.
#[track_caller]
pub fn streams(standby: &RedisServer) {
    streams_key(standby, "w0:0");
}

/// As [`streams`], told by this key.
#[track_caller]
pub fn streams_key(standby: &RedisServer, key: &str) {
    wait_for("the standby streams", PATIENCE, || standby.command(&["EXISTS", key]) == Reply::Integer(1));
    standby.wait_received();
}

/// Pointsman has seen that nobody listens, as it does within milliseconds under traffic.
#[track_caller]
pub fn noticed(rig: &Rig) {
    rig.wait("noticed", |service| service["state"] == "suspect");
}

/// Whether the route leads to this server, open.
#[track_caller]
pub fn wait_route(rig: &Rig, server: &RedisServer) {
    rig.wait("routed there", |service| service["route"]["node"] == server.address() && service["mode"] == "open");
}

/// The condition holds for all of this time.
#[track_caller]
pub fn stays(what: &str, time: Duration, mut condition: impl FnMut() -> bool) {
    assert!(!holds_within(time, || !condition()), "not for {time:?}: {what}");
}

/// Time goes by, in which something is left as it is.
pub fn pass(time: Duration) {
    holds_within(time, || false);
}

/// The service's epoch.
#[track_caller]
pub fn epoch(rig: &Rig) -> u64 {
    rig.service()["epoch"].as_u64().expect("an epoch")
}

/// The journal's changes of one sort, oldest first.
#[track_caller]
pub fn changes(rig: &Rig, what: &str) -> Vec<Value> {
    let records = rig.journal("svc=cart&limit=1000");
    records
        .into_iter()
        .filter(|record| record["detail"]["what"] == what)
        .map(|record| record["detail"].clone())
        .collect()
}

/// The last operation of the journal, once it has ended.
#[track_caller]
pub fn last_operation(rig: &Rig) -> Value {
    let mut last = Value::Null;
    wait_for("an operation's end in the journal", PATIENCE, || {
        last = changes(rig, "ended").pop().map_or(Value::Null, |change| change["operation"].clone());
        !last.is_null()
    });
    last
}

/// The middle one; of an even number the later one of the two.
pub fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

/// Whole milliseconds, each.
pub fn ms(times: &[Duration]) -> String {
    times.iter().map(|time| time.as_millis().to_string()).collect::<Vec<_>>().join(", ")
}

/// How long until `condition` holds.
#[track_caller]
pub fn until(what: &str, condition: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    wait_for(what, PATIENCE, condition);
    begun.elapsed()
}

/// Whether a write would be taken: a primary, and not fenced. Each look has a connection of its own, since a demotion cuts
/// connections.
pub fn takes_writes(server: &RedisServer) -> bool {
    let client = server.client();
    let Ok(mut connection) = client.get_connection() else { return false };
    let role: Result<Vec<redis::Value>, _> = redis::cmd("ROLE").query(&mut connection);
    let fence: Result<Vec<String>, _> =
        redis::cmd("CONFIG").arg("GET").arg("min-replicas-to-write").query(&mut connection);
    let (Ok(role), Ok(fence)) = (role, fence) else { return false };
    role.first() == Some(&redis::Value::BulkString(b"master".to_vec()))
        && fence.get(1).is_some_and(|value| value != "1000")
}

/// Whether a process is stopped, by the kernel's own word.
pub fn is_stopped(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
}
