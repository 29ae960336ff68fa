//! The world's service: a primary in one cluster, two standbys in the other.

use crate::config;

pub(super) fn settings(replication: config::Replication) -> config::Service {
    let node = |address: &str| config::Node { address: address.into(), replicate_from: None };
    let cluster = |name: &str, nodes: &[&str]| config::Cluster {
        name: name.into(),
        site: String::new(),
        nodes: nodes.iter().map(|address| node(address)).collect(),
    };
    config::Service {
        name: "cart".into(),
        kind: crate::model::name::Kind::Redis,
        listen: Vec::new(),
        listen_read: Vec::new(),
        replication,
        tune: false,
        deny: None,
        max_connections: 100,
        client_buffer: 1 << 20,
        on_call: String::new(),
        tls: None,
        node_tls: None,
        credentials: None,
        health: config::Health::default(),
        failover: config::Failover::defaults(replication),
        clusters: vec![cluster("main", &["a:1"]), cluster("spare", &["b:1", "c:1"])],
    }
}
