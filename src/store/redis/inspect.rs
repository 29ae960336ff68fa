//! What `check --connect` says of a node: what would fail or block a switch, and what would serve it better.
//!
//! Input: a node's observation and facts, the service's settings. Output: findings, each with what mends it. It changes nothing.

use super::{FENCE, fitness, node::Node};
use crate::{
    config::{Replication, Service, Unfenced},
    model::observation::{Answer, Fitness, Observation, Part, Reach},
    store::{Finding, Inspection},
};

/// A standby that was away finds what it missed in the backlog, up to this size; Redis's default, 1 MiB, lasts seconds.
const BACKLOG: u64 = 16 * 1024 * 1024;
/// Connections that a server needs beside those of applications: standbys, probes, operators.
const SPARE_CONNECTIONS: u64 = 32;

/// Inspects one node that was just probed.
pub(super) async fn inspect(node: &Node, service: &Service, seen: Observation) -> Inspection {
    let answer = match seen.reach {
        Reach::Answered(answer) => *answer,
        reach => return Inspection { version: None, identity: None, findings: vec![unreachable(node, &reach)] },
    };
    let mut findings = Vec::new();
    match fitness::fitness(node).await {
        Err(why) => findings.push(error(why.to_string(), "see the message")),
        Ok(fitness) => {
            for statement in &fitness.missing_rights {
                let blind = statement.ends_with("+acl|dryrun");
                let more = if blind { "; some of the others can be tested only when it is granted" } else { "" };
                findings.push(error(format!("{}: our login lacks a right{more}", node.address), statement));
            }
            check_state(&answer, &fitness, &mut findings);
            check_settings(&answer, &fitness, service, &mut findings);
        }
    }
    Inspection { version: Some(answer.version), identity: Some(answer.run_id), findings }
}

fn unreachable(node: &Node, reach: &Reach) -> Finding {
    let at = &node.address;
    match reach {
        Reach::Refused => error(format!("{at}: nobody listens there"), "start the server, or mend the address"),
        Reach::Silent => {
            error(format!("{at}: accepts connections and does not answer"), "look at the server: it hangs or is busy")
        }
        Reach::Unreachable(why) => error(format!("{at}: {why}"), "mend the address, the name or the network"),
        Reach::Rejected(why) if why.starts_with("NOPERM") => {
            error(format!("{at}: {why}"), format!("ACL SETUSER {} +info +client|setname", node.user()))
        }
        Reach::Rejected(why) => {
            error(format!("{at}: {why}"), "mend the credentials, TLS or address of this node in the configuration")
        }
        Reach::Answered(_) => error(format!("{at}: answered"), ""),
    }
}

/// What stands in the way of a switch as the node is now.
fn check_state(answer: &Answer, fitness: &Fitness, findings: &mut Vec<Finding>) {
    let fact = |name: &str| fitness.facts.get(name).map_or("", String::as_str);
    if answer.fenced {
        findings.push(error(
            format!("a fence is set (min-replicas-to-write is {FENCE} or more): no write is accepted"),
            "if no operation is under way: CONFIG SET min-replicas-to-write 0",
        ));
    }
    for other in &answer.other_managers {
        findings.push(error(
            format!("{other} manages this service here too"),
            "stop one of them: exactly one Pointsman manages a service",
        ));
    }
    if fact("mode") == "cluster" {
        findings.push(error("runs as a node of Redis Cluster, which moves its roles itself", "cluster-enabled no"));
    }
    if before_6_2(fact("version")) {
        findings.push(advice(
            format!("{} can't pause writes alone: scripts may hide the fence from their callers", answer.version),
            "upgrade to Redis 6.2 or later",
        ));
    }
    let default_user = fact("acl user default");
    if fact("masterauth").is_empty() && !default_user.is_empty() && !default_user.contains("nopass") {
        findings.push(error(
            "asks for a password but has none itself for its primary: once demoted it could not replicate",
            "CONFIG SET masterauth PASSWORD (and masteruser USER)",
        ));
    }
    for trouble in [&answer.sick, &answer.note].into_iter().filter(|words| !words.is_empty()) {
        let mend = match trouble {
            words if words.contains("(NOREPLICAS)") => "bring its standbys back, or CONFIG SET min-replicas-to-write 0",
            words if words.contains("(OOM)") => "CONFIG SET maxmemory to more, or maxmemory-policy to one that evicts",
            _ => "look at the server's log",
        };
        findings.push(advice(trouble.clone(), mend));
    }
    if fact("config file").is_empty() && !fact("version").is_empty() {
        findings.push(advice(
            "was started without a configuration file: its role and settings are forgotten when it restarts",
            "start it with a configuration file, so that CONFIG REWRITE can keep them",
        ));
    }
}

/// Settings that serve detection and recovery better.
fn check_settings(answer: &Answer, fitness: &Fitness, service: &Service, findings: &mut Vec<Finding>) {
    let number = |name: &str| fitness.facts.get(name).and_then(|value| value.parse::<u64>().ok());
    let managed = service.replication == Replication::Managed;
    let mut advise = |message: String, mend: String| findings.push(advice(message, mend));
    if managed && !service.tune && number("repl-ping-replica-period").is_some_and(|period| period > 1) {
        let period = number("repl-ping-replica-period").unwrap_or_default();
        advise(
            format!("pings its standbys every {period} s: a hang is confirmed only after two periods"),
            "CONFIG SET repl-ping-replica-period 1, or tune = true".to_owned(),
        );
    }
    if managed && number("repl-backlog-size").is_some_and(|size| size < BACKLOG) {
        let size = number("repl-backlog-size").unwrap_or_default();
        advise(
            format!("keeps a backlog of {size} bytes: a standby that was away for long needs a full copy"),
            "CONFIG SET repl-backlog-size 64mb".to_owned(),
        );
    }
    let fact = |name: &str| fitness.facts.get(name).map_or("", String::as_str);
    if managed && copies_at_once(number, fact) {
        let limited = number("repl-diskless-sync-max-replicas").is_some_and(|replicas| replicas > 0);
        let no_limit = if limited { " repl-diskless-sync-max-replicas 0" } else { "" };
        advise(
            "begins full copies at once: after an empty restart it can empty its standbys before they are parked"
                .to_owned(),
            format!("CONFIG SET repl-diskless-sync yes repl-diskless-sync-delay 5{no_limit}"),
        );
    }
    if managed && !answer.fenced {
        findings_of_self_fence(service, number("min-replicas-to-write"), &mut advise);
    }
    if managed && number("min-replicas-max-lag") == Some(0) {
        advise(
            "min-replicas-max-lag 0 switches min-replicas-to-write off".to_owned(),
            "CONFIG SET min-replicas-max-lag 10".to_owned(),
        );
    }
    if fact("appendonly") == "no" && fact("save").is_empty() && fitness.facts.contains_key("save") {
        advise(
            "keeps nothing on disk: a restart empties it, and its standbys with it".to_owned(),
            "CONFIG SET appendonly yes".to_owned(),
        );
    }
    let needed = u64::try_from(service.max_connections).unwrap_or(u64::MAX).saturating_add(SPARE_CONNECTIONS);
    if number("maxclients").is_some_and(|max| max < needed) {
        advise(
            format!("takes {} connections, and the service's max_connections needs {needed}", fact("maxclients")),
            format!("CONFIG SET maxclients {needed}"),
        );
    }
    if matches!(answer.part, Part::Standby { .. }) && fact("replica-read-only") == "no" {
        advise(
            "takes writes as a standby, which are lost at the next copy".to_owned(),
            "CONFIG SET replica-read-only yes".to_owned(),
        );
    }
}

/// Whether a copy may begin within the second in which a standby asks for it. The delay is counted in whole seconds of the server's
/// clock, so that one of 1 may be none, and a copy by a file knows no delay (Redis's replication.c, `syncCommand` and
/// `shouldStartChildReplication`).
fn copies_at_once<'a>(number: impl Fn(&str) -> Option<u64>, fact: impl Fn(&str) -> &'a str) -> bool {
    fact("repl-diskless-sync") == "no"
        || number("repl-diskless-sync-delay").is_some_and(|delay| delay < 2)
        || number("repl-diskless-sync-max-replicas").is_some_and(|replicas| replicas > 0)
}

/// A primary that stops by itself can be replaced when it hangs; but of two nodes the promoted one has no standby, and stops too.
fn findings_of_self_fence(service: &Service, needs: Option<u64>, advise: &mut impl FnMut(String, String)) {
    let pair = service.nodes().count() < 3;
    match needs {
        Some(0) if service.failover.unfenced == Unfenced::Promote => {}
        Some(0) => {
            let mend = if pair {
                "a third node and CONFIG SET min-replicas-to-write 1 on each, or failover.unfenced = \"promote\": it may then take \
                 writes that are lost"
            } else {
                "CONFIG SET min-replicas-to-write 1"
            };
            advise(
                "goes on taking writes when it has lost its standbys, so it can't be replaced when it hangs".to_owned(),
                mend.to_owned(),
            );
        }
        Some(needs) if pair => advise(
            format!(
                "takes no writes without {needs} standby: after a failover the other node has none, and refuses writes (NOREPLICAS)"
            ),
            "a third node, or CONFIG SET min-replicas-to-write 0".to_owned(),
        ),
        _ => {}
    }
}

fn before_6_2(version: &str) -> bool {
    let mut numbers =
        version.strip_prefix("redis ").unwrap_or("7.0").split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < (6, 2)
}

fn error(message: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { error: true, message: message.into(), mend: mend.into() }
}

fn advice(message: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { error: false, message: message.into(), mend: mend.into() }
}
