//! The harness of OpenSearch and Elasticsearch clusters: what every test of that kind relies on.

mod common;

use common::http::Http;
use common::search_server::SearchCluster;
use std::time::{Duration, Instant};

/// Three nodes hold their data over the death of one, say nothing while stopped, and are whole again afterwards.
#[track_caller]
fn a_cluster_survives(component: &str, version: &str) {
    let mut cluster = SearchCluster::start(component, 3);
    assert!(cluster.identity()["version"]["number"].as_str().expect("a version").starts_with(version));
    cluster.create_index("orders", 1);
    let mut http = Http::connect(&cluster.address(1)).expect("a connection");
    for id in 0..20 {
        let answer = http.call("PUT", &format!("/orders/_doc/{id}"), "{\"n\":1}").expect("an answer").good();
        assert_eq!(answer.json()["_shards"]["failed"], 0);
    }
    let bulk = "{\"index\":{\"_id\":\"20\"}}\n{\"n\":2}\n";
    assert_eq!(http.call("POST", "/orders/_bulk", bulk).expect("an answer").good().json()["errors"], false);
    assert_eq!(http.call("HEAD", "/orders/_doc/7", "").expect("an answer").status, 200);
    assert_eq!(http.call("HEAD", "/orders/_doc/77", "").expect("an answer").status, 404);
    assert_eq!(cluster.count("orders"), 21);

    cluster.kill(0);
    cluster.wait_health("yellow");
    assert_eq!(cluster.ids("orders").len(), 21);
    assert!(cluster.try_call(0, "GET", "/", "").is_err(), "a dead node refuses");
    cluster.restart(0);
    cluster.wait_health("green");

    cluster.freeze(2);
    let begun = Instant::now();
    let mut silent = Http::connect(&cluster.address(2)).expect("the kernel takes the connection");
    silent.limit(Duration::from_millis(100)).expect("a limit");
    assert!(
        silent.call("GET", "/", "").is_err() && begun.elapsed() >= Duration::from_millis(90),
        "a stopped node is silent"
    );
    cluster.thaw(2);
    cluster.wait_health("green");
    assert_eq!(cluster.count("orders"), 21);

    cluster.kill_all();
    assert!((0..3).all(|node| cluster.try_call(node, "GET", "/", "").is_err()));
}

#[test]
fn a_cluster_of_opensearch_2_survives() {
    require_server!("opensearch2");
    a_cluster_survives("opensearch2", "2.");
}

#[test]
fn a_cluster_of_elasticsearch_7_survives() {
    require_server!("elasticsearch7");
    a_cluster_survives("elasticsearch7", "7.");
}

#[test]
fn two_clusters_are_strangers() {
    require_server!("opensearch2");
    let (main, spare) = SearchCluster::pair("opensearch2");
    assert_ne!(main.identity()["cluster_uuid"], spare.identity()["cluster_uuid"]);
    main.create_index("orders", 0);
    assert_eq!(spare.call("GET", "/orders/_count", "").status, 404);
}
