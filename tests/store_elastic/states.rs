//! What a probe finds in each state of a cluster.

use super::setup::{NOWHERE, is_fit, is_unfit, peer, probe_until, said, store_of};
use crate::{common::search_server::SearchCluster, require_server};
use pointsman::{
    model::{
        observation::{Observation, Reach},
        view::Health,
    },
    store::Store,
};
use std::time::Duration;

/// The place of the master.
fn master(cluster: &SearchCluster) -> usize {
    let own = |node| {
        let nodes =
            cluster.try_call(node, "GET", "/_nodes/_local?filter_path=nodes.*.name", "").expect("an answer").json();
        nodes["nodes"].as_object().expect("nodes").keys().next().expect("one").clone()
    };
    let state = cluster.call("GET", "/_cluster/state/master_node?filter_path=master_node", "").good().json();
    let master = state["master_node"].as_str().expect("a master");
    (0..cluster.size()).find(|node| own(*node) == master).expect("one of them")
}

fn put_settings(cluster: &SearchCluster, value: &str) {
    let body = format!(r#"{{"transient":{{"cluster.blocks.read_only":{value}}}}}"#);
    cluster.call("PUT", "/_cluster/settings", &body).good();
}

/// A cluster of three in every state that the facts name.
async fn states(component: &str, version: &str) {
    let mut cluster = SearchCluster::start(component, 3);
    let store = store_of(&cluster, NOWHERE, "");
    let strict = store_of(&cluster, NOWHERE, "require = \"green\"");
    cluster.create_index("orders", 2);
    cluster.wait_health("green");

    let seen = probe_until(&store, &cluster, "it is well", is_fit).await;
    let answer = seen.answer().expect("an answer");
    assert_eq!(answer.run_id, cluster.identity()["cluster_uuid"]);
    assert!(answer.version.starts_with(version) && answer.note.is_empty() && answer.sick.is_empty(), "{answer:?}");
    let all_up = |peers: &[_]| peers.iter().all(|peer: &pointsman::model::observation::Peer| peer.health == Health::Up);
    assert!(seen.peers.len() == 3 && all_up(&seen.peers) && peer(&seen, 2).version == answer.version, "{seen:?}");
    probe_until(&strict, &cluster, "green is what it is", is_fit).await;

    blocks(&cluster).await;
    hangs(&cluster).await;
    a_dead_node(&mut cluster).await;

    // Without a majority it lives, serves what it can, and is no target.
    for node in [1, 2] {
        cluster.kill(node);
    }
    let seen = probe_until(&store, &cluster, "no master", |seen| is_unfit(seen, "has no master")).await;
    assert!(said(&seen, |answer| !answer.writable), "{seen:?}");
    assert_eq!((peer(&seen, 0).note.as_str(), peer(&seen, 1).health), ("has no master", Health::Down));
    cluster.kill(0);
    let seen = store.probe(&cluster.address(0).into()).await;
    assert_eq!(seen.reach, Reach::Refused);
    assert!(seen.peers.iter().all(|peer| peer.health == Health::Down), "{seen:?}");
    (0..3).for_each(|node| cluster.launch(node));
    probe_until(&strict, &cluster, "it is whole again", |seen| is_fit(seen) && all_up(&seen.peers)).await;
}

/// Blocks by an operator, by a full disk, and states below what is required.
async fn blocks(cluster: &SearchCluster) {
    let store = store_of(cluster, NOWHERE, "");
    put_settings(cluster, "true");
    let seen =
        probe_until(&store, cluster, "read only", |seen| is_unfit(seen, "takes no writes: cluster read-only")).await;
    assert!(said(&seen, |answer| !answer.writable));
    put_settings(cluster, "null");
    probe_until(&store, cluster, "open again", is_fit).await;

    let flood = |value: &str| {
        let body = format!(r#"{{"index.blocks.read_only_allow_delete":{value}}}"#);
        cluster.call("PUT", "/orders/_settings", &body).good();
    };
    flood("true");
    let fresh = store_of(cluster, NOWHERE, "");
    let seen =
        probe_until(&fresh, cluster, "flooded", |seen| is_unfit(seen, "flood stage): no writes into orders")).await;
    assert!(said(&seen, |answer| answer.writable && answer.sick.is_empty()), "{seen:?}");
    let others = store_of(cluster, NOWHERE, "indices = [\"products-*\"]");
    probe_until(&others, cluster, "none of the service's indices is", is_fit).await;
    flood("null");
    probe_until(&fresh, cluster, "the disk has room again", is_fit).await;

    let missing = store_of(cluster, NOWHERE, "indices = [\"nope\"]");
    probe_until(&missing, cluster, "missing", |seen| is_unfit(seen, "red: a required index doesn't exist")).await;
    let body = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0,"index.routing.allocation.require.zone":"nowhere"}}"#;
    cluster.call("PUT", "/homeless?wait_for_active_shards=0", body).good();
    let seen = probe_until(&store, cluster, "red", |seen| is_unfit(seen, "red: 1 shards are unassigned")).await;
    assert!(seen.peers.iter().all(|peer| peer.health == Health::Up), "red is no node's fault: {seen:?}");
    let named = store_of(cluster, NOWHERE, "indices = [\"ord*\"]");
    probe_until(&named, cluster, "another index is red", is_fit).await;
    probe_until(&store_of(cluster, NOWHERE, "require = \"red\""), cluster, "red will do", is_fit).await;
    cluster.call("DELETE", "/homeless", "").good();
    probe_until(&store, cluster, "green again", is_fit).await;
}

/// A node that hangs is left out; a master that hangs makes nobody dead; all that hang are silent.
async fn hangs(cluster: &SearchCluster) {
    let store = store_of(cluster, NOWHERE, "");
    probe_until(&store, cluster, "it is well", is_fit).await;
    let master = master(cluster);
    let other = (master + 1) % 3;
    cluster.freeze(other);
    // A thread that runs when the signal comes may still answer.
    let seen = probe_until(&store, cluster, "it is left out", |seen| peer(seen, other).health != Health::Up).await;
    assert!(seen.took < Duration::from_millis(1900), "bounded by the time-out of a probe: {:?}", seen.took);
    assert!(is_fit(&seen), "{seen:?}");
    let seen = probe_until(&store, cluster, "it is down", |seen| peer(seen, other).health == Health::Down).await;
    assert_eq!(peer(&seen, other).note, "gives no answer");
    assert!(is_fit(&seen) && peer(&seen, master).health == Health::Up, "{seen:?}");
    cluster.thaw(other);
    probe_until(&store, cluster, "it is back", |seen| peer(seen, other).health == Health::Up).await;

    cluster.freeze(master);
    let gone = |seen: &Observation| {
        is_unfit(seen, "its state can't be told: its master gives no answer")
            && peer(seen, master).health == Health::Down
    };
    let seen = probe_until(&store, cluster, "the master hangs", gone).await;
    assert_eq!(peer(&seen, other).health, Health::Up);
    cluster.thaw(master);
    probe_until(&store, cluster, "the master is back", |seen| is_fit(seen) && peer(seen, master).health == Health::Up)
        .await;

    cluster.freeze_all();
    let seen = probe_until(&store, cluster, "all hang", |seen| seen.answer().is_none()).await;
    assert_eq!(seen.reach, Reach::Silent);
    assert!(seen.took < Duration::from_millis(1900), "side by side: {:?}", seen.took);
    cluster.thaw_all();
    probe_until(&store, cluster, "all are back", is_fit).await;
    cluster.wait_health("green");
}

/// One of three is left out at once, and the state falls below what a strict service requires.
async fn a_dead_node(cluster: &mut SearchCluster) {
    let store = store_of(cluster, NOWHERE, "");
    let strict = store_of(cluster, NOWHERE, "require = \"green\"");
    probe_until(&store, cluster, "it is well", is_fit).await;
    cluster.kill(2);
    let seen = store.probe(&cluster.address(0).into()).await;
    assert_eq!((peer(&seen, 2).health, peer(&seen, 2).note.as_str()), (Health::Down, "refuses connections"));
    let below = |seen: &_| is_unfit(seen, "yellow: 1 shards are unassigned, and the service requires green");
    probe_until(&strict, cluster, "yellow", below).await;
    let seen = probe_until(&store, cluster, "yellow will do", is_fit).await;
    assert!(said(&seen, |answer| answer.note.starts_with("yellow: ")), "{seen:?}");
    cluster.restart(2);
    probe_until(&strict, cluster, "green again", is_fit).await;
    probe_until(&store, cluster, "up again", |seen| peer(seen, 2).health == Health::Up).await;
}

#[tokio::test]
async fn opensearch_2_in_every_state() {
    require_server!("opensearch2");
    states("opensearch2", "opensearch 2.").await;
}

#[tokio::test]
async fn elasticsearch_7_in_every_state() {
    require_server!("elasticsearch7");
    states("elasticsearch7", "7.").await;
}

#[tokio::test]
async fn opensearch_3_in_every_state() {
    require_server!("opensearch3");
    states("opensearch3", "opensearch 3.").await;
}

#[tokio::test]
async fn nodes_of_two_clusters_in_one_are_said() {
    require_server!("opensearch2");
    let (one, two) = SearchCluster::pair("opensearch2");
    let both = format!("[{:?}, {:?}]", one.address(0), two.address(0));
    let service = super::setup::service(&both, NOWHERE, "");
    let store = pointsman::store::elastic::ElasticStore::new(service).expect("no files of TLS");
    let seen =
        probe_until(&store, &one, "mixed", |seen| is_unfit(seen, "its nodes belong to different clusters")).await;
    assert_eq!((peer(&seen, 0).health, peer(&seen, 1).health), (Health::Up, Health::Unknown));
    let uuid = two.identity()["cluster_uuid"].as_str().expect("an id").to_owned();
    assert_eq!(peer(&seen, 1).note, format!("belongs to another cluster (cluster_uuid {uuid})"));
    let unknown = store.probe(&"nowhere:1".into()).await;
    assert!(matches!(unknown.reach, Reach::Unreachable(_)));
}
