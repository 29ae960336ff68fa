//! What `check --connect` says of a node: what would fail or block a switch, and what would serve it better.
//!
//! Input: a node's observation and facts, the service's settings. Output: findings, each with what mends it. It changes nothing.

use super::{
    fitness::{self, CLONE, STARTS_READ_ONLY},
    node::{Node, first},
    rights,
};
use crate::{
    config::{Replication, Service},
    model::observation::{Answer, Fitness, Observation, Part, Reach},
    store::{Finding, Inspection},
};
use std::{sync::Arc, time::Duration};

/// Connections that a server needs beside those of applications: standbys, probes, operators.
const SPARE_CONNECTIONS: u64 = 32;
/// Connections broken off before a server locks a host out; MySQL's default, 100, is reached by a health checker in a minute.
const CONNECT_ERRORS: u64 = 10_000;
/// As long as that a commit must wait for its acknowledgement, so that a primary stops when it is cut off.
const NO_FALLBACK_MS: u64 = 3_600_000;

/// Inspects one node that was just probed. `others` are the service's other nodes.
pub(super) async fn inspect(node: &Node, others: Vec<Arc<Node>>, service: &Service, seen: Observation) -> Inspection {
    let answer = match seen.reach {
        Reach::Answered(answer) => *answer,
        reach => return unreachable(node, &reach).await,
    };
    let mut findings = Vec::new();
    match fitness::fitness(node).await {
        Err(why) => findings.push(error(why.to_string(), "see the message")),
        Ok(fitness) => {
            for statement in &fitness.missing_rights {
                findings.push(error(format!("{}: our login lacks a right", node.address), statement));
            }
            check_state(&answer, &mut findings);
            check_logging(&fitness, service, &mut findings);
            check_server_id(&others, &fitness, &mut findings).await;
            check_durability(&fitness, &mut findings);
            if service.replication == Replication::Managed {
                check_semi_sync(&fitness, &mut findings);
                check_standby(&answer, &fitness, service, &mut findings);
            }
        }
    }
    Inspection { version: Some(answer.version), identity: Some(answer.run_id), findings }
}

async fn unreachable(node: &Node, reach: &Reach) -> Inspection {
    let at = &node.address;
    let mut findings = match reach {
        Reach::Refused => vec![error(format!("{at}: nobody listens there"), "start the server, or mend the address")],
        Reach::Silent => {
            vec![error(
                format!("{at}: accepts connections and does not answer"),
                "look at the server: it hangs or is busy",
            )]
        }
        Reach::Unreachable(why) => vec![error(format!("{at}: {why}"), "mend the address, the name or the network")],
        Reach::Rejected(why) if why.contains("(1040)") => {
            vec![error(format!("{at}: {why}"), "SET GLOBAL max_connections to more, or end some")]
        }
        Reach::Rejected(why) => {
            vec![error(format!("{at}: {why}"), "mend the credentials, rights, TLS or address of this node")]
        }
        Reach::Answered(_) => Vec::new(),
    };
    // A login that lacks the rights of a probe may still ask which.
    if matches!(reach, Reach::Rejected(_))
        && let Ok(statements) = rights::missing(node).await
    {
        findings.extend(statements.iter().map(|statement| error(format!("{at}: our login lacks a right"), statement)));
    }
    Inspection { version: None, identity: None, findings }
}

/// What stands in the way of a switch as the node is now.
fn check_state(answer: &Answer, findings: &mut Vec<Finding>) {
    if answer.fenced {
        findings.push(error(
            "is read-only and follows nobody: it is fenced, or was left so",
            "if no operation is under way: SET GLOBAL read_only=OFF",
        ));
    }
    for other in &answer.other_managers {
        findings.push(error(
            format!("{other} manages this service here too"),
            "stop one of them: exactly one Pointsman manages a service",
        ));
    }
    for trouble in [&answer.sick, &answer.note].into_iter().filter(|words| !words.is_empty()) {
        findings.push(advice(trouble.clone(), "look at the server's log"));
    }
}

/// Without these nothing can be moved.
fn check_logging(fitness: &Fitness, service: &Service, findings: &mut Vec<Finding>) {
    let fact = |name: &str| fitness.facts.get(name).map(String::as_str);
    if service.replication == Replication::None {
        return;
    }
    for (name, wanted) in [
        ("gtid_mode", "ON"),
        ("enforce_gtid_consistency", "ON"),
        ("log_bin", "ON"),
        ("log_replica_updates", "ON"),
        ("log_slave_updates", "ON"),
    ] {
        if let Some(value) = fact(name).filter(|value| *value != wanted) {
            findings.push(error(
                format!("{name} is {value}: its transactions can't be moved to another primary"),
                format!("{name}={wanted} in its configuration, and a restart"),
            ));
        }
    }
    if let Some(format) = fact("binlog_format").filter(|format| *format != "ROW") {
        findings.push(advice(
            format!("binlog_format is {format}: statements may do something else at a standby"),
            "SET GLOBAL binlog_format=ROW",
        ));
    }
    if fact("gtid_strict_mode") == Some("OFF") {
        findings.push(advice(
            "gtid_strict_mode is off: a standby may take transactions in an order of its own",
            "SET GLOBAL gtid_strict_mode=ON",
        ));
    }
    if fact("performance_schema") == Some("OFF") {
        findings.push(advice(
            "performance_schema is off: another manager of this service could not be seen",
            "performance_schema=ON in its configuration, and a restart",
        ));
    }
    let number = |name: &str| fact(name).and_then(|value| value.parse::<u64>().ok());
    let needed = u64::try_from(service.max_connections).unwrap_or(u64::MAX).saturating_add(SPARE_CONNECTIONS);
    if let Some(max) = number("max_connections").filter(|max| *max < needed) {
        findings.push(advice(
            format!("takes {max} connections, and the service's max_connections needs {needed}"),
            format!("SET GLOBAL max_connections={needed}"),
        ));
    }
    if let Some(max) = number("max_connect_errors").filter(|max| *max < CONNECT_ERRORS) {
        findings.push(advice(
            format!("locks a host out after {max} connections that were broken off, also ours"),
            "SET GLOBAL max_connect_errors=1000000",
        ));
    }
}

/// A standby ignores what it takes for its own.
async fn check_server_id(others: &[Arc<Node>], fitness: &Fitness, findings: &mut Vec<Finding>) {
    let ours = fitness.facts.get("server_id").map_or("", String::as_str);
    for other in others {
        let Ok(answers) = other.run("SELECT @@server_id").await else { continue };
        if first(&answers).is_some_and(|row| row.at(0) == ours) {
            findings.push(error(
                format!("has the server_id {ours}, as {} has: they can't replicate from each other", other.address),
                "another server_id for one of them",
            ));
        }
    }
}

fn check_durability(fitness: &Fitness, findings: &mut Vec<Finding>) {
    for name in ["sync_binlog", "innodb_flush_log_at_trx_commit"] {
        if let Some(value) = fitness.facts.get(name).filter(|value| *value != "1") {
            findings.push(advice(
                format!("{name} is {value}: acknowledged transactions may be lost when its machine fails"),
                format!("SET GLOBAL {name}=1"),
            ));
        }
    }
}

fn check_semi_sync(fitness: &Fitness, findings: &mut Vec<Finding>) {
    let either = |names: [&str; 2]| names.iter().find_map(|name| fitness.facts.get(*name).map(String::as_str));
    let enabled = either(["rpl_semi_sync_source_enabled", "rpl_semi_sync_master_enabled"]);
    let timeout = either(["rpl_semi_sync_source_timeout", "rpl_semi_sync_master_timeout"]);
    let standby = either(["rpl_semi_sync_replica_enabled", "rpl_semi_sync_slave_enabled"]) == Some("ON");
    if enabled != Some("ON") && standby {
        // A standby that acknowledges: its primary is the one that matters.
    } else if enabled != Some("ON") {
        findings.push(advice(
            "replicates asynchronously: a crash may lose acknowledged transactions, and when it hangs it can't be replaced",
            "semi-synchronous replication with a time-out of an hour or more, or failover.unfenced = \"promote\"",
        ));
    } else if let Some(timeout) = timeout.and_then(|ms| ms.parse::<u64>().ok()).filter(|ms| *ms < NO_FALLBACK_MS) {
        findings.push(advice(
            format!("goes on without its standbys after {timeout} ms: when it hangs it can't be replaced"),
            "SET GLOBAL rpl_semi_sync_source_timeout=3600000 (rpl_semi_sync_master_timeout at MariaDB)",
        ));
    }
}

/// What serves detection and recovery better.
fn check_standby(answer: &Answer, fitness: &Fitness, service: &Service, findings: &mut Vec<Finding>) {
    let fact = |name: &str| fitness.facts.get(name).map_or("", String::as_str);
    let mysql = fitness.facts.contains_key("gtid_mode");
    if mysql && fact(CLONE) == "no" {
        findings.push(advice(
            "has no clone plugin, by which a node is made a standby again without a backup",
            "INSTALL PLUGIN clone SONAME 'mysql_clone.so'",
        ));
    }
    if !matches!(answer.part, Part::Standby { .. }) {
        return;
    }
    if answer.writable {
        findings.push(error(
            "takes writes as a standby, which its primary never has",
            if mysql { "SET GLOBAL super_read_only=ON" } else { "SET GLOBAL read_only=ON" },
        ));
    }
    if ["rpl_semi_sync_source_enabled", "rpl_semi_sync_master_enabled"].iter().any(|name| fact(name) == "ON") {
        findings.push(error(
            "waits for acknowledgements of standbys of its own when it applies what its primary sends",
            "SET GLOBAL rpl_semi_sync_source_enabled=OFF (rpl_semi_sync_master_enabled at MariaDB): it is switched on with its promotion",
        ));
    }
    if !answer.writable && fact(STARTS_READ_ONLY) == "no" {
        findings.push(advice(
            "would take writes after a restart",
            if mysql { "SET PERSIST super_read_only=ON" } else { "read_only=ON in its configuration" },
        ));
    }
    if fact("skip_replica_start") == "ON" || fact("skip_slave_start") == "ON" {
        findings.push(advice(
            "doesn't replicate after a restart until somebody starts it",
            "skip_replica_start=OFF (skip_slave_start) in its configuration",
        ));
    }
    if fact("relay_log_recovery") == "OFF" && mysql {
        findings.push(advice(
            "may have a broken relay log after its machine failed",
            "relay_log_recovery=ON in its configuration, and a restart",
        ));
    }
    if let Some(period) = answer.heartbeat.filter(|period| !service.tune && *period > Duration::from_secs(1)) {
        findings.push(advice(
            format!("hears from its primary every {period:?}: a hang is confirmed only after two periods"),
            if mysql {
                "STOP REPLICA; CHANGE REPLICATION SOURCE TO SOURCE_HEARTBEAT_PERIOD=1; START REPLICA, or tune = true"
            } else {
                "STOP SLAVE; CHANGE MASTER TO MASTER_HEARTBEAT_PERIOD=1; START SLAVE, or tune = true"
            },
        ));
    }
}

fn error(message: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { error: true, message: message.into(), mend: mend.into() }
}

fn advice(message: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { error: false, message: message.into(), mend: mend.into() }
}
