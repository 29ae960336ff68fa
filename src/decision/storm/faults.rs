//! The weather: what goes wrong, when, for how long; and how everything is mended.

use super::{
    Item, MS, SECOND, Storm, Us,
    core::seconds,
    net::{Path, US},
    node::{Disk, Proc},
    plan::vary,
};
use crate::{
    config,
    decision::Event,
    model::{operation::Command, route::Mode},
};
use std::{sync::Arc, time::Duration};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A process is killed and comes back with what its disk holds.
    Kill(usize, Disk, Us),
    /// Its host is gone too.
    Host(usize, Disk, Us),
    /// SIGSTOP or a long script.
    Hang(usize, Us),
    /// Dies several times in a row.
    Flap(usize, u64),
    /// Its disk is full.
    Sick(usize, Us),
    /// Nothing gets from one place to another, and perhaps back.
    Cut(usize, usize, bool, Us),
    /// A node hears nobody.
    Alone(usize, Us),
    /// A firewall refuses in its place, for us alone.
    Firewall(usize, Us),
    /// Slow and lossy.
    Rough(usize, usize, Us),
    Crash(Us),
    Freeze(Us, bool),
    Disk(Us),
    SlowDisk(Us),
    OtherManager(usize, Us),
    Order(u64),
    /// The configuration is loaded again, changed or not.
    Reload(bool),
    /// The wall clock steps by an hour, forward or back.
    Clock(bool),
    /// A node hears nobody, and Pointsman is killed some time into that.
    Forsaken(usize, Us, Us),
}

impl Storm {
    /// A stormy schedule.
    pub(super) fn foretell(&mut self) {
        for _ in 0..self.plan.faults {
            let after = self.dice.below(self.plan.length);
            let fault = self.some_fault();
            self.at(after, Item::Fault(fault));
        }
    }

    fn some_fault(&mut self) -> Fault {
        let nodes = self.nodes.len() as u64;
        let any = usize::try_from(self.dice.below(nodes)).unwrap_or(0);
        let n = if self.chance(60) { 0 } else { any };
        let other = usize::try_from(self.dice.below(nodes + 1)).unwrap_or(0);
        let length = self.one_of(&[300 * MS, SECOND, 3 * SECOND, 8 * SECOND, 15 * SECOND]);
        let length = length / 2 + self.dice.below(length);
        let disk = self.one_of(&[Disk::Whole, Disk::Whole, Disk::Log, Disk::Old, Disk::Nothing, Disk::Nothing]);
        let both = self.chance(60);
        if !self.settings.failover.automatic && self.chance(40) {
            // Nobody replaces it in time: what keeps its standbys from copying the emptiness is that they are parked.
            return Fault::Kill(0, Disk::Nothing, SECOND + self.dice.below(3 * SECOND));
        }
        match self.dice.below(30) {
            0..5 => Fault::Kill(n, disk, length),
            5 => Fault::Kill(n, disk, 20 * MS + self.dice.below(200 * MS)),
            6 => Fault::Host(n, disk, length),
            7..10 => Fault::Hang(n, length),
            10 => Fault::Flap(n, 2 + self.dice.below(4)),
            11 => Fault::Sick(n, length),
            12..14 => Fault::Cut(US, n + 1, both, length),
            14 => Fault::Cut(n + 1, other, both, length),
            15 => Fault::Alone(n, length),
            16 => Fault::Firewall(n, length),
            17 => Fault::Rough(US, n + 1, length),
            18 => Fault::Rough(n + 1, other, length),
            19..21 => Fault::Crash(length / 4),
            21..23 => Fault::Freeze(length, both),
            23 if both => Fault::Disk(length),
            23 => Fault::SlowDisk(length),
            24 => Fault::OtherManager(n, length),
            25 => Fault::Order(self.dice.below(8)),
            26 | 27 => Fault::Reload(both),
            28 => Fault::Clock(both),
            // For as long as a primary that stops by itself is waited for.
            _ => Fault::Forsaken(n, 20 * SECOND + length, SECOND + self.dice.below(16 * SECOND)),
        }
    }

    pub(super) fn begin(&mut self, fault: Fault) {
        if self.healed {
            return;
        }
        self.say(|_| format!("fault {fault:?}"));
        // A fault aimed at the first node is meant for whoever is primary.
        let routed = self.core.durable().and_then(|state| state.route.target.clone());
        let routed = routed.and_then(|target| self.index(target.node.as_str())).unwrap_or(0);
        let meant = |n: usize| if n == 0 { routed } else { n };
        if !matches!(fault, Fault::Kill(..) | Fault::Flap(..) | Fault::Hang(..)) {
            self.ledger.disturbed_at = self.ledger.disturbed_at.max(self.now);
        }
        let length = match fault {
            Fault::Kill(n, disk, length) => {
                self.kill(meant(n));
                return self.at(length, Item::Over(Fault::Kill(meant(n), disk, length)));
            }
            Fault::Host(n, disk, length) => {
                self.nodes[meant(n)].host = false;
                self.kill(meant(n));
                return self.at(length, Item::Over(Fault::Kill(meant(n), disk, length)));
            }
            Fault::Hang(n, length) => {
                self.hang(meant(n));
                return self.at(length, Item::Over(Fault::Hang(meant(n), length)));
            }
            Fault::Flap(n, times) => {
                self.kill(meant(n));
                let after = 100 * MS + self.dice.below(2 * SECOND);
                return self.at(after, Item::Over(Fault::Flap(meant(n), times)));
            }
            Fault::Sick(n, length) => {
                self.nodes[meant(n)].sick = true;
                return self.at(length, Item::Over(Fault::Sick(meant(n), length)));
            }
            Fault::Cut(..) | Fault::Alone(..) | Fault::Firewall(..) | Fault::Rough(..) => self.begin_in_net(fault),
            Fault::Crash(back) => return self.crash(back),
            Fault::Freeze(length, all) => {
                // What starves us often harms others too: half of the time the primary dies near the end of it.
                let length = length.max(2500 * MS);
                if self.chance(50) {
                    let before = self.dice.below(SECOND);
                    self.at(length - before, Item::Fault(Fault::Kill(0, Disk::Whole, 4 * SECOND)));
                }
                return self.freeze(length, all);
            }
            Fault::Disk(length) => {
                self.core.disk_broken = true;
                length
            }
            Fault::SlowDisk(length) => {
                self.core.disk_slow = 500 * MS;
                length
            }
            Fault::OtherManager(n, length) => {
                self.nodes[n].other_manager = true;
                length
            }
            Fault::Order(which) => return self.some_order(which),
            Fault::Reload(changed) => return self.reload(changed),
            Fault::Clock(forward) => return self.step_clock(forward),
            Fault::Forsaken(n, length, killed) => {
                self.at(killed, Item::Fault(Fault::Crash(SECOND)));
                self.begin_in_net(Fault::Alone(meant(n), length));
                return self.at(length, Item::Over(Fault::Alone(meant(n), length)));
            }
        };
        self.at(length, Item::Over(fault));
    }

    /// Between two places; how long it lasts.
    fn begin_in_net(&mut self, fault: Fault) -> Us {
        match fault {
            Fault::Cut(one, other, both, length) => {
                self.net.set(one, other, Path::Cut);
                if both {
                    self.net.set(other, one, Path::Cut);
                }
                length
            }
            Fault::Alone(n, length) => {
                for place in (0..self.nodes.len() + 2).filter(|place| *place != n + 1) {
                    self.net.set(place, n + 1, Path::Cut);
                    self.net.set(n + 1, place, Path::Cut);
                }
                length
            }
            Fault::Firewall(n, length) => {
                self.net.set(US, n + 1, Path::Rejected);
                // What was found while it lied is acted on a moment later.
                self.ledger.lied_until = self.now + length + SECOND;
                length
            }
            Fault::Rough(one, other, length) => {
                let delay = self.dice.below(400 * MS);
                let drops = self.dice.below(40);
                self.net.worsen(one, other, delay, drops);
                length
            }
            _ => 0,
        }
    }

    pub(super) fn over(&mut self, fault: Fault) {
        if self.healed {
            return;
        }
        self.say(|_| format!("over {fault:?}"));
        match fault {
            Fault::Kill(n, disk, _) | Fault::Host(n, disk, _) => {
                if self.nodes[n].proc == Proc::Down {
                    let loading = self.one_of(&[0, 0, 300 * MS, 2 * SECOND]);
                    self.restart(n, disk, loading);
                }
            }
            Fault::Hang(n, _) => self.wake(n),
            Fault::Flap(n, times) => {
                if self.nodes[n].proc == Proc::Down {
                    self.restart(n, Disk::Whole, 0);
                    if times > 1 {
                        let after = SECOND + self.dice.below(4 * SECOND);
                        self.at(after, Item::Over(Fault::Flap(n, times - 1)));
                    }
                } else {
                    self.kill(n);
                    let after = 100 * MS + self.dice.below(2 * SECOND);
                    self.at(after, Item::Over(Fault::Flap(n, times)));
                }
            }
            Fault::Sick(n, _) => self.nodes[n].sick = false,
            Fault::Cut(one, other, ..) | Fault::Rough(one, other, _) => self.net.mend(one, other),
            Fault::Alone(n, _) => (0..self.nodes.len() + 2).for_each(|place| self.net.mend(place, n + 1)),
            Fault::Firewall(n, _) => self.net.mend(US, n + 1),
            Fault::Disk(_) => self.core.disk_broken = false,
            Fault::SlowDisk(_) => self.core.disk_slow = 0,
            Fault::OtherManager(n, _) => self.nodes[n].other_manager = false,
            Fault::Crash(_)
            | Fault::Freeze(..)
            | Fault::Order(_)
            | Fault::Reload(_)
            | Fault::Clock(_)
            | Fault::Forsaken(..) => {}
        }
        self.ledger.disturbed_at = self.ledger.disturbed_at.max(self.now);
    }

    /// The core hears of the new settings at once; a probe that is under way ends by the old ones.
    pub(super) fn reload(&mut self, changed: bool) {
        if self.now < self.core.frozen_until {
            let thawed = self.core.frozen_until - self.now;
            return self.ours(thawed, Item::Fault(Fault::Reload(changed)));
        }
        if changed {
            let mut settings = self.settings.as_ref().clone();
            vary(&mut settings, &mut self.dice);
            self.vary_nodes(&mut settings);
            self.say(|_| format!("reload: {:?}, {:?}, {:?}", settings.health, settings.failover, settings.clusters));
            self.settings = Arc::new(settings);
        }
        self.step(Event::Configured(Arc::clone(&self.settings)));
    }

    /// A node leaves the list, the routed one too, or the list is whole again.
    fn vary_nodes(&mut self, settings: &mut config::Service) {
        settings.clusters.clone_from(&self.plan.settings.clusters);
        if self.chance(40) {
            let gone = usize::try_from(self.dice.below(self.nodes.len() as u64)).unwrap_or(0);
            let name = &self.nodes[gone].name;
            settings.clusters.iter_mut().for_each(|cluster| cluster.nodes.retain(|node| node.address != *name));
            settings.clusters.retain(|cluster| !cluster.nodes.is_empty());
        }
    }

    /// Nothing is decided by the wall clock but how long something lasts over a restart of our own.
    pub(super) fn step_clock(&mut self, forward: bool) {
        self.core.clock_steps += if forward { 1 } else { -1 };
        if forward {
            self.ledger.forget_cooldowns_at_boot = true;
        }
    }

    fn some_order(&mut self, which: u64) {
        let cut = self.chance(50);
        let timeout = Duration::from_secs(3);
        let to = |cluster: &str| Some(cluster.into());
        let command = match which {
            0 => Command::Switchover { to: None, dry_run: true, cut_sessions: cut, timeout },
            1 => Command::Switchover { to: to("spare"), dry_run: false, cut_sessions: cut, timeout },
            2 => Command::Switchover { to: to("main"), dry_run: false, cut_sessions: cut, timeout },
            3 => Command::Switchover { to: None, dry_run: false, cut_sessions: cut, timeout },
            4 => Command::Failover { to: None, dry_run: false, accept_loss: true },
            5 => Command::Pause(Duration::from_secs(10)),
            6 => Command::Mode(Mode::ReadOnly),
            _ => {
                self.accepting();
                Command::Mode(Mode::Open)
            }
        };
        self.order(command);
    }

    /// Everything is mended; what was down starts whole.
    pub(super) fn heal(&mut self) {
        self.say(|storm| format!("HEALED, after {:.0} s of storm", seconds(storm.plan.length)));
        self.net.heal();
        self.core.disk_broken = false;
        self.core.disk_slow = 0;
        for n in 0..self.nodes.len() {
            (self.nodes[n].sick, self.nodes[n].other_manager, self.nodes[n].host) = (false, false, true);
            self.wake(n);
            if self.nodes[n].proc == Proc::Down {
                self.restart(n, Disk::Whole, 0);
            }
        }
        let mut settings = self.settings.as_ref().clone();
        settings.clusters.clone_from(&self.plan.settings.clusters);
        self.settings = Arc::new(settings);
        self.ours(0, Item::Core(Event::Configured(Arc::clone(&self.settings))));
        if self.core.machine.is_none() {
            self.boot();
        }
        self.healed = true;
    }
}
