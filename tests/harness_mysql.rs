//! The harness of MySQL and MariaDB servers: what every test of that kind relies on.

mod common;
#[path = "faults/sql/load.rs"]
mod load;

use common::mysql_server::{MANAGER, MysqlServer, SHOP, rows};
use common::{PATIENCE, certificates::Certificates, wait_for};
use std::time::{Duration, Instant};

/// Replicates, keeps its data over a kill, and says nothing while it is stopped.
#[track_caller]
fn a_pair_survives(component: &str, version: &str) {
    let (mut primary, mut replica) = MysqlServer::pair(component);
    assert!(primary.value("SELECT VERSION()").starts_with(version));
    primary.query("CREATE TABLE shop.t (n INT PRIMARY KEY)");
    let mut app = primary.connect_as(SHOP, Some("shop")).expect("an application's login");
    rows(&mut app, "INSERT INTO t VALUES (1)").expect("a write");
    replica.wait_synced(&primary);
    assert_eq!(replica.query("SELECT n FROM shop.t"), [["1"]]);
    assert_ne!(primary.value("SELECT @@server_id"), replica.value("SELECT @@server_id"));
    assert!(
        replica.connect_as(SHOP, Some("shop")).is_ok_and(|mut app| rows(&mut app, "INSERT INTO t VALUES (2)").is_err())
    );

    primary.kill();
    primary.restart();
    rows(&mut primary.connect_as(SHOP, Some("shop")).expect("up again"), "INSERT INTO t VALUES (3)").expect("a write");
    replica.stop();
    replica.restart();
    wait_for("the replica replicates again", PATIENCE, || replica.replicates());
    replica.wait_synced(&primary);

    primary.freeze();
    let begun = Instant::now();
    let options = mysql::OptsBuilder::new().ip_or_hostname(Some("127.0.0.1")).tcp_port(primary.port());
    let options = options.read_timeout(Some(Duration::from_millis(100)));
    assert!(
        mysql::Conn::new(options).is_err() && begun.elapsed() >= Duration::from_millis(90),
        "a stopped server is silent"
    );
    primary.thaw();
    assert_eq!(primary.query("SELECT COUNT(*) FROM shop.t"), [["2"]]);
    assert!(primary.connect_as(MANAGER, None).is_ok());
}

#[test]
fn a_pair_of_mysql_9_survives() {
    require_server!("mysql9");
    a_pair_survives("mysql9", "9.");
}

#[test]
fn a_pair_of_mariadb_survives() {
    require_server!("mariadb");
    a_pair_survives("mariadb", "10.");
}

#[test]
fn both_take_tls_by_our_certificates() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = Certificates::write(folder.path());
    for component in ["mysql9", "mariadb"] {
        require_server!(component);
        let server = MysqlServer::builder(component).tls(&files).run("CREATE USER 'tls'@'%' REQUIRE SSL").start();
        assert!(server.value("SELECT @@ssl_ca").ends_with("ca.pem"));
        assert!(server.connect_as("tls", None).is_err(), "without TLS it isn't let in");
    }
}

/// Its sessions tell the truth of a server that they talk to directly, over its death too.
#[track_caller]
fn the_load_is_true(component: &str) {
    let mut server = MysqlServer::start(component);
    load::Load::prepare(&server);
    let load = load::Load::start(server.port(), 8, "w");
    load.progress(100);
    server.kill();
    let crash = Instant::now();
    server.restart();
    load.progress(100);
    let ledger = load.finish();
    ledger.is_clean(&server);
    assert!(ledger.lost(&server).is_empty(), "the process died, not the machine: {:?}", ledger.lost(&server));
    assert_eq!(ledger.cut, 8, "each connection was lost once");
    assert!(ledger.unknown.len() <= 16 && ledger.gap(crash) > Duration::from_millis(100), "{:?}", ledger.unknown);
    server.query("DELETE FROM shop.ledger ORDER BY n LIMIT 1");
    assert_eq!(ledger.lost(&server).len(), 1, "a row that is gone is missed");
}

#[test]
fn the_load_of_faults_is_true() {
    require_server!("mysql9");
    the_load_is_true("mysql9");
    require_server!("mariadb");
    the_load_is_true("mariadb");
}
