//! Planned switches of whole services of MySQL and MariaDB, there and back, under 32 sessions with prepared statements, transactions and
//! state of their own: no error, no connection lost, nothing lost, nothing twice, and every session as it was.

mod common;

use common::instance::Pointsman;
use common::mysql_server::{MANAGER, MysqlServer, PASSWORD, REPL, SHOP};
use common::ports::free_port;
use common::volume::Volume;
use common::{PATIENCE, Stop, skip, wait_for};
use mysql::prelude::Queryable;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const SESSIONS: u64 = 32;

/// A service `orders` over two servers.
fn start(servers: [&MysqlServer; 2], port: u16) -> Pointsman {
    let login = |table: &str, key: &str, name: &str| {
        format!("[services.orders.{table}]\n{key} = \"{name}\"\npassword_env = \"ORDERS_PASSWORD\"\n")
    };
    let cluster = |name: &str, server: &MysqlServer| {
        format!("[[services.orders.clusters]]\nname = \"{name}\"\nnodes = [\"{}\"]\n", server.address())
    };
    let services = format!(
        "[services.orders]\nkind = \"mysql\"\nlisten = [\"127.0.0.1:{port}\"]\n{}{}\
         [[services.orders.users]]\nname = \"{SHOP}\"\npassword_env = \"ORDERS_PASSWORD\"\n{}{}",
        login("credentials", "username", MANAGER),
        login("replication_user", "name", REPL),
        cluster("main", servers[0]),
        cluster("spare", servers[1]),
    );
    let mut pointsman = Pointsman::prepare(&services).environment("ORDERS_PASSWORD", PASSWORD);
    pointsman.launch();
    ready(&pointsman);
    pointsman
}

fn ready(pointsman: &Pointsman) {
    wait_for("it is steady and ready", PATIENCE, || {
        let (_, service) = pointsman.api("/v1/services/orders", None);
        service["state"] == "steady" && service["switchover_ready"]["ready"] == true
    });
}

/// One session until it is told to stop: how many transactions it committed, and its longest one.
fn session(port: u16, id: u64, stop: &AtomicBool, sum: &AtomicU64) -> mysql::Result<(u64, Duration)> {
    let options = mysql::OptsBuilder::new().ip_or_hostname(Some("127.0.0.1")).tcp_port(port).prefer_socket(false);
    let options = options.user(Some(SHOP)).pass(Some(PASSWORD)).db_name(Some("shop"));
    let mut app = mysql::Conn::new(options.read_timeout(Some(PATIENCE)))?;
    app.query_drop("SET SESSION time_zone = '+03:00', sql_mode = 'ANSI_QUOTES,STRICT_ALL_TABLES'")?;
    app.query_drop(format!("SET @me = {id}"))?;
    let insert = app.prep("INSERT INTO t (app, n) VALUES (?, ?)")?;
    let state = app.prep("SELECT @me, @@SESSION.time_zone, @@SESSION.sql_mode LIKE '%ANSI_QUOTES%'")?;
    let (mut committed, mut longest) = (0_u64, Duration::ZERO);
    while !stop.load(Relaxed) {
        let begun = Instant::now();
        let mut transaction = app.start_transaction(mysql::TxOpts::default())?;
        transaction.exec_drop(&insert, (id, 2 * committed))?;
        transaction.exec_drop(&insert, (id, 2 * committed + 1))?;
        transaction.commit()?;
        longest = longest.max(begun.elapsed());
        committed += 1;
        sum.fetch_add(1, Relaxed);
        let seen: Option<(u64, String, u8)> = app.exec_first(&state, ())?;
        assert_eq!(seen, Some((id, "+03:00".to_owned(), 1)), "the session is as it was");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    Ok((committed, longest))
}

fn there_and_back(component: &str) {
    let (a, b) = MysqlServer::pair(component);
    a.query("CREATE TABLE shop.t (app INT, n INT, PRIMARY KEY (app, n))");
    b.wait_synced(&a);
    let port = free_port();
    let pointsman = start([&a, &b], port);
    let (stop, sum) = (AtomicBool::new(false), AtomicU64::new(0));
    let felt = std::thread::scope(|scope| {
        let (stop, sum) = (&stop, &sum);
        let end = Stop(stop);
        let apps: Vec<_> = (0..SESSIONS).map(|id| scope.spawn(move || session(port, id, stop, sum))).collect();
        let more = |many: u64| {
            let goal = sum.load(Relaxed) + many;
            wait_for("transactions", PATIENCE, || {
                sum.load(Relaxed) >= goal || apps.iter().any(std::thread::ScopedJoinHandle::is_finished)
            });
        };
        for to in ["spare", "main", "spare"] {
            more(200);
            ready(&pointsman);
            pointsman.cli_expect(&["switchover", "orders", "--to", to], 0);
        }
        more(200);
        drop(end);
        apps.into_iter().map(|app| app.join().expect("the session's state is kept")).collect::<Vec<_>>()
    });
    let errors: Vec<String> = felt.iter().filter_map(|felt| felt.as_ref().err().map(ToString::to_string)).collect();
    assert!(errors.is_empty(), "{errors:?}\n{}", pointsman.log());
    let committed: u64 = felt.iter().flatten().map(|(committed, _)| committed).sum();
    assert_eq!(b.value("SELECT COUNT(*) FROM shop.t"), (2 * committed).to_string(), "nothing lost, nothing twice");
    let longest = felt.iter().flatten().map(|(_, longest)| *longest).max();
    println!("{component}: {committed} transactions of {SESSIONS} sessions, the longest {longest:?}");
}

#[test]
fn thirty_two_sessions_of_mysql_9_feel_nothing() {
    require_server!("mysql9");
    there_and_back("mysql9");
}

#[test]
fn thirty_two_sessions_of_mariadb_feel_nothing() {
    require_server!("mariadb");
    there_and_back("mariadb");
}

/// MariaDB writes many an answer to a temporary table first; what a fence needs to know must not be one of them.
#[test]
fn a_mariadb_without_room_for_temporary_tables_is_fenced() {
    require_server!("mariadb");
    let Some(volume) = Volume::new(24) else { return skip::note("a loop mount") };
    let room = volume.path().display().to_string();
    let a = MysqlServer::builder("mariadb").set("tmpdir", &room).start();
    let b = MysqlServer::builder("mariadb").replica_of(&a).start();
    let pointsman = start([&a, &b], free_port());
    volume.fill();
    let answer = a.try_query("SELECT COUNT(*) FROM information_schema.PROCESSLIST");
    assert!(
        answer.as_ref().is_err_and(|error| error.to_string().contains("No space left")),
        "there is room: {answer:?}"
    );
    pointsman.cli_expect(&["switchover", "orders", "--to", "spare"], 0);
    assert_eq!((a.value("SELECT @@GLOBAL.read_only"), b.value("SELECT @@GLOBAL.read_only")), ("1".into(), "0".into()));
    volume.empty();
    ready(&pointsman);
    pointsman.cli_expect(&["switchover", "orders", "--to", "main"], 0);
}
