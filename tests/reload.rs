//! A reload changes what it may, live, and nobody notices; a file that can't be used changes nothing, and that is said
//! everywhere.

mod common;
#[path = "switchover/load.rs"]
mod load;
#[path = "switchover/rig.rs"]
mod rig;

use common::{PATIENCE, ports::free_port, raw::Raw, redis_server::RedisServer, wait_for};
use load::Load;
use rig::{Rig, service};
use std::net::TcpStream;

#[test]
fn a_bad_file_changes_nothing_and_is_said_everywhere() {
    require_server!("redis7");
    let (rig, main, spare) = Rig::pair("");
    let clusters = [("main", vec![&main]), ("spare", vec![&spare])];
    let good = service(rig.port, &clusters, "");
    let mut client = rig.raw();
    client.send("SET before reload\r\n").expect("+OK\r\n");
    let epoch = rig.service()["epoch"].clone();

    rig.pointsman.write_services(&good.replace("listen", "lisen"));
    rig.pointsman.reload();
    rig.wait("said in the status", |service| service["note"].as_str().unwrap_or_default().contains("configuration"));
    assert_eq!(rig.pointsman.metric(&["pointsman_config_reload_success"]), Some(0.0));
    assert!(rig.pointsman.log().contains("lisen"), "said in the log");
    wait_for("said in the journal", PATIENCE, || {
        let records = rig.journal("kind=configuration");
        records.iter().any(|record| record["detail"]["what"] == "configuration_rejected")
    });
    rig.pointsman.cli_expect(&["reload"], 2);
    client.send("GET before\r\n").expect("$6\r\nreload\r\n");
    assert_eq!(rig.service()["epoch"], epoch);
    assert_eq!(rig.service()["state"], "steady");

    rig.pointsman.write_services(&good);
    rig.pointsman.cli_expect(&["reload"], 0);
    assert_eq!(rig.service()["note"], "");
    assert_eq!(rig.pointsman.metric(&["pointsman_config_reload_success"]), Some(1.0));
    client.send("GET before\r\n").expect("$6\r\nreload\r\n");
}

/// Under load, with settings changed, a service added and removed, and a switch afterwards: nobody is disturbed, and neither
/// route nor role is lost.
#[test]
fn a_good_file_is_applied_under_load() {
    require_server!("redis7");
    let (rig, main, spare) = Rig::pair("");
    let clusters = [("main", vec![&main]), ("spare", vec![&spare])];
    let load = Load::everything(rig.port);
    load.progress(10);
    rig.wait_ready();
    rig.switch("spare");
    let epoch = rig.service()["epoch"].clone();

    let (one, two) = (RedisServer::start("redis7"), RedisServer::start("redis7"));
    let more = free_port();
    let cart = service(rig.port, &clusters, "on_call = \"the night shift\"");
    let other =
        service(more, &[("a", vec![&one]), ("b", vec![&two])], "replication = \"none\"").replace("cart", "other");
    rig.pointsman.write_services(&format!("{cart}{other}"));
    rig.pointsman.cli_expect(&["reload"], 0);
    load.progress(10);
    assert_eq!(rig.service()["epoch"], epoch, "the route is as it was");
    assert_eq!(rig.service()["route"]["cluster"], "spare");
    assert_eq!(rig.service()["on_call"], "the night shift");
    let mut added = None;
    wait_for("the added service serves", PATIENCE, || {
        added = Raw::try_connect(more).ok().filter(|_| true);
        added.as_mut().is_some_and(|client| client.command(&["SET", "key", "value"]).text() == "OK")
    });
    assert_eq!(one.command(&["GET", "key"]).text(), "value");

    rig.pointsman.write_services(&cart);
    rig.pointsman.cli_expect(&["reload"], 0);
    wait_for("the removed service is gone", PATIENCE, || TcpStream::connect(("127.0.0.1", more)).is_err());
    added.expect("connected above").expect_closed();
    assert_eq!(rig.pointsman.api("/v1/services/other", None).0, 404);

    load.progress(10);
    rig.wait_ready();
    rig.switch("main");
    load.progress(10);
    load.finish(main.port());
    let changes = rig.journal("kind=configuration");
    assert_eq!(changes.len(), 3, "that of the first start with them: {changes:?}");
    assert!(changes[1]["detail"].to_string().contains("night shift"), "{changes:?}");
}

#[test]
fn a_listener_moves_and_sessions_stay() {
    require_server!("redis7");
    let (rig, main, spare) = Rig::pair("");
    let mut old = rig.raw();
    old.send("PING\r\n").expect("+PONG\r\n");
    let port = free_port();
    rig.pointsman.write_services(&service(port, &[("main", vec![&main]), ("spare", vec![&spare])], ""));
    rig.pointsman.cli_expect(&["reload"], 0);
    Raw::connect(port).send("PING\r\n").expect("+PONG\r\n");
    wait_for("the old listener is closed", PATIENCE, || TcpStream::connect(("127.0.0.1", rig.port)).is_err());
    old.send("PING\r\n").expect("+PONG\r\n");
}

#[test]
fn what_can_not_change_is_refused_as_a_whole() {
    require_server!("redis7");
    let (rig, main, spare) = Rig::pair("");
    let third = RedisServer::builder("redis7").replica_of(&main).start();
    let refused = |services: &str, reason: &str| {
        rig.pointsman.write_services(services);
        let output = rig.pointsman.cli(&["reload"]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let words = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(words.contains(reason), "no {reason:?} in {words}");
        assert_eq!(rig.service()["on_call"], "", "nothing of it was applied");
        assert_eq!(rig.service()["route"]["cluster"], "main");
    };
    // The routed cluster can't go.
    let without = [("spare", vec![&spare]), ("third", vec![&third])];
    refused(&service(rig.port, &without, "on_call = \"somebody\""), "switch over first");
    // Who replicates can't change under a running machine.
    let clusters = [("main", vec![&main]), ("spare", vec![&spare])];
    let none = "on_call = \"somebody\"\nreplication = \"none\"";
    refused(&service(rig.port, &clusters, none), "replication");
    // A listener that can't be opened takes the rest of the file with it.
    let taken = third.port();
    refused(&service(taken, &clusters, "on_call = \"somebody\""), &taken.to_string());
    rig.raw().send("PING\r\n").expect("+PONG\r\n");
}

/// A password that changed at the nodes and in its file is used after a reload.
#[test]
fn passwords_are_read_again() {
    require_server!("redis7");
    let user = |password: &str| format!("pointsman on >{password} ~* &* +@all");
    let main = RedisServer::builder("redis7").user(&user("one")).start();
    let spare = RedisServer::builder("redis7").user(&user("one")).replica_of(&main).start();
    spare.wait_synced();
    let login = "[services.cart.credentials]\nusername = \"pointsman\"\npassword_file = \"{dir}/password\"\n";
    let mut rig = Rig::prepare(&[("main", vec![&main]), ("spare", vec![&spare])], login);
    let file = rig.pointsman.folder().join("password");
    write_secret(&file, "one");
    rig.pointsman.launch();
    rig.wait_steady();
    let mut client = rig.raw();
    client.send("PING\r\n").expect("+PONG\r\n");
    for server in [&main, &spare] {
        server.command(&["ACL", "SETUSER", "pointsman", "resetpass", ">two"]);
        server.command(&["CLIENT", "KILL", "USER", "pointsman"]);
    }
    let health = |service: &serde_json::Value| service["clusters"][1]["nodes"][0]["health"].clone();
    rig.wait("locked out", |service| health(service) != "up");
    write_secret(&file, "two");
    rig.pointsman.cli_expect(&["reload"], 0);
    rig.wait("let in again", |service| health(service) == "up");
    rig.wait_ready();
    client.send("PING\r\n").expect("+PONG\r\n");
    let journal = rig.journal("kind=configuration");
    assert!(!serde_json::to_string(&journal).expect("JSON").contains("\"two"), "no secret is recorded: {journal:?}");
}

fn write_secret(file: &std::path::Path, secret: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(file, secret).expect("writing the password");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).expect("its mode");
}
