//! A search service whose nodes die or hang: one of three, the whole routed cluster, and a cluster that is stopped.

mod common;

use common::http;
use common::search_load::{Fault, Felt, Load, Role, held};
use common::search_server::{SEARCH_PATIENCE, SearchCluster};
use common::search_service::SearchService;
use common::wait_for;
use std::time::{Duration, Instant};

const HEALTH: &str = "[services.search.health]\ninterval = \"100ms\"\nfall = 2\nhang_window = \"2s\"\n";

/// From `begin` to the first good answer to a read that was sent before or after, but answered later.
fn gap(felt: &Felt, begin: Instant) -> Duration {
    let first = felt.reads.iter().map(|(_, answered)| *answered).filter(|answered| *answered > begin).min();
    first.expect("a read was answered") - begin
}

/// The longest time without any answered read that began after `begin`, which is what the applications felt of a death.
fn silence(felt: &Felt, begin: Instant) -> Duration {
    let mut answered: Vec<Instant> = felt.reads.iter().map(|(_, answered)| *answered).collect();
    answered.sort();
    let pairs = answered.windows(2).filter(|pair| pair[1] > begin);
    pairs.map(|pair| pair[1] - pair[0].max(begin)).max().unwrap_or_default()
}

/// Whether it is an acknowledged write whose answer says that the dead node's copy didn't take it. That is the cluster's own word, also without
/// a proxy, for what was on its way when the node died.
fn lacks_a_copy(fault: &Fault, healed: Instant) -> bool {
    let acknowledged = fault.words.contains(": 200 {") || fault.words.contains(": 201 {");
    fault.role == Role::Index && acknowledged && fault.words.contains("\"failed\":1") && fault.sent < healed
}

/// One node of three dies: reads and writes with an id never fail, whichever node it is.
#[test]
fn one_node_of_three_dies() {
    require_server!("opensearch2");
    let (main, spare) = (SearchCluster::start("opensearch2", 3), SearchCluster::start("opensearch2", 1));
    let mut service = SearchService::start(main, spare, HEALTH);
    let master = service.main.call("GET", "/_cat/master?h=node", "").good().text();
    let is_master = |node: usize| service.main.node_name(node) == master.trim();
    let victims =
        [(0..3).find(|node| !is_master(*node)), (0..3).find(|node| is_master(*node))].map(|node| node.expect("a node"));
    for victim in victims {
        let load = Load::start(&service.address(), &[(Role::Index, 4), (Role::Search, 4), (Role::Get, 4)]);
        load.progress(500);
        let killed = Instant::now();
        service.main.kill(victim);
        load.progress(500);
        service.main.wait_nodes(2);
        service.main.wait_health("yellow");
        let healed = Instant::now();
        load.progress(500);
        let felt = load.finish();
        println!(
            "node {victim} killed: {} good, silence {:?}, {} writes lack a copy",
            felt.good,
            silence(&felt, killed),
            felt.faults.len()
        );
        let faults: Vec<_> = felt.faults.iter().filter(|fault| !lacks_a_copy(fault, healed)).collect();
        assert!(faults.is_empty(), "{faults:#?}\n{}", service.pointsman.log());
        assert_eq!(service.routed(), "main", "a cluster that serves keeps its traffic");
        let held = held(&service.main);
        assert!(felt.writes.iter().flatten().all(|write| held.contains(&write.id)), "an acknowledged write is gone");
        service.main.restart(victim);
        service.main.wait_health("green");
    }
}

/// The whole routed cluster is killed: searches go on elsewhere by themselves, writes when an operator says so; nothing acknowledged is gone.
#[test]
fn the_routed_cluster_is_killed() {
    require_server!("opensearch2");
    let mut service = SearchService::pair("opensearch2", HEALTH);
    let load = Load::start(&service.address(), &[(Role::Index, 4), (Role::Search, 4), (Role::Get, 4)]);
    load.progress(500);
    let killed = Instant::now();
    service.main.kill_all();
    load.progress(300);
    let felt = load.finish();
    println!("killed: first read after {:?}, silence {:?}", gap(&felt, killed), silence(&felt, killed));
    assert!(silence(&felt, killed) < Duration::from_secs(3), "reads go on");
    let reads: Vec<_> = felt.faults.iter().filter(|fault| fault.role != Role::Index).collect();
    assert!(reads.is_empty(), "{reads:#?}");
    let told = ["cluster_block_exception", "outcome_unknown_exception"];
    let others: Vec<_> = felt
        .faults
        .iter()
        .filter(|fault| !told.iter().any(|kind| fault.words.contains(kind)))
        .filter(|fault| fault.role == Role::Index)
        .collect();
    assert!(others.is_empty(), "writes are refused, or their fate is unknown: {others:#?}");
    assert_eq!(service.routed(), "spare");

    let refused = service.call("PUT", "/orders/_doc/refused", "{\"n\":1}");
    assert_eq!((refused.status, refused.json()["error"]["type"].as_str()), (403, Some("cluster_block_exception")));
    service.pointsman.cli_expect(&["mode", "search", "open"], 0);
    service.call("PUT", "/orders/_doc/allowed", "{\"n\":1}").good();

    service.main.restart(0);
    wait_for("the killed cluster answers", SEARCH_PATIENCE, || {
        service.main.try_call(0, "GET", "/orders/_search?size=0", "").is_ok_and(|answer| answer.is_good())
    });
    let (old, new) = (held(&service.main), held(&service.spare));
    for write in felt.writes.iter().flatten() {
        assert!(
            old.contains(&write.id) && !new.contains(&write.id),
            "{write:?} was acknowledged by the cluster that died"
        );
    }
    assert!(
        new.contains("allowed") && !old.contains("allowed") && !new.contains("refused") && !old.contains("refused")
    );
}

/// A cluster that hangs as a whole is left after `hang_window`.
#[test]
fn the_routed_cluster_hangs() {
    require_server!("opensearch2");
    let service = SearchService::pair("opensearch2", HEALTH);
    let load = Load::start(&service.address(), &[(Role::Search, 4), (Role::Get, 4)]);
    load.progress(500);
    let stopped = Instant::now();
    service.main.freeze_all();
    wait_for("the route moves", SEARCH_PATIENCE, || service.routed() == "spare");
    println!("stopped: the route moved after {:?}", stopped.elapsed());
    load.progress(300);
    let felt = load.finish();
    println!("stopped: silence {:?}", silence(&felt, stopped));
    assert!(felt.faults.is_empty(), "what hung there is asked again elsewhere: {:#?}", felt.faults);
    assert!(silence(&felt, stopped) < Duration::from_secs(8), "reads go on");
    service.main.thaw_all();
    let answer = http::call(&service.address(), "GET", "/catalog/_doc/1", "").expect("an answer");
    assert!(answer.is_good());
    assert_eq!(service.routed(), "spare", "nobody goes back by himself");
}
