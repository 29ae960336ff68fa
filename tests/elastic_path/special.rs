//! Cursors stay with their cluster, and clients that ask for the nodes are shown the listener.

use super::common::elastic_path::ElasticPath;
use super::common::http::Answer;
use super::common::mock_node::{Asked, MockNode, Reply, chunked, ok};
use super::common::{PATIENCE, wait_for};
use super::{kind, write};
use pointsman::config::Listen;
use pointsman::model::route::Mode;
use pointsman::model::view::Health;
use std::io::Write;
use std::net::SocketAddr;

/// Says which ids it was asked with, in answers of different framing.
fn cursors(name: &'static str) -> MockNode {
    MockNode::start(move |asked| answer(name, asked))
}

fn answer(name: &str, asked: &Asked) -> Reply {
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    let said = format!("{name} {} {}", asked.target, asked.body).replace('"', "'");
    let scroll = format!(r#"{{"_scroll_id":"{name}ID==","said":"{said}","hits":"{}"}}"#, "h".repeat(200_000));
    match path {
        "/i/_search" if query.contains("scroll=") => chunked(&scroll, 70_000),
        "/_search/scroll" if asked.method != "DELETE" => ok(&scroll),
        "/_search" if asked.body.contains("\"pit\"") => ok(&format!(r#"{{"pit_id":"{name}PIT","said":"{said}"}}"#)),
        "/i/_search/point_in_time" => ok(&format!(r#"{{"pit_id":"{name}PIT"}}"#)),
        "/_nodes/http" => chunked(
            r#"{"_nodes":{"total":2},"nodes":{"x":{"http":{"publish_address":"10.0.0.1:9200"}},"y":{"http":{"publish_address":"10.0.0.2:9200"}}}}"#,
            16,
        ),
        _ => ok(&format!(r#"{{"said":"{said}"}}"#)),
    }
}

fn said(answer: &Answer) -> String {
    answer.json()["said"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("a Vec takes everything");
    encoder.finish().expect("a Vec takes everything")
}

#[test]
fn cursors_are_asked_for_where_they_were_opened() {
    let (a, b) = (cursors("a"), cursors("b"));
    let mut path = ElasticPath::to(&[("a", vec![a.address()]), ("b", vec![b.address()])]);
    let mut http = path.http();
    let opened = http.call("POST", "/i/_search?scroll=1m", "{}").expect("an answer").json();
    assert_eq!(opened["_scroll_id"], "pm.a.aID==");
    assert_eq!(opened["hits"].as_str().map(str::len), Some(200_000));
    let pit = http.call("POST", "/i/_search/point_in_time?keep_alive=1m", "").expect("an answer").json();
    assert_eq!(pit["pit_id"], "pm.a.aPIT");
    path.switch("a", "b");
    wait_for("b", PATIENCE, || said(&path.http().call("GET", "/", "").expect("an answer")).starts_with('b'));

    let next = http.call("POST", "/_search/scroll", r#"{"scroll":"1m","scroll_id":"pm.a.aID=="}"#).expect("an answer");
    assert_eq!(said(&next), "a /_search/scroll {'scroll':'1m','scroll_id':'aID=='}");
    assert_eq!(next.json()["_scroll_id"], "pm.a.aID==");
    let next = http.call("GET", "/_search/scroll?scroll=1m&scroll_id=pm.a.aID==", "").expect("an answer");
    assert_eq!(said(&next), "a /_search/scroll?scroll=1m&scroll_id=aID== ");
    let search = http.call("POST", "/_search", r#"{"pit":{"id":"pm.a.aPIT"}}"#).expect("an answer");
    assert_eq!(said(&search), "a /_search {'pit':{'id':'aPIT'}}");
    assert_eq!(search.json()["pit_id"], "pm.a.aPIT");
    let chunks = "POST /_search/scroll HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"scroll_id\":\"pm\r\n9\r\n.a.aID\"} \r\n0\r\n\r\n";
    write(&mut http, chunks);
    assert_eq!(said(&http.answer("POST").expect("an answer")), "a /_search/scroll {'scroll_id':'aID'} ");
    // A client that compresses what it sends: what is read goes on without its coding.
    for (method, path) in [("POST", "/_search/scroll"), ("POST", "/_search")] {
        let zipped = gzip(r#"{"scroll_id":"pm.a.aID==","pit":{"id":"pm.a.aPIT"}}"#);
        let head =
            format!("{method} {path} HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", zipped.len());
        http.stream().write_all(&[head.as_bytes(), &zipped].concat()).expect("a connection");
        let answer = http.answer(method).expect("an answer");
        assert_eq!(said(&answer), format!("a {path} {{'scroll_id':'aID==','pit':{{'id':'aPIT'}}}}"));
    }
    let gone = http.call("DELETE", "/_search/scroll/pm.a.aID==", "").expect("an answer");
    assert_eq!(said(&gone), "a /_search/scroll/aID== ");
    // What has no envelope, and searches without a cursor, go where the route leads.
    let bare = http.call("POST", "/_search/scroll", r#"{"scroll_id":"bID"}"#).expect("an answer");
    assert_eq!(said(&bare), "b /_search/scroll {'scroll_id':'bID'}");
    assert_eq!(said(&http.call("POST", "/_search", r#"{"size":1}"#).expect("an answer")), "b /_search {'size':1}");
}

#[test]
fn cursors_of_nobody_and_of_many_are_refused() {
    let (a, b) = (cursors("a"), cursors("b"));
    let path = ElasticPath::to(&[("a", vec![a.address()]), ("b", vec![b.address()])]);
    let mut http = path.http();
    let mut call = |body: &str| {
        let answer = http.call("DELETE", "/_search/scroll", body).expect("an answer");
        (answer.status, kind(&answer))
    };
    let missing = (404, "search_context_missing_exception".to_owned());
    assert_eq!(call(r#"{"scroll_id":"pm.other.ID"}"#), missing);
    assert_eq!(call(r#"{"scroll_id":["pm.a.ID","pm.b.ID"]}"#), (400, "illegal_argument_exception".to_owned()));
    path.judge("b", &[Health::Down]);
    wait_for("b's death", PATIENCE, || {
        let answer = path.http().call("DELETE", "/_search/scroll", r#"{"scroll_id":"pm.b.ID"}"#).expect("an answer");
        answer.status == 404 && kind(&answer) == missing.1
    });
    let mut http = path.http();
    let zipped = "POST /_search/scroll HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f__x";
    write(&mut http, zipped);
    assert_eq!(http.answer("POST").expect("an answer").status, 415);
    let long = format!(r#"{{"scroll_id":"{}"}}"#, "x".repeat(1 << 20));
    assert_eq!(path.http().call("POST", "/_search/scroll", &long).expect("an answer").status, 413);
    // A search passes whatever its length and coding, if there is no id in it.
    let mut http = path.http();
    write(&mut http, "POST /_search HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nzip!");
    assert_eq!(said(&http.answer("POST").expect("an answer")), "a /_search zip!");
    let long = format!(r#"{{"x":"{}"}}"#, "x".repeat(3 << 20));
    let answer = path.http().call("POST", "/_search", &long).expect("an answer");
    assert_eq!(said(&answer).len(), "a /_search ".len() + long.len());
    path.publish(Mode::ReadOnly, "a", None);
    wait_for("read_only", PATIENCE, || path.http().call("PUT", "/i", "").expect("an answer").status == 403);
    assert!(path.http().call("POST", "/i/_search?scroll=1m", "").expect("an answer").is_good(), "cursors only read");
}

#[test]
fn who_asks_for_the_nodes_is_shown_the_listener() {
    let node = cursors("a");
    let path = ElasticPath::to(&[("a", vec![node.address()])]);
    let shown = path.http().call("GET", "/_nodes/http", "").expect("an answer").good();
    let nodes = shown.json()["nodes"].as_object().cloned().expect("nodes");
    assert_eq!(nodes.len(), 1);
    assert!(nodes.values().all(|node| node["http"]["publish_address"] == path.address().as_str()));
    let head = node.seen().pop().expect("a request").head.to_ascii_lowercase();
    assert!(!head.contains("accept-encoding"), "{head}");
    // A listener on every address says what the client called it.
    let everywhere = ElasticPath::with(&[("a", vec![node.address()])], |service| {
        if let Some(Listen::Tcp(address)) = service.listen.first_mut() {
            *address = SocketAddr::from(([0, 0, 0, 0], address.port()));
        }
    });
    let mut http = everywhere.http();
    write(&mut http, "GET /_nodes/http HTTP/1.1\r\nHost: search.example:9200\r\n\r\n");
    let shown = http.answer("GET").expect("an answer").json();
    assert_eq!(shown["nodes"]["x"]["http"]["publish_address"], "search.example:9200");
}
