//! TLS towards applications and towards nodes.

use super::common::certificates::Certificates;
use super::common::elastic_path::ElasticPath;
use super::common::mock_node::{MockNode, ok};
use super::common::{PATIENCE, wait_for};
use pointsman::config::{ListenerTls, NodeTls};
use std::thread;

/// One Pointsman speaks TLS to another, which speaks plain HTTP to the node.
#[test]
fn requests_pass_over_tls_on_both_sides() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = Certificates::write(folder.path());
    let node = MockNode::start(|asked| match asked.target.as_str() {
        "/big" => ok(&"x".repeat(5 << 20)),
        _ => ok(&format!("{} {} {}", asked.method, asked.target, asked.body.len())),
    });
    let inner = ElasticPath::with(&[("a", vec![node.address()])], |service| {
        service.tls =
            Some(ListenerTls { certificate: files.server.clone(), key: files.server_key.clone(), client_ca: None });
    });
    let outer = ElasticPath::with(&[("a", vec![inner.address()])], |service| {
        service.node_tls = Some(NodeTls { ca: files.ca.clone(), identity: None, server_name: None });
    });
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut http = outer.http();
            thread::spawn(move || {
                for n in 0..20 {
                    let text = http.call("GET", &format!("/i/_doc/{n}"), "").expect("an answer").text();
                    assert_eq!(text, format!("GET /i/_doc/{n} 0"));
                }
                let body = "y".repeat(3 << 20);
                assert_eq!(
                    http.call("POST", "/_bulk", &body).expect("an answer").text(),
                    format!("POST /_bulk {}", 3 << 20)
                );
                assert_eq!(http.call("GET", "/big", "").expect("an answer").body.len(), 5 << 20);
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().expect("no error"));
    assert!(node.accepted() <= 8, "connections are kept");
    let plain = inner.http().call("GET", "/", "");
    assert!(plain.is_err(), "no plain HTTP where TLS is spoken");
    let mut leaver = outer.http();
    leaver.send("GET", "/i", "").expect("sent");
    drop(leaver);
    wait_for("no session", PATIENCE, || outer.board.sum(|gauge| &gauge.clients) == 0);
}
