//! What replication doesn't carry, read from a node and compared between a primary and a candidate.
//!
//! Input: a node, or two readings. Output: facts by name, and refusals that name each difference and both values. Passwords appear as short
//! digests only, and salted ones not at all. It never changes anything at the node.

use super::{
    actions,
    client::CallError,
    flavour::Flavour,
    node::{Control, Node},
    rights,
    rows::{Row, Rows},
};
pub(super) use crate::store::likeness::VERSION;
use crate::{
    model::{error::StoreError, guard::Refusal, observation::Fitness},
    store::likeness::{self, Rule, Tables, digest},
};
use std::{collections::BTreeMap, sync::Arc};

/// Variables that are read, and how they are compared. One that a flavour or version doesn't have is no fact.
const SETTINGS: [(&str, Rule); 44] = [
    ("sql_mode", Rule::Equal),
    ("character_set_server", Rule::Equal),
    ("collation_server", Rule::Equal),
    ("lower_case_table_names", Rule::Equal),
    ("time_zone", Rule::Equal),
    ("transaction_isolation", Rule::Equal),
    ("tx_isolation", Rule::Equal),
    ("autocommit", Rule::Equal),
    ("default_storage_engine", Rule::Equal),
    ("explicit_defaults_for_timestamp", Rule::Equal),
    ("init_connect", Rule::Equal),
    ("local_infile", Rule::Equal),
    ("event_scheduler", Rule::Equal),
    ("max_connections", Rule::AtLeast),
    ("max_allowed_packet", Rule::AtLeast),
    ("max_prepared_stmt_count", Rule::AtLeast),
    ("group_concat_max_len", Rule::AtLeast),
    ("wait_timeout", Rule::AtLeast),
    ("max_user_connections", Rule::AtLeastOrEndless),
    ("server_id", Rule::Shown),
    ("read_only", Rule::Shown),
    ("super_read_only", Rule::Shown),
    ("gtid_mode", Rule::Shown),
    ("enforce_gtid_consistency", Rule::Shown),
    ("gtid_strict_mode", Rule::Shown),
    ("log_bin", Rule::Shown),
    ("log_replica_updates", Rule::Shown),
    ("log_slave_updates", Rule::Shown),
    ("binlog_format", Rule::Shown),
    ("sync_binlog", Rule::Shown),
    ("innodb_flush_log_at_trx_commit", Rule::Shown),
    ("relay_log_recovery", Rule::Shown),
    ("skip_replica_start", Rule::Shown),
    ("skip_slave_start", Rule::Shown),
    ("performance_schema", Rule::Shown),
    ("max_connect_errors", Rule::Shown),
    ("rpl_semi_sync_source_enabled", Rule::Shown),
    ("rpl_semi_sync_source_timeout", Rule::Shown),
    ("rpl_semi_sync_source_wait_for_replica_count", Rule::Shown),
    ("rpl_semi_sync_replica_enabled", Rule::Shown),
    ("rpl_semi_sync_master_enabled", Rule::Shown),
    ("rpl_semi_sync_master_timeout", Rule::Shown),
    ("rpl_semi_sync_slave_enabled", Rule::Shown),
    ("port", Rule::Shown),
];
/// What a fact's name begins with when it is a user.
const USER: &str = "user ";
/// The fact whether it would be read-only after a restart.
pub(super) const STARTS_READ_ONLY: &str = "starts read-only";
/// The fact whether the clone plugin is there.
pub(super) const CLONE: &str = "plugin clone";
/// Columns of users that differ between servers without a meaning, or hold salted passwords.
const IGNORED: [&str; 9] = [
    "host",
    "user",
    "authentication_string",
    "password",
    "plugin",
    "password_last_changed",
    "password_lifetime",
    "timestamp",
    "grantor",
];
/// Plugins whose stored proof is the same for the same password on every server.
const UNSALTED: [&str; 2] = ["mysql_native_password", "ed25519"];
/// Accounts of the server itself.
const SYSTEM: [&str; 5] = ["mysql.sys", "mysql.session", "mysql.infoschema", "mariadb.sys", "PUBLIC"];

/// Reads a node's facts and the rights that our login lacks there.
pub(super) async fn fitness(node: &Node) -> Result<Fitness, StoreError> {
    let missing_rights = rights::missing(node).await?;
    let mut control = node.control.lock().await;
    let flavour = actions::flavour(node, &mut control).await?;
    let mut facts = BTreeMap::new();
    let names: Vec<String> = SETTINGS.iter().map(|(name, _)| format!("'{name}'")).collect();
    let statement = format!("SELECT @@version; SHOW GLOBAL VARIABLES WHERE Variable_name IN ({})", names.join(","));
    let answers = node.run_on(&mut control, &statement, node.limit).await?;
    let version = answers.first().and_then(Rows::first).map(|row| row.at(0)).unwrap_or_default();
    facts.insert(VERSION.to_owned(), flavour.version(version));
    for row in answers.get(1).into_iter().flat_map(Rows::iter) {
        facts.insert(row.at(0).to_ascii_lowercase(), row.at(1).to_owned());
    }
    let (start, clone) = (
        starts_read_only(flavour),
        "SELECT COUNT(*) FROM information_schema.PLUGINS \
        WHERE PLUGIN_NAME = 'clone' AND PLUGIN_STATUS = 'ACTIVE'",
    );
    for (fact, statement) in [(STARTS_READ_ONLY, start), (CLONE, clone)] {
        let answers = ask(node, &mut control, statement).await?;
        if let Some(row) = answers.first().and_then(Rows::first) {
            facts.insert(fact.to_owned(), if row.at(0) == "0" { "no" } else { "yes" }.to_owned());
        }
    }
    add_users(node, &mut control, flavour, &mut facts).await?;
    Ok(Fitness { facts: Arc::new(facts), missing_rights, ..Fitness::default() })
}

/// Counts what makes a server read-only when it starts.
fn starts_read_only(flavour: Flavour) -> &'static str {
    flavour.pick(
        "SELECT (SELECT COUNT(*) FROM performance_schema.persisted_variables \
         WHERE VARIABLE_NAME = 'super_read_only' AND VARIABLE_VALUE = 'ON') + \
         (SELECT COUNT(*) FROM performance_schema.variables_info WHERE VARIABLE_NAME IN ('read_only', 'super_read_only') \
         AND VARIABLE_SOURCE NOT IN ('COMPILED', 'DYNAMIC') AND @@GLOBAL.read_only = 1)",
        "SELECT COUNT(*) FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_NAME = 'READ_ONLY' \
         AND GLOBAL_VALUE_PATH IS NOT NULL AND GLOBAL_VALUE <> 'OFF'",
    )
}

/// Rows of a statement; none where our login may not ask, which is a missing right and named there.
async fn ask(node: &Node, control: &mut Control, statement: &str) -> Result<Vec<Rows>, StoreError> {
    match node.try_on(control, statement, node.limit).await {
        Err(CallError::Refused { .. }) => Ok(Vec::new()),
        outcome => outcome.map_err(|error| node.failed(statement, &error)),
    }
}

/// One fact a user: its plugin, its password where that can be compared, and a digest of its rights.
async fn add_users(
    node: &Node,
    control: &mut Control,
    flavour: Flavour,
    facts: &mut BTreeMap<String, String>,
) -> Result<(), StoreError> {
    let users = ask(node, control, "SELECT * FROM mysql.user").await?;
    let mut rights: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let tables: &[&str] = flavour.pick(
        &["db", "tables_priv", "global_grants", "role_edges", "default_roles"],
        &["db", "tables_priv", "roles_mapping"],
    );
    for table in tables {
        let answers = ask(node, control, &format!("SELECT * FROM mysql.{table}")).await?;
        for row in answers.first().into_iter().flat_map(Rows::iter) {
            let account = account(if *table == "role_edges" { ("TO_USER", "TO_HOST") } else { ("User", "Host") }, row);
            rights.entry(account).or_default().push(format!("{table} {}", spelled(row)));
        }
    }
    for row in users.first().into_iter().flat_map(Rows::iter).filter(|row| !SYSTEM.contains(&row.get("User"))) {
        let name = account(("User", "Host"), row);
        let mut theirs = rights.remove(&name).unwrap_or_default();
        theirs.push(spelled(row));
        theirs.sort_unstable();
        let plugin = row.get("plugin");
        let proof = if row.get("authentication_string").is_empty() {
            row.get("Password")
        } else {
            row.get("authentication_string")
        };
        let password = match proof {
            "" => "no password".to_owned(),
            proof if UNSALTED.contains(&plugin) => format!("password {}", digest(proof)),
            _ => "a password".to_owned(),
        };
        facts.insert(format!("{USER}{name}"), format!("{plugin}, {password}, rights {}", digest(&theirs.join("\n"))));
    }
    Ok(())
}

fn account((user, host): (&str, &str), row: Row<'_>) -> String {
    format!("{}@{}", row.get(user), row.get(host))
}

/// The columns that mean a right or a limit.
fn spelled(row: Row<'_>) -> String {
    let kept = row.pairs().filter(|(column, _)| !IGNORED.contains(&column.to_ascii_lowercase().as_str()));
    kept.map(|(column, value)| format!("{column}={value}")).collect::<Vec<_>>().join(" ")
}

/// Each difference that applications would feel after a switch, and each right that our login lacks.
pub(super) fn compare(primary: &Fitness, candidate: &Fitness) -> Vec<Refusal> {
    let older = "version (a primary can't be older than the one before)";
    likeness::compare(&Tables { settings: &SETTINGS, users: USER, at_least: &[], older }, primary, candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(primary: &[(&str, &str)], candidate: &[(&str, &str)]) -> Vec<String> {
        let fitness = |facts: &[(&str, &str)]| Fitness {
            facts: Arc::new(facts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()),
            ..Fitness::default()
        };
        compare(&fitness(primary), &fitness(candidate)).into_iter().map(|refusal| refusal.detail).collect()
    }

    #[test]
    fn a_smaller_candidate_is_refused_and_a_bigger_one_is_not() {
        let found = details(&[("max_connections", "500")], &[("max_connections", "151")]);
        assert_eq!(found, [r#"max_connections: the primary has "500", the candidate "151""#]);
        assert!(details(&[("max_connections", "151")], &[("max_connections", "500")]).is_empty());
        assert!(details(&[("max_user_connections", "5")], &[("max_user_connections", "0")]).is_empty());
        assert_eq!(details(&[("max_user_connections", "0")], &[("max_user_connections", "5")]).len(), 1);
        assert_eq!(details(&[("sql_mode", "ANSI")], &[("sql_mode", "")]).len(), 1);
        assert!(details(&[("server_id", "1")], &[("server_id", "2")]).is_empty());
    }

    #[test]
    fn users_and_versions_differ_by_name() {
        let found = details(
            &[("user app@%", "p, a password, rights 1"), ("user old@%", "")],
            &[("user app@%", "p, a password, rights 2"), ("user new@%", "")],
        );
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(details(&[("version", "9.7.4")], &[("version", "8.4.2")]).len(), 1);
        assert!(details(&[("version", "9.7.4")], &[("version", "9.7.1")]).is_empty());
        assert_eq!(details(&[("version", "mariadb 11.4.2")], &[("version", "mariadb 10.11.2")]).len(), 1);
    }
}
