//! Redis and Valkey: probes, fitness and the actions of a switch, by a small client of its own.
//!
//! Inputs: the service's settings, actions. Outputs: observations, facts, how an action ended. Needs Redis 6.0 or later;
//! before 6.2 writes can't be paused alone, so a fence is only the setting there. No data path, no decisions, no retries but
//! one on a kept connection that broke.

mod actions;
mod client;
mod fitness;
mod inspect;
mod node;
mod probe;
mod reply;
mod rights;
mod rules;

use super::{BoxFuture, Inspection, Store};
use crate::{
    config::Service,
    model::{
        action::{Action, Done},
        error::StoreError,
        guard::Refusal,
        name::NodeAddress,
        observation::{Fitness, Observation},
    },
    net::{ClientTls, TlsFileError},
};
use arc_swap::ArcSwap;
use client::name_prefix;
use node::Node;
pub use rights::MINIMAL_ACL;
use std::{collections::HashMap, sync::Arc};

/// The value of `min-replicas-to-write` that is a fence: more standbys than anybody has.
const FENCE: u64 = 1000;

/// The nodes of one Redis service.
#[derive(Debug)]
pub struct RedisStore {
    instance: String,
    /// What our connections' names begin with.
    prefix: fn(&str) -> String,
    state: ArcSwap<State>,
}

/// What a reload replaces.
#[derive(Debug)]
struct State {
    service: Arc<Service>,
    tls: Option<ClientTls>,
    nodes: HashMap<NodeAddress, Arc<Node>>,
}

impl RedisStore {
    /// A store for `service`. `instance` tells this Pointsman from others at the nodes and must stay the same over restarts:
    /// the name of a connection that died with its host may be seen there for minutes. Reads the files of `node_tls`.
    pub fn new(service: Arc<Service>, instance: &str) -> Result<Self, TlsFileError> {
        Self::build(service, instance, name_prefix)
    }

    /// As [`RedisStore::new`] for one who only looks (`check --connect`), so that the manager who is seen at the nodes by name
    /// isn't joined by a second one for a moment. A manager with the same `instance` is not reported as another one.
    pub fn visitor(service: Arc<Service>, instance: &str) -> Result<Self, TlsFileError> {
        Self::build(service, instance, |service| format!("pointsman-check:{service}:"))
    }

    fn build(service: Arc<Service>, instance: &str, prefix: fn(&str) -> String) -> Result<Self, TlsFileError> {
        // A connection's name has no blanks or control characters.
        let instance: String = instance.chars().map(|c| if c.is_ascii_graphic() { c } else { '-' }).collect();
        let name = prefix(service.name.as_str()) + &instance;
        let state = ArcSwap::from_pointee(State::build(service, &name)?);
        Ok(Self { instance, prefix, state })
    }

    /// Takes new settings over and reads the files of `node_tls` again. Actions under way end on the old ones. After an
    /// error the old settings stay.
    pub fn configure(&self, service: Arc<Service>) -> Result<(), TlsFileError> {
        let name = self.name(&service);
        self.state.store(Arc::new(State::build(service, &name)?));
        Ok(())
    }

    /// What our connections are called at the nodes.
    fn name(&self, service: &Service) -> String {
        (self.prefix)(service.name.as_str()) + &self.instance
    }

    /// The node of that address, also one that the configuration no longer has: it may still be fenced.
    fn node(&self, address: &NodeAddress) -> (Arc<State>, Arc<Node>) {
        let state = self.state.load_full();
        let node = state.nodes.get(address).cloned().unwrap_or_else(|| {
            let name = self.name(&state.service);
            Arc::new(Node::new(address.clone(), &state.service, name, state.tls.clone()))
        });
        (state, node)
    }

    async fn carry_out(&self, action: &Action) -> Result<Done, StoreError> {
        let (state, node) = self.node(action.node());
        match action {
            Action::Fence { .. } => actions::fence(&node).await,
            Action::CatchUp { position, lineage, .. } => {
                actions::catch_up(&node, *position, lineage, state.service.failover.hold_timeout).await
            }
            Action::Confirm { position, .. } => actions::confirm(&node, *position).await,
            Action::Promote { .. } => actions::promote(&node).await,
            Action::Demote { to, .. } => {
                let (host, port) = state.replicate_from(&node, to)?;
                actions::demote(&node, &host, port).await
            }
            Action::Repoint { to, .. } => {
                let (host, port) = state.replicate_from(&node, to)?;
                actions::repoint(&node, &host, port).await
            }
            Action::Unfence { saved, .. } => actions::unfence(&node, saved.as_deref()).await,
            Action::Park { .. } => actions::park(&node).await,
            Action::Persist { .. } => actions::persist(&node).await,
        }
    }
}

impl State {
    fn build(service: Arc<Service>, name: &str) -> Result<Self, TlsFileError> {
        let tls = service.node_tls.as_ref().map(ClientTls::load).transpose()?;
        let build =
            |address: &NodeAddress| Arc::new(Node::new(address.clone(), &service, name.to_owned(), tls.clone()));
        let nodes = service.nodes().map(|(_, node)| (node.address.clone(), build(&node.address))).collect();
        Ok(Self { service, tls, nodes })
    }

    /// Host and port that other nodes replicate `to` from.
    fn replicate_from(&self, node: &Node, to: &NodeAddress) -> Result<(String, u16), StoreError> {
        let configured = self.service.nodes().find(|(_, node)| node.address == *to);
        let address = configured.and_then(|(_, node)| node.replicate_from.as_ref()).unwrap_or(to).as_str();
        let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = parts.ok_or_else(|| node.fatal(format!("{address:?} is not host:port")))?;
        Ok((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
    }
}

impl Store for RedisStore {
    fn probe<'a>(&'a self, node: &'a NodeAddress) -> BoxFuture<'a, Observation> {
        Box::pin(async move {
            let (state, node) = self.node(node);
            let service = &state.service;
            probe::probe(&node, service.name.as_str(), &self.instance, service.health.timeout).await
        })
    }

    fn knock<'a>(&'a self, node: &'a NodeAddress) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let (state, node) = self.node(node);
            node.knock(state.service.health.timeout).await
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

    fn inspect<'a>(&'a self, node: &'a NodeAddress) -> BoxFuture<'a, Inspection> {
        Box::pin(async move {
            let seen = self.probe(node).await;
            let (state, node) = self.node(node);
            inspect::inspect(&node, &state.service, seen).await
        })
    }

    fn tune<'a>(&'a self, node: &'a NodeAddress) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let (state, node) = self.node(node);
            if state.service.tune {
                node.run(&["CONFIG SET repl-ping-replica-period 1"]).await?;
            }
            Ok(())
        })
    }
}
