//! What an idle connection costs, and one with an upstream of its own.
//!
//! The program under test is the one Cargo built for the tests (a debug build in `make test`): the limit must hold there too.

mod behaviour;
mod common;

use behaviour::side::Kind;
use behaviour::wire::{Got, LIMIT as WAIT, Wire};
use rustix::process::{Resource, getrlimit, setrlimit};

/// Idle connections held.
const CONNECTIONS: u64 = 10_000;
/// Resident bytes that one of them may cost.
const LIMIT: u64 = 4096;
/// Idle subscribers held.
const SUBSCRIBERS: u64 = 2000;
/// Resident bytes that one of them may cost, its session and its upstream together.
const SUBSCRIBER_LIMIT: u64 = 8192;

fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its resident memory");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") * 1024
}

/// Allows as many open files as there may be, also to Pointsman, which inherits it.
fn allow_files(needed: u64) {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).expect("the soft limit up to the hard one");
    assert!(files.maximum.is_none_or(|most| most > needed), "open files are limited to {files:?}");
}

#[test]
fn an_idle_connection_costs_little() {
    require_server!("redis7");
    allow_files(CONNECTIONS + 500);
    let side = Kind { service: "max_connections = 12000", ..Kind::plain("redis7") }.through();
    let id = side.pointsman.as_ref().expect("a Pointsman").id();
    // What is needed once (buffers, upstreams) is not counted.
    let mut first: Vec<Wire> = (0..200).map(|_| side.connect()).collect();
    for wire in &mut first {
        assert_eq!(wire.ask(&["SET", "k", "v"]), b"+OK\r\n");
    }
    let before = resident(id);
    let mut held: Vec<Wire> = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut wire = side.connect();
        // Idle, but not unused: it has been served.
        assert_eq!(wire.ask(&["GET", "k"]), b"$1\r\nv\r\n");
        held.push(wire);
    }
    let each = resident(id).saturating_sub(before) / CONNECTIONS;
    println!("{each} bytes a connection");
    assert!(each <= LIMIT, "{each} bytes a connection");
    assert_eq!(held[0].ask(&["GET", "k"]), b"$1\r\nv\r\n");
}

#[test]
fn an_idle_subscriber_costs_little() {
    require_server!("redis7");
    // Both ends of Pointsman's connections, and the server's.
    allow_files(2 * SUBSCRIBERS + 500);
    let side = Kind { settings: &[("maxclients", "4000")], ..Kind::plain("redis7") }.through();
    let id = side.pointsman.as_ref().expect("a Pointsman").id();
    let subscribe = || {
        let mut wire = side.connect();
        assert!(wire.ask(&["SUBSCRIBE", "news"]).ends_with(b"news\r\n:1\r\n"));
        wire
    };
    let _first: Vec<Wire> = (0..100).map(|_| subscribe()).collect();
    let before = resident(id);
    let mut held: Vec<Wire> = (0..SUBSCRIBERS).map(|_| subscribe()).collect();
    let each = resident(id).saturating_sub(before) / SUBSCRIBERS;
    println!("{each} bytes a subscriber");
    assert!(each <= SUBSCRIBER_LIMIT, "{each} bytes a subscriber");
    let told = side.connect().ask(&["PUBLISH", "news", "x"]);
    assert_eq!(told, format!(":{}\r\n", SUBSCRIBERS + 100).into_bytes());
    let message = Got::Frame(b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n".to_vec());
    assert!(held.iter_mut().all(|wire| wire.frame(WAIT) == message));
}
