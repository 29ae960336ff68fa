//! The world's service: a primary in one cluster, its standbys in the other.

use crate::{
    config::{self, Replication},
    model::name::Kind,
};

/// A service of two or three nodes with shipped defaults.
pub(in crate::decision) fn settings(nodes: usize, replication: Replication) -> config::Service {
    let node = |address: &&str| config::Node { address: (*address).into(), replicate_from: None };
    let cluster = |name: &str, nodes: &[&str]| config::Cluster {
        name: name.into(),
        site: String::new(),
        nodes: nodes.iter().map(node).collect(),
    };
    let standbys = ["b:1", "c:1"];
    config::Service {
        max_connections: 100,
        clusters: vec![cluster("main", &["a:1"]), cluster("spare", &standbys[..nodes - 1])],
        ..config::Service::plain("cart", Kind::Redis, replication)
    }
}

/// Two clusters of two nodes each that serve as a whole.
pub(in crate::decision) fn whole() -> config::Service {
    let mut service = settings(3, Replication::None);
    service.kind = Kind::Elasticsearch;
    let node = |address: &str| config::Node { address: address.into(), replicate_from: None };
    service.clusters[0].nodes = vec![node("a:1"), node("a:2")];
    service.clusters[1].nodes = vec![node("b:1"), node("b:2")];
    service
}
