//! docs/operating.md, "Lifting a fence by hand": Pointsman died at a fenced moment, an operator does by hand what the page says,
//! and Pointsman takes the roles over as it finds them. Debug builds only: a release build has no crash points.
#![cfg(debug_assertions)]

mod common;
#[path = "switchover/rig.rs"]
mod rig;

use common::{PATIENCE, redis_server::RedisServer, wait_for};
use rig::{Rig, fence};

/// Two servers, and a Pointsman that died at `point` of a switch from `main` to `spare`.
#[track_caller]
fn died_at(point: &str) -> (Rig, RedisServer, RedisServer) {
    let (main, spare) = RedisServer::pair("redis7");
    let mut rig = Rig::prepare(&[("main", vec![&main]), ("spare", vec![&spare])], "");
    rig.pointsman = rig.pointsman.environment("POINTSMAN_CRASH_AT", point);
    rig.pointsman.launch();
    rig.wait_ready();
    rig.pointsman.cli_expect(&["switchover", "cart", "--to", "spare"], 5);
    wait_for("the crash", PATIENCE, || !rig.pointsman.runs());
    assert_eq!(fence(&main), "1000");
    assert!(main.command(&["SET", "k", "lost"]).text().starts_with("NOREPLICAS"));
    rig.pointsman = rig.pointsman.environment("POINTSMAN_CRASH_AT", "");
    (rig, main, spare)
}

/// Step 2: the promoted node keeps its role, the fenced one becomes its standby.
fn make_standby(fenced: &RedisServer, new: &RedisServer) {
    let (host, port) = new.address().rsplit_once(':').map(|(h, p)| (h.to_owned(), p.to_owned())).expect("host:port");
    fenced.command(&["REPLICAOF", &host, &port]);
    fenced.command(&["CLIENT", "UNPAUSE"]);
    fenced.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
}

/// Step 3: the fenced node serves again.
fn lift(fenced: &RedisServer) {
    fenced.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    fenced.command(&["CLIENT", "UNPAUSE"]);
}

/// Starts Pointsman again; it must adopt what the operator made, and be ready for the next switch.
#[track_caller]
fn adopts(rig: &mut Rig, routed: &str, value: &str) {
    rig.pointsman.launch();
    rig.wait_ready();
    assert_eq!(rig.service()["route"]["cluster"], routed);
    let length = value.len();
    rig.raw().send("GET k\r\n").expect(format!("${length}\r\n{value}\r\n"));
}

#[test]
fn before_the_promotion_the_fenced_node_serves_again() {
    require_server!("redis7");
    for point in ["after_act_fence", "after_write_entered_promote"] {
        let (mut rig, main, _spare) = died_at(point);
        lift(&main);
        assert_eq!(main.command(&["SET", "k", "by hand"]).text(), "OK", "{point}");
        adopts(&mut rig, "main", "by hand");
        let ended = rig.journal("svc=cart&kind=operation").pop().expect("the operation's end");
        assert_eq!(ended["detail"]["operation"]["outcome"], "rolled_back", "{point}");
    }
}

#[test]
fn after_the_promotion_the_fenced_node_becomes_a_standby() {
    require_server!("redis7");
    let (mut rig, main, spare) = died_at("after_act_promote");
    let position = |server: &RedisServer| server.info("master_repl_offset").parse::<u64>().expect("a number");
    assert!(position(&spare) >= position(&main), "what step 2 tells to look at");
    assert_eq!(spare.info("master_replid2"), main.info("master_replid"), "what step 4 tells to look at");
    make_standby(&main, &spare);
    assert_eq!(spare.command(&["SET", "k", "by hand"]).text(), "OK");
    adopts(&mut rig, "spare", "by hand");
    assert_eq!((main.info("role").as_str(), fence(&main).as_str()), ("slave", "0"));
}

#[test]
fn even_without_its_journal_pointsman_finds_the_roles() {
    require_server!("redis7");
    let (mut rig, main, spare) = died_at("after_act_promote");
    make_standby(&main, &spare);
    assert_eq!(spare.command(&["SET", "k", "by hand"]).text(), "OK");
    std::fs::remove_dir_all(rig.pointsman.folder().join("state")).expect("the state folder");
    adopts(&mut rig, "spare", "by hand");
}
