//! Rows 4 and 7: a primary that nobody reaches any more, and one that only its standby doesn't reach.

use crate::{
    common::{PATIENCE, netns::Host, wait_for},
    net_scene::{Hosts, Local, has_stopped_itself, hosts, hosts_of},
    rig::wait_role,
    scene::{HANG, changes, epoch, last_operation, pass, until},
    writers::{Notes, Writers},
};
use std::time::{Duration, Instant};

const WRITERS: usize = 10;
/// How long a path is broken where nothing is to happen.
const BROKEN: Duration = Duration::from_secs(4);

/// Row 4, a primary that stops by itself when it has lost its standby.
pub fn isolated_and_fences_itself() -> String {
    let world = hosts_of(3, &[("min-replicas-to-write", "1"), ("min-replicas-max-lag", "2")], HANG);
    let writers = world.writers(WRITERS);
    let old = Local::start(&world.main_host);
    let mut stopped = false;
    let (cut, notes) = replaced(&world, writers, Host::isolate, || stopped = has_stopped_itself(&world.main));
    assert!(stopped, "it has stopped by itself when another one is promoted");
    let last = old.finish().last.expect("it took writes before");
    let begun = begun(&notes, cut);
    assert!(last < begun, "both took writes for {:?}", last - begun);
    let starved = notes.errors.iter().filter(|error| error.contains("NOREPLICAS")).count();
    assert_eq!(
        starved,
        notes.errors.len(),
        "the new one waits for its standby, and nothing else fails: {:?}",
        notes.errors
    );
    let alone = (begun - last).as_millis();
    format!("{}; it had stopped {alone} ms before; {starved} NOREPLICAS of the heir", measured(&world, &notes, cut))
}

/// Row 4, where the service says that a primary that can't be fenced is replaced all the same.
pub fn isolated_and_replaced_unfenced() -> String {
    let round = |name: &str, set_broken: fn(&Host)| {
        let world = hosts(&[], &format!("{HANG}\n[services.cart.failover]\nunfenced = \"promote\""));
        let writers = world.writers(WRITERS);
        let old = Local::start(&world.main_host);
        let mut healed = None;
        let (cut, notes) = replaced(&world, writers, set_broken, || healed = Some(Instant::now()));
        let last = old.finish().last.expect("others write there until it is fenced");
        assert!(notes.errors.is_empty(), "{:?}", notes.errors);
        let fenced = last.saturating_duration_since(healed.expect("it was healed"));
        format!("{name}: {}; fenced {} ms after the path was back", measured(&world, &notes, cut), fenced.as_millis())
    };
    [round("lost packets", Host::isolate), round("a pulled cable", Host::unplug)].join(". ")
}

/// Breaks the primary's paths, sees it replaced, mends them (after `before_healing`), and sees it follow.
fn replaced(world: &Hosts, writers: Writers, set_broken: fn(&Host), before_healing: impl FnOnce()) -> (Instant, Notes) {
    set_broken(&world.main_host);
    let cut = Instant::now();
    world.heir();
    before_healing();
    writers.progress(100);
    world.heal();
    world.rig.wait_ready();
    wait_role(&world.main, "slave");
    writers.progress(100);
    let notes = writers.finish();
    assert!(notes.unknown.len() <= WRITERS, "one a connection at most: {}", notes.unknown.len());
    world.main.wait_synced();
    (cut, notes)
}

/// When the first write was acknowledged that the new primary took.
fn begun(notes: &Notes, cut: Instant) -> Instant {
    cut + notes.gap(cut)
}

fn measured(world: &Hosts, notes: &Notes, cut: Instant) -> String {
    let (missing, gap) = (notes.missing(world.heir()), notes.gap(cut));
    assert!(missing <= WRITERS, "asynchronous replication loses what was under way: {missing}");
    assert!(gap < Duration::from_secs(10), "no write was acknowledged for {gap:?}");
    let operation = last_operation(&world.rig);
    assert_eq!((&operation["kind"], &operation["outcome"]), (&"failover".into(), &"done".into()), "{operation:#}");
    assert!(!changes(&world.rig, "amended").is_empty(), "the loss is counted when it returned");
    let acknowledged = notes.acknowledged.len();
    format!("gap {} ms, {missing} of {acknowledged} acknowledged writes lost", gap.as_millis())
}

/// Row 4 with the default: others may still write there, so nothing is done and an operator is told.
pub fn isolated_and_blocked() -> String {
    let world = hosts(&[], HANG);
    let writers = world.writers(WRITERS);
    let (new, before) = (Local::start(&world.spare_host), epoch(&world.rig));
    world.main_host.isolate();
    let said = until("it is said", || {
        let service = world.rig.service();
        service["state"] == "blocked" && service["note"].as_str().is_some_and(|note| note.contains("can't be fenced"))
    });
    pass(BROKEN);
    assert!(world.no_flip(before), "{:#}", world.rig.service());
    world.heal();
    let back = until("the service goes on", || world.rig.service()["state"] == "steady");
    writers.progress(100);
    let notes = unharmed(&world, writers, before);
    assert!(new.finish().first.is_none(), "the standby takes no write");
    format!(
        "blocked and said after {} ms; steady {} ms after the path was back; {notes}",
        said.as_millis(),
        back.as_millis()
    )
}

/// No flip, nothing lost anywhere, and only writes in flight may be unknown.
fn unharmed(world: &Hosts, writers: Writers, before: u64) -> String {
    let notes = writers.finish();
    assert!(notes.errors.is_empty(), "{:?}", notes.errors);
    assert!(notes.unknown.len() <= WRITERS, "one a connection at most: {}", notes.unknown.len());
    world.rig.wait_ready();
    assert!(world.no_flip(before), "{:#}", world.rig.service());
    world.spare.wait_synced();
    assert_eq!((notes.missing(&world.main), notes.missing(&world.spare)), (0, 0), "lost there, lost here");
    format!("0 of {} lost, {} unknown", notes.acknowledged.len(), notes.unknown.len())
}

/// Row 7: the primary goes on alone, and that its standby can't replace it is shown.
pub fn only_replication_is_cut() -> String {
    let world = hosts(&[], &format!("{HANG}\n[services.cart.failover]\nmax_lag = \"2s\""));
    let writers = world.writers(WRITERS);
    let before = epoch(&world.rig);
    world.main_host.cut(&world.spare_host);
    let reasons = || world.rig.service()["failover_ready"]["reasons"].to_string();
    let said = until("that the standby is behind is shown", || reasons().contains("behind"));
    pass(BROKEN);
    assert!(world.no_flip(before) && world.rig.service()["mode"] == "open", "{:#}", world.rig.service());
    writers.progress(200);
    world.heal();
    world.rig.wait_ready();
    writers.progress(200);
    format!(
        "serves on; shown after {} ms that the standby is too far behind; {}",
        said.as_millis(),
        unharmed(&world, writers, before)
    )
}

/// Row 7, where the primary stops by itself: it lives, so it isn't replaced, and why nobody can write is said.
pub fn only_replication_is_cut_and_it_fences_itself() -> String {
    let world = hosts(&[("min-replicas-to-write", "1"), ("min-replicas-max-lag", "2")], HANG);
    let before = epoch(&world.rig);
    let mut client = world.rig.raw();
    world.main_host.cut(&world.spare_host);
    let said = until("that it takes no writes is said", || {
        let service = world.rig.service();
        service["state"] != "steady" && service["note"].as_str().is_some_and(|note| note.contains("NOREPLICAS"))
    });
    let note = world.rig.service()["note"].to_string();
    pass(BROKEN);
    assert!(world.no_flip(before), "{:#}", world.rig.service());
    let answer = client.command(&["SET", "k", "v"]).text();
    world.heal();
    wait_for("writes are taken again", PATIENCE, || client.command(&["SET", "k", "v"]).text() == "OK");
    world.rig.wait_ready();
    assert!(world.no_flip(before));
    format!("said after {} ms: {note}; a write was answered {answer:?}", said.as_millis())
}
