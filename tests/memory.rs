//! What an idle connection costs.
//!
//! The program under test is the one Cargo built for the tests (a debug build in `make test`): the limit must hold there too.

mod behaviour;
mod common;

use behaviour::side::Kind;
use behaviour::wire::Wire;
use rustix::process::{Resource, getrlimit, setrlimit};

/// Idle connections held.
const CONNECTIONS: u64 = 10_000;
/// Resident bytes that one of them may cost.
const LIMIT: u64 = 4096;

fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its resident memory");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") * 1024
}

#[test]
fn an_idle_connection_costs_little() {
    require_server!("redis7");
    // Inherited by Pointsman, which needs as many as this test.
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).expect("the soft limit up to the hard one");
    assert!(files.maximum.is_none_or(|most| most > CONNECTIONS + 500), "open files are limited to {files:?}");

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
