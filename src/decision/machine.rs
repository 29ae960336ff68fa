//! The machine of one service: takes events in, keeps what it knows, hands effects out.
//!
//! Inputs: events with their time. Outputs: effects. This file holds the state and the dispatch; what is decided stands
//! in its neighbours, one concern a file. It never reads a clock.

use super::{
    Effect, Event, Now, Ticket,
    health::{FitnessRead, NodeState},
    history::{Served, Strange},
    inquiry::Alert,
    pending::{Pending, Then},
    switch::Switch,
    upkeep::Disk,
};
use crate::{
    config::{Replication, Service},
    model::{
        action::Action,
        name::{ClusterName, NodeAddress, OperationId, ServiceName},
        operation::Operation,
        record::{Change, Draft, Record, RecordKind},
        route::{Mode, Readying, Route, Target},
        signal::{Signal, StuckSession},
        state::ServiceState,
    },
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How often a node's fitness is read besides the times when a switch asks.
const FITNESS_EVERY: Duration = Duration::from_secs(10);
/// The same of a whole cluster, which is more to read: it describes each of its indices.
const FITNESS_OF_WHOLE: Duration = Duration::from_mins(1);
/// Between two tries of something of its own that was refused or failed: the journal's disk was full, a node was away.
pub(super) const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How many changes are kept while the journal can't be written: more than a switch has.
const UNWRITTEN: usize = 64;
/// Signals of live traffic start a probe at once, but not more often than this.
const PROBE_AGAIN: Duration = Duration::from_millis(20);

/// The decision core of one service.
///
/// The driver owns one for each service, calls [`Machine::start`] once, then [`Machine::step`] for each event, and
/// carries the effects out in their order. The board begins with `Route::default()` (closed, epoch 0); each route comes
/// by [`Effect::Publish`].
#[derive(Debug)]
pub struct Machine {
    pub(super) svc: ServiceName,
    pub(super) settings: Arc<Service>,
    pub(super) workers: usize,
    /// The fold of what is durable.
    pub(super) durable: ServiceState,
    /// What the workers were shown last.
    pub(super) route: Route,
    pub(super) nodes: BTreeMap<NodeAddress, NodeState>,
    /// Until the first route is published.
    pub(super) starting: bool,
    pub(super) switch: Option<Box<Switch>>,
    pub(super) pending: BTreeMap<Ticket, Pending>,
    pub(super) in_flight: u64,
    pub(super) stuck: Vec<StuckSession>,
    /// Whether the journal could be written the last time.
    pub(super) disk: Disk,
    /// The routed primary holds another history than the one that was served.
    pub(super) strange: Option<Strange>,
    /// The routed primary's process as it was served.
    pub(super) served: Option<Served>,
    /// The process at the routed node that may be served, as judged last; empty while none is known.
    pub(super) admitted: String,
    /// The process that answers as the routed primary and wasn't served yet, and since when.
    pub(super) judging: Option<(String, Duration)>,
    /// Why no primary can be told, in words; empty when one is known.
    pub(super) unclear: String,
    /// The mode that requests would have, while the alarm holds them.
    pub(super) shielded: Option<Mode>,
    /// What is wrong with the primary, and why nothing was done about it.
    pub(super) alert: Alert,
    /// Since when each parked standby is known to be.
    pub(super) parked_since: BTreeMap<NodeAddress, Duration>,
    /// When a standby may be parked or unparked again.
    pub(super) park_again: BTreeMap<NodeAddress, Duration>,
    /// Until when a node that failed as a primary isn't promoted again by ourselves.
    pub(super) cooling_until: BTreeMap<NodeAddress, Duration>,
    /// When a planned switch that nobody ordered may be tried again.
    pub(super) plan_again: Duration,
    /// When the route moved last.
    pub(super) moved_at: Duration,
    /// Our own thread stood still: no decision of our own before that.
    pub(super) tilted_until: Duration,
    /// The last step's time.
    pub(super) stepped_at: Duration,
    /// When the number of items that are served may be written down again.
    pub(super) count_again: Duration,
    /// When an adoption may be tried again.
    pub(super) not_before: Duration,
    /// When a clean-up may be tried again.
    pub(super) clean_up_at: Duration,
    /// What the state holds and the journal doesn't: a flip and an end have one record each, so only these are written again.
    pub(super) unwritten: Vec<Change>,
    /// When that is tried again.
    pub(super) write_again: Duration,
    /// What stopped the last clean-up of a fence, in words.
    pub(super) return_error: String,
    /// Since when each standby follows another of our nodes than the routed one.
    pub(super) stray_since: BTreeMap<NodeAddress, Duration>,
    /// When strays may be told again.
    pub(super) gather_at: Duration,
    /// What stopped the last try to make a stray follow, in words.
    pub(super) stray_errors: BTreeMap<NodeAddress, String>,
    /// The number of the last operation, with those that aren't durable yet.
    pub(super) numbered: u64,
    /// Orders that wait for new readings of the nodes.
    pub(super) asked: Vec<super::asking::Asked>,
    tickets: u64,
    effects: Vec<Effect>,
}

impl Machine {
    /// A machine that continues from the journal's fold. `workers` is how many workers must acknowledge a hold.
    pub fn new(settings: Arc<Service>, durable: ServiceState, workers: usize) -> Self {
        let mut machine = Self {
            svc: settings.name.as_str().into(),
            settings,
            workers,
            numbered: durable.numbered,
            strange: durable.estranged.clone().map(|(run_id, text)| Strange { run_id, text }),
            durable,
            route: Route::default(),
            nodes: BTreeMap::new(),
            starting: true,
            switch: None,
            pending: BTreeMap::new(),
            in_flight: 0,
            stuck: Vec::new(),
            disk: Disk::default(),
            served: None,
            admitted: String::new(),
            judging: None,
            unclear: String::new(),
            shielded: None,
            alert: Alert::default(),
            parked_since: BTreeMap::new(),
            park_again: BTreeMap::new(),
            cooling_until: BTreeMap::new(),
            plan_again: Duration::ZERO,
            moved_at: Duration::ZERO,
            tilted_until: Duration::ZERO,
            stepped_at: Duration::ZERO,
            count_again: Duration::ZERO,
            not_before: Duration::ZERO,
            clean_up_at: Duration::ZERO,
            unwritten: Vec::new(),
            write_again: Duration::ZERO,
            return_error: String::new(),
            stray_since: BTreeMap::new(),
            gather_at: Duration::ZERO,
            stray_errors: BTreeMap::new(),
            asked: Vec::new(),
            tickets: 0,
            effects: Vec::new(),
        };
        machine.know_nodes();
        machine
    }

    /// The first effects: what a restart must publish at once and read first. Called once, before any step.
    pub fn start(&mut self, now: Now) -> Vec<Effect> {
        for node in self.nodes.keys() {
            self.effects.push(Effect::Probe { node: node.clone() });
        }
        (self.stepped_at, self.moved_at) = (now.mono, now.mono);
        self.recall_failures(now);
        let routed = self.durable.route.target.as_ref().map(|target| &target.node);
        let silenced = self.durable.silenced.as_ref().is_some_and(|silenced| Some(&silenced.node) == routed);
        self.alert.proven = silenced && !self.durable.parked.is_empty();
        self.recover(now);
        self.finish()
    }

    /// Takes one event in and says what to do.
    pub fn step(&mut self, event: Event, now: Now) -> Vec<Effect> {
        self.notice_pause(now);
        match event {
            Event::Observed { node, observation } => {
                let settings = Arc::clone(&self.settings);
                if let Some(state) = self.nodes.get_mut(&node) {
                    state.observe(observation, now.mono, &settings.health);
                }
            }
            Event::Fitness { node, fitness, differences } => {
                let comparable = self.routed_node().is_some_and(|node| node.fresh().is_some());
                if let Some(state) = self.nodes.get_mut(&node) {
                    let result = fitness.map_err(|error| error.detail);
                    // What differed from a primary that is gone can't be read again.
                    let before = state.fitness.take().filter(|_| !comparable).map(|read| read.differences);
                    let differences = before.unwrap_or(differences);
                    state.fitness = Some(FitnessRead { at: now.mono, result, differences });
                }
            }
            Event::Signal(signal) => self.signalled(signal, now),
            Event::Counted { in_flight, stuck } => (self.in_flight, self.stuck) = (in_flight, stuck),
            Event::Ordered { ticket, order } => self.ordered(ticket, &order, now),
            Event::Written { ticket, result } => self.written(ticket, result, now),
            Event::Acted { ticket, result } => self.acted(ticket, result, now),
            Event::Tick => self.refresh_fitness(now),
            Event::Configured(settings) => {
                self.settings = settings;
                self.know_nodes();
            }
        }
        self.take_asked(now);
        self.advance_switch(now);
        self.watch_waiting(now);
        if self.switch.is_none() {
            self.watch_roles(now);
        }
        if self.switch.is_none() {
            self.watch_primary(now);
        }
        self.clean_up(now);
        if self.switch.is_none() {
            self.gather(now);
            self.write_late(now);
        }
        self.finish()
    }

    /// The route in force, as last published.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// An operation that runs or is among the last that ended.
    pub fn operation(&self, id: &OperationId) -> Option<&Operation> {
        let running = self.switch.as_ref().map(|switch| &switch.operation).filter(|operation| operation.id == *id);
        running.or_else(|| self.durable.ended.iter().rev().find(|operation| operation.id == *id))
    }

    fn finish(&mut self) -> Vec<Effect> {
        #[cfg(debug_assertions)]
        self.check_invariants();
        std::mem::take(&mut self.effects)
    }

    /// Nodes of the configuration; what is known of those that stay is kept.
    fn know_nodes(&mut self) {
        let mut before = std::mem::take(&mut self.nodes);
        for (cluster, node) in self.settings.endpoints() {
            let address = NodeAddress::from(node.address.as_str());
            let mut state = before.remove(&address).unwrap_or_else(|| NodeState::new("".into(), None));
            state.cluster = ClusterName::from(cluster.name.as_str());
            state.replicate_from.clone_from(&node.replicate_from);
            self.nodes.insert(address, state);
        }
    }

    fn signalled(&mut self, signal: Signal, now: Now) {
        self.hear(&signal, now);
        match signal {
            Signal::Refused(node)
            | Signal::Reset(node)
            | Signal::TimedOut(node)
            | Signal::WrongRole(node)
            | Signal::Stranger(node) => {
                let endpoint = self.settings.endpoint_of(&node).unwrap_or(node);
                self.probe(&endpoint, now);
            }
            answer => {
                if let Some(switch) = self.switch.as_mut() {
                    switch.acknowledged(&answer);
                }
            }
        }
    }

    fn refresh_fitness(&mut self, now: Now) {
        let every = if self.settings.serves_as_whole() { FITNESS_OF_WHOLE } else { FITNESS_EVERY };
        let due: Vec<NodeAddress> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.fresh().is_some())
            .filter(|(_, node)| node.fitness_asked.is_none_or(|asked| now.mono >= asked + every))
            .map(|(address, _)| address.clone())
            .collect();
        for node in &due {
            self.read_fitness(node, now);
        }
    }

    // The ways to have an effect.

    #[cfg(debug_assertions)]
    pub(super) fn effects(&self) -> &[Effect] {
        &self.effects
    }

    pub(super) fn emit(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    fn ticket(&mut self, pending: Pending) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.pending.insert(ticket, pending);
        ticket
    }

    pub(super) fn write(&mut self, drafts: Vec<Draft>, then: Then) {
        let ticket = self.ticket(Pending::Write { drafts: drafts.clone(), then });
        self.emit(Effect::Write { ticket, drafts });
    }

    pub(super) fn act(&mut self, action: Action, limit: Duration, pending: Pending) -> Ticket {
        let ticket = self.ticket(pending);
        self.emit(Effect::Act { ticket, action, limit });
        ticket
    }

    pub(super) fn publish(&mut self, route: Route, next: Option<(Target, Readying)>, cut_sessions: bool) {
        debug_assert!(route.epoch >= self.route.epoch, "an epoch never goes backward");
        if self.route.target != route.target {
            self.admitted = route.target.as_ref().map_or_else(String::new, |target| self.process_at(target));
            if !self.starting {
                (self.served, self.strange) = (None, None);
            }
        }
        self.route = route.clone();
        self.shielded = None;
        self.starting = false;
        self.emit(Effect::Publish { route, next, cut_sessions, slow: None });
    }

    pub(super) fn probe(&mut self, node: &NodeAddress, now: Now) {
        let Some(state) = self.nodes.get_mut(node) else { return };
        if state.probe_asked.is_none_or(|asked| now.mono >= asked + PROBE_AGAIN) {
            state.probe_asked = Some(now.mono);
            self.emit(Effect::Probe { node: node.clone() });
        }
    }

    pub(super) fn read_fitness(&mut self, node: &NodeAddress, now: Now) {
        if let Some(state) = self.nodes.get_mut(node) {
            state.fitness_asked = Some(now.mono);
            self.emit(Effect::ReadFitness { node: node.clone() });
        }
    }

    /// A draft of this service's journal, by Pointsman itself.
    pub(super) fn draft(&self, kind: RecordKind, change: Change, reason: impl Into<String>) -> Draft {
        let epoch = match &change {
            Change::Routed { route } => route.epoch,
            _ => self.route.epoch.max(self.durable.route.epoch),
        };
        Draft {
            svc: Some(self.svc.clone()),
            kind,
            actor: "pointsman".into(),
            reason: reason.into(),
            epoch: Some(epoch),
            change,
        }
    }

    /// Folds drafts in that could not be made durable, where the operator overrode the guard `journal`.
    pub(super) fn fold(&mut self, drafts: Vec<Draft>, now: Now) {
        self.write_again = now.mono + TRY_AGAIN;
        self.unwritten.extend(drafts.iter().map(|draft| draft.change.clone()));
        self.unwritten.drain(..self.unwritten.len().saturating_sub(UNWRITTEN));
        for draft in drafts {
            let Draft { svc, kind, actor, reason, epoch, change: detail } = draft;
            self.learn(&Record { seq: 0, time: now.wall, svc, kind, actor, reason, epoch, detail });
        }
    }

    // Small questions that every concern asks.

    pub(super) fn managed(&self) -> bool {
        self.settings.replication == Replication::Managed
    }

    /// Somebody else moves the roles: they are followed.
    pub(super) fn external(&self) -> bool {
        self.settings.replication == Replication::External
    }

    /// The node that the route in force names; before there is one, the durable route's.
    pub(super) fn routed(&self) -> Option<&Target> {
        if self.starting { self.durable.route.target.as_ref() } else { self.route.target.as_ref() }
    }

    pub(super) fn routed_node(&self) -> Option<&NodeState> {
        self.routed().and_then(|target| self.nodes.get(&target.node))
    }

    /// How long one ordinary action at a node may take.
    pub(super) fn act_limit(&self) -> Duration {
        (self.settings.health.timeout * 2).max(Duration::from_secs(1))
    }
}
