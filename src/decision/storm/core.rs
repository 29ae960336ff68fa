//! Pointsman's own process: the machine, its journal, how it is started, killed and paused.

use super::{
    Item, MS, SECOND, Sabotage, Storm, Us, WORKERS,
    workers::{Shown, Worker},
};
use crate::{
    decision::{Effect, Event, Machine, Now, Ticket},
    model::{
        action::Action,
        guard::Guard,
        observation::Reach,
        operation::{Command, Operation, Order},
        record::{Draft, Record},
        state::{ServiceState, State},
    },
};
use jiff::{SignedDuration, Timestamp};
use std::{sync::Arc, time::Duration};

/// How often the core hears that time passed.
pub(super) const TICK: Us = 100 * MS;

pub(super) fn micros(time: Duration) -> Us {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn seconds(time: Us) -> f64 {
    Duration::from_micros(time).as_secs_f64()
}

pub(super) struct Core {
    pub(super) machine: Option<Machine>,
    /// Each start is another life; what an older one asked for is answered to nobody.
    pub(super) life: u64,
    pub(super) journal: Vec<Record>,
    state: State,
    /// For each node: a probe is under way, another one is wanted.
    pub(super) probing: Vec<(bool, bool)>,
    pub(super) shown_until: Vec<Us>,
    pub(super) shown: Shown,
    pub(super) frozen_until: Us,
    /// The workers stand still too.
    frozen_all: bool,
    /// When control ran again after a pause that it must notice.
    pub(super) thawed: Us,
    pub(super) disk_broken: bool,
    pub(super) disk_slow: Us,
    disk_free_at: Us,
    /// By how many hours the wall clock is off.
    pub(super) clock_steps: i64,
    pub(super) answers: Vec<(Ticket, Operation)>,
    pub(super) ordered: u64,
}

impl Core {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            machine: None,
            life: 1,
            journal: Vec::new(),
            state: State::default(),
            probing: vec![(false, false); nodes],
            shown_until: vec![0; WORKERS],
            shown: Shown::default(),
            frozen_until: 0,
            frozen_all: false,
            thawed: 0,
            disk_broken: false,
            disk_slow: 0,
            disk_free_at: 0,
            clock_steps: 0,
            answers: Vec::new(),
            ordered: 0,
        }
    }

    pub(super) fn durable(&self) -> Option<&ServiceState> {
        self.state.services.values().next()
    }

    pub(super) fn frozen(&self, now: Us, item: &Item) -> bool {
        let session = matches!(item, Item::Shown(..) | Item::Report(_) | Item::Send(_) | Item::Answered(..));
        now < self.frozen_until && (self.frozen_all || !session)
    }
}

impl Storm {
    pub(super) fn clock(&self) -> Now {
        let mono = Duration::from_micros(self.now);
        Now { mono, wall: Timestamp::UNIX_EPOCH + mono + SignedDuration::from_hours(self.core.clock_steps) }
    }

    pub(super) fn boot(&mut self) {
        if self.core.machine.is_some() {
            return;
        }
        self.say(|_| "Pointsman starts".into());
        self.ledger.booted();
        let durable = self.core.durable().cloned().unwrap_or_default();
        let mut machine = Machine::new(Arc::clone(&self.settings), durable, WORKERS);
        self.core.probing.fill((false, false));
        self.core.shown_until.fill(self.now);
        self.core.shown = Shown::default();
        let effects = machine.start(self.clock());
        self.core.machine = Some(machine);
        self.begin_sending();
        self.carry_out(effects);
        for n in 0..self.nodes.len() {
            let after = self.dice.below(micros(self.settings.health.interval));
            self.ours(after, Item::Rhythm(n));
        }
        self.ours(TICK, Item::Tick);
    }

    /// SIGKILL. What was on its way to the disk may or may not have got there, in order; what is on its way to a node arrives.
    pub(super) fn crash(&mut self, back: Us) {
        if self.core.machine.take().is_none() {
            return;
        }
        self.say(|_| "Pointsman is killed".into());
        let life = self.core.life;
        let on_disk = self.agenda.values().filter_map(|(of, item)| match item {
            Item::Fsync(_, drafts) if *of == Some(life) => Some(drafts.clone()),
            _ => None,
        });
        for drafts in on_disk.collect::<Vec<_>>() {
            let kept = self.dice.below(drafts.len() as u64 + 1);
            let kept = if self.core.disk_broken { 0 } else { usize::try_from(kept).unwrap_or(0) };
            self.append(&drafts[..kept]);
            if kept < drafts.len() {
                break;
            }
        }
        self.core.life += 1;
        (self.core.frozen_until, self.core.thawed) = (0, 0);
        self.core.disk_free_at = 0;
        self.workers = vec![Worker::default(); WORKERS];
        self.at(back, Item::Boot);
    }

    /// SIGSTOP or starvation: of the control thread, or of everything.
    pub(super) fn freeze(&mut self, length: Us, all: bool) {
        if self.core.machine.is_none() || self.now < self.core.frozen_until {
            return;
        }
        self.say(|_| format!("Pointsman stands still for {:.1} s, all of it: {all}", seconds(length)));
        self.core.frozen_until = self.now + length;
        self.core.frozen_all = all;
        self.ledger.disturbed_at = self.core.frozen_until;
        let longest = (2 * SECOND).max(3 * micros(self.settings.health.interval));
        if length >= longest + TICK * 2 {
            self.core.thawed = self.core.frozen_until;
        }
        if self.sabotage == Some(Sabotage::TiltForgotten) {
            let mut at = self.now;
            while at < self.core.frozen_until {
                at += SECOND;
                let after = at.min(self.core.frozen_until) - self.now;
                self.at(after, Item::Tick);
            }
        }
    }

    /// It is done when the process runs again; what a probe waited for may have timed out by then.
    pub(super) fn postpone(&mut self, mut item: Item) {
        if let Item::Probed(_, observation) = &mut item
            && self.dice.below(2) == 0
        {
            observation.reach = Reach::Silent;
        }
        self.ours(self.core.frozen_until - self.now, item);
    }

    pub(super) fn tick(&mut self) {
        if self.now >= self.core.frozen_until {
            self.ours(TICK, Item::Tick);
        }
        let in_flight = self.in_flight();
        self.step(Event::Counted { in_flight, stuck: Vec::new() });
        self.step(Event::Tick);
    }

    pub(super) fn step(&mut self, event: Event) {
        let now = self.clock();
        if self.now < self.core.frozen_until && matches!(event, Event::Signal(_)) {
            // Workers may run while control stands still: what they say waits.
            return self.ours(self.core.frozen_until - self.now, Item::Core(event));
        }
        let Some(mut machine) = self.core.machine.take() else { return };
        let before = self.traced.then(|| machine.switch.as_ref().map(|switch| switch.stage));
        if self.traced && !matches!(event, Event::Tick | Event::Counted { .. } | Event::Observed { .. }) {
            self.say(|_| format!("event {}", short(&format!("{event:?}"))));
        }
        let effects = machine.step(event, now);
        if let Some(before) = before {
            let after = machine.switch.as_ref().map(|switch| switch.stage);
            if before != after {
                let view = machine.view(now);
                self.say(|_| format!("state {after:?}, {:?}: {}", view.state, view.note));
            }
        }
        self.core.machine = Some(machine);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if self.traced && !matches!(effect, Effect::Probe { .. } | Effect::Wake { .. }) {
                self.say(|_| format!("effect {}", short(&format!("{effect:?}"))));
            }
            match effect {
                Effect::Write { ticket, drafts } => {
                    self.check_drafts(&drafts);
                    let slow = self.core.disk_slow;
                    let takes = MS / 4 + self.dice.below(2 * MS) + self.dice.below(slow + 1);
                    let at = self.core.disk_free_at.max(self.now) + takes;
                    self.core.disk_free_at = at;
                    self.ours(at - self.now, Item::Fsync(ticket, drafts));
                }
                Effect::Publish { route, next, .. } => {
                    self.check_route(&route);
                    self.lie_about_holds(&route);
                    self.publish(route, next);
                }
                Effect::Act { ticket, action, limit } => {
                    if let Action::Promote { node } = &action {
                        self.check_promotion(node);
                    }
                    self.act(ticket, action, micros(limit));
                }
                Effect::Probe { node } => {
                    if let Some(n) = self.index(node.as_str()) {
                        self.probe(n);
                    }
                }
                Effect::ReadFitness { node } => {
                    if let Some(n) = self.index(node.as_str()) {
                        self.read_fitness(n);
                    }
                }
                Effect::Answer { ticket, operation } => {
                    if self.core.answers.iter().any(|(of, _)| *of == ticket) {
                        self.violated(format!("order {ticket:?} is answered twice"));
                    }
                    self.hear_of(&operation);
                    self.core.answers.push((ticket, *operation));
                }
                Effect::Progress { .. } | Effect::Accepted { .. } => {}
                Effect::Wake { at } => {
                    let at = micros(at).max(self.now + MS);
                    self.ours(at - self.now, Item::Core(Event::Tick));
                }
            }
        }
        self.admit();
    }

    pub(super) fn fsync(&mut self, ticket: Ticket, drafts: &[Draft]) {
        let result =
            if self.core.disk_broken { Err("no space left on device".to_owned()) } else { Ok(self.append(drafts)) };
        self.step(Event::Written { ticket, result });
    }

    fn append(&mut self, drafts: &[Draft]) -> Vec<Record> {
        let time = self.clock().wall;
        let before = self.core.durable().map(|state| state.route.epoch);
        let first = self.core.journal.len() as u64;
        let mut records = Vec::new();
        for (seq, draft) in (first + 1..).zip(drafts.iter().cloned()) {
            let Draft { svc, kind, actor, reason, epoch, change: detail } = draft;
            let record = Record { seq, time, svc, kind, actor, reason, epoch, detail };
            self.core.state.apply(&record);
            records.push(record);
        }
        self.core.journal.extend(records.iter().cloned());
        if self.core.durable().map(|state| state.route.epoch) < before {
            self.violated("an epoch went back on disk".into());
        }
        records
    }

    pub(super) fn order(&mut self, command: Command) {
        self.order_past(command, Vec::new());
    }

    /// An order that passes guards by name.
    pub(super) fn order_past(&mut self, command: Command, overrides: Vec<Guard>) {
        if self.core.machine.is_none() || self.now < self.core.frozen_until {
            return;
        }
        self.core.ordered += 1;
        let ticket = Ticket(1_000_000 + self.core.ordered);
        let order = Order { overrides, ..Order::new(command, "uid:0", "the storm") };
        self.step(Event::Ordered { ticket, order });
    }
}

fn short(words: &str) -> String {
    words.chars().take(700).collect()
}
