//! Row 33: the same configuration runs on two hosts.

use crate::{
    common::{PATIENCE, wait_for},
    net_scene::{PORT, hosts, manager},
    rig::{Rig, wait_role},
    scene::{HANG, changes, streams, until, wait_route},
    writers::Writers,
};

const WRITERS: usize = 5;

/// Whether this one says that the other one manages the service.
fn yields(rig: &Rig) -> bool {
    rig.service()["note"].as_str().is_some_and(|note| note.contains("is managed by"))
}

/// Whether a failover would be done from here.
fn manages(rig: &Rig) -> bool {
    rig.service()["failover_ready"]["ready"] == true
}

/// Of two hosts with one configuration, one manages and the other says so; when the first is gone, the other takes over.
pub fn of_two_managers_one_manages() -> String {
    let mut world = hosts(&[], HANG);
    let second_host = world.network.host("second");
    let mut second = manager(&second_host, [&world.main, &world.spare], HANG);
    second.pointsman.launch();
    // The first by name manages, as soon as the one that was there before has seen it.
    let names = [&world.rig, &second].map(|rig| rig.pointsman.folder().to_owned());
    let told = until("one manages, and the other says so", || {
        let pair = [&world.rig, &second];
        let manage = pair.map(manages);
        assert_ne!(manage, [true, true], "never both at once");
        let first = usize::from(names[1] < names[0]);
        manage[first] && !yields(pair[first]) && yields(pair[1 - first])
    });
    // The world's is the one that manages from here on.
    if yields(&world.rig) {
        std::mem::swap(&mut world.rig, &mut second);
    }
    let hosts = [(&world.app, 0), (&second_host, WRITERS)];
    let all = hosts.map(|(host, from)| host.run(|| Writers::numbered(PORT, from..from + WRITERS)));
    for writers in &all {
        writers.progress(100);
    }
    streams(&world.spare);
    world.main.kill();
    for rig in [&world.rig, &second] {
        wait_route(rig, &world.spare);
    }
    for writers in &all {
        writers.progress(100);
    }
    assert_eq!(
        (changes(&world.rig, "began").len(), changes(&second, "began").len()),
        (1, 0),
        "one failover, by one of them"
    );
    world.main.restart();
    world.rig.wait_ready();
    wait_role(&world.main, "slave");
    wait_for("both are steady", PATIENCE, || second.service()["state"] == "steady");
    for writers in all {
        let notes = writers.finish();
        assert!(notes.errors.is_empty(), "{:?}", notes.errors);
        assert!(notes.missing(&world.spare) <= WRITERS, "{} lost", notes.missing(&world.spare));
    }
    world.rig.pointsman.kill();
    let took_over = until("the other takes over", || manages(&second) && !yields(&second));
    world.main.wait_synced();
    world.spare.kill();
    wait_route(&second, &world.main);
    assert_eq!(second.raw().command(&["SET", "k", "v"]).text(), "OK");
    format!(
        "told apart after {} ms; one failover, followed by the other; taken over {} ms after the manager was killed",
        told.as_millis(),
        took_over.as_millis()
    )
}
