//! MySQL and MariaDB: probes, fitness and the actions of a switch, by a small client of its own.
//!
//! Inputs: the service's settings, actions. Outputs: observations, facts, how an action ended. Needs MySQL 8.0.26 or later, or MariaDB
//! 10.10 or later, with GTIDs; which of the two a node is, it says itself. No data path, no decisions, no retries but one on a kept
//! connection that broke.

mod actions;
mod ask;
mod client;
mod fence;
mod fitness;
mod flavour;
mod inspect;
mod node;
mod probe;
mod rebuild;
mod rights;
mod roles;
mod rows;
mod sessions;

use super::{BoxFuture, Inspection, Store};
use crate::{
    config::Service,
    model::{
        action::{Action, Done},
        error::StoreError,
        guard::Refusal,
        name::NodeAddress,
        observation::{Fitness, Observation, Part, Reach},
        view::Rebuild,
    },
    net::{ClientTls, TlsFileError},
};
use arc_swap::ArcSwap;
use node::Node;
use probe::Asker;
pub use rights::{MARIADB_GRANTS, MYSQL_GRANTS};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// The nodes of one service.
#[derive(Debug)]
pub struct MysqlStore {
    instance: String,
    /// Whether we announce ourselves at the nodes.
    manages: bool,
    state: ArcSwap<State>,
}

/// What a reload replaces.
#[derive(Debug)]
struct State {
    service: Arc<Service>,
    tls: Option<ClientTls>,
    nodes: HashMap<NodeAddress, Arc<Node>>,
}

impl MysqlStore {
    /// A store for `service`. `instance` tells this Pointsman from others at the nodes and must stay the same over restarts. Reads the
    /// files of `node_tls`.
    pub fn new(service: Arc<Service>, instance: &str) -> Result<Self, TlsFileError> {
        Self::build(service, instance, true)
    }

    /// As [`MysqlStore::new`] for one who only looks (`check --connect`), and doesn't announce itself as a manager.
    pub fn visitor(service: Arc<Service>, instance: &str) -> Result<Self, TlsFileError> {
        Self::build(service, instance, false)
    }

    fn build(service: Arc<Service>, instance: &str, manages: bool) -> Result<Self, TlsFileError> {
        let instance: String = instance.chars().map(|c| if c.is_ascii_graphic() { c } else { '-' }).collect();
        let state = ArcSwap::from_pointee(State::build(service, &instance, manages)?);
        Ok(Self { instance, manages, state })
    }

    /// Takes new settings over and reads the files of `node_tls` again. Actions under way end on the old ones. After an error the old
    /// settings stay.
    pub fn configure(&self, service: Arc<Service>) -> Result<(), TlsFileError> {
        self.state.store(Arc::new(State::build(service, &self.instance, self.manages)?));
        Ok(())
    }

    /// The node of that address, also one that the configuration no longer has: it may still be fenced.
    fn node(&self, address: &NodeAddress) -> (Arc<State>, Arc<Node>) {
        let state = self.state.load_full();
        let node = state.node(address, &self.instance, self.manages);
        (state, node)
    }

    async fn carry_out(&self, action: &Action) -> Result<Done, StoreError> {
        let (state, node) = self.node(action.node());
        match action {
            Action::Fence { .. } => fence::fence(&node).await,
            Action::CatchUp { position, lineage, .. } => {
                let limit = state.service.failover.hold_timeout;
                actions::catch_up(&node, *position, lineage.transactions.as_ref(), limit).await
            }
            Action::Confirm { position, .. } => fence::confirm(&node, *position).await,
            Action::Promote { .. } => {
                node.semi_sync_owed.fetch_or(state.is_semi_sync(), Ordering::Relaxed);
                roles::promote(&node).await
            }
            Action::Demote { to, .. } => {
                let from = state.replicate_from(&node, to)?;
                let (_, primary) = self.node(to);
                roles::demote(&node, &primary, &from).await
            }
            Action::Repoint { to, .. } => {
                let from = state.replicate_from(&node, to)?;
                let (_, primary) = self.node(to);
                roles::repoint(&node, &primary, &from).await
            }
            Action::Park { .. } => actions::park(&node).await,
            Action::Unfence { saved, .. } => fence::unfence(&node, saved.as_deref()).await,
            Action::Persist { .. } => actions::persist(&node).await,
        }
    }
}

impl State {
    fn build(service: Arc<Service>, instance: &str, manages: bool) -> Result<Self, TlsFileError> {
        let tls = service.node_tls.as_ref().map(ClientTls::load).transpose()?;
        let mut state = Self { service, tls, nodes: HashMap::new() };
        let addresses: Vec<NodeAddress> = state.service.nodes().map(|(_, node)| node.address.clone()).collect();
        state.nodes = addresses.into_iter().map(|at| (at.clone(), state.node(&at, instance, manages))).collect();
        Ok(state)
    }

    fn node(&self, address: &NodeAddress, instance: &str, manages: bool) -> Arc<Node> {
        self.nodes.get(address).cloned().unwrap_or_else(|| {
            let announced = if manages { format!("{}:{instance}", self.service.name) } else { String::new() };
            Arc::new(Node::new(address.clone(), &self.service, announced, self.tls.clone()))
        })
    }

    /// Whether the service's primary, or the one before it, was semi-synchronous.
    fn is_semi_sync(&self) -> bool {
        self.nodes.values().any(|node| node.semi_sync.load(Ordering::Relaxed))
    }

    /// A standby that a new primary can be made semi-synchronous with, where that is owed.
    fn owed_standby(&self, node: &Node, seen: &Observation) -> Option<Arc<Node>> {
        let open = seen.answer().is_some_and(|answer| answer.writable && matches!(answer.part, Part::Primary { .. }));
        if !open || !node.semi_sync_owed.load(Ordering::Relaxed) {
            return None;
        }
        self.nodes.values().find(|other| other.heartbeat_ms.load(Ordering::Relaxed) > 0).cloned()
    }

    /// How often a primary speaks when it has nothing to say is what its standbys asked it for, so it is told by them.
    fn tell_heartbeat(&self, node: &Node, seen: &mut Observation) {
        let Reach::Answered(answer) = &mut seen.reach else { return };
        match (&answer.part, answer.heartbeat) {
            (Part::Standby { .. }, period) => node.heartbeat_ms.store(period.map_or(0, millis), Ordering::Relaxed),
            (Part::Primary { .. }, _) => {
                node.heartbeat_ms.store(0, Ordering::Relaxed);
                let longest = self.nodes.values().map(|other| other.heartbeat_ms.load(Ordering::Relaxed)).max();
                answer.heartbeat = longest.filter(|ms| *ms > 0).map(Duration::from_millis);
            }
        }
    }

    /// Where other nodes replicate `to` from, and as whom.
    fn replicate_from(&self, node: &Node, to: &NodeAddress) -> Result<roles::From, StoreError> {
        let configured = self.service.nodes().find(|(_, node)| node.address == *to);
        let address = configured.and_then(|(_, node)| node.replicate_from.as_ref()).unwrap_or(to).as_str();
        let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = parts.ok_or_else(|| node.fatal(format!("{address:?} is not host:port")))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let user = self.service.replication_user.as_ref();
        let user = user.ok_or_else(|| node.fatal("no replication_user is configured, so it can't follow anybody"))?;
        let (user, password) = (user.name.clone(), user.password.clone().unwrap_or_default());
        Ok(roles::From { host, port, user, password, tls: self.tls.is_some() })
    }
}

fn millis(period: Duration) -> u64 {
    u64::try_from(period.as_millis()).unwrap_or(u64::MAX)
}

impl Store for MysqlStore {
    fn probe<'a>(&'a self, node: &'a NodeAddress) -> BoxFuture<'a, Observation> {
        Box::pin(async move {
            let (state, node) = self.node(node);
            let asker = Asker { service: state.service.name.as_str(), instance: &self.instance };
            let mut seen = probe::probe(&node, asker, state.service.health.timeout).await;
            state.tell_heartbeat(&node, &mut seen);
            if let Some(standby) = state.owed_standby(&node, &seen) {
                tokio::spawn(roles::acknowledge(standby, node));
            }
            seen
        })
    }

    fn knock<'a>(&'a self, node: &'a NodeAddress) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let (state, node) = self.node(node);
            probe::knock(&node, state.service.health.timeout).await
        })
    }

    fn fitness<'a>(&'a self, node: &'a NodeAddress) -> BoxFuture<'a, Result<Fitness, StoreError>> {
        Box::pin(async move { fitness::fitness(&self.node(node).1).await })
    }

    fn compare(&self, primary: &Fitness, candidate: &Fitness) -> Vec<Refusal> {
        fitness::compare(primary, candidate)
    }

    fn act<'a>(&'a self, action: &'a Action) -> BoxFuture<'a, Result<Done, StoreError>> {
        Box::pin(self.carry_out(action))
    }

    fn rebuild<'a>(
        &'a self,
        node: &'a NodeAddress,
        primary: &'a NodeAddress,
    ) -> BoxFuture<'a, Result<Rebuild, StoreError>> {
        Box::pin(async move {
            let (state, node) = self.node(node);
            let from = state.replicate_from(&node, primary)?;
            let (_, primary) = self.node(primary);
            rebuild::rebuild(state.service.name.as_str(), &node, &primary, &from).await
        })
    }

    fn inspect<'a>(&'a self, node: &'a NodeAddress) -> BoxFuture<'a, Inspection> {
        Box::pin(async move {
            let seen = self.probe(node).await;
            let (state, node) = self.node(node);
            let others = state.nodes.values().filter(|other| other.address != node.address).cloned().collect();
            inspect::inspect(&node, others, &state.service, seen).await
        })
    }

    fn tune<'a>(&'a self, node: &'a NodeAddress) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let (state, node) = self.node(node);
            if state.service.tune { actions::tune(&node).await } else { Ok(()) }
        })
    }
}
