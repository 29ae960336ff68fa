//! The MySQL protocol's pieces on real servers: logins of every kind, and answers of every kind cut everywhere.

mod common;

use common::mysql_server::{MysqlServer, PASSWORD, ROOT, SHOP};
use common::mysql_wire::{BASIC, Connection, check_cuts, tcp};
use pointsman::protocol::mysql::capability::{Capabilities, command};
use pointsman::protocol::mysql::node_login::Channel;
use pointsman::protocol::mysql::response::Found;
use std::os::unix::net::UnixStream;

const STATEMENTS: [&str; 22] = [
    "CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY AUTO_INCREMENT, b LONGBLOB)",
    "INSERT INTO t (b) VALUES (1), (REPEAT('x', 300)), (NULL)",
    "SELECT * FROM t",
    "SELECT * FROM t WHERE id < 0",
    "SELECT 1 FROM nowhere",
    "SELECT 1; SELECT 2, 3; SELECT broken",
    "SELECT 1; INSERT INTO t (b) VALUES (1); SELECT * FROM t WHERE id < 0; DO 1",
    "DROP PROCEDURE IF EXISTS p",
    "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2 UNION SELECT 3; INSERT INTO t (b) VALUES (2); END",
    "CALL p()",
    "SELECT SLEEP(0), BENCHMARK(1, 1)",
    "SET @a = 1",
    "SHOW WARNINGS",
    "SHOW TABLES",
    "EXPLAIN SELECT * FROM t",
    "BEGIN",
    "UPDATE t SET b = 5 WHERE id = 1",
    "COMMIT",
    "LOAD DATA LOCAL INFILE '/nowhere' INTO TABLE t",
    "SELECT (SELECT 1 UNION SELECT 2)",
    "USE shop",
    "DELETE FROM t WHERE id > 4000000",
];

#[track_caller]
fn answers(server: &MysqlServer, capabilities: Capabilities) {
    let mut connection = Connection::open(tcp(server), Channel::Plain, ROOT, "", capabilities);
    let capabilities = connection.node.capabilities;
    for statement in STATEMENTS {
        let answer = connection.query(statement);
        check_cuts(&answer, command::QUERY, capabilities);
        // Had the answer ended earlier or later, this one would not be what it is.
        assert!(matches!(connection.command(&[command::PING]).found[..], [Found::Ok { .. }]), "{statement}");
    }
    for len in [(1 << 24) - 6, (1 << 24) - 5, (1 << 24) - 4, 1 << 24] {
        let answer = connection.fine(&format!("SELECT REPEAT('x', {len}), 1"));
        assert!(answer.bytes.len() > len);
        check_cuts(&answer, command::QUERY, capabilities);
    }
    prepared(&mut connection);
    assert_eq!(connection.command(&[command::STATISTICS]).found, []);
    assert!(matches!(connection.command(b"\x04t\0").found[..], [Found::Ok { .. } | Found::Err { .. }]));
    assert!(matches!(connection.command(&[command::SET_OPTION, 0, 0]).found[..], [Found::Ok { .. }]));
    assert!(matches!(connection.command(b"\x02shop").found[..], [Found::Ok { .. }]));
    assert!(matches!(connection.command(&[0x63]).found[..], [Found::Err { number: 1047, .. }]));
    assert!(matches!(connection.command(&[command::RESET_CONNECTION]).found[..], [Found::Ok { .. }]));
}

fn prepared(connection: &mut Connection) {
    let capabilities = connection.node.capabilities;
    for sql in ["SELECT ?, 1", "DO 1", "SELECT * FROM t", "INSERT INTO t (b) VALUES (?)", "SELECT broken FROM"] {
        let answer = connection.command(&[&[command::STMT_PREPARE], sql.as_bytes()].concat());
        check_cuts(&answer, command::STMT_PREPARE, capabilities);
        let [Found::Prepared { statement, params, .. }] = answer.found[..] else {
            assert!(sql.contains("broken"), "{sql}");
            continue;
        };
        for cursor in [0, 1] {
            let mut execute = vec![command::STMT_EXECUTE];
            execute.extend_from_slice(&statement.to_le_bytes());
            execute.extend_from_slice(&[cursor, 1, 0, 0, 0]);
            if capabilities.has(Capabilities::QUERY_ATTRIBUTES) && params > 0 {
                execute[5] |= 8;
                execute.push(u8::try_from(params).expect("few"));
            }
            if params > 0 {
                execute.extend_from_slice(&[0, 1, 253, 0]);
                if capabilities.has(Capabilities::QUERY_ATTRIBUTES) {
                    execute.push(0);
                }
                execute.extend_from_slice(b"\x02ab");
            }
            let answer = connection.command(&execute);
            assert!(!matches!(answer.found[..], [Found::Err { .. }]), "{sql}: {}", answer.bytes.escape_ascii());
            check_cuts(&answer, command::STMT_EXECUTE, capabilities);
            if let Some(Found::Ok { status: 0x40.., .. }) = answer.found.last()
                && sql.contains("FROM t")
                && cursor == 1
            {
                let fetch = [&[command::STMT_FETCH], &statement.to_le_bytes()[..], &[2, 0, 0, 0]].concat();
                let rows = connection.command(&fetch);
                assert!(matches!(rows.found[..], [Found::Ok { .. }]), "{:?}", rows.found);
                check_cuts(&rows, command::STMT_FETCH, capabilities);
            }
            assert!(matches!(connection.command(&[command::PING]).found[..], [Found::Ok { .. }]), "{sql}");
        }
        connection.command(&[&[command::STMT_CLOSE], &statement.to_le_bytes()[..]].concat());
    }
}

#[test]
fn answers_of_mysql_9_end_where_they_end() {
    require_server!("mysql9");
    let server = MysqlServer::builder("mysql9").set("local-infile", "ON").set("max-allowed-packet", "64M").start();
    let eof = Capabilities::DEPRECATE_EOF;
    let all = Capabilities::OPTIONAL_METADATA | Capabilities::QUERY_ATTRIBUTES;
    for extra in [Capabilities::default(), eof, all, all | eof] {
        answers(&server, BASIC | extra);
    }
    let mut connection = Connection::open(tcp(&server), Channel::Plain, ROOT, "", BASIC | all);
    connection.fine("SET resultset_metadata = NONE");
    let answer = connection.fine("SELECT id FROM t");
    check_cuts(&answer, command::QUERY, connection.node.capabilities);
    prepared(&mut connection);
}

#[test]
fn answers_of_mariadb_end_where_they_end() {
    require_server!("mariadb");
    let server = MysqlServer::builder("mariadb").set("local-infile", "ON").set("max-allowed-packet", "64M").start();
    let eof = Capabilities::DEPRECATE_EOF;
    let all = Capabilities::MARIADB_CACHE_METADATA
        | Capabilities::MARIADB_EXTENDED_METADATA
        | Capabilities::MARIADB_STMT_BULK;
    for extra in [Capabilities::default(), eof, all, all | eof] {
        answers(&server, BASIC | extra);
    }
}

#[test]
fn every_login_of_mysql_9_works() {
    require_server!("mysql9");
    let server = MysqlServer::start("mysql9");
    for (full, case) in [(true, "its digest isn't remembered, so the password is encrypted"), (false, "it is")] {
        let mut connection = Connection::open(tcp(&server), Channel::Plain, SHOP, PASSWORD, BASIC);
        assert_eq!(connection.node.full, full, "{case}");
        connection.fine("SELECT 1");
    }
    server.query("FLUSH PRIVILEGES");
    let socket = UnixStream::connect(server.unix_socket()).expect("the socket");
    let mut connection = Connection::open(Box::new(socket), Channel::Unix, SHOP, PASSWORD, BASIC);
    assert!(connection.node.full);
    connection.fine("SELECT 1");
    assert_eq!(
        server.query("SELECT ATTR_VALUE FROM performance_schema.session_connect_attrs WHERE ATTR_NAME = 'foo'"),
        [["bar"]]
    );
}

#[test]
fn logins_of_mariadb_work() {
    require_server!("mariadb");
    let server = MysqlServer::start("mariadb");
    Connection::open(tcp(&server), Channel::Plain, SHOP, PASSWORD, BASIC).fine("SELECT 1");
    let socket = UnixStream::connect(server.unix_socket()).expect("the socket");
    Connection::open(Box::new(socket), Channel::Unix, SHOP, PASSWORD, BASIC).fine("SELECT 1");
}
