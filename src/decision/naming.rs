//! Who follows whom: standbys name their primary by whatever address they were told.
//!
//! Inputs: a node's names, and what nodes answer. Output: yes or no. It never judges whether that is as it should be.

use super::machine::Machine;
use crate::model::{
    name::NodeAddress,
    observation::{Answer, Part},
};

/// Where a parked standby points to: nobody listens there.
pub(super) const NOWHERE: &str = "127.0.0.1:1";

impl Machine {
    /// Whether `name` is one of the names of `node`.
    pub(super) fn is_named(&self, node: &NodeAddress, name: &NodeAddress) -> bool {
        node == name || self.nodes.get(node).and_then(|state| state.replicate_from.as_ref()) == Some(name)
    }

    /// Whether `name` is a name of any of our nodes.
    pub(super) fn is_one_of_ours(&self, name: &NodeAddress) -> bool {
        self.nodes.keys().any(|node| self.is_named(node, name))
    }

    /// Whether who answers this is a standby of `primary`: under any of its names, or by the history it shares.
    pub(super) fn follows(&self, answer: &Answer, primary: &NodeAddress) -> bool {
        let Part::Standby { of, .. } = &answer.part else { return false };
        let history = self.nodes.get(primary).and_then(|state| state.answer.as_ref()).map(|answer| &answer.lineage);
        self.is_named(primary, of) || history.is_some_and(|history| answer.lineage.is_stream_of(history))
    }
}
