//! What clients that ask for the nodes are shown: one node, at the address of the listener.
//!
//! Clients that sniff connect from then on to every `http.publish_address` of `/_nodes/http`, round the proxy, and go on writing to
//! the old cluster after a switch.

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value, json, value::RawValue};

/// How long an answer may be that is rewritten, in bytes.
pub const MAX_BODY: usize = 8 << 20;

/// An object whose values aren't read yet: an answer of many nodes needs little more memory than its text.
type Unread<'a> = BTreeMap<String, &'a RawValue>;

/// What is asked of each node.
#[derive(Deserialize)]
struct Node {
    http: Option<IgnoredAny>,
    #[serde(default)]
    roles: Vec<String>,
}

/// Rewrites an answer to `/_nodes/...` so that it shows one node whose addresses are `listener`, as `HOST:PORT`, which holds the roles
/// of all. `None`: the body isn't such an answer (an error, another format than JSON) and is passed as it is.
pub fn collapse(body: &[u8], listener: &str) -> Option<Vec<u8>> {
    let mut answer: Unread<'_> = serde_json::from_slice(body).ok()?;
    let nodes: Unread<'_> = serde_json::from_str(answer.remove("nodes")?.get()).ok()?;
    // Clients leave out nodes without data, or that are masters only.
    let mut roles: Vec<String> = Vec::new();
    let mut shown: Option<(&String, &RawValue, bool)> = None;
    for (id, text) in &nodes {
        let node: Node = serde_json::from_str(text.get()).ok()?;
        roles.extend(node.roles);
        if shown.is_none_or(|(_, _, http)| !http && node.http.is_some()) {
            shown = Some((id, text, node.http.is_some()));
        }
    }
    roles.sort_unstable();
    roles.dedup();
    let (id, text, _) = shown?;
    let mut node: Map<String, Value> = serde_json::from_str(text.get()).ok()?;
    replace(&mut node, listener);
    if let Some(shown) = node.get_mut("roles") {
        *shown = roles.into();
    }
    let mut collapsed = json!({ "nodes": { id: node } });
    for (key, text) in answer {
        collapsed[key.as_str()] = match key.as_str() {
            "_nodes" => json!({"total": 1, "successful": 1, "failed": 0}),
            _ => serde_json::from_str(text.get()).ok()?,
        };
    }
    serde_json::to_vec(&collapsed).ok()
}

fn replace(node: &mut Map<String, Value>, listener: &str) {
    let host = listener.rsplit_once(':').map_or(listener, |(host, _)| host).trim_matches(['[', ']']);
    for key in ["host", "ip"] {
        if let Some(shown) = node.get_mut(key) {
            *shown = host.into();
        }
    }
    if let Some(http) = node.get_mut("http").and_then(Value::as_object_mut) {
        for (key, address) in [("publish_address", json!(listener)), ("bound_address", json!([listener]))] {
            if let Some(shown) = http.get_mut(key) {
                *shown = address;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collapsed(body: &Value) -> Value {
        let written = collapse(body.to_string().as_bytes(), "127.0.0.1:9200").expect("an answer");
        serde_json::from_slice(&written).expect("JSON")
    }

    #[test]
    fn one_node_is_left_at_the_listener() {
        let node = |last: u8, role: &str| {
            json!({"name": format!("n{last}"), "transport_address": format!("10.0.0.{last}:9300"), "host": format!("10.0.0.{last}"),
                "ip": format!("10.0.0.{last}"), "version": "2.19.0", "roles": ["ingest", role],
                "http": {"bound_address": ["[::]:9200"], "publish_address": format!("es{last}/10.0.0.{last}:9200"),
                    "max_content_length_in_bytes": 104_857_600}})
        };
        let answer = json!({"_nodes": {"total": 2, "successful": 2, "failed": 0}, "cluster_name": "logs",
            "nodes": {"a": node(1, "master"), "b": node(2, "data")}});
        let shown = collapsed(&answer);
        assert_eq!(shown["_nodes"], json!({"total": 1, "successful": 1, "failed": 0}));
        assert_eq!(shown["cluster_name"], "logs");
        assert_eq!(shown["nodes"].as_object().map(Map::len), Some(1));
        let node = &shown["nodes"]["a"];
        assert_eq!(node["http"]["publish_address"], "127.0.0.1:9200");
        assert_eq!(node["http"]["bound_address"], json!(["127.0.0.1:9200"]));
        assert_eq!(node["http"]["max_content_length_in_bytes"], 104_857_600);
        assert_eq!((&node["host"], &node["ip"]), (&json!("127.0.0.1"), &json!("127.0.0.1")));
        assert_eq!(node["roles"], json!(["data", "ingest", "master"]));
    }

    #[test]
    fn filtered_answers_are_collapsed_too() {
        let answer =
            json!({"nodes": {"a": {"version": "7.10.2"}, "b": {"http": {"publish_address": "10.0.0.2:9200"}}}});
        assert_eq!(collapsed(&answer), json!({"nodes": {"b": {"http": {"publish_address": "127.0.0.1:9200"}}}}));
        let answer = json!({"nodes": {"a": {"ip": "10.0.0.1"}}});
        assert_eq!(collapsed(&answer), json!({"nodes": {"a": {"ip": "127.0.0.1"}}}));
    }

    #[test]
    fn what_is_no_list_of_nodes_is_left_alone() {
        for body in [
            "",
            "---\nnodes:\n",
            "[]",
            "{}",
            r#"{"nodes":{}}"#,
            r#"{"nodes":[]}"#,
            r#"{"nodes":{"a":1}}"#,
            "{\"nodes\"",
        ] {
            assert_eq!(collapse(body.as_bytes(), "127.0.0.1:9200"), None, "{body}");
        }
    }

    #[test]
    fn an_ipv6_listener_has_no_brackets_as_a_host() {
        let body = br#"{"nodes":{"a":{"ip":"10.0.0.1","http":{"publish_address":"x"}}}}"#;
        let written = collapse(body, "[::1]:9200").expect("an answer");
        let shown: Value = serde_json::from_slice(&written).expect("JSON");
        assert_eq!(
            (&shown["nodes"]["a"]["ip"], &shown["nodes"]["a"]["http"]["publish_address"]),
            (&json!("::1"), &json!("[::1]:9200"))
        );
    }
}
