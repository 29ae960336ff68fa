//! Applications of every sort that a switch must not disturb, each on a connection of its own that is never reopened: an error,
//! a lost connection or a wrong answer panics in its thread, and [`Load::finish`] says which. What the data must be in the
//! end is checked on the server itself.
#![allow(dead_code, reason = "several test programs use a part of it each")]
#![allow(unreachable_pub, reason = "a module of test programs")]

use crate::common::{
    PATIENCE,
    raw::{Raw, Reply},
    wait_for,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How many plain writers there are.
pub const WRITERS: usize = 50;

/// What the data must be once everybody has stopped.
#[derive(Debug)]
pub enum Expected {
    /// This counter has this value: nothing lost, nothing applied twice.
    Counter(String, u64),
    /// This list holds `0..n` in order.
    List(String, u64),
    /// Nothing to look at.
    Nothing,
}

/// One application: its port, its stop sign, what it has done.
struct Application {
    port: u16,
    stop: Receiver<()>,
    done: Arc<AtomicU64>,
    longest_us: Arc<AtomicU64>,
}

impl Application {
    /// Whether to stop; else waits the pace of a request every few milliseconds, so that 60 applications fit a small machine.
    fn stopped(&self) -> bool {
        !matches!(self.stop.recv_timeout(Duration::from_millis(3)), Err(RecvTimeoutError::Timeout))
    }

    /// Runs one request and notes how long it took.
    fn timed<T>(&self, request: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let value = request();
        let us = u64::try_from(begun.elapsed().as_micros()).expect("a short time");
        self.longest_us.fetch_max(us, Relaxed);
        self.done.fetch_add(1, Relaxed);
        value
    }

    fn raw(&self) -> Raw {
        Raw::connect(self.port)
    }
}

struct Running {
    name: String,
    stop: Sender<()>,
    done: Arc<AtomicU64>,
    longest_us: Arc<AtomicU64>,
    thread: JoinHandle<Expected>,
}

/// The whole load.
pub struct Load {
    port: u16,
    running: Vec<Running>,
}

impl Load {
    /// No application yet, all to come to this port.
    pub fn new(port: u16) -> Self {
        Self { port, running: Vec::new() }
    }

    /// Writers, transactions, watchers, pipelines, a queue and subscribers.
    pub fn everything(port: u16) -> Self {
        let mut load = Self::new(port);
        load.writers(WRITERS);
        for index in 0..2 {
            load.add(format!("multi {index}"), move |app| transactions(app, index));
            load.add(format!("watch {index}"), move |app| watches(app, index));
            load.add(format!("pipeline {index}"), move |app| pipelines(app, index));
            load.queue(index);
            load.channel(index, if index == 0 { Protocol::Resp2 } else { Protocol::Resp3 });
        }
        load
    }

    /// Plain writers: INCR and RPUSH, by the `redis` crate and by raw sockets.
    pub fn writers(&mut self, count: usize) {
        for index in 0..count {
            if index % 2 == 0 {
                self.add(format!("incr {index}"), move |app| increments(app, index));
            } else {
                self.add(format!("rpush {index}"), move |app| pushes(app, index));
            }
        }
    }

    /// A consumer that blocks in BLPOP and the producer it waits for.
    pub fn queue(&mut self, index: usize) {
        self.add(format!("blpop {index}"), move |app| consumer(app, index));
        self.add(format!("producer {index}"), move |app| producer(app, index));
    }

    /// A subscriber, and a publisher that begins when it listens.
    pub fn channel(&mut self, index: usize, protocol: Protocol) {
        let (listening, ready) = channel();
        self.add(format!("subscriber {index}"), move |app| subscriber(app, index, protocol, &listening));
        self.add(format!("publisher {index}"), move |app| publisher(app, index, &ready));
    }

    fn add(&mut self, name: String, run: impl FnOnce(&Application) -> Expected + Send + 'static) {
        let (stop, stopped) = channel();
        let (done, longest_us) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let app = Application { port: self.port, stop: stopped, done: done.clone(), longest_us: longest_us.clone() };
        let thread = std::thread::Builder::new().name(name.clone()).spawn(move || run(&app)).expect("a thread");
        self.running.push(Running { name, stop, done, longest_us, thread });
    }

    /// Waits until every application has done `requests` more, or has failed (which [`Load::finish`] reports).
    #[track_caller]
    pub fn progress(&self, requests: u64) {
        let goals: Vec<_> = self.running.iter().map(|app| app.done.load(Relaxed) + requests).collect();
        let moved = |(app, goal): (&Running, &u64)| app.thread.is_finished() || app.done.load(Relaxed) >= *goal;
        wait_for("every application goes on", PATIENCE, || self.running.iter().zip(&goals).all(moved));
    }

    /// The longest wait of any plain writer so far; the next one begins from zero.
    pub fn longest_wait(&self) -> Duration {
        let writers = self.running.iter().filter(|app| app.name.starts_with("incr") || app.name.starts_with("rpush"));
        Duration::from_micros(writers.map(|app| app.longest_us.swap(0, Relaxed)).max().unwrap_or(0))
    }

    /// Stops everybody, names those that failed, and checks the data on the server at `port`. Gives how many requests there were.
    #[track_caller]
    pub fn finish(self, port: u16) -> u64 {
        for app in &self.running {
            // One that failed is gone already.
            let _ = app.stop.send(());
        }
        let mut failed = Vec::new();
        let mut expected = Vec::new();
        let mut requests = 0;
        for app in self.running {
            requests += app.done.load(Relaxed);
            match app.thread.join() {
                Ok(what) => expected.push((app.name, what)),
                Err(panic) => failed.push(format!("{}: {}", app.name, words(panic.as_ref()))),
            }
        }
        assert!(failed.is_empty(), "{} applications were disturbed:\n{}", failed.len(), failed.join("\n"));
        let mut server = Raw::connect(port);
        for (name, expected) in expected {
            check(&name, &expected, &mut server);
        }
        requests
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

#[track_caller]
fn check(name: &str, expected: &Expected, server: &mut Raw) {
    match expected {
        Expected::Counter(key, count) => {
            assert_eq!(server.command(&["GET", key]).text(), count.to_string(), "{name}: {key} on the server");
        }
        Expected::List(key, length) => {
            let Reply::Array(items) = server.command(&["LRANGE", key, "0", "-1"]) else { panic!("{name}: no list") };
            let found: Vec<_> = items.iter().map(Reply::text).collect();
            let wanted: Vec<_> = (0..*length).map(|id| id.to_string()).collect();
            assert_eq!(found, wanted, "{name}: {key} on the server");
        }
        Expected::Nothing => {}
    }
}

fn increments(app: &Application, index: usize) -> Expected {
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/", app.port)).expect("an address");
    let mut connection = client.get_connection().expect("a connection");
    let key = format!("counter:{index}");
    let mut count = 0;
    while !app.stopped() {
        let value: u64 = app.timed(|| redis::cmd("INCR").arg(&key).query(&mut connection)).expect("INCR");
        count += 1;
        assert_eq!(value, count, "INCR counts every request once");
    }
    Expected::Counter(key, count)
}

fn pushes(app: &Application, index: usize) -> Expected {
    let mut raw = app.raw();
    let key = format!("list:{index}");
    let mut id = 0u64;
    while !app.stopped() {
        let length = app.timed(|| raw.command(&["RPUSH", &key, &id.to_string()]));
        id += 1;
        assert_eq!(length, integer(id), "RPUSH adds every id once");
    }
    Expected::List(key, id)
}

fn integer(value: u64) -> Reply {
    Reply::Integer(i64::try_from(value).expect("a small number"))
}

fn transactions(app: &Application, index: usize) -> Expected {
    let mut raw = app.raw();
    let key = format!("multi:{index}");
    let mut count = 0;
    while !app.stopped() {
        assert_eq!(raw.command(&["MULTI"]).text(), "OK");
        assert_eq!(raw.command(&["INCR", &key]).text(), "QUEUED");
        assert_eq!(raw.command(&["INCR", &key]).text(), "QUEUED");
        let reply = app.timed(|| raw.command(&["EXEC"]));
        assert_eq!(reply, Reply::Array(vec![integer(count + 1), integer(count + 2)]), "EXEC runs once");
        count += 2;
    }
    Expected::Counter(key, count)
}

fn watches(app: &Application, index: usize) -> Expected {
    let mut raw = app.raw();
    let key = format!("watch:{index}");
    let mut count = 0;
    while !app.stopped() {
        assert_eq!(raw.command(&["WATCH", &key]).text(), "OK");
        let seen = raw.command(&["GET", &key]);
        assert!(
            seen == Reply::Null && count == 0 || seen.text() == count.to_string(),
            "GET gave {seen:?} after {count}"
        );
        assert_eq!(raw.command(&["MULTI"]).text(), "OK");
        assert_eq!(raw.command(&["SET", &key, &(count + 1).to_string()]).text(), "QUEUED");
        match app.timed(|| raw.command(&["EXEC"])) {
            // A lost race: what a client with WATCH is prepared for. It is tried again, from the value that is there.
            Reply::Null => {}
            Reply::Array(_) => count += 1,
            other => panic!("EXEC after WATCH gave {other:?}"),
        }
    }
    Expected::Counter(key, count)
}

fn pipelines(app: &Application, index: usize) -> Expected {
    const DEPTH: u64 = 100;
    let mut raw = app.raw();
    let key = format!("pipeline:{index}");
    let mut count = 0;
    while !app.stopped() {
        app.timed(|| {
            for _ in 0..DEPTH {
                raw.request(&["INCR", &key]);
            }
            for nth in 1..=DEPTH {
                assert_eq!(raw.reply(), integer(count + nth), "the replies come in order");
            }
        });
        count += DEPTH;
    }
    Expected::Counter(key, count)
}

fn producer(app: &Application, index: usize) -> Expected {
    let mut raw = app.raw();
    let key = format!("queue:{index}");
    let mut id = 0u64;
    while !app.stopped() {
        let reply = app.timed(|| raw.command(&["RPUSH", &key, &id.to_string()]));
        assert!(matches!(reply, Reply::Integer(_)), "RPUSH gave {reply:?}");
        id += 1;
    }
    raw.command(&["RPUSH", &key, "end"]);
    Expected::Nothing
}

fn consumer(app: &Application, index: usize) -> Expected {
    let mut raw = app.raw();
    let key = format!("queue:{index}");
    for id in 0u64.. {
        match app.timed(|| raw.command(&["BLPOP", &key, "0"])) {
            Reply::Array(pair) if pair.len() == 2 && pair[1].text() == "end" => break,
            Reply::Array(pair) if pair.len() == 2 => assert_eq!(pair[1].text(), id.to_string(), "each element once"),
            other => panic!("BLPOP gave {other:?}"),
        }
    }
    Expected::List(key, 0)
}

/// Which protocol a subscriber speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Messages as arrays.
    Resp2,
    /// Messages as pushes.
    Resp3,
}

fn publisher(app: &Application, index: usize, ready: &Receiver<()>) -> Expected {
    let mut raw = app.raw();
    let name = format!("channel:{index}");
    ready.recv_timeout(PATIENCE).expect("the subscriber listens");
    let mut id = 0u64;
    while !app.stopped() {
        let reply = app.timed(|| raw.command(&["PUBLISH", &name, &id.to_string()]));
        assert!(matches!(reply, Reply::Integer(_)), "PUBLISH gave {reply:?}");
        id += 1;
    }
    raw.command(&["PUBLISH", &name, "end"]);
    Expected::Nothing
}

fn subscriber(app: &Application, index: usize, protocol: Protocol, listening: &Sender<()>) -> Expected {
    let mut raw = app.raw();
    let name = format!("channel:{index}");
    if protocol == Protocol::Resp3 {
        raw.command(&["HELLO", "3"]);
    }
    assert!(message(raw.command(&["SUBSCRIBE", &name]), protocol)[0] == "subscribe");
    listening.send(()).expect("the publisher waits");
    for id in 0u64.. {
        let words = message(app.timed(|| raw.reply()), protocol);
        assert_eq!(words[..2], ["message", &name]);
        if words[2] == "end" {
            break;
        }
        assert_eq!(words[2], id.to_string(), "each message once, in order");
    }
    Expected::Nothing
}

fn message(reply: Reply, protocol: Protocol) -> Vec<String> {
    match (reply, protocol) {
        (Reply::Array(items), Protocol::Resp2) | (Reply::Push(items), Protocol::Resp3) => {
            items.iter().map(Reply::text).collect()
        }
        (other, _) => panic!("a subscriber got {other:?}"),
    }
}
