//! The probe of one node, and of the cluster's state through one of them.
//!
//! Input: a node, and whether the cluster was asked for its state already. Output: what the node said, always; a failure says what it proves.
//! Whether a node lives is asked for by what it answers by itself: `_cluster/health` is answered by the master, and a master that hangs
//! makes every living node silent. It never changes anything at the node.

use super::{
    client::{Answer, CallError, Connection},
    node::{Node, ProbeState, short},
};
use crate::{config::Require, model::observation::Reach, net::ConnectError};
use serde_json::Value;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// What each node answers from its own memory, in milliseconds, also without a master.
const OWN_VIEW: &str =
    "/_cluster/state/master_node,blocks?local=true&filter_path=cluster_uuid,master_node,blocks.global";
/// The indices that a disk closed: with ten thousand of them blocked for other reasons, still a short answer.
const FLOODED: &str = "/_cluster/state/blocks?local=true&filter_path=blocks.indices.*.12.retryable";
/// The longest answer to a probe's question. Only the list of flooded indices can be long.
const MOST: usize = 1 << 20;
/// What a node calls a cluster that it hasn't found yet.
const NONE_YET: &str = "_na_";
/// The block of a cluster that hasn't read its metadata yet.
const NOT_RECOVERED: &str = "1";
/// The block of a node without a master; `master_node` tells that better.
const NO_MASTER: &str = "2";

/// What a node knows of its cluster by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// The cluster's own id; empty if it has found none.
    pub(super) uuid: String,
    /// Whether it has a master.
    pub(super) master: bool,
    /// Whether the cluster has read its metadata.
    pub(super) recovered: bool,
    /// Why the whole cluster takes no writes, in the server's words.
    pub(super) blocks: Vec<String>,
}

/// What a cluster says of its shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) status: Require,
    /// Why it isn't green, in words; empty if it is.
    pub(super) words: String,
}

/// What came of the probe of one node.
#[derive(Debug)]
pub(super) enum Said {
    /// It lives.
    Lives(View),
    /// It lives, and is too busy to say more (429).
    Busy,
    /// It doesn't answer, or not us. Never [`Reach::Answered`].
    Failed(Reach),
}

/// What one node was asked beside itself.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The cluster's state, or why it can't be told.
    pub(super) status: Option<Result<Status, String>>,
    /// The indices that a full disk closed for writes, if that was asked.
    pub(super) flooded: Option<Vec<String>>,
}

/// What the probe of one node found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) said: Said,
    pub(super) told: Told,
}

/// What the one node that is asked for the cluster is asked.
#[derive(Debug)]
pub(super) struct Questions<'a> {
    /// The path of the cluster's health.
    pub(super) health: &'a str,
    /// Whether flooded indices are asked for.
    pub(super) flooded: bool,
}

/// Probes one node. `claim` is called with its cluster's id when it has a master, and says what it is to be asked beside.
pub(super) async fn probe<'a>(
    node: &Node,
    state: &mut ProbeState,
    claim: impl FnOnce(&str) -> Option<Questions<'a>>,
    deadline: Instant,
) -> Found {
    let (mut connection, said) = match ask(node, state, deadline).await {
        Ok((connection, said)) => (connection, said),
        Err(error) => return Found { said: Said::Failed(reach_of(error)), told: Told::default() },
    };
    let questions = match &said {
        Said::Lives(view) if view.master => claim(&view.uuid),
        _ => None,
    };
    let mut told = Told::default();
    if let Some(questions) = questions {
        if questions.flooded {
            told.flooded = flooded(node, &mut connection, deadline).await;
        }
        let health = connection.get(&node.login, questions.health, MOST, deadline).await;
        let silent = health.is_err();
        told.status = Some(match health {
            Ok(answer) => status(&answer),
            Err(CallError::Silent) => Err("its master gives no answer".into()),
            Err(error) => Err(error.to_string()),
        });
        if silent {
            return Found { said, told };
        }
    }
    state.kept = Some(connection);
    Found { said, told }
}

/// Asks on the kept connection, on a new one where that broke. One that is silent is given up.
async fn ask(node: &Node, state: &mut ProbeState, deadline: Instant) -> Result<(Connection, Said), CallError> {
    if let Some(mut kept) = state.kept.take() {
        match kept.get(&node.login, OWN_VIEW, MOST, deadline).await {
            Err(CallError::Reset | CallError::Closed) => {}
            answer => return Ok((kept, said(&answer?))),
        }
    }
    let mut fresh = Connection::open(&node.endpoint, deadline).await?;
    let root = fresh.get(&node.login, "/", MOST, deadline).await?;
    state.version = version(&root);
    let answer = fresh.get(&node.login, OWN_VIEW, MOST, deadline).await?;
    Ok((fresh, said(&answer)))
}

fn reach_of(error: CallError) -> Reach {
    match error {
        CallError::Connect(ConnectError::Refused) | CallError::Reset => Reach::Refused,
        CallError::Connect(ConnectError::Silent) | CallError::Silent => Reach::Silent,
        CallError::Connect(error @ ConnectError::Tls(_)) => Reach::Rejected(error.to_string()),
        CallError::Connect(error) => Reach::Unreachable(error.to_string()),
        error @ (CallError::Closed | CallError::Alien(_)) => Reach::Rejected(error.to_string()),
    }
}

fn said(answer: &Answer) -> Said {
    match (answer.status, answer.json()) {
        (429, _) => Said::Busy,
        (200, Ok(body)) => match view(&body) {
            Some(view) => Said::Lives(view),
            None => Said::Failed(Reach::Rejected("not a node of Elasticsearch or OpenSearch".into())),
        },
        (200, Err(error)) => Said::Failed(Reach::Rejected(error.to_string())),
        (401 | 403, _) => Said::Failed(Reach::Rejected(format!("our login is refused: {}", answer.refusal()))),
        _ => Said::Failed(Reach::Rejected(format!("GET {}: {}", short(OWN_VIEW), answer.refusal()))),
    }
}

/// The answer to [`OWN_VIEW`].
fn view(body: &Value) -> Option<View> {
    let uuid = body["cluster_uuid"].as_str()?;
    let empty = serde_json::Map::new();
    let global = body["blocks"]["global"].as_object().unwrap_or(&empty);
    let why = |block: &Value| block["description"].as_str().unwrap_or("blocked").to_owned();
    let own = [NOT_RECOVERED, NO_MASTER];
    Some(View {
        uuid: if uuid == NONE_YET { String::new() } else { uuid.to_owned() },
        master: body["master_node"].is_string(),
        recovered: !global.contains_key(NOT_RECOVERED),
        blocks: global.iter().filter(|(id, _)| !own.contains(&id.as_str())).map(|(_, block)| why(block)).collect(),
    })
}

/// `2.19.1` with its flavour where that isn't Elasticsearch; empty where the node doesn't tell.
fn version(root: &Answer) -> String {
    let body = root.json().unwrap_or_default();
    let number = body["version"]["number"].as_str().unwrap_or_default();
    match body["version"]["distribution"].as_str() {
        Some(flavour) => format!("{flavour} {number}"),
        None => number.to_owned(),
    }
}

/// The cluster's health; also with 408, which says that a named index doesn't exist.
fn status(answer: &Answer) -> Result<Status, String> {
    let body = answer.json().unwrap_or_default();
    let status = match body["status"].as_str() {
        Some("green") => Require::Green,
        Some("yellow") => Require::Yellow,
        Some("red") => Require::Red,
        _ => return Err(answer.refusal()),
    };
    let unassigned = body["unassigned_shards"].as_u64().unwrap_or(0);
    let words = match status {
        Require::Green => String::new(),
        Require::Red if answer.status == 408 && unassigned == 0 => "red: a required index doesn't exist".into(),
        Require::Red => format!("red: {unassigned} shards are unassigned, primaries among them"),
        Require::Yellow => format!("yellow: {unassigned} shards are unassigned"),
    };
    Ok(Status { status, words })
}

async fn flooded(node: &Node, connection: &mut Connection, deadline: Instant) -> Option<Vec<String>> {
    let answer =
        connection.get(&node.login, FLOODED, MOST, deadline).await.ok().filter(|answer| answer.status == 200)?;
    let body: BTreeMap<String, Value> = serde_json::from_slice(&answer.body).ok()?;
    let indices = body.get("blocks").and_then(|blocks| blocks["indices"].as_object());
    Some(indices.into_iter().flat_map(|indices| indices.keys().cloned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: Bytes::from(body.to_owned()) }
    }

    #[test]
    fn a_node_that_never_found_a_master_lives_and_has_none() {
        let body = r#"{"cluster_uuid":"_na_","blocks":{"global":{"1":{"description":"state not recovered / initialized"},
            "2":{"description":"no master"}}}}"#;
        let Said::Lives(view) = said(&answer(200, body)) else { panic!("it lives") };
        assert_eq!(view, View { uuid: String::new(), master: false, recovered: false, blocks: vec![] });
    }

    #[test]
    fn a_read_only_cluster_says_so() {
        let body = r#"{"cluster_uuid":"u","master_node":"m","blocks":{"global":{"6":{"description":"cluster read-only (api)"}}}}"#;
        let Said::Lives(view) = said(&answer(200, body)) else { panic!("it lives") };
        assert_eq!(view.blocks, ["cluster read-only (api)"]);
        assert!(view.master && view.recovered);
    }

    #[test]
    fn overload_is_life_and_a_refused_login_is_none_of_ours() {
        assert!(matches!(said(&answer(429, "{}")), Said::Busy));
        let Said::Failed(Reach::Rejected(why)) = said(&answer(401, r#"{"error":"Unauthorized"}"#)) else { panic!() };
        assert_eq!(why, "our login is refused: HTTP 401 Unauthorized");
        assert!(matches!(said(&answer(200, "{}")), Said::Failed(Reach::Rejected(_))));
        assert!(matches!(said(&answer(503, "<html>no server</html>")), Said::Failed(Reach::Rejected(_))));
    }

    #[test]
    fn a_missing_index_is_red_and_no_master_is_no_status() {
        let body = r#"{"status":"red","timed_out":true,"unassigned_shards":0}"#;
        assert_eq!(status(&answer(408, body)).unwrap().words, "red: a required index doesn't exist");
        let body = r#"{"status":"yellow","timed_out":false,"unassigned_shards":3}"#;
        assert_eq!(status(&answer(200, body)).unwrap().words, "yellow: 3 shards are unassigned");
        let body = r#"{"error":{"type":"master_not_discovered_exception","reason":null},"status":503}"#;
        assert_eq!(status(&answer(503, body)).unwrap_err(), "HTTP 503 master_not_discovered_exception");
    }

    #[test]
    fn what_a_failed_call_proves() {
        assert_eq!(reach_of(CallError::Reset), Reach::Refused);
        assert_eq!(reach_of(CallError::Silent), Reach::Silent);
        assert!(matches!(reach_of(CallError::Connect(ConnectError::TimedOut)), Reach::Unreachable(_)));
        assert!(matches!(reach_of(CallError::Closed), Reach::Rejected(_)));
    }
}
