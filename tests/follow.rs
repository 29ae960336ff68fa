//! `replication = "external"`: somebody else moves the roles, and the route follows at once with every session.

mod common;
#[path = "switchover/rig.rs"]
mod rig;
#[path = "failover/writers.rs"]
mod writers;

use common::{
    PATIENCE,
    ports::free_port,
    process::Process,
    raw::Reply,
    redis_server::{RedisServer, program},
    wait_for,
};
use rig::{Rig, fence};
use std::{path::Path, time::Duration};
use writers::Writers;

const EXTERNAL: &str = "replication = \"external\"\n[services.cart.health]\ninterval = \"100ms\"\nfall = 2";

/// Whether the route leads there, and is open.
#[track_caller]
fn wait_route(rig: &Rig, server: &RedisServer) {
    rig.wait("routed there", |service| service["route"]["node"] == server.address() && service["mode"] == "open");
}

/// As an orchestrator's script does: promote first, demote afterwards. What is acknowledged after the promotion must be
/// on the new primary.
#[test]
fn a_promotion_by_a_script_is_followed_by_every_session() {
    require_server!("redis7");
    let (main, spare) = RedisServer::pair("redis7");
    let rig = Rig::start(&[("main", vec![&main]), ("spare", vec![&spare])], EXTERNAL);
    let writers = Writers::start(rig.port, 20);
    writers.progress(200);
    assert_eq!(main.command(&["CLIENT", "PAUSE", "1000", "WRITE"]).text(), "OK");
    spare.wait_synced();
    assert_eq!(spare.command(&["REPLICAOF", "NO", "ONE"]).text(), "OK");
    let port = spare.port().to_string();
    assert_eq!(main.command(&["REPLICAOF", "127.0.0.1", &port]).text(), "OK");
    wait_route(&rig, &spare);
    writers.progress(200);
    let notes = writers.finish();
    assert!(notes.errors.is_empty(), "READONLY is answered again on the new primary: {:?}", notes.errors);
    // What the script held back on the old primary was on its way when the route moved: nobody can tell what becomes of it.
    assert!(notes.unknown.len() <= 20, "one a connection at most: {}", notes.unknown.len());
    assert_eq!(notes.missing(&spare), 0, "what was acknowledged is there");
    assert_eq!(fence(&main), "0", "nothing is Pointsman's to fence");
}

#[test]
fn sentinel_is_followed_after_a_crash() {
    require_server!("redis7");
    let (mut main, spare) = RedisServer::pair("redis7");
    let sentinels = Sentinels::start(&main);
    let rig = Rig::start(&[("main", vec![&main]), ("spare", vec![&spare])], EXTERNAL);
    sentinels.wait_ready();
    let writers = Writers::start(rig.port, 10);
    writers.progress(100);
    main.kill();
    wait_route(&rig, &spare);
    writers.progress(100);
    let notes = writers.finish();
    assert!(notes.errors.is_empty(), "{:?}", notes.errors);
    // It returns as a primary until Sentinel has turned it: nobody is sent there.
    main.restart();
    let mut client = rig.raw();
    for number in 0..50 {
        assert_eq!(client.command(&["SET", &format!("later:{number}"), "v"]).text(), "OK");
    }
    assert_eq!(spare.command(&["EXISTS", "later:49"]), Reply::Integer(1));
    assert_eq!(rig.service()["route"]["node"], spare.address());
}

#[test]
fn of_two_strange_primaries_none_is_guessed() {
    require_server!("redis7");
    let (main, spare) = (RedisServer::start("redis7"), RedisServer::start("redis7"));
    let rig = Rig::prepare(&[("main", vec![&main]), ("spare", vec![&spare])], EXTERNAL);
    let mut rig = rig;
    rig.pointsman.launch_only();
    rig.wait("blocked", |service| service["state"] == "blocked");
    assert!(rig.service()["route"].is_null(), "{:#}", rig.service());
}

/// Three Sentinels that agree within a second.
struct Sentinels {
    ports: Vec<u16>,
    _processes: Vec<Process>,
    _folder: tempfile::TempDir,
}

impl Sentinels {
    fn start(primary: &RedisServer) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let start = |port: &u16| {
            let file = folder.path().join(format!("{port}.conf"));
            let text = format!(
                "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor cart 127.0.0.1 {} 2\n\
                 sentinel down-after-milliseconds cart 500\nsentinel failover-timeout cart 5000\n",
                folder.path().display(),
                primary.port()
            );
            std::fs::write(&file, text).expect("writing a configuration");
            let arguments = [file.display().to_string(), "--sentinel".into()];
            Process::start(&program("redis7"), &arguments, &[], Path::new(&folder.path().join(format!("{port}.log"))))
        };
        let processes = ports.iter().map(start).collect();
        Self { ports, _processes: processes, _folder: folder }
    }

    /// Each knows the other two and the replica.
    #[track_caller]
    fn wait_ready(&self) {
        let knows = |port: &u16| {
            let Ok(mut raw) = common::raw::Raw::try_connect(*port) else { return false };
            let Reply::Array(fields) = raw.command(&["SENTINEL", "MASTER", "cart"]) else { return false };
            let field = |name: &str| {
                let at = fields.iter().position(|field| field.text() == name);
                at.and_then(|at| fields.get(at + 1)).map(Reply::text).unwrap_or_default()
            };
            field("num-other-sentinels") == "2" && field("num-slaves") == "1"
        };
        wait_for("the sentinels know each other", PATIENCE + Duration::from_secs(10), || self.ports.iter().all(knows));
    }
}
