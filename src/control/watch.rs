//! Watches the nodes of a service: one task a node probes in the service's rhythm and at once when poked, a second one
//! reads the node's fitness when poked.
//!
//! Inputs: the store, pokes, the route. Outputs: what was seen, into the driver's inbox. Its sockets are the store's own, so
//! neither traffic nor another node's silence delays a probe.

use super::driver::Happened;
use crate::{
    config::Service,
    model::{
        error::StoreError,
        guard::Refusal,
        name::NodeAddress,
        observation::{Fitness, Observation, Reach},
    },
    route::Board,
    store::Store,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc},
    task::{AbortHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval, interval_at, sleep_until},
};

/// The least time between two probes of a node, however many signals poke it: a storm of resets is one piece of news.
const PROBE_SPACING: Duration = Duration::from_millis(10);

/// How many connections may be tried at once beside the probe of a node that can't be reached.
const KNOCKS: usize = 8;

/// What a watcher saw.
#[derive(Debug)]
pub(super) enum Seen {
    /// A probe ended.
    Probe(NodeAddress, Observation),
    /// A fitness was read, or could not be; and what differs from the routed primary's, read at the same time.
    Fitness(NodeAddress, Result<Fitness, StoreError>, Vec<Refusal>),
}

/// The watchers of one service's nodes; dropping it ends them.
pub(super) struct Watchers {
    nodes: BTreeMap<NodeAddress, Watcher>,
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
    pub fn new(store: &Arc<dyn Store>, settings: &Service, board: &Arc<Board>, inbox: &mpsc::Sender<Happened>) -> Self {
        let watch = |node: &NodeAddress| {
            let (probe, fitness) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let target = Target { store: store.clone(), node: node.clone(), inbox: inbox.clone() };
            let probes = tokio::spawn(target.clone().probes(settings.health.interval, probe.clone()));
            let readings = tokio::spawn(target.readings(board.clone(), fitness.clone()));
            (node.clone(), Watcher { probe, fitness, tasks: [probes.abort_handle(), readings.abort_handle()] })
        };
        Self { nodes: settings.endpoints().map(|(_, node)| watch(&node.address)).collect() }
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
}

/// What a watching task is about.
#[derive(Clone)]
struct Target {
    store: Arc<dyn Store>,
    node: NodeAddress,
    inbox: mpsc::Sender<Happened>,
}

impl Target {
    async fn probes(self, rhythm: Duration, poke: Arc<Notify>) {
        let mut ticks = interval(rhythm);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut earliest = Instant::now();
        let mut tuned = String::new();
        let mut lost = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = poke.notified() => sleep_until(earliest).await,
            }
            let observation = if lost { self.probe_lost(rhythm).await } else { self.store.probe(&self.node).await };
            lost = matches!(observation.reach, Reach::Unreachable(_));
            earliest = Instant::now() + PROBE_SPACING;
            let run_id = observation.answer().map(|answer| answer.run_id.clone());
            if self.inbox.send(Happened::Seen(Seen::Probe(self.node.clone(), observation))).await.is_err() {
                return;
            }
            // Each start of a server forgets what was tuned.
            if let Some(run_id) = run_id.filter(|run_id| *run_id != tuned) {
                match self.store.tune(&self.node).await {
                    Ok(()) => tuned = run_id,
                    Err(error) => {
                        tracing::warn!(node = %self.node, %error, "not tuned");
                        if !error.retryable {
                            tuned = run_id;
                        }
                    }
                }
            }
        }
    }

    /// The path to the node was gone: what this probe sends may wait for its time-out, while a later question would be answered.
    /// So the node is knocked at in the same rhythm meanwhile, and asked anew when it answers; once, lest it never be told that
    /// it answers nothing else.
    async fn probe_lost(&self, rhythm: Duration) -> Observation {
        tokio::select! {
            observation = self.store.probe(&self.node) => return observation,
            () = self.until_it_answers(rhythm) => {}
        }
        self.store.probe(&self.node).await
    }

    async fn until_it_answers(&self, rhythm: Duration) {
        let mut ticks = interval_at(Instant::now() + rhythm, rhythm);
        let mut knocks = JoinSet::new();
        loop {
            tokio::select! {
                _ = ticks.tick(), if knocks.len() < KNOCKS => {
                    let Self { store, node, .. } = self.clone();
                    knocks.spawn(async move { store.knock(&node).await });
                }
                Some(answers) = knocks.join_next() => if answers.unwrap_or(false) { return },
            }
        }
    }

    /// A comparison reads both sides at the same time: an older reading of either could let a switch pass that shouldn't.
    async fn readings(self, board: Arc<Board>, poke: Arc<Notify>) {
        loop {
            poke.notified().await;
            let routed = board.view().route.target.as_ref().map(|target| target.node.clone());
            let routed = routed.filter(|routed| *routed != self.node);
            let primary = async {
                match &routed {
                    Some(routed) => Some(self.store.fitness(routed).await),
                    None => None,
                }
            };
            let (fitness, primary) = tokio::join!(self.store.fitness(&self.node), primary);
            let differences = match (&primary, &fitness) {
                (Some(Ok(primary)), Ok(candidate)) => self.store.compare(primary, candidate),
                _ => Vec::new(),
            };
            let seen = Seen::Fitness(self.node.clone(), fitness, differences);
            if self.inbox.send(Happened::Seen(seen)).await.is_err() {
                return;
            }
        }
    }
}
