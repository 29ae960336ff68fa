//! The harness itself, on real servers: what every other test relies on.

mod common;

use common::certificates::Certificates;
use common::process::Process;
use common::raw::{Raw, Reply};
use common::redis_server::RedisServer;
use common::{PATIENCE, holds_within, wait_for};
use std::path::Path;
use std::time::Duration;

/// Every server that can be had starts, answers, and names the version it is taken for.
#[track_caller]
fn starts_and_answers(component: &str, version: &str) {
    let server = RedisServer::builder(component).user("app on >secret ~* +@all").unix_socket().start();
    assert_eq!(server.command(&["SET", "key", "value"]), Reply::Simple("OK".into()));
    assert!(server.info("redis_version").starts_with(version), "{component} is {}", server.info("redis_version"));
    let mut raw = Raw::connect_unix(&server.unix_socket());
    assert_eq!(raw.command(&["AUTH", "app", "secret"]), Reply::Simple("OK".into()));
    assert_eq!(raw.command(&["GET", "key"]), Reply::Bulk(b"value".to_vec()));
}

#[test]
fn redis6_starts() {
    require_server!("redis6");
    starts_and_answers("redis6", "6.0");
}

#[test]
fn redis7_starts() {
    require_server!("redis7");
    starts_and_answers("redis7", "7.0");
}

#[test]
fn redis8_starts() {
    require_server!("redis8");
    starts_and_answers("redis8", "8.");
}

#[test]
fn valkey_starts() {
    require_server!("valkey");
    // Valkey says the Redis version it is compatible with.
    starts_and_answers("valkey", "7.2");
}

#[test]
fn a_pair_replicates_and_survives_freeze_kill_and_restart() {
    require_server!("redis7");
    let (mut primary, replica) = RedisServer::pair("redis7");
    primary.command(&["SET", "key", "value"]);
    replica.wait_synced();
    assert_eq!(replica.command(&["GET", "key"]), Reply::Bulk(b"value".to_vec()));

    primary.freeze();
    let mut raw = primary.raw();
    raw.request(&["PING"]);
    assert!(raw.is_silent_for(Duration::from_millis(50)), "a frozen server answers");
    primary.thaw();
    raw.expect("+PONG\r\n");

    primary.kill();
    raw.expect_closed();
    wait_for("the replica sees it", PATIENCE, || replica.info("master_link_status") == "down");
    primary.restart();
    assert_eq!(primary.command(&["DBSIZE"]), Reply::Integer(0));
    replica.wait_synced();
    primary.stop();
    assert!(Raw::try_connect(primary.port()).is_err());
}

#[test]
fn a_configuration_file_can_be_rewritten() {
    require_server!("redis7");
    let mut server = RedisServer::builder("redis7").with_file().user("app on >secret ~* +@all").start();
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "1000"]);
    assert_eq!(server.command(&["CONFIG", "REWRITE"]), Reply::Simple("OK".into()));
    server.kill();
    server.restart();
    let setting = server.command(&["CONFIG", "GET", "min-replicas-to-write"]);
    let expected = ["min-replicas-to-write", "1000"].map(|word| Reply::Bulk(word.into()));
    assert_eq!(setting, Reply::Array(expected.to_vec()));
}

#[test]
fn a_server_speaks_tls_with_the_certificates() {
    require_server!("redis7");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let certificates = Certificates::write(folder.path());
    let server = RedisServer::builder("redis7").tls(&certificates).start();
    let cli = common::servers_folder().join("redis7/redis-cli");
    let output = std::process::Command::new(cli)
        .args(["-h", "localhost", "-p", &server.tls_port().to_string(), "--tls", "--cacert"])
        .arg(&certificates.ca)
        .arg("PING")
        .output()
        .expect("redis-cli starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "PONG", "{output:?}");
}

#[test]
fn a_process_ends_with_its_handle() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let process = Process::start(Path::new("sleep"), &["1000".to_owned()], &[], &folder.path().join("log"));
    let alive = format!("/proc/{}", process.id());
    assert!(Path::new(&alive).exists());
    drop(process);
    assert!(!Path::new(&alive).exists());
}

#[test]
fn waiting_ends_at_the_deadline() {
    assert!(!holds_within(Duration::from_millis(10), || false));
    assert!(std::panic::catch_unwind(|| wait_for("never", Duration::from_millis(10), || false)).is_err());
}

#[test]
fn raw_reads_every_type() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let mut raw = Raw::connect(port);
    let (mut peer, _) = listener.accept().expect("the connection");
    let bytes =
        b"|1\r\n+a\r\n:1\r\n%1\r\n+k\r\n*2\r\n$-1\r\n_\r\n>1\r\n#t\r\n,1.5\r\n!3\r\nERR\r\n=5\r\ntxt:x\r\n-ERR no\r\n";
    std::io::Write::write_all(&mut peer, bytes).expect("sending");
    let nulls = Reply::Array(vec![Reply::Null, Reply::Null]);
    assert_eq!(raw.reply(), Reply::Array(vec![Reply::Simple("k".into()), nulls]));
    assert_eq!(raw.reply(), Reply::Push(vec![Reply::Boolean(true)]));
    assert_eq!(raw.reply(), Reply::Simple("1.5".into()));
    assert_eq!(raw.reply(), Reply::Error("ERR".into()));
    assert_eq!(raw.reply(), Reply::Bulk(b"txt:x".to_vec()));
    assert_eq!(raw.reply(), Reply::Error("ERR no".into()));
    drop(peer);
    raw.expect_closed();
}
