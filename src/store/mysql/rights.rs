//! The rights that our login needs at a node, and which of them it lacks.
//!
//! Input: what `SHOW GRANTS` lists of our own account, its active roles among it. Output: statements that grant what is missing. It
//! never changes anything.

use super::{
    actions,
    flavour::Flavour,
    node::Node,
    rows::{Row, Rows},
};
use crate::model::error::StoreError;
use std::collections::BTreeSet;

/// The statements that give a MySQL login exactly the rights that are needed.
pub const MYSQL_GRANTS: [&str; 3] = [
    "GRANT REPLICATION CLIENT, RELOAD, PROCESS, REPLICATION_SLAVE_ADMIN, SYSTEM_VARIABLES_ADMIN, CONNECTION_ADMIN \
     ON *.* TO 'pointsman'@'%'",
    "GRANT SELECT ON performance_schema.* TO 'pointsman'@'%'",
    "GRANT SELECT ON mysql.* TO 'pointsman'@'%'",
];

/// The same for MariaDB.
pub const MARIADB_GRANTS: [&str; 3] = [
    "GRANT BINLOG MONITOR, SLAVE MONITOR, RELOAD, PROCESS, REPLICATION SLAVE ADMIN, REPLICATION MASTER ADMIN, \
     READ_ONLY ADMIN, CONNECTION ADMIN ON *.* TO 'pointsman'@'%'",
    "GRANT SELECT ON performance_schema.* TO 'pointsman'@'%'",
    "GRANT SELECT ON mysql.* TO 'pointsman'@'%'",
];

/// Rights that MySQL's `SUPER` includes.
const SUPER: [&str; 3] = ["REPLICATION SLAVE ADMIN", "SYSTEM VARIABLES ADMIN", "CONNECTION ADMIN"];

/// What an account was granted: rights (blanks for `_`) and where (`*.*`, `mysql.*`).
#[derive(Debug, Default)]
struct Granted(BTreeSet<(String, String)>);

impl Granted {
    fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut granted = BTreeSet::new();
        for line in lines {
            let Some((rights, place)) = parts(line) else { continue };
            let place = place.replace('`', "");
            granted.extend(rights.split(',').map(|right| (plain(right), place.clone())));
        }
        Self(granted)
    }

    fn has(&self, right: &str, place: &str, flavour: Flavour) -> bool {
        let right = plain(right);
        let at = |right: &str, place: &str| self.0.contains(&(right.to_owned(), place.to_owned()));
        let everything = |place: &str| at("ALL PRIVILEGES", place) && (place != "*.*" || !is_dynamic(&right, flavour));
        let by_super = flavour == Flavour::Mysql && SUPER.contains(&right.as_str()) && at("SUPER", "*.*");
        at(&right, "*.*") || at(&right, place) || everything("*.*") || everything(place) || by_super
    }
}

/// MySQL lists its dynamic rights beside `ALL PRIVILEGES`.
fn is_dynamic(right: &str, flavour: Flavour) -> bool {
    flavour == Flavour::Mysql && SUPER.contains(&right)
}

/// Rights and place of `GRANT rights ON place TO …`; none for a granted role.
fn parts(line: &str) -> Option<(&str, &str)> {
    let (rights, rest) = line.strip_prefix("GRANT ")?.split_once(" ON ")?;
    Some((rights, rest.split_once(" TO ")?.0))
}

fn plain(right: &str) -> String {
    right.trim().to_ascii_uppercase().replace('_', " ")
}

/// The statements that grant what our login lacks at `node`.
pub(super) async fn missing(node: &Node) -> Result<Vec<String>, StoreError> {
    let mut control = node.control.lock().await;
    let flavour = actions::flavour(node, &mut control).await?;
    let answers = node.run_on(&mut control, "SELECT CURRENT_USER(); SHOW GRANTS", node.limit).await?;
    let account = answers.first().and_then(Rows::first).map(|row| row.at(0)).unwrap_or_default();
    let lines = answers.get(1).into_iter().flat_map(Rows::iter).map(|row: Row<'_>| row.at(0));
    Ok(lacking(flavour, account, lines))
}

fn lacking<'a>(flavour: Flavour, account: &str, lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let granted = Granted::read(lines);
    let account =
        account.rsplit_once('@').map_or_else(|| account.to_owned(), |(user, host)| format!("'{user}'@'{host}'"));
    let mut statements = Vec::new();
    for needed in flavour.pick(MYSQL_GRANTS, MARIADB_GRANTS) {
        let Some((rights, place)) = parts(needed) else { continue };
        let missing: Vec<&str> =
            rights.split(',').map(str::trim).filter(|right| !granted.has(right, place, flavour)).collect();
        if !missing.is_empty() {
            statements.push(format!("GRANT {} ON {place} TO {account}", missing.join(", ")));
        }
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_documented_is_enough_and_less_is_not() {
        for (flavour, all) in [(Flavour::Mysql, MYSQL_GRANTS), (Flavour::MariaDb, MARIADB_GRANTS)] {
            assert_eq!(lacking(flavour, "pointsman@%", all.into_iter()), [""; 0]);
            let lines = ["GRANT USAGE ON *.* TO `pointsman`@`%`"];
            assert_eq!(lacking(flavour, "pointsman@%", lines.into_iter()), all);
        }
    }

    #[test]
    fn one_missing_right_is_one_short_statement() {
        let lines = [
            "GRANT RELOAD, PROCESS, REPLICATION CLIENT ON *.* TO `p`@`10.%`",
            "GRANT CONNECTION_ADMIN,REPLICATION_SLAVE_ADMIN ON *.* TO `p`@`10.%`",
            "GRANT SELECT ON `performance_schema`.* TO `p`@`10.%`",
            "GRANT SELECT ON `mysql`.* TO `p`@`10.%`",
            "GRANT `role`@`%` TO `p`@`10.%`",
        ];
        let found = lacking(Flavour::Mysql, "p@10.%", lines.into_iter());
        assert_eq!(found, ["GRANT SYSTEM_VARIABLES_ADMIN ON *.* TO 'p'@'10.%'"]);
    }

    #[test]
    fn everything_is_everything() {
        let root = ["GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION"];
        assert_eq!(lacking(Flavour::MariaDb, "root@%", root.into_iter()), [""; 0]);
        let root = [root[0], "GRANT SUPER ON *.* TO `root`@`%`"];
        assert_eq!(lacking(Flavour::Mysql, "root@%", root.into_iter()), [""; 0]);
        assert_eq!(lacking(Flavour::Mysql, "root@%", root[..1].iter().copied()).len(), 1, "dynamic rights are listed");
    }
}
