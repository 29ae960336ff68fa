//! `idle_in_transaction` on real servers: a forgotten transaction is rolled back at its node and its application is told; nobody else feels it.

mod common;

use common::mysql_orders::Orders;
use common::mysql_path::MysqlPath;
use common::mysql_raw::RawMysql;
use common::mysql_server::{MysqlServer, rows};
use common::{PATIENCE, wait_for};
use mysql::prelude::Queryable;
use pointsman::protocol::mysql::capability::command;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_millis(600);

/// A connection of the application in the middle of a transaction that has changed a row.
#[track_caller]
fn forget(path: &MysqlPath) -> RawMysql {
    let mut app = RawMysql::log_in(path.port);
    for statement in ["BEGIN", "UPDATE t SET n = 2 WHERE id = 1"] {
        app.command(command::QUERY, statement.as_bytes());
        assert_eq!(app.error(), 0, "{statement}");
    }
    app
}

#[test]
fn a_forgotten_transaction_is_rolled_back_and_its_application_told() {
    require_server!("mysql9");
    require_server!("mariadb");
    for component in ["mysql9", "mariadb"] {
        let server = MysqlServer::start(component);
        server.query("CREATE TABLE shop.t (id INT PRIMARY KEY, n INT)");
        server.query("INSERT INTO shop.t VALUES (1, 1), (2, 1)");
        let path = MysqlPath::with(&server, |settings| settings.idle_in_transaction = Some(LIMIT));
        // One that is busy in its transaction for longer, and one that is idle without: neither is ended.
        let (mut busy, mut idle) = (path.connect(), path.connect());
        let slow = std::thread::spawn(move || {
            busy.query_drop("BEGIN")?;
            busy.query_drop("UPDATE t SET n = 2 WHERE id = 2")?;
            rows(&mut busy, "SELECT SLEEP(1.5)")?;
            busy.query_drop("COMMIT")
        });
        let mut app = forget(&path);
        // Another one waits for the row's lock until the transaction is rolled back.
        let begun = Instant::now();
        path.connect().query_drop("UPDATE t SET n = n + 10 WHERE id = 1").expect("the lock is free again");
        assert!(begun.elapsed() < PATIENCE, "{component}: not by the server's own time-out");
        assert_eq!(server.value("SELECT n FROM shop.t WHERE id = 1"), "11", "{component}: the update was rolled back");
        let told = app.packet().expect("a word before the end");
        assert_eq!((told.0, told.1[0]), (0, 0xff), "as no command's answer");
        assert_eq!(u16::from_le_bytes([told.1[1], told.1[2]]), 4031);
        assert!(String::from_utf8_lossy(&told.1).contains("idle_in_transaction"), "{}", told.1.escape_ascii());
        assert!(app.ends());
        slow.join().expect("a thread").expect("who is at work isn't idle");
        assert_eq!(rows(&mut idle, "SELECT n FROM t WHERE id = 2").expect("no transaction, no limit"), [["2"]]);
        wait_for("only its session was ended", PATIENCE, || path.board.sum(|gauge| &gauge.clients) == 1);
    }
}

#[test]
fn each_statement_begins_the_time_anew_and_autocommit_off_counts() {
    require_server!("mysql9");
    let server = MysqlServer::start("mysql9");
    server.query("CREATE TABLE shop.t (id INT PRIMARY KEY, n INT)");
    let path = MysqlPath::with(&server, |settings| settings.idle_in_transaction = Some(LIMIT));
    let mut app = path.connect();
    app.query_drop("SET autocommit = 0").expect("no transaction yet");
    let begun = Instant::now();
    app.query_drop("INSERT INTO t VALUES (1, 1)").expect("a transaction");
    // The pauses between statements are shorter than the limit, their sum is longer.
    while begun.elapsed() < LIMIT * 3 {
        std::thread::park_timeout(LIMIT / 4);
        app.query_drop("SELECT 1").expect("not idle");
    }
    app.query_drop("COMMIT").expect("committed");
    app.query_drop("INSERT INTO t VALUES (2, 1)").expect("another transaction");
    wait_for("it is ended", PATIENCE, || path.board.sum(|gauge| &gauge.clients) == 0);
    assert!(app.query_drop("SELECT 1").is_err());
    assert_eq!(server.value("SELECT COUNT(*) FROM shop.t"), "1");
}

/// The limit lets a planned switch go on that a forgotten transaction keeps waiting.
#[test]
fn a_planned_switch_goes_on_when_the_forgotten_transaction_has_ended() {
    require_server!("mariadb");
    let (main, spare) = MysqlServer::pair("mariadb");
    main.query("CREATE TABLE shop.t (id INT PRIMARY KEY)");
    let orders = Orders::with(&main, &spare, "idle_in_transaction = \"3s\"", "");
    let mut app = orders.connect();
    app.query_drop("BEGIN").expect("begin");
    app.query_drop("INSERT INTO t VALUES (1)").expect("a row");
    let named = || orders.service().to_string().contains("transaction open");
    wait_for("it keeps a switch waiting", PATIENCE, named);
    orders.pointsman.cli_expect(&["switchover", "orders", "--timeout", "15s"], 0);
    assert!(app.query_drop("SELECT 1").is_err(), "its session was ended");
    assert_eq!(spare.value("SELECT COUNT(*) FROM shop.t"), "0");
}
