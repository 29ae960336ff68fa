//! The same on real servers.

use super::common::elastic_path::ElasticPath;
use super::common::search_server::SearchCluster;
use super::common::{PATIENCE, wait_for};
use crate::require_server;
use std::fmt::Write as _;

#[test]
fn an_application_works_over_a_switch_between_two_real_clusters() {
    require_server!("opensearch2");
    works("opensearch2");
}

#[test]
fn and_with_elasticsearch() {
    require_server!("elasticsearch7");
    works("elasticsearch7");
}

fn works(component: &str) {
    let (main, spare) = SearchCluster::pair(component);
    let mut path = ElasticPath::to(&[("main", vec![main.address(0)]), ("spare", vec![spare.address(0)])]);
    main.create_index("orders", 0);
    spare.create_index("orders", 0);
    let mut http = path.http();
    let mut call = |method: &str, target: &str, body: &str| http.call(method, target, body).expect("an answer");
    let mut bulk = String::new();
    for id in 0..1000 {
        let _ = write!(bulk, "{{\"index\":{{\"_id\":\"{id}\"}}}}\n{{\"n\":{id},\"text\":\"{}\"}}\n", "x".repeat(1000));
    }
    assert_eq!(call("POST", "/orders/_bulk?refresh=true", &bulk).good().json()["errors"], false);
    assert_eq!(call("GET", "/orders/_count", "").good().json()["count"], 1000);
    assert_eq!(call("HEAD", "/orders/_doc/7", "").status, 200);
    assert_eq!(call("HEAD", "/orders/_doc/7000", "").status, 404);
    let page = call("POST", "/orders/_search?scroll=1m", r#"{"size":400,"sort":["n"]}"#).good().json();
    let mut id = page["_scroll_id"].as_str().expect("a cursor").to_owned();
    assert!(id.starts_with("pm.main."), "{id}");
    let nodes = call("GET", "/_nodes/http", "").good().json();
    let shown: Vec<_> = nodes["nodes"].as_object().expect("nodes").values().collect();
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0]["http"]["publish_address"], path.address().as_str());

    path.switch("main", "spare");
    wait_for("the switch", PATIENCE, || {
        path.http().call("GET", "/orders/_count", "").expect("an answer").json()["count"] == 0
    });
    let mut found = page["hits"]["hits"].as_array().map_or(0, Vec::len);
    loop {
        let body = format!(r#"{{"scroll":"1m","scroll_id":"{id}"}}"#);
        let page = call("POST", "/_search/scroll", &body).good().json();
        id = page["_scroll_id"].as_str().expect("a cursor").to_owned();
        match page["hits"]["hits"].as_array().map_or(0, Vec::len) {
            0 => break,
            many => found += many,
        }
    }
    assert_eq!(found, 1000, "each page came from the cluster that was left");
    let freed = call("DELETE", "/_search/scroll", &format!(r#"{{"scroll_id":"{id}"}}"#)).good().json();
    assert_eq!((&freed["succeeded"], freed["num_freed"].as_u64() > Some(0)), (&true.into(), true));
    call("PUT", "/orders/_doc/new", "{}").good();
    assert_eq!((main.ids("orders").len(), spare.ids("orders")), (1000, vec!["new".to_owned()]));
}
