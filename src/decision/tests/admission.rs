//! Which process may be served: the one that was judged, and no other until it was.

use super::{LONG, routed, steady};
use crate::{config::Replication, decision::world::World, model::name::NodeAddress};
use std::time::Duration;

#[test]
fn a_process_that_restarts_with_its_data_is_served_when_it_was_judged() {
    let mut world = steady(13, Replication::Managed);
    assert_eq!(world.machine.process(), Some("run-a:1"));
    world.nodes.get_mut(&NodeAddress::from("a:1")).unwrap().run_id = "second".into();
    assert!(world.run_until(LONG, |world| world.machine.process() == Some("second")));
    assert_eq!(routed(&world), "a:1", "no flip");
}

#[test]
fn an_empty_process_is_never_the_one_that_may_be_served() {
    let mut world = steady(14, Replication::Managed);
    let node = world.nodes.get_mut(&NodeAddress::from("a:1")).unwrap();
    (node.run_id, node.items, node.position) = ("second".into(), 0, 0);
    node.lineage.id = "another".into();
    world.run_until(Duration::from_secs(3), |world| {
        assert_ne!(world.machine.process(), Some("second"));
        false
    });
}

#[test]
fn where_nobody_judges_any_process_may_be_served() {
    assert_eq!(steady(15, Replication::None).machine.process(), None);
}

#[test]
fn an_heir_that_had_everything_is_served_without_a_journal_and_another_one_is_not() {
    for (had, served) in [(1000, true), (999, false)] {
        let mut world = World::new(16, Replication::Managed);
        let b = world.nodes.get_mut(&NodeAddress::from("b:1")).unwrap();
        b.follows = None;
        (b.lineage.previous, b.lineage.previous_until) = ("L0".into(), had);
        b.lineage.id = "L1".into();
        world.nodes.get_mut(&NodeAddress::from("c:1")).unwrap().follows = Some("z:9".into());
        world.nodes.get_mut(&NodeAddress::from("c:1")).unwrap().lineage.id = "L7".into();
        let found = world.run_until(Duration::from_secs(3), |world| routed(world) == "b:1");
        assert_eq!(found, served, "{:?}", world.machine.view(world.now()).note);
    }
}
