//! Where the read port leads: to a standby whose data is young enough, else to the routed primary.
//!
//! Input: what the machine knows of the nodes, the workers' answers, time. Output: what the read port's workers are to be shown. It
//! changes nothing in the machine, runs no action at a node, and no operation ever waits for it: no data can be lost here, so
//! that a move may be given up, or cut short, at any moment.

use super::{Now, guards::Purpose, health::NodeState, machine::Machine};
use crate::{
    config::Service,
    model::{
        name::NodeAddress,
        observation::{Part, Reach},
        route::{Mode, Readying, Route, Target},
        signal::Signal,
        view::{Health, RouteView},
    },
};
use jiff::Timestamp;
use std::{collections::BTreeSet, time::Duration};

/// How long a node that mustn't be read from any longer is kept while connections to the next one are opened and sessions end that
/// can't move.
const PREPARE: Duration = Duration::from_secs(1);
/// How long connections to the next node may take to open where the one in force still does.
const GIVE_UP: Duration = Duration::from_secs(5);
/// How long after a move was given up it is tried again.
const AGAIN: Duration = Duration::from_secs(10);

impl Machine {
    /// The node that the read port should lead to; nothing before a primary is known. The one in force stays as long as it will do.
    fn read_target(&self, in_force: Option<&Target>, now: Now) -> Option<Target> {
        let routed = self.routed().filter(|_| !self.starting)?;
        if let Some(target) = in_force.filter(|target| self.may_stay(target, now)) {
            return Some(target.clone());
        }
        let nodes = self.settings.nodes().map(|(cluster, node)| Target {
            cluster: cluster.name.as_str().into(),
            node: node.address.as_str().into(),
        });
        let mut others = nodes.filter(|target| target != routed);
        others.find(|target| self.may_begin(target, now)).or_else(|| Some(routed.clone()))
    }

    /// Whether the node in force may go on. A lost link alone ends nothing: what counts is how old its data is by then.
    fn may_stay(&self, target: &Target, now: Now) -> bool {
        let Some(node) = self.nodes.get(&target.node).filter(|node| node.health != Health::Down) else { return false };
        if self.durable.drained.contains(&target.cluster) {
            return false;
        }
        // Roles change in a switch: one that is promoted, or demoted in the end, serves on until it is over.
        self.switch.is_some()
            || self.read_age(target, node, now).is_some_and(|age| age <= self.settings.failover.max_lag)
    }

    /// Whether reads may be moved to that node. It has to be younger than one that stays, lest they go to and fro at the limit.
    fn may_begin(&self, target: &Target, now: Now) -> bool {
        let Some(node) = self.nodes.get(&target.node).filter(|node| node.health == Health::Up) else { return false };
        let Some(answer) = node.fresh() else { return false };
        let well = matches!(answer.part, Part::Standby { link_up: true, .. }) && !self.is_parked(&target.node, answer);
        let drained = self.durable.drained.contains(&target.cluster);
        let age = self.read_age(target, node, now);
        well && !drained && age.is_some_and(|age| age <= self.settings.failover.max_lag / 2)
    }

    /// How old what is read from a standby may be: how long ago the primary's position was the one that it has *applied*. `None`
    /// if it is no standby of what is served, or nobody knows.
    fn read_age(&self, target: &Target, node: &NodeState, now: Now) -> Option<Duration> {
        let (answer, primary) = (node.answer.as_ref()?, self.routed_node()?);
        let Part::Standby { link_up, syncing: false, .. } = answer.part else { return None };
        let loading = node.failed().is_none() && node.fresh().is_none();
        let left = self.durable.fences.contains_key(&target.node) || self.durable.departed.contains_key(&target.node);
        if loading || left || self.history_guard(Purpose::Failover { by_hand: false }, target, answer).is_some() {
            return None;
        }
        // A primary that can't be asked may write on, unless nobody listens there.
        let unheard = primary.fresh().is_none() && !link_up && !matches!(primary.failed(), Some(Reach::Refused));
        let unheard = if unheard { now.mono.saturating_sub(primary.answered) } else { Duration::ZERO };
        Some(node.age_of_data(primary, now.mono)? + unheard)
    }

    /// The process at that node that may be read from; `None` where roles aren't Pointsman's, or the server doesn't say.
    fn read_process(&self, target: &Target) -> Option<&str> {
        if self.routed() == Some(target) {
            return self.process();
        }
        let answer = self.nodes.get(&target.node).filter(|_| self.managed())?.answer.as_ref()?;
        Some(answer.run_id.as_str()).filter(|process| !process.is_empty())
    }

    fn answers(&self, node: &NodeAddress) -> bool {
        self.nodes.get(node).is_some_and(|node| node.fresh().is_some())
    }
}

/// What the read port's workers are to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadView {
    /// Where reads go, under an epoch of the read port's own.
    pub route: Route,
    /// The process that may be read from there, as in [`Machine::process`].
    pub process: Option<String>,
    /// Where they will go.
    pub next: Option<(Target, Readying)>,
}

/// A move that is under way, from a node that still answers.
#[derive(Debug)]
struct Move {
    to: Target,
    /// When it began, or when requests were held.
    since: Duration,
    held: bool,
    /// Workers that have their connections to the next node, and when held, their subscriptions handed over.
    ready: BTreeSet<usize>,
    /// Workers that have nothing in flight any more.
    drained: BTreeSet<usize>,
}

/// The read port's route, with its move if one is under way.
#[derive(Debug, Default)]
pub struct ReadRoute {
    route: Route,
    since: Option<Timestamp>,
    moving: Option<Move>,
    next: Option<(Target, Readying)>,
    /// When a move that isn't urgent may begin again.
    not_before: Duration,
}

impl ReadRoute {
    /// Takes a worker's answer in.
    pub fn acknowledged(&mut self, signal: &Signal) {
        let (Some(moving), now) = (&mut self.moving, self.route.epoch) else { return };
        match signal {
            Signal::Warm { worker, epoch } if *epoch == now && !moving.held => moving.ready.insert(*worker),
            Signal::HandedOver { worker, epoch } if *epoch == now && moving.held => moving.ready.insert(*worker),
            Signal::Drained { worker, epoch } if *epoch == now && moving.held => moving.drained.insert(*worker),
            _ => false,
        };
    }

    /// Goes on by what the machine knows now, and says what `workers` workers are to be shown; `stuck` tells whether sessions are
    /// on the read port that can't move.
    pub fn follow(&mut self, machine: &Machine, workers: usize, stuck: bool, now: Now) -> ReadView {
        let in_force = self.route.target.clone();
        let wanted = machine.read_target(in_force.as_ref(), now);
        let closed = machine.mode() == Mode::Closed;
        match (in_force, wanted) {
            (_, None) => {}
            (Some(from), Some(to)) if from == to => self.moving = None,
            (Some(from), Some(to)) if machine.answers(&from.node) && !closed => {
                // The primary can be read from for as long as it takes, another node was left for a reason.
                let urgent = machine.routed() != Some(&from);
                self.approach(to, urgent, (workers, stuck), &machine.settings, now);
            }
            (_, Some(to)) => self.arrive(to, now),
        }
        let (mode, next) = match &self.moving {
            _ if closed || self.route.target.is_none() => (Mode::Closed, None),
            None => (Mode::ReadOnly, None),
            Some(Move { to, held: false, .. }) => (Mode::ReadOnly, Some((to.clone(), Readying::Warm))),
            Some(Move { to, held: true, .. }) => (Mode::Hold, Some((to.clone(), Readying::HandOver))),
        };
        if (self.route.mode, &self.next) != (mode, &next) {
            self.show(mode, next);
        }
        let process = self.route.target.as_ref().and_then(|target| machine.read_process(target));
        ReadView { route: self.route.clone(), process: process.map(ToOwned::to_owned), next: self.next.clone() }
    }

    /// Where it leads, as operators see it.
    pub fn shown(&self) -> Option<RouteView> {
        let Target { cluster, node } = self.route.target.clone()?;
        Some(RouteView { cluster, node, since: self.since })
    }

    /// Brings a move nearer to its end: connections first, then a short hold.
    fn approach(&mut self, to: Target, urgent: bool, workers: (usize, bool), settings: &Service, now: Now) {
        let (workers, stuck) = workers;
        let fresh =
            |held| Move { to: to.clone(), since: now.mono, held, ready: BTreeSet::new(), drained: BTreeSet::new() };
        let Some(moving) = self.moving.as_ref().filter(|moving| moving.to == to) else {
            let may = urgent || (!stuck && now.mono >= self.not_before);
            self.moving = may.then(|| fresh(false));
            return;
        };
        let lasted = now.mono.saturating_sub(moving.since);
        let (ready, drained) = (moving.ready.len() >= workers, moving.drained.len() >= workers);
        let drain_timeout = settings.failover.drain_timeout;
        match (moving.held, urgent) {
            (false, _) if ready && !stuck => self.moving = Some(fresh(true)),
            (false, true) if lasted >= PREPARE => self.moving = Some(fresh(true)),
            (true, _) if ready && drained => self.arrive(to, now),
            (true, true) if lasted >= drain_timeout => self.arrive(to, now),
            (true, false) if lasted >= drain_timeout => self.give_up(now),
            (false, false) if lasted >= GIVE_UP => self.give_up(now),
            _ => {}
        }
    }

    fn give_up(&mut self, now: Now) {
        (self.moving, self.not_before) = (None, now.mono + AGAIN);
    }

    fn arrive(&mut self, to: Target, now: Now) {
        self.moving = None;
        self.since = Some(now.wall);
        self.route.target = Some(to);
        self.show(Mode::ReadOnly, None);
    }

    fn show(&mut self, mode: Mode, next: Option<(Target, Readying)>) {
        self.route.epoch = self.route.epoch.next();
        (self.route.mode, self.next) = (mode, next);
    }
}
