//! A life from the start to SIGTERM: what it says when it can't run, what it answers before a primary is known, and that an
//! end cuts nobody within its grace.

mod common;
#[path = "switchover/load.rs"]
mod load;
#[path = "switchover/rig.rs"]
mod rig;

use common::{
    PATIENCE,
    instance::{Pointsman, program},
    ports::free_port,
    raw::{Raw, Reply},
    redis_server::RedisServer,
    wait_for,
};
use load::Load;
use rig::{Rig, service};
use rustix::process::{Pid, Signal, kill_process};
use std::{os::unix::net::UnixDatagram, process::Command, time::Instant};

/// Replaces the grace in its file, and starts it.
#[track_caller]
fn start_with_grace(rig: &mut Rig, grace: &str) {
    let file = rig.pointsman.config_file();
    let text = std::fs::read_to_string(&file).expect("its configuration");
    rig.pointsman.write_config(&text.replace("grace = \"2s\"", &format!("grace = \"{grace}\"")));
    rig.pointsman.launch();
    rig.wait_steady();
}

#[test]
fn sigterm_under_load_cuts_nobody_and_serves_newcomers_within_its_grace() {
    require_server!("redis7");
    let (main, spare) = RedisServer::pair("redis7");
    let mut rig = Rig::prepare(&[("main", vec![&main]), ("spare", vec![&spare])], "");
    start_with_grace(&mut rig, "60s");
    let load = Load::everything(rig.port);
    load.progress(10);
    assert_eq!(rig.pointsman.telemetry("/readyz").0, 200);
    rig.pointsman.terminate();
    wait_for("readiness goes", PATIENCE, || rig.pointsman.telemetry("/readyz").0 != 200);
    assert_eq!(rig.pointsman.telemetry("/livez").0, 200, "not ready is not dead");
    load.progress(20);
    rig.raw().send("SET newcomer served\r\n").expect("+OK\r\n");
    load.finish(main.port());
    let begun = Instant::now();
    assert_eq!(rig.pointsman.wait().code(), Some(0), "{}", rig.pointsman.log());
    assert!(begun.elapsed() < PATIENCE, "it ends with its last session, not with its grace");
}

#[test]
fn an_idle_session_is_cut_when_the_grace_is_over() {
    require_server!("redis7");
    let (main, spare) = RedisServer::pair("redis7");
    for signal in [Signal::TERM, Signal::INT] {
        let mut rig = Rig::prepare(&[("main", vec![&main]), ("spare", vec![&spare])], "");
        start_with_grace(&mut rig, "300ms");
        let mut idle = rig.raw();
        assert_eq!(idle.command(&["PING"]).text(), "PONG");
        let id = Pid::from_raw(i32::try_from(rig.pointsman.id()).expect("an id")).expect("an id");
        kill_process(id, signal).expect("it runs");
        idle.expect_closed();
        assert_eq!(rig.pointsman.wait().code(), Some(0), "{}", rig.pointsman.log());
    }
}

#[test]
fn the_journal_tells_starts_and_stops() {
    require_server!("redis7");
    let (mut rig, _main, _spare) = Rig::pair("");
    let epoch = rig.service()["epoch"].clone();
    rig.pointsman.terminate();
    assert_eq!(rig.pointsman.wait().code(), Some(0));
    rig.pointsman.launch();
    rig.wait_steady();
    assert_eq!(rig.service()["epoch"], epoch, "a restart moves nothing");
    assert_eq!(rig.journal("kind=start").len(), 2);
    assert_eq!(rig.journal("kind=stop").len(), 1);
}

#[test]
fn two_can_not_share_a_folder() {
    require_server!("redis7");
    let (rig, _main, _spare) = Rig::pair("");
    let second = Command::new(program()).args(["run", "--config"]).arg(rig.pointsman.config_file()).output();
    let second = second.expect("the binary under test starts");
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    rig.raw().send("PING\r\n").expect("+PONG\r\n");
}

#[test]
fn a_bad_configuration_is_code_2_with_its_place() {
    let mut pointsman = Pointsman::prepare("[services.cart]\nkind = \"redis\"\nlistn = [\"127.0.0.1:1\"]\n");
    pointsman.launch_only();
    assert_eq!(pointsman.wait().code(), Some(2));
    let place = format!("{}:10:1: error:", pointsman.config_file().display());
    assert!(pointsman.log().contains(&place), "no {place} in\n{}", pointsman.log());
}

#[test]
fn an_unknown_command_in_deny_is_code_2_with_its_place() {
    require_server!("redis7");
    let (main, spare) = RedisServer::pair("redis7");
    let clusters = [("main", vec![&main]), ("spare", vec![&spare])];
    let mut rig = Rig::prepare(&clusters, "deny = [\"SHUTDOWN\", \"SHUTDOWM\"]");
    rig.pointsman.launch_only();
    assert_eq!(rig.pointsman.wait().code(), Some(2), "{}", rig.pointsman.log());
    let log = rig.pointsman.log();
    let place = format!("{}:11:21: error:", rig.pointsman.config_file().display());
    assert!(log.contains(&place) && log.contains("SHUTDOWM"), "no {place} in\n{log}");
    let file = rig.pointsman.config_file().display().to_string();
    let checked: serde_json::Value =
        serde_json::from_str(&rig.pointsman.cli_expect(&["check", &file, "--json"], 2)).expect("JSON");
    assert_eq!((&checked["problems"][0]["line"], &checked["problems"][0]["column"]), (&11.into(), &21.into()));
}

/// Nodes that are down at the start: an honest error in Redis's own form, the reason in the status, and service as soon as
/// they are there.
#[test]
fn nodes_that_are_not_there_yet() {
    require_server!("redis7");
    let (mut main, mut spare) = RedisServer::pair("redis7");
    main.kill();
    spare.kill();
    let mut rig = Rig::prepare(&[("main", vec![&main]), ("spare", vec![&spare])], "");
    rig.pointsman.launch();
    let mut client = rig.raw();
    let Reply::Error(error) = client.command(&["GET", "key"]) else { panic!("an answer from nowhere") };
    assert!(error.starts_with("LOADING ") || error.starts_with("ERR pointsman:"), "{error}");
    rig.wait("explained", |service| !service["note"].as_str().unwrap_or_default().is_empty());
    assert_ne!(rig.pointsman.telemetry("/readyz").0, 200);
    main.restart();
    spare.restart();
    rig.wait_steady();
    assert_eq!(rig.pointsman.telemetry("/readyz").0, 200);
    wait_for("the same connection is served", PATIENCE, || {
        client.command(&["SET", "key", "value"]) == Reply::Simple("OK".into())
    });
    assert_eq!(Raw::connect(main.port()).command(&["GET", "key"]).text(), "value");
}

#[test]
fn systemd_is_told() {
    require_server!("redis7");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(PATIENCE)).expect("a read limit");
    let (main, spare) = RedisServer::pair("redis7");
    let text = service(free_port(), &[("main", vec![&main]), ("spare", vec![&spare])], "");
    let mut pointsman = Pointsman::prepare(&text).environment("NOTIFY_SOCKET", &path.display().to_string());
    let told = |what: &str| {
        let mut bytes = [0; 512];
        loop {
            let length = manager.recv(&mut bytes).unwrap_or_else(|error| panic!("no {what}: {error}"));
            if String::from_utf8_lossy(&bytes[..length]).lines().any(|line| line == what) {
                return;
            }
        }
    };
    pointsman.launch();
    told("READY=1");
    pointsman.reload();
    told("RELOADING=1");
    told("READY=1");
    pointsman.terminate();
    told("STOPPING=1");
    assert_eq!(pointsman.wait().code(), Some(0));
}
