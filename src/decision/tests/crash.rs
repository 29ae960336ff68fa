//! A primary that is gone: by hand and by itself, and its return.

use super::{LONG, answered, one_end_each, routed, steady};
use crate::{
    config::Replication,
    decision::world::World,
    model::{
        guard::Guard,
        name::NodeAddress,
        operation::{Command, Outcome},
        view::Standing,
    },
};
use std::time::Duration;

#[test]
fn a_primary_that_refuses_keeps_the_route_and_can_be_failed_over_by_hand() {
    let mut world = steady(9, Replication::Managed);
    let failover = |accept_loss| Command::Failover { to: None, dry_run: false, accept_loss };
    world.order(1, failover(true));
    assert_eq!(answered(&mut world, 1).guards[0].name, Guard::Primary, "the primary answers");
    world.order(9, Command::Pause(Duration::from_mins(10)));
    answered(&mut world, 9);
    world.nodes.get_mut(&NodeAddress::from("a:1")).unwrap().up = false;
    world.run(Duration::from_secs(3));
    let view = world.machine.view(world.now());
    assert_eq!(view.state, Standing::Blocked);
    assert!(view.note.contains("refuses connections"), "{}", view.note);
    assert_eq!(routed(&world), "a:1");
    world.order(2, failover(false));
    assert_eq!(answered(&mut world, 2).outcome, Outcome::Refused);
    world.order(3, failover(true));
    let operation = answered(&mut world, 3);
    assert_eq!(operation.outcome, Outcome::Done, "{operation:?}");
    assert_eq!(routed(&world), "b:1");
    // It returns as a primary of its own: fenced, counted, demoted.
    world.nodes.get_mut(&NodeAddress::from("a:1")).unwrap().up = true;
    assert!(world.run_until(LONG, |world| world.durable().fences.is_empty()));
    assert_eq!(world.nodes[&NodeAddress::from("a:1")].follows, Some("b:1".into()));
    let lost = world.machine.operation(&operation.id).unwrap().lost.clone();
    assert!(lost.known, "{lost:?}");
}

#[test]
fn a_dead_primary_is_replaced_and_returns_as_a_standby() {
    let mut world = steady(12, Replication::Managed);
    world.nodes.get_mut(&NodeAddress::from("a:1")).unwrap().up = false;
    assert!(world.run_until(Duration::from_secs(3), |world| routed(world) == "b:1"));
    assert!(world.run_until(LONG, |world| world.durable().underway.is_none()));
    let operation = world.durable().ended.back().cloned().unwrap();
    assert_eq!((operation.kind.as_str(), operation.actor.as_str()), ("failover", "pointsman"));
    assert_eq!(operation.outcome, Outcome::Done, "{operation:?}");
    assert!(operation.reason.contains("refuses connections") && operation.reason.contains("lost its link"));
    // The next primary's death within the cooldown goes on to the node that hasn't failed yet.
    world.nodes.get_mut(&NodeAddress::from("b:1")).unwrap().up = false;
    assert!(world.run_until(Duration::from_secs(5), |world| routed(world) == "c:1"));
    for node in ["a:1", "b:1"] {
        world.nodes.get_mut(&NodeAddress::from(node)).unwrap().up = true;
    }
    assert!(world.run_until(LONG, World::settled), "{:?}", world.machine.view(world.now()));
    assert!(world.durable().parked.is_empty() && world.durable().departed.is_empty());
    // Flapping: nobody is left who hasn't failed a moment ago.
    world.nodes.get_mut(&NodeAddress::from("c:1")).unwrap().up = false;
    world.run(Duration::from_secs(5));
    let view = world.machine.view(world.now());
    assert_eq!((view.state, routed(&world)), (Standing::Blocked, "c:1"), "{view:?}");
    assert!(view.note.contains("failed as a primary a short time ago"), "{}", view.note);
    one_end_each(&world);
}
