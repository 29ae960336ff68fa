//! Clusters that serve as a whole: what proves one dead, what may become the target, and a route that follows its cluster.

use super::{LONG, answered, one_end_each, ready, routed, switchover};
use crate::{
    decision::world::World,
    model::{
        guard::{Guard, Refusal},
        name::NodeAddress,
        observation::Reach,
        operation::{Command, Order, Outcome},
        record::{Change, RecordKind},
        route::{Epoch, Mode},
        view::{Health, Role, Standing},
    },
};
use std::time::Duration;

fn steady(seed: u64) -> World {
    let mut world = World::whole(seed);
    assert!(world.run_until(LONG, ready), "{:?}", world.machine.view(world.now()));
    world
}

fn node<'a>(world: &'a mut World, name: &str) -> &'a mut crate::decision::world::Node {
    world.nodes.get_mut(&NodeAddress::from(name)).expect("a node")
}

fn dry_run() -> Command {
    Command::Switchover { to: None, dry_run: true, cut_sessions: false, timeout: LONG }
}

/// A switch that accepts what differs.
fn accepting() -> Order {
    Order { overrides: vec![Guard::Difference], ..Order::new(switchover("spare"), "uid:0", "") }
}

fn reasons(world: &World) -> Vec<Guard> {
    world.machine.view(world.now()).switchover_ready.reasons.iter().map(|reason| reason.name).collect()
}

#[test]
fn a_planned_switch_moves_the_route_and_shows_all_nodes() {
    let mut world = steady(1);
    let view = world.machine.view(world.now());
    let shown: Vec<_> =
        view.clusters[1].nodes.iter().map(|node| (node.address.as_str(), node.health, node.role)).collect();
    assert_eq!(shown, [("b:1", Health::Up, Role::Standby), ("b:2", Health::Up, Role::Standby)]);
    world.order(1, switchover("spare"));
    assert_eq!(answered(&mut world, 1).outcome, Outcome::Done);
    assert_eq!((routed(&world), world.machine.route().mode), ("b:1", Mode::Open));
    one_end_each(&world);
}

#[test]
fn a_cluster_that_refuses_is_left_at_once_and_reads_go_on() {
    let mut world = steady(2);
    node(&mut world, "a:1").up = false;
    assert!(world.run_until(Duration::from_secs(3), |world| routed(world) == "b:1"));
    assert_eq!(world.machine.route().mode, Mode::ReadOnly);
    let lost = world.machine.view(world.now());
    assert_eq!(lost.route.map(|route| route.cluster.to_string()), Some("spare".into()));
    // Back by an order, and open by another.
    node(&mut world, "a:1").up = true;
    assert!(world.run_until(LONG, |world| world.machine.view(world.now()).switchover_ready.ready));
    world.order(1, switchover("main"));
    assert_eq!(answered(&mut world, 1).outcome, Outcome::Done);
    world.order(2, Command::Mode(Mode::Open));
    answered(&mut world, 2);
    assert_eq!((routed(&world), world.machine.route().mode), ("a:1", Mode::Open));
    one_end_each(&world);
}

#[test]
fn silence_of_all_nodes_proves_a_hang_after_its_window_and_not_before() {
    for reach in [Reach::Silent, Reach::Unreachable("no route".into())] {
        let mut world = steady(3);
        node(&mut world, "a:1").reach = Some(reach);
        assert!(!world.run_until(Duration::from_secs(6), |world| routed(world) == "b:1"));
        assert!(world.run_until(Duration::from_secs(1), |world| routed(world) == "b:1"));
        assert_eq!(world.machine.route().mode, Mode::ReadOnly);
    }
}

#[test]
fn a_cluster_that_turns_us_away_is_alive() {
    let mut world = steady(4);
    node(&mut world, "a:1").reach = Some(Reach::Rejected("our login is refused".into()));
    world.run(Duration::from_secs(20));
    assert_eq!((routed(&world), world.machine.route().mode), ("a:1", Mode::Open));
}

#[test]
fn an_unwell_cluster_keeps_its_traffic_and_may_be_left() {
    let mut world = steady(5);
    node(&mut world, "a:1").unfit = "has no master".into();
    node(&mut world, "a:1").fenced = true; // It takes no writes.
    world.run(Duration::from_secs(20));
    let view = world.machine.view(world.now());
    assert_eq!((routed(&world), view.state), ("a:1", Standing::Suspect));
    assert_eq!(view.note, "a:1 takes no writes: has no master");
    assert_eq!(view.clusters[0].nodes[0].note, "has no master");
    world.order(1, switchover("spare"));
    assert_eq!(answered(&mut world, 1).outcome, Outcome::Done);
    assert_eq!(routed(&world), "b:1");
}

#[test]
fn below_what_is_required_a_cluster_is_no_target_planned_or_not() {
    let mut world = steady(6);
    node(&mut world, "b:1").unfit = "red: 1 shards are unassigned".into();
    world.run(Duration::from_secs(1));
    assert_eq!(reasons(&world), [Guard::Fit]);
    world.order(1, switchover("spare"));
    let refused = answered(&mut world, 1);
    assert_eq!(
        (refused.outcome, refused.guards[0].detail.as_str()),
        (Outcome::Refused, "spare: red: 1 shards are unassigned")
    );
    node(&mut world, "a:1").up = false;
    world.run(Duration::from_secs(10));
    assert_eq!(routed(&world), "a:1");
    assert_eq!(world.machine.view(world.now()).state, Standing::Blocked);
    node(&mut world, "b:1").unfit.clear();
    assert!(world.run_until(Duration::from_secs(3), |world| routed(world) == "b:1"));
}

#[test]
fn differences_refuse_a_planned_switch_unless_they_are_accepted_and_never_a_failover() {
    let mut world = steady(7);
    node(&mut world, "b:1").differences = vec![Refusal::new(Guard::Difference, "index orders: the target has none")];
    world.order(1, dry_run());
    let dry = answered(&mut world, 1);
    assert_eq!((dry.outcome, dry.guards.len(), dry.guards[0].name), (Outcome::Refused, 1, Guard::Difference));
    world.order(2, switchover("spare"));
    assert_eq!(answered(&mut world, 2).guards[0].name, Guard::Difference);
    world.order_fully(3, accepting());
    assert_eq!(answered(&mut world, 3).outcome, Outcome::Done);
    assert_eq!(world.journal.iter().filter(|record| record.kind == RecordKind::Override).count(), 1);
    node(&mut world, "a:1").differences = vec![Refusal::new(Guard::Difference, "index orders: the target has none")];
    world.run(Duration::from_secs(61));
    assert_eq!(reasons(&world), [Guard::Difference]);
    assert!(world.machine.view(world.now()).failover_ready.ready);
    node(&mut world, "b:1").up = false;
    assert!(world.run_until(Duration::from_secs(3), |world| routed(world) == "a:1"));
    world.run(Duration::from_secs(1));
    one_end_each(&world);
}

#[test]
fn a_comparison_that_cannot_be_made_is_a_difference_too() {
    let mut world = steady(8);
    node(&mut world, "a:1").fitness_error = true;
    world.run(Duration::from_secs(61));
    assert_eq!(reasons(&world), [Guard::Difference]);
    world.order_fully(1, accepting());
    assert_eq!(answered(&mut world, 1).outcome, Outcome::Done);
}

#[test]
fn a_dry_run_counts_documents() {
    let mut world = steady(9);
    node(&mut world, "a:1").counts = [("orders".to_owned(), 7), ("products".to_owned(), 3)].into();
    node(&mut world, "b:1").counts = [("orders".to_owned(), 5)].into();
    world.order(1, dry_run());
    let dry = answered(&mut world, 1);
    assert_eq!((dry.outcome, dry.detail.as_str()), (Outcome::Done, "documents: products 3 -> 0, orders 7 -> 5"));
}

#[test]
fn the_route_follows_its_cluster_to_another_first_node() {
    let mut world = steady(10);
    let mut settings = (*world.settings).clone();
    settings.clusters[0].nodes.remove(0);
    world.reload(settings);
    assert!(world.run_until(LONG, |world| routed(world) == "a:2" && ready(world)));
    assert_eq!((world.machine.route().epoch, world.machine.route().mode), (Epoch(2), Mode::Open));
    assert_eq!(world.durable().route.target.map(|target| target.node), Some("a:2".into()));
    // Changed while nobody ran.
    let mut settings = (*world.settings).clone();
    settings.clusters[0].nodes[0].address = "a:1".into();
    world.settings = std::sync::Arc::new(settings);
    world.boot();
    assert!(world.run_until(LONG, |world| routed(world) == "a:1" && ready(world)));
    let flips = world.journal.iter().filter(|record| matches!(record.detail, Change::Routed { .. }));
    assert_eq!(flips.count(), 3);
}
