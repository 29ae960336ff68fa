//! Clients in a crash: each writes keys of its own, one after the other, and notes what became of each write.
#![allow(dead_code, reason = "not every test program that includes this file asks everything")]

use crate::common::{
    PATIENCE,
    raw::{Raw, Reply},
    redis_server::RedisServer,
    wait_for,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// What an error may say of a write whose fate is open.
const UNKNOWN: &str = "the outcome is unknown";

/// What became of the writes so far.
#[derive(Default)]
pub struct Notes {
    /// Keys whose write was acknowledged, and when.
    pub acknowledged: Vec<(String, Instant)>,
    /// Keys whose write has an unknown outcome, as the error said.
    pub unknown: Vec<String>,
    /// Every other error.
    pub errors: Vec<String>,
}

/// Running writers.
pub struct Writers {
    acknowledged: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Notes>>,
}

impl Writers {
    /// Starts `count` writers, each on one connection that must last.
    pub fn start(port: u16, count: usize) -> Self {
        Self::numbered(port, 0..count)
    }

    /// As [`Writers::start`], with these numbers in their keys: for writers beside others.
    pub fn numbered(port: u16, numbers: std::ops::Range<usize>) -> Self {
        let (acknowledged, stop) = <(Arc<AtomicUsize>, Arc<AtomicBool>)>::default();
        let threads = numbers.map(|writer| {
            let (acknowledged, stop) = (acknowledged.clone(), stop.clone());
            std::thread::spawn(move || write(port, writer, &acknowledged, &stop))
        });
        let threads = threads.collect();
        Self { acknowledged, stop, threads }
    }

    /// Waits for this many more acknowledged writes.
    #[track_caller]
    pub fn progress(&self, writes: usize) {
        let goal = self.acknowledged.load(Relaxed) + writes;
        wait_for("acknowledged writes", PATIENCE, || self.acknowledged.load(Relaxed) >= goal);
    }

    /// Ends the writers; what they noted. Panics if a connection broke.
    #[track_caller]
    pub fn finish(self) -> Notes {
        self.stop.store(true, Relaxed);
        let mut all = Notes::default();
        for thread in self.threads {
            let notes = thread.join().expect("a writer's connection lasts");
            all.acknowledged.extend(notes.acknowledged);
            all.unknown.extend(notes.unknown);
            all.errors.extend(notes.errors);
        }
        all
    }
}

fn write(port: u16, writer: usize, acknowledged: &AtomicUsize, stop: &AtomicBool) -> Notes {
    let (mut client, mut notes, mut number) = (Raw::connect(port), Notes::default(), 0);
    while !stop.load(Relaxed) {
        let key = format!("w{writer}:{number}");
        number += 1;
        match client.command(&["SET", key.as_str(), "v"]) {
            Reply::Simple(_) => {
                notes.acknowledged.push((key, Instant::now()));
                acknowledged.fetch_add(1, Relaxed);
            }
            Reply::Error(text) if text.contains(UNKNOWN) => notes.unknown.push(key),
            other => notes.errors.push(format!("{key}: {other:?}")),
        }
    }
    notes
}

impl Notes {
    /// How long after `crash` the first write was acknowledged that was sent after it.
    pub fn gap(&self, crash: Instant) -> Duration {
        let mut times: Vec<Instant> = self.acknowledged.iter().map(|(_, at)| *at).collect();
        times.sort_unstable();
        // The longest silence that ends after the crash: answers that were on their way at the crash don't end it.
        let pairs = times.windows(2).filter(|pair| pair[1] > crash);
        pairs.map(|pair| pair[1] - pair[0].max(crash)).max().unwrap_or(Duration::MAX)
    }

    /// Only writes in flight may fail, and say so.
    #[track_caller]
    pub fn no_errors(&self) {
        let some = &self.errors[..self.errors.len().min(3)];
        assert!(some.is_empty(), "{} errors, such as {some:?}", self.errors.len());
    }

    /// How many acknowledged writes this server doesn't hold.
    pub fn missing(&self, server: &RedisServer) -> usize {
        self.lost(server).len()
    }

    /// The acknowledged writes that this server doesn't hold.
    pub fn lost(&self, server: &RedisServer) -> Vec<&(String, Instant)> {
        let mut raw = server.raw();
        let mut gone = |key: &str| raw.command(&["EXISTS", key]) != Reply::Integer(1);
        self.acknowledged.iter().filter(|(key, _)| gone(key)).collect()
    }
}
