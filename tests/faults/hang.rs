//! A primary that hangs, and what becomes of it when it wakes.

use crate::{
    common::{
        PATIENCE,
        raw::{Raw, Reply},
        redis_server::{Builder, RedisServer},
        wait_for,
    },
    rig::wait_role,
    scene::{
        self, HANG, a_server, changes, epoch, ms, ready, servers, stays, streams, takes_writes, until, wait_route,
    },
    writers::Writers,
};
use std::{
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

/// How many clients write.
const WRITERS: usize = 10;
/// How many times a hang is timed.
const ROUNDS: usize = 5;
/// Within this time of its waking the old primary is fenced: one interval and 100 ms.
const FENCED: Duration = Duration::from_millis(200);

/// A primary that says something each second, as `tune = true` has it.
fn chatty() -> Builder {
    a_server().set("repl-ping-replica-period", "1")
}

/// With `unfenced = "promote"`: replaced in time, nothing sent to it any more, fenced when it wakes, what it ran then counted.
pub fn rounds() -> String {
    let all: Vec<Hang> = (0..ROUNDS).map(|_| hang()).collect();
    let gaps: Vec<_> = all.iter().map(|hang| hang.gap).collect();
    let fenced: Vec<_> = all.iter().map(|hang| hang.fenced).collect();
    let ran: Vec<_> = all.iter().map(|hang| format!("{} ({} B)", hang.ran, hang.counted)).collect();
    let slowest = gaps.iter().max().expect("rounds");
    assert!(*slowest <= Duration::from_millis(3500), "back after {} ms", ms(&gaps));
    assert!(fenced.iter().all(|time| *time <= FENCED), "fenced {} ms after it woke", ms(&fenced));
    format!(
        "gaps {} ms; fenced {} ms after SIGCONT; ran from its buffers and counted: {}",
        ms(&gaps),
        ms(&fenced),
        ran.join(", ")
    )
}

/// As [`rounds`], once, and no time is judged.
pub fn once() -> String {
    let Hang { gap, fenced, ran, counted } = hang();
    format!(
        "gap {} ms; fenced {} ms after SIGCONT; {ran} ran from its buffers, {counted} B counted",
        gap.as_millis(),
        fenced.as_millis()
    )
}

struct Hang {
    gap: Duration,
    fenced: Duration,
    ran: usize,
    counted: u64,
}

fn hang() -> Hang {
    let nodes = servers(chatty, 1);
    let [old, new] = nodes.as_slice() else { panic!("a pair") };
    let rig = ready(&nodes, &format!("{HANG}\n[services.cart.failover]\nunfenced = \"promote\""));
    let executed = monitor(old);
    let writers = Writers::start(rig.port, WRITERS);
    writers.progress(200);
    streams(new);
    old.freeze();
    let crash = Instant::now();
    wait_role(new, "master");
    wait_route(&rig, new);
    writers.progress(200);
    executed.try_iter().for_each(drop);
    old.thaw();
    let fenced = until("the old primary is fenced", || !takes_writes(old));
    stays("it takes no more writes", Duration::from_millis(300), || !takes_writes(old));
    rig.wait_ready();
    wait_role(old, "slave");
    let noted = writers.finish();
    noted.no_errors();
    let ran: Vec<String> = executed.try_iter().collect();
    let strangers: Vec<_> = ran.iter().filter(|key| !noted.unknown.contains(key)).collect();
    assert!(strangers.is_empty(), "sent there after it was left, or answered otherwise: {strangers:?}");
    assert!(ran.len() <= WRITERS, "one a connection at most: {}", ran.len());
    old.wait_synced();
    assert!(noted.missing(new) <= WRITERS, "what was under way: {}", noted.missing(new));
    let amended = changes(&rig, "amended").pop().expect("the record of the loss is amended");
    assert_eq!(amended["lost"]["known"], true, "{amended:#}");
    let counted = amended["lost"]["count"].as_u64().expect("bytes");
    assert!(ran.is_empty() || counted > 0, "{} ran and weren't counted: {amended:#}", ran.len());
    Hang { gap: noted.gap(crash), fenced, ran: ran.len(), counted }
}

/// The keys of the writers' SETs, as the server runs them, until it cuts its clients.
fn monitor(server: &RedisServer) -> Receiver<String> {
    let (keys, executed) = channel();
    let mut raw = Raw::connect(server.port());
    assert_eq!(raw.command(&["MONITOR"]).text(), "OK");
    std::thread::spawn(move || {
        while let Some(line) = raw.next_line() {
            let words: Vec<&str> = line.split('"').collect();
            if let [_, "SET", _, key, ..] = words.as_slice()
                && keys.send((*key).to_owned()).is_err()
            {
                return;
            }
        }
    });
    executed
}

/// With shipped policy and nothing that fences it: blocked, said, and over when it wakes.
pub fn unfenced_blocks() -> String {
    let nodes = servers(chatty, 1);
    let rig = ready(&nodes, HANG);
    let before = epoch(&rig);
    nodes[0].freeze();
    let said =
        |service: &serde_json::Value| service["note"].as_str().is_some_and(|note| note.contains("can't be fenced"));
    let blocked = until("blocked", || {
        let service = rig.service();
        service["state"] == "blocked" && said(&service)
    });
    stays("blocked", Duration::from_secs(2), || nodes[1].info("role") == "slave");
    nodes[0].thaw();
    rig.wait_ready();
    assert_eq!(rig.raw().command(&["SET", "k", "v"]).text(), "OK");
    assert_eq!(epoch(&rig), before, "no flip");
    format!("blocked after {} ms: can't be fenced; served again when it woke", blocked.as_millis())
}

/// A primary that stops by itself when no standby acknowledges: replaced when it must have.
pub fn self_fenced() -> String {
    let fencing = || chatty().set("min-replicas-to-write", "1").set("min-replicas-max-lag", "2");
    let nodes = servers(fencing, 2);
    let rig = ready(&nodes, HANG);
    let writers = Writers::start(rig.port, WRITERS);
    writers.progress(100);
    streams(&nodes[1]);
    streams(&nodes[2]);
    nodes[0].freeze();
    let crash = Instant::now();
    wait_for("another primary", PATIENCE, || nodes[1..].iter().any(|node| node.info("role") == "master"));
    writers.progress(50);
    nodes[0].thaw();
    rig.wait_ready();
    wait_role(&nodes[0], "slave");
    let noted = writers.finish();
    // The new one needs a standby too, which it is given when it is promoted.
    let starved = noted.errors.iter().filter(|error| error.contains("NOREPLICAS")).count();
    assert_eq!(starved, noted.errors.len(), "{:?}", noted.errors);
    let new = nodes.iter().find(|node| node.info("role") == "master").expect("one primary");
    assert!(noted.missing(new) <= WRITERS);
    format!(
        "gap {} ms, its own limit of 2 s and a second among them; {starved} NOREPLICAS of the heir",
        noted.gap(crash).as_millis()
    )
}

/// With shipped defaults: a script that stops the primary for four seconds is no death.
pub fn slow_script() -> String {
    // Newer servers let no time pass for a script: one that sleeps stands in for it.
    let old = ["redis6", "redis7"].contains(&scene::component().as_str());
    let nodes = servers(|| if old { a_server() } else { a_server().set("enable-debug-command", "local") }, 1);
    let rig = ready(&nodes, "");
    let before = epoch(&rig);
    let writers = Writers::start(rig.port, WRITERS);
    writers.progress(50);
    let begun = Instant::now();
    if old {
        let slow = "local t = redis.call('TIME')[1] + 4 while tonumber(redis.call('TIME')[1]) < t do end return 1";
        assert_eq!(rig.raw().command(&["EVAL", slow, "0"]), Reply::Integer(1));
    } else {
        assert_eq!(nodes[0].command(&["DEBUG", "SLEEP", "4"]).text(), "OK");
    }
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(3), "it took {took:?}");
    writers.progress(50);
    rig.wait_ready();
    let noted = writers.finish();
    noted.no_errors();
    assert_eq!((noted.unknown.len(), noted.missing(&nodes[0])), (0, 0));
    assert_eq!(epoch(&rig), before, "no flip");
    assert_eq!(scene::changes(&rig, "began").len(), 0);
    format!("stood still for {} ms; no flip, no error", took.as_millis())
}
