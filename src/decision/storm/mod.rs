//! A storm around the decision core, in virtual time, the same for each seed: nodes that die, hang, come back whole, old or
//! empty; a network that delays, drops, splits and lies; Pointsman itself killed and paused, its journal's disk failing. A
//! ledger of every write judges what came of it.
//!
//! `plan` says what a seed means, `node`, `replication` and `net` are the stores' world, `probe` and `acts` what Pointsman
//! sees and does there, `core` Pointsman's own process, `workers` its sessions, `faults` the weather, `law` what must hold at
//! each moment, `judge` what must hold when everything has healed.

mod acts;
mod consent;
mod core;
mod faults;
mod judge;
mod law;
mod left;
mod named;
mod net;
mod node;
mod plan;
mod probe;
mod replication;
mod returns;
mod sentinel;
mod sets;
mod tests;
mod workers;

use super::{Event, Ticket, world::Dice};
use crate::{
    config::{Replication, Service},
    model::{action::Action, name::OperationId, observation::Observation, record::Draft},
};
use faults::Fault;
use law::Ledger;
use net::Net;
use node::{Follows, Node, Proc};
use plan::Plan;
use std::{collections::BTreeMap, sync::Arc};
use workers::Worker;

/// Microseconds of virtual time.
type Us = u64;
const MS: Us = 1000;
const SECOND: Us = 1000 * MS;
const WORKERS: usize = 2;

/// A defect put in on purpose, to see that the storm finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sabotage {
    /// The fence is said to be set and isn't.
    FenceDropped,
    /// The new route is shown before the candidate was promoted.
    ShownTooSoon,
    /// Standbys are said to be parked and aren't.
    ParkSkipped,
    /// Every worker is said to have acknowledged the hold at once.
    BarrierIgnored,
    /// Standbys are heard as they were when they had lost a primary.
    WitnessStale,
    /// A pause of the process isn't noticed.
    TiltForgotten,
}

/// What happens at a moment.
#[derive(Clone, Debug)]
enum Item {
    /// The core hears something.
    Core(Event),
    Tick,
    /// The rhythm of a node's probes.
    Rhythm(usize),
    /// A probe reaches its node.
    Asked(usize, Us),
    /// It came back.
    Probed(usize, Box<Observation>),
    /// An action reaches its node; tried again until then where it waits for something.
    Perform(Ticket, Action, Us, u64),
    Fsync(Ticket, Vec<Draft>),
    Shown(usize, workers::Shown),
    Report(usize),
    Send(usize),
    /// A write reaches a node, on a connection to that process of it; the life of ours that sent it.
    Arrive(u32, usize, u64, u64),
    /// It was carried out there, and waits for standbys.
    Waits(u32, usize, u64, u64),
    Answered(u32, bool),
    /// Somebody answers what waits for a second person.
    Consent(OperationId),
    Boot,
    Loaded(usize, u64),
    Beat,
    Outsider,
    Sentinel,
    Fault(Fault),
    Over(Fault),
}

/// One storm.
struct Storm {
    plan: Plan,
    settings: Arc<Service>,
    dice: Dice,
    now: Us,
    agenda: BTreeMap<(Us, u64), (Option<u64>, Item)>,
    numbered: u64,
    runs: u64,
    net: Net,
    nodes: Vec<Node>,
    core: core::Core,
    workers: Vec<Worker>,
    ledger: Ledger,
    sentinel: sentinel::Sentinel,
    people: consent::People,
    sabotage: Option<Sabotage>,
    /// The faults are over and everything was mended.
    healed: bool,
    /// What must not be, in words; the first one ends the storm.
    broken: Vec<String>,
    /// Says what happens as it happens.
    traced: bool,
}

impl Storm {
    fn new(plan: Plan, dice: Dice, sabotage: Option<Sabotage>, traced: bool) -> Self {
        let settings = Arc::new(plan.settings.clone());
        let independent = settings.replication == Replication::None;
        let names: Vec<String> = settings.nodes().map(|(_, node)| node.address.to_string()).collect();
        let nodes = names.iter().enumerate().map(|(n, name)| {
            let follows = if n == 0 || independent { Follows::Nobody } else { Follows::Node(0) };
            Node::new(name, n, names.len(), follows, plan.to_write)
        });
        let mut nodes: Vec<Node> = nodes.collect();
        for node in &mut nodes {
            node.semi_sync = plan.semi_sync();
        }
        if !independent {
            for n in 1..names.len() {
                nodes[0].acks[n] = Some((0, 1000));
            }
        }
        let mut storm = Self {
            net: Net::new(names.len()),
            core: core::Core::new(names.len()),
            ledger: Ledger::new(names.len()),
            sentinel: sentinel::Sentinel::default(),
            people: consent::People::new(0),
            settings,
            dice,
            now: SECOND,
            agenda: BTreeMap::new(),
            numbered: 0,
            runs: 100,
            nodes,
            workers: vec![Worker::default(); WORKERS],
            sabotage,
            healed: false,
            broken: Vec::new(),
            traced,
            plan,
        };
        storm.at(0, Item::Boot);
        storm.at(1, Item::Beat);
        if storm.plan.outsider {
            storm.at(SECOND, Item::Outsider);
        }
        if storm.settings.replication == Replication::External {
            storm.at(SECOND, Item::Sentinel);
        }
        storm
    }

    /// Something that happens whatever becomes of Pointsman.
    fn at(&mut self, after: Us, item: Item) {
        self.numbered += 1;
        self.agenda.insert((self.now + after, self.numbered), (None, item));
    }

    /// Something that happens inside this life of Pointsman.
    fn ours(&mut self, after: Us, item: Item) {
        self.numbered += 1;
        self.agenda.insert((self.now + after, self.numbered), (Some(self.core.life), item));
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.dice.below(100) < percent
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.dice.below(choices.len() as u64)).unwrap_or(0)]
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.name.as_str() == name)
    }

    fn say(&self, words: impl FnOnce(&Self) -> String) {
        if self.traced {
            println!("{:10.4} {}", core::seconds(self.now), words(self));
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "most callers have just made the words")]
    fn violated(&mut self, words: String) {
        self.say(|_| format!("VIOLATED {words}"));
        self.broken.push(format!("at {:.3} s: {words}", core::seconds(self.now)));
    }

    /// Runs until `done`, at most for `limit`; ends at once when something is broken.
    fn run_until(&mut self, limit: Us, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while self.broken.is_empty() {
            if done(self) {
                return true;
            }
            let Some(next) = self.agenda.first_entry().filter(|next| next.key().0 <= end) else { break };
            self.now = next.key().0;
            let (life, item) = next.remove();
            match life {
                Some(life) if life != self.core.life => {}
                Some(_) if self.core.frozen(self.now, &item) => self.postpone(item),
                _ => self.happen(item),
            }
        }
        self.now = self.now.max(end);
        false
    }

    fn run(&mut self, length: Us) {
        self.run_until(length, |_| false);
    }

    fn happen(&mut self, item: Item) {
        match item {
            Item::Core(event) => self.step(event),
            Item::Tick => self.tick(),
            Item::Rhythm(n) => self.rhythm(n),
            Item::Asked(n, until) => self.asked(n, until),
            Item::Probed(n, observation) => self.probed(n, *observation),
            Item::Perform(ticket, action, until, life) => self.perform(ticket, action, until, life),
            Item::Fsync(ticket, drafts) => self.fsync(ticket, &drafts),
            Item::Shown(worker, shown) => self.shown(worker, shown),
            Item::Report(worker) => self.report(worker),
            Item::Send(worker) => self.send(worker),
            Item::Arrive(write, n, run, life) => self.arrive(write, n, run, life),
            Item::Waits(write, n, run, life) => self.waits(write, n, run, life),
            Item::Answered(write, well) => self.answered(write, well),
            Item::Consent(id) => self.consent(id),
            Item::Boot => self.boot(),
            Item::Loaded(n, run) => {
                if self.nodes[n].run == run && self.nodes[n].proc == Proc::Loading {
                    self.nodes[n].proc = Proc::Up;
                }
            }
            Item::Beat => {
                self.beat();
                self.at(replication::BEAT, Item::Beat);
            }
            Item::Outsider => self.outsider(),
            Item::Sentinel => self.watch_as_sentinel(),
            Item::Fault(fault) => self.begin(fault),
            Item::Over(fault) => self.over(fault),
        }
    }
}
