//! The data path of Elasticsearch and OpenSearch, without control: with nodes that do what the test tells them, and with real servers.

mod common;
#[path = "elastic_path/framing.rs"]
mod framing;
#[path = "elastic_path/hostile.rs"]
mod hostile;
#[path = "elastic_path/lost.rs"]
mod lost;
#[path = "elastic_path/modes.rs"]
mod modes;
#[path = "elastic_path/real.rs"]
mod real;
#[path = "elastic_path/special.rs"]
mod special;
#[path = "elastic_path/tls.rs"]
mod tls;

use common::http::Http;
use std::io::{Read, Write};

/// Writes bytes as they are.
#[track_caller]
fn write(http: &mut Http, bytes: impl AsRef<[u8]>) {
    http.stream().write_all(bytes.as_ref()).expect("a connection that takes bytes");
}

/// Everything until the connection ends.
#[track_caller]
fn rest(http: &mut Http) -> String {
    let mut text = Vec::new();
    http.stream().read_to_end(&mut text).expect("an orderly end");
    String::from_utf8_lossy(&text).into_owned()
}

/// The type of an error in the servers' form.
#[track_caller]
fn kind(answer: &common::http::Answer) -> String {
    let error = answer.json();
    assert_eq!(error["status"], answer.status, "{}", answer.text());
    assert_eq!(error["error"]["root_cause"][0]["type"], error["error"]["type"]);
    error["error"]["type"].as_str().unwrap_or_default().to_owned()
}
