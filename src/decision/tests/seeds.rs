//! Every seed's faults and crashes: whatever happens, the service heals and no answer lies.

use super::{LONG, answered, one_end_each, routed, steady, switchover};
use crate::{
    config::Replication,
    decision::world::{Dice, Faults, World},
    model::{
        name::NodeAddress,
        operation::{Operation, Outcome},
        route::Mode,
    },
};
use std::{collections::BTreeMap, time::Duration};

/// After every fault and crash: healed, the service is steady, on one primary, without a fence, and every operation ended once.
fn heals(world: &mut World, seed: u64) {
    world.faults = Faults::default();
    assert!(
        world.run_until(Duration::from_mins(5), |world| {
            world.settled() && world.machine.route().mode == Mode::Open && world.durable().strays.is_empty()
        }),
        "seed {seed} doesn't heal: {:?} {:?}",
        world.machine.view(world.now()),
        world.durable()
    );
    let route = world.machine.route().target.clone().unwrap();
    let primaries: Vec<&NodeAddress> =
        world.nodes.iter().filter(|(_, node)| node.follows.is_none()).map(|(address, _)| address).collect();
    assert_eq!(primaries, [&route.node], "seed {seed}");
    let mut standbys = world.nodes.values().filter_map(|node| node.follows.as_ref());
    assert!(standbys.all(|of| *of == route.node), "seed {seed}: not every standby follows {}", route.node);
    assert!(world.nodes.values().all(|node| !node.fenced), "seed {seed}: a fence is left");
    assert_eq!(world.durable().route, *world.machine.route(), "seed {seed}");
    one_end_each(world);
}

fn truthful(world: &World, operation: &Operation, seed: u64) {
    let there = routed(world) != "a:1";
    match operation.outcome {
        Outcome::Done => assert!(there, "seed {seed}: done, and not there"),
        Outcome::Refused | Outcome::RolledBack => assert!(!there, "seed {seed}: {:?}, and there", operation.outcome),
        _ => {}
    }
}

#[test]
fn a_crash_after_every_step_of_a_switch_ends_well() {
    let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..2 {
        let mut world = steady(seed, Replication::Managed);
        world.order(1, switchover("spare"));
        let (first, id) = (world.steps, world.machine.operation(&"cart-1".into()).unwrap().id.clone());
        answered(&mut world, 1);
        let last = world.steps;
        for crash_at in first..=last {
            let mut world = steady(seed, Replication::Managed);
            world.faults.crash_at = Some(crash_at);
            world.order(1, switchover("spare"));
            assert!(world.run_until(LONG, |world| world.crashes == 1), "no crash at {crash_at}");
            heals(&mut world, crash_at);
            if let Some(operation) = world.machine.operation(&id).cloned() {
                *outcomes.entry(operation.outcome.as_str()).or_default() += 1;
                truthful(&world, &operation, crash_at);
            }
        }
    }
    assert!(outcomes.get("done").is_some_and(|count| *count > 10), "{outcomes:?}");
    assert!(outcomes.get("rolled_back").is_some_and(|count| *count > 10), "{outcomes:?}");
}

/// Switches as soon as a guard lets it through, without waiting for anything else.
fn switch_at_once(world: &mut World, ticket: u64, to: &str) {
    let open = |world: &World| world.machine.view(world.now()).switchover_ready.ready;
    assert!(world.run_until(LONG, open), "{:?}", world.machine.view(world.now()));
    world.order(ticket, switchover(to));
}

#[test]
fn switches_in_quick_succession_are_never_taken_for_a_strange_history() {
    for seed in 0..8 {
        let mut world = steady(seed, Replication::Managed);
        for ticket in 1..=6 {
            switch_at_once(&mut world, ticket, if ticket % 2 == 1 { "spare" } else { "main" });
            assert_eq!(answered(&mut world, ticket).outcome, Outcome::Done, "seed {seed}");
        }
        // The nodes' histories are looked at again after a second.
        world.run(Duration::from_secs(3));
        heals(&mut world, seed);
    }
}

#[test]
fn a_crash_in_a_third_quick_switch_finds_the_history_it_knows() {
    let third = || {
        let mut world = steady(1, Replication::Managed);
        for (ticket, to) in [(1, "spare"), (2, "main"), (3, "spare")] {
            switch_at_once(&mut world, ticket, to);
            if ticket < 3 {
                answered(&mut world, ticket);
            }
        }
        world
    };
    let mut world = third();
    let first = world.steps;
    answered(&mut world, 3);
    for crash_at in first + 1..=world.steps + 20 {
        let mut world = third();
        world.faults.crash_at = Some(crash_at);
        assert!(world.run_until(LONG, |world| world.crashes == 1), "no crash at {crash_at}");
        world.run(Duration::from_secs(3));
        heals(&mut world, crash_at);
    }
}

#[test]
fn random_faults_and_crashes_end_well() {
    let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..256 {
        let replication = if seed % 8 == 7 { Replication::None } else { Replication::Managed };
        let mut world = steady(seed, replication);
        let mut dice = Dice::new(seed + 1000);
        world.faults = Faults {
            action_fails: dice.below(20),
            action_unknown: dice.below(20),
            write_fails: dice.below(6),
            worker_deaf: dice.below(10),
            pings: dice.below(2) * 30,
            crash_at: (dice.below(2) == 0).then(|| world.steps + dice.below(120)),
        };
        world.order(1, switchover("spare"));
        world.run(Duration::from_secs(4 + dice.below(20)));
        if replication == Replication::None {
            continue;
        }
        heals(&mut world, seed);
        if let Some(operation) = world.machine.operation(&"cart-1".into()).cloned() {
            *outcomes.entry(operation.outcome.as_str()).or_default() += 1;
            truthful(&world, &operation, seed);
        }
    }
    for outcome in ["done", "rolled_back", "refused"] {
        assert!(outcomes.get(outcome).is_some_and(|count| *count > 3), "{outcomes:?}");
    }
}
