//! Primaries that are left, and what is known of them afterwards: late answers, old evidence, restarts of our own.

use super::{
    MS, SECOND,
    faults::Fault,
    named::{heals, moves, open, routed, shipped, standing, stays, steady},
    net::Path,
    node::{Disk, FENCE, Follows, Proc},
};
use crate::{
    config::Unfenced,
    decision::switch::Stage,
    model::{operation::Command, record::Change, view::Standing},
};
use std::{sync::Arc, time::Duration};

fn stage(storm: &super::Storm) -> Option<Stage> {
    storm.core.machine.as_ref()?.switch.as_ref().map(|switch| switch.stage)
}

#[test]
fn what_a_hung_primary_answers_when_it_wakes_in_the_flip_is_not_handed_on() {
    let mut plan = shipped(2);
    plan.heartbeat = 1;
    plan.settings.failover.unfenced = Unfenced::Promote;
    let mut storm = steady(plan);
    storm.hang(0);
    assert!(storm.run_until(10 * SECOND, |storm| stage(storm) == Some(Stage::Promoting)), "{}", storm.state());
    let known = storm.ledger.acknowledged();
    let before = storm.nodes[0].data.len();
    storm.wake(0);
    assert!(storm.nodes[0].data.len() > before, "it runs what lay in its sockets");
    assert!(storm.run_until(SECOND, |storm| routed(storm) == 1 && open(storm)), "{}", storm.state());
    assert_eq!(storm.ledger.acknowledged(), known, "nobody is told that it is safe");
    heals(&mut storm);
}

#[test]
fn the_fence_of_a_hung_primary_that_wakes_does_not_wait_for_the_journals_disk() {
    let mut plan = shipped(2);
    plan.heartbeat = 1;
    plan.settings.failover.unfenced = Unfenced::Promote;
    let mut storm = steady(plan);
    storm.hang(0);
    assert!(storm.run_until(10 * SECOND, |storm| stage(storm) == Some(Stage::Promoting)), "{}", storm.state());
    // What is written from now on, such as the history that the promotion begins, takes its time.
    storm.core.disk_slow = 900 * MS;
    assert!(storm.run_until(5 * SECOND, |storm| routed(storm) == 1 && open(storm)), "{}", storm.state());
    storm.run(50 * MS);
    storm.wake(0);
    storm.run(300 * MS);
    assert!(storm.nodes[0].to_write >= FENCE, "{}", storm.state());
    heals(&mut storm);
    let fenced = storm.core.journal.iter().filter(|record| matches!(record.detail, Change::Amended { .. }));
    assert_eq!(fenced.count(), 1, "what it lost is counted once");
}

#[test]
fn a_primary_that_answers_before_anything_is_promoted_stays() {
    let mut plan = shipped(2);
    plan.heartbeat = 1;
    plan.settings.failover.unfenced = Unfenced::Promote;
    let mut storm = steady(plan);
    // A worker that hears late keeps the failover from going on.
    storm.core.frozen_until = 0;
    storm.hang(0);
    assert!(storm.run_until(10 * SECOND, |storm| stage(storm) == Some(Stage::Draining)), "{}", storm.state());
    storm.core.shown_until.fill(storm.now + SECOND);
    storm.agenda.retain(|_, (_, item)| !matches!(item, super::Item::Report(_) | super::Item::Shown(..)));
    storm.wake(0);
    assert!(storm.run_until(SECOND, |storm| stage(storm).is_none()), "{}", storm.state());
    assert_eq!(routed(&storm), 0, "{}", storm.state());
    heals(&mut storm);
}

#[test]
fn a_link_lost_to_an_earlier_process_is_no_evidence_of_a_hang() {
    let mut plan = shipped(2);
    plan.heartbeat = 10;
    plan.settings.failover.unfenced = Unfenced::Promote;
    plan.settings.health.hang_window = Duration::from_secs(6);
    let mut storm = steady(plan);
    // It restarts within the hysteresis, its standby has not come back, and it hangs.
    storm.nodes[1].link.retry_at = storm.now + 60 * SECOND;
    storm.kill(0);
    storm.restart(0, Disk::Whole, 0);
    storm.run(50 * MS);
    storm.nodes[1].link.retry_at = storm.now + 60 * SECOND;
    storm.run(SECOND);
    assert!(!storm.nodes[1].link.up && routed(&storm) == 0 && storm.nodes[0].proc == Proc::Up, "{}", storm.state());
    storm.hang(0);
    stays(&mut storm, 5 * SECOND);
    assert_eq!(standing(&storm).0, Standing::Suspect, "{}", storm.state());
    moves(&mut storm, 1, 5 * SECOND);
    heals(&mut storm);
}

#[test]
fn a_restart_of_ours_in_an_outage_that_we_saw_begin_knows_how_far_the_standby_is() {
    let mut storm = steady(shipped(2));
    storm.order(Command::Pause(Duration::from_hours(1)));
    storm.run(SECOND);
    storm.kill(0);
    storm.run(2 * SECOND);
    assert_eq!(storm.nodes[1].follows, Follows::Void, "{}", storm.state());
    storm.crash(100 * MS);
    storm.run(3 * SECOND);
    assert_eq!(routed(&storm), 0, "it is paused: {}", storm.state());
    storm.order(Command::Resume);
    moves(&mut storm, 1, 5 * SECOND);
    heals(&mut storm);
}

#[test]
fn a_restart_of_ours_in_an_outage_that_nobody_saw_begin_blocks() {
    let mut storm = steady(shipped(2));
    storm.crash(2 * SECOND);
    storm.kill(0);
    storm.run(20 * SECOND);
    let (state, note) = standing(&storm);
    assert!(state == Standing::Blocked && note.contains("is not known yet"), "{note}");
    heals(&mut storm);
}

#[test]
fn a_fallen_primary_with_an_append_only_files_data_serves_again() {
    let mut plan = shipped(2);
    plan.full_copy = 300 * MS;
    let mut storm = steady(plan);
    storm.net.set(1, 2, Path::Cut);
    storm.nodes[0].file = Follows::Node(1);
    storm.kill(0);
    storm.restart(0, Disk::Log, 0);
    let held = storm.nodes[0].data.len();
    assert!(storm.run_until(5 * SECOND, |storm| storm.nodes[0].is_primary()), "{}", storm.state());
    assert!(storm.nodes[0].data.len() >= held && routed(&storm) == 0, "{}", storm.state());
    heals(&mut storm);
}

#[test]
fn what_an_old_dump_names_as_its_parent_tells_that_it_is_old_however_little_it_lacks() {
    let mut plan = shipped(3);
    plan.settings.failover.cooldown = Duration::from_secs(5);
    let mut storm = steady(plan);
    storm.run(4 * SECOND);
    storm.kill(0);
    moves(&mut storm, 1, 5 * SECOND);
    storm.run(300 * MS);
    let held = storm.nodes[2].data.len();
    storm.kill(1);
    storm.restart(1, Disk::Old, 0);
    storm.run(2 * SECOND);
    assert!(storm.nodes[2].data.len() >= held, "{}", storm.state());
    storm.begin(Fault::Reload(false));
    heals(&mut storm);
}

/// A reload that names these clusters only; none: all of them again.
fn reloaded(storm: &mut super::Storm, without: Option<&str>) {
    let mut settings = storm.plan.settings.clone();
    settings.clusters.retain(|cluster| cluster.nodes.iter().all(|node| Some(node.address.as_str()) != without));
    storm.settings = Arc::new(settings);
    storm.reload(false);
}

#[test]
fn a_strange_primary_that_leaves_the_list_empties_nobody() {
    let mut plan = shipped(2);
    plan.settings.failover.automatic = false;
    plan.full_copy = 20 * MS;
    let mut storm = steady(plan);
    let held = storm.nodes[1].data.len();
    storm.begin(Fault::Kill(0, Disk::Nothing, 2 * SECOND));
    storm.run(5 * SECOND);
    assert_eq!((standing(&storm).0, storm.nodes[1].follows), (Standing::Blocked, Follows::Void), "{}", storm.state());
    let gone = storm.nodes[0].name.clone();
    reloaded(&mut storm, Some(gone.as_str()));
    storm.run(5 * SECOND);
    let (state, note) = standing(&storm);
    assert!(state == Standing::Blocked && note.contains("not in the configuration"), "{note}");
    assert!(storm.nodes[1].data.len() >= held && storm.nodes[1].follows == Follows::Void, "{}", storm.state());
    assert!(!open(&storm), "requests wait as before: {}", storm.state());
    reloaded(&mut storm, None);
    storm.run(2 * SECOND);
    assert_eq!(standing(&storm).0, Standing::Blocked, "{:?}", standing(&storm));
    storm.order(Command::Failover { to: None, dry_run: false, accept_loss: true });
    moves(&mut storm, 1, 5 * SECOND);
    heals(&mut storm);
}

#[test]
fn a_healthy_primary_that_leaves_the_list_goes_on_serving() {
    let mut storm = steady(shipped(2));
    let gone = storm.nodes[0].name.clone();
    reloaded(&mut storm, Some(gone.as_str()));
    let before = storm.ledger.acknowledged();
    stays(&mut storm, 5 * SECOND);
    assert!(open(&storm) && storm.ledger.acknowledged() > before, "{}", storm.state());
    let (state, note) = standing(&storm);
    assert!(state == Standing::Blocked && note.contains("not in the configuration"), "{note}");
    storm.order(Command::Failover { to: None, dry_run: false, accept_loss: true });
    stays(&mut storm, SECOND);
    reloaded(&mut storm, None);
    heals(&mut storm);
}

#[test]
fn beside_a_second_manager_that_comes_first_nobody_is_parked_and_that_one_answers_for_it() {
    let mut storm = steady(shipped(2));
    storm.nodes[1].other_manager = true;
    storm.run(SECOND);
    storm.kill(0);
    storm.run(3 * SECOND);
    assert_eq!(storm.nodes[1].follows, Follows::Node(0), "{}", storm.state());
    storm.restart(0, Disk::Nothing, 0);
    assert!(storm.ledger.protected.is_empty(), "what it keeps isn't ours to keep");
    // One that is gone leaves the duty to us, and what a standby has is kept again.
    storm.nodes[1].other_manager = false;
    let held = storm.nodes[1].data.len();
    moves(&mut storm, 1, 5 * SECOND);
    assert!(storm.nodes[1].data.len() >= held && held > 0, "{}", storm.state());
}
