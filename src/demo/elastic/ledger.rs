//! Which acknowledged writes are on which cluster, asked of the clusters themselves, not through Pointsman.

use super::http::Client;
use serde_json::{Value, json};
use std::{cell::RefCell, rc::Rc};

/// How many ids are asked for at once.
const BATCH: usize = 500;

/// One writer's acknowledged ids, in the order of their writes: each was sent when the one before had been acknowledged.
pub(super) type Acknowledged = Rc<RefCell<Vec<String>>>;

/// What became of the acknowledged writes.
#[derive(Default)]
pub(super) struct Audit {
    /// On neither cluster.
    pub(super) lost: u64,
    /// On both.
    pub(super) doubled: u64,
    /// On the old cluster although that writer had already reached the new one, or the other way round.
    pub(super) astray: u64,
    /// On the first and on the second cluster.
    pub(super) held: [u64; 2],
}

impl Audit {
    /// Everything that must not be.
    pub(super) fn wrong(&self) -> u64 {
        self.lost + self.doubled + self.astray
    }
}

/// Looks for every id on both clusters. The route has moved `switches` times, so a writer's ids change the cluster that often at most.
pub(super) async fn audit(clusters: [u16; 2], writers: &[Acknowledged], switches: u64) -> Result<Audit, String> {
    let mut audit = Audit::default();
    for writer in writers {
        let ids = writer.borrow().clone();
        let (main, spare) = (found(clusters[0], &ids).await?, found(clusters[1], &ids).await?);
        let (mut last, mut changes) = (None, 0);
        for place in main.into_iter().zip(spare) {
            match place {
                (false, false) => audit.lost += 1,
                (true, true) => audit.doubled += 1,
                (_, on_spare) => {
                    audit.held[usize::from(on_spare)] += 1;
                    changes += u64::from(last.is_some_and(|last| last != on_spare));
                    last = Some(on_spare);
                }
            }
        }
        audit.astray += changes.saturating_sub(switches);
    }
    Ok(audit)
}

/// Which of the ids a cluster holds; realtime, so that no refresh is needed.
async fn found(port: u16, ids: &[String]) -> Result<Vec<bool>, String> {
    let (mut client, mut found) = (Client::connect(port).await?, Vec::with_capacity(ids.len()));
    for batch in ids.chunks(BATCH) {
        let body = json!({ "ids": batch }).to_string();
        let answer = client.call("POST", "/orders/_mget?_source=false", body).await?.good()?;
        let documents = answer["docs"].as_array().map_or(&[][..], Vec::as_slice);
        if documents.len() != batch.len() || documents.iter().any(|document| document["error"] != Value::Null) {
            return Err(format!("the cluster on port {port} doesn't say which documents it has"));
        }
        found.extend(documents.iter().map(|document| document["found"] == true));
    }
    Ok(found)
}
