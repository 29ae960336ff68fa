//! A session of a real server is had again on another connection: values, types, collations, and what holds for one transaction.

mod common;

use common::mysql_server::{MysqlServer, ROOT};
use common::mysql_wire::{Answer, BASIC, Connection, tcp};
use pointsman::protocol::mysql::capability::Capabilities;
use pointsman::protocol::mysql::node_login::Channel;
use pointsman::protocol::mysql::packet;
use pointsman::protocol::mysql::response::Found;
use pointsman::protocol::mysql::session::carried::Carried;
use pointsman::protocol::mysql::session::tracking::SETUP;

/// Values of every type that a user variable can have.
const VALUES: [&str; 20] = [
    "5",
    "-7",
    "CAST(18446744073709551615 AS UNSIGNED)",
    "CAST('-9223372036854775808' AS SIGNED)",
    "1.50",
    "CAST(5 AS DECIMAL(5,0))",
    "1.5e0",
    "1e300",
    "'it''s'",
    "x'00ff'",
    "NULL",
    "CAST(NULL AS SIGNED)",
    "NULL+1e0",
    "_latin1 x'78e9' COLLATE latin1_bin",
    "NOW()",
    "JSON_OBJECT('a', 1)",
    "''",
    "CAST('a' AS CHAR CHARACTER SET utf8mb4) COLLATE utf8mb4_bin",
    "TRUE",
    "REPEAT('long', 5000)",
];

#[track_caller]
fn sessions(server: &MysqlServer, extra: Capabilities) {
    let capabilities = BASIC | extra;
    let mut first = Connection::open(tcp(server), Channel::Plain, ROOT, "", capabilities);
    first.fine(SETUP);
    let mut session = Carried::new(Some(b"shop"), false);
    for (at, value) in VALUES.iter().enumerate() {
        first.told(&mut session, &format!("SET @v{at} = {value}"));
    }
    for statement in [
        "CREATE TABLE IF NOT EXISTS ids (id INT PRIMARY KEY AUTO_INCREMENT, b INT)",
        "INSERT INTO ids (b) VALUES (1)",
        "INSERT INTO ids (id, b) VALUES (1000000 + CONNECTION_ID(), 1)",
        "SET NAMES latin1 COLLATE latin1_german1_ci",
        "SET autocommit = 0, sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES', time_zone = '+03:00'",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET sort_buffer_size = 262144, long_query_time = 1.5, timestamp = 86400",
        "SELECT @late := 17",
        "COMMIT",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    ] {
        first.told(&mut session, statement);
    }
    assert_eq!(session.stuck(), None);
    assert!(!session.is_known());
    let ask = session.ask(first.node.capabilities).expect("a question");
    let answer = first.command(&ask);
    assert!(session.answered(&answer.bytes, first.node.capabilities), "{}", answer.bytes.escape_ascii());
    assert!(session.is_known());

    let mut second = Connection::open(tcp(server), Channel::Plain, ROOT, "", capabilities);
    for payload in session.replay(second.node.capabilities) {
        let answer = second.command(&payload);
        let text = String::from_utf8_lossy(&payload);
        assert!(matches!(answer.found[..], [Found::Ok { .. }]), "{text}: {}", answer.bytes.escape_ascii());
    }
    let isolation = server.pick("transaction_isolation", "tx_isolation");
    let mut questions = vec![
        "SELECT @@character_set_client, @@character_set_results, @@collation_connection, @@autocommit, @@sql_mode"
            .to_owned(),
        format!(
            "SELECT @@time_zone, @@sort_buffer_size, @@long_query_time, @@timestamp, @@{isolation}, LAST_INSERT_ID(), @late"
        ),
    ];
    for at in 0..VALUES.len() {
        questions.push(format!("SELECT @v{at}, COLLATION(@v{at}), HEX(@v{at})"));
    }
    for question in questions {
        let (left, right) = (rows_of(&first.fine(&question)), rows_of(&second.fine(&question)));
        assert_eq!(left, right, "{question}");
    }
}

/// Each definition's collation and type, and each row; what ends them is left out, because it tells of more than these.
fn rows_of(answer: &Answer) -> Vec<Vec<u8>> {
    let end: usize = answer.found.iter().map(|found| if let Found::Ok { len, .. } = found { *len } else { 0 }).sum();
    let (mut rest, mut all) = (&answer.bytes[..answer.bytes.len() - end], Vec::new());
    while let Some((_, payload)) = packet::read(rest) {
        rest = &rest[packet::HEADER + payload.len()..];
        let tail = payload.len().saturating_sub(12);
        all.push(if payload.starts_with(b"\x03def") {
            // Types of strings differ by their length only, which follows how a value came to be.
            let kind = if matches!(payload[tail + 6], 249..=254) { 253 } else { payload[tail + 6] };
            vec![payload[tail], kind, payload[tail + 7] & 32]
        } else {
            payload.to_vec()
        });
    }
    all
}

#[test]
fn a_session_of_mysql_9_is_had_again() {
    require_server!("mysql9");
    let server = MysqlServer::start("mysql9");
    sessions(&server, Capabilities::default());
    sessions(&server, Capabilities::DEPRECATE_EOF | Capabilities::QUERY_ATTRIBUTES);
}

#[test]
fn a_session_of_mariadb_is_had_again() {
    require_server!("mariadb");
    let server = MysqlServer::start("mariadb");
    sessions(&server, Capabilities::default());
    sessions(&server, Capabilities::DEPRECATE_EOF | Capabilities::MARIADB_EXTENDED_METADATA);
}
