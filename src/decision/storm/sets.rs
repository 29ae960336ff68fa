//! Stores whose transactions have names: what a node holds as a set, and replication that asks for what is missing.
//!
//! Nobody's data is ever taken by a copy: a standby keeps what it alone has, and a node that has such is never made a standby. That
//! is what MySQL does with GTIDs; everything else (processes, paths, fences) is as for the others.

use super::{
    Storm, Us,
    node::{Follows, WRITE_BYTES},
};
use crate::model::{observation::Lineage, transactions::Transactions};
use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write,
};

/// What a server calls itself in the names of what it writes.
pub(super) fn server(n: usize) -> String {
    format!("{n:08x}-0000-0000-0000-000000000000")
}

impl Storm {
    /// What a node holds.
    pub(super) fn set_of(&self, n: usize) -> Transactions {
        let mut numbers: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for (author, number) in self.nodes[n].data.iter().filter_map(|write| self.ledger.name_of(*write)) {
            numbers.entry(author).or_default().push(number);
        }
        let mut text = String::new();
        for (author, mut numbers) in numbers {
            numbers.sort_unstable();
            let _ = write!(text, "{}", server(author));
            for run in numbers.chunk_by(|one, next| one + 1 == *next) {
                let _ = write!(text, ":{}-{}", run[0], run[run.len() - 1]);
            }
            text.push(',');
        }
        text.parse().unwrap_or_default()
    }

    /// Its history as it tells it, without the parent that only a probe asks for.
    pub(super) fn lineage_of(&self, n: usize) -> Lineage {
        if self.plan.named {
            return Lineage { id: "gtid".into(), transactions: Some(self.set_of(n)), ..Lineage::default() };
        }
        Lineage { id: format!("{:x}", self.nodes[n].replid), ..Lineage::default() }
    }

    /// How far it is in that.
    pub(super) fn position_of(&self, n: usize) -> u64 {
        if self.plan.named { self.nodes[n].data.len() as u64 } else { self.nodes[n].offset }
    }

    /// Whether a node holds what `to` doesn't.
    pub(super) fn has_strays(&self, n: usize, to: Follows) -> bool {
        let Follows::Node(to) = to else { return false };
        let theirs: HashSet<u32> = self.nodes[to].data.iter().copied().collect();
        self.plan.named && self.nodes[n].data.iter().any(|write| !theirs.contains(write))
    }

    /// What the primary wrote a moment ago, and the standby hasn't, arrives.
    pub(super) fn receive_named(&mut self, n: usize, of: usize, delay: Us) {
        let (now, pinged) = (self.now, self.nodes[of].pinged_at);
        let ours: HashSet<u32> = self.nodes[n].data.iter().copied().collect();
        let arrived = |write: &&u32| !ours.contains(write) && self.ledger.accepted_at(**write) + delay <= now;
        let missing: Vec<u32> = self.nodes[of].data.iter().filter(arrived).copied().collect();
        let node = &mut self.nodes[n];
        if !missing.is_empty() || pinged > node.link.last_io {
            node.link.last_io = now;
        }
        node.offset += missing.len() as u64 * WRITE_BYTES;
        node.received = node.offset;
        node.data.extend(missing);
    }

    /// An operator rebuilds each node that holds what the primary doesn't; whether there was one.
    pub(super) fn rebuild(&mut self, primary: usize) -> bool {
        let strays: Vec<usize> =
            (0..self.nodes.len()).filter(|n| *n != primary && self.has_strays(*n, Follows::Node(primary))).collect();
        for n in &strays {
            self.say(|storm| format!("an operator rebuilds {}", storm.nodes[*n].name));
            let copied = self.nodes[primary].clone();
            let (now, to_write) = (self.now, self.plan.to_write);
            let node = &mut self.nodes[*n];
            node.copy(&copied, now);
            node.follow(Follows::Node(primary), now);
            (node.file, node.to_write) = (node.follows, to_write);
        }
        !strays.is_empty()
    }
}
