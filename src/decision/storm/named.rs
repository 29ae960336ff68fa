//! Evidence and its consequences, case by case: what proves that a primary is gone, and what doesn't.

use super::{
    MS, SECOND, Storm, Us,
    faults::Fault,
    net::{Path, US},
    node::{Disk, Follows, Proc},
    plan::Plan,
};
use crate::{
    config::{Replication, Unfenced},
    decision::world::Dice,
    model::{operation::Command, route::Mode, view::Standing},
};
use std::time::Duration;

/// A steady service after five seconds of traffic.
pub(super) fn steady(plan: Plan) -> Storm {
    let mut storm = Storm::new(plan, Dice::new(7), None, false);
    assert!(storm.run_until(10 * SECOND, Storm::steady), "{}", storm.state());
    storm.run(5 * SECOND);
    storm
}

pub(super) fn shipped(nodes: usize) -> Plan {
    Plan::calm(nodes, Replication::Managed)
}

pub(super) fn routed(storm: &Storm) -> usize {
    let target = storm.core.machine.as_ref().and_then(|machine| machine.route().target.clone());
    target.and_then(|target| storm.index(target.node.as_str())).unwrap_or(usize::MAX)
}

pub(super) fn standing(storm: &Storm) -> (Standing, String) {
    let view = storm.core.machine.as_ref().map(|machine| machine.view(storm.clock()));
    view.map(|view| (view.state, view.note)).unwrap_or_default()
}

/// No route moves within `length`, and nothing was broken.
pub(super) fn stays(storm: &mut Storm, length: Us) {
    let moved = storm.run_until(length, |storm| routed(storm) != 0 || storm.ledger.automatic > 0);
    assert!(!moved && storm.broken.is_empty(), "{:?} {}", storm.broken, storm.state());
}

/// The route moves to `n` within `limit`; how long it took.
pub(super) fn moves(storm: &mut Storm, n: usize, limit: Us) -> Us {
    let before = storm.now;
    let moved = storm.run_until(limit, |storm| routed(storm) == n && open(storm));
    assert!(moved && storm.broken.is_empty(), "{:?} {}", storm.broken, storm.state());
    storm.now - before
}

pub(super) fn open(storm: &Storm) -> bool {
    storm.core.machine.as_ref().is_some_and(|machine| machine.route().mode == Mode::Open)
}

/// Healed, it is steady again without anybody's help, and no acknowledged write is missing but those that a failover lost.
pub(super) fn heals(storm: &mut Storm) {
    storm.heal();
    assert!(storm.run_until(150 * SECOND, Storm::steady), "{:?} {}", storm.broken, storm.state());
    let lost = storm.ledger.missing(&storm.nodes[routed(storm)].data);
    assert!(lost.is_empty() && storm.broken.is_empty(), "{lost:?} {:?}", storm.broken);
}

#[test]
fn a_killed_primary_is_replaced_and_returns_as_a_standby() {
    let mut storm = steady(shipped(3));
    storm.kill(0);
    let n = 1;
    let took = moves(&mut storm, n, 5 * SECOND);
    assert!(took <= 800 * MS, "{took} us with shipped defaults");
    heals(&mut storm);
}

#[test]
fn the_sidecar_alone_cut_off_from_the_primary_flips_nothing() {
    let mut storm = steady(shipped(2));
    storm.begin(Fault::Cut(US, 1, true, 60 * SECOND));
    stays(&mut storm, 30 * SECOND);
    let (state, note) = standing(&storm);
    assert_eq!(state, Standing::Isolated, "{note}");
    assert!(note.contains("hears it"), "{note}");
    storm.heal();
    storm.run(5 * SECOND);
    assert_eq!(standing(&storm).0, Standing::Steady);
}

#[test]
fn a_script_of_four_seconds_flips_nothing_with_shipped_defaults() {
    for heartbeat in [1, 10] {
        let mut plan = shipped(2);
        plan.heartbeat = heartbeat;
        plan.settings.failover.unfenced = Unfenced::Promote;
        let mut storm = steady(plan);
        storm.begin(Fault::Hang(0, 4 * SECOND));
        stays(&mut storm, 20 * SECOND);
        assert_eq!(standing(&storm).0, Standing::Steady);
    }
}

#[test]
fn a_firewall_that_refuses_for_us_alone_flips_nothing() {
    let mut storm = steady(shipped(3));
    storm.begin(Fault::Firewall(0, 60 * SECOND));
    stays(&mut storm, 30 * SECOND);
    let (state, note) = standing(&storm);
    assert_eq!(state, Standing::Isolated, "{note}");
}

#[test]
fn one_standby_that_hears_the_primary_is_a_veto() {
    let mut storm = steady(shipped(3));
    storm.net.set(1, 2, Path::Cut);
    storm.net.set(2, 1, Path::Cut);
    storm.kill(1);
    storm.restart(1, Disk::Whole, 0);
    storm.run(SECOND);
    storm.begin(Fault::Firewall(0, 60 * SECOND));
    stays(&mut storm, 30 * SECOND);
}

#[test]
fn a_hang_is_a_death_where_the_ping_period_tells_and_unfenced_is_promote() {
    let mut plan = shipped(2);
    plan.heartbeat = 1;
    plan.settings.health.hang_window = Duration::from_secs(2);
    plan.settings.failover.unfenced = Unfenced::Promote;
    let mut storm = steady(plan);
    storm.hang(0);
    let took = moves(&mut storm, 1, 10 * SECOND);
    assert!(took <= 3500 * MS, "{took} us");
    storm.run(SECOND);
    storm.wake(0);
    let fenced = storm.run_until(300 * MS, |storm| !storm.nodes[0].takes_writes(storm.now));
    assert!(fenced, "within one interval and 100 ms: {}", storm.state());
    heals(&mut storm);
}

#[test]
fn a_hang_blocks_by_default_and_says_so() {
    let mut plan = shipped(2);
    plan.heartbeat = 1;
    let mut storm = steady(plan);
    storm.hang(0);
    stays(&mut storm, 30 * SECOND);
    let (state, note) = standing(&storm);
    assert_eq!(state, Standing::Blocked);
    assert!(note.contains("others may still write there") && note.contains("unfenced"), "{note}");
    heals(&mut storm);
}

#[test]
fn a_primary_that_fences_itself_is_replaced_after_its_lag_limit_and_a_second() {
    let mut plan = shipped(2);
    plan.heartbeat = 1;
    plan.to_write = 1;
    let mut storm = steady(plan);
    storm.begin(Fault::Alone(0, 600 * SECOND));
    let took = moves(&mut storm, 1, 40 * SECOND);
    assert!((17 * SECOND..20 * SECOND).contains(&took), "{took} us: hang_window, then its lag limit and a second");
    assert!(storm.nodes[0].starved(storm.now));
    heals(&mut storm);
}

#[test]
fn a_primary_that_waits_for_its_standbys_is_replaced_after_hang_window_and_nothing_is_lost() {
    for hang in [Fault::Hang(0, 600 * SECOND), Fault::Alone(0, 600 * SECOND)] {
        let mut plan = shipped(3);
        (plan.heartbeat, plan.to_write, plan.named) = (1, 1, true);
        let mut storm = steady(plan);
        storm.run(2 * SECOND);
        storm.begin(hang);
        let took = moves(&mut storm, 1, 40 * SECOND);
        assert!((6 * SECOND..7 * SECOND).contains(&took), "{took} us: hang_window, and nothing after it");
        assert!(storm.ledger.flips.iter().all(|flip| flip.lost.is_empty()), "what two had is never lost");
    }
}

#[test]
fn a_primary_that_wakes_before_its_hang_counts_gets_its_standbys_back() {
    let mut plan = shipped(3);
    (plan.heartbeat, plan.to_write, plan.named) = (1, 1, true);
    let mut storm = steady(plan);
    storm.begin(Fault::Hang(0, 5 * SECOND));
    storm.run(9 * SECOND / 2);
    let parked = |storm: &Storm| storm.core.durable().is_some_and(|state| state.parked.len() == 2);
    assert!(parked(&storm), "its standbys hear nothing: {}", storm.state());
    storm.run(5 * SECOND / 2);
    assert!(storm.steady(), "{}", storm.state());
    stays(&mut storm, SECOND);
    heals(&mut storm);
}

#[test]
fn a_primary_that_restarts_empty_is_replaced_by_its_standby_and_nothing_is_lost() {
    for down in [20 * MS, 200 * MS, 500 * MS] {
        for full_copy in [300 * MS, 5 * SECOND] {
            let mut plan = shipped(3);
            plan.full_copy = full_copy;
            let mut storm = steady(plan);
            storm.begin(Fault::Kill(0, Disk::Nothing, down));
            let moved = storm.run_until(5 * SECOND, |storm| routed(storm) != 0 && open(storm));
            assert!(moved, "{}", storm.state());
            heals(&mut storm);
            assert!(storm.nodes.iter().all(|node| node.items > 0), "nobody copied the emptiness");
        }
    }
}

#[test]
fn while_failover_is_off_an_empty_restart_empties_nobody_else() {
    let mut plan = shipped(2);
    plan.settings.failover.automatic = false;
    let mut storm = steady(plan);
    let before = storm.nodes[1].data.len();
    storm.begin(Fault::Kill(0, Disk::Nothing, 2 * SECOND));
    stays(&mut storm, 30 * SECOND);
    assert!(storm.nodes[1].data.len() >= before && storm.nodes[1].follows == Follows::Void, "{}", storm.state());
    assert_eq!(standing(&storm).0, Standing::Blocked);
    storm.order(Command::Failover { to: None, dry_run: false, accept_loss: true });
    moves(&mut storm, 1, 5 * SECOND);
    heals(&mut storm);
}

#[test]
fn a_restart_within_the_hysteresis_flips_nothing() {
    for disk in [Disk::Whole, Disk::Log] {
        let mut storm = steady(shipped(3));
        storm.begin(Fault::Kill(0, disk, 300 * MS));
        stays(&mut storm, 20 * SECOND);
        assert_eq!(standing(&storm), (Standing::Steady, String::new()));
        heals(&mut storm);
    }
}

#[test]
fn a_flapping_primary_flips_once() {
    let mut storm = steady(shipped(2));
    for _ in 0..6 {
        let n = routed(&storm);
        storm.kill(n);
        storm.run(2 * SECOND);
        storm.restart(n, Disk::Whole, 0);
        storm.run(3 * SECOND);
    }
    assert!(storm.broken.is_empty(), "{:?}", storm.broken);
    assert_eq!(storm.ledger.automatic, 1, "{}", storm.state());
    heals(&mut storm);
}

#[test]
fn a_candidate_that_dies_before_its_promotion_gives_way_to_the_next() {
    let mut storm = steady(shipped(3));
    storm.kill(0);
    let under_way = storm
        .run_until(5 * SECOND, |storm| storm.core.machine.as_ref().is_some_and(|machine| machine.switch.is_some()));
    assert!(under_way);
    storm.kill(1);
    moves(&mut storm, 2, 10 * SECOND);
    heals(&mut storm);
}

#[test]
fn a_candidate_that_dies_after_its_promotion_gives_way_to_the_next() {
    let mut storm = steady(shipped(3));
    storm.kill(0);
    moves(&mut storm, 1, 5 * SECOND);
    storm.kill(1);
    moves(&mut storm, 2, 20 * SECOND);
    heals(&mut storm);
}

#[test]
fn beside_a_second_manager_nothing_is_moved() {
    let mut storm = steady(shipped(2));
    storm.nodes[1].other_manager = true;
    storm.run(SECOND);
    storm.kill(0);
    stays(&mut storm, 20 * SECOND);
    let (state, note) = standing(&storm);
    assert_eq!(state, Standing::Blocked, "{note}");
    assert!(note.contains("is managed by other on host-2 too"), "{note}");
    storm.nodes[1].other_manager = false;
    moves(&mut storm, 1, 5 * SECOND);
}

#[test]
fn who_moves_the_roles_elsewhere_is_followed_and_two_heirs_are_never_guessed_between() {
    let mut storm = steady(Plan::calm(3, Replication::External));
    storm.begin(Fault::Kill(0, Disk::Whole, 10 * SECOND));
    let moved = storm.run_until(10 * SECOND, |storm| routed(storm) != 0 && open(storm));
    assert!(moved, "{}", storm.state());
    heals(&mut storm);
    // Nobody moves roles any more, and two nodes are made primaries by hand.
    let mut storm = steady(Plan::calm(3, Replication::External));
    storm.agenda.retain(|_, (_, item)| !matches!(item, super::Item::Sentinel));
    storm.nodes[1].promote(7001);
    storm.nodes[2].promote(7002);
    stays(&mut storm, 10 * SECOND);
    let (state, note) = standing(&storm);
    assert_eq!(state, Standing::Blocked, "{note}");
    assert!(note.contains("can't be told"), "{note}");
}

#[test]
fn paused_nothing_flips_until_it_is_resumed() {
    let mut storm = steady(shipped(2));
    storm.order(Command::Pause(Duration::from_secs(30)));
    storm.run(100 * MS);
    storm.kill(0);
    stays(&mut storm, 25 * SECOND);
    assert_eq!(standing(&storm).0, Standing::Blocked);
    moves(&mut storm, 1, 10 * SECOND);
    heals(&mut storm);
}

#[test]
fn what_was_found_before_a_pause_of_our_own_proves_nothing() {
    let mut storm = steady(shipped(2));
    storm.freeze(10 * SECOND, true);
    storm.run(9 * SECOND);
    storm.begin(Fault::Kill(0, Disk::Whole, 1200 * MS));
    stays(&mut storm, 20 * SECOND);
    assert_eq!(storm.nodes[0].proc, Proc::Up);
    assert_eq!(standing(&storm).0, Standing::Steady);
}

#[test]
fn a_primary_made_read_only_by_its_own_file_is_reopened() {
    let mut plan = shipped(3);
    plan.files = false;
    let mut storm = steady(plan);
    storm.order(Command::Switchover {
        to: Some("spare".into()),
        dry_run: false,
        cut_sessions: false,
        timeout: Duration::from_secs(3),
    });
    assert!(storm.run_until(30 * SECOND, |storm| routed(storm) != 0 && storm.steady()), "{}", storm.state());
    let n = routed(&storm);
    storm.kill(n);
    storm.restart(n, Disk::Whole, 0);
    assert_eq!(storm.nodes[n].follows, Follows::Node(0));
    assert!(storm.run_until(3 * SECOND, |storm| storm.nodes[n].is_primary()), "{}", storm.state());
    assert!(storm.run_until(30 * SECOND, Storm::steady), "{}", storm.state());
    assert_eq!(routed(&storm), n);
    heals(&mut storm);
}

#[test]
fn a_standby_that_was_away_when_the_primary_moved_follows_it_when_it_is_back() {
    let mut storm = steady(shipped(3));
    storm.begin(Fault::Alone(2, 60 * SECOND));
    storm.run(SECOND);
    storm.kill(0);
    moves(&mut storm, 1, 5 * SECOND);
    storm.run(30 * SECOND);
    heals(&mut storm);
    assert_eq!(storm.nodes[2].follows, Follows::Node(1));
}

#[test]
fn a_restart_of_our_own_under_load_finds_nothing_strange() {
    for _ in 0..8 {
        let mut storm = steady(shipped(3));
        storm.crash(50 * MS);
        storm.run(200 * MS);
        stays(&mut storm, 5 * SECOND);
        assert_eq!(standing(&storm), (Standing::Steady, String::new()));
    }
}
