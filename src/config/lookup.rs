//! Questions about a configuration: which service, which cluster, which nodes.
//!
//! Input: the values of `schema`. Output: parts of them. Never: I/O.

use super::schema::{Cluster, Config, Node, Service};
use crate::model::name::{Kind, NodeAddress};

impl Config {
    /// The service of that name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name.as_str() == name)
    }
}

impl Cluster {
    /// Where it stands: its site, or its own name where it has none.
    pub fn place(&self) -> &str {
        if self.site.is_empty() { self.name.as_str() } else { &self.site }
    }
}

impl Service {
    /// The cluster of that name.
    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.clusters.iter().find(|cluster| cluster.name.as_str() == name)
    }

    /// Whether a cluster's nodes serve together, any of them any request, so that only the cluster has a role and a health.
    pub fn serves_as_whole(&self) -> bool {
        self.kind == Kind::Elasticsearch
    }

    /// What is probed and what a route leads to, in order of preference: every node, or, where a cluster serves as a whole, its
    /// first node, which stands for it.
    pub fn endpoints(&self) -> impl Iterator<Item = (&Cluster, &Node)> {
        let most = if self.serves_as_whole() { 1 } else { usize::MAX };
        self.clusters.iter().flat_map(move |cluster| cluster.nodes.iter().take(most).map(move |node| (cluster, node)))
    }

    /// The endpoint that stands for a node: itself, or the first node of its cluster, where that serves as a whole.
    pub fn endpoint_of(&self, node: &NodeAddress) -> Option<NodeAddress> {
        let (cluster, known) = self.nodes().find(|(_, known)| known.address == *node)?;
        let first = cluster.nodes.first().filter(|_| self.serves_as_whole());
        Some(first.unwrap_or(known).address.clone())
    }

    /// Every node of every cluster, in order of preference.
    pub fn nodes(&self) -> impl Iterator<Item = (&Cluster, &Node)> {
        self.clusters.iter().flat_map(|cluster| cluster.nodes.iter().map(move |node| (cluster, node)))
    }
}
