//! Requests and answers of every form pass unchanged, and connections are kept.

use super::common::elastic_path::ElasticPath;
use super::common::mock_node::{MockNode, Reply, chunked, ok};
use super::common::{PATIENCE, wait_for};
use super::{rest, write};
use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

fn forms() -> MockNode {
    MockNode::start(|asked| match asked.target.split('?').next() {
        Some("/204") => Reply::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        Some("/304") => Reply::Bytes(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n".to_vec()),
        Some("/chunks") => chunked("one two three", 5),
        Some("/to-the-end") => Reply::Last(b"HTTP/1.1 200 OK\r\n\r\nall of it".to_vec()),
        Some("/big") => ok(&"x".repeat(5 << 20)),
        Some("/length") => ok(&asked.body.len().to_string()),
        Some("/hang") => Reply::Hang,
        Some("/early") => Reply::Last(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n".to_vec()),
        _ if asked.method == "HEAD" => Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n".to_vec()),
        _ => ok(&format!("{} {} {}", asked.method, asked.target, asked.body)),
    })
}

fn path() -> (MockNode, ElasticPath) {
    let node = forms();
    let path = ElasticPath::to(&[("a", vec![node.address()])]);
    (node, path)
}

#[test]
fn every_form_passes_on_one_kept_connection() {
    let (node, path) = path();
    let mut http = path.http();
    let mut call = |method, target, body| http.call(method, target, body).expect("an answer");
    assert_eq!(call("GET", "/i/_doc/1?q=%20", "").text(), "GET /i/_doc/1?q=%20 ");
    assert_eq!(call("POST", "/i/_doc", "{}").text(), "POST /i/_doc {}");
    assert_eq!(call("GET", "/i/_search", "{\"a\":1}").text(), "GET /i/_search {\"a\":1}");
    let head = call("HEAD", "/i", "");
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("99"), 0));
    assert_eq!(call("GET", "/204", "").status, 204);
    assert_eq!(call("GET", "/304", "").status, 304);
    assert_eq!(call("GET", "/chunks", "").text(), "one two three");
    assert_eq!(call("GET", "/big", "").body.len(), 5 << 20);
    assert_eq!(call("POST", "/length", &"y".repeat(5 << 20)).text(), (5 << 20).to_string());
    write(
        &mut http,
        "POST /i/_search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nA: b\r\n\r\n",
    );
    assert_eq!(http.answer("POST").expect("an answer").text(), "POST /i/_search abcde");
    write(
        &mut http,
        "GET /i HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nX-End: 2\r\n\r\n",
    );
    let answer = http.answer("GET").expect("an answer");
    assert_eq!((answer.header("x-elastic-product"), answer.header("keep-alive")), (Some("Elasticsearch"), None));
    let last = node.seen().pop().expect("a request").head.to_ascii_lowercase();
    assert!(last.contains("\r\nx-end: 2\r\n") && !last.contains("x-hop") && !last.contains("keep-alive"), "{last}");
    assert_eq!(node.accepted(), 1, "one connection carried all of it");
}

#[test]
fn requests_that_come_together_are_answered_in_their_order() {
    let (_node, path) = path();
    let mut http = path.http();
    let all: Vec<String> =
        (0..50).map(|n| format!("POST /i/_doc?n={n} HTTP/1.1\r\nContent-Length: 2\r\n\r\n{n:02}")).collect();
    let text = all.concat();
    // Cut where nothing ends.
    let (first, second) = text.split_at(text.len() / 2 + 3);
    write(&mut http, first);
    write(&mut http, second);
    for n in 0..50 {
        assert_eq!(http.answer("POST").expect("an answer").text(), format!("POST /i/_doc?n={n} {n:02}"));
    }
}

#[test]
fn connections_end_where_their_side_says() {
    let (node, path) = path();
    let mut old = path.http();
    write(&mut old, "GET /old HTTP/1.0\r\n\r\n");
    let text = rest(&mut old);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("GET /old "), "{text}");
    let mut closing = path.http();
    write(&mut closing, "GET /bye HTTP/1.1\r\nConnection: close\r\n\r\n");
    let text = rest(&mut closing).to_ascii_lowercase();
    assert!(text.contains("\r\nconnection: close\r\n") && text.ends_with("get /bye "), "{text}");
    let accepted = node.accepted();
    let mut http = path.http();
    write(&mut http, "GET /to-the-end HTTP/1.1\r\n\r\n");
    let text = rest(&mut http);
    assert!(text.contains("\r\nConnection: close\r\n") && text.ends_with("all of it"), "{text}");
    assert!(path.http().call("GET", "/next", "").is_ok());
    assert!(node.accepted() > accepted, "the node's connection has ended with its answer");
}

#[test]
fn a_body_waits_for_the_nodes_word() {
    let (_node, path) = path();
    let mut http = path.http();
    write(&mut http, "PUT /i/_doc/1 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    let mut word = [0; 25];
    http.stream().read_exact(&mut word).expect("a word");
    assert_eq!(&word, b"HTTP/1.1 100 Continue\r\n\r\n");
    write(&mut http, "body");
    assert_eq!(http.answer("PUT").expect("an answer").text(), "PUT /i/_doc/1 body");
}

#[test]
fn an_answer_may_come_before_the_body_is_there() {
    let (_node, path) = path();
    let mut http = path.http();
    write(&mut http, "POST /early HTTP/1.1\r\nContent-Length: 20000000\r\n\r\n");
    let mut sender = http.stream().try_clone().expect("a second handle");
    let sending = thread::spawn(move || {
        // A client that sends all before it reads.
        let piece = vec![b'x'; 100_000];
        (0..200).map_while(|_| sender.write_all(&piece).ok()).count()
    });
    let answer = http.answer("POST").expect("an answer");
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
    assert_eq!(sending.join().expect("a thread"), 200, "what comes is read, lest the answer be lost");
}

#[test]
fn who_leaves_is_waited_for_by_no_node() {
    let (node, path) = path();
    let mut http = path.http();
    http.send("GET", "/hang", "").expect("sent");
    wait_for("the request", PATIENCE, || node.seen().len() == 1);
    drop(http);
    wait_for("the node's connection to end", PATIENCE, || node.left() == 1);
}

#[test]
fn a_client_that_reads_slowly_keeps_nobody_waiting() {
    let (_node, path) = path();
    let mut slow = path.http();
    slow.send("GET", "/big", "").expect("sent");
    for _ in 0..100 {
        assert!(path.http().call("GET", "/quick", "").is_ok());
    }
    assert_eq!(slow.answer("GET").expect("an answer").body.len(), 5 << 20);
}

#[test]
fn from_the_end_of_the_process_on_answers_are_the_last_ones() {
    let (_node, path) = path();
    let (mut http, mut idle) = (path.http(), path.http());
    let mut call = move || http.call("GET", "/i", "").expect("an answer").header("connection").map(str::to_owned);
    assert_eq!(call(), None);
    assert!(idle.call("GET", "/i", "").is_ok());
    let leaving = thread::spawn(move || {
        wait_for("a last answer", PATIENCE, || call().as_deref() == Some("close"));
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(path.proxy.shutdown(Duration::from_secs(2)));
    leaving.join().expect("a client that was told to go");
    assert_eq!(rest(&mut idle), "", "an idle connection ends with the grace");
}
