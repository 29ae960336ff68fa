//! The configuration in force as JSON, with every default filled in and without secrets.

use crate::config::{
    Admin, Cluster, Config, ListenerTls, Person, Service, Webhook,
    units::{show_duration, show_size},
};
use serde_json::{Value, json};

/// The whole configuration; a password appears only as the fact that there is one.
pub(super) fn json(config: &Config) -> Value {
    let services: serde_json::Map<String, Value> =
        config.services.iter().map(|service| (service.name.to_string(), self::service(service))).collect();
    json!({
        "state_dir": config.state_dir,
        "grace": show_duration(config.grace),
        "workers": config.workers,
        "admin": admin(&config.admin),
        "telemetry": {
            "listen": config.telemetry.listen.to_string(),
            "log": config.telemetry.log,
            "log_format": word(&config.telemetry.log_format),
            "runbook_url": config.telemetry.runbook_url,
            "webhooks": config.telemetry.webhooks.iter().map(webhook).collect::<Vec<_>>(),
        },
        "journal": {
            "keep": config.journal.keep.map(show_duration), "keep_size": show_size(config.journal.keep_size),
        },
        "services": services,
        "groups": config.groups.iter().map(|group| (group.name.clone(), json!({
            "members": group.members, "on_error": group.on_error.as_str(),
        }))).collect::<serde_json::Map<_, _>>(),
    })
}

fn webhook(hook: &Webhook) -> Value {
    json!({
        "name": hook.name,
        "url": hook.url.to_string(),
        "format": word(&hook.format),
        "events": hook.events,
        "token": hook.token.as_ref().map(|_| "***"),
        "ca": hook.url.tls.then_some(&hook.ca),
        "timeout": show_duration(hook.timeout),
        "not_ready_after": show_duration(hook.not_ready_after),
    })
}

/// Of tokens only their number: a hash is no secret, and nobody needs to read it here.
fn admin(admin: &Admin) -> Value {
    let person = |person: &Person| {
        json!({
            "name": person.name, "role": person.role, "uid": person.uid, "gid": person.gid, "tokens": person.tokens.len(),
        })
    };
    json!({
        "socket": admin.socket,
        "listen": admin.listen.map(|listen| listen.to_string()),
        "allowed_hosts": admin.allowed_hosts,
        "tls": admin.tls.as_ref().map(listener_tls),
        "people": admin.people.iter().map(person).collect::<Vec<_>>(),
    })
}

fn listener_tls(tls: &ListenerTls) -> Value {
    json!({ "certificate": tls.certificate, "key": tls.key, "client_ca": tls.client_ca })
}

fn service(service: &Service) -> Value {
    let failover = &service.failover;
    let health = &service.health;
    json!({
        "kind": service.kind.as_str(),
        "listen": service.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "listen_read": service.listen_read.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "replication": word(&service.replication),
        "tune": service.tune,
        "deny": service.deny,
        "max_connections": service.max_connections,
        "client_buffer": service.client_buffer,
        "on_call": service.on_call,
        "tls": service.tls.as_ref().map(listener_tls),
        "node_tls": service.node_tls.as_ref().map(|tls| json!({
            "ca": tls.ca, "server_name": tls.server_name,
            "certificate": tls.identity.as_ref().map(|identity| &identity.certificate),
            "key": tls.identity.as_ref().map(|identity| &identity.key),
        })),
        "credentials": service.credentials.as_ref().map(|login| json!({
            "username": login.username, "password": login.password.as_ref().map(|_| "***"),
        })),
        "users": service.users.iter().map(|user| json!({
            "name": user.name, "password": user.password.as_ref().map(|_| "***"), "max_connections": user.max_connections,
        })).collect::<Vec<_>>(),
        "replication_user": service.replication_user.as_ref().map(|login| json!({
            "name": login.name, "password": login.password.as_ref().map(|_| "***"),
        })),
        "idle_in_transaction": service.idle_in_transaction.map(show_duration),
        "require": service.serves_as_whole().then(|| word(&service.search.require)),
        "indices": service.serves_as_whole().then_some(&service.search.indices),
        "health": {
            "interval": show_duration(health.interval), "timeout": show_duration(health.timeout), "fall": health.fall,
            "rise": health.rise, "hang_window": show_duration(health.hang_window),
            "second_opinion": word(&health.second_opinion),
        },
        "failover": {
            "automatic": failover.automatic, "max_lag": show_duration(failover.max_lag),
            "unfenced": word(&failover.unfenced),
            "full_journal": word(&failover.full_journal), "after_failover": word(&failover.after_failover),
            "cooldown": show_duration(failover.cooldown), "failback": word(&failover.failback),
            "hold_timeout": show_duration(failover.hold_timeout), "drain_timeout": show_duration(failover.drain_timeout),
        },
        "require_approval": service.approval.required,
        "approval_timeout": show_duration(service.approval.timeout),
        "clusters": service.clusters.iter().map(cluster).collect::<Vec<_>>(),
    })
}

fn cluster(cluster: &Cluster) -> Value {
    let nodes =
        cluster.nodes.iter().map(|node| json!({ "address": node.address, "replicate_from": node.replicate_from }));
    json!({ "name": cluster.name, "site": cluster.site, "nodes": nodes.collect::<Vec<_>>() })
}

/// An enum's variant in the file's spelling.
fn word(value: &impl std::fmt::Debug) -> String {
    let mut word = String::new();
    for letter in format!("{value:?}").chars() {
        if letter.is_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.extend(letter.to_lowercase());
    }
    word
}
