//! What a session of MySQL or MariaDB takes along when the route moves, and what keeps it where it is.

mod common;

use common::mysql_path::MysqlPath;
use common::mysql_server::{MysqlServer, rows};
use common::wait_for;
use mysql::prelude::Queryable;
use pointsman::model::route::{Mode, Readying};

/// Everything that a session can see of itself.
const SELF: &str = "SELECT DATABASE(), @@sql_mode, @@time_zone, @@autocommit, @@character_set_client, @@character_set_results, \
    @@collation_connection, @@sql_safe_updates, @@max_execution_time, @a, @b, @c, @d, @e, HEX(@f), COLLATION(@b), LAST_INSERT_ID(), \
    @@transaction_isolation, @@sql_auto_is_null";

fn everything(component: &str) -> String {
    if component == "mariadb" {
        SELF.replace("@@max_execution_time", "@@max_statement_time")
            .replace("@@transaction_isolation", "@@tx_isolation")
    } else {
        SELF.to_owned()
    }
}

fn moves(component: &str, crash: bool) {
    let (mut primary, replica) = MysqlServer::pair(component);
    let mut path = MysqlPath::to(&primary);
    let mut app = path.connect();
    app.query_drop("CREATE TABLE shop.t (id INT AUTO_INCREMENT PRIMARY KEY, n INT)").expect("a table");
    for statement in [
        "SET NAMES latin1 COLLATE latin1_german1_ci",
        "SET SESSION sql_mode = 'ANSI_QUOTES,NO_ZERO_DATE'",
        "SET time_zone = '+01:30', sql_safe_updates = 1",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET @a = 1, @b = 'text', @d = NULL",
        "SET SESSION sql_auto_is_null = 1",
    ] {
        app.query_drop(statement).expect(statement);
    }
    assert!(app.query_drop("SET SESSION sql_mode = 'NO_SUCH_MODE'").is_err(), "a SET that fails is not replayed");
    if !crash {
        app.query_drop("SET @f = x'00ff27'").expect("a variable");
        app.query_drop("SELECT @e := 7 + 1").expect("a variable");
        app.query_drop("SET @c = 1.5 * 3").expect("a variable");
        app.query_drop("INSERT INTO t (n) VALUES (1), (2)").expect("rows");
    }
    let mut held = app.prep("SELECT n + ? FROM t WHERE id >= ? ORDER BY id").expect("a statement");
    let before = rows(&mut app, &everything(component)).expect("a row");
    if crash {
        replica.wait_synced(&primary);
        primary.kill();
        path.publish(Mode::Hold, &primary, None);
        for statement in replica.pick(["STOP REPLICA", "RESET REPLICA ALL"], ["STOP SLAVE", "RESET SLAVE ALL"]) {
            replica.query(statement);
        }
        replica.query("SET GLOBAL read_only=OFF");
        path.publish(Mode::Open, &replica, None);
    } else {
        path.switch(&primary, &replica);
    }
    assert_eq!(rows(&mut app, "SELECT @@port").expect("a row"), [[replica.port().to_string()]]);
    assert_eq!(rows(&mut app, &everything(component)).expect("a row"), before);
    if !crash {
        let found: Vec<i64> = app.exec(&held, (10, 2)).expect("the statement is prepared again");
        assert_eq!(found, [12]);
        held = app.prep("SELECT ?").expect("another one");
        assert_eq!(app.exec_first::<String, _, _>(&held, ("x",)).expect("a row").as_deref(), Some("x"));
    }
}

#[test]
fn everything_moves_in_a_planned_switch_of_mysql() {
    require_server!("mysql9");
    moves("mysql9", false);
}

#[test]
fn everything_moves_in_a_planned_switch_of_mariadb() {
    require_server!("mariadb");
    moves("mariadb", false);
}

#[test]
fn what_is_known_moves_in_a_crash() {
    require_server!("mysql9");
    require_server!("mariadb");
    moves("mysql9", true);
    moves("mariadb", true);
}

/// What a procedure or function has locked can be asked only when the session leaves: it ends there, rather than go on without its lock.
#[test]
fn a_hidden_lock_is_not_lost_silently() {
    require_server!("mysql9");
    require_server!("mariadb");
    for component in ["mysql9", "mariadb"] {
        let (primary, replica) = MysqlServer::pair(component);
        primary.query("SET GLOBAL log_bin_trust_function_creators = 1");
        primary.query("CREATE PROCEDURE shop.p(name TEXT) DO GET_LOCK(name, 1)");
        primary.query("CREATE PROCEDURE shop.q() DO RELEASE_ALL_LOCKS()");
        primary
            .query("CREATE FUNCTION shop.f(name TEXT) RETURNS INT NOT DETERMINISTIC NO SQL RETURN GET_LOCK(name, 1)");
        let mut path = MysqlPath::to(&primary);
        let [mut by_procedure, mut by_function, mut prepared, mut without, mut given_back] =
            [(); 5].map(|()| path.connect());
        by_procedure.query_drop("CALL p('a')").expect("a lock");
        by_function.query_drop("SELECT f('b')").expect("a lock");
        let call = prepared.prep("CALL p(?)").expect("a statement");
        prepared.exec_drop(&call, ("c",)).expect("a lock");
        without.query_drop("CALL q()").expect("no lock");
        given_back.query_drop("CALL p('d')").expect("a lock");
        given_back.query_drop("CALL q()").expect("and none any more");
        assert_eq!(path.board.stuck(), [], "{component}: nobody knows");
        path.switch(&primary, &replica);
        let gone = [by_procedure, by_function, prepared].map(|mut app| app.query_drop("SELECT 1").is_err());
        let here = [without, given_back].map(|mut app| app.query_drop("SELECT 1").map_err(|error| error.to_string()));
        assert_eq!((gone, here), ([true; 3], [Ok(()), Ok(())]), "{component}");
    }
}

#[test]
fn what_keeps_a_session_is_said_and_it_is_cut_only_when_told() {
    require_server!("mysql9");
    require_server!("mariadb");
    for component in ["mysql9", "mariadb"] {
        let (primary, replica) = MysqlServer::pair(component);
        let path = MysqlPath::to(&primary);
        for (statement, why) in [
            ("CREATE TEMPORARY TABLE tmp (n INT)", "temporary table"),
            ("SELECT GET_LOCK('x', 1)", "GET_LOCK"),
            ("PREPARE p FROM 'SELECT 1'", "prepared by SQL"),
        ] {
            let mut app = path.connect();
            app.query_drop(statement).expect(statement);
            let named = || path.board.stuck().iter().any(|session| session.why.contains(why));
            wait_for(&format!("{why}: {:?}", path.board.stuck()), common::PATIENCE, named);
            drop(app);
            wait_for("it is forgotten", common::PATIENCE, || path.board.stuck().is_empty());
        }
        let mut open = path.connect();
        open.query_drop("BEGIN").expect("begin");
        wait_for("a long transaction is named", common::PATIENCE, || {
            path.board.stuck().iter().any(|session| session.why.contains("transaction open"))
        });
        open.query_drop("ROLLBACK").expect("rollback");
        wait_for("it is forgotten", common::PATIENCE, || path.board.stuck().is_empty());
        open.query_drop("CREATE TEMPORARY TABLE tmp (n INT)").expect("a table");
        let mut free = path.connect();
        wait_for("both are counted", common::PATIENCE, || path.board.sum(|gauge| &gauge.clients) == 2);
        let before = path.board.view();
        let mut view = pointsman::route::View::clone(&before);
        view.route =
            pointsman::model::route::Route { epoch: view.route.epoch.next(), mode: Mode::Hold, ..view.route.clone() };
        view.cut_sessions = true;
        path.board.publish(view);
        wait_for("one of two sessions has ended", common::PATIENCE, || path.board.sum(|gauge| &gauge.clients) == 1);
        assert!(open.query_drop("SELECT 1").is_err(), "it was cut");
        path.publish(Mode::Open, &primary, Some((&replica, Readying::Warm)));
        assert_eq!(rows(&mut free, "SELECT 1").expect("others go on"), [["1"]]);
    }
}
