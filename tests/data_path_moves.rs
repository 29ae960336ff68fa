//! The data path on real servers while the route moves under it, switched by hand as control does it.

mod common;

use common::data_path::{DataPath, switch};
use common::raw::{Raw, Reply};
use common::redis_server::RedisServer;
use common::{PATIENCE, wait_for};
use pointsman::model::route::{Mode, Readying};
use pointsman::model::signal::Signal;
use pointsman::proxy::Outcome;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn ok() -> Reply {
    Reply::Simple("OK".into())
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

/// Blocked pops that were asked again after a loss.
fn reissued(path: &DataPath) -> u64 {
    path.counters().commands[Outcome::Reissued as usize]
}

#[test]
fn a_hold_makes_requests_wait_and_lets_them_go_again() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let mut path = DataPath::to(&server);
    let mut raw = path.raw();
    assert_eq!(raw.command(&["SET", "k", "v"]), ok());
    path.publish(Mode::Hold, &server, None);
    path.wait_drained();
    raw.request(&["GET", "k"]);
    assert!(raw.is_silent_for(Duration::from_millis(50)), "answered in a hold");
    path.publish(Mode::Open, &server, None);
    assert_eq!(raw.reply(), bulk("v"));
    let epoch = path.board.view().route.epoch;
    wait_for(
        "the stall is reported",
        PATIENCE,
        || matches!(path.signals.try_recv(), Ok(Signal::Stalled { epoch: of, longest_us, .. }) if of == epoch && longest_us >= 40_000),
    );
}

#[test]
fn a_hold_that_lasts_too_long_fails_at_once() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let mut path = DataPath::with(&server, |settings| settings.failover.hold_timeout = Duration::from_millis(200));
    let (mut one, mut two) = (path.raw(), path.raw());
    one.command(&["PING"]);
    path.publish(Mode::Hold, &server, None);
    path.wait_drained();
    let began = Instant::now();
    assert!(one.command(&["GET", "k"]).text().starts_with("ERR pointsman: service cart has been held"));
    assert!(began.elapsed() >= Duration::from_millis(150));
    let began = Instant::now();
    assert!(two.command(&["GET", "k"]).text().starts_with("ERR pointsman: service cart has been held"));
    assert!(began.elapsed() < Duration::from_millis(150), "one clock for the whole outage");
    path.publish(Mode::Open, &server, None);
    wait_for("open again", PATIENCE, || one.command(&["PING"]).text() == "PONG");
}

#[test]
fn read_only_and_closed_say_so() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let path = DataPath::to(&server);
    let mut raw = path.raw();
    assert_eq!(raw.command(&["SET", "k", "v"]), ok());
    path.publish(Mode::ReadOnly, &server, None);
    wait_for("writes are refused", PATIENCE, || {
        raw.command(&["SET", "other", "w"]).text().starts_with("READONLY pointsman:")
    });
    assert_eq!(raw.command(&["GET", "k"]), bulk("v"));
    path.publish(Mode::Closed, &server, None);
    wait_for("closed", PATIENCE, || raw.command(&["GET", "k"]).text() == "ERR pointsman: service cart is closed");
    path.publish(Mode::Open, &server, None);
    wait_for("open", PATIENCE, || raw.command(&["GET", "k"]) == bulk("v"));
}

/// Writes numbers until told to stop; gives how many were acknowledged and the longest wait.
fn writer(port: u16, name: &str, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<(u64, Duration)> {
    let (name, stop) = (name.to_owned(), Arc::clone(stop));
    std::thread::spawn(move || {
        let mut raw = Raw::connect(port);
        let (mut done, mut longest) = (0, Duration::ZERO);
        while !stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            let reply = raw.command(&["INCR", &name]);
            longest = longest.max(began.elapsed());
            done += 1;
            assert_eq!(reply, Reply::Integer(done), "every write once, and none lost");
        }
        (u64::try_from(done).expect("positive"), longest)
    })
}

#[test]
fn a_planned_switch_is_felt_by_nobody() {
    require_server!("redis7");
    let (a, b) = RedisServer::pair("redis7");
    let mut path = DataPath::to(&a);
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..20).map(|number| writer(path.port, &format!("w{number}"), &stop)).collect();
    let mut publisher = path.raw();
    let mut subscribers = [path.raw(), path.raw()];
    subscribers[1].command(&["HELLO", "3"]);
    for subscriber in &mut subscribers {
        subscriber.request(&["SUBSCRIBE", "news"]);
        subscriber.reply();
    }
    let publishing = Arc::clone(&stop);
    let publisher = std::thread::spawn(move || {
        let mut sent = 0;
        while !publishing.load(Ordering::Relaxed) {
            assert!(matches!(publisher.command(&["PUBLISH", "news", &sent.to_string()]), Reply::Integer(_)));
            sent += 1;
        }
        sent
    });
    let mut popper = path.raw();
    popper.request(&["BLPOP", "queue", "0"]);
    let mut multi = path.raw();
    multi.command(&["MULTI"]);
    multi.command(&["INCR", "tx"]);
    let mut watch = path.raw();
    watch.command(&["WATCH", "watched"]);
    let before = path.counters();
    for (from, to) in [(&a, &b), (&b, &a), (&a, &b)] {
        switch(&mut path, from, to);
        let mut probe = path.raw();
        assert_eq!(probe.command(&["SET", "probe", "1"]), ok());
        from.wait_synced();
    }
    assert_eq!(multi.command(&["INCR", "tx"]), Reply::Simple("QUEUED".into()));
    assert_eq!(multi.command(&["EXEC"]), Reply::Array(vec![Reply::Integer(1), Reply::Integer(2)]));
    assert_eq!(watch.command(&["MULTI"]), ok());
    assert_eq!(watch.command(&["INCR", "watched"]), Reply::Simple("QUEUED".into()));
    assert_eq!(watch.command(&["EXEC"]), Reply::Null, "a lost race");
    assert_eq!(path.raw().command(&["RPUSH", "queue", "x"]), Reply::Integer(1));
    assert_eq!(popper.reply(), Reply::Array(vec![bulk("queue"), bulk("x")]));
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        let (done, longest) = writer.join().expect("a writer without an error");
        assert!(done > 0 && longest < PATIENCE);
        eprintln!("writer: {done} writes, longest {longest:?}");
    }
    let sent = publisher.join().expect("a publisher without an error");
    let last = sent - 1;
    let received = subscribers.each_mut().map(|subscriber| {
        let mut received = Vec::new();
        while received.last() != Some(&last) {
            let (Reply::Array(parts) | Reply::Push(parts)) = subscriber.reply() else { panic!("no message") };
            received.push(parts[2].text().parse::<i32>().expect("a number"));
        }
        assert!(subscriber.is_silent_for(Duration::from_millis(30)), "a message came twice");
        received
    });
    let missing = received.map(|received| (0..sent).filter(|number| !received.contains(number)).collect::<Vec<_>>());
    assert!(missing.iter().all(Vec::is_empty), "{missing:?} messages missing, of {sent}");
    assert_eq!(path.counters().commands[4], before.commands[4], "an outcome was unknown");
}

/// A subscriber with RESP3 that is blocked at the same time.
fn blocked_subscriber(path: &DataPath) -> Raw {
    let mut raw = path.raw();
    raw.command(&["HELLO", "3"]);
    raw.request(&["SUBSCRIBE", "news"]);
    raw.reply();
    raw.request(&["BLPOP", "queue", "0"]);
    raw
}

/// Such a one that has heard all that the old node has to say before the route moves.
fn handed_over(from: &RedisServer, to: &RedisServer) -> (DataPath, Raw) {
    let mut path = DataPath::to(from);
    let subscriber = blocked_subscriber(&path);
    path.publish(Mode::Open, from, Some((to, Readying::Warm)));
    path.wait_warm();
    path.publish(Mode::Hold, from, Some((to, Readying::HandOver)));
    path.wait_handed_over();
    (path, subscriber)
}

fn message(text: &str) -> Reply {
    Reply::Push(vec![bulk("message"), bulk("news"), bulk(text)])
}

#[test]
fn a_blocked_subscriber_moves_and_misses_nothing() {
    require_server!("redis7");
    let (a, b) = RedisServer::pair("redis7");
    let mut path = DataPath::to(&a);
    let mut subscriber = blocked_subscriber(&path);
    let stop = Arc::new(AtomicBool::new(false));
    let (publishing, mut publisher) = (Arc::clone(&stop), path.raw());
    let publisher = std::thread::spawn(move || {
        let mut sent = 0;
        while !publishing.load(Ordering::Relaxed) {
            publisher.command(&["PUBLISH", "news", &sent.to_string()]);
            sent += 1;
        }
        sent
    });
    for (from, to) in [(&a, &b), (&b, &a), (&a, &b)] {
        switch(&mut path, from, to);
        from.wait_synced();
    }
    stop.store(true, Ordering::Relaxed);
    let sent: i32 = publisher.join().expect("a publisher without an error");
    for number in 0..sent {
        assert_eq!(subscriber.reply(), message(&number.to_string()), "of {sent}");
    }
    assert_eq!(path.raw().command(&["RPUSH", "queue", "x"]), Reply::Integer(1));
    assert_eq!(subscriber.reply(), Reply::Array(vec![bulk("queue"), bulk("x")]));
    assert_eq!(subscriber.command(&["PING"]).text(), "PONG");
    assert_eq!(reissued(&path), 0, "the node had said that the pop took nothing");
}

#[test]
fn a_blocked_subscriber_hears_the_old_node_to_its_end_and_then_the_new_one() {
    require_server!("redis7");
    let (a, b) = RedisServer::pair("redis7");
    let (path, mut subscriber) = handed_over(&a, &b);
    b.command(&["REPLICAOF", "NO", "ONE"]);
    // As when the old node's last messages are long on their way.
    path.publish(Mode::Open, &b, None);
    assert_eq!(b.command(&["PUBLISH", "news", "new"]), Reply::Integer(1));
    assert_eq!(a.command(&["PUBLISH", "news", "old"]), Reply::Integer(1));
    a.command(&["REPLICAOF", "127.0.0.1", &b.port().to_string()]);
    assert_eq!(subscriber.reply(), message("old"));
    assert_eq!(subscriber.reply(), message("new"));
    assert_eq!(path.raw().command(&["RPUSH", "queue", "x"]), Reply::Integer(1));
    assert_eq!(subscriber.reply(), Reply::Array(vec![bulk("queue"), bulk("x")]));
}

#[test]
fn a_blocked_subscriber_stays_blocked_when_the_switch_is_aborted() {
    require_server!("redis7");
    let (a, b) = RedisServer::pair("redis7");
    let (path, mut subscriber) = handed_over(&a, &b);
    path.publish(Mode::Open, &a, None);
    let mut raw = path.raw();
    assert_eq!(raw.command(&["PUBLISH", "news", "1"]), Reply::Integer(1));
    assert_eq!(subscriber.reply(), message("1"));
    assert_eq!(raw.command(&["RPUSH", "queue", "x"]), Reply::Integer(1));
    assert_eq!(subscriber.reply(), Reply::Array(vec![bulk("queue"), bulk("x")]));
    assert!(subscriber.is_silent_for(Duration::from_millis(30)), "something came twice");
    assert_eq!(raw.command(&["PUBLISH", "news", "2"]), Reply::Integer(1));
    assert_eq!(subscriber.reply(), message("2"));
}

#[test]
fn an_aborted_switch_leaves_everything_where_it_was() {
    require_server!("redis7");
    let (a, b) = RedisServer::pair("redis7");
    let mut path = DataPath::to(&a);
    let mut subscriber = path.raw();
    subscriber.request(&["SUBSCRIBE", "news"]);
    subscriber.reply();
    let mut raw = path.raw();
    path.publish(Mode::Open, &a, Some((&b, Readying::Warm)));
    path.wait_warm();
    path.publish(Mode::Hold, &a, Some((&b, Readying::Warm)));
    path.wait_drained();
    path.publish(Mode::Open, &a, None);
    for number in 0..100 {
        let text = number.to_string();
        assert_eq!(raw.command(&["PUBLISH", "news", &text]), Reply::Integer(1));
        assert_eq!(subscriber.reply(), Reply::Array(vec![bulk("message"), bulk("news"), bulk(&text)]));
    }
    wait_for("the warmed up connections are closed", PATIENCE, || {
        b.command(&["PUBSUB", "NUMSUB", "news"]) == Reply::Array(vec![bulk("news"), Reply::Integer(0)])
    });
}

#[test]
fn a_crash_moves_sessions_and_says_what_is_unknown() {
    require_server!("redis7");
    let (mut a, b) = RedisServer::pair("redis7");
    let path = DataPath::to(&a);
    let (mut reader, mut writer, mut popper, mut subscriber) = (path.raw(), path.raw(), path.raw(), path.raw());
    writer.command(&["SET", "k", "v"]);
    b.wait_synced();
    reader.command(&["PING"]);
    popper.request(&["BLPOP", "queue", "30"]);
    subscriber.request(&["SUBSCRIBE", "news"]);
    subscriber.reply();
    a.freeze();
    reader.request(&["GET", "k"]);
    assert!(reader.is_silent_for(Duration::from_millis(20)));
    writer.request(&["INCR", "n"]);
    assert!(writer.is_silent_for(Duration::from_millis(20)));
    a.kill();
    let unknown = writer.reply().text();
    assert!(unknown.contains("the outcome is unknown"), "{unknown}");
    assert!(
        reader.is_silent_for(Duration::from_millis(20)),
        "a read that should wait for a node got {:?}",
        reader.reply()
    );
    b.command(&["REPLICAOF", "NO", "ONE"]);
    path.publish(Mode::Open, &b, None);
    assert_eq!(reader.reply(), bulk("v"));
    assert_eq!(writer.command(&["INCR", "n"]), Reply::Integer(1));
    wait_for("the subscription has moved", PATIENCE, || writer.command(&["PUBLISH", "news", "1"]) == Reply::Integer(1));
    assert_eq!(subscriber.reply(), Reply::Array(vec![bulk("message"), bulk("news"), bulk("1")]));
    assert_eq!(writer.command(&["RPUSH", "queue", "x"]), Reply::Integer(1));
    assert_eq!(popper.reply(), Reply::Array(vec![bulk("queue"), bulk("x")]));
    assert_eq!(reissued(&path), 1, "a pop that may have taken something is counted");
}

#[test]
fn what_a_demoted_node_refuses_is_sent_again_on_the_new_route() {
    require_server!("redis7");
    let (a, b) = RedisServer::pair("redis7");
    let path = DataPath::to(&a);
    let (mut writer, mut popper, mut multi) = (path.raw(), path.raw(), path.raw());
    writer.command(&["SET", "n", "1"]);
    popper.request(&["BLPOP", "queue", "0"]);
    multi.command(&["MULTI"]);
    assert_eq!(multi.command(&["INCR", "tx"]), Reply::Simple("QUEUED".into()));
    b.wait_synced();
    b.command(&["REPLICAOF", "NO", "ONE"]);
    a.command(&["REPLICAOF", "127.0.0.1", &b.port().to_string()]);
    writer.request(&["INCR", "n"]).request(&["INCR", "n"]);
    assert!(writer.is_silent_for(Duration::from_millis(50)), "READONLY was delivered");
    multi.request(&["EXEC"]);
    assert!(multi.is_silent_for(Duration::from_millis(50)), "EXECABORT was delivered");
    path.publish(Mode::Open, &b, None);
    assert_eq!(writer.reply(), Reply::Integer(2));
    assert_eq!(writer.reply(), Reply::Integer(3));
    assert_eq!(multi.reply(), Reply::Array(vec![Reply::Integer(1)]));
    assert_eq!(writer.command(&["RPUSH", "queue", "x"]), Reply::Integer(1));
    assert_eq!(popper.reply(), Reply::Array(vec![bulk("queue"), bulk("x")]));
    assert_eq!(reissued(&path), 0, "the node had said that the pop took nothing");
}
