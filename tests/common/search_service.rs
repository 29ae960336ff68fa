//! A whole service of search: two clusters, a Pointsman before them, and the same catalogue on both.

use super::http::{self, Answer, Http};
use super::instance::Pointsman;
use super::ports::free_port;
use super::search_server::{SEARCH_PATIENCE, SearchCluster};
use super::wait_for;
use serde_json::json;
use std::fmt::Write as _;

/// How many documents of the index `catalog` both clusters hold, ids 0, 1, ...
pub const CATALOG: usize = 600;

/// The clusters `main` and `spare` of a service `search`, and what carries its requests.
pub struct SearchService {
    /// The preferred one.
    pub main: SearchCluster,
    /// The other one.
    pub spare: SearchCluster,
    /// Routed to `main` at first.
    pub pointsman: Pointsman,
    /// Where applications connect.
    pub port: u16,
}

impl SearchService {
    /// Fills both clusters and starts a Pointsman that is ready for a switch. `settings` goes before the tables of the clusters: keys of the
    /// service first, then tables such as `[services.search.health]`.
    #[track_caller]
    pub fn start(main: SearchCluster, spare: SearchCluster, settings: &str) -> Self {
        for cluster in [&main, &spare] {
            fill(cluster);
        }
        let port = free_port();
        let pointsman = Pointsman::start(&services(&main, &spare, port, settings));
        let service = Self { main, spare, pointsman, port };
        service.ready();
        service
    }

    /// Two clusters of one node.
    #[track_caller]
    pub fn pair(component: &str, settings: &str) -> Self {
        let (main, spare) = SearchCluster::pair(component);
        Self::start(main, spare, settings)
    }

    /// Waits until it is steady and a planned switch would be let through.
    #[track_caller]
    pub fn ready(&self) {
        wait_for("it is steady and ready", SEARCH_PATIENCE, || {
            let (_, service) = self.pointsman.api("/v1/services/search", None);
            service["state"] == "steady" && service["switchover_ready"]["ready"] == true
        });
    }

    /// A planned switch, which must be done.
    #[track_caller]
    pub fn switch(&self, to: &str) {
        self.pointsman.cli_expect(&["switchover", "search", "--to", to], 0);
    }

    /// The name of the routed cluster.
    #[track_caller]
    pub fn routed(&self) -> String {
        let (_, service) = self.pointsman.api("/v1/services/search", None);
        service["route"]["cluster"].as_str().unwrap_or_default().to_owned()
    }

    /// Where applications connect.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// An application's connection.
    #[track_caller]
    pub fn connect(&self) -> Http {
        Http::connect(&self.address()).expect("a connection to Pointsman")
    }

    /// One request through Pointsman, on a connection of its own. Panics without an answer.
    #[track_caller]
    pub fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        http::call(&self.address(), method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }
}

/// The tables of the service.
pub fn services(main: &SearchCluster, spare: &SearchCluster, port: u16, settings: &str) -> String {
    let cluster = |name, cluster: &SearchCluster| {
        format!("[[services.search.clusters]]\nname = \"{name}\"\nnodes = {}\n", cluster.toml())
    };
    let (main, spare) = (cluster("main", main), cluster("spare", spare));
    format!("[services.search]\nkind = \"elasticsearch\"\nlisten = [\"127.0.0.1:{port}\"]\n{settings}{main}{spare}")
}

/// An index `catalog` with its documents and an empty index `orders`, each of one shard that all nodes hold.
pub fn fill(cluster: &SearchCluster) {
    let replicas = cluster.size() - 1;
    for (index, field) in [("catalog", "group"), ("orders", "n")] {
        let settings = json!({ "number_of_shards": 1, "number_of_replicas": replicas, "max_result_window": 1_000_000 });
        let mappings = json!({ "properties": { field: { "type": "integer" } } });
        let body = json!({ "settings": settings, "mappings": mappings }).to_string();
        cluster.call("PUT", &format!("/{index}?wait_for_active_shards=all"), &body).good();
    }
    let mut body = String::new();
    for id in 0..CATALOG {
        let _ = writeln!(body, "{{\"index\":{{\"_id\":\"{id}\"}}}}\n{{\"group\":{}}}", id % 10);
    }
    let answer = cluster.call("POST", "/catalog/_bulk?refresh=true", &body).good();
    assert_eq!(answer.json()["errors"], false);
}
