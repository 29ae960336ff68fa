//! Starts control on a thread of its own, keeps one driver a service, applies reloads, beats the pulse.
//!
//! Inputs: the configuration, the journal, the workshop; requests of handles. Outputs: a [`Handle`]. A driver that dies is a
//! defect: the pulse stops, `/livez` fails, and whoever runs the process restarts it; the journal knows the rest.

use super::{
    desk::{Desk, Pulse, Request, Shared},
    driver::{Change as Changed, Driver, Inputs},
    feed::Feed,
    groups::Runner,
    handle::Handle,
    keeping,
    recorder::Recorder,
    reload,
    workshop::Workshop,
};
use crate::{
    config::{Config, Service},
    coord::Coordinator,
    decision::{Machine, Now},
    model::{
        name::ServiceName,
        record::{Change, RecordKind},
        route::Route,
    },
    route::{Board, View},
    telemetry::Metrics,
};
use arc_swap::{ArcSwap, ArcSwapOption};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Duration,
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

/// How often the pulse beats.
const BEAT: Duration = Duration::from_millis(100);
/// How many orders may wait for a driver.
const ORDERS: usize = 64;

/// What control is made of.
pub struct Parts {
    /// The configuration, checked.
    pub config: Config,
    /// The journal.
    pub coordinator: Arc<dyn Coordinator>,
    /// How many workers carry traffic, each of which answers to a hold.
    pub workers: usize,
    /// Builds stores and opens listeners.
    pub workshop: Arc<dyn Workshop>,
    /// Where ends of operations and reloads are counted.
    pub metrics: Metrics,
}

/// Starts control on its own thread; returns when every service has its driver and its listeners. An error says why the
/// process can't start; nothing is left open then but what the process's end closes.
pub fn start(parts: Parts) -> Result<Handle, String> {
    let (started, ready) = std::sync::mpsc::sync_channel(1);
    let run = move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(started.send(Err(format!("the control thread has no runtime: {error}")))),
        };
        runtime.block_on(async move {
            match Supervisor::new(parts).await {
                Ok((supervisor, requests)) => {
                    let handle = Handle { shared: supervisor.shared.clone() };
                    if started.send(Ok(handle)).is_ok() {
                        supervisor.run(requests).await;
                    }
                }
                Err(error) => drop(started.send(Err(error))),
            }
        });
    };
    std::thread::Builder::new()
        .name("control".into())
        .spawn(run)
        .map_err(|error| format!("the control thread can't be started: {error}"))?;
    ready.recv().unwrap_or_else(|_| Err("the control thread ended at its start".into()))
}

struct Supervisor {
    shared: Arc<Shared>,
    recorder: Recorder,
    workshop: Arc<dyn Workshop>,
    metrics: Metrics,
    workers: usize,
    start: Instant,
    changes: BTreeMap<ServiceName, mpsc::Sender<Changed>>,
    drivers: JoinSet<ServiceName>,
}

impl Supervisor {
    async fn new(parts: Parts) -> Result<(Self, mpsc::Receiver<Request>), String> {
        let Parts { config, coordinator, workers, workshop, metrics } = parts;
        let first = u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or(0);
        let feed = Arc::new(Feed::new(first));
        let recorder = Recorder::new(coordinator.clone(), feed.clone());
        let (requests, inbox) = mpsc::channel(ORDERS);
        let (groups, group_inbox) = mpsc::channel(ORDERS);
        let services: Vec<_> = config.services.iter().cloned().map(Arc::new).collect();
        let config = Arc::new(config);
        let shared = Arc::new(Shared {
            desks: ArcSwap::default(),
            coordinator,
            feed,
            config: ArcSwap::new(config.clone()),
            config_problem: ArcSwapOption::empty(),
            pulse: Pulse::new(),
            stopping: AtomicBool::new(false),
            requests,
            groups,
            group_operations: ArcSwap::default(),
        });
        let (changes, drivers) = (BTreeMap::new(), JoinSet::new());
        let mut supervisor =
            Self { shared, recorder, workshop, metrics, workers, start: Instant::now(), changes, drivers };
        let text = format!("pointsman {} started", env!("CARGO_PKG_VERSION"));
        supervisor.recorder.note(RecordKind::Start, "pointsman", Change::Noted { text }).await;
        keeping::configured(&supervisor.recorder, &config, "pointsman", None).await;
        for service in services {
            supervisor.add(&config, &service)?;
        }
        let handle = Handle { shared: supervisor.shared.clone() };
        tokio::spawn(Runner::new(handle, supervisor.recorder.clone()).run(group_inbox));
        Ok((supervisor, inbox))
    }

    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut whole = true;
        let mut keeps = interval(keeping::EVERY);
        loop {
            tokio::select! {
                _ = beat.tick() => if whole { self.shared.pulse.beat() },
                _ = keeps.tick() => self.keep(),
                Some(request) = requests.recv() => match request {
                    Request::Reload { actor, reply } => {
                        let result = self.reload(&actor).await;
                        // A caller that went away needs no answer.
                        let _ = reply.send(result);
                    }
                    Request::Stop { reply } => {
                        let change = Change::Noted { text: "pointsman stopped".into() };
                        self.recorder.note(RecordKind::Stop, "pointsman", change).await;
                        let _ = reply.send(());
                        return;
                    }
                },
                Some(ended) = self.drivers.join_next() => whole &= self.expected(ended),
            }
        }
    }

    /// What the journal needs from time to time, in a task of its own: a slow disk must not stop the pulse.
    fn keep(&self) {
        let (recorder, config) = (self.recorder.clone(), self.shared.config.load_full());
        tokio::spawn(async move {
            keeping::retain(&recorder, &config).await;
            keeping::say_head(&recorder);
        });
    }

    /// Whether a driver ended because its service was removed.
    fn expected(&self, ended: Result<ServiceName, tokio::task::JoinError>) -> bool {
        match ended {
            Ok(name) => !self.changes.contains_key(&name),
            Err(error) => {
                tracing::error!(%error, "a driver died: the control loop no longer counts as alive");
                false
            }
        }
    }

    /// Starts one service: its store, board, listeners, driver and desk.
    fn add(&mut self, config: &Config, service: &Arc<Service>) -> Result<(), String> {
        let store = self.workshop.store(config, service)?;
        let state = self.shared.coordinator.state().services.get(&service.name).cloned().unwrap_or_default();
        let view = View::new(Route::default(), service.clone());
        let (reads, read_signals) = if service.listen_read.is_empty() {
            (None, mpsc::channel(1).1)
        } else {
            let (board, signals) = Board::for_reads(view.clone(), self.workers);
            (Some(board), signals)
        };
        let (board, signals) = Board::new(view, self.workers);
        let moved = state.last_switch;
        let machine = Machine::new(service.clone(), state, self.workers);
        let now = Now { mono: self.start.elapsed(), wall: jiff::Timestamp::now() };
        let (orders, order_inbox) = mpsc::channel(ORDERS);
        let (rebuilds, rebuild_inbox) = mpsc::channel(ORDERS);
        let desk = Arc::new(Desk {
            name: service.name.clone(),
            orders,
            rebuilds,
            board: board.clone(),
            reads: reads.clone(),
            shown: ArcSwap::from_pointee(machine.view(now)),
            operations: ArcSwap::default(),
            steps: AtomicU64::new(0),
        });
        self.workshop.open(service, &board, reads.as_ref())?;
        self.metrics.service(&service.name, service.kind, moved);
        let (changes, change_inbox) = mpsc::channel(1);
        let driver = Driver::new(desk.clone(), machine, store, self.recorder.clone(), self.metrics.clone(), self.start);
        let inputs =
            Inputs { signals, read_signals, orders: order_inbox, rebuilds: rebuild_inbox, changes: change_inbox };
        let name = service.name.clone();
        self.drivers.spawn(async move {
            driver.run(inputs).await;
            name
        });
        self.changes.insert(service.name.clone(), changes);
        let mut desks = Vec::clone(&self.shared.desks.load());
        desks.push(desk);
        self.shared.desks.store(Arc::new(desks));
        Ok(())
    }

    /// Ends one service.
    fn remove(&mut self, name: &ServiceName) {
        if let Some(service) = self.shared.config.load().services.iter().find(|service| service.name == *name) {
            self.workshop.close(service);
        }
        self.changes.remove(name);
        let desks = self.shared.desks.load();
        self.shared.desks.store(Arc::new(desks.iter().filter(|desk| desk.name != *name).cloned().collect()));
    }

    async fn reload(&mut self, actor: &str) -> Result<Vec<String>, Vec<String>> {
        match self.try_reload().await {
            Ok(changes) => {
                self.shared.config_problem.store(None);
                self.metrics.reloaded(true);
                tracing::info!(actor, changes = changes.len(), "configuration reloaded");
                let config = self.shared.config.load_full();
                keeping::configured(&self.recorder, &config, actor, Some(changes.clone())).await;
                self.keep();
                Ok(changes)
            }
            Err(problems) => {
                self.shared.config_problem.store(problems.first().cloned().map(Arc::new));
                self.metrics.reloaded(false);
                for problem in &problems {
                    tracing::error!(actor, problem, "the new configuration is refused, the old one stays");
                }
                let change = Change::ConfigurationRejected { problems: problems.clone() };
                self.recorder.note(RecordKind::Configuration, actor, change).await;
                Err(problems)
            }
        }
    }

    /// Reads, compares, builds all that is new, and only then lets go of the old.
    async fn try_reload(&mut self) -> Result<Vec<String>, Vec<String>> {
        let workshop = self.workshop.clone();
        let new = tokio::task::spawn_blocking(move || workshop.load())
            .await
            .unwrap_or_else(|error| Err(vec![format!("the configuration could not be read: {error}")]))?;
        let old = self.shared.config.load_full();
        let plan = reload::plan(&old, &new, &self.shared.coordinator.state().services)?;
        let commit = self.workshop.admin(&new.admin).map_err(|error| vec![error])?;
        let mut kept = Vec::new();
        for service in &plan.keep {
            let store = self.workshop.store(&new, service).map_err(|error| vec![error])?;
            kept.push((service.clone(), store));
        }
        self.open_all(&plan, &old, &new).map_err(|error| vec![error])?;
        for (settings, store) in kept {
            if let Some(driver) = self.changes.get(&settings.name) {
                // A driver that died was logged and fails `/livez`.
                let _ = driver.send(Changed { settings, store }).await;
            }
        }
        for name in &plan.remove {
            self.remove(name);
        }
        self.shared.config.store(Arc::new(new));
        commit();
        self.reorder();
        Ok(plan.changes)
    }

    /// Opens what is new and changes what stays; at the first error everything is put back.
    fn open_all(&mut self, plan: &reload::Plan, old: &Config, new: &Config) -> Result<(), String> {
        let mut changed = Vec::new();
        for service in &plan.keep {
            if let Err(error) = self.workshop.change(service) {
                self.put_back(&changed, &[], old);
                return Err(error);
            }
            changed.push(service.name.clone());
        }
        let mut added = Vec::new();
        for service in &plan.add {
            if let Err(error) = self.add(new, service) {
                self.put_back(&changed, &added, old);
                return Err(error);
            }
            added.push(service.clone());
        }
        Ok(())
    }

    fn put_back(&mut self, changed: &[ServiceName], added: &[Arc<Service>], old: &Config) {
        for service in added {
            self.workshop.close(service);
            self.remove(&service.name);
        }
        for service in old.services.iter().filter(|service| changed.contains(&service.name)) {
            if let Err(error) = self.workshop.change(service) {
                tracing::error!(svc = %service.name, error, "the old settings could not be put back");
            }
        }
    }

    /// The desks in the order of the configuration.
    fn reorder(&self) {
        let config = self.shared.config.load();
        let place = |desk: &Arc<Desk>| config.services.iter().position(|service| service.name == desk.name);
        let mut desks = Vec::clone(&self.shared.desks.load());
        desks.sort_by_key(place);
        self.shared.desks.store(Arc::new(desks));
    }
}
