//! Hostile and broken clients of MySQL and MariaDB: proper errors, bounded memory, nobody else concerned.

mod common;

use common::mysql_path::MysqlPath;
use common::mysql_raw::RawMysql;
use common::mysql_server::{MysqlServer, rows};
use common::wait_for;
use pointsman::protocol::mysql::capability::command as com;
use pointsman::protocol::mysql::packet;
use std::time::Duration;

#[test]
fn broken_logins_are_answered_and_end() {
    require_server!("mysql9");
    let server = MysqlServer::start("mysql9");
    let path = MysqlPath::to(&server);
    let noise: Vec<u8> = (0..200_u8).map(|n| n.wrapping_mul(37)).collect();
    let mut framed = vec![200, 0, 0, 1];
    framed.extend_from_slice(&noise);
    let cases: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &framed,
        b"\0\0\0\x01",
        b"\xff\xff\xff\x01",
        b"\x02\0\0\x07xx",
        b"\x01\0\0\x01\x01",
        b"\x04\0\0\x01\xff\xff\xff\xff",
    ];
    for case in cases {
        let mut raw = RawMysql::connect(path.port);
        assert!(raw.packet().is_some_and(|(number, greeting)| number == 0 && greeting[0] == 10));
        raw.send(case);
        assert_eq!(raw.error(), 1043, "{case:?}");
        assert!(raw.ends());
    }
    // A login cut anywhere, and given up there.
    for cut in (0..framed.len()).step_by(7) {
        RawMysql::connect(path.port).send(&framed[..cut]);
    }
    assert_eq!(rows(&mut path.connect(), "SELECT 1").expect("a row"), [["1"]]);
}

#[test]
fn a_half_open_login_is_given_up() {
    require_server!("mysql9");
    let server = MysqlServer::start("mysql9");
    let path = MysqlPath::to(&server);
    let mut silent = RawMysql::connect(path.port);
    assert!(silent.packet().is_some());
    let begun = std::time::Instant::now();
    assert_eq!(silent.error(), 1159);
    assert!(silent.ends() && begun.elapsed() > Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn broken_commands_are_answered() {
    require_server!("mysql9");
    require_server!("mariadb");
    for component in ["mysql9", "mariadb"] {
        let server = MysqlServer::start(component);
        let path = MysqlPath::to(&server);
        let mut raw = RawMysql::log_in(path.port);
        raw.command(com::BINLOG_DUMP, b"\x04\0\0\0\0\0\x01\0\0\0");
        assert_eq!(raw.error(), 1047);
        raw.send(&[0, 0, 0, 0]);
        assert_eq!(raw.error(), 1047, "an empty packet");
        raw.command(0xee, b"");
        assert_eq!(raw.error(), 1047, "an unknown command");
        raw.command(com::STMT_EXECUTE, b"\x63\0\0\0\0\x01\0\0\0");
        assert_eq!(raw.error(), 1243);
        raw.command(com::STMT_EXECUTE, b"\x63");
        assert_eq!(raw.error(), 1835);
        raw.command(com::STMT_CLOSE, b"\x63\0\0\0");
        raw.command(com::PROCESS_KILL, b"\xff\xff\xff\xff");
        assert_eq!(raw.error(), 1094);
        // Byte by byte, and several at once.
        let mut bytes = Vec::new();
        packet::command(&mut bytes, com::PING, b"");
        for byte in &bytes {
            raw.send(&[*byte]);
        }
        assert_eq!(raw.packet().map(|(number, payload)| (number, payload[0])), Some((1, 0)));
        raw.send(&bytes.repeat(100));
        for _ in 0..100 {
            assert_eq!(raw.packet().map(|(number, payload)| (number, payload[0])), Some((1, 0)));
        }
        raw.send(b"\x01\0\0\x05\x0e");
        assert_eq!(raw.error(), 1156, "a wrong number");
        assert!(raw.ends());
        // Cut off in the middle of a command.
        let mut raw = RawMysql::log_in(path.port);
        raw.send(b"\xff\0\0\0\x03SELECT");
        drop(raw);
        wait_for("it has ended", common::PATIENCE, || path.board.sum(|gauge| &gauge.clients) == 0);
    }
}
