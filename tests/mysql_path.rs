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
