//! A second person: what waits, what ends it, and that nothing else is kept waiting.

use super::{LONG, answered, one_end_each, ready, routed, steady, switchover};
use crate::{
    config::{Approval, Replication},
    decision::world::World,
    model::{
        guard::Guard,
        name::{NodeAddress, OperationId},
        operation::{Command, Operation, Order, Outcome},
        record::{Change, RecordKind},
        route::{Epoch, Mode},
    },
};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_mins(15);

/// A service that asks for a second person.
fn careful(seed: u64) -> World {
    careful_for(seed, TIMEOUT)
}

fn careful_for(seed: u64, timeout: Duration) -> World {
    let mut world = steady(seed, Replication::Managed);
    let mut settings = (*world.settings).clone();
    settings.approval = Approval { required: true, timeout };
    world.reload(settings);
    world
}

fn by(actor: &str, command: Command) -> Order {
    Order::new(command, actor, "the sale")
}

/// Ann asks for a switch to the spare; it waits under this id.
fn ask(world: &mut World, ticket: u64) -> OperationId {
    world.order_fully(ticket, by("ann", switchover("spare")));
    let operation = answered(world, ticket);
    assert_eq!(operation.outcome, Outcome::Waiting, "{operation:?}");
    operation.id
}

fn ended<'w>(world: &'w World, id: &OperationId) -> Option<&'w Operation> {
    world.journal.iter().find_map(|record| match &record.detail {
        Change::Ended { operation } if operation.id == *id => Some(&**operation),
        _ => None,
    })
}

fn refusal(operation: &Operation) -> (Guard, &str) {
    let last = operation.guards.last().expect("a guard");
    (last.name, &last.detail)
}

#[test]
fn it_waits_over_restarts_and_runs_under_its_id_when_somebody_else_agrees() {
    let mut world = careful(1);
    let id = ask(&mut world, 1);
    let shown = world.machine.view(world.now());
    let (operation, before) = (shown.operation.expect("it is shown"), world.machine.route().clone());
    assert_eq!(operation.expires, Some(operation.started + TIMEOUT));
    assert!(shown.require_approval && shown.switchover_ready.ready, "it blocks nothing");
    world.boot();
    assert!(world.run_until(LONG, ready));
    assert_eq!(*world.machine.route(), before);
    assert_eq!(world.machine.view(world.now()).operation.map(|operation| operation.id), Some(id.clone()));
    world.order_fully(2, by("bob", Command::Approve(id.clone())));
    let seen = world.progress.last().map(|operation| (operation.outcome, &operation.id));
    assert_eq!(seen, Some((Outcome::Running, &id)), "whoever is told its id doesn't find it waiting");
    let done = answered(&mut world, 2);
    assert_eq!((done.outcome, &done.id, done.actor.as_str()), (Outcome::Done, &id, "ann"), "{done:?}");
    assert_eq!((done.approver.as_deref(), done.expires), (Some("bob"), None));
    assert_eq!(routed(&world), "b:1");
    let approved = |change: &Change| matches!(change, Change::Approved { by, .. } if by == "bob");
    assert_eq!(world.journal.iter().filter(|record| approved(&record.detail)).count(), 1);
    let practised = &world.durable().practised;
    assert_eq!(practised.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["ann"]);
    assert!(world.durable().waiting.is_none());
    world.order_fully(3, by("cid", Command::Approve(id)));
    let late = answered(&mut world, 3);
    assert_eq!(late.outcome, Outcome::Refused);
    assert!(refusal(&late).1.contains("done, approved by bob"), "{late:?}");
    one_end_each(&world);
}

#[test]
fn nobody_approves_for_themselves_and_a_second_asker_is_told_who_was_first() {
    let mut world = careful(2);
    let id = ask(&mut world, 1);
    world.order_fully(2, by("ann", Command::Approve(id.clone())));
    let own = answered(&mut world, 2);
    assert_eq!((own.outcome, refusal(&own).0), (Outcome::Refused, Guard::Approval));
    world.order_fully(3, by("bob", switchover("spare")));
    let second = answered(&mut world, 3);
    let (guard, words) = refusal(&second);
    assert_eq!((second.outcome, guard), (Outcome::Refused, Guard::Busy));
    assert!(words.contains("cart-1") && words.contains("ann at 1970-"), "{words}");
    // Two at the same moment: the second one meets the write of the first.
    world.order_fully(4, by("bob", Command::Withdraw(id)));
    assert_eq!(answered(&mut world, 4).outcome, Outcome::Done);
    world.order_fully(5, by("ann", switchover("spare")));
    world.order_fully(6, by("bob", switchover("spare")));
    let (first, second) = (answered(&mut world, 5), answered(&mut world, 6));
    assert_eq!((first.outcome, refusal(&second).0), (Outcome::Waiting, Guard::Busy));
    // So do two approvals.
    world.order_fully(7, by("bob", Command::Approve(first.id.clone())));
    world.order_fully(8, by("cid", Command::Approve(first.id)));
    let (first, second) = (answered(&mut world, 7), answered(&mut world, 8));
    assert_eq!((first.outcome, second.outcome), (Outcome::Done, Outcome::Refused), "{second:?}");
    assert!(refusal(&second).1.contains("running, approved by bob"), "{second:?}");
    one_end_each(&world);
}

#[test]
fn it_ends_when_its_time_is_over_a_full_disk_or_not() {
    for full in [false, true] {
        let mut world = careful(3);
        let id = ask(&mut world, 1);
        world.run(TIMEOUT.saturating_sub(Duration::from_secs(10)));
        assert!(world.machine.view(world.now()).operation.is_some());
        world.faults.write_fails = if full { 100 } else { 0 };
        world.run(Duration::from_secs(20));
        assert_eq!(world.machine.view(world.now()).operation, None);
        world.faults.write_fails = 0;
        world.run(Duration::from_secs(5));
        let operation = ended(&world, &id).expect("its end is in the journal");
        assert_eq!(operation.outcome, Outcome::Refused);
        assert!(refusal(operation).1.contains("nobody approved"), "{operation:?}");
        world.order_fully(2, by("bob", Command::Approve(id)));
        assert_eq!(answered(&mut world, 2).outcome, Outcome::Refused);
        assert_eq!(routed(&world), "a:1");
        one_end_each(&world);
    }
}

#[test]
fn it_ends_when_the_route_moves_and_keeps_no_failover_from_happening() {
    let mut world = careful(4);
    let id = ask(&mut world, 1);
    world.order(2, Command::Mode(Mode::ReadOnly));
    answered(&mut world, 2);
    assert!(world.run_until(LONG, |world| ended(world, &id).is_some()));
    assert!(refusal(ended(&world, &id).unwrap()).1.contains("the epoch is 2, it was 1"));
    world.order(3, Command::Mode(Mode::Open));
    answered(&mut world, 3);
    let id = ask(&mut world, 4);
    world.nodes.get_mut(&NodeAddress::from("a:1")).unwrap().up = false;
    assert!(world.run_until(LONG, |world| routed(world) != "a:1"), "nobody is asked for a failover by itself");
    assert_eq!(ended(&world, &id).map(|operation| operation.outcome), Some(Outcome::Refused));
    world.order_fully(5, by("bob", Command::Approve(id)));
    assert_eq!(answered(&mut world, 5).outcome, Outcome::Refused);
    assert!(world.run_until(LONG, |world| world.durable().underway.is_none()));
    one_end_each(&world);
}

#[test]
fn guards_are_asked_again_when_it_is_approved() {
    let mut world = careful(5);
    let id = ask(&mut world, 1);
    for node in ["b:1", "c:1"] {
        world.nodes.get_mut(&NodeAddress::from(node)).unwrap().fitness_error = true;
    }
    world.run(Duration::from_secs(11));
    world.order_fully(2, by("bob", Command::Approve(id.clone())));
    let operation = answered(&mut world, 2);
    assert_eq!((operation.outcome, refusal(&operation).0, &operation.id), (Outcome::Refused, Guard::Fit, &id));
    assert_eq!(operation.approver.as_deref(), Some("bob"));
    assert!(world.durable().waiting.is_none());
    one_end_each(&world);
}

/// What was asked for is what is approved: guards that it overrides, and what it says of sessions and of time.
#[test]
fn the_terms_are_kept_until_it_runs() {
    let mut world = careful(9);
    for node in ["b:1", "c:1"] {
        world.nodes.get_mut(&NodeAddress::from(node)).unwrap().fitness_error = true;
    }
    world.run(Duration::from_secs(11));
    let timeout = Duration::from_millis(4321);
    let command = Command::Switchover { to: Some("spare".into()), dry_run: false, cut_sessions: true, timeout };
    world.order_fully(1, Order { overrides: vec![Guard::Fit], rehearsal: true, ..by("ann", command) });
    let waiting = answered(&mut world, 1);
    assert_eq!(waiting.outcome, Outcome::Waiting, "{waiting:?}");
    let terms = world.durable().waiting.as_ref().expect("it waits").terms.clone();
    assert_eq!((terms.cut_sessions, terms.timeout_ms, terms.overrides), (true, 4321, vec![Guard::Fit]));
    world.order_fully(2, by("bob", Command::Approve(waiting.id)));
    let done = answered(&mut world, 2);
    assert_eq!((done.outcome, done.rehearsal, refusal(&done).0), (Outcome::Done, true, Guard::Fit), "{done:?}");
    let passed = |change: &Change| matches!(change, Change::Overridden { guard, .. } if guard.name == Guard::Fit);
    assert_eq!(world.journal.iter().filter(|record| passed(&record.detail)).count(), 1, "written when it ran");
}

#[test]
fn a_failover_by_hand_waits_too_and_a_dry_run_does_not() {
    let mut world = careful(6);
    let mut settings = (*world.settings).clone();
    settings.failover.automatic = false;
    world.reload(settings);
    world.order(1, Command::Switchover { to: None, dry_run: true, cut_sessions: false, timeout: LONG });
    assert_eq!(answered(&mut world, 1).outcome, Outcome::Done);
    world.nodes.get_mut(&NodeAddress::from("a:1")).unwrap().up = false;
    world.run(Duration::from_secs(5));
    world.order_fully(2, by("ann", Command::Failover { to: None, dry_run: false, accept_loss: true }));
    let waiting = answered(&mut world, 2);
    assert_eq!(waiting.outcome, Outcome::Waiting, "{waiting:?}");
    world.order_fully(3, by("bob", Command::Approve(waiting.id)));
    let done = answered(&mut world, 3);
    assert_eq!((done.outcome, done.kind.as_str()), (Outcome::Done, "failover"), "{done:?}");
    assert!(world.durable().practised.is_empty(), "an emergency is no practice");
}

#[test]
fn the_override_runs_at_once_and_is_recorded() {
    let mut world = careful(7);
    let waiting = ask(&mut world, 1);
    let order = Order { overrides: vec![Guard::Approval], ..by("bob", switchover("spare")) };
    world.order_fully(2, order);
    let operation = answered(&mut world, 2);
    assert_eq!((operation.outcome, refusal(&operation).0), (Outcome::Done, Guard::Approval));
    let passed = world.journal.iter().filter(|record| record.kind == RecordKind::Override);
    assert!(passed.clone().count() == 1 && passed.clone().all(|record| record.actor == "bob"));
    assert_eq!(ended(&world, &waiting).map(|operation| operation.outcome), Some(Outcome::Refused));
    // One that was approved as a whole, by somebody else, isn't asked about again; one's own name doesn't count.
    assert!(world.run_until(LONG, ready));
    let order = Order { approver: Some("ann".into()), ..by("ann", switchover("main")) };
    world.order_fully(3, order);
    assert_eq!(answered(&mut world, 3).outcome, Outcome::Waiting);
    let order = Order { approver: Some("cid".into()), group: Some("all-1".into()), ..by("bob", switchover("main")) };
    world.order_fully(4, order);
    let operation = answered(&mut world, 4);
    assert_eq!(operation.outcome, Outcome::Done, "{operation:?}");
}

#[test]
fn a_crash_after_every_step_loses_neither_what_waits_nor_its_end() {
    let short = Duration::from_secs(5);
    let mut world = careful_for(8, short);
    let first = world.steps;
    let id = ask(&mut world, 1);
    world.order_fully(2, by("bob", Command::Approve(id.clone())));
    answered(&mut world, 2);
    let last = world.steps;
    let mut outcomes = std::collections::BTreeSet::new();
    for crash_at in first + 1..=last {
        let mut world = careful_for(8, short);
        world.faults.crash_at = Some(crash_at);
        world.order_fully(1, by("ann", switchover("spare")));
        world.run_until(LONG, |world| world.answer(1).is_some() || world.crashes == 1);
        world.order_fully(2, by("bob", Command::Approve(id.clone())));
        assert!(world.run_until(LONG, |world| world.crashes == 1), "no crash at {crash_at}");
        assert!(world.run_until(LONG, ready), "{crash_at}: {:?}", world.machine.view(world.now()));
        world.run(short + Duration::from_secs(1));
        if let Some(operation) = ended(&world, &id).cloned() {
            let there = routed(&world) != "a:1";
            let moved = matches!(operation.outcome, Outcome::Done | Outcome::Partial);
            assert_eq!(moved, there, "{crash_at}: {operation:?}");
            assert!(!moved || operation.approver.as_deref() == Some("bob"), "{crash_at}");
            outcomes.insert(operation.outcome.as_str());
        } else {
            assert_eq!((routed(&world), world.machine.route().epoch), ("a:1", Epoch(1)), "{crash_at}");
            assert!(world.durable().waiting.is_none(), "{crash_at}");
        }
        one_end_each(&world);
    }
    assert!(
        outcomes.contains("done") && outcomes.contains("rolled_back") && outcomes.contains("refused"),
        "{outcomes:?}"
    );
}

#[test]
fn who_practised_is_remembered_once_and_too_few_are_named() {
    let mut world = steady(9, Replication::Managed);
    let warned = |world: &World| world.machine.view(world.now()).warnings.join("; ");
    assert!(warned(&world).contains("nobody has practised"), "{}", warned(&world));
    for (ticket, actor, to, rehearsal) in
        [(1, "ann", "spare", false), (2, "ann", "main", true), (3, "bob", "spare", false)]
    {
        world.order_fully(ticket, Order { rehearsal, ..by(actor, switchover(to)) });
        assert_eq!(answered(&mut world, ticket).rehearsal, rehearsal);
        assert!(world.run_until(LONG, ready));
        assert_eq!(warned(&world).contains("only ann has practised"), ticket < 3, "{}", warned(&world));
    }
    let practised = world.machine.view(world.now()).practised;
    let names: Vec<_> = practised.iter().map(|practice| (practice.name.as_str(), practice.rehearsal)).collect();
    assert_eq!(names, [("bob", false), ("ann", true)]);
    let mut settings = (*world.settings).clone();
    settings.clusters.iter_mut().for_each(|cluster| cluster.site = "east".into());
    world.reload(settings);
    assert!(warned(&world).contains("one site, east"), "{}", warned(&world));
}
