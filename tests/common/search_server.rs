//! Real OpenSearch and Elasticsearch clusters, each node a process with free ports and a data folder of its own.
//!
//! A node takes some seconds of CPU to start and 270 MB, so tests share a cluster where they can: [`SearchCluster::start`] in a `LazyLock`,
//! with an index of its own for each test. Such a cluster ends with the test program; its folder goes when the next cluster is started.

use super::http::{self, Answer};
use super::ports::free_port;
use super::process::Process;
use super::{holds_within, servers_folder};
use rustix::process::Signal;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// The limit for what a node or a cluster takes seconds for on a quiet machine.
pub const SEARCH_PATIENCE: Duration = Duration::from_mins(2);
/// How the folders of these servers begin; then comes the test program's process id.
const PREFIX: &str = "pointsman-search-";

/// What to start; see [`SearchCluster::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    component: String,
    nodes: usize,
    settings: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Builder {
    /// Makes it so many nodes instead of one; all may become the master.
    #[must_use]
    pub fn nodes(mut self, count: usize) -> Self {
        self.nodes = count;
        self
    }

    /// Adds a setting of each node: `.set("action.auto_create_index", "false")`.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push(format!("{name}={value}"));
        self
    }

    /// Replaces the options of Java: by default `-Xms256m -Xmx512m -XX:TieredStopAtLevel=1`.
    #[must_use]
    pub fn java(mut self, options: &str) -> Self {
        self.environment = vec![("NODE_JAVA".to_owned(), options.to_owned())];
        self
    }

    /// Starts the nodes and waits until all are in the cluster and it isn't red.
    #[track_caller]
    pub fn start(self) -> SearchCluster {
        sweep();
        let mut log = String::new();
        for _ in 0..3 {
            let mut cluster = self.prepare();
            for node in 0..self.nodes {
                cluster.launch(node);
            }
            if holds_within(SEARCH_PATIENCE, || cluster.is_whole() || cluster.has_ended()) && !cluster.has_ended() {
                return cluster;
            }
            log = (0..self.nodes).map(|node| cluster.log(node)).collect::<Vec<_>>().join("\n");
            // Somebody took a port between the choice and the bind: others will do.
            if !log.contains("BindException") && !log.contains("BindTransportException") {
                break;
            }
        }
        panic!("{} does not start; the end of its logs:\n{}", self.component, end(&log));
    }

    fn prepare(&self) -> SearchCluster {
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir().expect("a temporary folder");
        let node = |_| Node { http: free_port(), transport: free_port(), process: None };
        SearchCluster {
            nodes: (0..self.nodes).map(node).collect(),
            name: folder.path().file_name().expect("a name").display().to_string(),
            program: servers_folder().join(&self.component).join("node"),
            settings: self.settings.clone(),
            environment: self.environment.clone(),
            folder,
        }
    }
}

struct Node {
    http: u16,
    transport: u16,
    process: Option<Process>,
}

/// A cluster of which nodes run, or were killed.
pub struct SearchCluster {
    nodes: Vec<Node>,
    name: String,
    program: PathBuf,
    settings: Vec<String>,
    environment: Vec<(String, String)>,
    folder: TempDir,
}

impl SearchCluster {
    /// A cluster of an installed component (`opensearch2`, `elasticsearch7`, `opensearch3`), of one node unless told otherwise.
    pub fn builder(component: &str) -> Builder {
        Builder { component: component.to_owned(), nodes: 1, settings: Vec::new(), environment: Vec::new() }
    }

    /// A cluster of so many nodes with nothing special.
    #[track_caller]
    pub fn start(component: &str, nodes: usize) -> Self {
        Self::builder(component).nodes(nodes).start()
    }

    /// Two clusters of one node each, started side by side.
    #[track_caller]
    pub fn pair(component: &str) -> (Self, Self) {
        std::thread::scope(|scope| {
            let spare = scope.spawn(|| Self::start(component, 1));
            let main = Self::start(component, 1);
            (main, spare.join().expect("the second cluster"))
        })
    }

    /// How many nodes it has, running or not.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// The HTTP port of a node, counted from 0.
    pub fn port(&self, node: usize) -> u16 {
        self.nodes[node].http
    }

    /// `127.0.0.1:PORT` of a node's HTTP.
    pub fn address(&self, node: usize) -> String {
        format!("127.0.0.1:{}", self.port(node))
    }

    /// The name that a node has in its cluster.
    pub fn node_name(&self, node: usize) -> String {
        format!("node-{}", self.nodes[node].transport)
    }

    /// The value of `nodes` in a configuration: `["127.0.0.1:1", "127.0.0.1:2"]`.
    pub fn toml(&self) -> String {
        let all: Vec<String> = (0..self.size()).map(|node| format!("{:?}", self.address(node))).collect();
        format!("[{}]", all.join(", "))
    }

    /// What a node has said.
    pub fn log(&self, node: usize) -> String {
        std::fs::read_to_string(self.log_file(node)).unwrap_or_default()
    }

    fn log_file(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("{node}.log"))
    }

    /// Starts a node that doesn't run, without waiting.
    pub fn launch(&mut self, node: usize) {
        let home = self.folder.path().join(node.to_string());
        let seeds: Vec<String> = self.nodes.iter().map(|node| node.transport.to_string()).collect();
        let one = &self.nodes[node];
        let mut arguments = vec![home.display().to_string(), self.name.clone()];
        arguments.extend([one.http.to_string(), one.transport.to_string(), seeds.join(",")]);
        arguments.extend(self.settings.iter().cloned());
        let process = Process::start(&self.program, &arguments, &self.environment, &self.log_file(node));
        self.nodes[node].process = Some(process);
    }

    /// Starts a killed node again, with its data, and waits until the cluster counts it.
    #[track_caller]
    pub fn restart(&mut self, node: usize) {
        self.launch(node);
        let running = self.nodes.iter().filter(|node| node.process.is_some()).count();
        self.wait("the node is back", || {
            let health = self.try_call(node, "GET", "/_cluster/health?timeout=0s", "").map(|answer| answer.json());
            health.is_ok_and(|health| health["number_of_nodes"].as_u64() >= Some(running as u64))
        });
    }

    /// `kill -9`, and waits until the process is gone.
    pub fn kill(&mut self, node: usize) {
        if let Some(mut process) = self.nodes[node].process.take() {
            process.kill();
        }
    }

    /// `kill -9` of all nodes at once.
    pub fn kill_all(&mut self) {
        self.signal_all(Signal::KILL);
        (0..self.size()).for_each(|node| self.kill(node));
    }

    /// `SIGSTOP` of a node: it holds its connections and says nothing.
    pub fn freeze(&self, node: usize) {
        self.signal(node, Signal::STOP);
    }

    /// `SIGSTOP` of all nodes.
    pub fn freeze_all(&self) {
        self.signal_all(Signal::STOP);
    }

    /// `SIGCONT` of a node.
    pub fn thaw(&self, node: usize) {
        self.signal(node, Signal::CONT);
    }

    /// `SIGCONT` of all nodes.
    pub fn thaw_all(&self) {
        self.signal_all(Signal::CONT);
    }

    fn signal_all(&self, signal: Signal) {
        (0..self.size()).for_each(|node| self.signal(node, signal));
    }

    fn signal(&self, node: usize, signal: Signal) {
        if let Some(process) = &self.nodes[node].process {
            process.signal(signal);
        }
    }

    fn has_ended(&mut self) -> bool {
        self.nodes.iter_mut().any(|node| node.process.as_mut().is_some_and(|process| process.ended().is_some()))
    }

    /// Whether every node says that all nodes are in the cluster and that it isn't red.
    fn is_whole(&self) -> bool {
        (0..self.size()).all(|node| {
            let health = self.try_call(node, "GET", "/_cluster/health?timeout=0s", "").map(|answer| answer.json());
            health.is_ok_and(|health| {
                health["number_of_nodes"] == self.size()
                    && ["green", "yellow"].contains(&health["status"].as_str().unwrap_or("red"))
            })
        })
    }

    /// Waits for `green`, or for at least `yellow`, as the first running node sees it.
    #[track_caller]
    pub fn wait_health(&self, status: &str) {
        self.wait(&format!("the cluster is {status}"), || {
            let path =
                format!("/_cluster/health?timeout=0s&wait_for_status={status}&wait_for_no_relocating_shards=true");
            self.try_call(self.first(), "GET", &path, "").is_ok_and(|answer| answer.status == 200)
        });
    }

    /// Waits until the first running node counts so many nodes.
    #[track_caller]
    pub fn wait_nodes(&self, count: usize) {
        self.wait(&format!("the cluster has {count} nodes"), || {
            let health = self.try_call(self.first(), "GET", "/_cluster/health?timeout=0s", "");
            health.is_ok_and(|answer| answer.json()["number_of_nodes"] == count)
        });
    }

    #[track_caller]
    fn wait(&self, what: &str, condition: impl FnMut() -> bool) {
        if !holds_within(SEARCH_PATIENCE, condition) {
            let logs: Vec<String> = (0..self.size()).map(|node| end(&self.log(node)).to_owned()).collect();
            panic!("not within {SEARCH_PATIENCE:?}: {what}; the ends of the logs:\n{}", logs.join("\n"));
        }
    }

    fn first(&self) -> usize {
        self.nodes.iter().position(|node| node.process.is_some()).unwrap_or(0)
    }

    /// One request to the first running node, on a connection of its own. Panics without an answer.
    #[track_caller]
    pub fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        self.try_call(self.first(), method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// One request to that node, which may be gone.
    pub fn try_call(&self, node: usize, method: &str, path: &str, body: &str) -> std::io::Result<Answer> {
        http::call(&self.address(node), method, path, body)
    }

    /// Makes an index of one shard with so many replicas and waits until all are there.
    #[track_caller]
    pub fn create_index(&self, index: &str, replicas: usize) {
        let body = format!(r#"{{"settings":{{"number_of_shards":1,"number_of_replicas":{replicas}}}}}"#);
        self.call("PUT", &format!("/{index}?wait_for_active_shards=all"), &body).good();
    }

    /// Until its master has noticed, a cluster counts the copies of a node that just died as failed.
    #[track_caller]
    fn refresh(&self, index: &str) {
        self.wait("a refresh of all copies", || self.call("POST", &format!("/{index}/_refresh"), "").status == 200);
    }

    /// How many documents an index has, after a refresh.
    #[track_caller]
    pub fn count(&self, index: &str) -> u64 {
        self.refresh(index);
        self.call("GET", &format!("/{index}/_count"), "").good().json()["count"].as_u64().expect("a count")
    }

    /// The ids of an index's documents (10,000 at most), after a refresh, sorted.
    #[track_caller]
    pub fn ids(&self, index: &str) -> Vec<String> {
        self.refresh(index);
        let found = self.call("GET", &format!("/{index}/_search?size=10000&_source=false"), "").good().json();
        let hits = found["hits"]["hits"].as_array().cloned().unwrap_or_default();
        let mut ids: Vec<String> = hits.iter().filter_map(|hit| hit["_id"].as_str().map(str::to_owned)).collect();
        ids.sort();
        ids
    }

    /// What `GET /` says.
    #[track_caller]
    pub fn identity(&self) -> Value {
        self.call("GET", "/", "").good().json()
    }
}

fn end(log: &str) -> &str {
    let from = log.len().saturating_sub(3000);
    &log[(from..=log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(0)..]
}

/// Removes the folders of test programs that have ended.
fn sweep() {
    let entries = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name().display().to_string();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|id| !Path::new("/proc").join(id.to_string()).exists()) {
            // Another test program may be faster.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
