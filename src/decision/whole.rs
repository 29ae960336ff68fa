//! Clusters that serve as a whole: what differs where not a node but a cluster has a role.
//!
//! Inputs: the settings, what the probes of clusters found. Outputs: a route that follows its cluster when that gets another first node, the
//! nodes as they are shown, numbers of documents for people. The rest of the core sees one node a cluster, its first, which stands for it.

use super::{
    Now,
    health::NodeState,
    machine::Machine,
    view::{joined, said_by},
};
use crate::{
    config::Cluster,
    model::{
        guard::Guard,
        name::NodeAddress,
        route::Target,
        view::{Health, NodeView},
    },
};
use std::{collections::BTreeMap, fmt::Write};

/// How many collections are named one by one, those that differ most first.
const NAMED: usize = 20;

impl Machine {
    /// The configuration names another first node for the routed cluster: the route goes on to the same cluster under that name.
    pub(super) fn follow_first_node(&mut self, now: Now) {
        let Some(routed) = self.route.target.clone() else { return };
        let first = self.settings.cluster(routed.cluster.as_str()).and_then(|cluster| cluster.nodes.first());
        if let Some(first) = first.filter(|first| first.address != routed.node) {
            let target = Target { cluster: routed.cluster.clone(), node: first.address.clone() };
            let why = format!("the first node of {} is {} now, not {}", routed.cluster, target.node, routed.node);
            self.adopt(&target, &why, now);
        }
    }

    /// Which guard a comparison that couldn't be made stands for.
    pub(super) fn guard_of_comparison(&self) -> Guard {
        if self.settings.serves_as_whole() { Guard::Difference } else { Guard::Fit }
    }

    /// What a target is called: its cluster where that serves as a whole, else its node.
    pub(super) fn named<'a>(&self, to: &'a Target) -> &'a str {
        if self.settings.serves_as_whole() { to.cluster.as_str() } else { to.node.as_str() }
    }

    /// The nodes of a cluster that serves as a whole, as last probed. What is said of the cluster stands at the first, which stands for it.
    pub(super) fn members(&self, cluster: &Cluster) -> Vec<NodeView> {
        let first = cluster.nodes.first().map(|node| &node.address);
        let state = first.and_then(|first| self.nodes.get(first));
        let last = state.and_then(|state| state.last.as_ref());
        let member = |address: &NodeAddress| {
            let peer = last.into_iter().flat_map(|last| &last.peers).find(|peer| peer.node == *address);
            let of_cluster = state.filter(|_| Some(address) == first).and_then(NodeState::fresh).map(said_by);
            let of_node = peer.map(|peer| peer.note.clone());
            NodeView {
                address: address.clone(),
                health: peer.map_or(Health::Unknown, |peer| peer.health),
                role: first.zip(state).map(|(first, state)| self.node_role(first, state)).unwrap_or_default(),
                version: peer.map(|peer| peer.version.clone()).unwrap_or_default(),
                note: joined([of_node, of_cluster].into_iter().flatten()),
                lag_seconds: None,
                probe_seconds: last.map(|last| last.took.as_secs_f64()),
            }
        };
        cluster.nodes.iter().map(|node| member(&node.address)).collect()
    }

    /// How many documents each index has in both clusters, in words; empty where nothing is counted. Never a reason: independent clusters
    /// always differ a little.
    pub(super) fn counts(&self, to: &Target) -> String {
        let counts = |node: &NodeAddress| {
            let read = self.nodes.get(node)?.fitness.as_ref()?;
            read.result.as_ref().ok().map(|fitness| fitness.counts.clone())
        };
        let Some((ours, theirs)) = self.routed().and_then(|from| counts(&from.node)).zip(counts(&to.node)) else {
            return String::new();
        };
        let mut all: BTreeMap<&str, (u64, u64)> =
            ours.iter().map(|(name, count)| (name.as_str(), (*count, 0))).collect();
        for (name, count) in theirs.iter() {
            all.entry(name).or_default().1 = *count;
        }
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by_key(|(_, (ours, theirs))| std::cmp::Reverse(ours.abs_diff(*theirs)));
        let mut words = String::new();
        for (name, (ours, theirs)) in all.iter().take(NAMED) {
            // Writing to a String can't fail.
            let _ = write!(words, "{}{name} {ours} -> {theirs}", if words.is_empty() { "documents: " } else { ", " });
        }
        if all.len() > NAMED {
            let _ = write!(words, " and {} more indices", all.len() - NAMED);
        }
        words
    }
}
