//! A store over real servers.

use crate::common::{
    PATIENCE,
    mysql_server::{MANAGER, MysqlServer, PASSWORD, REPL},
};
use pointsman::{
    config::{Options, Service, load_bytes},
    model::{
        action::{Action, Done},
        error::StoreError,
        name::NodeAddress,
        observation::{Answer, Lineage, Observation, Reach},
    },
    store::{Store, mysql::MysqlStore},
};
use std::{fmt::Write as _, path::Path, sync::Arc};
use tokio::time::{Instant, sleep};

/// A service `orders` over these nodes, one cluster each; `extra` are lines of its table.
pub fn service(nodes: &[String], extra: &str) -> Arc<Service> {
    service_as(nodes, extra, MANAGER)
}

/// The same with another login of Pointsman's.
pub fn service_as(nodes: &[String], extra: &str, user: &str) -> Arc<Service> {
    let mut text = format!(
        "[services.orders]\nkind = \"mysql\"\nlisten = \"127.0.0.1:2\"\n{extra}\n\
         [services.orders.credentials]\nusername = {user:?}\npassword = {PASSWORD:?}\n\
         [services.orders.replication_user]\nname = {REPL:?}\npassword = {PASSWORD:?}\n\
         [[services.orders.users]]\nname = \"shop\"\npassword = {PASSWORD:?}\n"
    );
    for (index, node) in nodes.iter().enumerate() {
        // Writing to a String can't fail.
        let _ = write!(text, "[[services.orders.clusters]]\nname = \"c{index}\"\nnodes = [{node:?}]\n");
    }
    let loaded = load_bytes("test.toml", text.as_bytes(), Path::new("/"), Options::default());
    let problems = loaded.render_all(false);
    let config = loaded.config.unwrap_or_else(|| panic!("{problems}"));
    Arc::new(config.services[0].clone())
}

/// A store over these servers.
pub fn store_of(servers: &[&MysqlServer]) -> MysqlStore {
    MysqlStore::new(service(&addresses(servers), ""), "us").unwrap()
}

/// Their addresses. A service has two clusters at least; a port where nobody listens may stand for the second.
pub fn addresses(servers: &[&MysqlServer]) -> Vec<String> {
    let mut all: Vec<_> = servers.iter().map(|server| server.address()).collect();
    if all.len() == 1 {
        all.push("127.0.0.1:1".to_owned());
    }
    all
}

pub fn node(server: &MysqlServer) -> NodeAddress {
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
pub async fn probe_until(store: &MysqlStore, at: &NodeAddress, what: &str, wanted: impl Fn(&Reach) -> bool) -> Reach {
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

/// Probes until the answer is as `wanted`.
pub async fn answer_until(
    store: &MysqlStore,
    at: &NodeAddress,
    what: &str,
    wanted: impl Fn(&Answer) -> bool,
) -> Answer {
    let is = |reach: &Reach| matches!(reach, Reach::Answered(answer) if wanted(answer));
    match probe_until(store, at, what, is).await {
        Reach::Answered(answer) => *answer,
        other => panic!("{other:?}"),
    }
}

/// Fences a primary: position, history, saved value.
pub async fn fence(store: &MysqlStore, at: &NodeAddress) -> Result<(u64, Lineage, Option<String>), StoreError> {
    match store.act(&Action::Fence { node: at.clone() }).await? {
        Done::Fenced { position, lineage, saved } => Ok((position, lineage, saved)),
        other => panic!("{other:?}"),
    }
}

/// How many milliseconds each action of a test took, printed at the end.
#[derive(Default)]
pub struct Timed(Vec<(&'static str, f64)>);

impl Timed {
    /// Carries an action out and notes its time.
    pub async fn act(&mut self, store: &MysqlStore, name: &'static str, action: Action) -> Result<Done, StoreError> {
        let begun = Instant::now();
        let outcome = store.act(&action).await;
        self.0.push((name, begun.elapsed().as_secs_f64() * 1000.0));
        outcome
    }

    /// `name ms, name ms`.
    pub fn text(&self) -> String {
        self.0.iter().map(|(name, ms)| format!("{name} {ms:.1}")).collect::<Vec<_>>().join(", ")
    }
}
