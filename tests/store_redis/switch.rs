//! The whole switch by its steps, with a writer that loses nothing.

use super::setup::{fence, node, service};
use crate::{
    common::{raw::Reply, redis_server::RedisServer},
    require_server,
};
use pointsman::{
    model::action::Action,
    store::{
        Store,
        redis::{MINIMAL_ACL, RedisStore},
    },
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

/// Writes numbers to whatever port is said, one at a time, as a proxy does that holds when it is told.
struct Writer {
    port: Arc<AtomicU16>,
    hold: Arc<AtomicBool>,
    idle: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    end: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Writer {
    fn start(port: u16) -> Self {
        let shared =
            (Arc::new(AtomicU16::new(port)), Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (acknowledged, end) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (port, hold, idle) = (shared.0.clone(), shared.1.clone(), shared.2.clone());
        let (count, over) = (acknowledged.clone(), end.clone());
        let thread = std::thread::spawn(move || {
            let mut at = port.load(SeqCst);
            let mut connection = crate::common::raw::Raw::connect(at);
            while !over.load(SeqCst) {
                if hold.load(SeqCst) {
                    idle.store(true, SeqCst);
                    std::thread::yield_now();
                    continue;
                }
                idle.store(false, SeqCst);
                if at != port.load(SeqCst) {
                    at = port.load(SeqCst);
                    connection = crate::common::raw::Raw::connect(at);
                }
                let number = count.load(SeqCst) + 1;
                let reply = connection.command(&["RPUSH", "numbers", &number.to_string()]);
                assert_eq!(reply, Reply::Integer(i64::try_from(number).unwrap()), "each write exactly once");
                count.store(number, SeqCst);
            }
        });
        Self { port: shared.0, hold: shared.1, idle: shared.2, acknowledged, end, thread }
    }
}

/// There and back, three times, as the user with exactly the rights that are documented.
async fn switch_there_and_back(component: &str) {
    // Room for what the writer sends until the old primary is back as a standby: Redis 6 takes a second for it.
    let builder = || RedisServer::builder(component).set("repl-backlog-size", "64mb");
    let a = builder().start();
    let b = builder().replica_of(&a).start();
    b.wait_synced();
    for server in [&a, &b] {
        let statement: Vec<&str> = MINIMAL_ACL.split_whitespace().collect();
        assert_eq!(server.command(&statement).text(), "OK");
    }
    let login = "[services.cart.credentials]\nusername = \"pointsman\"\npassword = \"PASSWORD\"";
    let store = RedisStore::new(service(&[a.address(), b.address()], "", login), "us").unwrap();
    for server in [&a, &b] {
        let fitness = store.fitness(&node(server)).await.unwrap();
        assert_eq!(fitness.missing_rights, [""; 0], "the documented rights suffice");
    }
    let writer = Writer::start(a.port());
    let mut stalls = Vec::new();
    for (from, to) in [(&a, &b), (&b, &a), (&a, &b), (&b, &a), (&a, &b), (&b, &a)] {
        let before = writer.acknowledged.load(SeqCst);
        while writer.acknowledged.load(SeqCst) < before + 200 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stalls.push(switch(&store, &writer, from, to).await);
    }
    writer.end.store(true, SeqCst);
    writer.thread.join().unwrap();
    let Reply::Integer(length) = a.command(&["LLEN", "numbers"]) else { panic!("no list") };
    assert_eq!(u64::try_from(length).unwrap(), writer.acknowledged.load(SeqCst), "nothing lost, nothing twice");
    println!("{component}: hold to release {stalls:?}");
}

/// The seven steps.
async fn switch(store: &RedisStore, writer: &Writer, from: &RedisServer, to: &RedisServer) -> Duration {
    let (old, new) = (node(from), node(to));
    to.wait_synced();
    let full_copies = to.info("sync_full");
    let began = Instant::now();
    writer.idle.store(false, SeqCst);
    writer.hold.store(true, SeqCst);
    while !writer.idle.load(SeqCst) {
        assert!(!writer.thread.is_finished(), "the writer has failed");
        tokio::task::yield_now().await;
    }
    let (position, lineage, saved) = fence(store, &old).await.unwrap();
    store.act(&Action::CatchUp { node: new.clone(), position, lineage }).await.unwrap();
    store.act(&Action::Confirm { node: old.clone(), position }).await.unwrap();
    store.act(&Action::Promote { node: new.clone() }).await.unwrap();
    store.act(&Action::Demote { node: old.clone(), to: new.clone() }).await.unwrap();
    writer.port.store(to.port(), SeqCst);
    writer.hold.store(false, SeqCst);
    let took = began.elapsed();
    store.act(&Action::Unfence { node: old.clone(), saved }).await.unwrap();
    for node in [&old, &new] {
        store.act(&Action::Persist { node: node.clone() }).await.unwrap();
    }
    from.wait_synced();
    assert_eq!(
        to.info("sync_full"),
        full_copies,
        "a full copy; the old primary:\n{}\nthe new:\n{}",
        from.log(),
        to.log()
    );
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn redis_7_there_and_back() {
    require_server!("redis7");
    switch_there_and_back("redis7").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn redis_6_there_and_back() {
    require_server!("redis6");
    switch_there_and_back("redis6").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn redis_8_there_and_back() {
    require_server!("redis8");
    switch_there_and_back("redis8").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn valkey_there_and_back() {
    require_server!("valkey");
    switch_there_and_back("valkey").await;
}
