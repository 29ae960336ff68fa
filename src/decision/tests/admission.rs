//! Which process may be served: the one that was judged, and no other until it was.

use super::{LONG, routed, steady};
use crate::{config::Replication, model::name::NodeAddress};
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
