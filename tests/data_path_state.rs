//! What of a session moves to another node and what can't, on real servers: tracking, refused and large requests, modules.

mod common;

use common::data_path::{DataPath, switch};
use common::raw::{Raw, Reply, encode};
use common::redis_server::RedisServer;
use common::{PATIENCE, wait_for};
use pointsman::model::route::Mode;
use std::cell::Cell;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

/// A connection that gets the invalidations of others, and its id.
fn listener(path: &DataPath) -> (Raw, String) {
    let mut raw = path.raw();
    let id = raw.command(&["CLIENT", "ID"]).text();
    raw.command(&["SUBSCRIBE", "__redis__:invalidate"]);
    (raw, id)
}

/// Has `raw` track with this redirection, and proves that it works.
#[track_caller]
fn track(path: &DataPath, raw: &mut Raw, listener: &mut Raw, id: &str) {
    assert_eq!(raw.command(&["CLIENT", "TRACKING", "ON", "REDIRECT", id]).text(), "OK");
    raw.command(&["GET", "k"]);
    path.raw().command(&["SET", "k", "1"]);
    assert_eq!(listener.reply(), invalidation(Reply::Array(vec![bulk("k")])));
}

fn invalidation(what: Reply) -> Reply {
    Reply::Array(vec![bulk("message"), bulk("__redis__:invalidate"), what])
}

#[test]
fn a_redirection_of_tracking_breaks_openly_with_resp3() {
    require_server!("redis7");
    let (a, b) = RedisServer::pair("redis7");
    let mut path = DataPath::to(&a);
    let (mut listener, id) = listener(&path);
    let mut raw = path.raw();
    raw.command(&["HELLO", "3"]);
    track(&path, &mut raw, &mut listener, &id);
    switch(&mut path, &a, &b);
    assert_eq!(listener.reply(), invalidation(Reply::Null), "what is cached is to be dropped");
    let id = id.parse().expect("a number");
    assert_eq!(raw.reply(), Reply::Push(vec![bulk("tracking-redir-broken"), Reply::Integer(id)]));
    let Reply::Array(info) = raw.command(&["CLIENT", "TRACKINGINFO"]) else { panic!("no map") };
    assert_eq!(info[1], Reply::Array(vec![bulk("off")]));
}

#[test]
fn a_redirection_of_tracking_ends_the_session_with_resp2() {
    require_server!("redis7");
    let (a, b) = RedisServer::pair("redis7");
    let mut path = DataPath::to(&a);
    let (mut listener, id) = listener(&path);
    let mut raw = path.raw();
    track(&path, &mut raw, &mut listener, &id);
    let mut plain = path.raw();
    assert_eq!(plain.command(&["CLIENT", "TRACKING", "ON"]).text(), "OK");
    switch(&mut path, &a, &b);
    assert_eq!(listener.reply(), invalidation(Reply::Null), "what is cached is to be dropped");
    raw.expect_closed();
    assert_eq!(plain.command(&["GET", "k"]), bulk("1"), "RESP2 has no message for who tracks for itself");
}

/// A connection on an upstream of its own.
fn pinned(path: &DataPath) -> Raw {
    let mut raw = path.raw();
    assert_eq!(raw.command(&["CLIENT", "NO-EVICT", "ON"]).text(), "OK");
    raw
}

/// A number is there, a client is pinned, the roles have changed, and nobody has told the proxy.
fn with_roles_changed() -> (DataPath, Raw, RedisServer, RedisServer) {
    let (a, b) = RedisServer::pair("redis7");
    let path = DataPath::to(&a);
    let mut raw = pinned(&path);
    raw.command(&["SET", "n", "1"]);
    b.wait_synced();
    b.command(&["REPLICAOF", "NO", "ONE"]);
    a.command(&["REPLICAOF", "127.0.0.1", &b.port().to_string()]);
    (path, raw, a, b)
}

#[test]
fn several_refused_requests_are_sent_again_in_order() {
    require_server!("redis7");
    let (path, mut raw, _a, b) = with_roles_changed();
    raw.send("INCR n\r\nINCR n\r\nAPPEND n 0\r\n");
    assert!(raw.is_silent_for(Duration::from_millis(50)), "READONLY was delivered");
    path.publish(Mode::Open, &b, None);
    assert_eq!(raw.reply(), Reply::Integer(2));
    assert_eq!(raw.reply(), Reply::Integer(3));
    assert_eq!(raw.reply(), Reply::Integer(2), "the length of 30");
    assert_eq!(raw.command(&["GET", "n"]), bulk("30"));
}

#[test]
fn what_was_refused_before_something_that_ran_is_not_sent_again() {
    require_server!("redis7");
    let (path, mut raw, _a, b) = with_roles_changed();
    raw.send("INCR n\r\nINCR n\r\nGET n\r\n");
    assert!(raw.reply().text().starts_with("READONLY"));
    assert!(raw.reply().text().starts_with("READONLY"));
    assert_eq!(raw.reply(), bulk("1"));
    path.publish(Mode::Open, &b, None);
    assert_eq!(raw.command(&["INCR", "n"]), Reply::Integer(2));
}

#[test]
fn a_transaction_too_large_to_be_kept_is_never_queued_again_without_its_commands() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let path = DataPath::to(&server);
    // What is left of a request whose beginning was dropped is of any length.
    let sizes = (270_000..400_000).step_by(10_000);
    let mut all: Vec<_> = sizes.map(|size| (path.raw(), size)).collect();
    for (raw, size) in &mut all {
        raw.command(&["MULTI"]);
        assert_eq!(raw.command(&["SET", "large", &"x".repeat(*size)]).text(), "QUEUED");
    }
    wait_for("it is told that none can move", PATIENCE, || path.board.stuck().len() == all.len());
    for (raw, _) in &mut all {
        assert_eq!(raw.command(&["EXEC"]), Reply::Array(vec![Reply::Simple("OK".into())]));
    }
}

/// Part of it was written and is too much to be kept; the rest has not been sent when the node dies.
#[test]
fn a_transaction_whose_beginning_is_lost_never_runs_in_part() {
    require_server!("redis7");
    let (mut a, b) = RedisServer::pair("redis7");
    let path = DataPath::to(&a);
    let mut stream = TcpStream::connect(("127.0.0.1", path.port)).expect("a connection");
    let mut raw = Raw::over(stream.try_clone().expect("its other half"));
    assert_eq!(raw.command(&["MULTI"]).text(), "OK");
    b.wait_synced();
    a.freeze();
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let writer = std::thread::spawn(move || {
        let one = encode(&["SET", "large", &"x".repeat(20_000)]);
        let all = std::iter::repeat_n(one, 1000).chain([encode(&["SET", "part", "1"]), encode(&["EXEC"])]);
        for request in all {
            if stream.write_all(&request).is_err() {
                return;
            }
            counted.fetch_add(request.len(), Ordering::Relaxed);
        }
    });
    // How much the system takes for a node that doesn't read differs: when it takes nothing more, it is far more than is kept.
    let seen = Cell::new((0, Instant::now()));
    wait_for("more was sent than is kept", PATIENCE, || {
        let now = sent.load(Ordering::Relaxed);
        if now != seen.get().0 {
            seen.set((now, Instant::now()));
        }
        now > 2 << 20 && seen.get().1.elapsed() > Duration::from_millis(500)
    });
    a.kill();
    b.command(&["REPLICAOF", "NO", "ONE"]);
    path.publish(Mode::Open, &b, None);
    let told = raw.until_closed();
    assert!(String::from_utf8_lossy(&told).contains("the outcome is unknown"));
    writer.join().expect("a writer");
    assert_eq!(b.command(&["EXISTS", "part", "large"]), Reply::Integer(0), "a part of it ran");
}

/// Redis discards a transaction after an error, and the next node knows nothing of that error.
#[test]
fn a_transaction_with_an_error_is_discarded_on_the_next_node_too() {
    require_server!("redis7");
    let (a, b) = RedisServer::pair("redis7");
    let mut path = DataPath::to(&a);
    let (mut wrong, mut right) = (path.raw(), path.raw());
    for (raw, words) in [(&mut wrong, &["GET"][..]), (&mut right, &["WATCH", "k"])] {
        assert_eq!(raw.command(&["MULTI"]).text(), "OK");
        assert!(raw.command(words).text().starts_with("ERR "));
        assert_eq!(raw.command(&["SET", "part", "1"]).text(), "QUEUED");
    }
    switch(&mut path, &a, &b);
    assert!(wrong.command(&["EXEC"]).text().starts_with("EXECABORT"));
    assert_eq!(path.raw().command(&["EXISTS", "part"]), Reply::Integer(0));
    assert_eq!(
        right.command(&["EXEC"]),
        Reply::Array(vec![Reply::Simple("OK".into())]),
        "WATCH there is only an error"
    );
}

#[test]
fn a_lost_watch_is_told_to_a_transaction_that_is_sent_at_once() {
    require_server!("redis7");
    let (a, b) = RedisServer::pair("redis7");
    let mut path = DataPath::to(&a);
    let mut raw = path.raw();
    assert_eq!(raw.command(&["WATCH", "k"]).text(), "OK");
    switch(&mut path, &a, &b);
    raw.send("MULTI\r\nSET k 1\r\nEXEC\r\nSET after 1\r\n");
    assert_eq!(["OK", "QUEUED"].map(|_| raw.reply().text()), ["OK", "QUEUED"]);
    assert_eq!(raw.reply(), Reply::Null, "a lost race");
    assert_eq!(raw.reply().text(), "OK");
    assert_eq!(raw.command(&["MGET", "k", "after"]), Reply::Array(vec![Reply::Null, bulk("1")]));
}

#[test]
fn the_end_of_a_large_request_is_never_sent_for_a_request() {
    require_server!("redis7");
    let (mut a, b) = RedisServer::pair("redis7");
    let path = DataPath::to(&a);
    let mut raw = pinned(&path);
    b.wait_synced();
    a.freeze();
    let keys: Vec<String> = (0..10_000).map(|number| format!("a-key-that-is-rather-long-{number}")).collect();
    raw.request(&[&["MGET".to_owned()], &keys[..]].concat());
    assert!(raw.is_silent_for(Duration::from_millis(100)));
    a.kill();
    b.command(&["REPLICAOF", "NO", "ONE"]);
    path.publish(Mode::Open, &b, None);
    assert!(raw.reply().text().contains("the outcome is unknown"), "it wasn't kept");
    assert_eq!(raw.command(&["SET", "k", "v"]).text(), "OK");
}

#[test]
fn what_a_module_has_pinned_does_not_outlive_its_node() {
    require_server!("redis7");
    // Renamed, it stands for a module's command, which Pointsman doesn't know.
    let mut server = RedisServer::builder("redis7").with_file().set("rename-command", "ECHO MODULE.ECHO").start();
    let path = DataPath::to(&server);
    let mut raw = path.raw();
    assert_eq!(raw.command(&["MODULE.ECHO", "x"]), bulk("x"));
    server.kill();
    raw.expect_closed();
}
