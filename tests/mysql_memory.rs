//! What an idle session of MySQL costs, its application's connection, its node's, and its state; and one that doesn't read.

mod common;

use common::mysql_path::MysqlPath;
use common::mysql_raw::RawMysql;
use common::mysql_server::{MysqlServer, rows};
use pointsman::protocol::mysql::capability::command as com;

/// Idle sessions held.
const SESSIONS: u64 = 1000;
/// Clients that don't read what they asked for.
const NEVER: u64 = 20;
/// Resident bytes that one of them may cost, the test's own end of its connection included.
const LIMIT: u64 = 16 * 1024;

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory").trim();
    line.trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// One test after the other: both look at this process's memory.
#[test]
fn an_idle_session_costs_little_and_so_does_one_who_never_reads() {
    require_server!("mysql9");
    an_idle_session();
    one_who_never_reads();
}

fn an_idle_session() {
    let server = MysqlServer::builder("mysql9").set("max-connections", "1500").set("open-files-limit", "5000").start();
    let path = MysqlPath::to(&server);
    let one = || {
        let mut raw = RawMysql::log_in(path.port);
        raw.command(com::PING, b"");
        assert!(raw.packet().is_some_and(|(_, payload)| payload[0] == 0));
        raw
    };
    let _first: Vec<RawMysql> = (0..100).map(|_| one()).collect();
    let before = resident();
    let _held: Vec<RawMysql> = (0..SESSIONS).map(|_| one()).collect();
    let each = resident().saturating_sub(before) / SESSIONS;
    println!("{each} bytes a session");
    assert!(each <= LIMIT, "{each} bytes a session");
}

fn one_who_never_reads() {
    let server = MysqlServer::start("mysql9");
    let path = MysqlPath::to(&server);
    let mut other = path.connect();
    let before = resident();
    let mut never: Vec<RawMysql> = (0..NEVER).map(|_| RawMysql::log_in(path.port)).collect();
    for raw in &mut never {
        raw.command(com::QUERY, b"SELECT REPEAT('x', 8000000) UNION ALL SELECT REPEAT('y', 8000000)");
    }
    for _ in 0..200 {
        assert_eq!(rows(&mut other, "SELECT 1").expect("a row"), [["1"]]);
    }
    let each = resident().saturating_sub(before) / NEVER;
    println!("{each} bytes one who never reads");
    assert!(each < 256 * 1024, "{each} bytes one who never reads");
}
