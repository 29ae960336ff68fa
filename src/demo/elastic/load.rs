//! The load: indexers, bulks, searchers, and scrolls that last longer than a switch. None of them reconnects unless it was told to, or
//! tries again, so whatever an application would feel is counted.

use super::{
    CATALOG, GROUPS,
    http::Client,
    ledger::{Acknowledged, audit},
};
use crate::demo::{scene::Scene, tally::Tally};
use serde_json::Value;
use std::{cell::Cell, fmt::Write as _, rc::Rc, time::Duration};
use tokio::task::JoinSet;

/// How many clients index one document at a time.
const INDEXERS: usize = 4;
/// How many clients send bulks.
const BULKS: usize = 2;
/// How many documents a bulk holds.
const BULK: usize = 20;
/// How many clients search.
const SEARCHERS: usize = 4;
/// How many clients scroll.
const SCROLLS: usize = 2;
/// From one request of a client to its next.
const PACE: Duration = Duration::from_millis(10);
/// From one page of a scroll to the next.
const READING: Duration = Duration::from_millis(150);

/// What every client has.
#[derive(Clone)]
struct Common {
    tally: Rc<Tally>,
    stop: Rc<Cell<bool>>,
    searches: Rc<Cell<u64>>,
    scrolls: Rc<Cell<u64>>,
}

/// The running load.
pub(super) struct Load {
    clusters: [u16; 2],
    common: Common,
    writers: Vec<Acknowledged>,
    clients: JoinSet<()>,
}

impl Load {
    /// Connects every client and starts them. Must run inside a `LocalSet`.
    pub(super) async fn start(scene: &Scene, tally: &Rc<Tally>) -> Result<Self, String> {
        let common =
            Common { tally: tally.clone(), stop: Rc::default(), searches: Rc::default(), scrolls: Rc::default() };
        let writers = (0..INDEXERS + BULKS).map(|_| Acknowledged::default()).collect();
        let mut load = Self { clusters: scene.servers, common, writers, clients: JoinSet::new() };
        for writer in 0..INDEXERS + BULKS {
            let client = Client::connect(scene.port).await?;
            let (acknowledged, common) = (load.writers[writer].clone(), load.common.clone());
            if writer < INDEXERS {
                load.spawn("indexer", index(client, writer, acknowledged, common));
            } else {
                load.spawn("bulk", bulk(client, writer, acknowledged, common));
            }
        }
        for searcher in 0..SEARCHERS {
            load.spawn("searcher", search(Client::connect(scene.port).await?, searcher, load.common.clone()));
        }
        for _ in 0..SCROLLS {
            load.spawn("scroll", scroll(Client::connect(scene.port).await?, load.common.clone()));
        }
        Ok(load)
    }

    /// How many clients there are.
    pub(super) fn clients(&self) -> usize {
        self.clients.len()
    }

    fn spawn(&mut self, who: &'static str, work: impl Future<Output = Result<(), String>> + 'static) {
        let tally = self.common.tally.clone();
        self.clients.spawn_local(async move {
            if let Err(error) = work.await {
                tally.failed(who, &error);
            }
        });
    }

    /// How many acknowledged writes are on no cluster, on both, or on the wrong one, after so many switches; and what else was wrong.
    pub(super) async fn lost(&self, switches: u64) -> Result<u64, String> {
        let audit = audit(self.clusters, &self.writers, switches).await?;
        let (lost, doubled, astray) = (audit.lost, audit.doubled, audit.astray);
        if audit.wrong() > 0 {
            say!(
                "     of the acknowledged writes {lost} are on no cluster, {doubled} on both, {astray} on the wrong one"
            );
        }
        Ok(audit.wrong() + self.common.tally.wrong.get())
    }

    /// Lets every client finish what it is at.
    pub(super) async fn stop(&mut self) {
        self.common.stop.set(true);
        while let Some(ended) = self.clients.join_next().await {
            if let Err(error) = ended {
                self.common.tally.failed("a client", &error);
            }
        }
    }

    /// In words, for the end.
    pub(super) fn summary(&self) -> String {
        let written: usize = self.writers.iter().map(|ids| ids.borrow().len()).sum();
        let (searches, scrolls) = (self.common.searches.get(), self.common.scrolls.get());
        format!("{written} documents indexed, {searches} searches, {scrolls} scrolls to their end")
    }
}

/// Indexes one document after the other. One that was there already was written twice.
async fn index(mut client: Client, writer: usize, acknowledged: Acknowledged, common: Common) -> Result<(), String> {
    for number in 0_u64.. {
        if common.stop.get() {
            break;
        }
        let id = format!("{writer}-{number}");
        let answer = client.call("PUT", &format!("/orders/_doc/{id}"), "{\"state\":\"open\"}").await?;
        common.tally.answered(answer.took);
        if answer.good()?["result"] != "created" {
            common.tally.wrong("indexer", 1, &format!("{id} was there already"));
        }
        acknowledged.borrow_mut().push(id);
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}

/// Sends bulks and looks at each item.
async fn bulk(mut client: Client, writer: usize, acknowledged: Acknowledged, common: Common) -> Result<(), String> {
    for number in 0_u64.. {
        if common.stop.get() {
            break;
        }
        let ids: Vec<String> = (0..BULK).map(|item| format!("{writer}-{number}-{item}")).collect();
        let mut body = String::new();
        for id in &ids {
            // Writing to a string doesn't fail.
            let _ = writeln!(body, "{{\"index\":{{\"_index\":\"orders\",\"_id\":\"{id}\"}}}}\n{{\"state\":\"open\"}}");
        }
        let answer = client.call("POST", "/_bulk", body).await?;
        common.tally.answered(answer.took);
        let answer = answer.good()?;
        let created =
            answer["items"].as_array().into_iter().flatten().filter(|item| item["index"]["status"] == 201).count();
        if created != BULK {
            common.tally.wrong("bulk", (BULK - created.min(BULK)) as u64, "items that were there already");
        }
        acknowledged.borrow_mut().extend(ids);
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}

/// Searches what both clusters hold.
async fn search(mut client: Client, searcher: usize, common: Common) -> Result<(), String> {
    let group = searcher % GROUPS;
    let body = format!("{{\"size\":3,\"track_total_hits\":true,\"query\":{{\"term\":{{\"group\":{group}}}}}}}");
    while !common.stop.get() {
        let answer = client.call("POST", "/catalog/_search", body.clone()).await?;
        common.tally.answered(answer.took);
        let found = answer.good()?["hits"]["total"]["value"].as_u64();
        if found != Some((CATALOG / GROUPS) as u64) {
            common.tally.wrong("searcher", 1, &format!("found {found:?} documents of {}", CATALOG / GROUPS));
        }
        common.searches.set(common.searches.get() + 1);
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}

/// Reads everything, page by page, so slowly that switches fall in between.
async fn scroll(mut client: Client, common: Common) -> Result<(), String> {
    while !common.stop.get() {
        let (mut path, mut body) = ("/catalog/_search?scroll=1m", "{\"size\":100,\"sort\":[\"_doc\"]}".to_owned());
        let mut read = 0;
        loop {
            let answer = client.call("POST", path, body).await?;
            common.tally.answered(answer.took);
            let page = answer.good()?;
            let hits = page["hits"]["hits"].as_array().map_or(0, Vec::len);
            let id = page["_scroll_id"].as_str().unwrap_or_default();
            body = serde_json::json!({ "scroll": "1m", "scroll_id": id }).to_string();
            if hits == 0 {
                clear(&mut client, id).await?;
                break;
            }
            read += hits;
            path = "/_search/scroll";
            tokio::time::sleep(READING).await;
        }
        if read != CATALOG {
            common.tally.wrong("scroll", read.abs_diff(CATALOG) as u64, &format!("read {read} documents of {CATALOG}"));
        }
        common.scrolls.set(common.scrolls.get() + 1);
    }
    Ok(())
}

async fn clear(client: &mut Client, id: &str) -> Result<(), String> {
    let answer = client.call("DELETE", "/_search/scroll", serde_json::json!({ "scroll_id": id }).to_string()).await?;
    match answer.good()? {
        Value::Null => Err("a scroll was cleared without a word".into()),
        _ => Ok(()),
    }
}
