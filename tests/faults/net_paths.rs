//! Rows 5 and 8: paths that break for Pointsman alone, in one direction only, or now and then.

use crate::{
    net_scene::{Hosts, Local, hosts},
    scene::{HANG, epoch, pass},
    writers::Notes,
};
use serde_json::Value;
use std::time::Duration;

const WRITERS: usize = 10;
/// How long a path is broken: longer than every window, shorter than clients wait.
const BROKEN: Duration = Duration::from_secs(4);

/// What is broken, its name, and the state that says so; none where Pointsman sees nothing of it.
type Break = (&'static str, fn(&Hosts), Option<&'static str>);

/// Row 5: Pointsman alone is cut off from the primary, and its standby hears it.
pub fn the_sidecar_alone_is_cut_off() -> String {
    play(&[
        ("silence", |world| world.main_host.cut(&world.app), Some("isolated")),
        ("unreachable", |world| world.main_host.reject_from(&world.app, "icmp-host-unreachable"), Some("isolated")),
        ("refusals", |world| world.main_host.reject_from(&world.app, "tcp-reset"), Some("isolated")),
    ])
}

/// Row 8: what one host sends to another is lost, and what comes back isn't.
pub fn one_direction_is_lost() -> String {
    play(&[
        ("app to primary", |world| world.main_host.lose_from(&world.app), Some("isolated")),
        ("primary to app", |world| world.app.lose_from(&world.main_host), Some("isolated")),
        ("primary to standby", |world| world.spare_host.lose_from(&world.main_host), None),
        ("standby to primary", |world| world.main_host.lose_from(&world.spare_host), None),
        (
            "primary to all",
            |world| {
                world.app.lose_from(&world.main_host);
                world.spare_host.lose_from(&world.main_host);
            },
            Some("blocked"),
        ),
    ])
}

/// Row 8: a tenth of all packets is lost, everywhere.
pub fn packets_are_lost_by_chance() -> String {
    play(&[(
        "a tenth of all packets",
        |world| [&world.main_host, &world.spare_host, &world.app].into_iter().for_each(|host| host.lose_share(0.1)),
        None,
    )])
}

/// Each break in turn on one pair under load: no flip, no second writer, service afterwards, nothing lost.
fn play(breaks: &[Break]) -> String {
    let world = hosts(&[], HANG);
    let (before, standby) = (epoch(&world.rig), Local::start(&world.spare_host));
    let (mut acknowledged, mut unknown) = (0, Vec::new());
    for (name, set_broken, said) in breaks {
        let notes = one(&world, name, *set_broken, *said, before);
        acknowledged += notes.acknowledged.len();
        unknown.push(format!("{} ({name})", notes.unknown.len()));
    }
    assert!(standby.finish().first.is_none(), "the standby takes no write");
    format!("no flip; 0 of {acknowledged} acknowledged writes lost; unknown {}", unknown.join(", "))
}

fn one(world: &Hosts, name: &str, set_broken: fn(&Hosts), said: Option<&str>, before: u64) -> Notes {
    let writers = world.writers(WRITERS);
    set_broken(world);
    if let Some(state) = said {
        let why = |service: &Value| service["note"].as_str().is_some_and(|note| !note.is_empty());
        world.rig.wait(state, |service| service["state"] == state && why(service));
    }
    // Epochs only grow: one look at the end sees every flip.
    pass(BROKEN);
    assert!(world.no_flip(before), "{name}: {:#}", world.rig.service());
    world.heal();
    world.rig.wait_steady();
    writers.progress(200);
    let notes = writers.finish();
    assert!(notes.errors.is_empty(), "{name}: {:?}", notes.errors);
    assert!(notes.unknown.len() <= WRITERS, "{name}: one a connection at most: {}", notes.unknown.len());
    world.rig.wait_ready();
    assert!(world.no_flip(before), "{:#}", world.rig.service());
    world.spare.wait_synced();
    assert_eq!((notes.missing(&world.main), notes.missing(&world.spare)), (0, 0), "{name}: lost there, lost here");
    notes
}
