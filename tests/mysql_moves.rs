//! Moves of MySQL and MariaDB sessions on real servers, without control: what applications feel when the route moves or their node dies.

mod common;

use common::mysql_path::MysqlPath;
use common::mysql_server::{MysqlServer, PASSWORD, SHOP, rows};
use mysql::prelude::Queryable;
use pointsman::model::route::{Mode, Readying};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The number of a server's error; 0 for another failure.
fn number<T>(result: Result<T, mysql::Error>) -> u16 {
    match result {
        Err(mysql::Error::MySqlError(error)) => error.code,
        _ => 0,
    }
}

fn both(test: impl Fn(&str)) {
    for component in ["mysql9", "mariadb"] {
        test(component);
    }
}

fn promote(to: &MysqlServer) {
    for statement in to.pick(["STOP REPLICA", "RESET REPLICA ALL"], ["STOP SLAVE", "RESET SLAVE ALL"]) {
        to.query(statement);
    }
    to.query("SET GLOBAL read_only=OFF");
}

/// One application: inserts by a prepared statement, in transactions of two. Returns what was acknowledged, and the longest wait.
fn write_on(options: mysql::OptsBuilder, id: u64, stop: &AtomicBool, sum: &AtomicU64) -> Duration {
    let mut app = mysql::Conn::new(options).expect("a login");
    let insert = app.prep("INSERT INTO t (app, n) VALUES (?, ?)").expect("a statement");
    let mut longest = Duration::ZERO;
    let mut n = 0_u64;
    while !stop.load(Relaxed) {
        let begun = Instant::now();
        let mut transaction = app.start_transaction(mysql::TxOpts::default()).expect("begin");
        transaction.exec_drop(&insert, (id, n)).expect("the first row");
        transaction.exec_drop(&insert, (id, n + 1)).expect("the second row");
        transaction.commit().expect("commit");
        longest = longest.max(begun.elapsed());
        n += 2;
        sum.fetch_add(2, Relaxed);
    }
    longest
}

#[test]
fn a_planned_switch_costs_no_error_and_no_row() {
    require_server!("mysql9");
    require_server!("mariadb");
    both(|component| {
        let (primary, replica) = MysqlServer::pair(component);
        let mut path = MysqlPath::to(&primary);
        path.connect().query_drop("CREATE TABLE t (app INT, n INT, PRIMARY KEY (app, n))").expect("a table");
        let (stop, sum) = (AtomicBool::new(false), AtomicU64::new(0));
        let options = path.options(SHOP, PASSWORD, Some("shop"));
        let longest = std::thread::scope(|scope| {
            let (stop, sum) = (&stop, &sum);
            let end = common::Stop(stop);
            let apps: Vec<_> = (0..16)
                .map(|id| {
                    let options = options.clone();
                    scope.spawn(move || write_on(options, id, stop, sum))
                })
                .collect();
            common::wait_for("rows", common::PATIENCE, || sum.load(Relaxed) > 200);
            path.switch(&primary, &replica);
            let before = sum.load(Relaxed);
            common::wait_for("more rows", common::PATIENCE, || sum.load(Relaxed) > before + 200);
            drop(end);
            apps.into_iter().map(|app| app.join().expect("no error")).max()
        });
        assert_eq!(replica.value("SELECT COUNT(*) FROM shop.t"), sum.load(Relaxed).to_string());
        println!("{component}: the longest transaction took {longest:?}");
        assert!(longest < Some(Duration::from_secs(5)), "{longest:?}");
    });
}

#[test]
fn an_idle_session_goes_on_where_the_route_leads() {
    require_server!("mysql9");
    require_server!("mariadb");
    both(|component| {
        let (primary, replica) = MysqlServer::pair(component);
        let mut path = MysqlPath::to(&primary);
        let mut app = path.connect();
        let port = |app: &mut mysql::Conn| rows(app, "SELECT @@port").expect("a row")[0][0].clone();
        assert_eq!(port(&mut app), primary.port().to_string());
        path.switch(&primary, &replica);
        assert_eq!(port(&mut app), replica.port().to_string());
        assert_eq!(rows(&mut app, "SELECT DATABASE()").expect("a row"), [["shop"]]);
    });
}

#[test]
fn a_transaction_runs_on_in_a_hold_and_others_wait() {
    require_server!("mysql9");
    let (primary, replica) = MysqlServer::pair("mysql9");
    let mut path = MysqlPath::to(&primary);
    let (mut open, mut other) = (path.connect(), path.connect());
    open.query_drop("CREATE TABLE t (n INT PRIMARY KEY)").expect("a table");
    open.query_drop("BEGIN").expect("begin");
    open.query_drop("INSERT INTO t VALUES (1)").expect("a row");
    path.publish(Mode::Open, &primary, Some((&replica, Readying::Warm)));
    path.publish(Mode::Hold, &primary, Some((&replica, Readying::Warm)));
    path.wait_signal(|epoch| pointsman::model::signal::Signal::Held { worker: 0, epoch });
    let waiting = std::thread::spawn(move || (rows(&mut other, "SELECT COUNT(*) FROM t").expect("rows"), other));
    common::wait_for("a held command", common::PATIENCE, || path.board.sum(|gauge| &gauge.held) == 1);
    open.query_drop("INSERT INTO t VALUES (2)").expect("a row in the hold");
    open.query_drop("COMMIT").expect("commit in the hold");
    path.wait_signal(|epoch| pointsman::model::signal::Signal::Drained { worker: 0, epoch });
    assert!(!waiting.is_finished());
    path.publish(Mode::Open, &primary, None);
    assert_eq!(waiting.join().expect("an answer").0, [["2"]]);
}

#[test]
fn a_crash_is_felt_as_a_deadlock_or_a_pause_or_is_said() {
    require_server!("mysql9");
    require_server!("mariadb");
    both(|component| {
        let (mut primary, replica) = MysqlServer::pair(component);
        let path = MysqlPath::to(&primary);
        let mut idle = path.connect();
        idle.query_drop("CREATE TABLE t (n INT PRIMARY KEY)").expect("a table");
        let (mut open, mut reading, mut writing) = (path.connect(), path.connect(), path.connect());
        open.query_drop("BEGIN").expect("begin");
        open.query_drop("INSERT INTO t VALUES (1)").expect("a row");
        replica.wait_synced(&primary);
        let busy = std::thread::spawn(move || {
            let result = rows(&mut reading, "SELECT SLEEP(2), 7");
            (result.map(|rows| rows[0][1].clone()), reading)
        });
        let write = std::thread::spawn(move || {
            let result = writing.query_drop("INSERT INTO t SELECT 5 + SLEEP(2)");
            (number(result), number(writing.query_drop("SELECT 1")))
        });
        common::wait_for("both run", common::PATIENCE, || {
            primary.value(
                "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%SLEEP(2)%' AND user = 'shop'",
            ) == "2"
        });
        primary.kill();
        path.publish(Mode::Hold, &primary, None);
        promote(&replica);
        path.publish(Mode::Open, &replica, None);
        assert_eq!(number(open.query_drop("INSERT INTO t VALUES (2)")), 1213, "the transaction is gone");
        open.query_drop("INSERT INTO t VALUES (3)").expect("the connection stays");
        assert_eq!(rows(&mut idle, "SELECT n FROM t").expect("rows"), [["3"]]);
        assert_eq!(busy.join().expect("a thread").0.expect("sent again"), "7");
        assert_eq!(write.join().expect("a thread"), (1053, 0), "its outcome is unknown, and it is cut");
    });
}
