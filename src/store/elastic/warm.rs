//! Keeps a cluster that serves nobody warm: a Java server compiles and loads what a request needs when the first one comes, which applications
//! would otherwise feel right after a switch.
//!
//! Input: a cluster and its indices with their numbers of documents. Output: nothing; what can't be asked isn't. It reads one document at most a
//! question, asks a few questions a minute, and never changes anything.

use super::{cluster::Cluster, node::Node};
use futures_util::future::join_all;
use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed};

/// How often each question is asked at a time: the first one loads, the next ones are what applications would feel.
const ROUNDS: usize = 3;
/// The longest answer that is read, in bytes.
const MOST: usize = 64 << 10;

/// Asks every node that is up what applications ask: searches, and a document by its id.
pub(super) async fn keep_warm(cluster: &Cluster, counts: &BTreeMap<String, u64>) {
    let Some(index) = smallest(counts) else { return };
    let questions = [
        format!("/{index}/_search?q=pointsman&size=1&terminate_after=1&timeout=100ms&_source=false"),
        format!("/{index}/_search?size=1&sort=_doc&terminate_after=1&timeout=100ms&_source=false"),
        format!("/{index}/_doc/pointsman-is-not-there?_source=false"),
    ];
    let nodes = cluster.nodes.iter().filter(|node| node.usable.load(Relaxed) && node.may_search.load(Relaxed));
    join_all(nodes.map(|node| ask(node, &questions))).await;
}

/// Stops at the first trouble: a node that is slow or overloaded isn't given more to do, one that forbids it isn't asked again.
async fn ask(node: &Node, questions: &[String]) {
    for path in (0..ROUNDS).flat_map(|_| questions) {
        match node.get(path, MOST).await {
            Ok(answer) if answer.status == 401 || answer.status == 403 => return node.may_search.store(false, Relaxed),
            Ok(answer) if matches!(answer.status, 200 | 404) => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// The index with the fewest documents, of those that have any; its name needs no escaping, since servers allow none that would.
fn smallest(counts: &BTreeMap<String, u64>) -> Option<&str> {
    let filled = counts.iter().filter(|(_, documents)| **documents > 0);
    filled.min_by_key(|(_, documents)| **documents).map(|(index, _)| index.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_index_that_has_documents_is_asked() {
        let counts = [("big", 900), ("empty", 0), ("small", 3)].map(|(name, count)| (name.to_owned(), count));
        assert_eq!(smallest(&BTreeMap::from(counts)), Some("small"));
        assert_eq!(smallest(&BTreeMap::from([("empty".to_owned(), 0)])), None);
    }
}
