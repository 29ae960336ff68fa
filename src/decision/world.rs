//! A small deterministic world around a machine: nodes that carry actions out, workers that acknowledge, a journal that
//! keeps what was durable, and faults by seed. It checks the invariants as things happen, not only at the end.

mod dice;
mod node;
mod nodes;
mod settings;

pub(super) use dice::Dice;
pub(super) use node::Node;
pub(super) use settings::settings;

use super::{Effect, Event, Machine, Now, Ticket};
use crate::{
    config,
    model::{
        action::Action,
        error::{Side, StoreError},
        name::NodeAddress,
        observation::Fitness,
        operation::{Command, Operation, Order},
        record::{Draft, Record},
        route::{Epoch, Mode, Readying, Route, Target},
        signal::{Signal, StuckSession},
        state::{ServiceState, State},
    },
};
use jiff::Timestamp;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How often what goes wrong, in percent.
#[derive(Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) action_fails: u64,
    pub(super) action_unknown: u64,
    pub(super) write_fails: u64,
    pub(super) worker_deaf: u64,
    /// Each 20 ms, a primary sends two heartbeats.
    pub(super) pings: u64,
    /// The step after which the process is killed.
    pub(super) crash_at: Option<u64>,
}

#[derive(Clone, Default)]
struct Worker {
    route: Route,
    next: Option<(Target, Readying)>,
    /// The hold under which it had nothing in flight any more.
    drained: Option<Epoch>,
}

enum Happening {
    Event(Event),
    Probe(NodeAddress),
    Rhythm,
    Perform(Ticket, Action),
    Fsync(Ticket, Vec<Draft>),
    Shown(usize, Route, Option<(Target, Readying)>),
    Report(usize),
}

pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) settings: Arc<config::Service>,
    pub(super) journal: Vec<Record>,
    pub(super) nodes: BTreeMap<NodeAddress, Node>,
    pub(super) answers: Vec<(Ticket, Operation)>,
    pub(super) accepted: Vec<Ticket>,
    pub(super) progress: Vec<Operation>,
    pub(super) faults: Faults,
    pub(super) stuck: Vec<StuckSession>,
    /// No node answers what its fitness is.
    pub(super) deaf_to_fitness: bool,
    pub(super) steps: u64,
    pub(super) crashes: u64,
    pub(super) promotions: Vec<NodeAddress>,
    /// Every route that was open to traffic, by epoch: an epoch never names two targets.
    opened: BTreeMap<u64, Target>,
    workers: Vec<Worker>,
    dice: Dice,
    now: Duration,
    agenda: BTreeMap<(Duration, u64), Happening>,
    numbered: u64,
}

fn wall(mono: Duration) -> Timestamp {
    Timestamp::UNIX_EPOCH + mono
}

impl World {
    pub(super) fn new(seed: u64, replication: config::Replication) -> Self {
        Self::of(seed, settings(3, replication))
    }

    /// Two clusters that serve as a whole, of two nodes each: a:1 and a:2, b:1 and b:2.
    pub(super) fn whole(seed: u64) -> Self {
        Self::of(seed, settings::whole())
    }

    fn of(seed: u64, settings: config::Service) -> Self {
        let settings = Arc::new(settings);
        let independent = settings.replication == config::Replication::None;
        let follows = |name: &str| (name != "a:1" && !independent).then(|| "a:1".into());
        let names = settings.nodes().map(|(_, node)| node.address.clone());
        let nodes = names.map(|name| (name.clone(), Node::new(name.as_str(), follows(name.as_str()))));
        let nodes: BTreeMap<NodeAddress, Node> = nodes.collect();
        let mut world = Self {
            machine: Machine::new(Arc::clone(&settings), ServiceState::default(), 2),
            settings,
            journal: Vec::new(),
            nodes,
            answers: Vec::new(),
            accepted: Vec::new(),
            progress: Vec::new(),
            faults: Faults::default(),
            stuck: Vec::new(),
            deaf_to_fitness: false,
            steps: 0,
            crashes: 0,
            promotions: Vec::new(),
            opened: BTreeMap::new(),
            workers: vec![Worker::default(); 2],
            dice: Dice::new(seed),
            now: Duration::from_secs(1),
            agenda: BTreeMap::new(),
            numbered: 0,
        };
        world.boot();
        world
    }

    /// The durable state, folded from the journal each time as a restart would.
    pub(super) fn durable(&self) -> ServiceState {
        let mut state = State::default();
        self.journal.iter().for_each(|record| state.apply(record));
        state.services.remove(&"cart".into()).unwrap_or_default()
    }

    pub(super) fn now(&self) -> Now {
        Now { mono: self.now, wall: wall(self.now) }
    }

    /// Starts the process from what is durable.
    pub(super) fn boot(&mut self) {
        self.machine = Machine::new(Arc::clone(&self.settings), self.durable(), self.workers.len());
        self.workers.iter_mut().for_each(|worker| *worker = Worker::default());
        let effects = self.machine.start(self.now());
        self.carry_out(effects);
        self.later(10, Happening::Rhythm);
    }

    /// Kills the process. What was on its way to a node or the disk may or may not have happened.
    fn crash(&mut self) {
        self.crashes += 1;
        for (_, happening) in std::mem::take(&mut self.agenda) {
            match happening {
                Happening::Perform(_, action) if self.dice.percent(50) => {
                    let _ = self.perform(&action);
                }
                Happening::Fsync(_, drafts) => {
                    let kept = self.dice.below(drafts.len() as u64 + 1);
                    let kept = usize::try_from(kept).unwrap_or(0);
                    self.append(&drafts[..kept]);
                }
                _ => {}
            }
        }
        self.boot();
    }

    fn later(&mut self, within_ms: u64, happening: Happening) {
        let after = Duration::from_micros(100 + self.dice.below(within_ms * 1000));
        self.numbered += 1;
        self.agenda.insert((self.now + after, self.numbered), happening);
    }

    pub(super) fn order(&mut self, ticket: u64, command: Command) {
        let order = Order::new(command, "uid:0", "test");
        self.order_fully(ticket, order);
    }

    pub(super) fn order_fully(&mut self, ticket: u64, order: Order) {
        self.step(Event::Ordered { ticket: Ticket(1_000_000 + ticket), order });
    }

    pub(super) fn answer(&self, ticket: u64) -> Option<&Operation> {
        self.answers.iter().find(|(of, _)| of.0 == 1_000_000 + ticket).map(|(_, operation)| operation)
    }

    /// Runs until `done`, at most `limit` of the world's own time.
    pub(super) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !done(self) {
            let Some(next) = self.agenda.first_entry().filter(|next| next.key().0 <= end) else {
                self.now = end;
                return false;
            };
            self.now = next.key().0;
            let happening = next.remove();
            self.happen(happening);
        }
        true
    }

    pub(super) fn run(&mut self, length: Duration) {
        self.run_until(length, |_| false);
    }

    pub(super) fn settled(&self) -> bool {
        let steady = self.machine.view(self.now()).state == crate::model::view::Standing::Steady;
        steady && self.durable().underway.is_none() && self.durable().fences.is_empty()
    }

    /// A reload with other settings; a restart comes back with them too.
    pub(super) fn reload(&mut self, settings: config::Service) {
        self.settings = Arc::new(settings);
        self.step(Event::Configured(Arc::clone(&self.settings)));
    }

    fn step(&mut self, event: Event) {
        self.steps += 1;
        let effects = self.machine.step(event, self.now());
        self.carry_out(effects);
        if self.faults.crash_at == Some(self.steps) {
            self.crash();
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Write { ticket, drafts } => self.later(3, Happening::Fsync(ticket, drafts)),
                Effect::Publish { route, next, .. } => self.published(&route, next.as_ref()),
                Effect::Act { ticket, action, .. } => self.later(3, Happening::Perform(ticket, action)),
                Effect::Probe { node } => self.later(3, Happening::Probe(node)),
                Effect::ReadFitness { .. } if self.deaf_to_fitness => {}
                Effect::ReadFitness { node } => {
                    let error = StoreError {
                        side: Side::Node,
                        retryable: true,
                        maybe_done: false,
                        detail: "no right to read".into(),
                    };
                    let good = self.nodes.get(&node).filter(|node| !node.fitness_error && node.up);
                    let differences = good.map(|node| node.differences.clone()).unwrap_or_default();
                    let read = |node: &Node| Fitness { counts: Arc::new(node.counts.clone()), ..Fitness::default() };
                    let fitness = good.map(read).ok_or(error);
                    self.later(5, Happening::Event(Event::Fitness { node, fitness, differences }));
                }
                Effect::Answer { ticket, operation } => {
                    assert!(self.answers.iter().all(|(of, _)| *of != ticket), "an order is answered once");
                    self.answers.push((ticket, *operation));
                }
                Effect::Accepted { ticket, .. } => self.accepted.push(ticket),
                Effect::Progress { operation } => self.progress.push(*operation),
                Effect::Wake { at } => {
                    self.numbered += 1;
                    self.agenda.insert((at.max(self.now), self.numbered), Happening::Event(Event::Tick));
                }
            }
        }
    }

    fn published(&mut self, route: &Route, next: Option<&(Target, Readying)>) {
        if let (Mode::Open | Mode::ReadOnly, Some(target)) = (route.mode, &route.target) {
            let before = self.opened.insert(route.epoch.0, target.clone());
            assert!(before.is_none_or(|before| before == *target), "epoch {} names two targets", route.epoch);
        }
        let highest = self.opened.last_key_value().map_or(0, |(epoch, _)| *epoch);
        // What can't be written can't be remembered: with a failing disk only the old route comes back, at its old epoch.
        assert!(route.epoch.0 >= highest || self.faults.write_fails > 0, "an epoch went back, over restarts too");
        for worker in 0..self.workers.len() {
            self.later(2, Happening::Shown(worker, route.clone(), next.cloned()));
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Event(event) => self.step(event),
            Happening::Probe(node) => {
                let observation = self.observe(&node);
                self.step(Event::Observed { node, observation });
            }
            Happening::Rhythm => self.rhythm(),
            Happening::Perform(ticket, action) => {
                let result = self.try_action(&action);
                self.later(2, Happening::Event(Event::Acted { ticket, result }));
            }
            Happening::Fsync(ticket, drafts) => {
                let result = if self.dice.percent(self.faults.write_fails) {
                    Err("no space left on device".to_owned())
                } else {
                    Ok(self.append(&drafts))
                };
                self.step(Event::Written { ticket, result });
            }
            Happening::Shown(worker, route, next) => {
                let seen = &mut self.workers[worker];
                if route.epoch >= seen.route.epoch {
                    (seen.route, seen.next) = (route, next);
                    if !self.dice.percent(self.faults.worker_deaf) {
                        self.later(4, Happening::Report(worker));
                    }
                }
            }
            Happening::Report(worker) => self.report(worker),
        }
    }

    /// Probes, counts, replication and the applications' writes, every 20 ms.
    fn rhythm(&mut self) {
        let process = self.machine.process().map(str::to_owned);
        for worker in self.workers.clone() {
            if let (Mode::Open, Some(target)) = (worker.route.mode, worker.route.target)
                && let Some(node) = self.nodes.get_mut(&target.node)
                && node.up
                && node.follows.is_none()
                && !node.fenced
                && process.as_ref().is_none_or(|process| *process == node.run_id)
            {
                node.write(7);
            }
        }
        for node in self.nodes.values_mut().filter(|node| node.up && node.follows.is_none()) {
            node.position += if self.dice.percent(self.faults.pings) { 28 } else { 0 };
        }
        self.replicate();
        if self.dice.percent(20) {
            let nodes: Vec<NodeAddress> = self.nodes.keys().cloned().collect();
            for node in nodes {
                self.later(5, Happening::Probe(node));
            }
        }
        let stuck = self.stuck.clone();
        self.step(Event::Counted { in_flight: 0, stuck });
        self.step(Event::Tick);
        self.numbered += 1;
        self.agenda.retain(|_, happening| !matches!(happening, Happening::Rhythm));
        self.agenda.insert((self.now + Duration::from_millis(20), self.numbered), Happening::Rhythm);
    }

    fn report(&mut self, worker: usize) {
        let Worker { route, next, .. } = self.workers[worker].clone();
        let epoch = route.epoch;
        let mut signals = Vec::new();
        match next {
            Some((_, Readying::Warm)) => signals.push(Signal::Warm { worker, epoch }),
            Some((_, Readying::HandOver)) => signals.push(Signal::HandedOver { worker, epoch }),
            None => signals.push(Signal::Stalled { worker, epoch, longest_us: 5000 }),
        }
        // A request in flight may take a while: then the worker answers what it was asked, and is drained later.
        let drained = route.mode == Mode::Hold && self.dice.percent(50);
        if drained {
            self.workers[worker].drained = Some(epoch);
            signals.push(Signal::Drained { worker, epoch });
        } else if route.mode == Mode::Hold {
            self.later(40, Happening::Report(worker));
        }
        for signal in signals {
            self.step(Event::Signal(signal));
        }
    }

    fn append(&mut self, drafts: &[Draft]) -> Vec<Record> {
        let time = wall(self.now);
        let first = self.journal.len() as u64;
        let records: Vec<Record> = (1..)
            .zip(drafts.iter().cloned())
            .map(|(n, draft)| Record {
                seq: first + n,
                time,
                svc: draft.svc,
                kind: draft.kind,
                actor: draft.actor,
                reason: draft.reason,
                epoch: draft.epoch,
                detail: draft.change,
            })
            .collect();
        let before = self.durable().route.epoch;
        self.journal.extend(records.iter().cloned());
        assert!(self.durable().route.epoch >= before, "an epoch went back on disk");
        records
    }
}
