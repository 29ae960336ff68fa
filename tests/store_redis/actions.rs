//! Each action at one node, and that doing it twice changes nothing.

use super::setup::{answered, fence, node, store_as, store_of};
use crate::{
    common::{PATIENCE, ports::free_port, raw::Reply, redis_server::RedisServer, wait_for},
    require_server,
};
use pointsman::{
    model::{
        action::{Action, Done},
        observation::{Lineage, Part},
    },
    store::Store,
};
use std::time::Duration;

fn setting(server: &RedisServer, name: &str) -> String {
    match server.command(&["CONFIG", "GET", name]) {
        Reply::Array(pair) => pair[1].text(),
        other => panic!("{other:?}"),
    }
}

fn fence_value(server: &RedisServer) -> String {
    setting(server, "min-replicas-to-write")
}

#[tokio::test]
async fn a_fence_stops_writes_for_good_and_unfencing_puts_the_setting_back() {
    require_server!("redis7");
    let (primary, replica) = RedisServer::pair("redis7");
    primary.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let store = store_of(&[&primary, &replica]);
    let at = node(&primary);
    let (position, lineage, saved) = fence(&store, &at).await.unwrap();
    assert_eq!(saved.as_deref(), Some("1"));
    assert_eq!(lineage.id, primary.info("master_replid"));
    let mut script = primary.raw();
    let hiding = ["EVAL", "return redis.pcall('SET', 'a', '1')", "1", "a"];
    assert!(script.request(&hiding).is_silent_for(Duration::from_millis(100)), "the pause holds what could hide it");
    for _ in 0..2 {
        assert!(primary.command(&["SET", "a", "1"]).text().starts_with("NOREPLICAS"), "the setting outlives the pause");
        primary.command(&["CLIENT", "UNPAUSE"]);
    }
    assert!(script.reply().text().contains("NOREPLICAS"));

    let (again, _, saved) = fence(&store, &at).await.unwrap();
    assert!(again == position || again == position + 14, "{position} {again}");
    assert_eq!(saved, None, "what was before our own fence isn't known any more");
    assert!(store.act(&Action::Persist { node: at.clone() }).await.unwrap_err().detail.contains("fence"));

    for _ in 0..2 {
        let unfence = Action::Unfence { node: at.clone(), saved: Some("1".to_owned()) };
        assert_eq!(store.act(&unfence).await, Ok(Done::Unfenced));
        assert_eq!(fence_value(&primary), "1");
    }
    assert_eq!(primary.command(&["SET", "a", "1"]).text(), "OK");
    primary.command(&["CONFIG", "SET", "min-replicas-to-write", "2"]);
    store.act(&Action::Unfence { node: at.clone(), saved: None }).await.unwrap();
    assert_eq!(fence_value(&primary), "2", "a value that somebody set since is left alone");
    primary.command(&["CONFIG", "SET", "min-replicas-to-write", "1000"]);
    store.act(&Action::Unfence { node: at, saved: None }).await.unwrap();
    assert_eq!(fence_value(&primary), "0");
}

#[tokio::test]
async fn a_lag_limit_of_zero_would_switch_the_fence_off_and_is_changed_as_long_as_it_stands() {
    require_server!("redis7");
    let primary = RedisServer::builder("redis7").set("min-replicas-max-lag", "0").start();
    let store = store_of(&[&primary]);
    let at = node(&primary);
    // The second time as after a crash, when a fence is found set.
    for _ in 0..2 {
        fence(&store, &at).await.unwrap();
        primary.command(&["CLIENT", "UNPAUSE"]);
        assert!(primary.command(&["SET", "a", "1"]).text().starts_with("NOREPLICAS"));
    }
    let unfence = Action::Unfence { node: at, saved: None };
    store.act(&unfence).await.unwrap();
    assert_eq!(setting(&primary, "min-replicas-max-lag"), "0");
    assert_eq!(primary.command(&["SET", "a", "1"]).text(), "OK");
    primary.command(&["CONFIG", "SET", "min-replicas-max-lag", "7"]);
    store.act(&unfence).await.unwrap();
    assert_eq!(setting(&primary, "min-replicas-max-lag"), "7", "somebody's own value is left alone");
}

#[tokio::test]
async fn a_standby_that_was_taken_for_a_primary_keeps_its_lag_limit() {
    require_server!("redis7");
    let (primary, replica) = RedisServer::pair("redis7");
    replica.command(&["CONFIG", "SET", "min-replicas-max-lag", "0"]);
    let store = store_of(&[&primary, &replica]);
    fence(&store, &node(&replica)).await.unwrap_err();
    assert_eq!(setting(&replica, "min-replicas-max-lag"), "0");
}

#[tokio::test]
async fn fencing_a_standby_or_without_the_right_fails_and_leaves_nothing_behind() {
    require_server!("redis7");
    let (primary, replica) = RedisServer::pair("redis7");
    let store = store_of(&[&primary, &replica]);
    let error = fence(&store, &node(&replica)).await.unwrap_err();
    assert!(!error.retryable && !error.maybe_done, "{error:?}");
    assert_eq!(fence_value(&replica), "0");

    primary.command(&["ACL", "SETUSER", "weak", "on", ">word", "+@all", "-config|set"]);
    let weak = store_as(&[&primary, &replica], "weak", "word");
    let error = fence(&weak, &node(&primary)).await.unwrap_err();
    assert!(!error.retryable && error.detail.contains("NOPERM"), "{error:?}");
    assert_eq!(primary.command(&["SET", "a", "1"]).text(), "OK", "the pause was ended");
}

#[tokio::test]
async fn catching_up_and_confirming_tell_the_truth() {
    require_server!("redis7");
    let (primary, replica) = RedisServer::pair("redis7");
    let store = store_of(&[&primary, &replica]);
    let (at, to) = (node(&primary), node(&replica));
    primary.command(&["SET", "a", "1"]);
    let (position, lineage, _) = fence(&store, &at).await.unwrap();
    let catch_up = Action::CatchUp { node: to.clone(), position, lineage: lineage.clone() };
    assert_eq!(store.act(&catch_up).await, Ok(Done::CaughtUp));
    assert_eq!(store.act(&Action::Confirm { node: at.clone(), position }).await, Ok(Done::Confirmed));

    let moved = store.act(&Action::Confirm { node: at.clone(), position: position - 1 }).await.unwrap_err();
    assert!(!moved.retryable && moved.detail.contains("moved"), "{moved}");
    let stranger = Lineage { id: "f".repeat(40), ..Lineage::default() };
    let stranger = Action::CatchUp { node: to.clone(), position, lineage: stranger };
    assert!(store.act(&stranger).await.unwrap_err().detail.contains("another history"));
    let not_a_standby = Action::CatchUp { node: at.clone(), position, lineage };
    assert!(!store.act(&not_a_standby).await.unwrap_err().retryable);
    store.act(&Action::Unfence { node: at.clone(), saved: None }).await.unwrap();
    let unfenced = store.act(&Action::Confirm { node: at, position }).await.unwrap_err();
    assert!(!unfenced.retryable && unfenced.detail.contains("not fenced"), "{unfenced}");
}

#[tokio::test]
async fn the_ping_of_a_fenced_primary_is_no_write() {
    require_server!("redis7");
    let (primary, replica) = RedisServer::pair("redis7");
    primary.command(&["CONFIG", "SET", "repl-ping-replica-period", "1"]);
    let store = store_of(&[&primary, &replica]);
    let at = node(&primary);
    // From one PING on there is a second until the next one.
    let offset = || primary.info("master_repl_offset").parse::<u64>().unwrap();
    let before = offset();
    wait_for("a PING", PATIENCE, || offset() > before);
    let (position, ..) = fence(&store, &at).await.unwrap();
    wait_for("the next PING", PATIENCE, || offset() > position);
    assert_eq!(store.act(&Action::Confirm { node: at.clone(), position }).await, Ok(Done::Confirmed));
    wait_for("two more", PATIENCE, || offset() > position + 14);
    match store.act(&Action::Confirm { node: at, position }).await {
        Ok(Done::Grown { position: now }) => assert!(now > position + 14 && (now - position) % 14 == 0),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_parked_standby_keeps_its_data_and_its_position() {
    require_server!("redis7");
    let (primary, replica) = RedisServer::pair("redis7");
    primary.command(&["SET", "a", "1"]);
    replica.wait_synced();
    let store = store_of(&[&primary, &replica]);
    let before = answered(store.probe(&node(&replica)).await);
    let park = Action::Repoint { node: node(&replica), to: "127.0.0.1:1".into() };
    assert_eq!(store.act(&park).await, Ok(Done::Repointed));
    let parked = answered(store.probe(&node(&replica)).await);
    assert!(matches!(parked.part, Part::Standby { link_up: false, .. }), "{parked:?}");
    assert!(parked.applied >= before.applied && parked.items == 1 && parked.lineage.id == before.lineage.id);
}

#[tokio::test]
async fn promoting_and_repointing_are_idempotent() {
    require_server!("redis7");
    let (primary, replica) = RedisServer::pair("redis7");
    let other = RedisServer::builder("redis7").replica_of(&primary).start();
    let store = store_of(&[&primary, &replica, &other]);
    let promote = Action::Promote { node: node(&replica) };
    let repoint = Action::Repoint { node: node(&other), to: node(&replica) };
    for _ in 0..2 {
        assert_eq!(store.act(&promote).await, Ok(Done::Promoted));
        assert_eq!(store.act(&repoint).await, Ok(Done::Repointed));
    }
    other.wait_synced();
    let seen = answered(store.probe(&node(&other)).await);
    assert!(matches!(seen.part, Part::Standby { of, .. } if of == node(&replica)));
}

#[tokio::test]
async fn demoting_cuts_every_client_that_is_not_ours() {
    require_server!("redis7");
    let (primary, replica) = RedisServer::pair("redis7");
    let store = store_of(&[&primary, &replica]);
    answered(store.probe(&node(&primary)).await);
    let (mut plain, mut listener, mut held) = (primary.raw(), primary.raw(), primary.raw());
    plain.command(&["PING"]);
    listener.command(&["SUBSCRIBE", "news"]);
    fence(&store, &node(&primary)).await.unwrap();
    held.request(&["PUBLISH", "news", "lost"]);
    store.act(&Action::Promote { node: node(&replica) }).await.unwrap();
    let demote = Action::Demote { node: node(&primary), to: node(&replica) };
    assert_eq!(store.act(&demote).await, Ok(Done::Demoted));
    plain.expect_closed();
    listener.expect_closed();
    assert!(held.until_closed().is_empty(), "a held PUBLISH is never answered by a node that isn't the primary");
    assert_eq!(store.act(&demote).await, Ok(Done::Demoted));
    primary.wait_synced();
    let seen = answered(store.probe(&node(&primary)).await);
    assert!(seen.fenced && matches!(seen.part, Part::Standby { link_up: true, .. }));
}

#[tokio::test]
async fn a_node_that_is_gone_is_a_retryable_error_that_did_nothing() {
    let gone = format!("127.0.0.1:{}", free_port());
    let store = super::setup::store(&[gone.clone(), "127.0.0.1:1".to_owned()]);
    let demote = Action::Demote { node: gone.into(), to: "127.0.0.1:1".into() };
    let error = store.act(&demote).await.unwrap_err();
    assert!(error.retryable && !error.maybe_done && error.detail.contains("refused"), "{error:?}");
}

#[tokio::test]
async fn a_node_that_hangs_in_an_action_may_have_done_it() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let store = store_of(&[&server]);
    let promote = Action::Promote { node: node(&server) };
    store.act(&promote).await.unwrap();
    server.freeze();
    let error = store.act(&promote).await.unwrap_err();
    assert!(error.retryable && error.maybe_done, "{error:?}");
    server.thaw();
    assert_eq!(store.act(&promote).await, Ok(Done::Promoted));
}

#[tokio::test]
async fn persisting_writes_the_file_where_there_is_one() {
    require_server!("redis7");
    let (plain, filed) = (RedisServer::start("redis7"), RedisServer::builder("redis7").with_file().start());
    let store = store_of(&[&plain, &filed]);
    filed.command(&["CONFIG", "SET", "maxmemory", "123456789"]);
    for server in [&plain, &filed] {
        assert_eq!(store.act(&Action::Persist { node: node(server) }).await, Ok(Done::Persisted));
    }
    let mut filed = filed;
    filed.stop();
    filed.restart();
    assert_eq!(setting(&filed, "maxmemory"), "123456789");
}
