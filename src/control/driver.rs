//! The driver of one service: the only task that touches its decision core.
//!
//! Inputs: what watchers saw, the workers' signals, orders, time, a changed configuration, the ends of writes and actions.
//! Outputs: the core's effects, carried out in their order. It never decides and never waits inside a step: whatever takes
//! time runs in a task of its own and comes back through the inbox.

use super::{
    crash,
    desk::{Desk, OrderRequest, RebuildRequest},
    effects::{self, Job},
    feed::{Event as Shown, Feed},
    orders::Orders,
    peers,
    reads::Reads,
    recorder::Recorder,
    said,
    watch::{Seen, Watchers},
};
use crate::{
    config::Service,
    decision::{Effect, Event, Machine, Now, Ticket},
    model::{
        action::Done,
        error::StoreError,
        name::NodeAddress,
        observation::Peer,
        record::Record,
        route::{Mode, Readying, Target},
        signal::Signal,
        view::ServiceView,
    },
    route::View,
    store::Store,
    telemetry::Metrics,
};
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep_until},
};

/// How many results may wait for the driver; those who bring more wait.
pub(super) const INBOX: usize = 256;
/// A service is shown to followers at least so often while only its measurements change.
const SHOW_MEASUREMENTS: Duration = Duration::from_secs(1);
/// How long to sleep when nothing asks to be woken; the ticks come long before.
const IDLE: Duration = Duration::from_hours(1);
/// How many wake-ups are remembered; a core that asks for more is woken by its ticks.
const WAKES: usize = 256;

/// Something that ended, on its way to the driver.
pub(super) enum Happened {
    /// A watcher saw something.
    Seen(Seen),
    /// Records became durable, or could not.
    Written(Ticket, Result<Vec<Record>, String>),
    /// An action ended.
    Acted(Ticket, Result<Done, StoreError>),
}

/// A changed configuration for this service.
pub(super) struct Change {
    /// The new settings.
    pub settings: Arc<Service>,
    /// The store built from them.
    pub store: Arc<dyn Store>,
}

/// What a driver reads besides its inbox.
pub(super) struct Inputs {
    /// From the workers.
    pub signals: mpsc::Receiver<Signal>,
    /// From the workers, of the read port.
    pub read_signals: mpsc::Receiver<Signal>,
    /// From operators.
    pub orders: mpsc::Receiver<OrderRequest>,
    /// From operators who ask what only the store can tell.
    pub rebuilds: mpsc::Receiver<RebuildRequest>,
    /// From the supervisor; its end ends the driver.
    pub changes: mpsc::Receiver<Change>,
}

/// The driver of one service.
pub(super) struct Driver {
    desk: Arc<Desk>,
    machine: Machine,
    settings: Arc<Service>,
    store: Arc<dyn Store>,
    watchers: Watchers,
    reads: Option<Reads>,
    orders: Orders,
    jobs: mpsc::Sender<Job>,
    results: mpsc::Sender<Happened>,
    inbox: mpsc::Receiver<Happened>,
    feed: Arc<Feed>,
    start: Instant,
    ticks: Interval,
    wakes: BTreeSet<Duration>,
    shown_at: Duration,
}

impl Driver {
    /// A driver for a service whose core is `machine`; `start` is the process's.
    pub fn new(
        desk: Arc<Desk>,
        machine: Machine,
        store: Arc<dyn Store>,
        recorder: Recorder,
        metrics: Metrics,
        start: Instant,
    ) -> Self {
        let settings = desk.settings();
        let (results, inbox) = mpsc::channel(INBOX);
        let feed = recorder.feed().clone();
        let orders = Orders::new(desk.clone(), recorder.coordinator().clone(), feed.clone(), metrics);
        let jobs = effects::writer(recorder, results.clone());
        let watchers = Watchers::new(&store, &settings, &desk.board, &results);
        let reads = desk.reads.clone().map(|board| Reads::new(desk.name.clone(), board));
        Self {
            desk,
            reads,
            machine,
            ticks: rhythm(settings.health.interval),
            settings,
            store,
            watchers,
            orders,
            jobs,
            results,
            inbox,
            feed,
            start,
            wakes: BTreeSet::new(),
            shown_at: Duration::ZERO,
        }
    }

    /// Runs until the supervisor drops the service.
    pub async fn run(mut self, mut inputs: Inputs) {
        self.show_peers(&[]);
        let effects = self.machine.start(self.now());
        self.carry_out(effects).await;
        loop {
            let wake = self.wakes.first().map_or(self.start + IDLE, |at| self.start + *at);
            tokio::select! {
                change = inputs.changes.recv() => match change {
                    Some(change) => self.changed(change).await,
                    None => return,
                },
                Some(signal) = inputs.signals.recv() => self.step(Event::Signal(signal)).await,
                Some(signal) = inputs.read_signals.recv() => self.heard_by_reads(signal).await,
                Some(happened) = self.inbox.recv() => self.happened(happened).await,
                Some(request) = inputs.orders.recv() => self.ordered(request).await,
                Some(request) = inputs.rebuilds.recv() => effects::rebuild(self.store.clone(), self.routed(), request),
                _ = self.ticks.tick() => self.tick().await,
                () = sleep_until(wake) => self.tick().await,
            }
        }
    }

    fn routed(&self) -> Option<NodeAddress> {
        self.machine.route().target.as_ref().map(|target| target.node.clone())
    }

    fn now(&self) -> Now {
        Now { mono: self.start.elapsed(), wall: jiff::Timestamp::now() }
    }

    /// One step. The workers' counts come first, so that no decision rests on those of the last tick: a session may have
    /// become immovable since.
    async fn step(&mut self, event: Event) {
        let board = &self.desk.board;
        let counted = Event::Counted { in_flight: board.sum(|gauge| &gauge.in_flight), stuck: board.stuck() };
        for event in [counted, event] {
            let effects = self.machine.step(event, self.now());
            self.carry_out(effects).await;
        }
        self.admit();
        self.lead_reads();
        self.show();
    }

    /// A worker's signal from the read port. Of a node's trouble the core hears as of any other sign, which has the node probed;
    /// answers are for the read route alone, and no evidence or acknowledgement of anything else.
    async fn heard_by_reads(&mut self, signal: Signal) {
        match self.reads.as_mut().and_then(|reads| reads.hears(signal)) {
            Some(sign) => self.step(Event::Signal(sign)).await,
            None => self.lead_reads(),
        }
    }

    fn lead_reads(&mut self) {
        let now = self.now();
        if let Some(reads) = &mut self.reads {
            reads.follow(&self.machine, &self.settings, now);
        }
    }

    /// Tells the workers when another process may be served than they know of.
    fn admit(&self) {
        let view = self.desk.board.view();
        let process = self.machine.process();
        if view.process.as_deref() != process {
            self.desk.board.publish(View { process: process.map(Into::into), ..View::clone(&view) });
        }
    }

    /// Tells the workers what a probe found of the nodes of a cluster that serves as a whole.
    fn show_peers(&self, found: &[Peer]) {
        let view = self.desk.board.view();
        if let Some(peers) = peers::after(&self.settings, &view.peers, found) {
            self.desk.board.publish(View { peers, ..View::clone(&view) });
        }
    }

    async fn tick(&mut self) {
        let now = self.start.elapsed();
        self.wakes = self.wakes.split_off(&(now + Duration::from_nanos(1)));
        self.step(Event::Tick).await;
    }

    async fn happened(&mut self, happened: Happened) {
        match happened {
            Happened::Seen(Seen::Probe(node, observation)) => {
                self.show_peers(&observation.peers);
                self.step(Event::Observed { node, observation }).await;
            }
            Happened::Seen(Seen::Fitness(node, fitness, differences)) => {
                self.step(Event::Fitness { node, fitness, differences }).await;
            }
            Happened::Written(ticket, result) => self.step(Event::Written { ticket, result }).await,
            Happened::Acted(ticket, result) => self.step(Event::Acted { ticket, result }).await,
        }
    }

    async fn ordered(&mut self, request: OrderRequest) {
        if let Some((ticket, order)) = self.orders.take(request) {
            self.step(Event::Ordered { ticket, order }).await;
        }
    }

    /// A reload: the watchers begin anew with the new store and rhythm; the core keeps its state and looks at the new
    /// settings; the workers see them with the route they have.
    async fn changed(&mut self, change: Change) {
        self.settings = change.settings.clone();
        self.store = change.store;
        self.watchers = Watchers::new(&self.store, &self.settings, &self.desk.board, &self.results);
        self.ticks = rhythm(self.settings.health.interval);
        let view = View::clone(&self.desk.board.view());
        self.desk.board.publish(View { settings: change.settings.clone(), ..view });
        self.show_peers(&[]);
        self.step(Event::Configured(change.settings)).await;
    }

    async fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut along = None;
        for effect in effects {
            match effect {
                Effect::Write { ticket, drafts } => {
                    self.orders.overridden(&drafts);
                    self.write(Job::core(ticket, drafts, &mut along)).await;
                }
                Effect::Publish { route, next, cut_sessions, slow } => {
                    let process = self.machine.process().map(Into::into);
                    let settings = self.settings.clone();
                    let peers = self.desk.board.view().peers.clone();
                    self.publish(View { route, process, next, cut_sessions, slow, peers, settings });
                }
                Effect::Act { ticket, action, limit } => {
                    let about = self.desk.about();
                    effects::act(self.store.clone(), about, ticket, action, limit, self.results.clone());
                }
                Effect::Probe { node } => self.watchers.probe(&node),
                Effect::ReadFitness { node } => self.watchers.fitness(&node),
                Effect::Answer { ticket, operation } => {
                    if let Some(job) = self.orders.answer(ticket, *operation) {
                        self.write(job).await;
                    }
                }
                Effect::Progress { operation } => self.orders.progress(*operation),
                Effect::Accepted { ticket, id } => {
                    crash::arm();
                    along = self.orders.accepted(ticket, id);
                }
                Effect::Wake { at } => {
                    if self.wakes.len() < WAKES {
                        // The timer's own step: a core that asks for the past is not called in a tight loop.
                        self.wakes.insert(at.max(self.start.elapsed() + Duration::from_millis(1)));
                    }
                }
            }
        }
        if let Some(job) = along {
            self.write(job).await;
        }
    }

    /// Hands a job to the writer. It waits only if the journal's disk is so slow that dozens of writes are queued.
    async fn write(&self, job: Job) {
        let _ = self.jobs.send(job).await;
    }

    fn publish(&self, view: View) {
        let (route, name) = (&view.route, publish_name(view.route.mode, view.next.as_ref()));
        crash::point("before", "publish", || name.clone());
        tracing::info!(
            svc = %self.desk.name, epoch = %route.epoch, op = self.desk.about().op, route = name,
            node = route.target.as_ref().map_or("", |target| target.node.as_str()), "published"
        );
        if let Some(slow) = view.slow {
            tracing::info!(svc = %self.desk.name, slow_ms = slow.as_millis(), "each write waits, so that the new node catches up");
        }
        self.desk.board.publish(view);
        crash::point("after", "publish", || name);
    }

    /// Shows the service to the handles, and to followers when more than measurements changed or a second went by.
    fn show(&mut self) {
        let now = self.now();
        let read_route = self.reads.as_ref().and_then(Reads::shown);
        let view = ServiceView { read_route, ..self.machine.view(now) };
        let before = self.desk.shown.load_full();
        let due = now.mono >= self.shown_at + SHOW_MEASUREMENTS && *before != view;
        let changed = due || without_measurements(&before) != without_measurements(&view);
        let view = Arc::new(view);
        self.desk.shown.store(view.clone());
        self.desk.steps.fetch_add(1, Relaxed);
        if changed {
            said::changes(&before, &view);
            self.shown_at = now.mono;
            // With the workers' counts, as whoever asks for the service gets it.
            self.feed.publish(Shown::Service(Arc::new(self.desk.view())));
        }
    }
}

fn rhythm(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// What a publication is called in logs and crash points: the mode, and how far the next target is to be made ready.
fn publish_name(mode: Mode, next: Option<&(Target, Readying)>) -> String {
    let next = match next {
        None => "",
        Some((_, Readying::Warm)) => "_warm",
        Some((_, Readying::HandOver)) => "_hand_over",
    };
    format!("{}{next}", mode.as_str())
}

/// The view without what changes with each probe of a healthy service.
fn without_measurements(view: &ServiceView) -> ServiceView {
    let mut view = view.clone();
    for cluster in &mut view.clusters {
        cluster.lag_seconds = None;
        cluster.delay_seconds = None;
        cluster.distance = None;
        for node in &mut cluster.nodes {
            node.lag_seconds = None;
            node.probe_seconds = None;
        }
    }
    view
}
