//! A store over real clusters.

use crate::common::search_server::{SEARCH_PATIENCE, SearchCluster};
use pointsman::{
    config::{Options, Service, load_bytes},
    model::observation::{Answer, Observation, Peer},
    store::{Store, elastic::ElasticStore},
};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// Nobody listens there.
pub const NOWHERE: &str = "[\"127.0.0.1:1\"]";

/// A service of two clusters with these nodes, as `toml()` writes them; `extra` are lines of its table.
pub fn service(main: &str, spare: &str, extra: &str) -> Arc<Service> {
    let text = format!(
        "[services.search]\nkind = \"elasticsearch\"\nlisten = \"127.0.0.1:2\"\n{extra}\n\
         [services.search.health]\ntimeout = \"1s\"\n\
         [[services.search.clusters]]\nname = \"main\"\nnodes = {main}\n\
         [[services.search.clusters]]\nname = \"spare\"\nnodes = {spare}\n"
    );
    let loaded = load_bytes("test.toml", text.as_bytes(), Path::new("/"), Options::default());
    let problems = loaded.render_all(false);
    let config = loaded.config.unwrap_or_else(|| panic!("{problems}"));
    Arc::new(config.services[0].clone())
}

/// A store over these clusters.
pub fn store_of(main: &SearchCluster, spare: &str, extra: &str) -> ElasticStore {
    ElasticStore::new(service(&main.toml(), spare, extra)).expect("no files of TLS")
}

/// Probes a cluster until `wanted` holds.
#[track_caller]
pub fn probe_until(
    store: &ElasticStore,
    cluster: &SearchCluster,
    what: &str,
    wanted: impl Fn(&Observation) -> bool,
) -> impl Future<Output = Observation> {
    let place = std::panic::Location::caller();
    async move {
        let (end, first) = (Instant::now() + SEARCH_PATIENCE, cluster.address(0).into());
        loop {
            let seen = store.probe(&first).await;
            if wanted(&seen) {
                return seen;
            }
            assert!(Instant::now() < end, "{place}: not in time: {what}; last {seen:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// What an answer says, if there is one.
pub fn said(seen: &Observation, wanted: impl Fn(&Answer) -> bool) -> bool {
    seen.answer().is_some_and(wanted)
}

/// Whether the route may be moved there.
pub fn is_fit(seen: &Observation) -> bool {
    said(seen, |answer| answer.unfit.is_empty() && answer.writable)
}

/// Whether the reasons why not hold these words.
pub fn is_unfit(seen: &Observation, words: &str) -> bool {
    said(seen, |answer| answer.unfit.contains(words))
}

/// A node of what was seen.
pub fn peer(seen: &Observation, node: usize) -> &Peer {
    &seen.peers[node]
}
