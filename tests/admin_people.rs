//! Who may do what: people by uid, gid and token, their roles, and what the journal calls them.

mod common;

use common::{
    PATIENCE,
    admin_rig::{AdminRig, Token, all_at_once, bearer, is_root, person, request, say},
    instance::program,
    skip,
};
use serde_json::{Value, json};
use std::{
    net::TcpStream,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    process::Command,
    time::Instant,
};

/// Users and groups that no system gives to anybody.
const ANN: u32 = 41_001;
const BOB: u32 = 41_002;
const NOBODY: u32 = 41_009;
const OPS: u32 = 41_050;

fn pause(rig: &AdminRig, uid: u32, gid: u32) -> Option<i32> {
    rig.cli_as(uid, gid, &["pause", "cart", "--for", "1m", "--reason", "test"]).status.code()
}

#[test]
fn the_socket_knows_people_by_uid_and_gid() {
    if !is_root() {
        return skip::note("root, for other users");
    }
    let people = person("ann", "operator", &format!("uid = {ANN}")) + &person("ops", "viewer", &format!("gid = {OPS}"));
    let rig = AdminRig::start(&people);
    let mode = std::fs::metadata(rig.socket()).expect("the socket").permissions().mode() & 0o777;
    assert_eq!(mode, 0o666, "people who aren't in Pointsman's group can connect");
    assert_eq!(pause(&rig, ANN, NOBODY), Some(0));
    assert_eq!(rig.last_record("operation")["actor"], "ann", "the journal knows the person");
    let head = rig.head();
    assert_eq!(pause(&rig, BOB, OPS), Some(77), "a viewer changes nothing");
    assert_eq!(pause(&rig, NOBODY, NOBODY), Some(77));
    assert_eq!(rig.cli_as(BOB, OPS, &["reload"]).status.code(), Some(77));
    assert_eq!(rig.head(), head, "nothing was done");
    assert_eq!(rig.cli_as(BOB, OPS, &["status"]).status.code(), Some(0), "a viewer looks");
    let stranger = rig.cli_as(NOBODY, NOBODY, &["status"]);
    let said = String::from_utf8_lossy(&stranger.stderr).into_owned();
    assert_eq!(stranger.status.code(), Some(77), "{said}");
    assert!(said.contains(&format!("uid {NOBODY} may not")), "{said}");
    assert_eq!(rig.pointsman.metric(&["pointsman_admin_denied_total", "reason=\"role\""]), Some(2.0));
    assert!(rig.pointsman.metric(&["pointsman_admin_denied_total", "reason=\"peer\""]) >= Some(2.0));
    let text = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            // The kernel has a user for each thread.
            let nobody = rustix::process::Uid::from_raw(NOBODY);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).expect("root may be anybody");
            let stream = UnixStream::connect(rig.socket()).expect("the socket");
            all_at_once(stream.try_clone().expect("the same connection"), stream, None)
        });
        asking.join().expect("the answers")
    });
    let (forbidden, late) = (text.matches("HTTP/1.1 403 ").count(), text.matches("HTTP/1.1 429 ").count());
    assert!(forbidden + late == 1000 && late >= 100, "strangers may not ask too often either: {forbidden} {late}");
    let (_, me) = rig.pointsman.api("/v1/whoami", None);
    assert_eq!(me, json!({"name": "uid:0", "role": "operator", "via": "socket"}), "root is what it was");
}

#[test]
fn a_reload_changes_who_may_do_what_at_once() {
    if !is_root() {
        return skip::note("root, for other users");
    }
    let rig = AdminRig::start(&person("ann", "viewer", &format!("uid = {ANN}")));
    assert_eq!(pause(&rig, ANN, ANN), Some(77));
    rig.reload("", &person("ann", "operator", &format!("uid = {ANN}")));
    let changes = rig.last_record("configuration")["detail"]["changes"].to_string();
    assert!(changes.contains(&format!("admin.people.ann: viewer, uid {ANN} -> operator, uid {ANN}")), "{changes}");
    assert_eq!(pause(&rig, ANN, ANN), Some(0));
    rig.reload("", "");
    assert_eq!(pause(&rig, ANN, ANN), Some(77));
    let mode = std::fs::metadata(rig.socket()).expect("the socket").permissions().mode() & 0o777;
    assert_eq!(mode, 0o660, "without people the socket is its group's again");
    // One that is refused changes nothing.
    rig.write("", &person("ann", "king", &format!("uid = {ANN}")));
    rig.pointsman.cli_expect(&["reload"], 2);
    assert_eq!(pause(&rig, ANN, ANN), Some(77));
}

#[test]
fn root_can_be_a_person_and_loses_its_own_rights_then() {
    if !is_root() {
        return skip::note("root");
    }
    let rig = AdminRig::start(&person("the boss", "viewer", "uid = 0"));
    assert_eq!(rig.pointsman.api("/v1/whoami", None).1, json!({"name": "the boss", "role": "viewer", "via": "socket"}));
    assert_eq!(rig.pointsman.api("/v1/reload", Some(&json!({}))).0, 403);
    let stream = UnixStream::connect(rig.socket()).expect("the socket");
    let text = all_at_once(stream.try_clone().expect("the same connection"), stream, None);
    assert!(text.contains("HTTP/1.1 429 "), "a person may not ask too often, whatever their user");
    rig.write("", "");
    // Whoever may send the process signals can still take that back.
    rig.pointsman.reload();
    common::wait_for("an operator again", PATIENCE, || rig.pointsman.api("/v1/whoami", None).1["role"] == "operator");
}

#[test]
fn one_name_is_one_person_however_they_come() {
    let token = Token::fresh();
    let people = person("ann", "approver", &format!("uid = {ANN}\ntoken_hash = \"{}\"", token.hash))
        + &person("bob", "viewer", &format!("uid = {BOB}"));
    let rig = AdminRig::start(&people);
    let by_token = rig.get("/v1/whoami", &token).json();
    assert_eq!(by_token, json!({"name": "ann", "role": "approver", "via": "token"}));
    // A token says more than the user of the process: two who are both root can be two people.
    let stream = || UnixStream::connect(rig.socket()).expect("the socket");
    let on_socket = say(stream(), request("GET", "/v1/whoami", Some(&token), &[], "").as_bytes());
    assert_eq!(on_socket.json(), by_token);
    let wrong = Token { text: "pm_wrong".into(), ..token.clone() };
    assert_eq!(say(stream(), request("GET", "/v1/whoami", Some(&wrong), &[], "").as_bytes()).status, 401);
    let body = "{\"for\":\"1m\",\"reason\":\"test\"}";
    assert_eq!(rig.ask("POST", "/v1/services/cart/pause", Some(&token), &[], body).status, 200);
    assert_eq!(rig.last_record("operation")["actor"], "ann");
    if is_root() {
        let me = rig.cli_as(ANN, ANN, &["resume", "cart"]);
        assert_eq!(me.status.code(), Some(0));
        assert_eq!(rig.last_record("operation")["actor"], "ann");
    }
}

#[test]
fn the_last_use_is_shown_and_no_hash() {
    let (ann, bob) = (Token::fresh(), Token::fresh());
    let rig = AdminRig::start(&(bearer("ann", "operator", &ann) + &bearer("bob", "viewer", &bob)));
    let before = jiff::Timestamp::now();
    assert_eq!(rig.get("/v1/services", &ann).status, 200);
    let answer = rig.get("/v1/people", &ann);
    assert!(!answer.body.contains(&ann.hash) && !answer.body.contains("sha256"), "{}", answer.body);
    let people = answer.json()["people"].clone();
    let entry =
        |name: &str| people.as_array().expect("a list").iter().find(|one| one["name"] == name).cloned().expect(name);
    let (ann, bob) = (entry("ann"), entry("bob"));
    assert_eq!(
        (&ann["role"], &ann["token"], &ann["via"], &ann["uid"]),
        (&json!("operator"), &json!(true), &json!("token"), &Value::Null)
    );
    let used: jiff::Timestamp = ann["last_used"].as_str().expect("a time").parse().expect("a timestamp");
    assert!(used >= before, "{used} {before}");
    assert_eq!((&bob["last_used"], &bob["via"]), (&Value::Null, &Value::Null), "bob was never here");
    let (_, config) = rig.pointsman.api("/v1/config", None);
    assert!(!config.to_string().contains("sha256:"), "{config}");
}

#[test]
fn a_token_replaces_another_without_a_gap() {
    let (old, new) = (Token::fresh(), Token::fresh());
    let with = |hashes: &str| person("ann", "operator", &format!("token_hash = [{hashes}]"));
    let rig = AdminRig::start(&with(&format!("\"{}\"", old.hash)));
    assert_eq!(rig.get("/v1/whoami", &new).status, 401);
    let mut stream = follow(&rig, &old);
    rig.reload("", &with(&format!("\"{}\", \"{}\"", old.hash, new.hash)));
    assert_eq!((rig.get("/v1/whoami", &old).status, rig.get("/v1/whoami", &new).status), (200, 200));
    rig.reload("", &with(&format!("\"{}\"", new.hash)));
    assert_eq!((rig.get("/v1/whoami", &old).status, rig.get("/v1/whoami", &new).status), (401, 200));
    ended(&mut stream, "the stream of the old token");
    let mut stream = follow(&rig, &new);
    rig.reload("", &person("bob", "operator", &format!("token_hash = \"{}\"", new.hash)));
    ended(&mut stream, "the stream of a token that is somebody else's now");
    assert_eq!(rig.get("/v1/whoami", &new).json()["name"], "bob");
}

fn follow(rig: &AdminRig, token: &Token) -> TcpStream {
    let mut stream = rig.connect();
    let open = request("GET", "/v1/events", Some(token), &[], "").replace("Connection: close\r\n", "");
    std::io::Write::write_all(&mut stream, open.as_bytes()).expect("sent");
    common::admin_rig::until(&mut stream, "retry: ");
    stream
}

/// It ends by itself; signs of life until then don't count.
#[track_caller]
fn ended(stream: &mut TcpStream, what: &str) {
    let end = Instant::now() + PATIENCE;
    while std::io::Read::read(stream, &mut [0; 4096]).expect("an end") > 0 {
        assert!(Instant::now() < end, "{what} goes on");
    }
}

#[test]
fn the_command_line_makes_tokens_and_uses_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ann.token");
    let output =
        Command::new(program()).args(["token", "ann", "--role", "operator"]).output().expect("the binary starts");
    let text = String::from_utf8(output.stdout).expect("text");
    let (token, rest) = text.split_once('\n').expect("a token alone in the first line");
    assert!(token.starts_with("pm_") && !rest.contains(token), "{text}");
    std::fs::write(&file, &text).expect("written");
    let lines = rest.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    let rig = AdminRig::start(&lines);
    let cli = |arguments: &[&str]| {
        let mut command = Command::new(program());
        command.args(["--admin", &format!("http://127.0.0.1:{}", rig.port)]).args(arguments).env("NO_COLOR", "1");
        let output = command.output().expect("the binary starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let file = file.to_str().expect("UTF-8");
    let (code, said) = cli(&["--token-file", file, "status"]);
    assert!(code == Some(2) && said.contains("everyone can read it"), "{code:?} {said}");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    assert_eq!(cli(&["--token-file", file, "status"]).0, Some(0));
    assert_eq!(cli(&["pause", "cart", "--for", "1m", "--token-file", file]).0, Some(0));
    assert_eq!(rig.last_record("operation")["actor"], "ann");
    let (code, said) = cli(&["status"]);
    assert!(code == Some(77) && said.contains("Authorization: Bearer"), "{code:?} {said}");
    let foreign = Command::new(program())
        .args(["--admin", "http://192.0.2.1:9320", "--token-file", file, "status"])
        .output()
        .expect("the binary starts");
    let said = String::from_utf8_lossy(&foreign.stderr).into_owned();
    assert!(
        foreign.status.code() == Some(2) && said.contains("in clear"),
        "no token leaves the machine in clear: {said}"
    );
    for bad in [&["token", "uid:0"][..], &["token", ""], &["token", "ann", "--role", "king"]] {
        assert_eq!(cli(bad).0, Some(2), "{bad:?}");
    }
}
