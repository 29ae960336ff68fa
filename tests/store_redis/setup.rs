//! A store over real servers.

use crate::common::{PATIENCE, redis_server::RedisServer};
use pointsman::{
    config::{Options, Service, load_bytes},
    model::{
        action::{Action, Done},
        error::StoreError,
        name::NodeAddress,
        observation::{Answer, Lineage, Observation, Reach},
    },
    store::{Store, redis::RedisStore},
};
use std::{fmt::Write as _, path::Path, sync::Arc};
use tokio::time::{Instant, sleep};

/// A service `cart` over these nodes, one cluster each; `extra` are lines of its table, `tables` further tables.
pub fn service(nodes: &[String], extra: &str, tables: &str) -> Arc<Service> {
    let mut text = format!("[services.cart]\nkind = \"redis\"\nlisten = \"127.0.0.1:2\"\n{extra}\n{tables}\n");
    for (index, node) in nodes.iter().enumerate() {
        // Writing to a String can't fail.
        let _ = write!(text, "[[services.cart.clusters]]\nname = \"c{index}\"\nnodes = [{node:?}]\n");
    }
    let loaded = load_bytes("test.toml", text.as_bytes(), Path::new("/"), Options::default());
    let problems = loaded.render_all(false);
    let config = loaded.config.unwrap_or_else(|| panic!("{problems}"));
    Arc::new(config.services[0].clone())
}

/// A store over these nodes with defaults.
pub fn store(nodes: &[String]) -> RedisStore {
    RedisStore::new(service(nodes, "", ""), "us").unwrap()
}

/// A store over these servers with a login.
pub fn store_as(servers: &[&RedisServer], user: &str, password: &str) -> RedisStore {
    let login = format!("[services.cart.credentials]\nusername = {user:?}\npassword = {password:?}");
    RedisStore::new(service(&addresses(servers), "", &login), "us").unwrap()
}

/// Their addresses.
pub fn addresses(servers: &[&RedisServer]) -> Vec<String> {
    // A service has two clusters at least; a port where nobody listens may stand for the second.
    let mut all: Vec<_> = servers.iter().map(|server| server.address()).collect();
    if all.len() == 1 {
        all.push("127.0.0.1:1".to_owned());
    }
    all
}

/// A store over these servers, without a login.
pub fn store_of(servers: &[&RedisServer]) -> RedisStore {
    store(&addresses(servers))
}

pub fn node(server: &RedisServer) -> NodeAddress {
    server.address().into()
}

/// The answer of a probe that must succeed.
#[track_caller]
pub fn answered(observation: Observation) -> Answer {
    match observation.reach {
        Reach::Answered(answer) => *answer,
        other => panic!("no answer: {other:?}"),
    }
}

/// Probes until `wanted` holds.
pub async fn probe_until(store: &RedisStore, at: &NodeAddress, what: &str, wanted: impl Fn(&Reach) -> bool) -> Reach {
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = store.probe(at).await.reach;
        if wanted(&seen) {
            return seen;
        }
        assert!(Instant::now() < end, "not in time: {what}; last {seen:?}");
        sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Fences a primary: position, history, saved value.
pub async fn fence(store: &RedisStore, at: &NodeAddress) -> Result<(u64, Lineage, Option<String>), StoreError> {
    match store.act(&Action::Fence { node: at.clone() }).await? {
        Done::Fenced { position, lineage, saved } => Ok((position, lineage, saved)),
        other => panic!("{other:?}"),
    }
}
