//! Where requests go in each mode of the route, and over a switch.
#![expect(clippy::disallowed_types, reason = "threads of a test, far from the data path")]

use super::common::elastic_path::ElasticPath;
use super::common::mock_node::{MockNode, Reply, ok};
use super::common::{PATIENCE, wait_for};
use super::kind;
use pointsman::model::route::{Mode, Readying};
use pointsman::model::signal::Signal;
use pointsman::model::view::Health;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

fn pair() -> (MockNode, MockNode, ElasticPath) {
    let (a, b) = (MockNode::echo("a"), MockNode::echo("b"));
    let path = ElasticPath::to(&[("a", vec![a.address()]), ("b", vec![b.address()])]);
    (a, b, path)
}

#[test]
fn read_only_refuses_what_changes_something_and_closed_everything() {
    let (a, _b, path) = pair();
    let mut http = path.http();
    assert!(http.call("GET", "/", "").is_ok());
    path.publish(Mode::ReadOnly, "a", None);
    // Until the worker has seen that, writes go through.
    let mut written = 0;
    wait_for("read_only", PATIENCE, || {
        let status = http.call("PUT", "/i/_doc/1", "{}").expect("an answer").status;
        written += usize::from(status == 200);
        status == 403
    });
    for (method, target, body) in [("POST", "/_bulk", "{}\n"), ("DELETE", "/i", ""), ("POST", "/i/_update/1", "{}")] {
        let answer = http.call(method, target, body).expect("an answer");
        assert_eq!((answer.status, kind(&answer).as_str()), (403, "cluster_block_exception"), "{method} {target}");
        assert_eq!(answer.header("x-elastic-product"), Some("Elasticsearch"), "as the node sends it");
    }
    assert_eq!(http.call("POST", "/i/_search", "{}").expect("an answer").text(), "a POST /i/_search {}");
    assert!(http.call("HEAD", "/i/_doc/1", "").is_ok());
    path.publish(Mode::Closed, "a", None);
    wait_for("closed", PATIENCE, || http.call("GET", "/i/_search", "").expect("an answer").status == 503);
    assert_eq!(http.call("HEAD", "/i", "").expect("an answer").status, 503);
    let answer = http.call("GET", "/", "").expect("an answer");
    assert_eq!(answer.header("retry-after"), Some("1"));
    path.publish(Mode::Open, "a", None);
    wait_for("open", PATIENCE, || http.call("PUT", "/i/_doc/1", "{}").expect("an answer").status == 200);
    assert_eq!(a.seen().iter().filter(|asked| asked.method == "PUT").count(), written + 1);
}

#[test]
fn requests_wait_in_a_hold_and_go_to_the_new_cluster() {
    let (a, b, mut path) = pair();
    let (mut first, mut second) = (path.http(), path.http());
    assert_eq!(first.call("GET", "/1", "").expect("an answer").text(), "a GET /1 ");
    path.publish(Mode::Open, "a", Some(("b", Readying::Warm)));
    path.wait_signal(|epoch| Signal::Warm { worker: 0, epoch });
    wait_for("warm connections", PATIENCE, || b.accepted() == 2);
    path.publish(Mode::Hold, "a", Some(("b", Readying::Warm)));
    path.wait_signal(|epoch| Signal::Drained { worker: 0, epoch });
    first.send("PUT", "/i/_doc/1", "{}").expect("sent");
    second.send("GET", "/2", "").expect("sent");
    wait_for("two that wait", PATIENCE, || path.board.sum(|gauge| &gauge.held) == 2);
    path.publish(Mode::Open, "b", None);
    assert_eq!(first.answer("PUT").expect("an answer").text(), "b PUT /i/_doc/1 {}");
    assert_eq!(second.answer("GET").expect("an answer").text(), "b GET /2 ");
    assert_eq!((a.seen().len(), b.accepted()), (1, 2), "on the connections that were warm");
    wait_for("nobody held", PATIENCE, || path.board.sum(|gauge| &gauge.held) == 0);
}

#[test]
fn a_hold_ends_for_requests_with_its_time_and_with_their_client() {
    let (a, b) = (MockNode::echo("a"), MockNode::echo("b"));
    let clusters = [("a", vec![a.address()]), ("b", vec![b.address()])];
    let mut path = ElasticPath::with(&clusters, |service| service.failover.hold_timeout = Duration::from_secs(2));
    path.publish(Mode::Hold, "a", None);
    path.wait_signal(|epoch| Signal::Drained { worker: 0, epoch });
    let (mut http, mut leaver) = (path.http(), path.http());
    http.send("PUT", "/i/_doc/1", "{}").expect("sent");
    leaver.send("PUT", "/i/_doc/2", "{}").expect("sent");
    wait_for("two that wait", PATIENCE, || path.board.sum(|gauge| &gauge.held) == 2);
    drop(leaver);
    wait_for("one that waits", PATIENCE, || path.board.sum(|gauge| &gauge.held) == 1);
    let answer = http.answer("PUT").expect("an answer");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(path.http().call("GET", "/", "").expect("at once").status, 503);
    path.publish(Mode::Open, "b", None);
    wait_for("open", PATIENCE, || http.call("GET", "/", "").expect("an answer").status == 200);
    assert!(a.seen().is_empty() && b.seen().iter().all(|asked| asked.method == "GET"), "nobody's write was sent");
}

#[test]
fn what_is_in_flight_ends_on_the_old_cluster() {
    let (go, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let a = MockNode::start(move |asked| {
        if asked.target == "/slow" {
            // The test lets it go, or has failed.
            let _ = gate.lock().expect("one request").recv();
        }
        ok("a")
    });
    let b = MockNode::echo("b");
    let mut path = ElasticPath::to(&[("a", vec![a.address()]), ("b", vec![b.address()])]);
    let mut slow = path.http();
    slow.send("POST", "/slow", "{}").expect("sent");
    wait_for("the request", PATIENCE, || a.seen().len() == 1);
    path.switch("a", "b");
    wait_for("b", PATIENCE, || path.http().call("GET", "/", "").expect("an answer").text().starts_with('b'));
    go.send(()).expect("a node that waits");
    assert_eq!(slow.answer("POST").expect("an answer").text(), "a");
    assert_eq!(slow.call("GET", "/next", "").expect("an answer").text(), "b GET /next ");
}

#[test]
fn switches_under_load_are_felt_by_nobody() {
    let (a, b, mut path) = pair();
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let (mut http, stop) = (path.http(), Arc::clone(&stop));
            thread::spawn(move || {
                let mut answered = 0;
                while !stop.load(Relaxed) {
                    let answer = http.call("PUT", &format!("/i/_doc/{answered}"), "{}").expect("an answer");
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    for _ in 0..5 {
        path.switch("a", "b");
        path.switch("b", "a");
    }
    stop.store(true, Relaxed);
    let answered: usize = clients.into_iter().map(|client| client.join().expect("no error")).sum();
    assert!(answered > 0);
    assert_eq!(a.seen().len() + b.seen().len(), answered, "each write went to one cluster, once");
}

#[test]
fn nodes_share_the_requests_and_those_that_are_not_up_get_none() {
    let nodes = [MockNode::echo("0"), MockNode::echo("1"), MockNode::start(|_| Reply::Hang)];
    let addresses = nodes.iter().map(MockNode::address).collect();
    let path = ElasticPath::to(&[("a", addresses)]);
    path.judge("a", &[Health::Up, Health::Up, Health::Down]);
    let mut http = path.http();
    wait_for("the probes' news", PATIENCE, || path.board.sum(|gauge| &gauge.clients) == 1);
    (0..20).for_each(|_| assert!(http.call("GET", "/", "").is_ok()));
    assert!(nodes[0].seen().len() >= 5 && nodes[1].seen().len() >= 5 && nodes[2].seen().is_empty());
    path.judge("a", &[Health::Down, Health::Down, Health::Up]);
    wait_for("the third node", PATIENCE, || {
        let mut http = path.http();
        http.limit(Duration::from_millis(50)).expect("a limit");
        http.call("GET", "/", "").is_err() && !nodes[2].seen().is_empty()
    });
    nodes[2].kill();
    assert!(path.http().call("GET", "/", "").is_ok(), "any node, where none is up");
}
