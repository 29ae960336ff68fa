//! Row 30: the disk of Pointsman's own journal is full.

use crate::{
    common::{PATIENCE, redis_server::RedisServer, volume::Volume, wait_for},
    rig::{Rig, wait_role},
    scene::{self, HANG, changes, epoch, pass, servers, wait_route},
    table,
    writers::Writers,
};
use serde_json::{Value, json};
use std::{os::unix::fs::symlink, time::Duration};

const WRITERS: usize = 10;

/// A pair whose Pointsman can't write its journal any more.
fn full() -> (Vec<RedisServer>, Rig, Volume) {
    let volume = Volume::new(24).unwrap_or_else(|| table::skip("a loop mount"));
    let servers = servers(scene::a_server, 1);
    let mut rig = scene::prepared(&servers, HANG);
    symlink(volume.path(), rig.pointsman.folder().join("state")).expect("its state folder is that disk");
    rig.pointsman.launch();
    rig.wait_ready();
    volume.fill();
    // What a segment has left was set aside when it was made: it is used up by orders that are written down.
    for length in [1000, 200, 0] {
        let order = json!({ "reason": "x".repeat(length) });
        wait_for("the journal takes no more", 3 * PATIENCE, || {
            let (status, body) = rig.pointsman.api("/v1/services/cart/resume", Some(&order));
            let refused = status == 422 && guards(&body).contains(&"journal".to_owned());
            assert!(refused || status == 200, "{status}: {body:#}");
            refused
        });
    }
    (servers, rig, volume)
}

fn guards(body: &Value) -> Vec<String> {
    let names = body["guards"].as_array().into_iter().flatten();
    names.filter_map(|guard| guard["name"].as_str().map(ToOwned::to_owned)).collect()
}

/// Data flows on, an order is refused and says why, and the one that overrides it is carried out.
pub fn a_full_journal_refuses_and_may_be_overridden() -> String {
    let (servers, mut rig, volume) = full();
    let writers = Writers::start(rig.port, WRITERS);
    writers.progress(200);
    let before = epoch(&rig);
    let refused = rig.pointsman.cli(&["switchover", "cart", "--to", "b"]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{words}");
    assert!(words.contains("journal") && words.contains("No space left"), "{words}");
    assert_eq!(epoch(&rig), before, "nothing changed");
    writers.progress(200);
    let more = ["--override", "journal", "--reason", "the disk is full and the node must go"];
    let operation = rig.switch_ends("b", &more, 0);
    assert_eq!(operation["outcome"], "done", "{operation:#}");
    assert_eq!(Rig::guards(&operation), ["journal"], "what was passed is named: {operation:#}");
    wait_route(&rig, &servers[1]);
    writers.progress(200);
    let notes = writers.finish();
    assert!(notes.errors.is_empty() && notes.unknown.is_empty(), "{:?} {:?}", notes.errors, notes.unknown);
    assert_eq!(notes.missing(&servers[1]), 0);
    let log = rig.pointsman.log();
    let said = log.lines().any(|line| line.contains("the node must go") && line.contains("guards=\"journal\""));
    assert!(said, "the override is loud: {}", log.lines().rev().take(5).collect::<String>());
    let moved = epoch(&rig);
    volume.empty();
    wait_for("it is written late", PATIENCE, || {
        changes(&rig, "routed").last().is_some_and(|last| last["route"]["epoch"] == moved)
    });
    rig.pointsman.kill();
    rig.pointsman.launch();
    wait_route(&rig, &servers[1]);
    assert_eq!(epoch(&rig), moved, "no older epoch after a restart");
    format!("refused with \"No space left\", done by override; 0 of {} writes lost, 0 errors", notes.acknowledged.len())
}

/// Nothing is held, fenced or promoted that isn't written first: a crash then waits for the disk, or for an operator.
pub fn a_full_journal_blocks_a_failover_and_says_so() -> String {
    let by_itself = a_crash(|rig, volume| {
        let note = rig.service()["note"].to_string();
        volume.empty();
        format!("blocked ({note}), done by itself when the disk had room")
    });
    let by_hand = a_crash(|rig, _| {
        let order = ["failover", "cart", "--to", "b", "--accept-loss", "--override", "journal", "--reason", "no disk"];
        // Its own tries may be under way.
        wait_for("it is done by override", PATIENCE, || rig.pointsman.cli(&order).status.success());
        "done by override".to_owned()
    });
    format!("{by_itself}; {by_hand}")
}

fn a_crash(remedy: impl FnOnce(&Rig, &Volume) -> String) -> String {
    let (mut servers, rig, volume) = full();
    let before = epoch(&rig);
    servers[0].kill();
    rig.wait("blocked by the journal", |service| {
        service["state"] == "blocked" && service["note"].as_str().is_some_and(|note| note.contains("No space left"))
    });
    pass(Duration::from_secs(2));
    assert_eq!((epoch(&rig), servers[1].info("role").as_str()), (before, "slave"), "nothing moved");
    let words = remedy(&rig, &volume);
    wait_role(&servers[1], "master");
    wait_route(&rig, &servers[1]);
    assert_eq!(rig.raw().command(&["SET", "k", "v"]).text(), "OK");
    words
}
