//! The read port: which node it leads to, and how it gets there.

use super::{LONG, answered, ready, switchover};
use crate::{
    config::Replication,
    decision::{Event, Now, ReadRoute, ReadView, world::World},
    model::{
        name::NodeAddress,
        observation::{Observation, Part, Reach},
        operation::Command,
        route::{Epoch, Mode, Readying},
        signal::Signal,
        view::Health,
    },
};
use std::time::Duration;

const MS_20: Duration = Duration::from_millis(20);

/// A world with a read port, whose two workers answer at once, but never have nothing in flight while they are busy.
struct Port {
    world: World,
    reads: ReadRoute,
    shown: Vec<ReadView>,
    busy: bool,
    stuck: bool,
}

impl Port {
    fn new(seed: u64) -> Self {
        Self::of(seed, Replication::Managed)
    }

    fn of(seed: u64, replication: Replication) -> Self {
        let mut world = World::new(seed, replication);
        assert!(world.run_until(LONG, World::settled), "{:?}", world.machine.view(world.now()));
        Self { world, reads: ReadRoute::default(), shown: Vec::new(), busy: false, stuck: false }
    }

    /// One look of the driver, and the workers' answers to what they were shown.
    fn follow(&mut self) {
        let view = self.reads.follow(&self.world.machine, 2, self.stuck, self.world.now());
        if self.shown.last() != Some(&view) {
            let before = self.shown.last().map_or(Epoch(0), |before| before.route.epoch);
            let same =
                self.shown.last().is_some_and(|before| (&before.route, &before.next) == (&view.route, &view.next));
            assert!(same || view.route.epoch > before, "each change has an epoch of its own: {view:?}");
            self.shown.push(view);
        }
        let Some(ReadView { route, next, .. }) = self.shown.last() else { return };
        let epoch = route.epoch;
        for worker in 0..2 {
            match next {
                Some((_, Readying::Warm)) => self.reads.acknowledged(&Signal::Warm { worker, epoch }),
                Some((_, Readying::HandOver)) if !self.busy => {
                    self.reads.acknowledged(&Signal::Drained { worker, epoch });
                    self.reads.acknowledged(&Signal::HandedOver { worker, epoch });
                }
                Some(_) | None => {}
            }
        }
    }

    fn run(&mut self, length: Duration) {
        let end = self.world.now().mono + length;
        while self.world.now().mono < end {
            self.world.run(MS_20);
            self.follow();
        }
    }

    /// Runs until reads go to that node; how long it took.
    #[track_caller]
    fn until(&mut self, node: &str) -> Duration {
        let begun = self.world.now().mono;
        while self.node() != node {
            self.run(MS_20);
            assert!(self.world.now().mono < begun + LONG, "{:?}", self.shown.last());
        }
        self.world.now().mono.saturating_sub(begun)
    }

    fn node(&self) -> &str {
        let target = self.shown.last().and_then(|view| view.route.target.as_ref());
        target.map_or("", |target| target.node.as_str())
    }

    fn set(&mut self, node: &str, change: impl Fn(&mut crate::decision::world::Node)) {
        change(self.world.nodes.get_mut(&NodeAddress::from(node)).expect("a node"));
    }

    /// The modes that workers were shown since `from`.
    fn modes(&self, from: usize) -> Vec<Mode> {
        self.shown[from..].iter().map(|view| view.route.mode).collect()
    }
}

#[test]
fn the_first_standby_in_order_serves_and_is_left_alone() {
    let mut port = Port::new(1);
    port.run(Duration::from_secs(5));
    assert_eq!(port.node(), "b:1");
    let view = port.shown.last().expect("a view");
    assert_eq!((view.route.mode, view.process.as_deref()), (Mode::ReadOnly, Some("run-b:1")));
    assert_eq!(port.shown.len(), 1, "{:?}", port.shown);
}

#[test]
fn nothing_is_shown_before_a_primary_is_known() {
    let mut world = World::new(2, Replication::Managed);
    let mut reads = ReadRoute::default();
    let view = reads.follow(&world.machine, 2, false, world.now());
    assert_eq!((view.route.mode, view.route.target), (Mode::Closed, None));
    assert!(reads.shown().is_none());
    assert!(world.run_until(LONG, ready));
    assert!(reads.follow(&world.machine, 2, false, world.now()).route.target.is_some());
}

#[test]
fn a_dead_standby_is_left_for_the_next_and_the_primary_without_a_hold() {
    let mut port = Port::new(3);
    port.until("b:1");
    port.set("b:1", |node| node.up = false);
    port.until("c:1");
    assert_eq!(port.world.machine.nodes[&NodeAddress::from("b:1")].health, Health::Down, "it had its chances");
    port.set("c:1", |node| node.up = false);
    port.until("a:1");
    assert_eq!(port.shown.last().expect("a view").process.as_deref(), Some("run-a:1"));
    assert!(port.modes(0).iter().all(|mode| *mode == Mode::ReadOnly), "{:?}", port.shown);
    port.set("b:1", |node| node.up = true);
    let before = port.shown.len();
    port.until("b:1");
    assert_eq!(
        port.modes(before),
        [Mode::ReadOnly, Mode::Hold, Mode::ReadOnly],
        "from a node that answers it is a planned move"
    );
}

#[test]
fn old_data_is_left_and_taken_again_when_it_is_young() {
    let mut port = Port::new(4);
    port.until("b:1");
    port.set("b:1", |node| node.starved = true);
    port.set("c:1", |node| node.starved = true);
    let left = port.until("a:1");
    assert!(left >= Duration::from_secs(9) && left < Duration::from_secs(12), "max_lag is 10 s: {left:?}");
    port.set("c:1", |node| node.starved = false);
    port.until("c:1");
    port.set("b:1", |node| node.starved = false);
    port.run(Duration::from_secs(5));
    assert_eq!(port.node(), "c:1", "the one in force stays");
}

#[test]
fn a_drained_cluster_is_left() {
    let mut port = Port::new(5);
    port.until("b:1");
    port.world.order(1, Command::Drain("spare".into()));
    port.until("a:1");
}

#[test]
fn the_standby_that_is_promoted_serves_on_and_reads_follow_to_the_old_primary() {
    let mut port = Port::new(6);
    port.until("b:1");
    port.world.order(1, switchover("spare"));
    while port.world.machine.switch.is_some() || port.world.answer(1).is_none() {
        assert_eq!((port.node(), port.shown.len()), ("b:1", 1), "{:?}", port.shown);
        port.world.run(Duration::from_millis(1));
        if port.world.machine.switch.is_some() {
            port.follow();
        }
    }
    port.until("a:1");
    assert_eq!(answered(&mut port.world, 1).epoch_after, Some(Epoch(3)), "the service's epochs are its own");
}

#[test]
fn when_the_primary_dies_its_standby_serves_on() {
    let mut port = Port::new(7);
    port.until("b:1");
    port.set("a:1", |node| node.up = false);
    let moved =
        |world: &World| world.machine.route().target.as_ref().is_some_and(|target| target.node.as_str() != "a:1");
    while !moved(&port.world) {
        assert_eq!(port.node(), "b:1");
        port.run(MS_20);
    }
    port.run(Duration::from_secs(5));
    assert_ne!(port.node(), "a:1");
    assert!(port.modes(0).iter().all(|mode| *mode != Mode::Closed));
}

#[test]
fn only_closed_closes_it() {
    let mut port = Port::new(8);
    port.until("b:1");
    for (ticket, mode, shown) in
        [(1, Mode::Hold, Mode::ReadOnly), (2, Mode::Closed, Mode::Closed), (3, Mode::Open, Mode::ReadOnly)]
    {
        port.world.order(ticket, Command::Mode(mode));
        answered(&mut port.world, ticket);
        port.run(MS_20);
        assert_eq!(port.modes(0).last(), Some(&shown), "{mode:?}");
    }
    assert_eq!(port.node(), "b:1");
}

#[test]
fn who_cannot_move_keeps_the_primary_and_not_a_node_that_was_left() {
    let mut port = Port::new(9);
    port.until("b:1");
    port.stuck = true;
    port.world.order(1, Command::Drain("spare".into()));
    let took = port.until("a:1");
    assert!(took >= Duration::from_secs(1), "they get a moment to end: {took:?}");
    port.world.order(2, Command::Restore("spare".into()));
    port.run(Duration::from_secs(30));
    assert_eq!((port.node(), port.modes(0).last()), ("a:1", Some(&Mode::ReadOnly)));
    assert!(port.shown.last().expect("a view").next.is_none(), "no second connections for as long as that takes");
    port.stuck = false;
    port.until("b:1");
}

#[test]
fn a_move_from_the_primary_that_does_not_come_to_its_end_is_given_up() {
    let mut port = Port::new(10);
    port.until("b:1");
    port.world.order(1, Command::Drain("spare".into()));
    port.until("a:1");
    port.world.order(2, Command::Restore("spare".into()));
    port.busy = true;
    while port.modes(0).last() != Some(&Mode::Hold) {
        port.run(MS_20);
    }
    port.run(Duration::from_secs(2));
    assert_eq!((port.node(), port.modes(0).last()), ("a:1", Some(&Mode::ReadOnly)), "held for drain_timeout at most");
    port.busy = false;
    port.until("b:1");
}

#[test]
fn whoever_moves_the_roles_standbys_serve_and_without_standbys_the_primary_does() {
    for (replication, node) in [(Replication::External, "b:1"), (Replication::None, "a:1")] {
        let mut port = Port::of(11, replication);
        port.until(node);
        port.run(Duration::from_secs(2));
        let view = port.shown.last().expect("a view");
        assert_eq!((port.node(), &view.process, port.shown.len()), (node, &None, 1), "{:?}", port.shown);
    }
}

/// Reads for a while without the world, from standbys that have lost their links, while each probe of the primary ends so.
fn reads_without(seed: u64, reach: &Reach) -> String {
    let mut port = Port::new(seed);
    port.until("b:1");
    let Port { world, mut reads, .. } = port;
    let mut now = world.now();
    let lost = |node: &str| {
        let mut answer = world.machine.nodes[&NodeAddress::from(node)].answer.clone().expect("an answer");
        answer.part = Part::Standby { of: "a:1".into(), link_up: false, silent_for: None, syncing: false };
        Reach::Answered(Box::new(answer))
    };
    let probes = [("b:1", lost("b:1")), ("c:1", lost("c:1")), ("a:1", reach.clone())];
    let mut machine = world.machine;
    for _ in 0..80 {
        now = Now { mono: now.mono + Duration::from_millis(200), wall: now.wall };
        for (node, reach) in &probes {
            let observation = Observation::new(reach.clone(), Duration::from_millis(1));
            // Nobody carries the effects out, so that no failover changes the picture.
            machine.step(Event::Observed { node: (*node).into(), observation }, now);
        }
        reads.follow(&machine, 2, false, now);
    }
    reads.shown().expect("a route").node.to_string()
}

#[test]
fn a_standby_grows_older_while_its_primary_may_write_on_unseen() {
    assert_eq!(reads_without(12, &Reach::Unreachable("no route".into())), "a:1", "16 s are more than max_lag");
    assert_eq!(reads_without(13, &Reach::Refused), "b:1", "nobody writes there");
}
