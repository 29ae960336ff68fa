//! The last fitness read of each node, and what differs between the routed primary and each other node.

use crate::{
    decision::Event,
    model::{error::StoreError, name::NodeAddress, observation::Fitness},
    store::Store,
};
use std::collections::BTreeMap;

/// The last readings of a service's nodes.
#[derive(Default)]
pub(super) struct Readings {
    nodes: BTreeMap<NodeAddress, Result<Fitness, StoreError>>,
}

impl Readings {
    /// Keeps a reading and says what the core should hear: the node's own, and when it is the routed primary's, all others
    /// compared with it anew.
    pub fn take(
        &mut self,
        node: NodeAddress,
        fitness: Result<Fitness, StoreError>,
        routed: Option<&NodeAddress>,
        store: &dyn Store,
    ) -> Vec<Event> {
        self.nodes.insert(node.clone(), fitness);
        let is_primary = routed == Some(&node);
        self.nodes
            .iter()
            .filter(|(other, _)| **other == node || is_primary)
            .map(|(other, fitness)| self.event(other, fitness, routed, store))
            .collect()
    }

    fn event(
        &self,
        node: &NodeAddress,
        fitness: &Result<Fitness, StoreError>,
        routed: Option<&NodeAddress>,
        store: &dyn Store,
    ) -> Event {
        let primary = routed.filter(|routed| *routed != node).and_then(|routed| self.nodes.get(routed));
        let differences = match (primary, fitness) {
            (Some(Ok(primary)), Ok(candidate)) => store.compare(primary, candidate),
            _ => Vec::new(),
        };
        Event::Fitness { node: node.clone(), fitness: fitness.clone(), differences }
    }
}
