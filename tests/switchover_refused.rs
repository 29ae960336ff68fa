//! A switch that can't be free of loss is refused with the guard's name, and nothing changes; what an operator may order
//! besides: dry runs, drained clusters, modes.

mod common;
#[path = "switchover/rig.rs"]
mod rig;

use common::raw::{Raw, Reply};
use rig::{Rig, fence, wait_role};
use std::time::Duration;

/// Nothing moved: same epoch, same roles, no fence, and writes go through.
#[track_caller]
fn unchanged(rig: &Rig, epoch: &serde_json::Value, primary: &common::redis_server::RedisServer) {
    assert_eq!(&rig.service()["epoch"], epoch);
    assert_eq!(primary.info("role"), "master");
    assert_eq!(fence(primary), "0");
    rig.raw().send("SET unchanged yes\r\n").expect("+OK\r\n");
}

#[test]
fn an_unreachable_candidate() {
    require_server!("redis7");
    let (rig, main, mut spare) = Rig::pair("");
    rig.wait_ready();
    let epoch = rig.service()["epoch"].clone();
    spare.kill();
    rig.wait("not ready", |service| service["switchover_ready"]["ready"] == false);
    let operation = rig.switch_ends("spare", &[], 3);
    assert!(Rig::guards(&operation).contains(&"reachable".into()), "{operation:#}");
    unchanged(&rig, &epoch, &main);
}

#[test]
fn a_candidate_that_is_not_a_standby() {
    require_server!("redis7");
    let (rig, main, spare) = Rig::pair("");
    rig.wait_ready();
    let epoch = rig.service()["epoch"].clone();
    // Its link is cut: it follows nobody who listens.
    spare.command(&["REPLICAOF", "127.0.0.1", "1"]);
    rig.wait("not ready", |service| service["switchover_ready"]["ready"] == false);
    let operation = rig.switch_ends("spare", &[], 3);
    let guards = Rig::guards(&operation);
    assert!(guards.iter().any(|guard| ["lag", "eligible"].contains(&guard.as_str())), "{operation:#}");
    unchanged(&rig, &epoch, &main);
}

#[test]
fn a_candidate_that_differs_in_what_replication_does_not_carry() {
    require_server!("redis7");
    let (rig, main, spare) = Rig::pair("");
    rig.wait_ready();
    let epoch = rig.service()["epoch"].clone();
    spare.command(&["CONFIG", "SET", "maxmemory", "10mb"]);
    // The guards are read again when the switch is ordered: no waiting for the next regular reading.
    let operation = rig.switch_ends("spare", &["--timeout", "500ms"], 3);
    assert!(Rig::guards(&operation).contains(&"fit".into()), "{operation:#}");
    unchanged(&rig, &epoch, &main);

    spare.command(&["CONFIG", "SET", "maxmemory", "0"]);
    rig.wait_ready();
    main.command(&["ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all"]);
    let operation = rig.switch_ends("spare", &["--timeout", "500ms"], 3);
    assert!(Rig::guards(&operation).contains(&"fit".into()), "{operation:#}");
    let details = operation["guards"].to_string();
    assert!(details.contains("app") && !details.contains("secret"), "it names the user and no secret: {details}");
    spare.command(&["ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all"]);
    rig.wait_ready();
    rig.switch("spare");
}

#[test]
fn a_drained_cluster() {
    require_server!("redis7");
    let (rig, main, spare) = Rig::pair("");
    rig.wait_ready();
    rig.pointsman.cli_expect(&["drain", "cart", "spare"], 0);
    let epoch = rig.service()["epoch"].clone();
    let operation = rig.switch_ends("spare", &[], 3);
    assert!(Rig::guards(&operation).contains(&"eligible".into()), "{operation:#}");
    unchanged(&rig, &epoch, &main);
    // The routed one can't be taken out: it must be switched first.
    rig.pointsman.cli_expect(&["drain", "cart", "main"], 3);
    rig.pointsman.cli_expect(&["restore", "cart", "spare"], 0);
    rig.wait_ready();
    rig.switch("spare");
    wait_role(&spare, "master");
}

#[test]
fn names_that_do_not_exist() {
    require_server!("redis7");
    let (rig, _main, _spare) = Rig::pair("");
    rig.pointsman.cli_expect(&["switchover", "cart", "--to", "nowhere"], 2);
    rig.pointsman.cli_expect(&["switchover", "nothing"], 2);
}

#[test]
fn another_epoch_than_the_operator_saw() {
    require_server!("redis7");
    let (rig, main, _spare) = Rig::pair("");
    rig.wait_ready();
    let epoch = rig.service()["epoch"].clone();
    let wrong = (epoch.as_u64().expect("an epoch") + 5).to_string();
    let operation = rig.switch_ends("spare", &["--if-epoch", &wrong], 3);
    assert!(Rig::guards(&operation).contains(&"epoch".into()), "{operation:#}");
    unchanged(&rig, &epoch, &main);
}

#[test]
fn a_dry_run_says_what_would_be_and_changes_nothing() {
    require_server!("redis7");
    let (rig, main, mut spare) = Rig::pair("");
    rig.wait_ready();
    let epoch = rig.service()["epoch"].clone();
    let operation = rig.switch_ends("spare", &["--dry-run"], 0);
    assert_eq!(operation["to"], "spare", "{operation:#}");
    unchanged(&rig, &epoch, &main);
    spare.kill();
    rig.wait("not ready", |service| service["switchover_ready"]["ready"] == false);
    let operation = rig.switch_ends("spare", &["--dry-run"], 3);
    assert!(Rig::guards(&operation).contains(&"reachable".into()), "{operation:#}");
    unchanged(&rig, &epoch, &main);
}

/// A session with a transaction too large to be kept: it can't be replayed elsewhere.
fn unmovable(rig: &Rig) -> Raw {
    let mut stuck = rig.raw();
    assert_eq!(stuck.command(&["MULTI"]).text(), "OK");
    let value = "x".repeat(8 << 10);
    for _ in 0..10 {
        assert_eq!(stuck.command(&["SET", "large", &value]).text(), "QUEUED");
    }
    stuck
}

#[test]
fn sessions_that_can_not_move_are_named() {
    require_server!("redis7");
    let (rig, main, _spare) = Rig::pair("");
    rig.wait_ready();
    let epoch = rig.service()["epoch"].clone();
    let mut stuck = unmovable(&rig);
    let operation = rig.switch_ends("spare", &["--timeout", "500ms"], 3);
    assert!(Rig::guards(&operation).contains(&"sessions".into()), "{operation:#}");
    assert!(operation["sessions"].to_string().contains("transaction"), "named: {operation:#}");
    unchanged(&rig, &epoch, &main);
    assert_eq!(stuck.command(&["PING"]).text(), "QUEUED", "and left alone");
}

#[test]
fn sessions_that_can_not_move_are_cut_when_told() {
    require_server!("redis7");
    let (rig, _main, spare) = Rig::pair("");
    rig.wait_ready();
    let mut stuck = unmovable(&rig);
    let operation = rig.switch_ends("spare", &["--timeout", "500ms", "--cut-sessions"], 0);
    assert_eq!(operation["outcome"], "done", "{operation:#}");
    stuck.expect_closed();
    wait_role(&spare, "master");
}

#[test]
fn a_session_that_ends_in_time_delays_the_switch_only() {
    require_server!("redis7");
    let (rig, _main, spare) = Rig::pair("");
    rig.wait_ready();
    let (stuck, mut ended) = (unmovable(&rig), unmovable(&rig));
    assert_eq!(ended.command(&["DISCARD"]).text(), "OK");
    std::thread::scope(|scope| {
        let switching = scope.spawn(|| rig.switch("spare"));
        rig.wait("in its approach", |service| service["state"] == "switching");
        // Everything else still runs.
        rig.raw().send("SET while approaching\r\n").expect("+OK\r\n");
        drop(stuck);
        switching.join().expect("switched");
    });
    wait_role(&spare, "master");
    assert_eq!(ended.command(&["PING"]).text(), "PONG", "a transaction that is over holds nobody up");
}

#[test]
fn modes_by_hand() {
    require_server!("redis7");
    let (rig, _main, _spare) = Rig::pair("");
    let mut client = rig.raw();
    client.send("SET key 1\r\n").expect("+OK\r\n");
    rig.pointsman.cli_expect(&["mode", "cart", "read_only"], 0);
    assert_eq!(client.command(&["GET", "key"]).text(), "1");
    assert!(matches!(client.command(&["SET", "key", "2"]), Reply::Error(_)));

    rig.pointsman.cli_expect(&["mode", "cart", "hold"], 0);
    client.request(&["SET", "key", "3"]);
    assert!(client.is_silent_for(Duration::from_millis(200)), "a held request waits");
    rig.pointsman.cli_expect(&["mode", "cart", "open"], 0);
    assert_eq!(client.reply().text(), "OK", "and is answered when the route opens");

    rig.pointsman.cli_expect(&["mode", "cart", "closed"], 0);
    assert!(matches!(client.command(&["GET", "key"]), Reply::Error(_)));
    assert_eq!(rig.service()["mode"], "closed");
    rig.pointsman.cli_expect(&["mode", "cart", "open"], 0);
    assert_eq!(client.command(&["GET", "key"]).text(), "3", "the same connection throughout");
}
