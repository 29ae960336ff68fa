//! Sessions: they write per the view they saw last, and answer what control asks.

use super::{
    Item, MS, SECOND, Sabotage, Storm, WORKERS, core,
    net::{Path, US},
    node::{Follows, Proc},
    probe::Reached,
};
use crate::{
    decision::Event,
    model::{
        route::{Mode, Readying, Route, Target},
        signal::Signal,
    },
};

#[derive(Clone, Default)]
pub(super) struct Worker {
    pub(super) route: Route,
    next: Option<(Target, Readying)>,
    /// The process that may be served; empty for none, absent where nobody judges that.
    process: Option<String>,
    in_flight: Vec<Sent>,
}

/// A write without an answer, and the process that its connection leads to.
#[derive(Clone, Copy)]
struct Sent {
    write: u32,
    n: usize,
    run: u64,
}

/// What workers are shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shown {
    route: Route,
    next: Option<(Target, Readying)>,
    process: Option<String>,
}

/// What a process calls itself, behind its server's name where it has one.
pub(super) fn run_id(run: u64) -> String {
    format!("run-{run}")
}

impl Storm {
    /// A worker sees a view.
    pub(super) fn shown(&mut self, worker: usize, shown: Shown) {
        let Shown { route, next, process } = shown;
        let serving = route.target.as_ref().filter(|_| matches!(route.mode, Mode::Open | Mode::ReadOnly));
        let serving = serving.and_then(|target| self.index(target.node.as_str()));
        let w = &mut self.workers[worker];
        // What is unanswered elsewhere, or at another process, gets an error that says so.
        let led = |sent: &Sent| serving.is_none_or(|n| sent.n == n);
        w.in_flight
            .retain(|sent| led(sent) && process.as_ref().is_none_or(|process| process.ends_with(&run_id(sent.run))));
        (w.route, w.next, w.process) = (route, next, process);
        let after = self.dice.below(3 * MS);
        self.ours(after, Item::Report(worker));
    }

    pub(super) fn report(&mut self, worker: usize) {
        let w = &self.workers[worker];
        let epoch = w.route.epoch;
        let held = w.route.mode == Mode::Hold;
        let drained = held && w.in_flight.is_empty();
        let next = w.next.as_ref().map(|(_, how)| *how);
        let mut signals = Vec::new();
        match next {
            Some(Readying::Warm) => signals.push(Signal::Warm { worker, epoch }),
            Some(Readying::HandOver) => signals.push(Signal::HandedOver { worker, epoch }),
            None => {}
        }
        if held {
            signals.push(Signal::Held { worker, epoch });
        }
        if drained {
            signals.push(Signal::Drained { worker, epoch });
        }
        for signal in signals {
            // A mailbox that is full loses it; it is sent again.
            if !self.chance(2) {
                self.step(Event::Signal(signal));
            }
        }
        if next.is_some() || held {
            let after = if held && !drained { 10 * MS } else { 150 * MS };
            self.ours(after, Item::Report(worker));
        }
    }

    /// The next write of a worker's clients.
    pub(super) fn send(&mut self, worker: usize) {
        let pace = if self.healed { SECOND / 2 } else { 60 * MS };
        let after = pace / 2 + self.dice.below(pace);
        self.ours(after, Item::Send(worker));
        let route = self.workers[worker].route.clone();
        let target = route.target.as_ref().filter(|_| route.mode == Mode::Open);
        let Some(n) = target.and_then(|target| self.index(target.node.as_str())) else { return };
        let (run, reached) = (self.nodes[n].run, self.reach(US, n));
        // Each connection asks which process it leads to.
        let answers = matches!(reached, Reached::Open);
        if answers && self.workers[worker].process.as_ref().is_some_and(|process| !process.ends_with(&run_id(run))) {
            let name = self.nodes[n].name.clone();
            return self.step(Event::Signal(Signal::Stranger(name)));
        }
        let write = self.ledger.sent(n, worker, route.epoch.0);
        let name = self.nodes[n].name.clone();
        let there = self.net.travel(US, n + 1, &mut self.dice);
        let life = self.core.life;
        let sent = Sent { write, n, run };
        match reached {
            Reached::Refused => self.step(Event::Signal(Signal::Refused(name))),
            Reached::Unreachable if self.net.path(US, n + 1) != Path::Open || !self.nodes[n].host => {
                self.workers[worker].in_flight.push(sent);
            }
            // Through, though the answer may not come back.
            Reached::Open | Reached::Silent | Reached::Unreachable => {
                self.workers[worker].in_flight.push(sent);
                self.at(there, Item::Arrive(write, n, run, life));
            }
        }
    }

    /// A write reaches its node.
    pub(super) fn arrive(&mut self, write: u32, n: usize, run: u64, life: u64) {
        let now = self.now;
        if self.nodes[n].run != run {
            // Its connection led to a process that is gone.
            return self.hears(write, n, life, false);
        }
        match self.nodes[n].proc {
            Proc::Hung => return self.nodes[n].inbox.push(Item::Arrive(write, n, run, life)),
            Proc::Down | Proc::Loading => return self.hears(write, n, life, false),
            Proc::Up => {}
        }
        let well = self.nodes[n].host && self.nodes[n].takes_writes(now);
        if well {
            self.nodes[n].push(Some(write), now);
            self.accepted(write, n);
            if self.plan.semi_sync() {
                return self.waits(write, n, run, life);
            }
        }
        self.hears(write, n, life, well);
    }

    /// Until as many standbys have a write as its primary wants; it is in that one's log all the while.
    pub(super) fn waits(&mut self, write: u32, n: usize, run: u64, life: u64) {
        let has = self.standbys_of(n).filter(|standby| self.nodes[*standby].data.contains(&write)).count() as u64;
        let node = &mut self.nodes[n];
        match node.proc {
            Proc::Hung => node.inbox.push(Item::Waits(write, n, run, life)),
            Proc::Up if node.run == run && node.is_primary() => {
                if has >= node.to_write {
                    return self.hears(write, n, life, true);
                }
                self.at(5 * MS, Item::Waits(write, n, run, life));
            }
            // Its connection is gone.
            Proc::Up | Proc::Down | Proc::Loading => {}
        }
    }

    /// The standbys that a primary hears.
    fn standbys_of(&self, n: usize) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(move |s| {
            let standby = &self.nodes[*s];
            let attached = standby.follows == Follows::Node(n) && standby.link.up && self.nodes[n].acks[*s].is_some();
            attached && standby.proc == Proc::Up && standby.host && self.net.open(s + 1, n + 1)
        })
    }

    /// Whether a write at a node would be answered well now, or when it wakes.
    pub(super) fn answers_writes(&self, n: usize) -> bool {
        let node = &self.nodes[n];
        let enough = !node.semi_sync || self.standbys_of(n).count() as u64 >= node.to_write;
        enough && node.takes_writes(self.now)
    }

    fn hears(&mut self, write: u32, n: usize, life: u64, well: bool) {
        if life == self.core.life && self.net.path(n + 1, US) == Path::Open && self.nodes[n].host {
            let back = self.net.travel(n + 1, US, &mut self.dice);
            self.ours(back, Item::Answered(write, well));
        }
    }

    pub(super) fn answered(&mut self, write: u32, well: bool) {
        let worker = self.ledger.worker(write);
        let w = &mut self.workers[worker];
        let Some(place) = w.in_flight.iter().position(|sent| sent.write == write) else { return };
        let n = w.in_flight.remove(place).n;
        if well {
            self.acknowledged(write);
        } else {
            let name = self.nodes[n].name.clone();
            self.step(Event::Signal(Signal::WrongRole(name)));
        }
    }

    /// A process died, or cut its clients: what waits there is answered "outcome unknown".
    pub(super) fn broken_connections(&mut self, n: usize) {
        if !self.net.open(US, n + 1) || !self.nodes[n].host {
            return;
        }
        let mut noticed = false;
        for w in &mut self.workers {
            let before = w.in_flight.len();
            w.in_flight.retain(|sent| sent.n != n);
            let there = w.route.target.as_ref().is_some_and(|target| target.node == self.nodes[n].name);
            noticed |= before != w.in_flight.len() || there;
        }
        if noticed && self.core.machine.is_some() {
            let name = self.nodes[n].name.clone();
            self.ours(MS, Item::Core(Event::Signal(Signal::Reset(name))));
        }
    }

    /// What the harness lies about the workers.
    pub(super) fn lie_about_holds(&mut self, route: &Route) {
        if self.sabotage == Some(Sabotage::BarrierIgnored) && route.mode == Mode::Hold {
            for worker in 0..WORKERS {
                let drained = Signal::Drained { worker, epoch: route.epoch };
                self.ours(0, Item::Core(Event::Signal(drained)));
            }
        }
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.workers.iter().map(|worker| worker.in_flight.len() as u64).sum()
    }

    /// What the core publishes, with the process that may be served.
    pub(super) fn publish(&mut self, route: Route, next: Option<(Target, Readying)>) {
        let process = self.process();
        self.show(&Shown { route, next, process });
    }

    /// Called after each step: another process may be served than workers know of.
    pub(super) fn admit(&mut self) {
        let process = self.process();
        if self.core.shown.process != process {
            self.show(&Shown { process, ..self.core.shown.clone() });
        }
    }

    fn process(&self) -> Option<String> {
        self.core.machine.as_ref().and_then(|machine| machine.process()).map(str::to_owned)
    }

    /// When workers see what is published: a worker that is busy, or whose core is, may be late.
    fn show(&mut self, shown: &Shown) {
        self.core.shown = shown.clone();
        for worker in 0..WORKERS {
            let after = if self.chance(2) { self.dice.below(300 * MS) } else { self.dice.below(2 * MS) };
            // In order: a later view never overtakes an earlier one.
            let at = (self.now + after).max(self.core.shown_until[worker]);
            self.core.shown_until[worker] = at;
            let after = at - self.now;
            self.ours(after, Item::Shown(worker, shown.clone()));
        }
    }

    pub(super) fn begin_sending(&mut self) {
        for worker in 0..WORKERS {
            self.workers[worker] = Worker::default();
            let after = core::TICK / 2 + self.dice.below(60 * MS);
            self.ours(after, Item::Send(worker));
        }
    }
}
