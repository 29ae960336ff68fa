//! What no honest client sends.

use super::common::elastic_path::ElasticPath;
use super::common::mock_node::MockNode;
use super::{rest, write};

#[test]
fn what_could_be_read_in_two_ways_is_refused_and_goes_nowhere() {
    let node = MockNode::echo("a");
    let path = ElasticPath::to(&[("a", vec![node.address()])]);
    let long = "x".repeat(9000);
    for (case, status) in [
        ("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), 400),
        ("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde".to_owned(), 400),
        ("POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\nabcde".to_owned(), 400),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\nHost: x\n\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost : x\r\n\r\n".to_owned(), 400),
        ("GET http://other/ HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("CONNECT x:1 HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("get / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400),
        ("\0\0\0\0".to_owned(), 400),
        (format!("GET /{long} HTTP/1.1\r\n\r\n"), 400),
        (format!("GET / HTTP/1.1\r\nA: {long}\r\n\r\n"), 400),
        ("PUT /i/_doc/1 HTTP/1.1\r\nExpect: a miracle\r\nContent-Length: 1\r\n\r\nx".to_owned(), 417),
        ("POST /i/_doc HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n".to_owned(), 400),
        ("POST /_search/scroll HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n".to_owned(), 400),
    ] {
        let mut http = path.http();
        write(&mut http, &case);
        let text = rest(&mut http);
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{case:?}: {text}");
        assert!(text.contains("\r\nConnection: close\r\n") && text.contains("\"root_cause\""), "{case:?}: {text}");
    }
    let seen = node.seen();
    assert!(seen.is_empty(), "{seen:?}");
}

#[test]
fn chunks_that_go_wrong_on_their_way_end_both_connections() {
    let node = MockNode::echo("a");
    let path = ElasticPath::to(&[("a", vec![node.address()])]);
    let mut http = path.http();
    write(&mut http, "POST /i/_doc HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    write(&mut http, "zzz\r\n");
    let text = rest(&mut http);
    assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
    assert!(node.seen().is_empty(), "the node never had a whole request");
    assert!(path.http().call("GET", "/i", "").is_ok());
}

#[test]
fn who_sends_a_head_byte_by_byte_is_told_to_hurry() {
    let node = MockNode::echo("a");
    let path = ElasticPath::to(&[("a", vec![node.address()])]);
    let mut http = path.http();
    write(&mut http, "GET / HTTP/1.1\r\nA");
    let text = rest(&mut http);
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
}
