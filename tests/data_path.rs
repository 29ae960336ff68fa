//! The data path on real servers, without control: what applications see on a route that stands still.

mod common;

use common::data_path::DataPath;
use common::raw::{Raw, Reply, encode};
use common::redis_server::RedisServer;
use common::{PATIENCE, wait_for};
use std::time::Duration;

fn ok() -> Reply {
    Reply::Simple("OK".into())
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

#[test]
fn commands_and_pipelines_in_order() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let path = DataPath::to(&server);
    let mut raw = path.raw();
    assert_eq!(raw.command(&["SET", "k", "v"]), ok());
    assert_eq!(raw.command(&["GET", "k"]), bulk("v"));
    let mut bytes = Vec::new();
    for number in 0..10_000 {
        bytes.extend(encode(&["SET", "n", &number.to_string()]));
        bytes.extend(encode(&["GET", "n"]));
        if number % 1000 == 0 {
            bytes.extend(encode(&["SELECT", "0"]));
            bytes.extend(b"ECHO inline\r\n");
            bytes.extend(encode(&["MULTI"]));
            bytes.extend(encode(&["GET", "n"]));
            bytes.extend(encode(&["EXEC"]));
        }
    }
    raw.send(bytes);
    for number in 0..10_000 {
        assert_eq!(raw.reply(), ok());
        assert_eq!(raw.reply(), bulk(&number.to_string()));
        if number % 1000 == 0 {
            assert_eq!(raw.reply(), ok());
            assert_eq!(raw.reply(), bulk("inline"));
            assert_eq!(raw.reply(), ok());
            assert_eq!(raw.reply(), Reply::Simple("QUEUED".into()));
            assert_eq!(raw.reply(), Reply::Array(vec![bulk(&number.to_string())]));
        }
    }
}

#[test]
fn many_clients_share_one_connection_and_get_their_own_replies() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let path = DataPath::to(&server);
    let mut clients: Vec<Raw> = (0..200).map(|_| path.raw()).collect();
    for round in 0..20 {
        for (index, client) in clients.iter_mut().enumerate() {
            let text = format!("{index}.{round}");
            client.request(&["ECHO", &text]).request(&["SET", &index.to_string(), &text]);
        }
        for (index, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.reply(), bulk(&format!("{index}.{round}")));
            assert_eq!(client.reply(), ok());
        }
    }
    let connected: usize = server.info("connected_clients").parse().expect("a number");
    assert!(connected < 5, "{connected} connections for 200 clients");
}

#[test]
fn what_drivers_say_first_does_not_pin() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let path = DataPath::to(&server);
    let mut clients: Vec<Raw> = (0..20).map(|_| path.raw()).collect();
    for client in &mut clients {
        let Reply::Array(hello) = client.command(&["HELLO", "3", "SETNAME", "web"]) else { panic!("no map") };
        assert!(hello.windows(2).any(|pair| pair == [bulk("proto"), Reply::Integer(3)]), "{hello:?}");
        assert_eq!(client.command(&["CLIENT", "SETINFO", "LIB-NAME", "test"]), ok());
        assert_eq!(client.command(&["CLIENT", "GETNAME"]), bulk("web"));
        assert_eq!(client.command(&["SELECT", "3"]), ok());
        assert_eq!(client.command(&["SELECT", "99"]), Reply::Error("ERR DB index is out of range".into()));
        assert_eq!(client.command(&["SET", "k", "v"]), ok());
        assert_eq!(client.command(&["GET", "none"]), Reply::Null);
    }
    let connected: usize = server.info("connected_clients").parse().expect("a number");
    assert!(connected < 6, "{connected} connections for 20 clients");
    let mut raw = server.raw();
    raw.command(&["SELECT", "3"]);
    assert_eq!(raw.command(&["GET", "k"]), bulk("v"));
}

#[test]
fn transactions_and_watch() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let path = DataPath::to(&server);
    let (mut one, mut two) = (path.raw(), path.raw());
    assert_eq!(one.command(&["WATCH", "k"]), ok());
    assert_eq!(one.command(&["MULTI"]), ok());
    assert_eq!(one.command(&["INCR", "k"]), Reply::Simple("QUEUED".into()));
    assert_eq!(two.command(&["SET", "k", "5"]), ok());
    assert_eq!(one.command(&["EXEC"]), Reply::Null);
    for client in [&mut one, &mut two] {
        assert_eq!(client.command(&["MULTI"]), ok());
        assert_eq!(client.command(&["INCR", "k"]), Reply::Simple("QUEUED".into()));
        assert!(matches!(client.command(&["EXEC"]), Reply::Array(_)));
        assert_eq!(client.command(&["MULTI"]), ok());
        assert_eq!(client.command(&["DISCARD"]), ok());
        assert_eq!(client.command(&["EXEC"]), Reply::Error("ERR EXEC without MULTI".into()));
    }
    assert_eq!(two.command(&["GET", "k"]), bulk("7"));
}

#[test]
fn blocked_readers_are_woken_and_hold_nobody_up() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let path = DataPath::to(&server);
    let (mut reader, mut writer) = (path.raw(), path.raw());
    reader.request(&["BLPOP", "list", "0"]);
    assert!(reader.is_silent_for(Duration::from_millis(30)));
    assert_eq!(writer.command(&["RPUSH", "list", "x"]), Reply::Integer(1));
    assert_eq!(reader.reply(), Reply::Array(vec![bulk("list"), bulk("x")]));
    assert_eq!(reader.command(&["BLPOP", "list", "0.05"]), Reply::Null);
    assert_eq!(reader.command(&["PING"]), Reply::Simple("PONG".into()));
}

#[test]
fn subscriptions_in_both_protocols() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let path = DataPath::to(&server);
    let (mut two, mut three, mut writer) = (path.raw(), path.raw(), path.raw());
    two.request(&["SUBSCRIBE", "a", "b"]).request(&["PSUBSCRIBE", "p*"]);
    for (verb, channel, count) in [("subscribe", "a", 1), ("subscribe", "b", 2), ("psubscribe", "p*", 3)] {
        assert_eq!(two.reply(), Reply::Array(vec![bulk(verb), bulk(channel), Reply::Integer(count)]));
    }
    assert!(matches!(two.command(&["GET", "k"]), Reply::Error(_)));
    three.command(&["HELLO", "3"]);
    three.request(&["SUBSCRIBE", "a"]);
    assert_eq!(three.reply(), Reply::Push(vec![bulk("subscribe"), bulk("a"), Reply::Integer(1)]));
    assert_eq!(three.command(&["SET", "k", "v"]), ok());
    assert_eq!(writer.command(&["PUBLISH", "a", "hello"]), Reply::Integer(2));
    assert_eq!(writer.command(&["PUBLISH", "px", "there"]), Reply::Integer(1));
    assert_eq!(two.reply(), Reply::Array(vec![bulk("message"), bulk("a"), bulk("hello")]));
    assert_eq!(two.reply(), Reply::Array(vec![bulk("pmessage"), bulk("p*"), bulk("px"), bulk("there")]));
    assert_eq!(three.reply(), Reply::Push(vec![bulk("message"), bulk("a"), bulk("hello")]));
    assert_eq!(two.command(&["PING"]), Reply::Array(vec![bulk("pong"), bulk("")]));
    two.request(&["UNSUBSCRIBE"]).request(&["PUNSUBSCRIBE"]).request(&["GET", "k"]);
    for _ in 0..3 {
        assert!(matches!(two.reply(), Reply::Array(_)));
    }
    assert_eq!(two.reply(), bulk("v"));
    let gauge = path.board.gauge(0);
    wait_for("one session is pinned", PATIENCE, || {
        gauge.pinned_upstreams.load(std::sync::atomic::Ordering::Relaxed) == 2
            && three.command(&["PING"]).text() == "PONG"
    });
}

#[test]
fn every_pinning_command_works_and_shares_again() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let path = DataPath::to(&server);
    let mut raw = path.raw();
    assert!(matches!(raw.command(&["CLIENT", "ID"]), Reply::Integer(_)));
    assert!(matches!(raw.command(&["WAIT", "0", "10"]), Reply::Integer(0)));
    let mut raw = path.raw();
    assert!(matches!(raw.command(&["CLIENT", "LIST"]), Reply::Bulk(_)));
    assert!(matches!(raw.command(&["NO.SUCH", "x"]), Reply::Error(_)));
    assert_eq!(raw.command(&["SET", "k", "v"]), ok());
    let mut raw = path.raw();
    raw.request(&["CLIENT", "REPLY", "OFF"]).request(&["SET", "k", "w"]).request(&["CLIENT", "REPLY", "ON"]);
    assert_eq!(raw.reply(), ok());
    assert_eq!(raw.command(&["GET", "k"]), bulk("w"));
    raw.request(&["CLIENT", "REPLY", "SKIP"]).request(&["SET", "k", "x"]).request(&["GET", "k"]);
    assert_eq!(raw.reply(), bulk("x"));
    let mut monitor = path.raw();
    assert_eq!(monitor.command(&["MONITOR"]), ok());
    raw.command(&["SET", "seen", "1"]);
    assert!(monitor.line().contains("\"SET\" \"seen\""));
    assert_eq!(raw.command(&["EVAL", "return 7", "0"]), Reply::Integer(7));
    let mut tracking = path.raw();
    tracking.command(&["HELLO", "3"]);
    assert_eq!(tracking.command(&["CLIENT", "TRACKING", "ON"]), ok());
    tracking.command(&["GET", "seen"]);
    raw.command(&["SET", "seen", "2"]);
    assert_eq!(tracking.reply(), Reply::Push(vec![bulk("invalidate"), Reply::Array(vec![bulk("seen")])]));
    assert_eq!(raw.command(&["RESET"]), Reply::Simple("RESET".into()));
    assert_eq!(raw.command(&["QUIT"]), ok());
    raw.expect_closed();
}

#[test]
fn big_values_stream_both_ways() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let path = DataPath::to(&server);
    let value: Vec<u8> = (0..20_000_000_u32).map(|n| u8::try_from(n % 251).expect("small")).collect();
    let mut raw = path.raw();
    assert_eq!(raw.command(&[b"SET", b"big", value.as_slice()]), ok());
    let mut other = path.raw();
    assert_eq!(other.command(&["STRLEN", "big"]), Reply::Integer(20_000_000));
    assert_eq!(other.command(&["GET", "big"]), Reply::Bulk(value.clone()));
    assert_eq!(other.command(&["PING"]), Reply::Simple("PONG".into()));
    assert_eq!(raw.command(&["GET", "big"]), Reply::Bulk(value));
}

#[test]
fn a_slow_reader_is_alone() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let path = DataPath::to(&server);
    let value = vec![b'x'; 8_000_000];
    server.raw().command(&[b"SET", b"big", value.as_slice()]);
    let (mut slow, mut quick) = (path.raw(), path.raw());
    for _ in 0..20 {
        slow.request(&["GET", "big"]);
    }
    for number in 0..50 {
        assert_eq!(quick.command(&["ECHO", &number.to_string()]), bulk(&number.to_string()));
    }
    drop(slow);
    assert_eq!(quick.command(&["PING"]), Reply::Simple("PONG".into()));
}

#[test]
fn users_are_kept_apart_and_verified_by_the_server() {
    require_server!("redis7");
    let server = RedisServer::builder("redis7")
        .user("default off")
        .user("reader on >r ~* +@read +@connection")
        .user("writer on >w ~* +@all")
        .start();
    let path = DataPath::to(&server);
    let (mut reader, mut writer, mut nobody) = (path.raw(), path.raw(), path.raw());
    assert!(nobody.command(&["GET", "k"]).text().starts_with("NOAUTH"));
    assert!(nobody.command(&["AUTH", "reader", "wrong"]).text().starts_with("WRONGPASS"));
    assert!(nobody.command(&["HELLO", "3"]).text().starts_with("NOAUTH"));
    assert_eq!(reader.command(&["AUTH", "reader", "r"]), ok());
    assert!(matches!(writer.command(&["HELLO", "3", "AUTH", "writer", "w"]), Reply::Array(_)));
    assert_eq!(writer.command(&["SET", "k", "v"]), ok());
    assert!(reader.command(&["SET", "k", "v"]).text().starts_with("NOPERM"));
    assert_eq!(reader.command(&["GET", "k"]), bulk("v"));
    assert!(reader.command(&["ACL", "WHOAMI"]).text().contains("NOPERM"));
    assert_eq!(writer.command(&["ACL", "WHOAMI"]), bulk("writer"));
    writer.command(&["ACL", "DELUSER", "reader"]);
    // The session ends when its shared connection can't be replaced: with or without this request.
    reader.request(&["GET", "k"]);
    let said = reader.until_closed();
    assert!(said.is_empty() || said.starts_with(b"-WRONGPASS"), "{}", said.escape_ascii());
}

#[test]
fn denied_commands_and_nonsense_are_refused_in_order() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let path = DataPath::to(&server);
    let mut raw = path.raw();
    raw.request(&["SET", "k", "v"]).request(&["REPLICAOF", "NO", "ONE"]).request(&["GET", "k"]);
    assert_eq!(raw.reply(), ok());
    assert_eq!(raw.reply(), Reply::Error("ERR pointsman: REPLICAOF is denied on service cart (deny)".into()));
    assert_eq!(raw.reply(), bulk("v"));
    raw.request(&["GET", "k"]).send("*1\r\n!nonsense\r\n");
    assert_eq!(raw.reply(), bulk("v"));
    assert_eq!(raw.reply(), Reply::Error("ERR Protocol error: expected '$', got '!'".into()));
    raw.expect_closed();
}

#[test]
fn too_many_connections_get_redis_own_words() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let path = DataPath::with(&server, |settings| settings.max_connections = 2);
    let (mut one, mut two) = (path.raw(), path.raw());
    one.command(&["PING"]);
    two.command(&["PING"]);
    let mut three = path.raw();
    assert_eq!(three.reply(), Reply::Error("ERR max number of clients reached".into()));
    drop(one);
    wait_for("room again", PATIENCE, || path.raw().command(&["PING"]).text() == "PONG");
}
