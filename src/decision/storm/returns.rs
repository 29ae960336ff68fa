//! What comes back, whole or not, at a bad moment: cases that seeds of the storm found.

use super::{
    MS, SECOND, Storm,
    faults::Fault,
    named::{heals, moves, open, routed, shipped, standing, stays, steady},
    net::Path,
    node::{Disk, FENCE, Follows, Proc},
};
use crate::model::{operation::Command, view::Standing};
use std::time::Duration;

#[test]
fn a_primary_that_nobody_reached_and_that_loads_little_empties_nobody() {
    let mut plan = shipped(2);
    plan.full_copy = 20 * MS;
    plan.settings.failover.automatic = false;
    let mut storm = steady(plan);
    // Its host is gone, so that nothing refuses; its standby's link is up until it is back.
    storm.begin(Fault::Host(0, Disk::Nothing, 10 * SECOND));
    storm.run(9 * SECOND);
    let held = storm.nodes[1].data.len();
    storm.nodes[1].link.retry_at = storm.now + 3 * SECOND;
    storm.agenda.retain(|_, (_, item)| !matches!(item, super::Item::Over(_)));
    storm.restart(0, Disk::Nothing, 2 * SECOND);
    storm.run(10 * SECOND);
    assert!(storm.nodes[1].data.len() >= held && storm.nodes[1].follows == Follows::Void, "{}", storm.state());
}

#[test]
fn a_park_does_not_wait_for_the_journals_disk() {
    let mut plan = shipped(2);
    plan.full_copy = 20 * MS;
    let mut storm = steady(plan);
    storm.core.disk_slow = 900 * MS;
    storm.kill(0);
    storm.run(100 * MS);
    assert_eq!(storm.nodes[1].follows, Follows::Void, "{}", storm.state());
    storm.restart(0, Disk::Nothing, 0);
    moves(&mut storm, 1, 20 * SECOND);
    heals(&mut storm);
}

#[test]
fn a_standby_in_the_middle_of_a_copy_is_no_evidence_against_its_primary() {
    let mut plan = shipped(2);
    plan.full_copy = 5 * SECOND;
    let mut storm = steady(plan);
    storm.kill(1);
    storm.restart(1, Disk::Nothing, 0);
    storm.run(300 * MS);
    assert!(storm.nodes[1].link.copied_at.is_some(), "it copies");
    storm.begin(Fault::Firewall(0, 30 * SECOND));
    stays(&mut storm, 25 * SECOND);
    heals(&mut storm);
}

#[test]
fn a_wait_for_a_silent_primary_to_stop_outlives_us() {
    let mut plan = shipped(2);
    plan.heartbeat = 1;
    plan.to_write = 1;
    let mut storm = steady(plan);
    storm.begin(Fault::Alone(0, 600 * SECOND));
    storm.run(12 * SECOND);
    let (state, note) = standing(&storm);
    assert!(state == Standing::Blocked && note.contains("stops by itself within"), "{note}");
    storm.crash(100 * MS);
    storm.run(200 * MS);
    let took = moves(&mut storm, 1, 40 * SECOND);
    assert!(took >= 17 * SECOND, "{took} us: hang_window, its lag limit and a second, all counted anew");
    assert!(storm.nodes[0].starved(storm.now));
    heals(&mut storm);
}

#[test]
fn a_silent_primary_that_answers_after_a_restart_of_ours_is_kept() {
    let mut plan = shipped(2);
    plan.heartbeat = 1;
    plan.to_write = 1;
    let mut storm = steady(plan);
    storm.begin(Fault::Hang(0, 16 * SECOND));
    storm.run(12 * SECOND);
    storm.crash(100 * MS);
    storm.run(SECOND);
    stays(&mut storm, 20 * SECOND);
    assert!(storm.run_until(20 * SECOND, Storm::steady), "{}", storm.state());
    assert!(storm.core.durable().is_some_and(|state| state.silenced.is_none()));
    heals(&mut storm);
}

#[test]
fn a_standby_that_its_own_file_makes_a_primary_is_not_adopted_while_another_has_more() {
    let mut storm = steady(shipped(3));
    storm.kill(2);
    storm.run(5 * SECOND);
    storm.nodes[2].file = Follows::Nobody;
    storm.kill(0);
    storm.restart(2, Disk::Whole, 0);
    moves(&mut storm, 1, 10 * SECOND);
    storm.nodes[2].follow(Follows::Node(1), storm.now);
    heals(&mut storm);
}

#[test]
fn a_routed_primary_that_its_own_file_makes_a_standby_copies_nobody() {
    let mut plan = shipped(2);
    plan.files = false;
    plan.full_copy = 300 * MS;
    let mut storm = steady(plan);
    storm.kill(0);
    moves(&mut storm, 1, 5 * SECOND);
    storm.run(5 * SECOND);
    // The other one is a primary by its own file too, out of our sight, and has less.
    storm.net.set(0, 1, Path::Cut);
    storm.restart(0, Disk::Whole, 0);
    let held = storm.nodes[1].data.len();
    storm.kill(1);
    storm.run(100 * MS);
    storm.restart(1, Disk::Whole, 0);
    assert_eq!(storm.nodes[1].follows, Follows::Node(0));
    assert!(storm.run_until(5 * SECOND, |storm| storm.nodes[1].is_primary()), "{}", storm.state());
    assert!(storm.nodes[1].data.len() >= held, "it kept what it held");
    heals(&mut storm);
}

#[test]
fn a_fenced_standby_that_has_copied_everything_is_parked_too_and_serves() {
    let mut plan = shipped(2);
    plan.settings.failover.cooldown = Duration::from_secs(5);
    plan.full_copy = 300 * MS;
    let mut storm = steady(plan);
    storm.kill(0);
    moves(&mut storm, 1, 5 * SECOND);
    storm.run(2 * SECOND);
    storm.restart(0, Disk::Whole, 0);
    let copied = storm.run_until(10 * SECOND, |storm| storm.nodes[0].link.up);
    assert!(copied && storm.nodes[0].to_write >= FENCE, "its fence isn't lifted yet: {}", storm.state());
    storm.kill(1);
    storm.restart(1, Disk::Nothing, 0);
    moves(&mut storm, 0, 20 * SECOND);
    heals(&mut storm);
}

#[test]
fn a_primary_that_returns_in_the_middle_of_a_switch_is_fenced_at_once() {
    let mut storm = steady(shipped(3));
    storm.kill(0);
    // The other standby hangs: the end of the failover waits for it to be told whom to follow.
    storm.hang(2);
    let served = storm.run_until(20 * SECOND, |storm| routed(storm) != 0 && open(storm));
    assert!(served, "{}", storm.state());
    storm.restart(0, Disk::Whole, 0);
    let fenced = storm.run_until(300 * MS, |storm| !storm.nodes[0].takes_writes(storm.now));
    let switching = storm.core.machine.as_ref().is_some_and(|machine| machine.switch.is_some());
    assert!(fenced && switching, "{}", storm.state());
    storm.wake(2);
    heals(&mut storm);
}

#[test]
fn what_follows_a_strange_process_is_strange_however_little_it_lacks() {
    let mut plan = shipped(2);
    plan.settings.failover.automatic = false;
    let mut storm = steady(plan);
    storm.kill(0);
    storm.run(2 * SECOND);
    storm.nodes[0].data.pop();
    storm.nodes[0].offset -= super::node::WRITE_BYTES;
    storm.restart(0, Disk::Whole, 0);
    storm.run(3 * SECOND);
    let (state, note) = standing(&storm);
    assert!(state == Standing::Blocked && note.contains("less than"), "{state:?} {note}");
    storm.kill(0);
    storm.restart(0, Disk::Whole, 0);
    storm.run(3 * SECOND);
    assert_eq!(standing(&storm).0, Standing::Blocked, "{:?}", standing(&storm));
    assert_eq!(storm.nodes[1].follows, Follows::Void, "who has more keeps it");
}

#[test]
fn steps_of_the_wall_clock_flip_nothing() {
    for forward in [true, false] {
        let mut storm = steady(shipped(2));
        for _ in 0..3 {
            storm.step_clock(forward);
            stays(&mut storm, 5 * SECOND);
        }
        storm.crash(100 * MS);
        storm.run(200 * MS);
        stays(&mut storm, 5 * SECOND);
        assert_eq!(standing(&storm).0, Standing::Steady);
        storm.step_clock(!forward);
        storm.kill(0);
        storm.run(2 * SECOND);
        assert_eq!((routed(&storm), storm.nodes[0].proc), (1, Proc::Down), "and keep nothing from flipping");
    }
}

#[test]
fn a_reload_changes_neither_roles_nor_what_is_under_way() {
    let mut storm = steady(shipped(3));
    storm.reload(false);
    stays(&mut storm, 3 * SECOND);
    storm.kill(0);
    storm.run_until(5 * SECOND, |storm| storm.core.machine.as_ref().is_some_and(|machine| machine.switch.is_some()));
    storm.reload(false);
    moves(&mut storm, 1, 5 * SECOND);
    heals(&mut storm);
}

/// A planned switch that a standby's outage keeps from closing, or from ending.
fn switching(storm: &mut Storm) {
    let to = Some("spare".into());
    storm.order(Command::Switchover { to, dry_run: false, cut_sessions: false, timeout: Duration::from_secs(10) });
}

#[test]
fn a_primary_that_restarts_empty_while_a_switch_approaches_empties_nobody() {
    let mut plan = shipped(2);
    plan.full_copy = 20 * MS;
    let mut storm = steady(plan);
    // What it can't receive keeps the approach waiting.
    storm.net.set(1, 2, Path::Cut);
    storm.run(SECOND);
    switching(&mut storm);
    storm.run(SECOND);
    assert!(storm.core.machine.as_ref().is_some_and(|machine| machine.switch.is_some()), "{}", storm.state());
    storm.net.mend(1, 2);
    storm.begin(Fault::Kill(0, Disk::Nothing, 100 * MS));
    moves(&mut storm, 1, 10 * SECOND);
    assert!(!storm.nodes[1].data.is_empty());
    heals(&mut storm);
}

#[test]
fn a_new_primary_that_restarts_empty_before_its_switch_has_ended_empties_nobody() {
    let mut plan = shipped(3);
    plan.full_copy = 20 * MS;
    let mut storm = steady(plan);
    // The old primary hangs as soon as the new route serves: its return keeps the switch from ending.
    switching(&mut storm);
    let served = storm.run_until(10 * SECOND, |storm| routed(storm) != 0 && open(storm));
    assert!(served, "{}", storm.state());
    let other = 3 - routed(&storm);
    storm.hang(0);
    storm.run(2 * SECOND);
    assert!(storm.core.machine.as_ref().is_some_and(|machine| machine.switch.is_some()), "{}", storm.state());
    storm.begin(Fault::Kill(0, Disk::Nothing, 100 * MS));
    moves(&mut storm, other, 10 * SECOND);
    assert!(!storm.nodes[other].data.is_empty());
    heals(&mut storm);
}
