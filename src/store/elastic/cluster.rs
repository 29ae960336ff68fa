//! One cluster: its nodes, all probed side by side, and questions to whichever of them answers.
//!
//! Input: the service's settings. Output: what each node said, of which `gather` makes one observation; answers of the cluster. It never
//! changes anything at a node.

use super::{
    client::{Answer, CallError},
    node::Node,
    patterns,
    probe::{Found, Questions, Said, Status, Told, probe},
};
use crate::{
    config::{self, Service},
    model::{
        error::{Side, StoreError},
        name::ClusterName,
        observation::{Observation, Reach},
        view::Health,
    },
    net::ClientTls,
};
use futures_util::future::{join_all, select_ok};
use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How often a cluster is asked which indices a full disk closed.
const FLOODED_EVERY: Duration = Duration::from_secs(5);

/// What is remembered of a cluster from one probe to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Its last state.
    pub(super) status: Option<Status>,
    /// Why its state couldn't be told by the last probes, and how many in a row.
    pub(super) unknown: (String, u32),
    /// The indices that a full disk closed.
    pub(super) flooded: Vec<String>,
    flooded_due: Option<Instant>,
    /// Its own id, of its last good answer.
    pub(super) uuid: String,
}

/// One cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) name: ClusterName,
    pub(super) nodes: Vec<Arc<Node>>,
    pub(super) search: config::Search,
    pub(super) limits: config::Health,
    /// The path that asks for its health.
    health: String,
    #[expect(clippy::disallowed_types, reason = "held for a few assignments, by the one probe of this cluster")]
    memory: std::sync::Mutex<Memory>,
}

/// One node's part in a probe.
pub(super) struct Probed<'a> {
    pub(super) node: &'a Node,
    pub(super) said: Said,
    pub(super) health: Health,
    pub(super) version: String,
}

impl Cluster {
    #[expect(clippy::disallowed_types, reason = "see the field")]
    pub(super) fn new(cluster: &config::Cluster, service: &Service, tls: Option<&ClientTls>) -> Self {
        let node = |node: &config::Node| Arc::new(Node::new(&node.address, service, tls.cloned()));
        Self {
            name: cluster.name.clone(),
            nodes: cluster.nodes.iter().map(node).collect(),
            search: service.search.clone(),
            limits: service.health.clone(),
            health: format!("/_cluster/health{}?timeout=0s", patterns::path("/", &service.search.indices)),
            memory: std::sync::Mutex::default(),
        }
    }

    /// Probes every node at once. Takes as long as the slowest, which is bounded.
    pub(super) async fn probe(&self) -> Observation {
        let started = Instant::now();
        let (flooded, known) =
            self.remembered(|memory| (memory.flooded_due.is_none_or(|due| due <= started), memory.uuid.clone()));
        let asked = AtomicBool::new(false);
        // The first of ours that has a master is asked for the whole cluster.
        let claim = |uuid: &str| {
            let ours = known.is_empty() || uuid == known;
            (ours && !asked.swap(true, Relaxed)).then_some(Questions { health: &self.health, flooded })
        };
        let (probed, told): (Vec<_>, Vec<_>) =
            join_all(self.nodes.iter().map(|node| self.probe_node(node, claim))).await.into_iter().unzip();
        for told in told {
            self.learn(told, started);
        }
        let mut observation = self.gather(&probed);
        observation.took = started.elapsed();
        observation
    }

    async fn probe_node<'a, 'q>(
        &self,
        node: &'a Node,
        claim: impl FnOnce(&str) -> Option<Questions<'q>>,
    ) -> (Probed<'a>, Told) {
        // `check --connect` may probe a cluster for each of its nodes at once: waiting for another probe is no silence of the node.
        let mut state = node.probe.lock().await;
        let deadline = Instant::now() + self.limits.timeout;
        let Found { said, told } = probe(node, &mut state, claim, deadline).await;
        let good = !matches!(said, Said::Failed(_));
        let refused = matches!(said, Said::Failed(Reach::Refused));
        let health = state.count(good, refused, &self.limits);
        node.usable.store(health == Health::Up, Relaxed);
        (Probed { node, said, health, version: state.version.clone() }, told)
    }

    pub(super) fn remembered<T>(&self, use_it: impl FnOnce(&mut Memory) -> T) -> T {
        use_it(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn learn(&self, told: Told, now: Instant) {
        self.remembered(|memory| {
            match told.status {
                None => {}
                Some(Ok(status)) => (memory.status, memory.unknown) = (Some(status), (String::new(), 0)),
                Some(Err(why)) => memory.unknown = (why, memory.unknown.1.saturating_add(1)),
            }
            if let Some(flooded) = told.flooded {
                (memory.flooded, memory.flooded_due) = (flooded, Some(now + FLOODED_EVERY));
            }
        });
    }

    /// Asks a node that answers: those that are up first. `most` bounds the body.
    pub(super) async fn get(&self, path: &str, most: usize) -> Result<Answer, StoreError> {
        let mut failed = None;
        for node in self.by_health() {
            match node.get(path, most).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    let elsewhere = matches!(error, CallError::Connect(_) | CallError::Reset | CallError::Closed);
                    let error = node.failed(path, &error);
                    if !elsewhere {
                        return Err(error);
                    }
                    failed = Some(error);
                }
            }
        }
        Err(failed.unwrap_or_else(|| StoreError {
            side: Side::Internal,
            retryable: false,
            maybe_done: false,
            detail: format!("cluster {} has no nodes", self.name),
        }))
    }

    fn by_health(&self) -> Vec<&Arc<Node>> {
        let mut nodes: Vec<_> = self.nodes.iter().collect();
        nodes.sort_by_key(|node| !node.usable.load(Relaxed));
        nodes
    }

    /// Whether any node answers on a connection that is opened for this.
    pub(super) async fn knock(&self) -> bool {
        let knock = async |node: &Node| if node.knock(self.limits.timeout).await { Ok(()) } else { Err(()) };
        select_ok(self.nodes.iter().map(|node| Box::pin(knock(node)))).await.is_ok()
    }

    /// The patterns of the indices that count, as the end of a path; `*` for all.
    pub(super) fn patterns(&self) -> String {
        if self.search.indices.is_empty() { "*".into() } else { patterns::path("", &self.search.indices) }
    }

    /// Whether an index counts.
    pub(super) fn counts(&self, index: &str) -> bool {
        patterns::counts(&self.search.indices, index)
    }
}
