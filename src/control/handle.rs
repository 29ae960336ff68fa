//! What the admin floor sees of control: views, orders, operations, the journal, events, reload, and whether it lives.
//!
//! Inputs: calls from any thread. Outputs: plain values of `model`. A handle never decides: it hands orders to the
//! service's driver and waits for its answer. Cloning one is cheap.

use super::{
    desk::{Desk, OrderRequest, RebuildRequest, Reply, Request, Shared},
    feed::Follower,
};
use crate::{
    config::Config,
    coord::Condition,
    model::{
        error::StoreError,
        name::{ClusterName, NodeAddress, OperationId, ServiceName},
        operation::{Command, Operation, Order, Outcome},
        route::Mode,
        view::{Rebuild, ServiceView},
    },
};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

/// How long an order may wait to be taken up before the caller hears [`OrderReply::Late`].
const TAKE_UP: Duration = Duration::from_secs(10);
/// The answer to a reload that comes too late.
const STOPPING: &str = "Pointsman is stopping: the configuration isn't read again";

/// An idempotency key and a digest of the request that came with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key, as the caller sent it; at most 255 bytes are kept by the caller's contract.
    pub key: String,
    /// A digest of the method, path and body, so that a key used for another request is noticed.
    pub digest: String,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq)]
pub enum OrderReply {
    /// The operation ended (done, refused, rolled back, ...): its outcome tells.
    Ended(Box<Operation>),
    /// It still runs after `wait`: ask [`Handle::operation`] with this id.
    Running(OperationId),
    /// No service of that name.
    UnknownService,
    /// The service has no cluster of that name.
    UnknownCluster(ClusterName),
    /// The idempotency key was used with another request within the last day.
    KeyReused,
    /// Control did not take the order up in time, or is stopping; it is not known whether it will run.
    Late,
}

/// What came of asking how a node is rebuilt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RebuildReply {
    /// What it holds, and the commands.
    Told(Rebuild),
    /// It needs none, or can't be asked: why, in words.
    Refused(StoreError),
    /// No service of that name.
    UnknownService,
    /// The service has no node of that address.
    UnknownNode,
    /// Control did not answer in time, or is stopping.
    Late,
}

/// The way into control. `Clone`, `Send`, `Sync`.
#[derive(Clone)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Handle {
    /// All services, in the order of the configuration.
    pub fn services(&self) -> Vec<ServiceView> {
        let desks = self.shared.desks.load();
        desks.iter().map(|desk| self.view(desk)).collect()
    }

    /// One service.
    pub fn service(&self, name: &ServiceName) -> Option<ServiceView> {
        self.desk(name).map(|desk| self.view(&desk))
    }

    /// Requests that wait in a hold now.
    pub fn held(&self, name: &ServiceName) -> u64 {
        self.desk(name).map_or(0, |desk| desk.sum(|gauge| &gauge.held))
    }

    /// Gives an order and waits for its end, at most `wait` (absent: however long it takes). With a key, the same request
    /// within a day gets the first one's answer, over restarts too.
    pub async fn order(&self, svc: &ServiceName, order: Order, wait: Option<Duration>, key: Option<Key>) -> OrderReply {
        let Some(desk) = self.desk(svc) else { return OrderReply::UnknownService };
        if let Some(cluster) = cluster_of(&order.command)
            && desk.settings().cluster(cluster.as_str()).is_none()
        {
            return OrderReply::UnknownCluster(cluster.clone());
        }
        let now = Instant::now();
        let (accepted, mut id) = oneshot::channel();
        let (ended, mut reply) = oneshot::channel();
        let request = OrderRequest { order, key, accepted, ended };
        match timeout_at(now + TAKE_UP, desk.orders.send(request)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return OrderReply::Late,
        }
        let Some(wait) = wait else { return self.reply(reply.await.ok()).await };
        if let Ok(reply) = timeout_at(now + wait, &mut reply).await {
            return self.reply(reply.ok()).await;
        }
        tokio::select! {
            biased;
            reply = &mut reply => self.reply(reply.ok()).await,
            Ok(id) = &mut id => OrderReply::Running(id),
            () = tokio::time::sleep(TAKE_UP) => OrderReply::Late,
        }
    }

    async fn reply(&self, reply: Option<Reply>) -> OrderReply {
        match reply {
            None => OrderReply::Late,
            Some(Reply::KeyReused) => OrderReply::KeyReused,
            Some(Reply::Ended(operation)) => OrderReply::Ended(operation),
            Some(Reply::Known(id)) => match self.operation(&id).await {
                Some(operation) if operation.outcome != Outcome::Running => OrderReply::Ended(Box::new(operation)),
                _ => OrderReply::Running(id),
            },
        }
    }

    /// An operation that runs or ended: from memory, else from the journal.
    pub async fn operation(&self, id: &OperationId) -> Option<Operation> {
        let desks = self.shared.desks.load_full();
        if let Some(running) = desks.iter().find_map(|desk| desk.operation(id)) {
            return Some(running);
        }
        let state = self.shared.coordinator.state();
        let remembered =
            state.services.values().flat_map(|svc| svc.waiting.iter().map(|w| &w.operation).chain(&svc.ended));
        if let Some(operation) = remembered.into_iter().find(|operation| operation.id == *id) {
            return Some(operation.clone());
        }
        self.operation_in_journal(id).await
    }

    /// What a node holds that the routed primary doesn't have, and the commands that make it a standby again.
    pub async fn rebuild(&self, svc: &ServiceName, node: &NodeAddress) -> RebuildReply {
        let Some(desk) = self.desk(svc) else { return RebuildReply::UnknownService };
        if !desk.settings().nodes().any(|(_, known)| known.address == *node) {
            return RebuildReply::UnknownNode;
        }
        let (reply, told) = oneshot::channel();
        let request = RebuildRequest { node: node.clone(), reply };
        let asked = async { desk.rebuilds.send(request).await.ok().map(|()| told)?.await.ok() };
        match timeout_at(Instant::now() + TAKE_UP, asked).await {
            Ok(Some(Ok(rebuild))) => RebuildReply::Told(rebuild),
            Ok(Some(Err(error))) => RebuildReply::Refused(error),
            Ok(None) | Err(_) => RebuildReply::Late,
        }
    }

    /// Number of the journal's last record, and the hash that vouches for all of it.
    pub fn head(&self) -> (u64, String) {
        let Condition { seq, hash, .. } = self.condition();
        (seq, hash)
    }

    /// How the journal stands.
    pub fn condition(&self) -> Condition {
        self.shared.coordinator.condition()
    }

    /// Events from now on, and those after `last` (a `Last-Event-ID`) that are still remembered.
    pub fn follow(&self, last: Option<u64>) -> Follower {
        self.shared.feed.follow(last)
    }

    /// Reads the configuration file again and applies it live: one line a change. Or nothing changed, and one line a
    /// problem (`file:line:col: error: message` where it is the file's).
    pub async fn reload(&self, actor: &str) -> Result<Vec<String>, Vec<String>> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Reload { actor: actor.to_owned(), reply };
        if self.shared.requests.send(request).await.is_err() {
            return Err(vec![STOPPING.to_owned()]);
        }
        answer.await.unwrap_or_else(|_| Err(vec![STOPPING.to_owned()]))
    }

    /// The configuration in force. It holds secrets: to be shown is [`Self::config`].
    pub fn configuration(&self) -> Arc<Config> {
        self.shared.config.load_full()
    }

    /// Why the configuration file that was read last is not in force, if it isn't.
    pub fn config_problem(&self) -> Option<Arc<String>> {
        self.shared.config_problem.load_full()
    }

    /// The configuration in force, with every default, without secrets.
    pub fn config(&self) -> serde_json::Value {
        super::effective::json(&self.shared.config.load())
    }

    /// Whether the control loop ran within `limit`.
    pub fn alive(&self, limit: Duration) -> bool {
        self.shared.pulse.age() <= limit
    }

    /// Whether some service can be served and the process isn't stopping.
    pub fn ready(&self) -> bool {
        !self.shutting_down()
            && self.shared.desks.load().iter().any(|desk| {
                let view = desk.view();
                view.route.is_some() && matches!(view.mode, Mode::Open | Mode::ReadOnly)
            })
    }

    /// Whether SIGTERM came.
    pub fn shutting_down(&self) -> bool {
        self.shared.stopping.load(Relaxed)
    }

    /// Says that the process stops: readiness is false from now on.
    pub fn begin_shutdown(&self) {
        self.shared.stopping.store(true, Relaxed);
    }

    /// Ends control: the last record is written, the drivers end. What runs is continued by the next start.
    pub async fn stop(&self) {
        let (reply, done) = oneshot::channel();
        if self.shared.requests.send(Request::Stop { reply }).await.is_ok() {
            let _ = done.await;
        }
    }

    /// The service, with what is wrong with the whole process in its note: nobody should need to look elsewhere.
    fn view(&self, desk: &Desk) -> ServiceView {
        let mut view = desk.view();
        if let Some(problem) = &*self.shared.config_problem.load() {
            let gap = if view.note.is_empty() { "" } else { "; " };
            view.note =
                format!("{}{gap}the configuration file was refused, the old one is in force: {problem}", view.note);
        }
        view
    }

    pub(super) fn desk(&self, name: &ServiceName) -> Option<Arc<Desk>> {
        self.shared.desks.load().iter().find(|desk| desk.name == *name).cloned()
    }
}

/// The cluster that a command names.
fn cluster_of(command: &Command) -> Option<&ClusterName> {
    match command {
        Command::Switchover { to, .. } | Command::Failover { to, .. } => to.as_ref(),
        Command::Drain(cluster) | Command::Restore(cluster) => Some(cluster),
        Command::Pause(_) | Command::Resume | Command::Mode(_) | Command::Approve(_) | Command::Withdraw(_) => None,
    }
}
