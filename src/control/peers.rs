//! The nodes of clusters that serve as a whole, as workers are shown them.
//!
//! Inputs: the settings, what the workers know, what a probe of one cluster found. Output: every configured node in order, when that is
//! news. It never judges a node: the probe did.

use crate::{
    config::Service,
    model::{observation::Peer, view::Health},
};
use std::sync::Arc;

/// All nodes after `found`, or nothing if the workers know as much. A node that wasn't probed yet is unknown.
pub(super) fn after(settings: &Service, known: &[Peer], found: &[Peer]) -> Option<Arc<[Peer]>> {
    if !settings.serves_as_whole() {
        return None;
    }
    let peers = settings.nodes().map(|(cluster, node)| {
        let same = |peer: &&Peer| peer.node == node.address && peer.cluster == cluster.name;
        found.iter().find(same).or_else(|| known.iter().find(same)).cloned().unwrap_or_else(|| Peer {
            cluster: cluster.name.clone(),
            node: node.address.clone(),
            health: Health::Unknown,
            version: String::new(),
            note: String::new(),
        })
    });
    let peers: Arc<[Peer]> = peers.collect();
    (*peers != *known).then_some(peers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Options, load_bytes};
    use std::path::Path;

    fn settings(clusters: &str) -> Service {
        let text =
            format!("[services.s]\nkind = \"elasticsearch\"\nlisten = \"127.0.0.1:1\"\nclusters = [{clusters}]\n");
        let loaded = load_bytes("x", text.as_bytes(), Path::new("/"), Options { secrets: false });
        loaded.config.expect("valid").services.remove(0)
    }

    fn shown(peers: &[Peer]) -> Vec<(&str, Health)> {
        peers.iter().map(|peer| (peer.node.as_str(), peer.health)).collect()
    }

    #[test]
    fn all_nodes_are_shown_and_only_news_is_news() {
        let both = settings("{ name = 'a', nodes = ['a:1', 'a:2'] }, { name = 'b', nodes = 'b:1' }");
        let first = after(&both, &[], &[]).expect("news");
        assert_eq!(shown(&first), [("a:1", Health::Unknown), ("a:2", Health::Unknown), ("b:1", Health::Unknown)]);
        let up = Peer { health: Health::Up, ..first[1].clone() };
        let second = after(&both, &first, std::slice::from_ref(&up)).expect("news");
        assert_eq!(shown(&second), [("a:1", Health::Unknown), ("a:2", Health::Up), ("b:1", Health::Unknown)]);
        assert_eq!(after(&both, &second, &[up]), None);
        // A reload keeps what is known of the nodes that stay in their cluster.
        let other = settings("{ name = 'a', nodes = ['a:2', 'a:3'] }, { name = 'b', nodes = 'b:1' }");
        let third = after(&other, &second, &[]).expect("news");
        assert_eq!(shown(&third), [("a:2", Health::Up), ("a:3", Health::Unknown), ("b:1", Health::Unknown)]);
    }
}
