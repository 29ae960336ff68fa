//! One node of the world: what it is, what it holds, and how it writes.

use crate::model::{
    guard::Refusal,
    name::NodeAddress,
    observation::{Lineage, Reach, SelfFence},
};
use std::collections::BTreeMap;

#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent faults of one node")]
pub(in crate::decision) struct Node {
    pub(in crate::decision) up: bool,
    pub(in crate::decision) follows: Option<NodeAddress>,
    pub(in crate::decision) position: u64,
    pub(in crate::decision) lineage: Lineage,
    pub(in crate::decision) fenced: bool,
    pub(in crate::decision) items: u64,
    pub(in crate::decision) run_id: String,
    pub(in crate::decision) setting: String,
    pub(in crate::decision) fitness_error: bool,
    /// Its link is up and nothing comes, as after a copy that it has not acknowledged yet.
    pub(in crate::decision) starved: bool,
    /// Refuses to be pointed at another primary.
    pub(in crate::decision) stubborn: bool,
    /// What probes find instead of an answer.
    pub(in crate::decision) reach: Option<Reach>,
    /// Why it may not become the target.
    pub(in crate::decision) unfit: String,
    /// What a comparison with the routed one finds, and what it counts.
    pub(in crate::decision) differences: Vec<Refusal>,
    pub(in crate::decision) counts: BTreeMap<String, u64>,
    /// How it stops by itself.
    pub(in crate::decision) self_fence: Option<SelfFence>,
}

impl Node {
    /// A node that is well, and of whose kind there are many.
    pub(super) fn new(name: &str, follows: Option<NodeAddress>) -> Self {
        Self {
            up: true,
            follows,
            position: 1000,
            lineage: Lineage { id: "L0".into(), ..Lineage::default() },
            fenced: false,
            items: 500,
            run_id: format!("run-{name}"),
            setting: "1".into(),
            fitness_error: false,
            starved: false,
            stubborn: false,
            reach: None,
            unfit: String::new(),
            differences: Vec::new(),
            counts: BTreeMap::new(),
            self_fence: None,
        }
    }

    /// So many writes. Where they have names, they are numbered by where they stand, which leaves gaps that nobody minds.
    pub(in crate::decision) fn write(&mut self, many: u64) {
        let first = self.position + 1;
        self.position += many;
        if let Some(set) = &mut self.lineage.transactions {
            let server = self.run_id.split('/').next().unwrap_or_default();
            let written = format!("{server}:{first}-{}", self.position).parse().expect("a set");
            *set = set.union(&written);
        }
    }

    /// It follows `to`, whose history is `lineage`, and gives up its own data; where that has names, it must have none of its own.
    pub(in crate::decision) fn demote(&mut self, to: &NodeAddress, lineage: Lineage) {
        self.follows = Some(to.clone());
        match self.lineage.beyond(&lineage) {
            Some(strays) => assert!(strays.is_empty(), "a node with {strays} of its own is never demoted"),
            None => self.lineage = lineage,
        }
    }
}
