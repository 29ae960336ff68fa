//! Single actions where something is in their way.

use super::setup::{answer_until, answered, fence, node, store_of};
use crate::{
    common::{
        PATIENCE,
        mysql_server::{MysqlServer, ROOT, SHOP, rows},
        wait_for,
    },
    require_server,
};
use pointsman::{
    model::{
        action::{Action, Done},
        observation::Lineage,
    },
    store::Store,
};
use std::time::{Duration, Instant};

/// Somebody's lock keeps the fence from being set: it is given up, named, undone, and writes go on.
async fn a_fence_that_waits(component: &str) {
    let (primary, _standby) = MysqlServer::pair(component);
    let store = store_of(&[&primary]);
    let at = node(&primary);
    primary.query("CREATE TABLE shop.t (n INT PRIMARY KEY)");
    let mut holder = primary.connect_as(ROOT, Some("shop")).unwrap();
    rows(&mut holder, "LOCK TABLES t WRITE").unwrap();
    let begun = Instant::now();
    let error = fence(&store, &at).await.unwrap_err();
    let took = begun.elapsed();
    assert!(error.retryable && !error.maybe_done && error.detail.contains("given up"), "{error}");
    assert!(took < Duration::from_millis(1500), "{took:?}: {error}");
    println!("{component}: given up after {took:?}: {error}");
    let names_the_holder = error.detail.contains("of root from");
    assert!(names_the_holder || component == "mariadb", "{error}");
    let seen = answered(store.probe(&at).await);
    assert!(seen.writable && !seen.fenced, "{seen:?}");
    rows(&mut holder, "UNLOCK TABLES").unwrap();
    rows(&mut holder, "INSERT INTO t VALUES (1)").unwrap();
    let mut app = primary.connect_as(SHOP, Some("shop")).unwrap();
    rows(&mut app, "INSERT INTO t VALUES (2)").unwrap();
    fence(&store, &at).await.unwrap();
}

#[tokio::test]
async fn a_fence_that_waits_at_mysql_9() {
    require_server!("mysql9");
    a_fence_that_waits("mysql9").await;
}

#[tokio::test]
async fn a_fence_that_waits_at_mariadb() {
    require_server!("mariadb");
    a_fence_that_waits("mariadb").await;
}

/// A fence stops everybody, open transactions and privileged logins too, is set twice without harm, outlives us, and is lifted.
async fn a_fence_holds(component: &str) {
    let (primary, standby) = MysqlServer::pair(component);
    let store = store_of(&[&primary, &standby]);
    let at = node(&primary);
    primary.query("CREATE TABLE shop.t (n INT PRIMARY KEY)");
    let mut app = primary.connect_as(SHOP, Some("shop")).unwrap();
    // At MariaDB a commit waits for the fence's lock; there it would get its error when that is gone.
    rows(&mut app, "SET lock_wait_timeout=1").unwrap();
    rows(&mut app, "BEGIN").unwrap();
    rows(&mut app, "INSERT INTO t VALUES (1)").unwrap();
    let (position, lineage, saved) = fence(&store, &at).await.unwrap();
    assert_eq!((position, saved.as_deref()), (1, Some("OFF")));
    assert!(rows(&mut app, "COMMIT").is_err(), "a transaction that was open can't be committed");
    let privileged = std::thread::spawn({
        let mut root = primary.connect_as(ROOT, Some("shop")).unwrap();
        move || rows(&mut root, "INSERT INTO t VALUES (2)").is_ok()
    });
    let (again, same, saved) = fence(&store, &at).await.unwrap();
    assert_eq!((again, &same, saved), (1, &lineage, None), "what was before it isn't known any more");
    let confirm = Action::Confirm { node: at.clone(), position };
    assert_eq!(store.act(&confirm).await, Ok(Done::Confirmed));
    let seen = answered(store.probe(&at).await);
    assert!(seen.fenced && !seen.writable, "{seen:?}");
    let wrong = store.act(&Action::Confirm { node: at.clone(), position: 7 }).await.unwrap_err();
    assert!(!wrong.retryable, "{wrong}");
    // A standby is no primary.
    assert!(!fence(&store, &node(&standby)).await.unwrap_err().retryable);

    let caught = Action::CatchUp { node: node(&standby), position, lineage: lineage.clone() };
    assert_eq!(store.act(&caught).await, Ok(Done::CaughtUp));
    for _ in 0..2 {
        let unfence = Action::Unfence { node: at.clone(), saved: Some("OFF".into()) };
        assert_eq!(store.act(&unfence).await, Ok(Done::Unfenced));
    }
    let seen = answered(store.probe(&at).await);
    assert!(seen.writable && !seen.fenced, "{seen:?}");
    let wrote = privileged.join().unwrap();
    assert!(!wrote || primary.flavour() == crate::common::mysql_server::Flavour::MariaDb);
    let gone = store.act(&confirm).await.unwrap_err();
    assert!(gone.detail.contains("not fenced any more"), "{gone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fence_holds_at_mysql_9() {
    require_server!("mysql9");
    a_fence_holds("mysql9").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fence_holds_at_mariadb() {
    require_server!("mariadb");
    a_fence_holds("mariadb").await;
}

/// A candidate that can't catch up says why, and how much it lacks.
async fn catching_up_in_vain(component: &str) {
    let (primary, standby) = MysqlServer::pair(component);
    let store = store_of(&[&primary, &standby]);
    primary.query("CREATE TABLE shop.t (n INT PRIMARY KEY)");
    standby.wait_synced(&primary);
    standby.query("SET GLOBAL read_only=OFF");
    standby.query("SET GLOBAL read_only=ON");
    standby.query(standby.pick("STOP REPLICA SQL_THREAD", "STOP SLAVE SQL_THREAD"));
    primary.query("INSERT INTO shop.t VALUES (1)");
    let seen =
        answer_until(&store, &node(&standby), "it received and didn't apply", |seen| seen.received > seen.applied)
            .await;
    assert_eq!((seen.received, seen.applied), (2, 1));
    let lineage = answered(store.probe(&node(&primary)).await).lineage;
    let act = Action::CatchUp { node: node(&standby), position: 2, lineage };
    let error = store.act(&act).await.unwrap_err();
    assert!(!error.retryable && error.detail.contains("1 transactions short"), "{error}");
    standby.query(standby.pick("START REPLICA SQL_THREAD", "START SLAVE SQL_THREAD"));
    assert_eq!(store.act(&act).await, Ok(Done::CaughtUp));
    let whatever = Lineage { id: "gtid".into(), ..Lineage::default() };
    let act = Action::CatchUp { node: node(&standby), position: 2, lineage: whatever };
    assert_eq!(store.act(&act).await, Ok(Done::CaughtUp), "what it has received");
}

#[tokio::test]
async fn catching_up_in_vain_at_mysql_9() {
    require_server!("mysql9");
    catching_up_in_vain("mysql9").await;
}

#[tokio::test]
async fn catching_up_in_vain_at_mariadb() {
    require_server!("mariadb");
    catching_up_in_vain("mariadb").await;
}

/// Parking keeps what a standby has, and pointing it back goes on from there; the heartbeat is set where it may be.
async fn parked_and_back(component: &str) {
    let (primary, standby) = MysqlServer::pair(component);
    let tuned = pointsman::store::mysql::MysqlStore::new(
        super::setup::service(&super::setup::addresses(&[&primary, &standby]), "tune = true"),
        "us",
    )
    .unwrap();
    primary.query("CREATE TABLE shop.t (n INT PRIMARY KEY)");
    standby.wait_synced(&primary);
    let at = node(&standby);
    for _ in 0..2 {
        assert_eq!(tuned.act(&Action::Park { node: at.clone() }).await, Ok(Done::Parked));
    }
    primary.query("INSERT INTO shop.t VALUES (1)");
    let seen =
        answer_until(&tuned, &at, "it is parked", |seen| format!("{:?}", seen.part).contains("127.0.0.1:1,")).await;
    assert_eq!((seen.received, seen.writable), (1, false));
    for _ in 0..2 {
        let back = Action::Repoint { node: at.clone(), to: node(&primary) };
        assert_eq!(tuned.act(&back).await, Ok(Done::Repointed));
    }
    standby.wait_synced(&primary);
    assert!(tuned.act(&Action::Park { node: node(&primary) }).await.is_err(), "a primary isn't parked");

    let slow = standby.pick(
        "STOP REPLICA; CHANGE REPLICATION SOURCE TO SOURCE_HEARTBEAT_PERIOD=30; START REPLICA",
        "STOP SLAVE; CHANGE MASTER TO MASTER_HEARTBEAT_PERIOD=30; START SLAVE",
    );
    for statement in slow.split("; ") {
        standby.query(statement);
    }
    answer_until(&tuned, &at, "a slow heartbeat", |seen| seen.heartbeat == Some(Duration::from_secs(30))).await;
    store_of(&[&primary, &standby]).tune(&at).await.unwrap();
    assert_eq!(
        answered(tuned.probe(&at).await).heartbeat,
        Some(Duration::from_secs(30)),
        "not without being allowed to"
    );
    tuned.tune(&at).await.unwrap();
    tuned.tune(&node(&primary)).await.unwrap();
    answer_until(&tuned, &at, "a quick heartbeat", |seen| seen.heartbeat == Some(Duration::from_secs(1))).await;
    wait_for("it replicates", PATIENCE, || standby.replicates());
}

#[tokio::test]
async fn parked_and_back_at_mysql_9() {
    require_server!("mysql9");
    parked_and_back("mysql9").await;
}

#[tokio::test]
async fn parked_and_back_at_mariadb() {
    require_server!("mariadb");
    parked_and_back("mariadb").await;
}

/// A semi-synchronous primary that lost its standby has sessions that wait for it: it is fenced all the same, and they get no OK.
async fn a_fence_before_an_acknowledgement(component: &str) {
    let mut builders = [MysqlServer::builder(component), MysqlServer::builder(component)];
    builders = builders.map(|builder| {
        if component == "mariadb" {
            return builder.set("rpl-semi-sync-slave-enabled", "ON").set("rpl-semi-sync-master-timeout", "3600000");
        }
        let builder =
            builder.set("plugin-load-add", "semisync_source.so").set("plugin-load-add", "semisync_replica.so");
        builder.set("rpl-semi-sync-replica-enabled", "ON").set("rpl-semi-sync-source-timeout", "3600000")
    });
    let [primary, standby] = builders;
    let primary = primary.start();
    primary.query("CREATE TABLE shop.t (n INT PRIMARY KEY)");
    let which =
        primary.pick("SET GLOBAL rpl_semi_sync_source_enabled=ON", "SET GLOBAL rpl_semi_sync_master_enabled=ON");
    primary.query(which);
    let standby = standby.replica_of(&primary).start();
    let store = store_of(&[&primary, &standby]);
    let at = node(&primary);
    standby.wait_synced(&primary);
    let fences = answer_until(&store, &at, "it fences itself", |seen| seen.self_fence.is_some()).await;
    assert_eq!(fences.self_fence.map(|fence| fence.standbys), Some(1));
    store.act(&Action::Park { node: node(&standby) }).await.unwrap();
    let waiting = std::thread::spawn({
        let mut app = primary.connect_as(SHOP, Some("shop")).unwrap();
        move || rows(&mut app, "INSERT INTO t VALUES (1)").is_ok()
    });
    wait_for("it waits", PATIENCE, || {
        let status = primary.query("SHOW GLOBAL STATUS LIKE 'Rpl\\_semi\\_sync\\_%\\_wait\\_sessions'");
        status[0][1] == "1"
    });
    let begun = Instant::now();
    let (_, lineage, _) = fence(&store, &at).await.unwrap();
    println!("{component}: fenced in {:?} with a session that waits", begun.elapsed());
    assert!(!waiting.join().unwrap(), "nobody was told that it is done");
    let theirs = answered(store.probe(&node(&standby)).await).lineage.transactions.unwrap();
    let strays = lineage.transactions.unwrap().subtract(&theirs);
    assert!(strays.count() <= 1, "{strays}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fence_before_an_acknowledgement_at_mysql_9() {
    require_server!("mysql9");
    a_fence_before_an_acknowledgement("mysql9").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fence_before_an_acknowledgement_at_mariadb() {
    require_server!("mariadb");
    a_fence_before_an_acknowledgement("mariadb").await;
}
