//! Whole switches by the store's actions, under a writer that loses nothing.

use super::setup::{Timed, addresses, answer_until, answered, node, service, store_of};
use super::writer::{TABLE, Writer};
use crate::{
    common::{PATIENCE, mysql_server::MysqlServer, wait_for},
    require_server,
};
use pointsman::{
    model::{
        action::{Action, Done},
        name::NodeAddress,
        observation::{Lineage, Part},
    },
    store::{Store, mysql::MysqlStore},
};
use std::time::Instant;

/// There and back, three times, as the user with exactly the rights that are documented, with a third server that is repointed.
async fn switch_there_and_back(component: &str) {
    let (a, b) = MysqlServer::pair(component);
    let c = MysqlServer::builder(component).replica_of(&a).start();
    a.query(TABLE);
    let store = MysqlStore::new(service(&addresses(&[&a, &b, &c]), ""), "us").unwrap();
    for server in [&a, &b, &c] {
        let fitness = store.fitness(&node(server)).await.unwrap();
        assert_eq!(fitness.missing_rights, [""; 0], "the documented rights suffice");
    }
    let writer = Writer::start(a.port(), false);
    for (from, to) in [(&a, &b), (&b, &a), (&a, &b), (&b, &a), (&a, &b), (&b, &a)] {
        writer.write_more(100).await;
        switch(&store, &writer, (from, to), &c).await;
    }
    writer.write_more(100).await;
    let last = writer.end();
    for server in [&a, &b, &c] {
        if server.port() != a.port() {
            server.wait_synced(&a);
        }
        let rows = server.query("SELECT COUNT(*), MAX(n) FROM shop.numbers");
        assert_eq!(rows, [[last.to_string(), last.to_string()]], "nothing lost, nothing twice");
    }
}

/// The steps of a planned switch.
async fn switch(store: &MysqlStore, writer: &Writer, (from, to): (&MysqlServer, &MysqlServer), third: &MysqlServer) {
    let (old, new, third) = (node(from), node(to), node(third));
    approach(store, &old, &new).await;
    let mut timed = Timed::default();
    let begun = Instant::now();
    writer.hold().await;
    let fenced = timed.act(store, "fence", Action::Fence { node: old.clone() }).await.unwrap();
    let Done::Fenced { position, lineage, saved } = fenced else { panic!("{fenced:?}") };
    assert_eq!(saved.as_deref(), Some("OFF"));
    timed.act(store, "catch up", Action::CatchUp { node: new.clone(), position, lineage }).await.unwrap();
    timed.act(store, "confirm", Action::Confirm { node: old.clone(), position }).await.unwrap();
    timed.act(store, "promote", Action::Promote { node: new.clone() }).await.unwrap();
    let held = begun.elapsed();
    writer.release(to.port());
    let follow = |node: &_| Action::Repoint { node: Clone::clone(node), to: new.clone() };
    timed.act(store, "demote", Action::Demote { node: old.clone(), to: new.clone() }).await.unwrap();
    timed.act(store, "unfence", Action::Unfence { node: old.clone(), saved }).await.unwrap();
    timed.act(store, "repoint", follow(&third)).await.unwrap();
    for node in [&old, &new] {
        timed.act(store, "persist", Action::Persist { node: node.clone() }).await.unwrap();
    }
    println!("{:?}: held {:.1} ms: {}", from.flavour(), held.as_secs_f64() * 1000.0, timed.text());
    answer_until(store, &new, "it takes writes", |answer| answer.writable && !answer.fenced).await;
    let seen = answer_until(store, &old, "it is a standby", |answer| !answer.writable).await;
    assert!(!seen.fenced, "a standby is read-only, not fenced");
    wait_for("both replicate", PATIENCE, || from.replicates());
}

/// Waits, with the writer running, until the candidate is close.
async fn approach(store: &MysqlStore, old: &NodeAddress, new: &NodeAddress) {
    let end = Instant::now() + PATIENCE;
    loop {
        let primary = answered(store.probe(old).await);
        let standby = answered(store.probe(new).await);
        if primary.applied <= standby.applied + 5 {
            return;
        }
        assert!(Instant::now() < end, "{new} doesn't get close: {} of {}", standby.applied, primary.applied);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn mysql_9_there_and_back() {
    require_server!("mysql9");
    switch_there_and_back("mysql9").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn mariadb_there_and_back() {
    require_server!("mariadb");
    switch_there_and_back("mariadb").await;
}

/// A primary is killed under load: the better standby takes over, the other follows it, and the old primary comes back.
async fn failover(component: &str) {
    let (mut a, b) = MysqlServer::pair(component);
    let c = MysqlServer::builder(component).replica_of(&a).start();
    a.query(TABLE);
    let store = store_of(&[&a, &b, &c]);
    let writer = Writer::start(a.port(), true);
    writer.write_more(300).await;
    a.kill();
    let begun = Instant::now();
    writer.hold().await;
    let mut timed = Timed::default();
    let mut best = None;
    for server in [&b, &c] {
        timed.act(&store, "park", Action::Park { node: node(server) }).await.unwrap();
        let nowhere = |part: &Part| matches!(part, Part::Standby { of, .. } if of.as_str() == "127.0.0.1:1");
        let seen = answer_until(&store, &node(server), "it is parked", |answer| nowhere(&answer.part)).await;
        if best.as_ref().is_none_or(|(received, _)| seen.received > *received) {
            best = Some((seen.received, server));
        }
    }
    let (position, to) = best.unwrap();
    let third = if to.port() == b.port() { &c } else { &b };
    let received = Lineage { id: "gtid".into(), ..Default::default() };
    let wait = Action::CatchUp { node: node(to), position, lineage: received };
    timed.act(&store, "catch up", wait).await.unwrap();
    timed.act(&store, "promote", Action::Promote { node: node(to) }).await.unwrap();
    let held = begun.elapsed();
    let acknowledged = writer.acknowledged();
    let survived: u64 = to.value("SELECT COALESCE(MAX(n), 0) FROM shop.numbers").parse().unwrap();
    writer.release(to.port());
    timed.act(&store, "repoint", Action::Repoint { node: node(third), to: node(to) }).await.unwrap();
    println!(
        "{component}: lost {} of {acknowledged}; {:.1} ms: {}",
        acknowledged.saturating_sub(survived),
        held.as_secs_f64() * 1000.0,
        timed.text()
    );
    writer.write_more(100).await;

    a.restart();
    let (old, new) = (node(&a), node(to));
    let fenced = timed.act(&store, "fence", Action::Fence { node: old.clone() }).await.unwrap();
    let Done::Fenced { lineage, .. } = fenced else { panic!("{fenced:?}") };
    writer.write_more(100).await;
    let theirs = answer_until(&store, &new, "it answers", |_| true).await.lineage.transactions.unwrap();
    let strays = lineage.transactions.unwrap().subtract(&theirs);
    let demoted = timed.act(&store, "demote", Action::Demote { node: old.clone(), to: new.clone() }).await;
    if strays.is_empty() {
        assert_eq!(demoted, Ok(Done::Demoted));
    } else {
        let error = demoted.unwrap_err();
        assert!(!error.retryable && error.detail.ends_with(&strays.to_string()), "{error}");
        let seen = answer_until(&store, &old, "it stays out", |answer| answer.fenced).await;
        assert!(!seen.writable);
    }
    println!("{component}: strays: {strays}");
    let last = writer.end();
    third.wait_synced(to);
    assert_eq!(third.value("SELECT MAX(n) FROM shop.numbers"), last.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_killed_mysql_9_is_replaced() {
    require_server!("mysql9");
    failover("mysql9").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_killed_mariadb_is_replaced() {
    require_server!("mariadb");
    failover("mariadb").await;
}
