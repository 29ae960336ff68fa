//! What a probe of a node finds, and how long it takes.

use super::{
    Item, MS, SECOND, Sabotage, Storm, Us,
    core::micros,
    net::{Path, US},
    node::{FENCE, Follows, Node, Proc},
    sets::server,
    workers::run_id,
};
use crate::{
    decision::Event,
    model::{
        error::{Side, StoreError},
        name::NodeAddress,
        observation::{Answer, Fitness, Lineage, Observation, Part, Reach, SelfFence},
    },
};
use std::time::Duration;

/// How far somebody gets at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    Open,
    Refused,
    Silent,
    Unreachable,
}

impl Storm {
    pub(super) fn reach(&self, from: usize, n: usize) -> Reached {
        let (there, back) = (self.net.path(from, n + 1), self.net.path(n + 1, from));
        let node = &self.nodes[n];
        match (there, back, node.proc) {
            (Path::Rejected, ..) => Reached::Refused,
            (Path::Cut, ..) | (_, Path::Cut | Path::Rejected, _) => Reached::Unreachable,
            _ if !node.host => Reached::Unreachable,
            (.., Proc::Down) => Reached::Refused,
            (.., Proc::Hung) => Reached::Silent,
            (.., Proc::Up | Proc::Loading) => Reached::Open,
        }
    }

    pub(super) fn rhythm(&mut self, n: usize) {
        self.probe(n);
        let interval = micros(self.settings.health.interval);
        self.ours(interval, Item::Rhythm(n));
    }

    /// One at a time at each node; who asks meanwhile gets one more.
    pub(super) fn probe(&mut self, n: usize) {
        if std::mem::replace(&mut self.core.probing[n].0, true) {
            self.core.probing[n].1 = true;
            return;
        }
        let timeout = micros(self.settings.health.timeout);
        let (after, reach) = match self.reach(US, n) {
            Reached::Open | Reached::Silent => {
                let there = self.net.travel(US, n + 1, &mut self.dice);
                let until = self.now + timeout;
                return self.ours(there.min(timeout), Item::Asked(n, until));
            }
            Reached::Refused => (self.net.travel(US, n + 1, &mut self.dice).min(timeout), Reach::Refused),
            Reached::Unreachable => (timeout, Reach::Unreachable("timed out".into())),
        };
        let took = Duration::from_micros(after);
        self.ours(after, Item::Probed(n, Box::new(Observation::new(reach, took))));
    }

    pub(super) fn asked(&mut self, n: usize, until: Us) {
        let left = until - self.now.min(until);
        if left > 0 && self.reach(US, n) == Reached::Silent {
            // It waits in the node's socket, and is answered as soon as that wakes.
            return self.ours(left.min(5 * MS), Item::Asked(n, until));
        }
        let back = self.net.travel(n + 1, US, &mut self.dice);
        let (after, reach) = match self.reach(US, n) {
            Reached::Open if back < left => (back, Reach::Answered(Box::new(self.answer_of(n)))),
            Reached::Refused => (0, Reach::Refused),
            Reached::Open | Reached::Silent => (left, Reach::Silent),
            Reached::Unreachable => (left, Reach::Unreachable("timed out".into())),
        };
        let began = until.saturating_sub(micros(self.settings.health.timeout));
        let took = Duration::from_micros((self.now + after).saturating_sub(began));
        self.ours(after, Item::Probed(n, Box::new(Observation::new(reach, took))));
    }

    pub(super) fn probed(&mut self, n: usize, mut observation: Observation) {
        self.core.probing[n].0 = false;
        if std::mem::take(&mut self.core.probing[n].1) {
            self.core.probing[n].0 = true;
            let until = self.now + 20 * MS + micros(self.settings.health.timeout);
            self.ours(20 * MS, Item::Asked(n, until));
        }
        if self.sabotage == Some(Sabotage::WitnessStale)
            && !self.healed
            && let Reach::Answered(answer) = &mut observation.reach
            && let Part::Standby { link_up, .. } = &mut answer.part
        {
            *link_up = false;
        }
        let node = self.nodes[n].name.clone();
        if self.traced {
            self.say(|_| format!("seen {node}: {}", brief(&observation)));
        }
        self.step(Event::Observed { node, observation });
    }

    fn answer_of(&self, n: usize) -> Answer {
        let node = &self.nodes[n];
        let loading = node.proc == Proc::Loading;
        Answer {
            run_id: if self.plan.named { format!("{}/{}", server(n), run_id(node.run)) } else { run_id(node.run) },
            version: "7.0.15".into(),
            part: self.part(node),
            writable: node.is_primary() && !loading && !node.sick && !node.starved(self.now),
            loading,
            fenced: node.to_write >= FENCE,
            lineage: Lineage {
                previous: if node.previous == 0 || self.plan.named {
                    String::new()
                } else {
                    format!("{:x}", node.previous)
                },
                previous_until: node.previous_until,
                ..self.lineage_of(n)
            },
            received: if self.plan.named { self.position_of(n) } else { node.received.max(node.offset) },
            applied: self.position_of(n),
            items: node.items + node.data.len() as u64,
            priority: 100,
            other_managers: node.other_manager.then(|| "other on host-2".to_owned()).into_iter().collect(),
            yields: node.other_manager,
            heartbeat: Some(Duration::from_secs(self.plan.heartbeat)),
            self_fence: (1..FENCE).contains(&node.to_write).then(|| SelfFence {
                standbys: node.to_write,
                lag: Duration::from_secs(if node.semi_sync { 0 } else { 11 }),
            }),
            unfit: String::new(),
            sick: if node.sick { "writes are refused (MISCONF)".into() } else { String::new() },
            note: String::new(),
        }
    }

    fn part(&self, node: &Node) -> Part {
        let of = match node.follows {
            Follows::Nobody => {
                let attached = node.acks.iter().enumerate().filter_map(|(s, ack)| Some((s, (*ack)?.1)));
                let standbys = attached.map(|(s, offset)| (self.nodes[s].name.clone(), offset)).collect();
                return Part::Primary { standbys };
            }
            Follows::Node(of) => self.nodes[of].name.clone(),
            Follows::Void => NodeAddress::from("127.0.0.1:1"),
        };
        Part::Standby {
            of,
            link_up: node.link.up,
            // Redis subtracts whole seconds from whole seconds: a moment over a second's edge is told as a second.
            silent_for: Some(Duration::from_secs(self.now / SECOND - node.link.last_io.min(self.now) / SECOND)),
            syncing: node.link.copied_at.is_some(),
        }
    }

    pub(super) fn read_fitness(&mut self, n: usize) {
        let node = self.nodes[n].name.clone();
        let (after, fitness) = if self.reach(US, n) == Reached::Open {
            (2 * MS, Ok(Fitness::default()))
        } else {
            let detail = format!("{node} could not be compared");
            (50 * MS, Err(StoreError { side: Side::Node, retryable: true, maybe_done: false, detail }))
        };
        self.ours(after, Item::Core(Event::Fitness { node, fitness, differences: Vec::new() }));
    }
}

/// For traces.
fn brief(observation: &Observation) -> String {
    match &observation.reach {
        Reach::Answered(a) => {
            let part = match &a.part {
                Part::Primary { standbys } => format!("primary, {} standbys", standbys.len()),
                Part::Standby { of, link_up, silent_for, syncing } => {
                    format!("standby of {of}, link {link_up}, silent {silent_for:?}, syncing {syncing}")
                }
            };
            let (run, id, previous) = (&a.run_id, &a.lineage.id, &a.lineage.previous);
            let marks = [(a.fenced, " fenced"), (a.loading, " loading"), (!a.sick.is_empty(), " sick")];
            let marks: String = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
            format!(
                "{part}, {run}, id {id} after {previous}, at {}/{}, {} items{marks}",
                a.applied, a.received, a.items
            )
        }
        other => format!("{other:?}"),
    }
}
