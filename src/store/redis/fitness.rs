//! What replication doesn't carry, read from a node and compared between a primary and a candidate.
//!
//! Input: a node, or two readings. Output: facts by name, and refusals that name each difference and both values. Passwords
//! appear as short digests only. It never changes anything at the node.

use super::{
    client::Pipeline,
    node::Node,
    reply::{Info, Reply, config_value, error, text},
    rights,
    rules::in_one_order,
};
use crate::{
    model::{error::StoreError, guard::Refusal, observation::Fitness},
    store::likeness::{self, Rule, Tables, VERSION, digest},
};
use std::{collections::BTreeMap, sync::Arc};

/// Settings that are read, and how they are compared.
const SETTINGS: [(&str, Rule); 18] = [
    ("maxmemory", Rule::AtLeastOrEndless),
    ("maxmemory-policy", Rule::Equal),
    ("maxclients", Rule::AtLeast),
    ("databases", Rule::AtLeast),
    ("proto-max-bulk-len", Rule::AtLeast),
    ("notify-keyspace-events", Rule::Equal),
    ("masteruser", Rule::Equal),
    (MASTERAUTH, Rule::Equal),
    ("repl-ping-replica-period", Rule::Shown),
    ("min-replicas-to-write", Rule::Shown),
    ("min-replicas-max-lag", Rule::Shown),
    ("repl-backlog-size", Rule::Shown),
    ("repl-diskless-sync", Rule::Shown),
    ("repl-diskless-sync-delay", Rule::Shown),
    ("repl-diskless-sync-max-replicas", Rule::Shown),
    ("appendonly", Rule::Shown),
    ("save", Rule::Shown),
    ("replica-read-only", Rule::Shown),
];
/// The setting that holds a password.
const MASTERAUTH: &str = "masterauth";
/// What a fact's name begins with when it is a user's rights.
const USER: &str = "acl user ";
/// What a fact's name begins with when it is a module's version.
const MODULE: &str = "module ";

/// Reads a node's facts and the rights that our login lacks there.
pub(super) async fn fitness(node: &Node) -> Result<Fitness, StoreError> {
    let missing_rights = rights::missing(node).await.map_err(|error| node.failed(&["ACL DRYRUN"], &error))?;
    let mut commands = Pipeline::of(&["INFO server", "INFO modules", "ACL LIST"]);
    for (name, _) in &SETTINGS {
        commands.push(["CONFIG", "GET", name]);
    }
    let replies = node.call(&commands).await.map_err(|error| node.failed(&["CONFIG GET"], &error))?;
    let mut facts = BTreeMap::new();
    let (mut head, settings) = (replies.iter(), replies.get(3..).unwrap_or_default());
    add_server(&mut facts, head.next());
    add_modules(&mut facts, head.next());
    add_users(&mut facts, head.next());
    for ((name, _), reply) in SETTINGS.iter().zip(settings) {
        // A refused CONFIG GET is a missing right and named there; a setting that this version lacks is no fact.
        if let Some(value) = config_value(reply) {
            let value = if *name == MASTERAUTH { hidden(&value) } else { sorted_flags(name, value) };
            facts.insert((*name).to_owned(), value);
        }
    }
    if let Some(why) = replies.iter().find_map(error).filter(|why| !why.starts_with("NOPERM")) {
        return Err(node.refused("CONFIG GET", why));
    }
    Ok(Fitness { facts: Arc::new(facts), missing_rights, ..Fitness::default() })
}

fn add_server(facts: &mut BTreeMap<String, String>, reply: Option<&Reply>) {
    if let Some(info) = reply.and_then(Info::read) {
        let (name, version) = match (info.get("server_name"), info.get("valkey_version")) {
            (Some(name), Some(version)) => (name, version),
            _ => ("redis", info.get("redis_version").unwrap_or_default()),
        };
        facts.insert(VERSION.to_owned(), format!("{name} {version}"));
        facts.insert("mode".to_owned(), info.get("redis_mode").unwrap_or("standalone").to_owned());
        facts.insert("config file".to_owned(), info.get("config_file").unwrap_or_default().to_owned());
    }
}

/// Lines such as `module:name=ReJSON,ver=20609,...`.
fn add_modules(facts: &mut BTreeMap<String, String>, reply: Option<&Reply>) {
    let list = reply.and_then(text).unwrap_or_default();
    for line in list.lines().filter_map(|line| line.strip_prefix("module:")) {
        let field = |name: &str| line.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        if let Some(name) = field("name") {
            facts.insert(format!("{MODULE}{name}"), field("ver").unwrap_or_default().to_owned());
        }
    }
}

/// Lines such as `user app on #HASH ~* &* +@all`.
fn add_users(facts: &mut BTreeMap<String, String>, reply: Option<&Reply>) {
    let Some(Reply::Array(lines)) = reply else { return };
    for line in lines.iter().filter_map(text) {
        let mut words = line.split_whitespace().skip(1);
        let Some(name) = words.next() else { continue };
        let mut rules: Vec<String> = words
            // Newer versions spell out what is the default in older ones.
            .filter(|rule| !matches!(*rule, "sanitize-payload" | "resetchannels"))
            .map(|rule| rule.strip_prefix('#').map_or_else(|| rule.to_owned(), |hash| format!("#{}", digest(hash))))
            .collect();
        in_one_order(&mut rules);
        facts.insert(format!("{USER}{name}"), rules.join(" "));
    }
}

fn hidden(password: &str) -> String {
    if password.is_empty() { String::new() } else { format!("(set, digest {})", digest(password)) }
}

/// The same flags in another order are the same setting.
fn sorted_flags(name: &str, value: String) -> String {
    if name != "notify-keyspace-events" {
        return value;
    }
    let mut flags: Vec<char> = value.chars().collect();
    flags.sort_unstable();
    flags.into_iter().collect()
}

/// Each difference that applications would feel after a switch, and each right that our login lacks.
pub(super) fn compare(primary: &Fitness, candidate: &Fitness) -> Vec<Refusal> {
    let older = "version (a primary can't be newer than its standby)";
    likeness::compare(&Tables { settings: &SETTINGS, users: USER, at_least: &[MODULE], older }, primary, candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitness(facts: &[(&str, &str)]) -> Fitness {
        let facts = facts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Fitness { facts: Arc::new(facts), ..Fitness::default() }
    }

    fn details(primary: &[(&str, &str)], candidate: &[(&str, &str)]) -> Vec<String> {
        compare(&fitness(primary), &fitness(candidate)).into_iter().map(|refusal| refusal.detail).collect()
    }

    #[test]
    fn a_smaller_candidate_is_refused_and_a_bigger_one_is_not() {
        let found = details(&[("maxmemory", "100")], &[("maxmemory", "50")]);
        assert_eq!(found, [r#"maxmemory: the primary has "100", the candidate "50""#]);
        assert!(details(&[("maxmemory", "100")], &[("maxmemory", "0")]).is_empty());
        assert_eq!(details(&[("maxmemory", "0")], &[("maxmemory", "100")]).len(), 1);
        assert!(details(&[("databases", "16")], &[("databases", "32")]).is_empty());
        assert!(details(&[("repl-backlog-size", "1")], &[("repl-backlog-size", "2")]).is_empty());
    }

    #[test]
    fn users_modules_and_versions_differ_by_name() {
        let primary = [("acl user app", "on ~* +@all"), ("acl user old", "off"), ("module json", "2")];
        let candidate = [("acl user app", "on ~* +@read"), ("acl user new", "on")];
        let found = details(&primary, &candidate);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found.iter().any(|detail| detail == "acl user old: the candidate has none"));
        assert!(found.iter().any(|detail| detail == "acl user new: only the candidate has it"));
        assert!(found.iter().any(|detail| detail == "module json: the candidate has none"));
        assert_eq!(details(&[("version", "redis 7.0.15")], &[("version", "redis 6.2.1")]).len(), 1);
        assert!(details(&[("version", "redis 7.0.15")], &[("version", "redis 7.0.2")]).is_empty());
        assert!(details(&[("version", "redis 7.0.15")], &[("version", "redis 8.0.2")]).is_empty());
    }

    #[test]
    fn passwords_are_never_shown() {
        let mut facts = BTreeMap::new();
        let line = format!("user app on #{} sanitize-payload ~* &* +@all", "ab".repeat(32));
        add_users(&mut facts, Some(&Reply::Array(vec![Reply::BulkString(line.into())])));
        let rules = &facts["acl user app"];
        assert!(rules.starts_with("on #") && rules.ends_with(" ~* &* +@all"), "{rules}");
        assert!(!rules.contains("abab") && rules.len() < 30);
        assert!(!hidden("secret").contains("secret"));
        assert_eq!(hidden(""), "");
    }
}
