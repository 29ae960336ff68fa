//! Writers that live through the end of Pointsman itself: they connect again, and note what became of each write.

use crate::{
    common::{PATIENCE, holds_within, wait_for},
    writers::Notes,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Running writers.
pub struct Survivors {
    acknowledged: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Notes>>,
}

impl Survivors {
    /// Starts `count` writers of keys that begin with `prefix`.
    pub fn start(port: u16, count: usize, prefix: &str) -> Self {
        let (acknowledged, stop) = <(Arc<AtomicUsize>, Arc<AtomicBool>)>::default();
        let threads = (0..count).map(|writer| {
            let (acknowledged, stop, name) = (acknowledged.clone(), stop.clone(), format!("{prefix}{writer}"));
            std::thread::spawn(move || write(port, &name, &acknowledged, &stop))
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

    /// Ends the writers; what they noted. A write whose connection broke is unknown; errors are what a server answered.
    #[track_caller]
    pub fn finish(self) -> Notes {
        self.stop.store(true, Relaxed);
        let mut all = Notes::default();
        for thread in self.threads {
            let notes = thread.join().expect("a writer never panics");
            all.acknowledged.extend(notes.acknowledged);
            all.unknown.extend(notes.unknown);
            all.errors.extend(notes.errors);
        }
        all
    }
}

fn write(port: u16, name: &str, acknowledged: &AtomicUsize, stop: &AtomicBool) -> Notes {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/")).expect("an address");
    let (mut connection, mut notes) = (None, Notes::default());
    let pace = Duration::from_millis(2);
    for number in 0.. {
        if holds_within(pace, || stop.load(Relaxed)) {
            break;
        }
        if connection.is_none() {
            connection = client.get_connection_with_timeout(Duration::from_secs(1)).ok();
        }
        let Some(open) = &mut connection else { continue };
        let _ = open.set_read_timeout(Some(PATIENCE));
        let key = format!("{name}:{number}");
        match redis::cmd("SET").arg(&key).arg("v").query::<()>(open) {
            Ok(()) => {
                notes.acknowledged.push((key, Instant::now()));
                acknowledged.fetch_add(1, Relaxed);
            }
            Err(error) if error.code().is_some() => notes.errors.push(format!("{key}: {error}")),
            Err(_) => {
                notes.unknown.push(key);
                connection = None;
            }
        }
    }
    notes
}
