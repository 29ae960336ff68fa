//! Watches the nodes of a service: one task a node probes in the service's rhythm and at once when poked, a second one
//! reads the node's fitness now and then and when asked.
//!
//! Inputs: the store, pokes. Outputs: what was seen, into the driver's inbox. Its sockets are the store's own, so neither
//! traffic nor another node's silence delays a probe.

use super::driver::Happened;
use crate::{
    config::Service,
    model::{
        error::StoreError,
        name::NodeAddress,
        observation::{Fitness, Observation},
    },
    store::Store,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc},
    task::AbortHandle,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

/// From one reading of a node's fitness to the next.
const FITNESS_INTERVAL: Duration = Duration::from_secs(10);
/// The least time between two probes of a node, however many signals poke it: a storm of resets is one piece of news.
const PROBE_SPACING: Duration = Duration::from_millis(10);

/// What a watcher saw.
#[derive(Debug)]
pub(super) enum Seen {
    /// A probe ended.
    Probe(NodeAddress, Observation),
    /// A fitness was read, or could not be.
    Fitness(NodeAddress, Result<Fitness, StoreError>),
}

/// The watchers of one service's nodes; dropping it ends them.
pub(super) struct Watchers {
    nodes: BTreeMap<NodeAddress, Watcher>,
    store: Arc<dyn Store>,
    rhythm: Duration,
    inbox: mpsc::Sender<Happened>,
}

struct Watcher {
    probe: Arc<Notify>,
    fitness: Arc<Notify>,
    tasks: [AbortHandle; 2],
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Watchers {
    /// Begins to watch the service's nodes in its rhythm.
    pub fn new(store: Arc<dyn Store>, settings: &Service, inbox: mpsc::Sender<Happened>) -> Self {
        let mut watchers = Self { nodes: BTreeMap::new(), store, rhythm: settings.health.interval, inbox };
        for (_, node) in settings.nodes() {
            watchers.nodes.insert(node.address.clone(), watchers.watch(&node.address));
        }
        watchers
    }

    /// Probes the node as soon as its last probe has ended.
    pub fn probe(&self, node: &NodeAddress) {
        if let Some(watcher) = self.nodes.get(node) {
            watcher.probe.notify_one();
        }
    }

    /// Reads the node's fitness as soon as its last reading has ended.
    pub fn fitness(&self, node: &NodeAddress) {
        if let Some(watcher) = self.nodes.get(node) {
            watcher.fitness.notify_one();
        }
    }

    fn watch(&self, node: &NodeAddress) -> Watcher {
        let (probe, fitness) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let tasks = [
            tokio::spawn(probes(self.store.clone(), node.clone(), self.rhythm, probe.clone(), self.inbox.clone()))
                .abort_handle(),
            tokio::spawn(readings(self.store.clone(), node.clone(), fitness.clone(), self.inbox.clone()))
                .abort_handle(),
        ];
        Watcher { probe, fitness, tasks }
    }
}

async fn probes(
    store: Arc<dyn Store>,
    node: NodeAddress,
    rhythm: Duration,
    poke: Arc<Notify>,
    inbox: mpsc::Sender<Happened>,
) {
    let mut ticks = interval(rhythm);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut earliest = Instant::now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = poke.notified() => sleep_until(earliest).await,
        }
        let observation = store.probe(&node).await;
        earliest = Instant::now() + PROBE_SPACING;
        if inbox.send(Happened::Seen(Seen::Probe(node.clone(), observation))).await.is_err() {
            return;
        }
    }
}

async fn readings(store: Arc<dyn Store>, node: NodeAddress, poke: Arc<Notify>, inbox: mpsc::Sender<Happened>) {
    let mut ticks = interval(FITNESS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = poke.notified() => {}
        }
        let fitness = store.fitness(&node).await;
        if inbox.send(Happened::Seen(Seen::Fitness(node.clone(), fitness))).await.is_err() {
            return;
        }
    }
}
