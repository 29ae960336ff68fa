//! Nodes that refuse, die, hang, or answer nonsense: what is asked again, and what clients are told.

use super::common::elastic_path::ElasticPath;
use super::common::mock_node::{MockNode, Reply, ok};
use super::common::{PATIENCE, wait_for};
use super::{kind, rest, write};
use pointsman::model::route::Mode;
use pointsman::model::signal::Signal;
use pointsman::model::view::Health;
use pointsman::proxy::Outcome;
use std::net::TcpListener;
use std::time::Duration;

fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

/// A node that closes its connection instead of answering.
fn closing() -> MockNode {
    MockNode::start(|_| Reply::Last(Vec::new()))
}

#[test]
fn a_node_that_refuses_is_left_out_and_said() {
    let (node, gone) = (MockNode::echo("b"), dead());
    let mut path = ElasticPath::to(&[("a", vec![gone.clone(), node.address()])]);
    let mut http = path.http();
    for n in 0..50 {
        let answer = http.call("POST", "/_bulk", "{}\n").expect("an answer");
        assert_eq!(answer.text(), "b POST /_bulk {}\n", "{n}");
    }
    path.wait_signal(|_| Signal::Refused(gone.as_str().into()));
}

#[test]
fn lost_answers_are_asked_again_only_where_twice_is_once() {
    let (bad, good) = (closing(), MockNode::echo("good"));
    // The first node gets the first request of each connection: it is the one that takes its turn.
    let path = ElasticPath::to(&[("a", vec![bad.address(), good.address()])]);
    let mut http = path.http();
    let (mut unknown, mut answered) = (0, 0);
    for (method, target, once) in [
        ("GET", "/i/_doc/1", false),
        ("POST", "/i/_search", false),
        ("POST", "/_msearch", false),
        ("PUT", "/i/_doc/1", false),
        ("DELETE", "/i/_doc/1", false),
        ("PUT", "/i/_doc/1?op_type=create", true),
        ("PUT", "/i/_doc/1?if_seq_no=1&if_primary_term=1", true),
        ("POST", "/i/_doc", true),
        ("POST", "/_bulk", true),
        ("POST", "/i/_update/1", true),
        ("POST", "/i/_delete_by_query", true),
        ("POST", "/i/_search?scroll=1m", true),
    ] {
        // Each of the two nodes is asked first at some time.
        for _ in 0..4 {
            let answer = http.call(method, target, "{}").expect("an answer");
            if answer.status == 500 {
                assert_eq!(kind(&answer), "outcome_unknown_exception");
                assert!(once, "{method} {target} may be asked again");
                unknown += 1;
            } else {
                assert_eq!(answer.status, 200, "{method} {target}: {}", answer.text());
                answered += 1;
            }
        }
    }
    let tried = bad.seen().len();
    assert!(unknown > 0 && tried > unknown, "{unknown} unknown of {tried} at the bad node, {answered} answered");
    let counters = path.counters();
    let counted = |outcome| counters.commands[outcome as usize];
    assert_eq!(counted(Outcome::Unknown), unknown as u64);
    assert_eq!(counted(Outcome::Retried), (tried - unknown) as u64);
    assert_eq!(counters.requests.iter().map(|class| class[Outcome::Unknown as usize]).sum::<u64>(), unknown as u64);
}

#[test]
fn half_an_answer_is_never_made_whole() {
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all";
    let node = MockNode::start(|_| Reply::Last(bytes.to_vec()));
    let path = ElasticPath::to(&[("a", vec![node.address()])]);
    let mut http = path.http();
    write(&mut http, "GET /i/_doc/1 HTTP/1.1\r\n\r\n");
    assert!(rest(&mut http).ends_with("\r\n\r\nnot all"));
    let nonsense = MockNode::start(|_| Reply::Bytes(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec()));
    let path = ElasticPath::to(&[("a", vec![nonsense.address()])]);
    assert_eq!(path.http().call("POST", "/_bulk", "{}\n").expect("an answer").status, 500);
}

#[test]
fn an_unreachable_cluster_is_waited_for_until_another_is_routed() {
    let b = MockNode::echo("b");
    let clusters = [("a", vec![dead(), dead()]), ("b", vec![b.address()])];
    let path = ElasticPath::with(&clusters, |service| service.failover.hold_timeout = Duration::from_secs(3));
    let mut http = path.http();
    http.send("POST", "/_bulk", "{}\n").expect("sent");
    let mut second = path.http();
    second.limit(Duration::from_millis(300)).expect("a limit");
    assert!(second.call("GET", "/", "").is_err(), "it waits");
    path.publish(Mode::Open, "b", None);
    assert_eq!(http.answer("POST").expect("an answer").text(), "b POST /_bulk {}\n");
    path.publish(Mode::Open, "a", None);
    wait_for("the end of patience", PATIENCE, || {
        let answer = path.http().call("POST", "/_bulk", "{}\n").expect("an answer");
        answer.status == 503 && kind(&answer) == "no_node_available_exception"
    });
    assert_eq!(path.http().call("GET", "/", "").expect("at once").status, 503);
}

#[test]
fn reads_leave_a_node_that_hangs_and_writes_are_given_up_when_it_is_gone() {
    let (hung, good) = (MockNode::start(|_| Reply::Hang), MockNode::echo("good"));
    let clusters = [("a", vec![hung.address(), good.address()])];
    let path = ElasticPath::with(&clusters, |service| service.health.hang_window = Duration::from_secs(1));
    path.judge("a", &[Health::Up, Health::Unknown]);
    let hangs = |many| wait_for("hanging requests", PATIENCE, || hung.seen().len() == many);
    let (mut read, mut write) = (path.http(), path.http());
    // What the probes found reaches the worker with the first of these, or a moment later.
    wait_for("requests at the hanging node", PATIENCE, || {
        let mut first = path.http();
        first.limit(Duration::from_millis(50)).expect("a limit");
        first.call("GET", "/", "").is_err()
    });
    let before = hung.seen().len();
    read.send("GET", "/i/_search", "").expect("sent");
    write.send("POST", "/_bulk", "{}\n").expect("sent");
    hangs(before + 2);
    path.judge("a", &[Health::Down, Health::Up]);
    assert_eq!(read.answer("GET").expect("an answer").text(), "good GET /i/_search ");
    let answer = write.answer("POST").expect("an answer");
    assert_eq!((answer.status, kind(&answer).as_str()), (500, "outcome_unknown_exception"));
    assert!(good.seen().iter().all(|asked| asked.method == "GET"));
}

#[test]
fn a_write_that_may_have_been_executed_is_not_said_to_be_refused() {
    let (a, b) = (MockNode::start(|_| Reply::Hang), MockNode::echo("b"));
    let path = ElasticPath::to(&[("a", vec![a.address()]), ("b", vec![b.address()])]);
    let mut http = path.http();
    http.send("PUT", "/i/_doc/1", "{}").expect("sent");
    wait_for("the request", PATIENCE, || a.seen().len() == 1);
    path.publish(Mode::Hold, "a", None);
    a.kill();
    path.publish(Mode::ReadOnly, "b", None);
    let answer = http.answer("PUT").expect("an answer");
    assert_eq!((answer.status, kind(&answer).as_str()), (500, "outcome_unknown_exception"));
    assert_eq!(http.call("PUT", "/i/_doc/1", "{}").expect("an answer").status, 403);
    assert!(b.seen().is_empty());
}

#[test]
fn a_kept_connection_that_was_closed_is_no_trouble() {
    let node = MockNode::echo("a");
    let path = ElasticPath::to(&[("a", vec![node.address()])]);
    assert!(path.http().call("GET", "/", "").is_ok());
    let address = node.address();
    node.kill();
    // The same port again: what was kept is dead, what is new is not.
    let listener = TcpListener::bind(&address).expect("its port");
    let answer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let Reply::Bytes(bytes) = ok("new") else { unreachable!() };
        let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
        std::io::Write::write_all(&mut stream, &bytes).expect("a reader");
    });
    assert_eq!(path.http().call("POST", "/_bulk", "{}\n").expect("an answer").text(), "new");
    answer.join().expect("a connection came");
}
