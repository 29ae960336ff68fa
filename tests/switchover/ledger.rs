//! Writers that live through crashes: they reconnect, and remember exactly which writes were acknowledged; and a watch for
//! two writable servers.

use crate::common::{PATIENCE, raw::Reply, redis_server::RedisServer, wait_for};
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Whether to stop; else waits for `pace`.
fn stopped(stop: &Receiver<()>, pace: Duration) -> bool {
    !matches!(stop.recv_timeout(pace), Err(RecvTimeoutError::Timeout))
}

/// What one writer did.
struct Account {
    key: String,
    acknowledged: Vec<u64>,
}

/// Writers of unique ids.
pub struct Ledger {
    writers: Vec<(Sender<()>, Arc<AtomicU64>, JoinHandle<Account>)>,
}

impl Ledger {
    /// Starts `count` writers to this port.
    pub fn start(port: u16, count: usize) -> Self {
        let writer = |index: usize| {
            let (stop, stopping) = channel();
            let done = Arc::new(AtomicU64::new(0));
            let counted = done.clone();
            (stop, done, std::thread::spawn(move || write(port, index, &stopping, &counted)))
        };
        Self { writers: (0..count).map(writer).collect() }
    }

    /// Waits until every writer has `writes` more acknowledged.
    #[track_caller]
    pub fn progress(&self, writes: u64) {
        let goals: Vec<_> = self.writers.iter().map(|(_, done, _)| done.load(Relaxed) + writes).collect();
        wait_for("every writer goes on", PATIENCE, || {
            self.writers.iter().zip(&goals).all(|((_, done, _), goal)| done.load(Relaxed) >= *goal)
        });
    }

    /// Stops, and checks the server: every acknowledged write is there, none is there twice. Gives how many there were.
    #[track_caller]
    pub fn finish(self, server: &RedisServer) -> usize {
        let mut total = 0;
        for (stop, _, writer) in self.writers {
            stop.send(()).expect("it runs");
            let account = writer.join().expect("a writer never panics");
            let Reply::Array(items) = server.command(&["LRANGE", &account.key, "0", "-1"]) else { panic!("no list") };
            let found: Vec<u64> = items.iter().map(|item| item.text().parse().expect("an id")).collect();
            let there: HashSet<u64> = found.iter().copied().collect();
            assert_eq!(there.len(), found.len(), "{}: a write was applied twice", account.key);
            let lost: Vec<_> = account.acknowledged.iter().filter(|id| !there.contains(id)).collect();
            assert!(lost.is_empty(), "{}: acknowledged and lost: {lost:?}", account.key);
            total += account.acknowledged.len();
        }
        total
    }
}

/// Pushes each id once: an id whose answer didn't come is never tried again, so twice means that somebody else repeated it.
fn write(port: u16, index: usize, stop: &Receiver<()>, done: &AtomicU64) -> Account {
    let key = format!("ledger:{index}");
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/")).expect("an address");
    let mut connection = None;
    let mut acknowledged = Vec::new();
    for id in 0u64.. {
        if stopped(stop, Duration::from_millis(3)) {
            break;
        }
        if connection.is_none() {
            connection = client.get_connection_with_timeout(Duration::from_secs(1)).ok();
        }
        let Some(open) = &mut connection else { continue };
        let _ = open.set_read_timeout(Some(PATIENCE));
        match redis::cmd("RPUSH").arg(&key).arg(id).query::<u64>(open) {
            Ok(_) => {
                acknowledged.push(id);
                done.fetch_add(1, Relaxed);
            }
            Err(_) => connection = None,
        }
    }
    Account { key, acknowledged }
}

/// Looks all the time whether two servers take writes at once.
pub struct TwoWriters {
    stop: Sender<()>,
    thread: JoinHandle<u64>,
}

impl TwoWriters {
    /// Begins to watch.
    pub fn watch(one: &RedisServer, other: &RedisServer) -> Self {
        let (stop, stopping) = channel();
        let clients = [one.client(), other.client()];
        let thread = std::thread::spawn(move || {
            let mut looks = 0;
            while !stopped(&stopping, Duration::from_millis(1)) {
                // One that takes writes before and after the other was asked took them at that moment too.
                let [one, other] = &clients;
                let both = takes_writes(one) && takes_writes(other) && takes_writes(one);
                assert!(!both, "both servers take writes");
                looks += 1;
            }
            looks
        });
        Self { stop, thread }
    }

    /// Ends, and fails if both ever took writes.
    #[track_caller]
    pub fn finish(self) {
        // One that found two writers is gone already.
        let _ = self.stop.send(());
        let looks = self.thread.join().expect("never two writers");
        assert!(looks > 100, "it looked {looks} times only");
    }
}

/// Whether a write would be taken: a primary, and not fenced. A demotion cuts connections, so each look has its own.
fn takes_writes(server: &redis::Client) -> bool {
    let Ok(mut connection) = server.get_connection() else { return false };
    let role: Result<Vec<redis::Value>, _> = redis::cmd("ROLE").query(&mut connection);
    let fence: Result<Vec<String>, _> =
        redis::cmd("CONFIG").arg("GET").arg("min-replicas-to-write").query(&mut connection);
    let (Ok(role), Ok(fence)) = (role, fence) else { return false };
    role.first() == Some(&redis::Value::BulkString(b"master".to_vec()))
        && fence.get(1).is_some_and(|value| value != "1000")
}
