//! What is known of each node: fall and rise of its health, its last answer, its positions over time, its fitness.
//!
//! Inputs: observations and fitness as they come. Outputs: health, lag and delay. It never judges roles.

use crate::{
    config,
    model::{
        guard::Refusal,
        name::{ClusterName, NodeAddress},
        observation::{Answer, Fitness, Observation, Part, Reach},
        view::Health,
    },
};
use std::{collections::VecDeque, time::Duration};

/// How many positions of a node are kept: more than three minutes at the default interval.
const SAMPLES: usize = 1024;

/// A stretch of time in which a node's position was seen to be the same.
#[derive(Clone, Copy, Debug)]
struct Sample {
    first: Duration,
    last: Duration,
    position: u64,
}

/// The positions of a node over time, bounded.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples(VecDeque<Sample>);

impl Samples {
    /// Adds what was seen at `at`. A position that went back is another history: what was known is dropped.
    pub(super) fn push(&mut self, at: Duration, position: u64) {
        match self.0.back_mut() {
            Some(newest) if newest.position == position => {
                newest.last = at;
                return;
            }
            Some(newest) if newest.position > position => self.0.clear(),
            _ => {}
        }
        if self.0.len() == SAMPLES {
            self.0.pop_front();
        }
        self.0.push_back(Sample { first: at, last: at, position });
    }

    /// When the newest position was seen last.
    pub(super) fn newest(&self) -> Option<Duration> {
        self.0.back().map(|sample| sample.last)
    }

    /// How long before `at` the position was last `position`; between two samples it is assumed to have grown evenly.
    /// Zero if it still is, as far as is known. A position older than every sample gives the age of the oldest one.
    #[expect(clippy::cast_precision_loss, reason = "a fraction of the time between two probes needs no more digits")]
    pub(super) fn age(&self, position: u64, at: Duration) -> Option<Duration> {
        let newest = self.0.back()?;
        if newest.position <= position {
            return Some(Duration::ZERO);
        }
        let after = self.0.partition_point(|sample| sample.position <= position);
        let next = self.0.get(after)?;
        let Some(before) = after.checked_sub(1).and_then(|index| self.0.get(index)) else {
            return Some(at.saturating_sub(next.first));
        };
        let grown = (position - before.position) as f64 / (next.position - before.position) as f64;
        let left = before.last + next.first.saturating_sub(before.last).mul_f64(grown);
        Some(at.saturating_sub(left))
    }
}

/// When a node's fitness was read and what came of it.
#[derive(Clone, Debug)]
pub(super) struct FitnessRead {
    pub(super) at: Duration,
    pub(super) result: Result<Fitness, String>,
    pub(super) differences: Vec<Refusal>,
}

/// What is known of one node.
#[derive(Clone, Debug)]
pub(super) struct NodeState {
    pub(super) cluster: ClusterName,
    pub(super) replicate_from: Option<NodeAddress>,
    pub(super) last: Option<Observation>,
    /// When `last` came.
    pub(super) seen: Duration,
    /// When `answer` came.
    pub(super) answered: Duration,
    /// When the question was sent that it answers.
    pub(super) asked: Duration,
    /// The last good answer, kept while probes fail.
    pub(super) answer: Option<Answer>,
    pub(super) health: Health,
    /// Since when probes fail.
    pub(super) failing_since: Option<Duration>,
    pub(super) received: Samples,
    pub(super) fitness: Option<FitnessRead>,
    pub(super) fitness_asked: Option<Duration>,
    pub(super) probe_asked: Option<Duration>,
    /// How many answers in a row said that it follows another node.
    pub(super) standby_for: u32,
    /// Since when its answers say that it is a primary.
    pub(super) primary_since: Option<Duration>,
    /// Its process was a standby's before it restarted, and has called itself a primary ever since: nobody promoted it.
    pub(super) born_primary: bool,
    /// How many answers in a row said that it refuses writes.
    pub(super) sick_for: u32,
    /// The process that answered before this one, and its positions.
    pub(super) former: Option<Box<(Answer, Samples)>>,
    /// When its link to its primary was first seen down, after this process had been seen with it up.
    pub(super) link_lost: Option<Duration>,
    /// When our fence was last set there: what was asked before knows nothing of it.
    pub(super) fenced: Option<Duration>,
    /// When the last failure was counted.
    counted: Option<Duration>,
    fails: u32,
    goods: u32,
}

impl NodeState {
    pub(super) fn new(cluster: ClusterName, replicate_from: Option<NodeAddress>) -> Self {
        Self {
            cluster,
            replicate_from,
            last: None,
            seen: Duration::ZERO,
            answered: Duration::ZERO,
            asked: Duration::ZERO,
            answer: None,
            health: Health::Unknown,
            failing_since: None,
            received: Samples::default(),
            fitness: None,
            fitness_asked: None,
            probe_asked: None,
            standby_for: 0,
            primary_since: None,
            born_primary: false,
            sick_for: 0,
            former: None,
            link_lost: None,
            fenced: None,
            counted: None,
            fails: 0,
            goods: 0,
        }
    }

    /// Takes one probe's result in.
    pub(super) fn observe(&mut self, observation: Observation, at: Duration, limits: &config::Health) {
        match observation.answer() {
            Some(answer) if !answer.loading => {
                self.asked = at.saturating_sub(observation.took);
                self.well(answer.clone(), at, limits);
            }
            _ => self.unwell(at, limits),
        }
        self.last = Some(observation);
        self.seen = at;
    }

    fn well(&mut self, answer: Answer, at: Duration, limits: &config::Health) {
        self.forget_failures();
        self.goods = self.goods.saturating_add(1);
        if self.health != Health::Down || self.goods >= limits.rise {
            self.health = Health::Up;
        }
        self.note_link(&answer, at);
        let primary = matches!(answer.part, Part::Primary { .. });
        let was_born = self.born_primary;
        self.born_primary &= primary;
        if let Some(before) = self.answer.take_if(|before| before.run_id != answer.run_id) {
            self.born_primary = primary && (was_born || matches!(before.part, Part::Standby { .. }));
            self.former = Some(Box::new((before, std::mem::take(&mut self.received))));
        }
        self.received.push(at, answer.received);
        self.standby_for = match answer.part {
            Part::Standby { .. } => self.standby_for.saturating_add(1),
            Part::Primary { .. } => 0,
        };
        self.primary_since = match answer.part {
            Part::Standby { .. } => None,
            Part::Primary { .. } => self.primary_since.or(Some(at)),
        };
        self.sick_for = if answer.sick.is_empty() { 0 } else { self.sick_for.saturating_add(1) };
        self.answer = Some(answer);
        self.answered = at;
    }

    /// A process that was never seen with its link up had none to lose.
    fn note_link(&mut self, answer: &Answer, at: Duration) {
        let up = |answer: &Answer| matches!(answer.part, Part::Standby { link_up: true, .. });
        let down = matches!(answer.part, Part::Standby { link_up: false, .. });
        let before = self.answer.as_ref().filter(|before| before.run_id == answer.run_id);
        self.link_lost = match before {
            Some(before) if down && up(before) => Some(at),
            Some(_) if down => self.link_lost,
            _ => None,
        };
    }

    fn unwell(&mut self, at: Duration, limits: &config::Health) {
        self.goods = 0;
        self.failing_since.get_or_insert(at);
        // Probes that live traffic asked for come beside the rhythm: a restart is forgiven for `fall` intervals, however
        // many clients notice it.
        if self.counted.is_none_or(|counted| at >= counted + limits.interval / 2) {
            self.counted = Some(at);
            self.fails = self.fails.saturating_add(1);
        }
        if self.fails >= limits.fall {
            self.health = Health::Down;
        } else if self.health != Health::Down {
            self.health = Health::Suspect;
        }
    }

    /// Failures begin to count anew: those before prove nothing.
    pub(super) fn forget_failures(&mut self) {
        self.fails = 0;
        self.counted = None;
        self.failing_since = None;
    }

    /// The highest position that it was seen at, by the process that answers or the one before.
    pub(super) fn served_position(&self) -> Option<u64> {
        let former = self.former.as_deref().map(|(answer, _)| answer.received);
        former.max(self.answer.as_ref().map(|answer| answer.received))
    }

    /// How far the last failed probe got; nothing after one that was answered, or before the first.
    pub(super) fn failed(&self) -> Option<&Reach> {
        self.last.as_ref().map(|last| &last.reach).filter(|reach| !matches!(reach, Reach::Answered(_)))
    }

    /// The answer of the last probe, if that probe was answered and the node isn't loading.
    pub(super) fn fresh(&self) -> Option<&Answer> {
        self.last.as_ref().and_then(Observation::answer).filter(|answer| !answer.loading)
    }

    /// How long ago `primary`'s position was the one that this standby has received. Of a primary that doesn't answer: how
    /// long before its last answer, which is what a failover would lose.
    pub(super) fn lag(&self, primary: &Self, now: Duration) -> Option<Duration> {
        self.behind(primary, self.answer.as_ref()?.received, now)
    }

    /// The same of what it has applied: how old what is read there may be.
    pub(super) fn age_of_data(&self, primary: &Self, now: Duration) -> Option<Duration> {
        self.behind(primary, self.answer.as_ref()?.applied, now)
    }

    fn behind(&self, primary: &Self, position: u64, now: Duration) -> Option<Duration> {
        let at = if self.fresh().is_some() { self.seen } else { now };
        let at = if primary.fresh().is_some() { at } else { primary.received.newest()? };
        primary.received.age(position, at)
    }

    /// How long ago this standby had received what it has applied now.
    pub(super) fn delay(&self) -> Option<Duration> {
        self.received.age(self.answer.as_ref()?.applied, self.seen)
    }

    /// What the last failed probe found, in words; empty after a good one, and before the first.
    pub(super) fn trouble(&self) -> String {
        match self.last.as_ref().map(|last| &last.reach) {
            Some(Reach::Answered(answer)) if answer.loading => "is loading its data".to_owned(),
            None | Some(Reach::Answered(_)) => String::new(),
            Some(Reach::Refused) => "refuses connections".to_owned(),
            Some(Reach::Silent) => "gives no answer".to_owned(),
            Some(Reach::Unreachable(why)) => format!("can't be reached ({why})"),
            Some(Reach::Rejected(why)) => format!("turns us away ({why})"),
        }
    }

    /// The same with its duration; also that there was no probe yet.
    pub(super) fn failure(&self, now: Duration) -> String {
        let what = self.trouble();
        match self.failing_since {
            _ if self.last.is_none() => "not probed yet".into(),
            Some(since) if !what.is_empty() => {
                format!("{what}, for {:.1} s", now.saturating_sub(since).as_secs_f64())
            }
            _ => what,
        }
    }
}
