//! The command line where no Pointsman is needed, or where one misbehaves: exit codes, and what is said.

mod common;

use common::instance::program;
use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::{Command, Output},
    thread::JoinHandle,
};

fn pointsman(admin: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(arguments).env("POINTSMAN_ADMIN", admin).env("NO_COLOR", "1");
    command.output().expect("the binary under test starts")
}

#[track_caller]
fn expect(output: &Output, code: i32, complaint: &str) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "stdout: {out}\nstderr: {err}");
    assert!(err.contains(complaint), "{complaint:?} is missing in: {err}");
}

/// Answers each connection with the next of `answers` (an empty one: closes without an answer); gives what was asked.
fn scripted(socket: &Path, answers: Vec<String>) -> JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(socket).expect("a socket");
    std::thread::spawn(move || {
        let serve = |answer: String| {
            let (stream, _) = listener.accept().expect("a client");
            let asked = request(&stream);
            (&stream).write_all(answer.as_bytes()).expect("the client reads");
            asked
        };
        answers.into_iter().map(serve).collect()
    })
}

/// A request's head and body.
fn request(stream: &UnixStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).expect("a request"), 0, "a whole head");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a number"))];
    reader.read_exact(&mut body).expect("a body");
    head + &String::from_utf8_lossy(&body)
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// The answer to the first question of each order: whether its name is a service's or a group's.
fn a_service() -> String {
    answer("200 OK", "application/json", "{}")
}

fn operation(outcome: &str) -> String {
    serde_json::json!({
        "id": "cart-17", "svc": "cart", "kind": "switchover", "from": "main", "to": "spare", "epoch_before": 3,
        "epoch_after": 5, "started": "2026-11-22T01:02:03Z", "actor": "uid:0", "approver": null, "reason": "",
        "guards": [], "outcome": outcome, "phases": [{"name": "close", "ms": 0.4}], "client_stall_ms": 3.1,
        "lost": {"known": true, "count": 0, "unit": "bytes", "detail": ""},
    })
    .to_string()
}

#[test]
fn nobody_there_is_69_for_every_client() {
    for line in
        ["status", "switchover cart", "pause cart --for 1m", "mode cart open", "history", "operation x-1", "reload"]
    {
        let arguments: Vec<_> = line.split(' ').collect();
        expect(&pointsman("unix:/nonexistent/admin.sock", &arguments), 69, "no Pointsman answers");
    }
    expect(&pointsman("unix:/x", &["healthcheck", "--listen", "127.0.0.1:1"]), 69, "no Pointsman answers");
}

#[test]
fn bad_usage_is_2() {
    for line in ["", "status --bogus", "switchover", "failover cart", "pause cart --for ever", "mode cart half"] {
        let arguments: Vec<_> = line.split_terminator(' ').collect();
        expect(&pointsman("unix:/nonexistent", &arguments), 2, "");
    }
    expect(&pointsman("nonsense", &["status"]), 2, "neither unix:PATH nor http://HOST:PORT");
}

#[test]
fn check_names_every_error_at_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, "state_dirr = \"/x\"\n[services.cart]\nkind = \"redis\"\n").expect("a file");
    let path = file.to_str().expect("UTF-8");
    let output = pointsman("unix:/x", &["check", "--config", path]);
    expect(&output, 2, &format!("{path}:1:1: error:"));
    let output = pointsman("unix:/x", &["check", path, "--json"]);
    expect(&output, 2, "");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["ok"], false);
    assert!(json["problems"].as_array().is_some_and(|problems| problems.len() > 1), "{json}");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config/redis.toml");
    expect(&pointsman("unix:/x", &["check", "--no-secrets", example]), 0, "");
}

#[test]
fn an_order_whose_answer_is_lost_is_5_and_tells_how_to_look() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("s");
    let server = scripted(&socket, vec![a_service(), String::new()]);
    let admin = format!("unix:{}", socket.display());
    let output = pointsman(&admin, &["switchover", "cart", "--key", "night-1"]);
    expect(&output, 5, "pointsman history cart");
    expect(&output, 5, "--key night-1");
    let asked = server.join().expect("the server ends").remove(1);
    assert!(asked.starts_with("POST /v1/services/cart/switchover HTTP/1.1\r\n"), "{asked}");
    assert!(asked.to_ascii_lowercase().contains("idempotency-key: night-1\r\n"), "{asked}");
}

#[test]
fn a_long_operation_is_followed_by_its_id() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("s");
    let answers = vec![
        a_service(),
        answer("202 Accepted", "application/json", r#"{"id":"cart-17","svc":"cart","outcome":"running"}"#),
        answer("200 OK", "application/json", &operation("running")),
        answer("200 OK", "application/json", &operation("done")),
    ];
    let server = scripted(&socket, answers);
    let output = pointsman(&format!("unix:{}", socket.display()), &["switchover", "cart"]);
    expect(&output, 0, "cart-17 runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, "switchover cart: main -> spare done in 0.4 ms (stall 3.1 ms), epoch 3 -> 5\n");
    let asked = server.join().expect("the server ends");
    assert!(asked[2].starts_with("GET /v1/operations/cart-17 "), "{asked:?}");
}

#[test]
fn outcomes_and_problems_have_their_codes() {
    let problem = |status: u16, outcome: &str| {
        let operation: serde_json::Value = serde_json::from_str(&operation(outcome)).expect("JSON");
        serde_json::json!({
            "type": "urn:pointsman:x", "title": "t", "status": status, "detail": "d", "operation": operation,
        })
        .to_string()
    };
    let bare = r#"{"type":"urn:pointsman:x","title":"Sorry","status":404,"detail":"no service cart"}"#;
    let table = [
        ("200 OK", operation("done"), 0, ""),
        ("202 Accepted", operation("waiting"), 6, "waits for a second person"),
        ("422 Unprocessable Entity", problem(422, "refused"), 3, "refused, nothing changed"),
        ("409 Conflict", problem(409, "refused"), 3, "refused, nothing changed"),
        ("500 Internal Server Error", problem(500, "rolled_back"), 4, "the old route serves"),
        ("500 Internal Server Error", problem(500, "partial"), 5, "partly done"),
        ("500 Internal Server Error", problem(500, "unknown"), 5, "outcome unknown"),
        ("404 Not Found", bare.to_owned(), 2, "no service cart"),
        ("403 Forbidden", bare.to_owned(), 77, "Sorry"),
        ("502 Bad Gateway", "<html>".to_owned(), 5, "HTTP 502"),
    ];
    for (status, body, code, complaint) in table {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("s");
        let server = scripted(&socket, vec![a_service(), answer(status, "application/json", &body)]);
        expect(&pointsman(&format!("unix:{}", socket.display()), &["switchover", "cart"]), code, complaint);
        server.join().expect("the server ends");
    }
}

#[test]
fn a_reader_that_went_away_is_no_panic() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Command::new(program());
    let output = command.args(["completions", "bash"]).stdout(writer).output().expect("the binary under test starts");
    expect(&output, 0, "");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
