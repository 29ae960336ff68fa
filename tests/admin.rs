//! The admin API, the telemetry listener and the command line against a running Pointsman on real servers.

mod common;

use common::{PATIENCE, instance::Pointsman, ports::free_port, raw::Raw, redis_server::RedisServer, wait_for};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
};

/// A service `cart` over a primary in `main` and its replica in `spare`.
struct Rig {
    pointsman: Pointsman,
    port: u16,
    servers: (RedisServer, RedisServer),
}

impl Rig {
    #[track_caller]
    fn start() -> Self {
        let (primary, replica) = RedisServer::pair("redis7");
        let port = free_port();
        let pointsman = Pointsman::start(&format!(
            "[services.cart]\nkind = \"redis\"\nlisten = [\"127.0.0.1:{port}\"]\non_call = \"cache team\"\n\
             [[services.cart.clusters]]\nname = \"main\"\nsite = \"east\"\nnodes = [\"{}\"]\n\
             [[services.cart.clusters]]\nname = \"spare\"\nsite = \"west\"\nnodes = [\"{}\"]\n",
            primary.address(),
            replica.address()
        ));
        let rig = Self { pointsman, port, servers: (primary, replica) };
        wait_for("ready for a switch", PATIENCE, || rig.service()["switchover_ready"]["ready"] == true);
        rig
    }

    fn service(&self) -> Value {
        self.pointsman.api("/v1/services/cart", None).1
    }

    #[track_caller]
    fn post(&self, action: &str, body: &Value, status: u16) -> Value {
        let (found, answer) = self.pointsman.api(&format!("/v1/services/cart/{action}"), Some(body));
        assert_eq!(found, status, "{action} {body}: {answer}");
        answer
    }

    fn socket(&self) -> UnixStream {
        let stream = UnixStream::connect(self.pointsman.folder().join("admin.sock")).expect("the admin socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read limit");
        stream
    }

    /// Sends a request as it is and gives the whole answer.
    fn raw(&self, request: &[u8]) -> String {
        let mut stream = self.socket();
        stream.write_all(request).expect("sending");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the whole answer");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

#[test]
fn views_have_the_contracts_fields() {
    require_server!("redis7");
    let rig = Rig::start();
    let (status, all) = rig.pointsman.api("/v1/services", None);
    assert_eq!(status, 200);
    let cart = &all["services"][0];
    assert_eq!((&cart["name"], &cart["kind"], &cart["mode"]), (&json!("cart"), &json!("redis"), &json!("open")));
    assert_eq!((&cart["route"]["cluster"], &cart["switchover_ready"]["to"]), (&json!("main"), &json!("spare")));
    assert_eq!(cart["on_call"], "cache team");
    let spare = &cart["clusters"][1];
    assert_eq!((&spare["role"], &spare["health"], &spare["site"]), (&json!("standby"), &json!("up"), &json!("west")));
    assert!(spare["nodes"][0]["version"].as_str().is_some_and(|version| version.starts_with('7')), "{spare}");
    assert_eq!(rig.pointsman.api("/v1/services/nobody", None).0, 404);
    assert_eq!(rig.pointsman.api("/v1/operations/cart-999", None).0, 404);
    assert_eq!(rig.pointsman.api("/v2", None).0, 404);
    let (status, document) = rig.pointsman.api("/openapi.json", None);
    assert_eq!(status, 200);
    assert!(document["paths"]["/v1/services/{svc}/switchover"]["post"].is_object());
    let (status, config) = rig.pointsman.api("/v1/config", None);
    assert_eq!((status, &config["services"]["cart"]["on_call"]), (200, &json!("cache team")));
}

#[test]
fn the_socket_is_for_operators() {
    require_server!("redis7");
    let rig = Rig::start();
    let socket = rig.pointsman.folder().join("admin.sock");
    let mode = std::fs::metadata(&socket).expect("the socket").permissions().mode() & 0o777;
    assert_eq!(mode, 0o660);
    let setpriv = "/usr/bin/setpriv";
    if !rustix::process::geteuid().is_root() || !std::path::Path::new(setpriv).exists() {
        return common::skip::note("root and setpriv, for a foreign user");
    }
    // Even where the file's mode lets a foreign user in, the peer's uid doesn't.
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    open(&socket, 0o666);
    open(rig.pointsman.folder(), 0o711);
    let foreign = |arguments: &[&str]| {
        let mut command = std::process::Command::new(setpriv);
        command
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(rig.pointsman.folder().join("cli"));
        command.env("POINTSMAN_ADMIN", format!("unix:{}", socket.display())).args(arguments);
        command.output().expect("setpriv starts")
    };
    // The build folder may be closed to others.
    std::fs::copy(common::instance::program(), rig.pointsman.folder().join("cli")).expect("a copy of the binary");
    for arguments in [&["status"][..], &["switchover", "cart"], &["reload"]] {
        let output = foreign(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(77), "{arguments:?}: {said}");
        assert!(said.contains("uid 65534 may not"), "{said}");
    }
    open(&socket, 0o660);
    assert_eq!(foreign(&["status"]).status.code(), Some(77), "not even connected");
    assert_eq!(rig.service()["epoch"], 1, "nothing was done");
}

#[test]
fn a_switch_tells_the_truth_by_api_and_command_line() {
    require_server!("redis7");
    let rig = Rig::start();
    let epoch = rig.service()["epoch"].as_u64().expect("an epoch");
    let dry = rig.post("switchover", &json!({"dry_run": true}), 200);
    assert_eq!((&dry["outcome"], rig.service()["epoch"].as_u64()), (&json!("done"), Some(epoch)));
    let refused = rig.post("switchover", &json!({"if_epoch": epoch + 7}), 409);
    assert_eq!((&refused["status"], &refused["guards"][0]["name"]), (&json!(409), &json!("epoch")));
    assert_eq!(refused["operation"]["outcome"], "refused");
    assert_eq!(rig.post("switchover", &json!({"to": "nowhere"}), 404)["type"], "urn:pointsman:not-found");
    let done = rig.post("switchover", &json!({"to": "spare", "reason": "test"}), 200);
    assert_eq!((&done["outcome"], &done["from"], &done["to"]), (&json!("done"), &json!("main"), &json!("spare")));
    assert!(done["epoch_after"].as_u64() > Some(epoch), "{done}");
    let id = done["id"].as_str().expect("an id").to_owned();
    let (status, again) = rig.pointsman.api(&format!("/v1/operations/{id}"), None);
    assert_eq!((status, &again["outcome"]), (200, &json!("done")));
    assert_eq!(rig.service()["route"]["cluster"], "spare");
    wait_for("ready to go back", PATIENCE, || rig.service()["switchover_ready"]["ready"] == true);
    let said = rig.pointsman.cli_expect(&["switchover", "cart", "--to", "main", "--reason", "back"], 0);
    assert!(said.starts_with("switchover cart: spare -> main done in "), "{said}");
    let said = rig.pointsman.cli_expect(&["switchover", "cart", "--to", "main"], 0);
    assert!(said.starts_with("switchover cart: main"), "there already is done: {said}");
    rig.pointsman.cli_expect(&["switchover", "cart", "--if-epoch", "1"], 3);
    rig.pointsman.cli_expect(&["switchover", "nobody"], 2);
    rig.pointsman.cli_expect(&["switchover", "cart", "--to", "nowhere"], 2);
    assert!(rig.pointsman.cli_expect(&["operation", &id], 0).contains("close "), "phases are shown");
    let refused = rig.pointsman.cli_expect(&["history", "cart", "--kind", "start"], 0);
    assert!(refused.is_empty(), "starts belong to no service: {refused}");
    let one = rig.pointsman.cli_expect(&["history", "--after", "1", "--limit", "1", "--json"], 0);
    let one: Value = serde_json::from_str(&one).expect("JSON");
    assert_eq!((one["records"].as_array().map(Vec::len), &one["records"][0]["seq"]), (Some(1), &json!(2)));
    let last = rig.pointsman.cli_expect(&["history", "--limit", "2", "--json"], 0);
    let last: Value = serde_json::from_str(&last).expect("JSON");
    let (_, journal) = rig.pointsman.api("/v1/journal?limit=1000", None);
    let newest = journal["records"].as_array().and_then(|all| all.last()).map(|record| record["seq"].clone());
    assert_eq!(last["records"].as_array().map(Vec::len), Some(2), "{last}");
    assert_eq!(Some(&last["records"][1]["seq"]), newest.as_ref(), "the last ones are shown: {last}");
    let history = rig.pointsman.cli_expect(&["history", "cart"], 0);
    assert!(history.contains("main -> spare done") && history.contains("spare -> main done"), "{history}");
}

#[test]
fn a_key_is_carried_out_once() {
    require_server!("redis7");
    let rig = Rig::start();
    let first = rig.pointsman.cli_expect(&["switchover", "cart", "--key", "k1", "--json"], 0);
    let again = rig.pointsman.cli_expect(&["switchover", "cart", "--key", "k1", "--json"], 0);
    let id = |text: &str| serde_json::from_str::<Value>(text).expect("JSON")["id"].clone();
    assert_eq!(id(&first), id(&again));
    assert_eq!(rig.service()["route"]["cluster"], "spare", "switched once, not twice");
    rig.pointsman.cli_expect(&["switchover", "cart", "--to", "main", "--key", "k1"], 3);
}

#[test]
fn modes_drains_and_pauses() {
    require_server!("redis7");
    let rig = Rig::start();
    let mut client = Raw::connect(rig.port);
    rig.pointsman.cli_expect(&["mode", "cart", "read_only", "--reason", "audit"], 0);
    assert_eq!(rig.service()["mode"], "read_only");
    assert_eq!(rig.pointsman.metric(&["pointsman_service_mode{", "mode=\"read_only\""]), Some(1.0));
    rig.pointsman.cli_expect(&["mode", "cart", "open"], 0);
    client.send("SET k v\r\n").expect("+OK\r\n");
    rig.pointsman.cli_expect(&["drain", "cart", "spare", "--reason", "disk"], 0);
    assert_eq!(rig.service()["clusters"][1]["role"], "drained");
    rig.pointsman.cli_expect(&["switchover", "cart", "--to", "spare"], 3);
    rig.pointsman.cli_expect(&["drain", "cart", "main"], 3);
    rig.pointsman.cli_expect(&["restore", "cart", "spare"], 0);
    wait_for("eligible again", PATIENCE, || rig.service()["switchover_ready"]["ready"] == true);
    rig.pointsman.cli_expect(&["pause", "cart", "--for", "1m"], 0);
    rig.pointsman.cli_expect(&["resume", "cart"], 0);
    let (_, journal) = rig.pointsman.api("/v1/journal?svc=cart&limit=2", None);
    assert_eq!(journal["records"].as_array().map(Vec::len), Some(2));
    let after = journal["records"][1]["seq"].as_u64().expect("a number");
    let (_, rest) = rig.pointsman.api(&format!("/v1/journal?svc=cart&after={after}"), None);
    assert_eq!(rest["records"][0]["seq"].as_u64(), Some(after + 1));
    assert_eq!(rig.pointsman.api("/v1/journal?kind=gossip", None).0, 400);
}

#[test]
fn status_as_table_and_as_json() {
    require_server!("redis7");
    let rig = Rig::start();
    let table = rig.pointsman.cli_expect(&["status"], 0);
    let head = table.lines().next().unwrap_or_default();
    assert!(head.starts_with("Service  Cluster") && table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert!(table.contains("primary") && table.contains("standby") && table.contains("yes"), "{table}");
    let json: Value = serde_json::from_str(&rig.pointsman.cli_expect(&["status", "--json"], 0)).expect("JSON");
    assert_eq!(json["services"][0]["name"], "cart");
    rig.pointsman.cli_expect(&["status", "nobody"], 2);
}

#[test]
fn events_follow_and_resume() {
    require_server!("redis7");
    let rig = Rig::start();
    let stream = rig.socket();
    (&stream).write_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sending");
    let mut lines = BufReader::new(&stream).lines().map(|line| line.expect("a line"));
    assert!(lines.any(|line| line.eq_ignore_ascii_case("content-type: text/event-stream")));
    rig.post("drain", &json!({"cluster": "spare"}), 200);
    let mut last = String::new();
    let drained = lines.find(|line| {
        if let Some(id) = line.strip_prefix("id: ") {
            id.clone_into(&mut last);
        }
        line.starts_with("data: ") && line.contains("\"drained\"")
    });
    assert!(drained.is_some());
    rig.post("restore", &json!({"cluster": "spare"}), 200);
    let resumed = rig.socket();
    let request = format!("GET /v1/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {last}\r\n\r\n");
    (&resumed).write_all(request.as_bytes()).expect("sending");
    let mut lines = BufReader::new(&resumed).lines().map(|line| line.expect("a line"));
    assert!(lines.any(|line| line.contains("\"restored\"")), "what was missed comes");
}

#[test]
fn what_is_malformed_or_too_large_is_refused_alone() {
    require_server!("redis7");
    let rig = Rig::start();
    let head = "POST /v1/services/cart/mode HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    let large = format!("{head}Content-Length: 70000\r\n\r\n{}", " ".repeat(70_000));
    assert!(rig.raw(large.as_bytes()).starts_with("HTTP/1.1 413 "));
    assert!(rig.raw(b"\x16\x03\x01 nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    for (action, body) in [
        ("switchover", json!({"dryrun": true})),
        ("mode", json!({"mode": "half"})),
        ("pause", json!({})),
        ("failover", json!({})),
        ("drain", json!([])),
    ] {
        let problem = rig.post(action, &body, 400);
        assert_eq!((&problem["type"], &problem["status"]), (&json!("urn:pointsman:bad-request"), &json!(400)));
    }
    let get = rig.raw(b"GET /v1/services/cart/mode HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(get.starts_with("HTTP/1.1 405 ") && get.to_ascii_lowercase().contains("application/problem+json"), "{get}");
    assert_eq!(rig.service()["mode"], "open", "it serves on");
}

#[test]
fn reload_by_the_command_line() {
    require_server!("redis7");
    let rig = Rig::start();
    assert!(rig.pointsman.cli_expect(&["reload"], 0).contains("nothing changed"));
    let file = rig.pointsman.config_file();
    let good = std::fs::read_to_string(&file).expect("the file");
    std::fs::write(&file, good.replace("cache team", "night team")).expect("writing");
    let said = rig.pointsman.cli_expect(&["reload"], 0);
    assert!(said.contains("on_call"), "{said}");
    assert_eq!(rig.service()["on_call"], "night team");
    std::fs::write(&file, good.replace("kind", "knid")).expect("writing");
    rig.pointsman.cli_expect(&["reload"], 2);
    assert_eq!(rig.service()["on_call"], "night team");
    assert_eq!(rig.pointsman.metric(&["pointsman_config_reload_success"]), Some(0.0));
}

#[test]
fn check_asks_the_nodes() {
    require_server!("redis7");
    let rig = Rig::start();
    let file = rig.pointsman.config_file();
    let path = file.to_str().expect("UTF-8");
    let said = rig.pointsman.cli_expect(&["check", "--connect", "--config", path], 0);
    assert!(said.contains("cart 127.0.0.1:") && said.contains(": 7."), "{said}");
    let json = rig.pointsman.cli_expect(&["check", "--connect", "--json", "--config", path], 0);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["ok"], json["nodes"].as_array().map(Vec::len)), (&json!(true), Some(2)));
    // One server under two names, and one that isn't there.
    let good = std::fs::read_to_string(&file).expect("the file");
    let primary = rig.servers.0.address();
    let twin = primary.replace("127.0.0.1", "localhost");
    let closed = format!("127.0.0.1:{}", free_port());
    std::fs::write(&file, good.replace(&format!("\"{primary}\""), &format!("\"{primary}\", \"{twin}\", \"{closed}\"")))
        .expect("writing");
    let said = rig.pointsman.cli_expect(&["check", "--connect", "--config", path], 2);
    assert!(said.contains(&format!("is the same server as {primary}")), "{said}");
    assert!(
        said.contains(&format!("{closed}: nobody listens there")) && said.contains("mend: start the server"),
        "{said}"
    );
}
