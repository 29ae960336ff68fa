//! Nodes whose transactions have names: errant ones, what a returned primary alone holds, and which of two is the newer.

use super::{LONG, answered, one_end_each, ready, routed, switchover};
use crate::{
    config::Replication,
    decision::world::World,
    model::{
        guard::Guard,
        name::NodeAddress,
        observation::Lineage,
        operation::{Command, Outcome},
        record::{Change, Record},
        transactions::Transactions,
        view::Standing,
    },
};
use std::time::Duration;

/// The server's name of a node.
fn server(node: &str) -> String {
    let letter = &node[..1];
    [8, 4, 4, 4, 12].map(|many| letter.repeat(many)).join("-")
}

fn named(mut world: World) -> World {
    let held: Transactions = format!("{}:1-1000", server("a:1")).parse().expect("a set");
    for (name, node) in &mut world.nodes {
        node.run_id = format!("{}/1", server(name.as_str()));
        node.lineage = Lineage { id: "gtid".into(), transactions: Some(held.clone()), ..Lineage::default() };
        node.position = held.count();
    }
    world
}

fn steady(seed: u64) -> World {
    let mut world = named(World::new(seed, Replication::Managed));
    assert!(world.run_until(LONG, ready), "{:?}", world.machine.view(world.now()));
    world
}

fn set(world: &World, node: &str) -> Transactions {
    world.nodes[&NodeAddress::from(node)].lineage.transactions.clone().expect("a set")
}

/// Somebody writes at a node, and nobody replicates it.
fn write_at(world: &mut World, node: &str, many: u64) -> Transactions {
    let before = set(world, node);
    world.nodes.get_mut(&NodeAddress::from(node)).unwrap().write(many);
    set(world, node).subtract(&before)
}

fn up(world: &mut World, node: &str, up: bool) {
    world.nodes.get_mut(&NodeAddress::from(node)).unwrap().up = up;
}

fn follows(world: &World, node: &str) -> String {
    world.nodes[&NodeAddress::from(node)].follows.as_ref().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn a_planned_switch_there_and_back_needs_no_names_of_histories() {
    let mut world = steady(21);
    for (ticket, to, node) in [(1, "spare", "b:1"), (2, "main", "a:1")] {
        assert!(world.run_until(LONG, ready));
        world.order(ticket, switchover(to));
        let operation = answered(&mut world, ticket);
        assert_eq!((operation.outcome, routed(&world)), (Outcome::Done, node), "{operation:?}");
    }
    assert!(world.run_until(LONG, ready));
    world.run(Duration::from_secs(1));
    assert!(set(&world, "a:1").contains(&set(&world, "b:1")));
    one_end_each(&world);
}

#[test]
fn a_candidate_with_errant_transactions_is_refused_by_name_and_the_next_one_serves() {
    let mut world = steady(22);
    let errant = write_at(&mut world, "b:1", 2);
    world.run(Duration::from_secs(1));
    let view = world.machine.view(world.now());
    let refused = view.switchover_ready.reasons.iter().find(|reason| reason.name == Guard::Lineage).expect("a refusal");
    assert!(refused.detail.contains(&errant.to_string()), "{}", refused.detail);
    up(&mut world, "a:1", false);
    assert!(
        world.run_until(Duration::from_secs(5), |world| routed(world) == "c:1"),
        "{:?}",
        world.machine.view(world.now())
    );
}

#[test]
fn a_primary_that_returns_with_transactions_of_its_own_stays_out_until_it_was_rebuilt() {
    let mut world = steady(23);
    up(&mut world, "a:1", false);
    let strays = write_at(&mut world, "a:1", 3);
    assert!(world.run_until(Duration::from_secs(5), |world| routed(world) == "b:1"));
    assert!(world.run_until(LONG, |world| world.durable().underway.is_none()));
    let id = world.durable().ended.back().unwrap().id.clone();
    up(&mut world, "a:1", true);
    let a = NodeAddress::from("a:1");
    assert!(world.run_until(LONG, |world| world.nodes[&a].fenced), "it is fenced");
    world.run(Duration::from_secs(5));
    let fences = |world: &World| {
        let fenced = |record: &&Record| matches!(&record.detail, Change::Fenced { node, .. } if *node == a);
        world.journal.iter().filter(fenced).count()
    };
    assert_eq!(fences(&world), 1, "once, although it was asked before it was fenced");
    let lost = world.machine.operation(&id).unwrap().lost.clone();
    assert!(lost.known && (lost.count, lost.unit.as_str()) == (3, "transactions"), "{lost:?}");
    assert!(lost.detail.contains(&strays.to_string()), "{}", lost.detail);
    let left_out = |world: &World| {
        let view = world.machine.view(world.now());
        assert_eq!(view.state, Standing::Returning, "{}", view.note);
        assert!(view.note.contains(&strays.to_string()) && view.note.contains("rebuild cart a:1"), "{}", view.note);
        let fences = view.switchover_ready.reasons.iter().filter(|reason| reason.name == Guard::Fence);
        assert_eq!(fences.count(), 1, "it is no candidate, and keeps no other from being one: {view:?}");
        assert!(world.nodes[&a].fenced && follows(world, "a:1").is_empty());
    };
    left_out(&world);
    // Neither a restart of ours nor one of its own, which forgets the fence, changes that.
    world.boot();
    world.run(Duration::from_secs(3));
    left_out(&world);
    let node = world.nodes.get_mut(&a).unwrap();
    (node.fenced, node.run_id) = (false, format!("{}/2", server("a:1")));
    assert!(world.run_until(LONG, |world| world.nodes[&a].fenced), "it is fenced again");
    world.run(Duration::from_secs(3));
    left_out(&world);
    assert_eq!(fences(&world), 2);
    // An operator empties it for a copy, while Pointsman is paused: nothing is done to it, whatever it holds meanwhile.
    world.order(7, Command::Pause(Duration::from_hours(1)));
    assert_eq!(answered(&mut world, 7).outcome, Outcome::Done);
    for emptied in [false, true] {
        let node = world.nodes.get_mut(&a).unwrap();
        node.fenced = false;
        if emptied {
            (node.position, node.lineage.transactions) = (0, Some(Transactions::default()));
        }
        world.run(Duration::from_secs(3));
        assert!(!world.nodes[&a].fenced && follows(&world, "a:1").is_empty(), "{emptied}");
    }
    world.order(8, Command::Resume);
    // An operator had it copied.
    let copied = set(&world, "b:1");
    let node = world.nodes.get_mut(&a).unwrap();
    (node.position, node.fenced, node.lineage.transactions) = (copied.count(), false, Some(copied));
    assert!(world.run_until(LONG, World::settled), "{:?}", world.machine.view(world.now()));
    assert_eq!(follows(&world, "a:1"), "b:1");
    one_end_each(&world);
}

#[test]
fn a_primary_that_restarts_with_nothing_or_with_less_is_replaced() {
    for lost in [None, Some(4)] {
        let mut world = steady(24);
        let before = set(&world, "a:1");
        if lost.is_some() {
            world.nodes.get_mut(&NodeAddress::from("a:1")).unwrap().write(4);
            world.run(Duration::from_millis(300));
        }
        let node = world.nodes.get_mut(&NodeAddress::from("a:1")).unwrap();
        let left = if lost.is_some() { before } else { Transactions::default() };
        node.run_id = format!("{}/2", server("a:1"));
        (node.position, node.lineage.transactions) = (left.count(), Some(left));
        assert!(world.run_until(LONG, |world| routed(world) == "b:1"), "{:?}", world.machine.view(world.now()));
        assert!(world.run_until(LONG, World::settled), "{:?}", world.machine.view(world.now()));
        assert_eq!(follows(&world, "a:1"), "b:1");
    }
}

#[test]
fn by_hand_too_an_errant_candidate_is_refused_unless_the_guard_is_overridden() {
    let mut world = steady(25);
    for node in ["b:1", "c:1"] {
        write_at(&mut world, node, 1);
    }
    up(&mut world, "a:1", false);
    world.run(Duration::from_secs(3));
    assert_eq!(routed(&world), "a:1");
    world.order(1, Command::Failover { to: None, dry_run: false, accept_loss: true });
    let operation = answered(&mut world, 1);
    assert_eq!(operation.outcome, Outcome::Refused);
    assert!(operation.guards.iter().any(|guard| guard.name == Guard::Lineage), "{operation:?}");
}

#[test]
fn of_two_that_take_writes_the_one_with_all_the_others_has_is_the_newer() {
    let mut world = named(World::new(26, Replication::External));
    assert!(world.run_until(LONG, |world| routed(world) == "a:1"));
    // Somebody closes the old one and opens the new one, but a write of its own keeps the old one from being a part of it.
    world.nodes.get_mut(&NodeAddress::from("a:1")).unwrap().fenced = true;
    world.run(Duration::from_millis(200));
    let b = world.nodes.get_mut(&NodeAddress::from("b:1")).unwrap();
    b.follows = None;
    b.write(5);
    write_at(&mut world, "a:1", 1);
    world.run(Duration::from_secs(2));
    assert_eq!(routed(&world), "a:1", "which one is newer can't be told");
    let both = set(&world, "b:1").union(&set(&world, "a:1"));
    let b = world.nodes.get_mut(&NodeAddress::from("b:1")).unwrap();
    (b.position, b.lineage.transactions) = (both.count(), Some(both));
    assert!(world.run_until(LONG, |world| routed(world) == "b:1"), "{:?}", world.machine.view(world.now()));
}
