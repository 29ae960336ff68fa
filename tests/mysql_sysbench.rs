//! sysbench's own read-write load with prepared statements, for which any error is fatal, through a planned switch.
//!
//! The small one runs with all tests. The full one (4 tables of 100,000 rows, both flavours, beside a run directly at the server) is
//! `cargo test --test mysql_sysbench -- --ignored --nocapture`.

mod common;

use common::mysql_orders::Orders;
use common::mysql_server::{MysqlServer, PASSWORD, SHOP};
use common::{PATIENCE, servers_folder, wait_for};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const TABLES: usize = 4;

/// A load on one port.
struct Load {
    port: u16,
    /// Rows of each table.
    rows: usize,
    seconds: usize,
}

impl Load {
    fn sysbench(&self, command: &str) -> Command {
        let mut program = Command::new(servers_folder().join("sysbench/sysbench"));
        program.args(["oltp_read_write", "--mysql-host=127.0.0.1", "--mysql-db=sbtest", "--threads=8"]).args([
            format!("--mysql-port={}", self.port),
            format!("--mysql-user={SHOP}"),
            format!("--mysql-password={PASSWORD}"),
            format!("--tables={TABLES}"),
            format!("--table-size={}", self.rows),
            format!("--time={}", self.seconds),
        ]);
        program.args(["--rand-type=uniform", "--db-ps-mode=auto", "--mysql-ignore-errors=none"]);
        program.args(["--report-interval=1", command]).stdout(Stdio::piped()).stderr(Stdio::piped());
        program
    }

    fn prepare(&self) {
        let prepared = self.sysbench("prepare").output().expect("sysbench");
        assert!(prepared.status.success(), "{}", String::from_utf8_lossy(&prepared.stdout));
    }

    /// Runs, with `act` in the middle; what was said. Exit code 0, and no error, are a must.
    #[track_caller]
    fn run(&self, what: &str, act: impl FnOnce()) -> String {
        let running = self.sysbench("run").spawn().expect("sysbench");
        act();
        let output = running.wait_with_output().expect("its end");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what}: {said}");
        let line = |name: &str| said.lines().find(|line| line.contains(name)).unwrap_or_default().trim().to_owned();
        let errors = line("ignored errors:");
        assert!(errors.contains(" 0 ") && line("reconnects:").contains(" 0 "), "{what}: {said}");
        let seconds: Vec<&str> =
            said.lines().filter_map(|line| line.split("tps: ").nth(1)?.split(' ').next()).collect();
        println!("{what}: {}; max: {}; each second: {seconds:?}", line("transactions:"), line("max:"));
        said.into_owned()
    }
}

/// There and, in the full one, beside a direct run.
fn through_a_switch(component: &str, rows: usize, seconds: usize, direct: bool) {
    let main = MysqlServer::builder(component).set("innodb-buffer-pool-size", "256M").start();
    let spare = MysqlServer::builder(component).set("innodb-buffer-pool-size", "256M").replica_of(&main).start();
    main.query("CREATE DATABASE sbtest");
    let control = Load { port: main.port(), rows, seconds };
    control.prepare();
    let caught_up = || main.executed() == spare.executed();
    wait_for("the standby has the tables", PATIENCE * 6, caught_up);
    if direct {
        control.run(&format!("{component}, direct"), || {});
        wait_for("the standby has caught up", PATIENCE * 6, caught_up);
    }
    let orders = Orders::start(&main, &spare);
    let executed = || main.query("SHOW GLOBAL STATUS LIKE 'Com_stmt_execute'")[0][1].parse::<u64>().expect("a number");
    let before = executed();
    let load = Load { port: orders.port, rows, seconds };
    let mut operation = String::new();
    load.run(&format!("{component}, a planned switch in the middle"), || {
        let begun = Instant::now();
        let third = Duration::from_secs(seconds as u64 / 3);
        wait_for("it is well under way", PATIENCE * 2, || begun.elapsed() > third && executed() > before + 2000);
        operation = orders.pointsman.cli_expect(&["switchover", "orders", "--timeout", "60s", "--json"], 0);
    });
    let operation: serde_json::Value = serde_json::from_str(&operation).expect("JSON");
    println!("{component}: stall {} ms, {}", operation["client_stall_ms"], operation["phases"]);
    assert!(spare.value("SELECT COUNT(*) FROM sbtest.sbtest1") == rows.to_string(), "it deletes and inserts in pairs");
    wait_for("the old primary has what the new one has", PATIENCE * 6, caught_up);
    for table in 1..=TABLES {
        let sum = |server: &MysqlServer| server.query(&format!("CHECKSUM TABLE sbtest.sbtest{table}"));
        assert_eq!(sum(&main), sum(&spare), "{component}: the same on both");
    }
}

#[test]
fn a_small_one_through_a_planned_switch() {
    require_server!("mysql9");
    require_server!("sysbench");
    through_a_switch("mysql9", 20_000, 12, false);
}

#[test]
#[ignore = "a minute and a half a flavour: see above"]
fn the_full_one_on_mysql_9() {
    require_server!("mysql9");
    require_server!("sysbench");
    through_a_switch("mysql9", 100_000, 30, true);
}

#[test]
#[ignore = "a minute and a half a flavour: see above"]
fn the_full_one_on_mariadb() {
    require_server!("mariadb");
    require_server!("sysbench");
    through_a_switch("mariadb", 100_000, 30, true);
}
