//! The machine in its world: ordinary ways and refusals; every seed's faults and crashes stand in `seeds`.

mod admission;
mod approval;
mod crash;
mod fitness;
mod inquiry;
mod reading;
mod seeds;
mod sets;
mod whole;

use super::world::World;
use crate::{
    config::Replication,
    model::{
        guard::Guard,
        name::NodeAddress,
        operation::{Command, Operation, Order, Outcome},
        record::Change,
        route::{Epoch, Mode},
        signal::StuckSession,
        view::{Role, Standing},
    },
};
use std::{collections::BTreeMap, time::Duration};

const LONG: Duration = Duration::from_mins(1);

fn switchover(to: &str) -> Command {
    Command::Switchover { to: Some(to.into()), dry_run: false, cut_sessions: false, timeout: Duration::from_secs(5) }
}

fn steady(seed: u64, replication: Replication) -> World {
    let mut world = World::new(seed, replication);
    assert!(world.run_until(LONG, ready), "{:?}", world.machine.view(world.now()));
    world
}

fn ready(world: &World) -> bool {
    world.settled() && world.machine.view(world.now()).switchover_ready.ready
}

fn answered(world: &mut World, ticket: u64) -> Operation {
    assert!(world.run_until(LONG, |world| world.answer(ticket).is_some()), "no answer");
    world.answer(ticket).cloned().unwrap()
}

fn routed(world: &World) -> &str {
    world.machine.route().target.as_ref().map_or("", |target| target.node.as_str())
}

/// Every operation that began or was refused has one end.
fn one_end_each(world: &World) {
    let mut ends: BTreeMap<&str, u32> = BTreeMap::new();
    for record in &world.journal {
        match &record.detail {
            Change::Began { operation, .. } | Change::Asked { operation, .. } => {
                ends.entry(operation.id.as_str()).or_default();
            }
            Change::Ended { operation } => *ends.entry(operation.id.as_str()).or_default() += 1,
            _ => {}
        }
    }
    assert!(ends.values().all(|count| *count == 1), "{ends:?}");
}

#[test]
fn the_first_start_routes_to_the_primary() {
    let world = steady(1, Replication::Managed);
    assert_eq!(routed(&world), "a:1");
    assert_eq!(world.machine.route().epoch, Epoch(1));
    assert_eq!(world.machine.route().mode, Mode::Open);
    assert!(world.durable().lineage.is_some());
}

#[test]
fn a_planned_switch_moves_there_and_back_with_all_roles() {
    let mut world = steady(2, Replication::Managed);
    world.order(1, switchover("spare"));
    let operation = answered(&mut world, 1);
    assert_eq!(operation.outcome, Outcome::Done, "{operation:?}");
    assert_eq!((operation.epoch_before, operation.epoch_after), (Epoch(1), Some(Epoch(3))));
    assert_eq!(operation.id.as_str(), "cart-1");
    assert_eq!(operation.client_stall_ms, Some(5.0));
    assert_eq!(routed(&world), "b:1");
    let follows = |world: &World, node: &str| world.nodes[&NodeAddress::from(node)].follows.clone();
    assert_eq!(follows(&world, "a:1"), Some("b:1".into()));
    assert_eq!(follows(&world, "c:1"), Some("b:1".into()));
    assert_eq!(world.nodes[&NodeAddress::from("a:1")].setting, "1", "the setting before the fence is back");
    assert!(world.run_until(LONG, ready));
    world.order(2, switchover("main"));
    assert_eq!(answered(&mut world, 2).outcome, Outcome::Done);
    assert_eq!(routed(&world), "a:1");
    assert_eq!(world.machine.route().epoch, Epoch(5));
    one_end_each(&world);
}

#[test]
fn a_standby_that_receives_nothing_is_waited_for_before_the_hold() {
    let mut world = steady(13, Replication::Managed);
    let starve = |world: &mut World, starved| {
        for name in ["b:1", "c:1"] {
            world.nodes.get_mut(&NodeAddress::from(name)).unwrap().starved = starved;
        }
    };
    starve(&mut world, true);
    world.run(Duration::from_millis(50));
    world.order(1, switchover("spare"));
    let held = world.run_until(Duration::from_millis(800), |world| world.machine.route().mode == Mode::Hold);
    assert!(!held, "applications run on while it receives nothing");
    starve(&mut world, false);
    assert_eq!(answered(&mut world, 1).outcome, Outcome::Done);
}

#[test]
fn independent_clusters_only_move_the_route() {
    let mut world = steady(3, Replication::None);
    world.order(1, switchover("spare"));
    let operation = answered(&mut world, 1);
    assert_eq!(operation.outcome, Outcome::Done, "{operation:?}");
    assert_eq!(routed(&world), "b:1");
    assert!(world.promotions.is_empty());
    assert!(world.nodes.values().all(|node| node.follows.is_none() && !node.fenced));
}

#[test]
fn a_switch_to_where_the_route_is_changes_nothing() {
    let mut world = steady(4, Replication::Managed);
    let before = world.machine.route().clone();
    world.order(1, switchover("main"));
    assert_eq!(answered(&mut world, 1).outcome, Outcome::Done);
    assert_eq!(*world.machine.route(), before);
}

#[test]
fn sessions_that_cannot_move_refuse_the_switch_and_are_named() {
    let mut world = steady(5, Replication::Managed);
    world.stuck = vec![StuckSession { client: "10.9.9.9:4000".into(), why: "transaction open for 3 s".into() }];
    world.run(Duration::from_millis(100));
    world.order(1, switchover("spare"));
    let operation = answered(&mut world, 1);
    assert_eq!(operation.outcome, Outcome::Refused);
    assert_eq!(operation.guards[0].name, Guard::Sessions);
    assert_eq!(operation.sessions, world.stuck);
    world.order(
        2,
        Command::Switchover { to: None, dry_run: false, cut_sessions: true, timeout: Duration::from_secs(1) },
    );
    assert_eq!(answered(&mut world, 2).outcome, Outcome::Done);
}

#[test]
fn a_dry_run_and_the_switch_give_the_same_reasons_and_the_dry_run_leaves_no_trace() {
    let mut world = steady(6, Replication::Managed);
    for node in ["b:1", "c:1"] {
        world.nodes.get_mut(&NodeAddress::from(node)).unwrap().fitness_error = true;
    }
    world.run(Duration::from_secs(11));
    let before = world.journal.len();
    world.order(1, Command::Switchover { to: None, dry_run: true, cut_sessions: false, timeout: LONG });
    let dry = answered(&mut world, 1);
    assert_eq!(world.journal.len(), before);
    world.order(2, switchover("spare"));
    let real = answered(&mut world, 2);
    assert_eq!((dry.outcome, real.outcome), (Outcome::Refused, Outcome::Refused));
    assert_eq!(dry.guards, real.guards);
    assert_eq!(dry.guards[0].name, Guard::Fit);
    one_end_each(&world);
}

#[test]
fn an_override_passes_the_guard_and_is_recorded_and_a_firm_guard_stays() {
    let mut world = steady(7, Replication::Managed);
    for node in ["b:1", "c:1"] {
        world.nodes.get_mut(&NodeAddress::from(node)).unwrap().fitness_error = true;
    }
    world.run(Duration::from_secs(11));
    let order = Order {
        if_epoch: Some(Epoch(1)),
        overrides: vec![Guard::Fit, Guard::Reachable],
        ..Order::new(switchover("spare"), "uid:0", "the right is not needed")
    };
    world.order_fully(1, order.clone());
    assert_eq!(answered(&mut world, 1).outcome, Outcome::Done);
    let overridden = world.journal.iter().filter(|record| record.kind == crate::model::record::RecordKind::Override);
    assert_eq!(overridden.count(), 1);
    world.order_fully(2, order);
    let refused = answered(&mut world, 2);
    assert_eq!((refused.outcome, refused.guards[0].name), (Outcome::Refused, Guard::Epoch));
    world.nodes.get_mut(&NodeAddress::from("a:1")).unwrap().up = false;
    world.run(Duration::from_secs(2));
    let order = Order { overrides: vec![Guard::Reachable], ..Order::new(switchover("main"), "", "") };
    world.order_fully(3, order);
    assert_eq!(answered(&mut world, 3).outcome, Outcome::Refused);
}

#[test]
fn drain_restore_and_modes() {
    let mut world = steady(8, Replication::Managed);
    world.order(1, Command::Drain("main".into()));
    assert_eq!(answered(&mut world, 1).guards[0].name, Guard::Eligible);
    world.order(2, Command::Drain("spare".into()));
    assert_eq!(answered(&mut world, 2).outcome, Outcome::Done);
    world.order(3, switchover("spare"));
    assert_eq!(answered(&mut world, 3).guards[0].name, Guard::Eligible);
    assert_eq!(world.machine.view(world.now()).clusters[1].role, Role::Drained);
    world.order(4, Command::Restore("spare".into()));
    assert_eq!(answered(&mut world, 4).outcome, Outcome::Done);
    world.order(5, Command::Mode(Mode::Closed));
    assert_eq!(answered(&mut world, 5).epoch_after, Some(Epoch(2)));
    assert_eq!(world.machine.view(world.now()).state, Standing::Closed);
    world.order(6, switchover("spare"));
    assert_eq!(answered(&mut world, 6).guards[0].name, Guard::Route);
    world.order(7, Command::Mode(Mode::ReadOnly));
    answered(&mut world, 7);
    world.order(8, switchover("spare"));
    assert_eq!(answered(&mut world, 8).outcome, Outcome::Done);
    assert_eq!(world.machine.route().mode, Mode::ReadOnly, "the mode outlives the switch");
    world.order(9, Command::Pause(Duration::from_mins(10)));
    answered(&mut world, 9);
    world.order(10, Command::Mode(Mode::Open));
    answered(&mut world, 10);
    assert_eq!(world.machine.view(world.now()).state, Standing::Paused);
    world.order(11, Command::Resume);
    answered(&mut world, 11);
    assert!(world.durable().paused_until.is_none());
    one_end_each(&world);
}

#[test]
fn a_promotion_by_somebody_else_is_adopted_and_recorded() {
    let mut world = steady(10, Replication::Managed);
    let b = world.nodes.get_mut(&NodeAddress::from("b:1")).unwrap();
    b.follows = None;
    b.lineage = crate::model::observation::Lineage {
        id: "L1".into(),
        previous: "L0".into(),
        previous_until: 1,
        transactions: None,
    };
    for node in ["a:1", "c:1"] {
        world.nodes.get_mut(&NodeAddress::from(node)).unwrap().follows = Some("b:1".into());
    }
    assert!(world.run_until(LONG, |world| routed(world) == "b:1"));
    assert_eq!(world.machine.route().epoch, Epoch(2));
    assert!(world.run_until(LONG, ready));
    let flips = world.journal.iter().filter(|record| matches!(record.detail, Change::Routed { .. }));
    assert_eq!(flips.count(), 2);
}

#[test]
fn two_primaries_at_the_first_start_are_never_guessed_between() {
    let mut world = World::new(11, Replication::Managed);
    for node in ["b:1", "c:1"] {
        let node = world.nodes.get_mut(&NodeAddress::from(node)).unwrap();
        node.follows = None;
        node.lineage.id = format!("other-{}", node.run_id);
    }
    world.run(Duration::from_secs(3));
    let view = world.machine.view(world.now());
    assert_eq!((view.state, view.mode), (Standing::Blocked, Mode::Closed));
    // A standby that follows one of them tells.
    let c = world.nodes.get_mut(&NodeAddress::from("c:1")).unwrap();
    c.follows = Some("a:1".into());
    assert!(world.run_until(LONG, |world| routed(world) == "a:1"));
}

#[test]
fn an_empty_restart_blocks_switches_until_an_operator_accepts_it() {
    let mut world = steady(12, Replication::Managed);
    let a = world.nodes.get_mut(&NodeAddress::from("a:1")).unwrap();
    (a.run_id, a.items, a.position) = ("run-a-2".into(), 0, 0);
    a.lineage.id = "L9".into();
    world.run(Duration::from_secs(2));
    let view = world.machine.view(world.now());
    assert_eq!(view.state, Standing::Blocked, "{view:?}");
    assert!(view.switchover_ready.reasons.iter().any(|reason| reason.name == Guard::Lineage));
    world.order(1, Command::Mode(Mode::Open));
    answered(&mut world, 1);
    assert!(world.run_until(LONG, ready));
    assert_eq!(world.durable().lineage.unwrap().id, "L9");
}

/// As Redis does when its first standby attaches.
#[test]
fn a_new_name_for_the_history_of_the_same_process_is_no_stranger() {
    let mut world = World::new(16, Replication::Managed);
    assert!(world.run_until(LONG, |world| world.durable().lineage.is_some()));
    for crash in [false, true] {
        for node in world.nodes.values_mut() {
            node.lineage.id = format!("fresh-{crash}");
        }
        if crash {
            world.boot();
        }
        world.run(Duration::from_secs(3));
        assert_eq!(world.machine.view(world.now()).state, Standing::Steady, "{crash}");
        assert_eq!(world.durable().lineage.unwrap().id, format!("fresh-{crash}"));
    }
}

#[test]
fn a_worker_that_never_drains_rolls_the_switch_back() {
    let mut world = steady(13, Replication::Managed);
    world.order(1, switchover("spare"));
    assert!(world.run_until(LONG, |world| world.machine.route().mode == Mode::Hold));
    world.faults.worker_deaf = 100;
    // Reports that were already on their way may still make it: then the switch is done, and there is nothing to see.
    let operation = answered(&mut world, 1);
    assert_eq!(operation.outcome, Outcome::RolledBack, "{operation:?}");
    assert_eq!((routed(&world), world.machine.route().epoch), ("a:1", Epoch(3)));
    world.faults.worker_deaf = 0;
    assert!(world.run_until(LONG, ready));
}

#[test]
fn a_standby_that_could_not_be_repointed_is_told_again_until_it_follows() {
    let mut world = steady(15, Replication::Managed);
    let c = NodeAddress::from("c:1");
    world.nodes.get_mut(&c).unwrap().stubborn = true;
    world.order(1, switchover("spare"));
    let operation = answered(&mut world, 1);
    assert_eq!(operation.outcome, Outcome::Done);
    assert!(operation.detail.contains("c:1 does not follow b:1 yet"), "{}", operation.detail);
    world.run(Duration::from_secs(20));
    let view = world.machine.view(world.now());
    assert_eq!(view.state, Standing::Steady);
    assert!(view.note.starts_with("c:1 does not follow b:1 yet"), "{}", view.note);
    assert!(view.clusters[1].nodes[1].note.contains("told again every 5 s ("), "{view:?}");
    // A restart remembers it, and a standby that is away is told when it is back.
    world.boot();
    (world.nodes.get_mut(&c).unwrap().stubborn, world.nodes.get_mut(&c).unwrap().up) = (false, false);
    world.run(Duration::from_secs(20));
    assert!(world.durable().strays.contains(&c));
    world.nodes.get_mut(&c).unwrap().up = true;
    assert!(world.run_until(LONG, |world| world.durable().strays.is_empty()));
    assert_eq!(world.nodes[&c].follows, Some("b:1".into()));
    assert_eq!(world.machine.view(world.now()).note, "");
}

#[test]
fn heartbeats_of_the_fenced_primary_are_applied_by_the_candidate_and_no_reason_to_give_up() {
    for seed in 0..8 {
        let mut world = steady(seed, Replication::Managed);
        world.faults.pings = 60;
        world.order(1, switchover("spare"));
        let operation = answered(&mut world, 1);
        assert_eq!(operation.outcome, Outcome::Done, "{operation:?}");
    }
}

#[test]
fn a_full_disk_refuses_and_the_override_passes() {
    let mut world = steady(14, Replication::Managed);
    world.faults.write_fails = 100;
    world.order(1, switchover("spare"));
    let operation = answered(&mut world, 1);
    assert_eq!((operation.outcome, operation.guards[0].name), (Outcome::Refused, Guard::Journal));
    assert_eq!(world.machine.route().epoch, Epoch(1));
    let order = Order { overrides: vec![Guard::Journal], ..Order::new(switchover("spare"), "uid:0", "now") };
    world.order_fully(2, order);
    assert_eq!(answered(&mut world, 2).outcome, Outcome::Done);
    assert_eq!(routed(&world), "b:1");
}
