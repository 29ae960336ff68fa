//! A whole Pointsman before MySQL and MariaDB in other arrangements: roles moved by somebody else, independent clusters, and
//! semi-synchronous replication, which makes a primary stop by itself.

mod common;

use common::instance::Pointsman;
use common::mysql_server::{Builder, MANAGER, MysqlServer, PASSWORD, REPL, SHOP, rows};
use common::ports::free_port;
use common::{PATIENCE, wait_for};
use std::fmt::Write as _;
use std::time::Instant;

/// A service `orders`, one cluster a server; `extra` are lines of its table.
fn start(servers: &[&MysqlServer], port: u16, extra: &str) -> Pointsman {
    let mut services = format!(
        "[services.orders]\nkind = \"mysql\"\nlisten = [\"127.0.0.1:{port}\"]\n{extra}\n\
         [services.orders.credentials]\nusername = \"{MANAGER}\"\npassword_env = \"ORDERS_PASSWORD\"\n\
         [services.orders.replication_user]\nname = \"{REPL}\"\npassword_env = \"ORDERS_PASSWORD\"\n\
         [[services.orders.users]]\nname = \"{SHOP}\"\npassword_env = \"ORDERS_PASSWORD\"\n"
    );
    for (index, server) in servers.iter().enumerate() {
        let _ =
            write!(services, "[[services.orders.clusters]]\nname = \"c{index}\"\nnodes = [\"{}\"]\n", server.address());
    }
    let mut pointsman = Pointsman::prepare(&services).environment("ORDERS_PASSWORD", PASSWORD);
    pointsman.launch();
    wait_service(&pointsman, "it is steady", |service| service["state"] == "steady");
    pointsman
}

#[track_caller]
fn wait_service(pointsman: &Pointsman, what: &str, wanted: impl Fn(&serde_json::Value) -> bool) {
    let mut last = serde_json::Value::Null;
    let held = common::holds_within(PATIENCE, || {
        last = pointsman.api("/v1/services/orders", None).1;
        wanted(&last)
    });
    assert!(held, "not in time: {what}\n{last:#}\n{}", pointsman.log());
}

fn routed_to(service: &serde_json::Value, server: &MysqlServer) -> bool {
    service["route"]["node"] == server.address()
}

/// Runs a statement through Pointsman on a new connection.
fn through(port: u16, statement: &str) -> mysql::Result<Vec<Vec<String>>> {
    let options = mysql::OptsBuilder::new().ip_or_hostname(Some("127.0.0.1")).tcp_port(port).prefer_socket(false);
    let options = options.user(Some(SHOP)).pass(Some(PASSWORD)).db_name(Some("shop"));
    rows(&mut mysql::Conn::new(options.read_timeout(Some(PATIENCE)))?, statement)
}

/// Somebody else fences, promotes and demotes by hand; the route follows.
fn followed(component: &str) {
    let (a, b) = MysqlServer::pair(component);
    let port = free_port();
    let pointsman = start(&[&a, &b], port, "replication = \"external\"");
    through(port, "CREATE TABLE t (n INT PRIMARY KEY)").expect("a table");
    a.query(a.pick("SET GLOBAL super_read_only=ON", "SET GLOBAL read_only=ON"));
    b.wait_synced(&a);
    for statement in b.pick(["STOP REPLICA", "RESET REPLICA ALL"], ["STOP SLAVE", "RESET SLAVE ALL"]) {
        b.query(statement);
    }
    b.query("SET GLOBAL read_only=OFF");
    a.follow("127.0.0.1", b.port());
    wait_service(&pointsman, "the route follows", |service| routed_to(service, &b) && service["mode"] == "open");
    through(port, "INSERT INTO t VALUES (1)").expect("a write");
    assert_eq!(b.query("SELECT n FROM shop.t"), [["1"]]);
    assert_eq!(a.value("SELECT @@GLOBAL.read_only"), "1", "nothing is Pointsman's to change");
}

#[test]
fn a_promotion_of_mysql_by_hand_is_followed() {
    require_server!("mysql9");
    followed("mysql9");
}

#[test]
fn a_promotion_of_mariadb_by_hand_is_followed() {
    require_server!("mariadb");
    followed("mariadb");
}

/// Independent clusters: the other one takes over for reading until somebody opens it.
#[test]
fn an_independent_mysql_takes_over_for_reading() {
    require_server!("mysql9");
    let (mut a, b) = (MysqlServer::start("mysql9"), MysqlServer::start("mysql9"));
    for (server, word) in [(&a, "a"), (&b, "b")] {
        server.query("CREATE TABLE shop.t (word TEXT)");
        server.query(&format!("INSERT INTO shop.t VALUES ('{word}')"));
    }
    let port = free_port();
    let pointsman = start(&[&a, &b], port, "replication = \"none\"");
    assert_eq!(through(port, "SELECT word FROM t").expect("a read"), [["a"]]);
    a.kill();
    wait_service(&pointsman, "read only at b", |service| routed_to(service, &b) && service["mode"] == "read_only");
    assert_eq!(through(port, "SELECT word FROM t").expect("a read"), [["b"]]);
    assert!(through(port, "INSERT INTO t VALUES ('x')").is_err(), "only reads");
    pointsman.cli_expect(&["mode", "orders", "open"], 0);
    wait_for("writes are taken", PATIENCE, || through(port, "INSERT INTO t VALUES ('y')").is_ok());
    assert_eq!(b.value("SELECT @@GLOBAL.read_only"), "0");
}

/// A server that acknowledges what it receives and, once it is told to, waits for an acknowledgement and never goes on without.
fn semi_synchronous(component: &str) -> Builder {
    let builder = MysqlServer::builder(component);
    if component == "mariadb" {
        return builder.set("rpl-semi-sync-slave-enabled", "ON").set("rpl-semi-sync-master-timeout", "3600000");
    }
    let builder = builder.set("plugin-load-add", "semisync_source.so").set("plugin-load-add", "semisync_replica.so");
    builder.set("rpl-semi-sync-replica-enabled", "ON").set("rpl-semi-sync-source-timeout", "3600000")
}

/// A semi-synchronous primary hangs: it can't finish a write without its standby, so another takes over without being told to.
fn hung(component: &str) {
    let a = semi_synchronous(component).start();
    let b = semi_synchronous(component).replica_of(&a).start();
    a.query(a.pick("SET GLOBAL rpl_semi_sync_source_enabled=ON", "SET GLOBAL rpl_semi_sync_master_enabled=ON"));
    for statement in b.pick(["STOP REPLICA", "START REPLICA"], ["STOP SLAVE", "START SLAVE"]) {
        b.query(statement);
    }
    let clients = |server: &MysqlServer| {
        server.value(server.pick(
            "SELECT VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME='Rpl_semi_sync_source_clients'",
            "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME='Rpl_semi_sync_master_clients'",
        ))
    };
    // What serves a standby that connected again is seen beside its successor for a moment.
    let serving = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'";
    wait_for("the standby acknowledges", PATIENCE, || b.replicates() && clients(&a) == "1" && a.value(serving) == "1");
    let port = free_port();
    let pointsman = start(&[&a, &b], port, "[services.orders.health]\nhang_window = \"2s\"");
    wait_service(&pointsman, "ready", |service| service["failover_ready"]["ready"] == true);
    through(port, "CREATE TABLE t (n INT PRIMARY KEY)").expect("a table");
    a.freeze();
    let begun = Instant::now();
    wait_service(&pointsman, "b serves", |service| routed_to(service, &b) && service["mode"] == "open");
    let took = begun.elapsed();
    through(port, "INSERT INTO t VALUES (1)").expect("a write without a standby");
    println!("{component}: {took:?} from SIGSTOP to b");
    a.thaw();
    let thawed = Instant::now();
    // Pointsman ends the sessions that are left there, ours among them, so whoever asks may have to ask again.
    let ask = |server: &MysqlServer, statement: &str| {
        server.try_query(statement).map_or_else(|_| String::new(), |rows| format!("{rows:?}"))
    };
    let closed = a.pick("SELECT @@GLOBAL.super_read_only", "SELECT @@GLOBAL.read_only");
    wait_for("a is fenced", PATIENCE, || ask(&a, closed) == r#"[["1"]]"#);
    println!("{component}: fenced {:?} after SIGCONT", thawed.elapsed());
    wait_service(&pointsman, "ready again", |service| service["switchover_ready"]["ready"] == true);
    let status = a.pick("SHOW REPLICA STATUS", "SHOW SLAVE STATUS");
    let synced = common::holds_within(PATIENCE, || ask(&a, "SELECT n FROM shop.t") == r#"[["1"]]"#);
    assert!(synced, "{}\n{}\n{}", ask(&a, status), b.log(), pointsman.log());
    let on = b.pick("SELECT @@GLOBAL.rpl_semi_sync_source_enabled", "SELECT @@GLOBAL.rpl_semi_sync_master_enabled");
    let waits = common::holds_within(PATIENCE, || b.value(on) == "1" && clients(&b) == "1");
    assert!(waits, "b waits for acknowledgements again\n{}", pointsman.log());
    through(port, "INSERT INTO t VALUES (2)").expect("a write that is acknowledged");
}

#[test]
fn a_hung_semi_synchronous_mysql_is_replaced() {
    require_server!("mysql9");
    hung("mysql9");
}

#[test]
fn a_hung_semi_synchronous_mariadb_is_replaced() {
    require_server!("mariadb");
    hung("mariadb");
}
