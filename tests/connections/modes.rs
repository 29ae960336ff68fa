//! Mode `read_only`, and what may not be sent.

use crate::common::{PATIENCE, data_path::DataPath, raw::Reply, redis_server::RedisServer, wait_for};
use crate::require_server;
use crate::{bulk, error, ok};
use pointsman::model::route::Mode;

#[test]
fn read_only_lets_reads_and_read_only_scripts_through() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let path = DataPath::to(&server);
    let mut raw = path.raw();
    assert_eq!(raw.command(&["SET", "k", "v"]), ok());
    path.publish(Mode::ReadOnly, &server, None);
    wait_for("writes are refused", PATIENCE, || matches!(raw.command(&["SET", "other", "w"]), Reply::Error(_)));
    for write in [
        &["SET", "k", "w"][..],
        &["PUBLISH", "c", "m"],
        &["EVAL", "return redis.call('SET', 'k', 'w')", "0"],
        &["EVALSHA", "0000000000000000000000000000000000000000", "0"],
        &["FLUSHALL"],
        &["BLPOP", "list", "0"],
        &["unknown.command", "x"],
    ] {
        assert!(error(raw.command(write)).starts_with("READONLY pointsman: "), "{write:?}");
    }
    let calm = "#!lua flags=no-writes\nreturn redis.call('GET', 'k')";
    for read in [&["GET", "k"][..], &["EVAL", calm, "0"], &["EVAL_RO", "return redis.call('GET', KEYS[1])", "1", "k"]] {
        assert_eq!(raw.command(read), bulk("v"), "{read:?}");
    }
    // The server holds a script to what it says.
    let liar = "#!lua flags=no-writes\nreturn redis.call('SET', 'k', 'w')";
    assert!(error(raw.command(&["EVAL", liar, "0"])).contains("Write commands are not allowed"));
    assert_eq!(raw.command(&["GET", "k"]), bulk("v"));
}

/// What Redis does with a command that it refuses: the transaction isn't run in part.
#[test]
fn a_transaction_with_a_refused_command_is_aborted() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let path = DataPath::with(&server, |settings| settings.deny = Some(vec!["CONFIG SET".into(), "FLUSHALL".into()]));
    let mut raw = path.raw();
    let queued = Reply::Simple("QUEUED".into());
    for refused in [&["FLUSHALL"][..], &["CONFIG", "SET", "maxmemory", "0"]] {
        assert_eq!(raw.command(&["MULTI"]), ok());
        assert_eq!(raw.command(&["SET", "k", "v"]), queued);
        assert!(error(raw.command(refused)).contains("is denied on service cart"), "{refused:?}");
        assert_eq!(raw.command(&["INCR", "n"]), queued);
        assert!(error(raw.command(&["EXEC"])).starts_with("EXECABORT"));
        assert_eq!(raw.command(&["EXISTS", "k", "n"]), Reply::Integer(0));
    }
    assert_eq!(raw.command(&["MULTI"]), ok());
    assert_eq!(raw.command(&["INCR", "n"]), queued);
    assert_eq!(raw.command(&["EXEC"]), Reply::Array(vec![Reply::Integer(1)]));
    assert!(matches!(raw.command(&["CONFIG", "GET", "maxmemory"]), Reply::Array(_)), "only CONFIG SET is denied");

    path.publish(Mode::ReadOnly, &server, None);
    wait_for("writes are refused", PATIENCE, || matches!(raw.command(&["DEL", "other"]), Reply::Error(_)));
    raw.send("MULTI\r\nGET n\r\nSET n 5\r\nEXEC\r\nGET n\r\nMULTI\r\nGET n\r\nEXEC\r\n");
    assert_eq!(raw.reply(), ok());
    assert_eq!(raw.reply(), queued);
    assert!(error(raw.reply()).starts_with("READONLY pointsman: "));
    assert!(error(raw.reply()).starts_with("EXECABORT"));
    assert_eq!(raw.reply(), bulk("1"));
    assert_eq!(raw.reply(), ok());
    assert_eq!(raw.reply(), queued);
    assert_eq!(raw.reply(), Reply::Array(vec![bulk("1")]));
}

/// What can't move holds a switch up: no longer than it has to, and not for a command that no server has.
#[test]
fn what_cannot_move_is_told_for_as_long_as_it_is_so() {
    require_server!("redis7");
    // Renamed, it stands for a module's command, which Pointsman doesn't know.
    let server = RedisServer::builder("redis7").with_file().set("rename-command", "ECHO MODULE.ECHO").start();
    let path = DataPath::to(&server);
    let stuck = || path.board.stuck();
    let (mut mistaken, mut large, mut module) = (path.raw(), path.raw(), path.raw());
    assert!(error(mistaken.command(&["NOSUCH.COMMAND", "x"])).starts_with("ERR unknown command"));
    mistaken.send("PING\r\n").expect("+PONG\r\n");
    wait_for("a mistake keeps nothing", PATIENCE, || stuck().is_empty());

    let value = "x".repeat(70_000);
    large.send("MULTI\r\n").expect("+OK\r\n");
    large.request(&["SET", "large", &value]).expect("+QUEUED\r\n");
    wait_for("a large transaction is told", PATIENCE, || stuck().len() == 1);
    large.send("EXEC\r\n").expect("*1\r\n+OK\r\n");
    wait_for("it is over", PATIENCE, || stuck().is_empty());

    assert_eq!(module.command(&["MODULE.ECHO", "x"]), bulk("x"));
    assert!(error(module.command(&["NOSUCH.COMMAND"])).starts_with("ERR unknown command"));
    wait_for("it is told", PATIENCE, || stuck().len() == 1);
}
