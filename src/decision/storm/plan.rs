//! What a seed means: the service's settings and how its stores behave.

use super::{MS, SECOND, Us};
use crate::{
    config::{self, AfterFailover, Failback, Replication, SecondOpinion, Unfenced},
    decision::world::{Dice, settings},
};
use std::time::Duration;

/// Everything that doesn't change within one storm.
pub(super) struct Plan {
    pub(super) settings: config::Service,
    /// The primary's ping period, in seconds.
    pub(super) heartbeat: u64,
    /// `min-replicas-to-write` of each node's own configuration; its lag limit is ten seconds.
    pub(super) to_write: u64,
    /// How long a full copy takes.
    pub(super) full_copy: Us,
    /// How many bytes of its stream a node keeps for those who were away.
    pub(super) backlog: u64,
    /// From received to applied.
    pub(super) apply_lag: Us,
    /// Whether a node's own file can be rewritten.
    pub(super) files: bool,
    /// Whether somebody beside Pointsman writes too.
    pub(super) outsider: bool,
    /// Whether transactions have names.
    pub(super) named: bool,
    /// How long it storms.
    pub(super) length: Us,
    /// How many faults.
    pub(super) faults: u64,
}

impl Plan {
    /// Stores whose transactions have names replicate semi-synchronously instead: a write is acknowledged when so many standbys have it, and
    /// waits for them for ever.
    pub(super) fn semi_sync(&self) -> bool {
        self.named && self.to_write > 0
    }

    /// The shipped defaults, and nothing that happens by itself.
    pub(super) fn calm(nodes: usize, replication: Replication) -> Self {
        Self {
            settings: settings(nodes, replication),
            heartbeat: 10,
            to_write: 0,
            full_copy: 5 * SECOND,
            backlog: 1 << 20,
            apply_lag: 0,
            files: true,
            outsider: false,
            named: false,
            length: 0,
            faults: 0,
        }
    }

    /// What `seed` means.
    pub(super) fn of(dice: &mut Dice) -> Self {
        let replication = match dice.below(8) {
            0 => Replication::None,
            1 => Replication::External,
            _ => Replication::Managed,
        };
        let mut chance = |percent: u64| dice.below(100) < percent;
        let nodes = if chance(60) { 3 } else { 2 };
        let mut plan = Self::calm(nodes, replication);
        if nodes == 3 && chance(30) {
            let moved = plan.settings.clusters[1].nodes.remove(0);
            plan.settings.clusters[0].nodes.push(moved);
        }
        plan.heartbeat = if chance(60) { 1 } else { 10 };
        plan.to_write = u64::from(chance(40));
        if replication == Replication::None {
            plan.to_write = 0;
        }
        plan.files = !chance(15);
        plan.outsider = chance(40);
        let mut one_of = |choices: &[u64]| choices[usize::try_from(dice.below(choices.len() as u64)).unwrap_or(0)];
        plan.full_copy = one_of(&[300 * MS, 2 * SECOND, 5 * SECOND]);
        plan.backlog = one_of(&[2_000, 1 << 20, 1 << 20]);
        plan.apply_lag = one_of(&[0, 0, 0, 100 * MS]);
        plan.length = one_of(&[10, 20, 30]) * SECOND;
        plan.faults = one_of(&[1, 2, 4, 7]);
        vary(&mut plan.settings, dice);
        plan.named = replication == Replication::Managed && dice.below(4) == 0;
        if plan.named {
            // Whom it follows outlives a restart without being written down, and what was received is applied at once.
            (plan.files, plan.apply_lag) = (true, 0);
        }
        plan
    }
}

/// What a reload may change: how the primary is judged, and what is done then.
pub(super) fn vary(settings: &mut config::Service, dice: &mut Dice) {
    let (health, failover) = (&mut settings.health, &mut settings.failover);
    let mut chance = |percent: u64| dice.below(100) < percent;
    health.second_opinion = if chance(10) { SecondOpinion::None } else { SecondOpinion::Standby };
    failover.unfenced = if chance(50) { Unfenced::Promote } else { Unfenced::Block };
    failover.failback = if chance(30) { Failback::Automatic } else { Failback::Manual };
    failover.automatic = !chance(10);
    if chance(50) {
        failover.after_failover = AfterFailover::Open;
    }
    let mut one_of = |choices: &[u64]| choices[usize::try_from(dice.below(choices.len() as u64)).unwrap_or(0)];
    health.interval = Duration::from_millis(one_of(&[100, 200, 200, 500]));
    health.timeout = Duration::from_millis(one_of(&[300, 500]));
    health.fall = u32::try_from(one_of(&[1, 2, 3])).unwrap_or(3);
    health.rise = u32::try_from(one_of(&[1, 2])).unwrap_or(2);
    health.hang_window = Duration::from_secs(one_of(&[2, 2, 6]));
    failover.cooldown = Duration::from_secs(one_of(&[5, 20, 60]));
}
