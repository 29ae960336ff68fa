//! A process that takes the address of a dead MySQL or MariaDB is served nothing before it was judged; and what that costs a login.

mod common;

use common::mysql_path::MysqlPath;
use common::mysql_server::MysqlServer;
use common::{PATIENCE, wait_for};
use mysql::prelude::Queryable;
use pointsman::config::{Credentials, Service};
use pointsman::model::{name::NodeAddress, secret::Secret, signal::Signal};
use pointsman::route::View;

/// Which process runs there, as control has it from its probes.
fn process(server: &MysqlServer) -> String {
    let row = server.query(server.pick(
        "SELECT @@server_uuid, UNIX_TIMESTAMP() - VARIABLE_VALUE FROM performance_schema.global_status \
         WHERE VARIABLE_NAME = 'Uptime'",
        "SELECT CONCAT(@@hostname, ':', @@port, ':', @@server_id), UNIX_TIMESTAMP() - VARIABLE_VALUE \
         FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'UPTIME'",
    ));
    let start = row[0][1].split('.').next().expect("whole seconds").to_owned();
    format!("{}/{start}", row[0][0])
}

/// Publishes that this server's process is the one that is served.
fn serve(path: &MysqlPath, server: &MysqlServer) {
    let before = path.board.view();
    let mut route = before.route.clone();
    route.epoch = route.epoch.next();
    path.board.publish(View { route, process: Some(process(server).into()), ..View::clone(&before) });
}

fn as_pointsman(password: &'static str) -> impl Fn(&mut Service) {
    move |service| {
        let password = Some(Secret::new(password.as_bytes()));
        service.credentials = Some(Credentials { username: Some("pointsman".into()), password });
    }
}

/// Connections of Pointsman's own user at the server, by their ids.
fn witnesses(server: &MysqlServer) -> Vec<String> {
    let rows = server.query("SELECT id FROM information_schema.processlist WHERE user = 'pointsman' ORDER BY id");
    rows.into_iter().flatten().collect()
}

fn wait_told(path: &mut MysqlPath, server: &MysqlServer) {
    let stranger = Signal::Stranger(NodeAddress::from(server.address()));
    wait_for("control is told", PATIENCE, || path.signals.try_recv().is_ok_and(|signal| signal == stranger));
}

fn waits_for_a_verdict(component: &str) {
    let mut server = MysqlServer::start(component);
    let mut path = MysqlPath::with(&server, as_pointsman("secret"));
    serve(&path, &server);
    let mut known = path.connect();
    known.query_drop("CREATE TABLE t (n INT PRIMARY KEY)").expect("a table");
    // A process that starts within the same seconds isn't told from the other one.
    wait_for("the process is some seconds old", PATIENCE, || {
        server.query("SHOW GLOBAL STATUS LIKE 'Uptime'")[0][1].parse::<u32>().expect("seconds") >= 4
    });
    server.kill();
    server.restart();
    let fresh = std::thread::spawn({
        let options = path.options("shop", "secret", Some("shop"));
        move || mysql::Conn::new(options).map(|mut conn| conn.query_drop("INSERT INTO t VALUES (1)"))
    });
    let waiting = std::thread::spawn(move || known.query_drop("INSERT INTO t VALUES (2)"));
    wait_told(&mut path, &server);
    // Once more: each attempt is refused anew.
    wait_told(&mut path, &server);
    assert!(!fresh.is_finished() && !waiting.is_finished(), "one was served before the process was judged");
    assert_eq!(server.value("SELECT COUNT(*) FROM shop.t"), "0");
    serve(&path, &server);
    fresh.join().expect("no panic").expect("a login").expect("an insert");
    waiting.join().expect("no panic").expect("an insert");
    assert_eq!(server.value("SELECT COUNT(*) FROM shop.t"), "2");
}

#[test]
fn a_mysql_that_was_started_again_waits_for_its_verdict() {
    require_server!("mysql9");
    waits_for_a_verdict("mysql9");
}

#[test]
fn a_mariadb_that_was_started_again_waits_for_its_verdict() {
    require_server!("mariadb");
    waits_for_a_verdict("mariadb");
}

#[test]
fn one_witness_serves_all_logins_and_is_replaced_when_it_is_gone() {
    require_server!("mysql9");
    let server = MysqlServer::start("mysql9");
    let path = MysqlPath::with(&server, as_pointsman("secret"));
    serve(&path, &server);
    let logins: Vec<_> = (0..16)
        .map(|_| {
            let options = path.options("shop", "secret", Some("shop"));
            std::thread::spawn(move || (0..8).for_each(|_| drop(mysql::Conn::new(options.clone()).expect("a login"))))
        })
        .collect();
    for login in logins {
        login.join().expect("no panic");
    }
    let first = witnesses(&server);
    assert_eq!(first.len(), 1, "{first:?}");
    server.query(&format!("KILL {}", first[0]));
    path.connect().query_drop("SELECT 1").expect("an answer");
    let second = witnesses(&server);
    assert!(second.len() == 1 && second != first, "{first:?}, {second:?}");
}

#[test]
fn where_pointsman_is_not_let_in_each_connection_is_asked_itself() {
    require_server!("mysql9");
    let server = MysqlServer::start("mysql9");
    let path = MysqlPath::with(&server, as_pointsman("wrong"));
    serve(&path, &server);
    path.connect().query_drop("SELECT 1").expect("an answer");
    assert_eq!(witnesses(&server), [""; 0]);
}
