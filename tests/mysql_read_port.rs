//! The read port in front of real MySQL and MariaDB servers.

mod common;

use common::instance::Pointsman;
use common::mysql_orders::Orders;
use common::mysql_server::{MysqlServer, PASSWORD, SHOP, rows};
use common::ports::free_port;
use common::{PATIENCE, Stop, holds_within, wait_for};
use mysql::prelude::Queryable;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// A service `orders` over two servers, with a read port.
struct Reads {
    pointsman: Pointsman,
    port: u16,
    read_port: u16,
}

impl Reads {
    #[track_caller]
    fn start(primary: &MysqlServer, replica: &MysqlServer) -> Self {
        let read_port = free_port();
        let keys = format!("listen_read = \"127.0.0.1:{read_port}\"\nfailover = {{ max_lag = \"1s\" }}\n");
        let Orders { pointsman, port } = Orders::with(primary, replica, &keys, "");
        let reads = Self { pointsman, port, read_port };
        reads.wait("ready, and read from the standby", |service| {
            service["switchover_ready"]["ready"] == true && service["read_route"]["cluster"] == "spare"
        });
        reads
    }

    #[track_caller]
    fn wait(&self, what: &str, looks: impl Fn(&serde_json::Value) -> bool) {
        let mut last = serde_json::Value::Null;
        let so = holds_within(PATIENCE, || {
            last = self.pointsman.api("/v1/services/orders", None).1;
            looks(&last)
        });
        assert!(so, "not {what}: {last:#}\n{}", self.pointsman.log());
    }

    #[track_caller]
    fn wait_cluster(&self, cluster: &str) {
        self.wait(&format!("read from {cluster}"), |service| service["read_route"]["cluster"] == cluster);
    }

    fn connect(&self) -> mysql::Conn {
        connect(self.read_port)
    }

    /// Applications that read by a prepared statement without a pause while `act` happens; none may feel an error.
    fn while_they_read(&self, act: impl FnOnce()) {
        let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let (stop, reads) = (&stop, &reads);
            let _end = Stop(stop);
            for _ in 0..3 {
                scope.spawn(move || {
                    let mut app = self.connect();
                    let select = app.prep("SELECT word FROM t WHERE n = ?").expect("a statement");
                    while !stop.load(Relaxed) {
                        let word: Option<String> = app.exec_first(&select, (1,)).expect("a read");
                        assert_eq!(word.as_deref(), Some("one"));
                        reads.fetch_add(1, Relaxed);
                    }
                });
            }
            let more = || {
                let before = reads.load(Relaxed);
                wait_for("reads", PATIENCE, || reads.load(Relaxed) > before + 50);
            };
            more();
            act();
            more();
        });
    }
}

fn connect(port: u16) -> mysql::Conn {
    let options = mysql::OptsBuilder::new().ip_or_hostname(Some("127.0.0.1")).tcp_port(port).prefer_socket(false);
    let options = options.user(Some(SHOP)).pass(Some(PASSWORD)).db_name(Some("shop")).read_timeout(Some(PATIENCE));
    mysql::Conn::new(options).expect("a login")
}

/// The port of the server that a connection reads from.
#[track_caller]
fn asked(app: &mut mysql::Conn) -> u16 {
    app.query_first("SELECT @@port").expect("a read").expect("a row")
}

/// The number of the error that a statement ends with.
#[track_caller]
fn refused(app: &mut mysql::Conn, statement: &str) -> u16 {
    match rows(app, statement) {
        Err(mysql::Error::MySqlError(error)) => error.code,
        other => panic!("{statement}: {other:?}"),
    }
}

/// A primary and its replica with one table of one row, and a function that writes.
fn pair(component: &str) -> (MysqlServer, MysqlServer) {
    let (primary, replica) = MysqlServer::pair(component);
    for statement in [
        "CREATE TABLE shop.t (n INT PRIMARY KEY, word TEXT)",
        "INSERT INTO shop.t VALUES (1, 'one')",
        "CREATE FUNCTION shop.sneak() RETURNS INT DETERMINISTIC MODIFIES SQL DATA \
         BEGIN INSERT INTO shop.t VALUES (99, 'sneaked'); RETURN 1; END",
        // MariaDB's fence would have to write the new function to disk otherwise, in the 200 ms that it has.
        "FLUSH LOCAL TABLES",
    ] {
        primary.query(statement);
    }
    replica.wait_synced(&primary);
    (primary, replica)
}

fn served_by_a_standby_then_by_the_primary(component: &str) {
    let (primary, mut replica) = pair(component);
    let reads = Reads::start(&primary, &replica);
    let mut app = reads.connect();
    app.query_drop("SET @mine = 'kept', SESSION max_join_size = 4711").expect("a SET");
    assert_eq!(asked(&mut app), replica.port());
    assert_eq!(asked(&mut connect(reads.port)), primary.port(), "the other port is the primary's");
    let all_refused = |app: &mut mysql::Conn| {
        for write in ["INSERT INTO t VALUES (2, 'two')", "CREATE TABLE u (n INT)", "SELECT n FROM t FOR UPDATE"] {
            assert_eq!(refused(app, write), 1290, "{write}");
        }
        assert_eq!(refused(app, "SELECT sneak()"), 1792, "a write that can't be seen in the text");
    };
    all_refused(&mut app);
    // Who gives that up is refused by the standby itself, at once: it is read only, and stays so.
    let mut willing = reads.connect();
    willing.query_drop("SET SESSION TRANSACTION READ WRITE").expect("a SET");
    assert_eq!(refused(&mut willing, "SELECT sneak()"), 1290);
    assert_eq!(reads.pointsman.metric(&["pointsman_commands_total{svc=\"orders\"", "outcome=\"retried\""]), Some(0.0));
    drop(willing);
    reads.while_they_read(|| {
        replica.kill();
        reads.wait_cluster("main");
        assert_eq!(asked(&mut app), primary.port());
        all_refused(&mut app);
        app.reset().expect("a reset");
        assert_eq!(refused(&mut app, "SELECT sneak()"), 1792, "after a reset too");
        app.query_drop("USE shop").expect("its schema again");
        app.query_drop("SET @mine = 'kept'").expect("a SET");
        replica.restart();
        replica.query(replica.pick("SET GLOBAL super_read_only=ON", "SET GLOBAL read_only=ON"));
        reads.wait_cluster("spare");
        wait_for("the session moves", PATIENCE, || asked(&mut app) == replica.port());
    });
    assert_eq!(rows(&mut app, "SELECT @mine").expect("a read"), [["kept"]]);
    assert_eq!(primary.value("SELECT COUNT(*) FROM shop.t"), "1");
}

#[test]
fn a_standby_of_mysql_serves_and_the_primary_when_it_is_killed() {
    require_server!("mysql9");
    served_by_a_standby_then_by_the_primary("mysql9");
}

#[test]
fn a_standby_of_mariadb_serves_and_the_primary_when_it_is_killed() {
    require_server!("mariadb");
    served_by_a_standby_then_by_the_primary("mariadb");
}

fn old_data_is_left(component: &str) {
    let (primary, replica) = pair(component);
    let reads = Reads::start(&primary, &replica);
    let mut app = reads.connect();
    assert_eq!(asked(&mut app), replica.port());
    let mut n = 100;
    // What is received and not applied is as old to a reader as what was never received.
    let halves = replica.pick(["REPLICA SQL_THREAD", "REPLICA"], ["SLAVE SQL_THREAD", "SLAVE"]);
    for half in halves {
        reads.while_they_read(|| {
            replica.query(&format!("STOP {half}"));
            let falls_back = || {
                n += 1;
                primary.query(&format!("INSERT INTO shop.t VALUES ({n}, 'new')"));
                asked(&mut app) == primary.port()
            };
            wait_for("reads go to the primary", PATIENCE, falls_back);
            assert_eq!(rows(&mut app, &format!("SELECT word FROM t WHERE n = {n}")).expect("a read"), [["new"]]);
            replica.query(&format!("START {half}"));
            reads.wait_cluster("spare");
            wait_for("the session moves", PATIENCE, || asked(&mut app) == replica.port());
        });
    }
}

#[test]
fn old_data_of_mysql_is_left_and_taken_again() {
    require_server!("mysql9");
    old_data_is_left("mysql9");
}

#[test]
fn old_data_of_mariadb_is_left_and_taken_again() {
    require_server!("mariadb");
    old_data_is_left("mariadb");
}

/// An open transaction on the read port refuses no switch of the service, and is waited for before its port leaves the primary.
fn a_switch_is_followed(component: &str) {
    let (primary, replica) = pair(component);
    let reads = Reads::start(&primary, &replica);
    let mut open = reads.connect();
    open.query_drop("START TRANSACTION").expect("a transaction");
    assert_eq!(rows(&mut open, "SELECT word FROM t WHERE n = 1").expect("a read"), [["one"]]);
    reads.while_they_read(|| {
        reads.pointsman.cli_expect(&["switchover", "orders", "--to", "spare"], 0);
    });
    assert_eq!(rows(&mut open, "SELECT word FROM t WHERE n = 1").expect("a read"), [["one"]], "it goes on");
    assert_eq!(asked(&mut open), replica.port());
    open.query_drop("COMMIT").expect("its end");
    reads.wait_cluster("main");
    wait_for("the session moves", PATIENCE, || asked(&mut open) == primary.port());
    assert_eq!(asked(&mut connect(reads.port)), replica.port());
    connect(reads.port).query_drop("INSERT INTO t VALUES (5, 'five')").expect("a write");
    wait_for("it arrives", PATIENCE, || {
        rows(&mut open, "SELECT word FROM t WHERE n = 5").expect("a read") == [["five"]]
    });
}

#[test]
fn after_a_switch_of_mysql_the_old_primary_serves_reads() {
    require_server!("mysql9");
    a_switch_is_followed("mysql9");
}

#[test]
fn after_a_switch_of_mariadb_the_old_primary_serves_reads() {
    require_server!("mariadb");
    a_switch_is_followed("mariadb");
}

/// The standby that serves reads becomes the primary, and nobody who reads feels it.
#[test]
fn when_a_mysql_primary_is_killed_reads_go_on() {
    require_server!("mysql9");
    let (mut primary, replica) = pair("mysql9");
    let reads = Reads::start(&primary, &replica);
    reads.while_they_read(|| {
        primary.kill();
        reads.wait("failed over", |service| service["route"]["cluster"] == "spare" && service["mode"] == "open");
    });
    let mut app = reads.connect();
    assert_eq!((asked(&mut app), refused(&mut app, "INSERT INTO t VALUES (3, 'three')")), (replica.port(), 1290));
}
