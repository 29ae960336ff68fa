//! Cursors and sniffing on real servers: a scroll and a point in time keep the cluster that issued them over a switch, and are gone with it; and
//! whoever asks for the nodes' addresses is told the listener's.

mod common;

use common::http::Answer;
use common::search_service::{CATALOG, SearchService};
use common::wait_for;
use serde_json::{Value, json};
use std::collections::HashSet;

const HEALTH: &str = "[services.search.health]\ninterval = \"100ms\"\nfall = 2\n";

fn open_scroll(service: &SearchService) -> Value {
    service.call("POST", "/catalog/_search?scroll=5m", "{\"size\":100,\"sort\":[\"_doc\"]}").good().json()
}

fn next_page(service: &SearchService, id: &Value) -> Answer {
    service.call("POST", "/_search/scroll", &json!({ "scroll": "5m", "scroll_id": id }).to_string())
}

fn ids(page: &Value) -> HashSet<String> {
    page["hits"]["hits"].as_array().into_iter().flatten().map(|hit| hit["_id"].to_string()).collect()
}

/// Every document is read once, although the route moves after the first page.
fn a_scroll_keeps_its_cluster(service: &SearchService) {
    let mut page = open_scroll(service);
    let mut read = ids(&page);
    service.switch("spare");
    // What the new cluster holds beside isn't in it.
    service.call("PUT", "/catalog/_doc/later?refresh=true", "{\"group\":0}").good();
    loop {
        page = next_page(service, &page["_scroll_id"]).good().json();
        let more = ids(&page);
        if more.is_empty() {
            break;
        }
        assert!(read.is_disjoint(&more), "a document came twice");
        read.extend(more);
    }
    assert_eq!(read.len(), CATALOG);
    assert!(!read.contains("\"later\""));
    let clear = json!({ "scroll_id": [page["_scroll_id"]] }).to_string();
    assert_eq!(service.call("DELETE", "/_search/scroll", &clear).good().json()["num_freed"], 1);
    service.call("DELETE", "/catalog/_doc/later?refresh=true", "").good();
    service.ready();
    service.switch("main");
    service.ready();
}

/// The same of a point in time, which Elasticsearch 7.10 hasn't got in this distribution.
fn a_point_in_time_keeps_its_cluster(service: &SearchService) {
    let opened = service.call("POST", "/catalog/_search/point_in_time?keep_alive=5m", "").good().json();
    let search = json!({ "size": 1000, "pit": { "id": opened["pit_id"], "keep_alive": "5m" } }).to_string();
    service.switch("spare");
    let page = service.call("POST", "/_search", &search).good().json();
    assert_eq!(ids(&page).len(), CATALOG, "{page}");
    let close = json!({ "pit_id": [page["pit_id"]] }).to_string();
    let closed = service.call("DELETE", "/_search/point_in_time", &close).good().json();
    assert_eq!(closed["pits"][0]["successful"], true, "{closed}");
    service.ready();
    service.switch("main");
    service.ready();
}

/// On a cluster that is gone there is nothing to go on with, and the answer says so as the servers do.
fn a_cursor_of_a_dead_cluster_is_gone(service: &mut SearchService) {
    let page = open_scroll(service);
    service.main.kill_all();
    wait_for("the route moves", common::PATIENCE, || service.routed() == "spare");
    let answer = next_page(service, &page["_scroll_id"]);
    let said = answer.json();
    assert_eq!(answer.status, 404, "{said}");
    let kind = &said["error"]["root_cause"][0]["type"];
    assert_eq!(kind, "search_context_missing_exception", "{said}");
    let other = open_scroll(service);
    assert_eq!(
        ids(&next_page(service, &other["_scroll_id"]).good().json()).len(),
        100,
        "new ones are of the routed cluster"
    );
}

/// All that clients sniff by gives one node, whose address is the listener's.
fn sniffing_finds_the_listener(service: &SearchService) {
    for path in ["/_nodes/http", "/_nodes/_all/http", "/_nodes/_local/http,os,thread_pool", "/_nodes"] {
        let nodes = service.call("GET", path, "").good().json();
        let nodes: Vec<&Value> = nodes["nodes"].as_object().expect("nodes").values().collect();
        assert_eq!(nodes.len(), 1, "{path}");
        assert_eq!(nodes[0]["http"]["publish_address"], service.address(), "{path}");
    }
}

#[test]
fn cursors_and_sniffing_of_opensearch() {
    require_server!("opensearch2");
    let mut service = SearchService::pair("opensearch2", HEALTH);
    sniffing_finds_the_listener(&service);
    a_scroll_keeps_its_cluster(&service);
    a_point_in_time_keeps_its_cluster(&service);
    a_cursor_of_a_dead_cluster_is_gone(&mut service);
}

#[test]
fn cursors_and_sniffing_of_elasticsearch() {
    require_server!("elasticsearch7");
    let mut service = SearchService::pair("elasticsearch7", HEALTH);
    sniffing_finds_the_listener(&service);
    a_scroll_keeps_its_cluster(&service);
    a_cursor_of_a_dead_cluster_is_gone(&mut service);
}
