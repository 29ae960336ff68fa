//! The world's nodes: how they replicate, what a probe finds, what an action does to them.

use super::{Node, World};
use crate::{
    config,
    model::{
        action::{Action, Done},
        error::{Side, StoreError},
        name::NodeAddress,
        observation::{Answer, Observation, Part, Peer, Reach},
        route::Mode,
        view::Health,
    },
};
use std::{collections::BTreeMap, time::Duration};

impl World {
    pub(super) fn replicate(&mut self) {
        let before = self.nodes.clone();
        for node in self.nodes.values_mut().filter(|node| node.up && !node.starved) {
            if let Some(primary) = node.follows.as_ref().and_then(|of| before.get(of)).filter(|primary| primary.up) {
                node.items = primary.items;
                if let (Some(ours), Some(theirs)) = (&node.lineage.transactions, &primary.lineage.transactions) {
                    // What it holds alone stays, and nobody hears of it.
                    let both = ours.union(theirs);
                    node.position = both.count();
                    node.lineage.transactions = Some(both);
                } else {
                    node.position = primary.position;
                    node.lineage = primary.lineage.clone();
                }
            }
        }
    }

    pub(super) fn observe(&mut self, address: &NodeAddress) -> Observation {
        let took = Duration::from_millis(1);
        let Some(node) = self.nodes.get(address).filter(|node| node.up) else {
            return Observation::new(Reach::Refused, took);
        };
        if let Some(reach) = &node.reach {
            return Observation::new(reach.clone(), took);
        }
        let part = match &node.follows {
            None => Part::Primary { standbys: Vec::new() },
            Some(of) => Part::Standby {
                of: of.clone(),
                link_up: self.nodes.get(of).is_some_and(|primary| primary.up),
                silent_for: None,
                syncing: false,
            },
        };
        let answer = Answer {
            self_fence: node.self_fence,
            run_id: node.run_id.clone(),
            version: "7.0.15".into(),
            writable: node.follows.is_none() && !node.fenced,
            part,
            loading: false,
            fenced: node.fenced,
            lineage: node.lineage.clone(),
            received: node.position,
            applied: node.position,
            items: node.items,
            priority: 100,
            other_managers: Vec::new(),
            yields: false,
            heartbeat: None,
            sick: String::new(),
            unfit: node.unfit.clone(),
            note: String::new(),
        };
        let peers = self.peers(address);
        Observation { reach: Reach::Answered(Box::new(answer)), took, peers }
    }

    /// All nodes of a cluster that serves as a whole, as well as its first.
    fn peers(&self, address: &NodeAddress) -> Vec<Peer> {
        let of =
            self.settings.clusters.iter().find(|cluster| cluster.nodes.iter().any(|node| node.address == *address));
        let whole = of.filter(|_| self.settings.serves_as_whole());
        let peer = |cluster: &config::Cluster, node: &config::Node| Peer {
            cluster: cluster.name.clone(),
            node: node.address.clone(),
            health: Health::Up,
            version: "7.10.2".into(),
            note: String::new(),
        };
        whole.into_iter().flat_map(|of| of.nodes.iter().map(move |node| peer(of, node))).collect()
    }

    pub(super) fn try_action(&mut self, action: &Action) -> Result<Done, StoreError> {
        let fail = |maybe_done| StoreError {
            side: Side::Node,
            retryable: true,
            maybe_done,
            detail: format!("{action:?} failed"),
        };
        if self.dice.percent(self.faults.action_fails) {
            return Err(fail(false));
        }
        let done = self.perform(action).map_err(|()| fail(false));
        if self.dice.percent(self.faults.action_unknown) { Err(fail(true)) } else { done }
    }

    /// What a node does, and the invariants that must hold at that moment.
    pub(super) fn perform(&mut self, action: &Action) -> Result<Done, ()> {
        self.replicate();
        if !self.nodes.get(action.node()).is_some_and(|node| node.up) {
            return Err(());
        }
        if let Action::Fence { node } = action {
            let there =
                |worker: &super::Worker| worker.route.target.as_ref().is_some_and(|target| target.node == *node);
            let drained =
                self.workers.iter().all(|worker| !there(worker) || worker.drained == Some(worker.route.epoch));
            assert!(drained, "nothing of ours is in flight when the fence is set");
        }
        if let Action::Promote { node } = action {
            self.check_promotion(node);
        }
        let lineage_of =
            |nodes: &BTreeMap<NodeAddress, Node>, to: &NodeAddress| nodes.get(to).map(|n| n.lineage.clone());
        let to_lineage = match action {
            Action::Demote { to, .. } | Action::Repoint { to, .. } => lineage_of(&self.nodes, to),
            _ => None,
        };
        let durable = self.durable();
        let Some(node) = self.nodes.get_mut(action.node()) else { return Err(()) };
        Ok(match action {
            Action::Fence { node: address } => {
                let recorded = durable.fences.contains_key(address) || self.faults.write_fails == 100;
                assert!(recorded, "a fence is in the journal before it is set");
                node.fenced = true;
                Done::Fenced {
                    position: node.position,
                    lineage: node.lineage.clone(),
                    saved: Some(node.setting.clone()),
                }
            }
            Action::CatchUp { position, .. } if node.position >= *position => Done::CaughtUp,
            Action::Confirm { position, .. } if node.fenced && node.position == *position => Done::Confirmed,
            Action::Confirm { position, .. } if node.fenced && (node.position - position) % 14 == 0 => {
                Done::Grown { position: node.position }
            }
            Action::CatchUp { .. } | Action::Confirm { .. } => return Err(()),
            Action::Promote { .. } => {
                if node.follows.take().is_some() && node.lineage.transactions.is_none() {
                    let previous = std::mem::take(&mut node.lineage.id);
                    node.lineage.id = format!("{previous}+");
                    node.lineage.previous = previous;
                }
                Done::Promoted
            }
            Action::Demote { to, .. } => {
                node.demote(to, to_lineage.ok_or(())?);
                Done::Demoted
            }
            Action::Repoint { .. } if node.stubborn => return Err(()),
            Action::Repoint { to, .. } => {
                node.follows = Some(to.clone());
                Done::Repointed
            }
            Action::Unfence { saved, .. } => {
                node.fenced = false;
                node.setting = saved.clone().unwrap_or_else(|| "0".into());
                Done::Unfenced
            }
            Action::Park { .. } => {
                node.follows = Some("127.0.0.1:1".into());
                Done::Parked
            }
            Action::Persist { .. } => Done::Persisted,
        })
    }

    fn check_promotion(&mut self, node: &NodeAddress) {
        let candidate = &self.nodes[node];
        let Some(old) = candidate.follows.clone() else { return };
        // A parked node follows nobody.
        let Some(primary) = self.nodes.get(&old) else { return self.promotions.push(node.clone()) };
        if primary.up && primary.follows.is_none() {
            assert!(primary.fenced, "no promotion while the old primary takes writes");
            // One that restarted with less is left for what its standby has.
            let less = primary.lineage.transactions.is_some() && primary.position < candidate.position;
            assert!(less || candidate.position == primary.position, "the candidate has applied the fenced position");
        }
        let open = self.workers.iter().any(|worker| matches!(worker.route.mode, Mode::Open | Mode::ReadOnly));
        assert!(!open, "no worker may send while a node is promoted");
        self.promotions.push(node.clone());
    }
}
