//! Clients in a crash: each writes keys of its own, one after the other, and notes what became of each write.

use crate::common::{
    PATIENCE,
    raw::{Raw, Reply},
    redis_server::RedisServer,
    wait_for,
};
use std::{
    sync::{
        Arc, Mutex,
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
    notes: Arc<Mutex<Notes>>,
    acknowledged: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    /// Starts `count` writers, each on one connection that must last.
    pub fn start(port: u16, count: usize) -> Self {
        let (notes, acknowledged, stop) = <(Arc<Mutex<Notes>>, Arc<AtomicUsize>, Arc<AtomicBool>)>::default();
        let threads = (0..count).map(|writer| {
            let (notes, acknowledged, stop) = (notes.clone(), acknowledged.clone(), stop.clone());
            std::thread::spawn(move || write(port, writer, &notes, &acknowledged, &stop))
        });
        let threads = threads.collect();
        Self { notes, acknowledged, stop, threads }
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
        for thread in self.threads {
            thread.join().expect("a writer's connection lasts");
        }
        std::mem::take(&mut self.notes.lock().expect("no writer panicked"))
    }
}

fn write(port: u16, writer: usize, notes: &Mutex<Notes>, acknowledged: &AtomicUsize, stop: &AtomicBool) {
    let mut client = Raw::connect(port);
    for number in 0.. {
        if stop.load(Relaxed) {
            return;
        }
        let key = format!("w{writer}:{number}");
        let reply = client.command(&["SET", key.as_str(), "v"]);
        let mut notes = notes.lock().expect("no writer panicked");
        match reply {
            Reply::Simple(_) => {
                notes.acknowledged.push((key, Instant::now()));
                acknowledged.fetch_add(1, Relaxed);
            }
            Reply::Error(text) if text.contains(UNKNOWN) => notes.unknown.push(key),
            other => notes.errors.push(format!("{key}: {other:?}")),
        }
        drop(notes);
        std::thread::sleep(Duration::from_micros(200));
    }
}

impl Notes {
    /// How long after `crash` the first write was acknowledged that was sent after it.
    #[allow(dead_code, reason = "not every test program that includes this file asks")]
    pub fn gap(&self, crash: Instant) -> Duration {
        let mut times: Vec<Instant> = self.acknowledged.iter().map(|(_, at)| *at).collect();
        times.sort_unstable();
        // The longest silence that ends after the crash: answers that were on their way at the crash don't end it.
        let pairs = times.windows(2).filter(|pair| pair[1] > crash);
        pairs.map(|pair| pair[1] - pair[0].max(crash)).max().unwrap_or(Duration::MAX)
    }

    /// How many acknowledged writes this server doesn't hold.
    pub fn missing(&self, server: &RedisServer) -> usize {
        let mut raw = server.raw();
        let first = self.acknowledged.first().map(|(_, at)| *at);
        let mut missing = 0;
        for (key, at) in &self.acknowledged {
            if raw.command(&["EXISTS", key.as_str()]) != Reply::Integer(1) {
                println!("lost {key}, acknowledged {:?} after the first", first.map(|first| *at - first));
                missing += 1;
            }
        }
        missing
    }
}
