//! Pinned upstreams between two uses: a transaction now and then should not cost a connection each time.
//!
//! Input: upstreams whose session needs them no more and that hold no state but login, database, protocol and label. Output: one
//! of them for a session of the same kind. Never: one whose server has closed it.

use super::{key::Key, open::Upstream};
use crate::{model::name::NodeAddress, protocol::redis::session::Label};
use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

/// Spares that are kept at most.
const MOST: usize = 64;
/// How long one is kept.
const IDLE: Duration = Duration::from_secs(30);

/// An upstream that nobody uses.
pub struct Spare {
    /// What it is logged in as.
    pub key: Key,
    /// Where it is connected to.
    pub node: NodeAddress,
    /// What it is called.
    pub label: Label,
    /// The connection.
    pub upstream: Upstream,
    /// Since when it isn't used.
    pub since: Instant,
}

/// The spares of one lane.
#[derive(Default)]
pub struct Spares(RefCell<Vec<Spare>>);

impl Spares {
    /// Takes one in.
    pub fn put(&self, spare: Spare) {
        let mut spares = self.0.borrow_mut();
        if spares.len() >= MOST {
            spares.remove(0);
        }
        spares.push(spare);
    }

    /// One of that kind that is still alive; the one used last.
    pub fn take(&self, key: &Key, node: &NodeAddress) -> Option<Spare> {
        loop {
            let mut spares = self.0.borrow_mut();
            let at = spares.iter().rposition(|spare| spare.key == *key && spare.node == *node)?;
            let Spare { key, node, label, upstream, since } = spares.remove(at);
            if let Some(upstream) = upstream.alive() {
                return Some(Spare { key, node, label, upstream, since });
            }
        }
    }

    /// Closes those that were not used for long, or are connected elsewhere.
    pub fn sweep(&self, node: Option<&NodeAddress>) {
        self.0.borrow_mut().retain(|spare| spare.since.elapsed() < IDLE && node.is_none_or(|node| spare.node == *node));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }
}
