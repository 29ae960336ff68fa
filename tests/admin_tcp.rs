//! The admin API over TCP, against those who mean no good: foreign pages, forms, guesses, floods, slow and smuggled requests.

mod common;

use common::{
    PATIENCE,
    admin_rig::{AdminRig, Token, all_at_once, bearer, person, request, say, timed, until},
    wait_for,
};
use serde_json::json;
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    thread,
    time::Duration,
};

const PAUSE: &str = "/v1/services/cart/pause";
const BODY: &str = "{\"for\":\"1m\",\"reason\":\"test\"}";

fn rig() -> (AdminRig, Token, Token) {
    let (ann, bob) = (Token::fresh(), Token::fresh());
    (AdminRig::start(&(bearer("ann", "operator", &ann) + &bearer("bob", "viewer", &bob))), ann, bob)
}

fn denied(rig: &AdminRig, reason: &str) -> u64 {
    let label = format!("reason=\"{reason}\"");
    rig.pointsman
        .metric(&["pointsman_admin_denied_total", &label])
        .expect("there from the start")
        .to_string()
        .parse()
        .expect("a whole number")
}

#[test]
fn without_a_token_only_the_page_and_the_description_are_read() {
    let (rig, ann, bob) = rig();
    assert_eq!(denied(&rig, "no_token"), 0);
    for path in ["/v1/services", "/v1/journal", "/v1/events", "/v1/whoami", "/v1/config", "/nothing"] {
        let answer = rig.ask("GET", path, None, &[], "");
        assert_eq!(answer.status, 401, "{path}: {answer:?}");
        assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
        assert!(answer.head.contains("application/problem+json") && !answer.body.contains("cart"), "{answer:?}");
    }
    assert_eq!(rig.ask("GET", "/openapi.json", None, &[], "").status, 200);
    for (method, path) in
        [("POST", "/"), ("POST", "/v1/reload"), ("POST", "/openapi.json"), ("OPTIONS", "/v1/services"), ("DELETE", "/")]
    {
        assert_eq!(rig.ask(method, path, None, &[], "").status, 401, "{method} {path}");
    }
    assert_eq!(denied(&rig, "no_token"), 11);
    for bad in ["Basic YTpi", "Bearer", "Bearer ", "pm_x", &format!("Bearer {}", "x".repeat(300))] {
        assert_eq!(rig.ask("GET", "/v1/services", None, &[("Authorization", bad)], "").status, 401, "{bad}");
    }
    let basic = [("Authorization", &*format!("Basic {}", ann.text))];
    assert_eq!(rig.ask("GET", "/v1/services", None, &basic, "").status, 401, "the right token, in another's name");
    let twice = [("Authorization", "Bearer a"), ("Authorization", "Bearer b")];
    assert_eq!(rig.ask("GET", "/v1/services", None, &twice, "").status, 400);
    assert_eq!(rig.get("/v1/services", &bob).status, 200);
    assert_eq!(rig.get(&format!("/v1/services?token={}", ann.text), &bob).status, 200);
    let in_path = rig.ask("GET", &format!("/v1/services?token={}&access_token={}", ann.text, ann.text), None, &[], "");
    assert_eq!(in_path.status, 401, "a token in an address would stand in logs");
    assert_eq!(rig.ask("POST", PAUSE, Some(&bob), &[], BODY).status, 403, "a viewer changes nothing");
    assert_eq!(rig.ask("POST", PAUSE, Some(&ann), &[], BODY).status, 200);
    let log = rig.pointsman.log();
    assert!(!log.contains(&ann.text) && !log.contains(&bob.text), "tokens stand in no log");
    let denials = |word: &str| log.lines().filter(|line| line.contains("was denied") && line.contains(word)).count();
    assert_eq!(
        (denials("\"role\""), denials("\"no_token\"")),
        (1, 0),
        "whoever forgot a token isn't worth a line: {log}"
    );
}

/// A name of an attacker that points at a loopback address makes the browser send its page's requests here, under that name.
#[test]
fn other_hosts_are_not_served() {
    let (rig, ann, _) = rig();
    let status = |headers: &[(&str, &str)]| rig.ask("GET", "/v1/services", Some(&ann), headers, "").status;
    for host in ["localhost", "127.0.0.1", &format!("localhost:{}", rig.port), "[::1]:80"] {
        assert_eq!(status(&[("Host", host)]), 200, "{host}");
    }
    for host in ["evil.example", "evil.example:9320", "127.0.0.1.nip.io", "ops.example", "localhost.evil.example"] {
        assert_eq!(status(&[("Host", host)]), 421, "{host}");
    }
    assert_eq!(rig.ask("GET", "/", None, &[("Host", "evil.example")], "").status, 421, "not even the page");
    for bad in [&[("Host", "")][..], &[("Host", "localhost"), ("Host", "evil.example")], &[("Host", "a b")]] {
        assert_eq!(status(bad), 400, "{bad:?}");
    }
    let bare = format!("GET /v1/services HTTP/1.1\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n", ann.text);
    assert_eq!(say(rig.connect(), bare.as_bytes()).status, 400, "no Host");
    assert_eq!(say(rig.connect(), bare.replace("1.1", "1.0").as_bytes()).status, 400, "no Host, older");
    assert_eq!(rig.ask("GET", "http://evil.example/v1/services", Some(&ann), &[], "").status, 400);
    // The socket too: it may be forwarded to a port of somebody's own machine, where their browser is.
    let on_socket = |host| {
        let stream = UnixStream::connect(rig.socket()).expect("the socket");
        say(stream, request("GET", "/v1/services", None, &[("Host", host)], "").as_bytes()).status
    };
    assert_eq!((on_socket("localhost:8080"), on_socket("evil.example")), (200, 421));
    rig.reload("allowed_hosts = \"ops.example\"", &(bearer("ann", "operator", &ann)));
    assert_eq!(status(&[("Host", "OPS.example:443")]), 200);
    assert_eq!(status(&[("Host", "evil.example")]), 421);
    assert!(denied(&rig, "host") >= 7 && denied(&rig, "malformed") >= 6);
}

#[test]
fn pages_of_others_and_forms_change_nothing() {
    let (rig, ann, _) = rig();
    let head = rig.head();
    let post = |headers: &[(&str, &str)]| rig.ask("POST", PAUSE, Some(&ann), headers, BODY).status;
    for origin in ["https://evil.example", "null", "http://localhost:3000", "http://127.0.0.1", "file://"] {
        assert_eq!(post(&[("Origin", origin)]), 403, "{origin}");
    }
    for kind in
        ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "application/jsonx", ""]
    {
        assert_eq!(post(&[("Content-Type", kind)]), 415, "{kind}");
    }
    // On a forwarded socket the page needs no token: what it sends must not be ours to do either.
    let stream = || UnixStream::connect(rig.socket()).expect("the socket");
    for header in [("Origin", "https://evil.example"), ("Content-Type", "text/plain")] {
        let answer = say(stream(), request("POST", PAUSE, None, &[header], BODY).as_bytes());
        assert!([403, 415].contains(&answer.status), "{answer:?}");
    }
    assert_eq!(rig.head(), head, "nothing was done");
    let own = format!("http://localhost:{}", rig.port);
    let host = format!("localhost:{}", rig.port);
    assert_eq!(post(&[("Origin", &own), ("Host", &host), ("Content-Type", "application/json; charset=utf-8")]), 200);
    let answer = rig.get("/v1/services", &ann);
    for line in
        ["x-content-type-options: nosniff", "cache-control: no-store", "cross-origin-resource-policy: same-origin"]
    {
        assert!(answer.head.contains(line), "{}", answer.head);
    }
    assert!(!answer.head.contains("access-control-allow"), "no other origin may read: {}", answer.head);
}

#[test]
fn no_get_changes_anything() {
    let (rig, ann, _) = rig();
    let document = rig.ask("GET", "/openapi.json", None, &[], "").json();
    let paths = document["paths"].as_object().expect("paths");
    let (epoch, head) = (rig.get("/v1/services/cart", &ann).json()["epoch"].clone(), rig.head());
    let mut asked = 0;
    for path in paths.keys().filter(|path| *path != "/v1/events") {
        let path = path
            .replace("{svc}", "cart")
            .replace("{node}", "127.0.0.1:1")
            .replace("{id}", "cart-1")
            .replace("{action}", "pause");
        for method in ["GET", "HEAD"] {
            let status = rig.ask(method, &path, Some(&ann), &[], "").status;
            assert!([200, 404, 405, 422, 503].contains(&status), "{method} {path}: {status}");
            asked += 1;
        }
    }
    assert!(asked >= 30, "{asked}");
    assert_eq!(rig.head(), head, "the journal is as it was");
    assert_eq!(rig.get("/v1/services/cart", &ann).json()["epoch"], epoch);
}

#[test]
fn guessing_is_slow_and_slows_nobody_else() {
    let (rig, ann, _) = rig();
    let guess = || Token { text: format!("pm_{}", Token::fresh().text), hash: String::new() };
    let (answer, took) = timed(|| rig.get("/v1/services", &guess()));
    assert_eq!(answer.status, 401);
    assert!(took >= Duration::from_millis(500), "{took:?}");
    let wrong = guess();
    let (statuses, right) = thread::scope(|scope| {
        let guesses: Vec<_> = (0..150).map(|_| scope.spawn(|| rig.get("/v1/services", &wrong).status)).collect();
        wait_for("a flood of guesses", PATIENCE, || denied(&rig, "bad_token") >= 10);
        let right: Vec<_> = (0..5).map(|_| timed(|| rig.get("/v1/whoami", &ann).status)).collect();
        let statuses: Vec<u16> = guesses.into_iter().map(|guess| guess.join().expect("an answer")).collect();
        (statuses, right)
    });
    assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&429), "a flood is sent away at once");
    for (status, took) in right {
        assert!(
            status == 200 && took < Duration::from_secs(5),
            "the right token waits for no wrong one: {status} {took:?}"
        );
    }
    assert_eq!(denied(&rig, "bad_token"), 151);
    let log = rig.pointsman.log();
    let lines = log.lines().filter(|line| line.contains("nobody has this token")).count();
    assert!((1..60).contains(&lines), "logged, and not each of a flood: {lines}");
    assert!(!log.contains(&wrong.text));
}

#[test]
fn who_asks_too_often_is_told_when_to_come_again() {
    let (rig, ann, bob) = rig();
    let stream = rig.connect();
    let text = all_at_once(stream.try_clone().expect("the same connection"), stream, Some(&bob));
    let (good, late) = (text.matches("HTTP/1.1 200 ").count(), text.matches("HTTP/1.1 429 ").count());
    assert_eq!(good + late, 1000);
    assert!(good >= 200 && late >= 100, "{good} {late}");
    assert!(text.to_ascii_lowercase().contains("retry-after: 1"), "when to come again is said");
    assert_eq!(rig.get("/v1/whoami", &ann).status, 200, "another person has an account of their own");
    assert!(denied(&rig, "rate") >= 100);
    wait_for("served again", PATIENCE, || rig.get("/v1/whoami", &bob).status == 200);
    // Our own user could do worse, and is the one who comes when everything else fails.
    let stream = UnixStream::connect(rig.socket()).expect("the socket");
    let text = all_at_once(stream.try_clone().expect("the same connection"), stream, None);
    assert_eq!(text.matches("HTTP/1.1 200 ").count(), 1000);
}

#[test]
fn bodies_and_heads_are_bounded_in_size_and_time() {
    let (rig, ann, _) = rig();
    let head = rig.head();
    let about = format!("Host: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n", ann.text);
    let post = format!("POST {PAUSE} HTTP/1.1\r\n{about}");
    let large = format!("{post}Connection: close\r\nContent-Length: 70000\r\n\r\n{}", " ".repeat(70_000));
    let chunks = format!("1000\r\n{}\r\n", " ".repeat(0x1000)).repeat(20);
    let chunked = format!("{post}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    for bytes in [&large, &chunked] {
        assert_eq!(say(rig.connect(), bytes.as_bytes()).status, 413);
    }
    let huge = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let answer = say(rig.connect(), huge.as_bytes());
    assert!([0, 400, 431].contains(&answer.status), "{answer:?}");
    // What is announced and never comes holds nothing for long, and says nothing twice.
    let slow_body = format!("{post}Connection: close\r\nContent-Length: 30\r\n\r\n{{");
    let slow_head = "GET /v1/services HTTP/1.1\r\nHost: loc";
    thread::scope(|scope| {
        let body = scope.spawn(|| say(rig.connect(), slow_body.as_bytes()));
        let head = scope.spawn(|| {
            let mut stream = rig.connect();
            stream.write_all(slow_head.as_bytes()).expect("sent");
            let mut rest = Vec::new();
            // Closed, with or without a word.
            let _ = stream.read_to_end(&mut rest);
            String::from_utf8_lossy(&rest).into_owned()
        });
        assert_eq!(body.join().expect("an answer").status, 408);
        let said = head.join().expect("an end");
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408") || said.starts_with("HTTP/1.1 400"), "{said}");
    });
    assert_eq!(rig.head(), head, "nothing was done");
    assert_eq!(rig.get("/v1/services", &ann).status, 200);
}

/// What two readers could take for one request or for two must not be carried out.
#[test]
fn smuggled_requests_are_not_carried_out() {
    let (rig, ann, bob) = rig();
    let head = rig.head();
    let inner = request("POST", PAUSE, Some(&ann), &[], BODY);
    let outer = format!("POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n", bob.text);
    let length = inner.len();
    let cases = [
        // As a body, by its length: never seen as a request.
        format!("{outer}Connection: close\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{inner}"),
        // Two lengths.
        format!("{outer}Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{inner}"),
        format!("{outer}Content-Length: 0, {length}\r\n\r\n{inner}"),
        format!("{outer}Content-Length: +0\r\n\r\n{inner}"),
        // Length and chunks that say otherwise: the chunks count, and inside them nothing is a request.
        format!(
            "{outer}Connection: close\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{inner}\r\n0\r\n\r\n"
        ),
        format!("{outer}Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n{inner}"),
        format!("{outer}Transfer-Encoding: xchunked\r\n\r\n{inner}"),
        // A folded line, a name with a blank, a bare line feed.
        format!("{outer}X: a\r\n Content-Length: {length}\r\n\r\n{inner}"),
        format!("{outer}Content-Length : {length}\r\n\r\n{inner}"),
        format!("{outer}X: a\rContent-Length: {length}\r\n\r\n{inner}"),
    ];
    for case in &cases {
        // Whoever sees two requests answers twice, and the second pauses.
        let first = say(rig.connect(), case.as_bytes());
        assert!(![200, 202].contains(&first.status), "{first:?}\n{case}");
        let records = rig.pointsman.api(&format!("/v1/journal?after={head}"), None).1["records"].clone();
        assert_eq!(records, json!([]), "{case}");
    }
    assert_eq!(rig.get("/v1/services", &ann).status, 200);
}

#[test]
fn tcp_needs_somebody_with_a_token_and_tls_beyond_loopback() {
    let token = Token::fresh();
    let rig = AdminRig::start("");
    let check = |admin: &str, services: &str| {
        rig.pointsman.write_admin(admin, services);
        let file = rig.pointsman.config_file();
        let output = rig.pointsman.cli(&["check", "--no-secrets", "--config", file.to_str().expect("UTF-8")]);
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    let said = check(&format!("listen = \"127.0.0.1:9320\"\n{}", person("ann", "viewer", "uid = 5")), "");
    assert!(said.contains("nobody has a token") && said.contains("pointsman token NAME"), "{said}");
    let said = check(&format!("listen = \"0.0.0.0:9320\"\n{}", bearer("ann", "viewer", &token)), "");
    assert!(said.contains("tokens would pass it in clear") && said.contains("[admin.tls]"), "{said}");
    let tls = "[admin.tls]\ncertificate = \"/x.crt\"\nkey = \"/x.key\"\n";
    let said = check(&format!("listen = \"0.0.0.0:9320\"\n{tls}{}", bearer("ann", "viewer", &token)), "");
    assert!(!said.contains("in clear") && !said.contains("admin."), "{said}");
    // The address is fixed while it runs.
    rig.write("", &bearer("ann", "viewer", &token));
    let said = rig.pointsman.cli(&["reload"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    assert!(said.contains("admin.listen: (none)") && said.contains("needs a restart"), "{said}");
}

#[test]
fn a_stream_over_tcp_follows_and_resumes() {
    let (rig, ann, bob) = rig();
    let follow = |last: Option<&str>| {
        let mut stream = rig.connect();
        let headers: Vec<_> = last.map(|last| ("Last-Event-ID", last)).into_iter().collect();
        let open = request("GET", "/v1/events", Some(&bob), &headers, "").replace("Connection: close\r\n", "");
        stream.write_all(open.as_bytes()).expect("sent");
        stream
    };
    let mut stream = follow(None);
    until(&mut stream, "retry: ");
    assert_eq!(rig.ask("POST", PAUSE, Some(&ann), &[], BODY).status, 200);
    let text = until(&mut stream, "\"what\":\"paused\"");
    let first: u64 = text.lines().find_map(|line| line.strip_prefix("id: ")?.parse().ok()).expect("an id");
    let again = until(&mut follow(Some(&(first - 1).to_string())), "\"what\":\"paused\"");
    let ids: Vec<u64> = again.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
    assert!(
        ids.iter().all(|id| *id >= first) && ids.windows(2).all(|pair| pair[0] < pair[1]),
        "nothing twice: {ids:?}"
    );
    let mut foreign = follow(Some("5"));
    until(&mut foreign, "event: gap");
    assert_eq!(rig.ask("GET", "/v1/events", Some(&bob), &[("Last-Event-ID", "x")], "").status, 400);
    assert!(rig.pointsman.metric(&["pointsman_admin_streams"]) >= Some(2.0));
    drop((stream, foreign));
    wait_for("places given back", PATIENCE, || rig.pointsman.metric(&["pointsman_admin_streams"]) == Some(0.0));
}
