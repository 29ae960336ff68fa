//! A planned switch to a standby that is slower than the writers, on real servers: each write waits a little until the standby has caught up,
//! nobody gets an error, and the hold is no longer than with a standby that keeps up.

mod common;

use common::mysql_orders::Orders;
use common::mysql_server::MysqlServer;
use common::{PATIENCE, Stop, holds_within, wait_for};
use mysql::prelude::Queryable;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::park_timeout;
use std::time::{Duration, Instant};

const WRITERS: u64 = 8;
/// Of so many milliseconds the standby stands still for some.
const CYCLE: u64 = 50;

/// What the writers and the brake share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Rows that were acknowledged.
    rows: AtomicU64,
    /// Milliseconds of each [`CYCLE`] for which the standby stands still.
    still: AtomicU64,
}

impl Shared {
    /// Writes rows; returns the longest that one took.
    fn write(&self, orders: &Orders, writer: u64) -> mysql::Result<Duration> {
        let mut app = mysql::Conn::new(orders.options())?;
        let insert = app.prep("INSERT INTO t (writer, n) VALUES (?, ?)")?;
        let (mut n, mut longest) = (0_u64, Duration::ZERO);
        while !self.stop.load(Relaxed) {
            let begun = Instant::now();
            app.exec_drop(&insert, (writer, n))?;
            longest = longest.max(begun.elapsed());
            n += 1;
            self.rows.fetch_add(1, Relaxed);
        }
        Ok(longest)
    }

    /// Has the server stand still for a part of the time, which makes a slow one of it on any machine.
    fn brake(&self, server: &MysqlServer) {
        while !self.stop.load(Relaxed) {
            let still = self.still.load(Relaxed);
            if still > 0 {
                server.freeze();
                park_timeout(Duration::from_millis(still));
                server.thaw();
            }
            park_timeout(Duration::from_millis(CYCLE - still));
        }
    }
}

/// True when the standby is a second behind, in what it has received or what it has applied of that.
fn is_behind(orders: &Orders) -> bool {
    let service = orders.service();
    let spare = &service["clusters"][1];
    let seconds = |key: &str| spare[key].as_f64().unwrap_or_default();
    assert_eq!(spare["name"], "spare");
    seconds("lag_seconds") + seconds("delay_seconds") > 1.0
}

fn slow(component: &str) {
    let (main, spare) = MysqlServer::pair(component);
    main.query("CREATE TABLE shop.t (writer INT, n INT, PRIMARY KEY (writer, n))");
    spare.wait_synced(&main);
    let orders = Orders::start(&main, &spare);
    let shared = Shared::default();
    let (longest, switch) = std::thread::scope(|scope| {
        let (shared, orders) = (&shared, &orders);
        let end = Stop(&shared.stop);
        let writers: Vec<_> = (0..WRITERS).map(|id| scope.spawn(move || shared.write(orders, id))).collect();
        let brake = scope.spawn(|| shared.brake(&spare));
        // Slower and slower, until it doesn't keep up.
        let slow_enough = (0..CYCLE).step_by(5).any(|still| {
            shared.still.store(still, Relaxed);
            holds_within(Duration::from_secs(2), || is_behind(orders))
        });
        let switch = orders.pointsman.cli(&["switchover", "orders", "--timeout", "2m", "--json"]);
        let before = shared.rows.load(Relaxed);
        let more = holds_within(PATIENCE, || shared.rows.load(Relaxed) > before + 100);
        drop(end);
        brake.join().expect("the brake");
        let longest = writers.into_iter().map(|writer| writer.join().expect("a writer")).collect::<Vec<_>>();
        assert!(slow_enough, "the standby keeps up with the writers");
        assert!(more, "writes go on behind the switch");
        (longest, switch)
    });
    let log = orders.pointsman.log();
    assert!(switch.status.success(), "{component}: {switch:?}\n{log}");
    let longest: mysql::Result<Vec<Duration>> = longest.into_iter().collect();
    let longest = longest.unwrap_or_else(|error| panic!("{component}: {error}\n{log}")).into_iter().max();
    let operation: serde_json::Value = serde_json::from_slice(&switch.stdout).expect("JSON");
    let stall = operation["client_stall_ms"].as_f64().expect("a stall");
    let phases = operation["phases"].to_string();
    let pauses: Vec<&str> = log.lines().filter_map(|line| line.split("slow_ms=").nth(1)).collect();
    println!("{component}: stall {stall} ms, the longest write {longest:?}, pauses {pauses:?}, {phases}");
    assert!(!pauses.is_empty(), "{component}: writers were slowed\n{log}");
    assert!(stall < 2000.0 && longest < Some(Duration::from_secs(4)), "{component}: {stall} ms, {longest:?}");
    assert_eq!(spare.value("SELECT COUNT(*) FROM shop.t"), shared.rows.load(Relaxed).to_string(), "{component}");
    wait_for("nobody is slowed any more", PATIENCE, || orders.service()["state"] == "steady");
}

#[test]
fn writers_wait_for_a_slow_standby_of_mysql_9() {
    require_server!("mysql9");
    slow("mysql9");
}

#[test]
fn writers_wait_for_a_slow_standby_of_mariadb() {
    require_server!("mariadb");
    slow("mariadb");
}
