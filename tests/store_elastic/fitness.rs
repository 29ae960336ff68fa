//! What a comparison of two clusters names.

use super::setup::{is_fit, probe_until, store_of};
use crate::{common::search_server::SearchCluster, require_server};
use pointsman::{
    model::guard::Guard,
    store::{Store, elastic::ElasticStore},
};

const ORDERS: &str = r#"{"settings":{"number_of_replicas":0,"index.max_result_window":5000,
    "analysis":{"analyzer":{"x":{"type":"custom","tokenizer":"keyword"}}}},
    "mappings":{"properties":{"price":{"type":"long"},"name":{"type":"text","analyzer":"x"}}},
    "aliases":{"cheap":{"filter":{"range":{"price":{"lt":10}}}}}}"#;

/// What an application relies on.
fn fill(cluster: &SearchCluster) {
    cluster.call("PUT", "/orders", ORDERS).good();
    cluster.call("PUT", "/products", r#"{"settings":{"number_of_replicas":0}}"#).good();
    cluster.call("PUT", "/.own", r#"{"settings":{"number_of_replicas":0}}"#).good();
    let mapping = r#""mappings":{"properties":{"a":{"type":"keyword"}}}"#;
    cluster.call("PUT", "/_template/old", &format!(r#"{{"index_patterns":["old-*"],{mapping}}}"#)).good();
    let template = format!(r#"{{"index_patterns":["new-*"],"template":{{{mapping}}}}}"#);
    cluster.call("PUT", "/_index_template/new", &template).good();
    cluster.call("PUT", "/_component_template/part", &format!(r#"{{"template":{{{mapping}}}}}"#)).good();
    let pipeline = r#"{"processors":[{"set":{"field":"x","value":"1"}}]}"#;
    cluster.call("PUT", "/_ingest/pipeline/clean", pipeline).good();
    cluster.call("PUT", "/_scripts/score", r#"{"script":{"lang":"painless","source":"1"}}"#).good();
}

/// Differences between the two, as the store names them.
async fn differences(store: &ElasticStore, main: &SearchCluster, spare: &SearchCluster) -> Vec<String> {
    let read = async |cluster: &SearchCluster| store.fitness(&cluster.address(0).into()).await.expect("facts");
    let (ours, theirs) = (read(main).await, read(spare).await);
    let found = store.compare(&ours, &theirs);
    assert!(found.iter().all(|refusal| refusal.name == Guard::Difference), "{found:?}");
    found.into_iter().map(|refusal| refusal.detail).collect()
}

async fn compared(component: &str) {
    let (main, spare) = SearchCluster::pair(component);
    let store = store_of(&main, &spare.toml(), "");
    fill(&main);
    fill(&spare);
    assert!(differences(&store, &main, &spare).await.is_empty());

    main.call("PUT", "/extra", r#"{"settings":{"number_of_replicas":0},"aliases":{"more":{}}}"#).good();
    main.call("PUT", "/products/_mapping", r#"{"properties":{"sku":{"type":"keyword"}}}"#).good();
    spare.call("PUT", "/products/_mapping", r#"{"properties":{"sku":{"type":"long"}}}"#).good();
    spare.call("PUT", "/orders/_settings", r#"{"index.max_result_window":100}"#).good();
    spare.call("PUT", "/orders/_alias/cheap", r#"{"filter":{"range":{"price":{"lt":20}}}}"#).good();
    spare.call("DELETE", "/_template/old", "").good();
    spare.call("PUT", "/_index_template/other", r#"{"index_patterns":["other-*"]}"#).good();
    spare.call("DELETE", "/_ingest/pipeline/clean", "").good();
    spare.call("PUT", "/_scripts/score", r#"{"script":{"lang":"painless","source":"2"}}"#).good();
    spare.call("PUT", "/_cluster/settings", r#"{"persistent":{"search.max_buckets":100}}"#).good();
    let found = differences(&store, &main, &spare).await;
    let expected = [
        "index extra: the target has none",
        "mapping of products differs: properties.sku.type is \"keyword\" in the routed cluster, \"long\" in the target",
        "settings of orders differs: index.max_result_window is \"5000\" in the routed cluster, \"100\" in the target",
        "alias cheap differs: orders.filter.range.price.lt is 10 in the routed cluster, 20 in the target",
        "alias more: the target has none",
        "legacy template old: the target has none",
        "template other: only the target has it",
        "ingest pipeline clean: the target has none",
        "stored script score differs: source is \"1\" in the routed cluster, \"2\" in the target",
    ];
    assert_eq!(found[..expected.len()], expected, "{found:?}");
    assert!(found.last().is_some_and(|last| last.starts_with("setting search.max_buckets: ")), "{found:?}");
    assert_eq!(found.len(), expected.len() + 1, "{found:?}");

    // Only what the service is about.
    let narrow = store_of(&main, &spare.toml(), "indices = [\"prod*\"]");
    let found = differences(&narrow, &main, &spare).await;
    assert!(
        found[0].starts_with("mapping of products") && found.iter().all(|words| !words.contains("orders")),
        "{found:?}"
    );

    main.call("PUT", "/orders/_doc/1?refresh=true", r#"{"price":1}"#).good();
    let facts = store.fitness(&main.address(0).into()).await.expect("facts");
    assert_eq!((facts.counts.get("orders"), facts.counts.get("products")), (Some(&1), Some(&0)));
    assert!(!facts.counts.contains_key(".own") && facts.missing_rights.is_empty(), "{facts:?}");
    let gone = store_of(&main, "[\"127.0.0.1:1\"]", "");
    let error = gone.fitness(&"127.0.0.1:1".into()).await.expect_err("nobody is there");
    assert!(error.retryable && error.detail.contains("127.0.0.1:1: GET /: connection refused"), "{error:?}");
}

#[tokio::test]
async fn two_clusters_of_opensearch_2_are_compared() {
    require_server!("opensearch2");
    compared("opensearch2").await;
}

#[tokio::test]
async fn two_clusters_of_elasticsearch_7_are_compared() {
    require_server!("elasticsearch7");
    compared("elasticsearch7").await;
}

#[tokio::test]
async fn a_cluster_that_serves_nobody_is_kept_warm_by_a_few_reads() {
    require_server!("opensearch2");
    let cluster = SearchCluster::start("opensearch2", 1);
    let store = store_of(&cluster, "[\"127.0.0.1:1\"]", "");
    cluster.create_index("orders", 0);
    cluster.call("PUT", "/orders/_doc/1?refresh=true", r#"{"price":1}"#).good();
    probe_until(&store, &cluster, "it is fit", is_fit).await;
    let searches = || {
        let stats = cluster.call("GET", "/orders/_stats/search,get,indexing", "").good().json();
        let total = &stats["_all"]["primaries"];
        assert_eq!(total["indexing"]["index_total"], 1, "nothing is written");
        (total["search"]["query_total"].as_u64().unwrap(), total["get"]["missing_total"].as_u64().unwrap())
    };
    let before = searches();
    store.fitness(&cluster.address(0).into()).await.expect("facts");
    let after = searches();
    assert_eq!((after.0 - before.0, after.1 - before.1), (6, 3), "two searches and a get, three times");
}
