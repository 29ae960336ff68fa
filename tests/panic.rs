//! A fault of Pointsman's own ends the session that it happened in, and nothing else.
//!
//! The program under test is a debug build, which `POINTSMAN_PANIC_ON` tells to panic; a release build can't be told.

mod common;
#[path = "switchover/rig.rs"]
mod rig;

use common::{
    PATIENCE,
    raw::{Raw, Reply},
    redis_server::RedisServer,
    wait_for,
};
use rig::Rig;

/// Faults that the metrics count.
fn faults(rig: &Rig) -> f64 {
    rig.pointsman.metric(&["pointsman_commands_total{", "outcome=\"fault\""]).expect("a metric")
}

#[test]
fn a_panic_ends_its_session_alone() {
    require_server!("redis7");
    if std::env::var_os("POINTSMAN_PROGRAM").is_some() {
        common::skip::note("a debug build");
        return;
    }
    let (main, spare) = RedisServer::pair("redis7");
    let mut rig = Rig::prepare(&[("main", vec![&main]), ("spare", vec![&spare])], "");
    rig.pointsman = rig.pointsman.environment("POINTSMAN_PANIC_ON", "GET boom");
    rig.pointsman.launch();
    rig.wait_steady();
    let clients = || rig.service()["connections"]["client"].as_u64().expect("a number");

    // So many that each worker has some.
    let mut sharing: Vec<Raw> = (0..8).map(|_| rig.raw()).collect();
    let (mut blocked, mut queuing, mut subscribed) = (rig.raw(), rig.raw(), rig.raw());
    blocked.request(&["BLPOP", "list", "0"]);
    queuing.send("MULTI\r\nINCR queued\r\n").expect("+OK\r\n+QUEUED\r\n");
    subscribed.send("SUBSCRIBE news\r\n").expect("*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");

    let ways: [&[u8]; 4] = [
        b"GET boom\r\n",
        // Behind requests of its own that nobody has answered yet, and before others.
        b"INCR shared\r\nINCR shared\r\nGET boom\r\nINCR shared\r\n",
        b"MULTI\r\nINCR own\r\nGET boom\r\n",
        b"SUBSCRIBE news\r\nGET boom\r\n",
    ];
    let rounds = 8;
    for (many, way) in ways.iter().cycle().take(ways.len() * rounds).enumerate() {
        let mut culprit = rig.raw();
        for raw in &mut sharing {
            raw.request(&["INCR", "shared"]);
        }
        culprit.send(way);
        let said = culprit.until_closed();
        assert!(!said.windows(2).any(|two| two == b"$-"), "GET boom was answered: {}", said.escape_ascii());
        for raw in &mut sharing {
            assert!(matches!(raw.reply(), Reply::Integer(_)), "round {many}");
        }
    }
    assert!(faults(&rig) >= f64::from(u32::try_from(ways.len() * rounds).expect("few")), "{}", faults(&rig));
    assert!(rig.pointsman.log().contains("a session panicked and is closed"), "{}", rig.pointsman.log());

    // Those that had an upstream of their own still have it, and nothing of the culprits is left.
    sharing[0].send("RPUSH list x\r\nPUBLISH news hello\r\n").expect(":1\r\n:1\r\n");
    blocked.expect("*2\r\n$4\r\nlist\r\n$1\r\nx\r\n");
    subscribed.expect("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n");
    queuing.send("EXEC\r\n").expect("*1\r\n:1\r\n");
    wait_for("only the others are counted", PATIENCE, || clients() == 11);
    rig.wait_ready();
    rig.switch("spare");
    for raw in &mut sharing {
        raw.send("PING\r\n").expect("+PONG\r\n");
    }
    assert!(rig.pointsman.runs(), "{}", rig.pointsman.log());
}
