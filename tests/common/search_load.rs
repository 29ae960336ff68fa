//! Applications of a search service, each on a connection that it keeps, and what they felt. They never repeat a request. After an error they
//! connect again and go on, so that one fault is counted once.

use super::http::{Answer, Http};
use super::search_server::SearchCluster;
use super::search_service::CATALOG;
use super::{PATIENCE, wait_for};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// From one request of an application to its next.
const PACE: Duration = Duration::from_millis(5);
/// Documents of one bulk.
const BULK: usize = 10;

/// What an application does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Indexes one document after the other, each with an id of its own.
    Index,
    /// Sends bulks and looks at each item.
    Bulk,
    /// Searches the catalogue, whose answer is known.
    Search,
    /// Reads one document of the catalogue after the other.
    Get,
    /// Reads the whole catalogue by scrolls, slowly.
    Scroll,
}

/// An acknowledged write.
#[derive(Clone, Debug)]
pub struct Write {
    /// The id of its document in `orders`.
    pub id: String,
    /// When its request was sent.
    pub sent: Instant,
    /// When it was acknowledged.
    pub acknowledged: Instant,
}

/// What went wrong, for whom and when.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Whose.
    pub role: Role,
    /// When its request was sent.
    pub sent: Instant,
    /// When it failed.
    pub seen: Instant,
    /// In words.
    pub words: String,
}

/// What all applications felt.
#[derive(Default, Debug)]
pub struct Felt {
    /// Each writer's acknowledged writes, in their order.
    pub writes: Vec<Vec<Write>>,
    /// Everything that wasn't a whole, good and right answer.
    pub faults: Vec<Fault>,
    /// The requests that were answered well.
    pub good: u64,
    /// The longest of them, and when it was sent.
    pub longest: Duration,
    /// When searches and gets were answered well: (sent, answered).
    pub reads: Vec<(Instant, Instant)>,
    /// Scrolls read to their end.
    pub scrolls: u64,
}

/// The running applications; dropped, they stop.
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Felt>>,
}

impl Load {
    /// Starts so many of each role.
    pub fn start(address: &str, roles: &[(Role, usize)]) -> Self {
        let mut load = Self { stop: Arc::default(), done: Arc::default(), threads: Vec::new() };
        let all = roles.iter().flat_map(|(role, count)| std::iter::repeat_n(*role, *count));
        for (number, role) in all.enumerate() {
            let (stop, done) = (load.stop.clone(), load.done.clone());
            let mut app = App {
                role,
                number,
                address: address.to_owned(),
                http: None,
                felt: Felt::default(),
                sent: Instant::now(),
            };
            load.threads.push(std::thread::spawn(move || {
                app.felt.writes.push(Vec::new());
                for turn in 0_u64.. {
                    if stop.load(Relaxed) {
                        break;
                    }
                    let before = app.felt.good;
                    if let Err(words) = app.turn(turn) {
                        app.felt.faults.push(Fault { role, sent: app.sent, seen: Instant::now(), words });
                        app.http = None;
                    }
                    done.fetch_add(app.felt.good - before, Relaxed);
                    std::thread::park_timeout(PACE);
                }
                app.felt
            }));
        }
        load
    }

    /// Waits until so many more requests were answered well.
    #[track_caller]
    pub fn progress(&self, more: u64) {
        let goal = self.done.load(Relaxed) + more;
        wait_for("the applications go on", PATIENCE, || self.done.load(Relaxed) >= goal);
    }

    /// Stops them; what all of them felt.
    pub fn finish(mut self) -> Felt {
        self.stop.store(true, Relaxed);
        let mut all = Felt::default();
        for thread in self.threads.drain(..) {
            let one = thread.join().expect("an application doesn't panic");
            all.writes.extend(one.writes.into_iter().filter(|writes| !writes.is_empty()));
            all.faults.extend(one.faults);
            all.reads.extend(one.reads);
            all.good += one.good;
            all.scrolls += one.scrolls;
            all.longest = all.longest.max(one.longest);
        }
        all.faults.sort_by_key(|fault| fault.seen);
        all
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

struct App {
    role: Role,
    number: usize,
    address: String,
    http: Option<Http>,
    felt: Felt,
    sent: Instant,
}

impl App {
    fn turn(&mut self, turn: u64) -> Result<(), String> {
        match self.role {
            Role::Index => self.index(turn),
            Role::Bulk => self.bulk(turn),
            Role::Search => self.search(),
            Role::Get => self.get(turn),
            Role::Scroll => self.scroll(),
        }
    }

    /// One request that must be answered well: 2xx, no shard failed, no item failed.
    fn call(&mut self, method: &str, path: &str, body: &str) -> Result<Value, String> {
        self.sent = Instant::now();
        let mut http = match self.http.take() {
            Some(http) => http,
            None => Http::connect(&self.address).map_err(|error| format!("connecting: {error}"))?,
        };
        let answer: Answer = http.call(method, path, body).map_err(|error| format!("{method} {path}: {error}"))?;
        let took = self.sent.elapsed();
        // Whoever announces the end of a connection may end it.
        if !answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            self.http = Some(http);
        }
        let json = answer.json();
        let whole =
            json["_shards"]["failed"].as_u64().unwrap_or(0) == 0 && json["errors"] != true && json["timed_out"] != true;
        if !answer.is_good() || !whole {
            let text: String = answer.text().chars().take(300).collect();
            return Err(format!("{method} {path}: {} {text}", answer.status));
        }
        self.felt.good += 1;
        self.felt.longest = self.felt.longest.max(took);
        if matches!(self.role, Role::Search | Role::Get) {
            self.felt.reads.push((self.sent, Instant::now()));
        }
        Ok(json)
    }

    fn acknowledged(&mut self, ids: impl IntoIterator<Item = String>) {
        let (sent, acknowledged) = (self.sent, Instant::now());
        let writes = ids.into_iter().map(|id| Write { id, sent, acknowledged });
        self.felt.writes[0].extend(writes);
    }

    fn index(&mut self, turn: u64) -> Result<(), String> {
        let id = format!("{}-{turn}", self.number);
        self.call("PUT", &format!("/orders/_doc/{id}"), "{\"n\":1}")?;
        self.acknowledged([id]);
        Ok(())
    }

    fn bulk(&mut self, turn: u64) -> Result<(), String> {
        let ids: Vec<String> = (0..BULK).map(|item| format!("{}-{turn}-{item}", self.number)).collect();
        let mut body = String::new();
        for id in &ids {
            let _ = writeln!(body, "{{\"create\":{{\"_index\":\"orders\",\"_id\":\"{id}\"}}}}\n{{\"n\":1}}");
        }
        let answer = self.call("POST", "/_bulk", &body)?;
        let items = answer["items"].as_array().map_or(0, Vec::len);
        if items != BULK {
            return Err(format!("{items} items of {BULK} were answered"));
        }
        self.acknowledged(ids);
        Ok(())
    }

    fn search(&mut self) -> Result<(), String> {
        let body = json!({ "size": 2, "track_total_hits": true, "query": { "term": { "group": self.number % 10 } } });
        let answer = self.call("POST", "/catalog/_search", &body.to_string())?;
        let found = answer["hits"]["total"]["value"].as_u64();
        if found == Some(CATALOG as u64 / 10) { Ok(()) } else { Err(format!("a search found {found:?}: {answer}")) }
    }

    fn get(&mut self, turn: u64) -> Result<(), String> {
        let answer = self.call("GET", &format!("/catalog/_doc/{}", turn % CATALOG as u64), "")?;
        if answer["found"] == true { Ok(()) } else { Err(format!("a document wasn't found: {answer}")) }
    }

    fn scroll(&mut self) -> Result<(), String> {
        let mut page = self.call("POST", "/catalog/_search?scroll=1m", "{\"size\":50,\"sort\":[\"_doc\"]}")?;
        let mut ids = HashSet::new();
        loop {
            let hits = page["hits"]["hits"].as_array().cloned().unwrap_or_default();
            let id = json!({ "scroll": "1m", "scroll_id": page["_scroll_id"] });
            if hits.is_empty() {
                let clear = json!({ "scroll_id": page["_scroll_id"] });
                self.call("DELETE", "/_search/scroll", &clear.to_string())?;
                break;
            }
            ids.extend(hits.iter().map(|hit| hit["_id"].to_string()));
            std::thread::park_timeout(PACE * 4);
            page = self.call("POST", "/_search/scroll", &id.to_string())?;
        }
        self.felt.scrolls += 1;
        if ids.len() == CATALOG { Ok(()) } else { Err(format!("a scroll read {} documents of {CATALOG}", ids.len())) }
    }
}

/// Which ids of `orders` a cluster holds.
#[track_caller]
pub fn held(cluster: &SearchCluster) -> HashSet<String> {
    cluster.call("POST", "/orders/_refresh", "").good();
    let found = cluster.call("GET", "/orders/_search?size=1000000&_source=false", "").good().json();
    assert_eq!(found["_shards"]["failed"], 0, "{found}");
    let hits = found["hits"]["hits"].as_array().expect("hits");
    hits.iter().filter_map(|hit| hit["_id"].as_str().map(str::to_owned)).collect()
}
