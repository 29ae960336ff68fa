//! What control shares with its handles: a desk for each service, the journal, the events, the pulse.

use super::{feed::Feed, groups, handle::Key};
use crate::{
    config::{Config, Service},
    coord::Coordinator,
    model::{
        error::StoreError,
        group::GroupOperation,
        name::{NodeAddress, OperationId, ServiceName},
        operation::{Operation, Order, Outcome},
        route::Epoch,
        view::{Connections, Rebuild, ServiceView},
    },
    route::{Board, Gauge},
};
use arc_swap::{ArcSwap, ArcSwapOption};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

/// Shared by the control thread, which writes, and the handles, which read.
pub(super) struct Shared {
    /// The services, in the order of the configuration.
    pub desks: ArcSwap<Vec<Arc<Desk>>>,
    /// The journal.
    pub coordinator: Arc<dyn Coordinator>,
    /// The events.
    pub feed: Arc<Feed>,
    /// The configuration in force.
    pub config: ArcSwap<Config>,
    /// Why the last file read was refused, if it was.
    pub config_problem: ArcSwapOption<String>,
    /// Beats while the control loop runs.
    pub pulse: Pulse,
    /// Whether the process stops.
    pub stopping: AtomicBool,
    /// To the supervisor.
    pub requests: mpsc::Sender<Request>,
    /// To the runner of groups.
    pub groups: mpsc::Sender<groups::Request>,
    /// Operations of groups and sites that are newer than what the journal says of them.
    pub group_operations: ArcSwap<BTreeMap<OperationId, GroupOperation>>,
}

/// One service as handles see it.
pub(super) struct Desk {
    /// Its name.
    pub name: ServiceName,
    /// To its driver.
    pub orders: mpsc::Sender<OrderRequest>,
    /// To its driver too: what only the store can tell.
    pub rebuilds: mpsc::Sender<RebuildRequest>,
    /// Its board, for settings and counts.
    pub board: Arc<Board>,
    /// That of its read port, if it has one.
    pub reads: Option<Arc<Board>>,
    /// What its driver last showed.
    pub shown: ArcSwap<ServiceView>,
    /// The last operations, oldest first, as they stand.
    pub operations: ArcSwap<VecDeque<Operation>>,
    /// How many steps its core took.
    pub steps: AtomicU64,
}

/// What a log line of a service's work says it is about.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// The service.
    pub svc: ServiceName,
    /// The epoch that the workers were last shown.
    pub epoch: Epoch,
    /// The operation that runs; empty if none does.
    pub op: String,
}

/// How many operations a desk remembers beside the journal.
const REMEMBERED: usize = 64;

impl Desk {
    /// The service now: what the driver showed, with the workers' counts of this moment.
    pub fn view(&self) -> ServiceView {
        let mut view = ServiceView::clone(&self.shown.load());
        view.connections = Connections {
            client: self.sum(|gauge| &gauge.clients),
            read_client: self.reads.as_ref().map_or(0, |reads| reads.sum(|gauge| &gauge.clients)),
            shared_upstream: self.sum(|gauge| &gauge.shared_upstreams),
            pinned_upstream: self.sum(|gauge| &gauge.pinned_upstreams),
        };
        view
    }

    /// The sum of one count over the workers, the read port's with it.
    pub fn sum(&self, count: impl Fn(&Gauge) -> &AtomicU64) -> u64 {
        let boards = std::iter::once(&self.board).chain(&self.reads);
        boards.map(|board| board.sum(&count)).sum()
    }

    /// What a log line of this moment is about.
    pub fn about(&self) -> About {
        let operations = self.operations.load();
        let running = operations.iter().rev().find(|operation| operation.outcome == Outcome::Running);
        About {
            svc: self.name.clone(),
            epoch: self.board.view().route.epoch,
            op: running.map(|operation| operation.id.to_string()).unwrap_or_default(),
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Service> {
        self.board.view().settings.clone()
    }

    /// An operation that runs or ended lately.
    pub fn operation(&self, id: &OperationId) -> Option<Operation> {
        self.operations.load().iter().find(|operation| operation.id == *id).cloned()
    }

    /// Keeps an operation's newest state. Only the driver calls it.
    pub fn remember(&self, operation: &Operation) {
        let mut operations = VecDeque::clone(&self.operations.load());
        match operations.iter_mut().find(|known| known.id == operation.id) {
            Some(known) => *known = operation.clone(),
            None => operations.push_back(operation.clone()),
        }
        if operations.len() > REMEMBERED {
            operations.pop_front();
        }
        self.operations.store(Arc::new(operations));
    }
}

/// An order on its way to a driver.
pub(super) struct OrderRequest {
    /// What.
    pub order: Order,
    /// The caller's idempotency key.
    pub key: Option<Key>,
    /// Told the id as soon as there is one.
    pub accepted: oneshot::Sender<OperationId>,
    /// Told how it ended.
    pub ended: oneshot::Sender<Reply>,
}

/// A question on its way to a driver: what a node alone holds, and how it is made a standby again.
pub(super) struct RebuildRequest {
    /// The node.
    pub node: NodeAddress,
    /// Told what the store says.
    pub reply: oneshot::Sender<Result<Rebuild, StoreError>>,
}

/// What a driver tells a caller.
#[derive(Debug)]
pub(super) enum Reply {
    /// The operation ended.
    Ended(Box<Operation>),
    /// The key came before, with the same request, and became this operation.
    Known(OperationId),
    /// The key came before with another request.
    KeyReused,
}

/// A request to the supervisor.
pub(super) enum Request {
    /// Read the configuration again.
    Reload {
        /// Who asks.
        actor: String,
        /// Told one line a change, or one line a problem.
        reply: oneshot::Sender<Result<Vec<String>, Vec<String>>>,
    },
    /// Record the end and stop.
    Stop {
        /// Told when the record is durable, or can't be written.
        reply: oneshot::Sender<()>,
    },
}

/// When the control loop last ran.
pub(super) struct Pulse {
    start: Instant,
    beat_ms: AtomicU64,
}

impl Pulse {
    /// A pulse that has just beaten.
    pub fn new() -> Self {
        Self { start: Instant::now(), beat_ms: AtomicU64::new(0) }
    }

    /// Beats.
    pub fn beat(&self) {
        self.beat_ms.store(self.now_ms(), Relaxed);
    }

    /// How long ago it beat.
    pub fn age(&self) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(self.beat_ms.load(Relaxed)))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
