//! What changed between two configurations, for a reload: in words for the journal, and whether it may change live.
//!
//! Input: two configurations. Output: one `Change` a key. Never: a secret; a changed password is only said to have changed.
//! What lies behind an unchanged path (certificates) is not compared: a reload reads those files again in any case. Whether a
//! removed cluster holds the route isn't known here: who reloads must refuse that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::admin::{Admin, Person};
use super::approval::Approval;
use super::groups::Group;
use super::journal::Journal;
use super::schema::{
    Cluster, Config, Credentials, Failover, Health, Listen, ListenerTls, Node, NodeTls, ReplicationUser, Search,
    Service, User,
};
use super::telemetry::{Telemetry, Webhook};
use super::units::{show_duration, show_size};
use crate::model::name::ServiceName;
use crate::model::secret::Secret;

/// Shown where a key, service or cluster is absent.
const ABSENT: &str = "(none)";

/// Whether a change takes part in a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Applied to the running process.
    Live,
    /// Refused by a reload, which then changes nothing at all.
    NeedsRestart,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The service it belongs to.
    pub service: Option<ServiceName>,
    /// The dotted path: `services.cart.health.fall`; a cluster's own name stands after `clusters`.
    pub key: String,
    /// The old value as text; `(none)` when absent.
    pub before: String,
    /// The new value as text; `(none)` when absent.
    pub after: String,
    /// Whether a reload may apply it.
    pub effect: Effect,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let restart = if self.effect == Effect::NeedsRestart { " (needs a restart)" } else { "" };
        write!(f, "{}: {} -> {}{restart}", self.key, self.before, self.after)
    }
}

/// Every difference: first the process's own, then service by service, each by key.
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let mut changes = compare(None, "", &process(old), &process(new));
    let names: BTreeSet<&str> = old.services.iter().chain(&new.services).map(|service| service.name.as_str()).collect();
    for name in names {
        let key = format!("services.{name}");
        let service = ServiceName::from(name);
        match (old.service(name), new.service(name)) {
            (Some(old), Some(new)) => {
                changes.extend(compare(Some(&service), &format!("{key}."), &items(old), &items(new)));
            }
            (old, new) => {
                let shown = |service: Option<&Service>| service.map_or_else(|| ABSENT.to_owned(), summary);
                changes.push(Change {
                    service: Some(service),
                    key,
                    before: shown(old),
                    after: shown(new),
                    effect: Effect::Live,
                });
            }
        }
    }
    changes
}

/// Every setting by its dotted path, as text, with its default where it isn't given: what a start compares with what was in force
/// before. A secret is only named.
pub fn settings(config: &Config) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = process(config).into_iter().map(|(key, item)| (key, item.shown)).collect();
    for service in &config.services {
        let name = &service.name;
        all.extend(items(service).into_iter().map(|(key, item)| (format!("services.{name}.{key}"), item.shown)));
    }
    all
}

/// A value as text; a secret beside it takes part in the comparison only.
#[derive(PartialEq)]
struct Item {
    shown: String,
    secret: Option<Secret>,
    effect: Effect,
}

type Items = BTreeMap<String, Item>;

fn put(items: &mut Items, effect: Effect, key: &str, shown: impl fmt::Display) {
    items.insert(key.to_owned(), Item { shown: shown.to_string(), secret: None, effect });
}

fn compare(service: Option<&ServiceName>, prefix: &str, old: &Items, new: &Items) -> Vec<Change> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for key in keys {
        let (before, after) = (old.get(key), new.get(key));
        if before == after {
            continue;
        }
        let shown = |item: Option<&Item>| item.map_or_else(|| ABSENT.to_owned(), |item| item.shown.clone());
        let restart = [before, after].into_iter().flatten().any(|item| item.effect == Effect::NeedsRestart);
        let mut change = Change {
            service: service.cloned(),
            key: format!("{prefix}{key}"),
            before: shown(before),
            after: shown(after),
            effect: if restart { Effect::NeedsRestart } else { Effect::Live },
        };
        if change.before == change.after {
            "(changed)".clone_into(&mut change.after);
        }
        changes.push(change);
    }
    changes
}

// The functions below take their structures apart by name, so that a new setting can't be forgotten here.

fn process(config: &Config) -> Items {
    let Config { state_dir, grace, workers, admin, telemetry, journal, services: _, groups } = config;
    let Telemetry { listen, log, log_format, runbook_url, webhooks } = telemetry;
    let mut all = Items::new();
    let fixed = Effect::NeedsRestart;
    put(&mut all, fixed, "state_dir", state_dir.display());
    put(&mut all, fixed, "workers", workers);
    put_admin(&mut all, admin);
    put(&mut all, fixed, "telemetry.listen", listen);
    put(&mut all, fixed, "telemetry.log_format", word(log_format));
    put(&mut all, fixed, "telemetry.log", log);
    put(&mut all, Effect::Live, "grace", show_duration(*grace));
    for Group { name, members, on_error } in groups {
        put(&mut all, Effect::Live, &format!("groups.{name}.members"), join(members.iter().map(ToString::to_string)));
        put(&mut all, Effect::Live, &format!("groups.{name}.on_error"), on_error.as_str());
    }
    let Journal { keep, keep_size } = journal;
    put(&mut all, Effect::Live, "journal.keep", keep.map_or_else(|| "(all)".to_owned(), show_duration));
    put(&mut all, Effect::Live, "journal.keep_size", show_size(*keep_size));
    put(&mut all, Effect::Live, "telemetry.runbook_url", runbook_url);
    for hook in webhooks {
        put_webhook(&mut all, hook);
    }
    all
}

fn put_webhook(all: &mut Items, hook: &Webhook) {
    let Webhook { name, url, format, events, token, ca, timeout, not_ready_after } = hook;
    let told: Vec<&str> = events.iter().map(|event| event.as_str()).collect();
    let token_shown = if token.is_some() { ", with a token" } else { "" };
    let shown = format!(
        "{url} as {}: {}{token_shown}, ca {}, timeout {}, not_ready_after {}",
        word(format),
        told.join(", "),
        ca.display(),
        show_duration(*timeout),
        show_duration(*not_ready_after)
    );
    // Two addresses that differ in their path alone look the same, and the token isn't shown: both are compared as a secret.
    let token = token.as_ref().map_or(&[][..], Secret::expose);
    let secret = Secret::new([url.path.expose(), b" ", token].concat());
    let item = Item { shown, secret: Some(secret), effect: Effect::Live };
    all.insert(format!("telemetry.webhooks.{name}"), item);
}

fn items(service: &Service) -> Items {
    #[rustfmt::skip]
    let Service {
        name: _, kind, listen, listen_read, replication, tune, deny, max_connections, client_buffer, on_call, tls,
        node_tls, credentials, users, replication_user, idle_in_transaction, search, health, failover, approval, clusters,
        group: _,
    } = service;
    let mut all = Items::new();
    let (live, fixed) = (Effect::Live, Effect::NeedsRestart);
    put(&mut all, fixed, "kind", kind.as_str());
    put(&mut all, live, "listen", addresses(listen));
    put(&mut all, fixed, "listen_read", addresses(listen_read));
    put(&mut all, fixed, "replication", word(replication));
    put(&mut all, live, "tune", tune);
    put(&mut all, live, "deny", denied(deny.as_deref()));
    put(&mut all, live, "max_connections", max_connections);
    put(&mut all, live, "client_buffer", show_size(*client_buffer as u64));
    if !on_call.is_empty() {
        put(&mut all, live, "on_call", on_call);
    }
    if let Some(tls) = tls {
        put_listener_tls(&mut all, "", tls);
    }
    if let Some(tls) = node_tls {
        put_node_tls(&mut all, tls);
    }
    if let Some(Credentials { username, password }) = credentials {
        put(&mut all, live, "credentials.username", username.as_deref().unwrap_or("(default user)"));
        let item = Item { shown: "(secret)".to_owned(), secret: password.clone(), effect: live };
        all.insert("credentials.password".to_owned(), item);
    }
    for User { name, password, max_connections } in users {
        let most = max_connections.map_or_else(String::new, |most| format!(", at most {most} connections"));
        let item = Item { shown: format!("(secret){most}"), secret: password.clone(), effect: live };
        all.insert(format!("users.{name}"), item);
    }
    if let Some(ReplicationUser { name, password }) = replication_user {
        put(&mut all, live, "replication_user.name", name);
        let item = Item { shown: "(secret)".to_owned(), secret: password.clone(), effect: live };
        all.insert("replication_user.password".to_owned(), item);
    }
    if let Some(limit) = idle_in_transaction {
        put(&mut all, live, "idle_in_transaction", show_duration(*limit));
    }
    if service.serves_as_whole() {
        let Search { require, indices } = search;
        put(&mut all, live, "require", word(require));
        put(&mut all, live, "indices", if indices.is_empty() { "(all)".to_owned() } else { indices.join(", ") });
    }
    put_health(&mut all, health);
    put_failover(&mut all, failover);
    let Approval { required, timeout } = approval;
    put(&mut all, live, "require_approval", required);
    put(&mut all, live, "approval_timeout", show_duration(*timeout));
    put(&mut all, live, "clusters", names(clusters));
    for cluster in clusters {
        put(&mut all, live, &format!("clusters.{}", cluster.name), cluster_text(cluster));
    }
    all
}

fn put_admin(all: &mut Items, admin: &Admin) {
    let Admin { socket, listen, allowed_hosts, tls, people } = admin;
    put(all, Effect::NeedsRestart, "admin.socket", socket.display());
    if let Some(listen) = listen {
        put(all, Effect::NeedsRestart, "admin.listen", listen);
    }
    if !allowed_hosts.is_empty() {
        put(all, Effect::Live, "admin.allowed_hosts", allowed_hosts.join(", "));
    }
    if let Some(tls) = tls {
        put_listener_tls(all, "admin.", tls);
    }
    for Person { name, role, uid, gid, tokens } in people {
        let id = |what: &str, id: &Option<u32>| id.map_or_else(String::new, |id| format!(", {what} {id}"));
        let many = match tokens.len() {
            0 => String::new(),
            1 => ", a token".to_owned(),
            many => format!(", {many} tokens"),
        };
        let shown = format!("{role}{}{}{many}", id("uid", uid), id("gid", gid));
        let hashes: Vec<u8> = tokens.iter().flat_map(|hash| hash.0).collect();
        let item = Item { shown, secret: Some(Secret::new(hashes)), effect: Effect::Live };
        all.insert(format!("admin.people.{name}"), item);
    }
}

fn put_listener_tls(all: &mut Items, prefix: &str, tls: &ListenerTls) {
    let ListenerTls { certificate, key, client_ca } = tls;
    put(all, Effect::Live, &format!("{prefix}tls.certificate"), certificate.display());
    put(all, Effect::Live, &format!("{prefix}tls.key"), key.display());
    if let Some(path) = client_ca {
        put(all, Effect::Live, &format!("{prefix}tls.client_ca"), path.display());
    }
}

fn put_node_tls(all: &mut Items, tls: &NodeTls) {
    let NodeTls { ca, identity, server_name } = tls;
    put(all, Effect::Live, "node_tls.ca", ca.display());
    if let Some(identity) = identity {
        put(all, Effect::Live, "node_tls.certificate", identity.certificate.display());
        put(all, Effect::Live, "node_tls.key", identity.key.display());
    }
    if let Some(name) = server_name {
        put(all, Effect::Live, "node_tls.server_name", name);
    }
}

fn put_health(all: &mut Items, health: &Health) {
    let Health { interval, timeout, fall, rise, hang_window, second_opinion } = health;
    put(all, Effect::Live, "health.interval", show_duration(*interval));
    put(all, Effect::Live, "health.timeout", show_duration(*timeout));
    put(all, Effect::Live, "health.fall", fall);
    put(all, Effect::Live, "health.rise", rise);
    put(all, Effect::Live, "health.hang_window", show_duration(*hang_window));
    put(all, Effect::Live, "health.second_opinion", word(second_opinion));
}

fn put_failover(all: &mut Items, failover: &Failover) {
    #[rustfmt::skip]
    let Failover {
        automatic, max_lag, unfenced, full_journal, after_failover, cooldown, failback, hold_timeout, drain_timeout,
    } = failover;
    put(all, Effect::Live, "failover.automatic", automatic);
    put(all, Effect::Live, "failover.max_lag", show_duration(*max_lag));
    put(all, Effect::Live, "failover.unfenced", word(unfenced));
    put(all, Effect::Live, "failover.full_journal", word(full_journal));
    put(all, Effect::Live, "failover.after_failover", word(after_failover));
    put(all, Effect::Live, "failover.cooldown", show_duration(*cooldown));
    put(all, Effect::Live, "failover.failback", word(failback));
    put(all, Effect::Live, "failover.hold_timeout", show_duration(*hold_timeout));
    put(all, Effect::Live, "failover.drain_timeout", show_duration(*drain_timeout));
}

/// The word of a plain variant as the file has it: `ReadOnly` is `read_only`.
fn word(variant: &impl fmt::Debug) -> String {
    let mut text = String::new();
    for letter in format!("{variant:?}").chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

fn denied(deny: Option<&[String]>) -> String {
    match deny {
        None => "(default)".to_owned(),
        Some([]) => "(nothing)".to_owned(),
        Some(commands) => commands.join(", "),
    }
}

fn summary(service: &Service) -> String {
    format!("{} on {}, clusters {}", service.kind.as_str(), addresses(&service.listen), names(&service.clusters))
}

fn addresses(all: &[Listen]) -> String {
    join(all.iter().map(ToString::to_string))
}

fn names(clusters: &[Cluster]) -> String {
    join(clusters.iter().map(|cluster| cluster.name.to_string()))
}

fn cluster_text(cluster: &Cluster) -> String {
    let Cluster { name: _, site, nodes } = cluster;
    let node = |Node { address, replicate_from }: &Node| match replicate_from {
        Some(from) => format!("{address} (replicated from {from})"),
        None => address.to_string(),
    };
    let site = if site.is_empty() { String::new() } else { format!("site {site}, ") };
    format!("{site}nodes {}", join(nodes.iter().map(node)))
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}
