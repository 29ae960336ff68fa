//! What is kept of a suspicion: why a failover was done, why none was, and how little is written of a primary that flaps.

use super::{LONG, answered, routed, steady, switchover};
use crate::{
    config::{FullJournal, Replication},
    decision::world::World,
    model::{
        guard::Guard,
        name::NodeAddress,
        observation::Reach,
        operation::Outcome,
        record::{Change, RecordKind},
        suspicion::{Ending, Source, Suspicion},
    },
};
use std::time::Duration;

fn suspicions(world: &World) -> Vec<(RecordKind, Suspicion)> {
    let records = world.journal.iter().filter_map(|record| match &record.detail {
        Change::Suspected { suspicion } => Some((record.kind, (**suspicion).clone())),
        _ => None,
    });
    records.collect()
}

fn reach(world: &mut World, node: &str, reach: Option<Reach>) {
    world.nodes.get_mut(&NodeAddress::from(node)).unwrap().reach = reach;
}

fn sources(suspicion: &Suspicion) -> Vec<Source> {
    suspicion.evidence.iter().map(|found| found.source).collect()
}

#[test]
fn a_failover_is_written_with_what_led_to_it() {
    let mut world = steady(31, Replication::Managed);
    world.nodes.get_mut(&NodeAddress::from("a:1")).unwrap().up = false;
    assert!(world.run_until(LONG, |world| routed(world) == "b:1"));
    let all = suspicions(&world);
    let [(_, suspicion)] = &all[..] else { panic!("{all:#?}") };
    assert_eq!((suspicion.end, suspicion.node.as_str()), (Ending::Failover, "a:1"));
    let found = sources(suspicion);
    for source in [Source::Probe, Source::Witness, Source::Verdict, Source::Action] {
        assert!(found.contains(&source), "{source:?}: {suspicion:#?}");
    }
    assert!(suspicion.evidence.windows(2).all(|two| two[0].source == Source::Probe || two[0].time <= two[1].time));
    assert!(suspicion.words.contains("lost its link"), "{}", suspicion.words);
    assert!(suspicion.evidence.iter().any(|found| found.who == "b:1" && found.words == "lost its link to the primary"));
}

#[test]
fn a_broken_path_ends_in_nothing_and_says_who_heard_the_primary() {
    let mut world = steady(32, Replication::Managed);
    reach(&mut world, "a:1", Some(Reach::Silent));
    world.run(Duration::from_secs(20));
    let open = suspicions(&world);
    assert_eq!(open.len(), 1, "one record while it lasts: {open:#?}");
    assert_eq!(open[0].1.end, Ending::Open);
    reach(&mut world, "a:1", None);
    assert!(world.run_until(LONG, World::settled));
    assert!(world.run_until(LONG, |world| suspicions(world).len() > 1));
    assert_eq!(routed(&world), "a:1");
    let all = suspicions(&world);
    assert_eq!(all.len(), 2, "{all:#?}");
    let (kind, cleared) = &all[1];
    assert_eq!((*kind, cleared.end, cleared.began), (RecordKind::Refusal, Ending::Cleared, open[0].1.began));
    assert!(cleared.words.contains("answers again after") && cleared.words.contains("hears it"), "{}", cleared.words);
    let heard = open[0].1.evidence.iter().filter(|found| found.words == "hears the primary");
    assert!(heard.count() >= 1, "{open:#?}");
}

#[test]
fn a_probe_that_fails_now_and_then_leaves_one_record_a_minute() {
    let mut world = steady(33, Replication::Managed);
    for _ in 0..60 {
        reach(&mut world, "a:1", Some(Reach::Silent));
        world.run(Duration::from_millis(150));
        reach(&mut world, "a:1", None);
        world.run(Duration::from_millis(850));
    }
    let all = suspicions(&world);
    assert!((1..=3).contains(&all.len()), "{all:#?}");
    // A primary that is down again and again is bounded, too.
    let before = all.len();
    for _ in 0..20 {
        reach(&mut world, "a:1", Some(Reach::Silent));
        world.run(Duration::from_secs(2));
        reach(&mut world, "a:1", None);
        world.run(Duration::from_secs(1));
    }
    let more = suspicions(&world).len() - before;
    assert!((2..=14).contains(&more), "{more} records in a minute");
    assert!(suspicions(&world).iter().any(|(_, suspicion)| suspicion.brief > 0));
}

#[test]
fn a_full_disk_blocks_a_failover_unless_the_service_says_otherwise_and_is_written_when_it_ends() {
    for policy in [FullJournal::Block, FullJournal::Promote] {
        let mut world = steady(34, Replication::Managed);
        let mut settings = (*world.settings).clone();
        settings.failover.full_journal = policy;
        world.reload(settings);
        world.faults.write_fails = 100;
        world.nodes.get_mut(&NodeAddress::from("a:1")).unwrap().up = false;
        world.run(Duration::from_secs(10));
        let moved = routed(&world) == "b:1";
        assert_eq!(moved, policy == FullJournal::Promote, "{policy:?}: {:?}", world.machine.view(world.now()));
        world.faults.write_fails = 0;
        assert!(world.run_until(LONG, |world| routed(world) == "b:1"));
        assert!(world.run_until(LONG, |world| world.durable().underway.is_none()
            && world.durable().route.target.as_ref().is_some_and(|target| target.node.as_str() == "b:1")));
        if moved {
            let ended = world.durable().ended.back().cloned().unwrap();
            assert!(ended.guards.iter().any(|guard| guard.name == Guard::Journal), "it is said: {ended:?}");
        }
    }
}

#[test]
fn the_end_of_a_failover_is_never_in_the_journal_before_its_route_whenever_the_disk_has_room_again() {
    for later in 0..20 {
        let mut world = steady(36, Replication::Managed);
        let mut settings = (*world.settings).clone();
        settings.failover.full_journal = FullJournal::Promote;
        world.reload(settings);
        world.faults.write_fails = 1000;
        world.nodes.get_mut(&NodeAddress::from("a:1")).unwrap().up = false;
        assert!(world.run_until(LONG, |world| routed(world) == "b:1"));
        world.run(Duration::from_millis(later));
        world.faults.write_fails = 0;
        world.run(Duration::from_secs(5));
        let ended = |change: &Change| matches!(change, Change::Ended { operation } if operation.kind == "failover");
        let epoch = world.machine.route().epoch;
        let served = |change: &Change| matches!(change, Change::Routed { route } if route.epoch == epoch);
        let place = |which: &dyn Fn(&Change) -> bool| world.journal.iter().position(|record| which(&record.detail));
        let (ended, served) = (place(&ended), place(&served));
        assert!(
            served.is_some() && ended.is_some_and(|ended| served < Some(ended)),
            "{later} ms: {served:?} {ended:?}"
        );
    }
}

#[test]
fn a_disk_that_has_room_again_is_found_without_an_order() {
    let mut world = steady(35, Replication::Managed);
    world.faults.write_fails = 100;
    world.order(1, switchover("spare"));
    assert_eq!(answered(&mut world, 1).guards[0].name, Guard::Journal);
    let ready = |world: &World| world.machine.view(world.now()).switchover_ready.ready;
    world.run(Duration::from_secs(3));
    assert!(!ready(&world));
    world.faults.write_fails = 0;
    assert!(world.run_until(Duration::from_secs(5), ready));
    let noted = |text: &str| text.contains("could not be written since");
    let said =
        world.journal.iter().filter(|record| matches!(&record.detail, Change::Noted { text } if noted(text))).count();
    assert_eq!(said, 1);
    world.order(2, switchover("spare"));
    assert_eq!(answered(&mut world, 2).outcome, Outcome::Done);
}
