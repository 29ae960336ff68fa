//! What replication doesn't carry is read every ten seconds, and when an operator asks.

use super::{LONG, answered, one_end_each, steady, switchover};
use crate::{
    config::Replication,
    decision::world::World,
    model::{
        guard::Guard,
        name::NodeAddress,
        operation::{Command, Outcome},
    },
};
use std::time::Duration;

fn dry_run() -> Command {
    Command::Switchover { to: None, dry_run: true, cut_sessions: false, timeout: LONG }
}

fn make_unfit(world: &mut World, unfit: bool) {
    for node in ["b:1", "c:1"] {
        world.nodes.get_mut(&NodeAddress::from(node)).unwrap().fitness_error = unfit;
    }
}

#[test]
fn what_was_mended_a_moment_ago_refuses_nothing() {
    let mut world = steady(20, Replication::Managed);
    make_unfit(&mut world, true);
    world.run(Duration::from_secs(11));
    assert_eq!(world.machine.view(world.now()).switchover_ready.reasons[0].name, Guard::Fit);
    make_unfit(&mut world, false);
    world.order(1, dry_run());
    assert_eq!(answered(&mut world, 1).outcome, Outcome::Done);
    make_unfit(&mut world, true);
    world.run(Duration::from_secs(11));
    make_unfit(&mut world, false);
    world.order(2, switchover("spare"));
    assert_eq!(answered(&mut world, 2).outcome, Outcome::Done);
    one_end_each(&world);
}

#[test]
fn a_dry_run_sees_what_broke_a_moment_ago() {
    let mut world = steady(21, Replication::Managed);
    make_unfit(&mut world, true);
    world.order(1, dry_run());
    let operation = answered(&mut world, 1);
    assert_eq!((operation.outcome, operation.guards[0].name), (Outcome::Refused, Guard::Fit));
}

#[test]
fn a_node_that_hangs_delays_the_answer_by_two_seconds_at_most() {
    let mut world = steady(22, Replication::Managed);
    world.deaf_to_fitness = true;
    let before = world.now().mono;
    world.order(1, dry_run());
    assert_eq!(answered(&mut world, 1).outcome, Outcome::Done, "by what is known");
    assert!(world.now().mono <= before + Duration::from_millis(2100));
}
