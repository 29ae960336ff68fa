//! A whole Pointsman before real MySQL and MariaDB servers: what applications feel of a planned switch and of a killed primary.

mod common;

use common::mysql_orders::Orders;
use common::mysql_server::{MysqlServer, PASSWORD, SHOP, rows};
use common::{PATIENCE, Stop, wait_for};
use mysql::prelude::Queryable;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

fn connect(port: u16) -> mysql::Result<mysql::Conn> {
    let options = mysql::OptsBuilder::new().ip_or_hostname(Some("127.0.0.1")).tcp_port(port).prefer_socket(false);
    mysql::Conn::new(options.user(Some(SHOP)).pass(Some(PASSWORD)).db_name(Some("shop")))
}

/// What one application has felt.
#[derive(Default)]
struct Felt {
    committed: u64,
    errors: Vec<String>,
    longest: Duration,
}

/// Commits two rows a transaction by a prepared statement; after an error it goes on, on a new connection if it has to.
fn write_on(port: u16, id: u64, stop: &AtomicBool, sum: &AtomicU64) -> Felt {
    let mut felt = Felt::default();
    let mut app = connect(port).expect("a login");
    let mut insert = app.prep("INSERT INTO t (app, n) VALUES (?, ?)").expect("a statement");
    let mut n = 0_u64;
    while !stop.load(Relaxed) {
        let begun = Instant::now();
        let mut once = || -> mysql::Result<()> {
            let mut transaction = app.start_transaction(mysql::TxOpts::default())?;
            transaction.exec_drop(&insert, (id, n))?;
            transaction.exec_drop(&insert, (id, n + 1))?;
            transaction.commit()
        };
        match once() {
            Ok(()) => {
                felt.committed += 2;
                sum.fetch_add(2, Relaxed);
            }
            Err(mysql::Error::MySqlError(error)) if error.code == 1213 => felt.errors.push("1213".into()),
            Err(error) => {
                felt.errors.push(error.to_string());
                app = connect(port).expect("a login after a loss");
                insert = app.prep("INSERT INTO t (app, n) VALUES (?, ?)").expect("a statement");
            }
        }
        n += 2;
        felt.longest = felt.longest.max(begun.elapsed());
    }
    felt
}

/// Sixteen applications while `act` happens. Returns what they felt.
fn while_applications_write(port: u16, act: impl FnOnce(&AtomicU64)) -> Vec<Felt> {
    let (stop, sum) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (stop, sum) = (&stop, &sum);
        let end = Stop(stop);
        let apps: Vec<_> = (0..16).map(|id| scope.spawn(move || write_on(port, id, stop, sum))).collect();
        wait_for("rows", PATIENCE, || sum.load(Relaxed) > 200);
        act(sum);
        let before = sum.load(Relaxed);
        wait_for("more rows", PATIENCE, || sum.load(Relaxed) > before + 200);
        drop(end);
        apps.into_iter().map(|app| app.join().expect("an application")).collect()
    })
}

fn planned(component: &str) {
    let (primary, replica) = MysqlServer::pair(component);
    let Orders { pointsman, port } = Orders::start(&primary, &replica);
    connect(port)
        .expect("a login")
        .query_drop("CREATE TABLE t (app INT, n INT, PRIMARY KEY (app, n))")
        .expect("a table");
    let felt = while_applications_write(port, |_| {
        pointsman.cli_expect(&["switchover", "orders"], 0);
    });
    let errors: Vec<_> = felt.iter().flat_map(|felt| &felt.errors).collect();
    assert!(errors.is_empty(), "{errors:?}\n{}", pointsman.log());
    let committed: u64 = felt.iter().map(|felt| felt.committed).sum();
    assert_eq!(replica.value("SELECT COUNT(*) FROM shop.t"), committed.to_string());
    let history = pointsman.cli_expect(&["history", "orders", "--json"], 0);
    println!("{component}: longest {:?}", felt.iter().map(|felt| felt.longest).max());
    println!("{history}");
}

#[test]
fn a_planned_switch_of_mysql_costs_no_error() {
    require_server!("mysql9");
    planned("mysql9");
}

#[test]
fn a_planned_switch_of_mariadb_costs_no_error() {
    require_server!("mariadb");
    planned("mariadb");
}

fn killed(component: &str) {
    let (mut primary, replica) = MysqlServer::pair(component);
    let Orders { pointsman, port } = Orders::start(&primary, &replica);
    let mut idle = connect(port).expect("a login");
    idle.query_drop("CREATE TABLE t (app INT, n INT, PRIMARY KEY (app, n))").expect("a table");
    let mut outage = Duration::ZERO;
    let felt = while_applications_write(port, |sum| {
        primary.kill();
        let (begun, before) = (Instant::now(), sum.load(Relaxed));
        wait_for("a write", PATIENCE, || sum.load(Relaxed) > before + 32);
        outage = begun.elapsed();
    });
    let errors: Vec<_> = felt.iter().flat_map(|felt| &felt.errors).collect();
    println!("{component}: outage {outage:?}, errors {errors:?}");
    assert!(errors.len() <= 16, "{errors:?}");
    assert!(outage < Duration::from_secs(10), "{outage:?}");
    assert!(rows(&mut idle, "SELECT COUNT(*) FROM t").is_ok(), "an idle session goes on\n{}", pointsman.log());
}

#[test]
fn a_killed_mysql_is_replaced() {
    require_server!("mysql9");
    killed("mysql9");
}

#[test]
fn a_killed_mariadb_is_replaced() {
    require_server!("mariadb");
    killed("mariadb");
}
