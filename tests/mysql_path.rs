//! The data path of MySQL and MariaDB on real servers, without control: what applications see on a route that stands still.

mod common;

use common::mysql_path::MysqlPath;
use common::mysql_server::{MysqlServer, PASSWORD, SHOP, rows};
use mysql::prelude::Queryable;

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

#[test]
fn a_plain_session_runs_queries_and_prepared_statements() {
    require_server!("mysql9");
    require_server!("mariadb");
    both(|component| {
        let server = MysqlServer::start(component);
        let path = MysqlPath::to(&server);
        let mut app = path.connect();
        assert_eq!(rows(&mut app, "SELECT 1, 'a', NULL").expect("rows"), [["1", "a", "NULL"]]);
        rows(&mut app, "CREATE TABLE t (n INT PRIMARY KEY, s VARCHAR(100))").expect("a table");
        let insert = app.prep("INSERT INTO t VALUES (?, ?)").expect("a statement");
        for n in 0..100 {
            app.exec_drop(&insert, (n, format!("text {n}"))).expect("a row");
        }
        let select = app.prep("SELECT s FROM t WHERE n = ?").expect("a statement");
        for n in 0..100 {
            let found: Option<String> = app.exec_first(&select, (n,)).expect("a row");
            assert_eq!(found, Some(format!("text {n}")));
        }
        let all: Vec<(i32, String)> = app.query("SELECT n, s FROM t ORDER BY n").expect("rows");
        assert_eq!(all.len(), 100);
        assert_eq!(number(app.query_drop("SELECT * FROM nowhere")), 1146);
        assert_eq!(rows(&mut app, "SELECT DATABASE()").expect("rows"), [["shop"]]);
        app.query_drop("BEGIN").expect("begin");
        app.query_drop("DELETE FROM t").expect("delete");
        app.query_drop("ROLLBACK").expect("rollback");
        assert_eq!(rows(&mut app, "SELECT COUNT(*) FROM t").expect("rows"), [["100"]]);
    });
}

#[test]
fn logins_are_refused_as_the_server_would() {
    require_server!("mysql9");
    require_server!("mariadb");
    both(|component| {
        let server = MysqlServer::start(component);
        let path = MysqlPath::to(&server);
        let log_in = |user, password, schema| number(mysql::Conn::new(path.options(user, password, schema)));
        assert_eq!(log_in(SHOP, "wrong", None), 1045);
        assert_eq!(log_in("root", "", None), 1045);
        assert!([1044, 1049].contains(&log_in(SHOP, PASSWORD, Some("nowhere"))));
        assert!(mysql::Conn::new(path.options(SHOP, PASSWORD, None)).is_ok());
    });
}

#[test]
fn big_packets_and_results_pass() {
    require_server!("mysql9");
    require_server!("mariadb");
    both(|component| {
        let server = MysqlServer::builder(component).set("max-allowed-packet", "64M").start();
        let path = MysqlPath::to(&server);
        let options = path.options(SHOP, PASSWORD, Some("shop")).max_allowed_packet(Some(64 << 20));
        let mut app = mysql::Conn::new(options).expect("a login");
        for length in [1, 60_000, 70_000, 1 << 20, (1 << 24) - 20, (1 << 24) + 5] {
            let text = "x".repeat(length);
            let found: Option<usize> = app.query_first(format!("SELECT LENGTH('{text}')")).expect("a number");
            assert_eq!(found, Some(length));
            let found: Option<String> = app.query_first(format!("SELECT REPEAT('y', {length})")).expect("a text");
            assert_eq!(found.map(|text| text.len()), Some(length));
        }
        let query = "SELECT 12345678";
        for short in 0..4 {
            // The command's payload is 2^24-1 and about it.
            let filler = " ".repeat((1 << 24) - query.len() - short);
            let found: Option<u32> = app.query_first(format!("{query}{filler}")).expect("a number");
            assert_eq!(found, Some(12_345_678));
        }
    });
}

#[test]
fn kill_means_pointsmans_ids() {
    require_server!("mysql9");
    require_server!("mariadb");
    both(|component| {
        let server = MysqlServer::start(component);
        let path = MysqlPath::to(&server);
        let (mut killer, mut victim) = (path.connect(), path.connect());
        assert!(victim.connection_id() >= 1 << 31 && victim.connection_id() != killer.connection_id());
        let at_node: u32 = victim.query_first("SELECT CONNECTION_ID()").expect("a row").expect("a number");
        assert!(at_node < 1 << 31);
        let id = victim.connection_id();
        let asleep = std::thread::spawn(move || {
            let slept = victim.query_drop("SELECT SLEEP(20)");
            (slept.is_err(), victim)
        });
        common::wait_for("it sleeps", common::PATIENCE, || {
            killer.query_drop(format!("KILL QUERY {id}")).is_ok() && asleep.is_finished()
        });
        let (_, mut victim) = asleep.join().expect("a thread");
        victim.query_drop("SELECT 1").expect("only its statement was killed");
        killer.query_drop(format!("KILL {id}")).expect("killed");
        assert!(victim.query_drop("SELECT 1").is_err(), "it was killed");
        assert_eq!(number(killer.query_drop("KILL 4000000000")), 1094);
        assert_eq!(number(killer.query_drop("KILL 2000000000")), 1094);
    });
}

#[test]
fn a_session_is_reset_and_changes_its_user() {
    require_server!("mysql9");
    require_server!("mariadb");
    both(|component| {
        let server = MysqlServer::builder(component)
            .run("CREATE USER 'other'@'%' IDENTIFIED BY 'password'")
            .run("GRANT SELECT ON shop.* TO 'other'@'%'")
            .start();
        let path = MysqlPath::with(&server, |settings| {
            let password = Some(pointsman::model::secret::Secret::new(&b"password"[..]));
            settings.users.push(pointsman::config::User { name: "other".into(), password, max_connections: Some(1) });
        });
        let mut app = path.connect();
        app.query_drop("SET @a = 7").expect("a variable");
        app.query_drop("CREATE TEMPORARY TABLE tmp (n INT)").expect("a table");
        app.reset().expect("a reset");
        assert_eq!(rows(&mut app, "SELECT @a, DATABASE()").expect("a row"), [["NULL", "shop"]]);
        assert_eq!(number(app.query_drop("SELECT * FROM tmp")), 1146);
        let change = |user: &str, password: &str| {
            mysql::ChangeUserOpts::new()
                .with_user(Some(user.to_owned()))
                .with_pass(Some(password.to_owned()))
                .with_db_name(Some("shop".to_owned()))
        };
        app.change_user(change("other", "password")).expect("another user");
        let user = rows(&mut app, "SELECT USER(), CURRENT_USER()").expect("a row");
        assert!(user[0][0].starts_with("other@"), "{user:?}");
        assert_eq!(number(mysql::Conn::new(path.options("other", "password", None))), 1226);
        assert_eq!(number(app.change_user(change("other", "wrong"))), 1045);
        drop(app);
        common::wait_for("its place is free", common::PATIENCE, || {
            mysql::Conn::new(path.options("other", "password", None)).is_ok()
        });
    });
}

#[test]
fn a_local_file_goes_through() {
    require_server!("mysql9");
    require_server!("mariadb");
    both(|component| {
        let server = MysqlServer::builder(component).set("local-infile", "1").start();
        let path = MysqlPath::to(&server);
        let lines: u64 = 50_000;
        let handler = mysql::LocalInfileHandler::new(move |_, stream| {
            use std::io::Write;
            (0..lines).try_for_each(|n| writeln!(stream, "{n}\tline {n}"))
        });
        let mut app = mysql::Conn::new(path.options(SHOP, PASSWORD, Some("shop")).local_infile_handler(Some(handler)))
            .expect("a login");
        app.query_drop("CREATE TABLE t (n INT, s VARCHAR(50))").expect("a table");
        app.query_drop("LOAD DATA LOCAL INFILE 'whatever' INTO TABLE t").expect("a file");
        assert_eq!(app.query_first::<u64, _>("SELECT COUNT(*) FROM t").expect("a row"), Some(lines));
    });
}

#[test]
fn several_results_and_a_socket_that_is_hidden() {
    require_server!("mysql9");
    require_server!("mariadb");
    both(|component| {
        let server = MysqlServer::start(component);
        let path = MysqlPath::to(&server);
        let mut app = path.connect();
        app.query_drop("CREATE PROCEDURE two() BEGIN SELECT 1; SELECT 2; END").expect("a procedure");
        let mut results =
            app.query_iter("CALL two(); SELECT 3; INSERT INTO nowhere VALUES (1); SELECT 4").expect("results");
        let mut seen = Vec::new();
        while let Some(result) = results.iter() {
            for row in result {
                match row {
                    Ok(row) => seen.push(mysql::from_row::<u32>(row).to_string()),
                    Err(mysql::Error::MySqlError(error)) => seen.push(error.code.to_string()),
                    Err(other) => panic!("{other}"),
                }
            }
        }
        drop(results);
        assert!(seen.starts_with(&["1".to_owned(), "2".into(), "3".into()]), "{seen:?}");
        assert_eq!(rows(&mut app, "SELECT 5").expect("a row"), [["5"]]);
        assert_eq!(rows(&mut app, "SELECT @@socket, @@global.socket, 6").expect("a row"), [["", "", "6"]]);
        // What a driver does by default: it asks for the socket, and goes there if it gets an answer.
        let lured = mysql::Conn::new(path.options(SHOP, PASSWORD, None).prefer_socket(true)).expect("a login");
        assert!(lured.connection_id() >= 1 << 31);
    });
}
