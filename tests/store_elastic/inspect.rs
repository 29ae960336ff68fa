//! What `check --connect` is told.

use super::setup::{NOWHERE, service};
use crate::{common::search_server::SearchCluster, require_server};
use pointsman::store::{Inspection, Store, elastic::ElasticStore};

/// The findings, errors with a mark.
fn shown(inspection: &Inspection) -> Vec<String> {
    let findings = inspection.findings.iter();
    findings.map(|finding| format!("{}{}", if finding.error { "! " } else { "" }, finding.message)).collect()
}

#[tokio::test]
async fn one_cluster_named_twice_and_a_small_one_are_found() {
    require_server!("opensearch2");
    let cluster = SearchCluster::start("opensearch2", 2);
    let node = |node| format!("[{:?}]", cluster.address(node));
    let store = ElasticStore::new(service(&node(0), &node(1), "")).expect("no files of TLS");
    let first = store.inspect(&cluster.address(0).into()).await;
    let second = store.inspect(&cluster.address(1).into()).await;
    assert!(first.version.as_deref().is_some_and(|version| version.starts_with("opensearch 2.")), "{first:?}");
    assert!(first.identity.is_some() && first.identity != second.identity, "two nodes: {first:?} {second:?}");
    let announced = |node| {
        format!(
            "cluster main: announces nodes that aren't configured so: {}. Through Pointsman clients that sniff see its listener alone; \
             without it they go there, and round it",
            cluster.address(node)
        )
    };
    let small = "cluster main: 2 of its nodes can be the master: without that majority it takes no writes";
    assert_eq!(shown(&first), [small.to_owned(), announced(1)]);
    let twins = "! clusters main and spare are one cluster: a switch between them changes nothing";
    assert_eq!(shown(&second).last().map(String::as_str), Some(twins));

    let lost = ElasticStore::new(service(&node(0), NOWHERE, "require = \"green\"")).expect("no files of TLS");
    cluster.create_index("lonely", 0);
    cluster.call("PUT", "/lonely/_settings", r#"{"index.number_of_replicas":5}"#).good();
    let found = shown(&lost.inspect(&cluster.address(0).into()).await);
    assert!(found[0].contains("the route would not be moved here now: yellow: "), "{found:?}");
    let nobody = lost.inspect(&"127.0.0.1:1".into()).await;
    assert_eq!((nobody.version.clone(), shown(&nobody)), (None, vec!["! 127.0.0.1:1: refuses connections".to_owned()]));
}
