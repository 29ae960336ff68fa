//! What MySQL and MariaDB call the same things: statements, and how their answers are read.
//!
//! Input: rows of a node. Output: plain values. It asks nothing itself.

use super::{
    client::quoted,
    rows::{Row, Rows},
};
use crate::model::transactions::{NotTransactions, Transactions};
use std::time::Duration;

/// Which of the two a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    /// MySQL 8.0.26 or later.
    Mysql,
    /// MariaDB 10.6 or later.
    MariaDb,
}

impl Flavour {
    /// The flavour of a node with that version text.
    pub(super) fn of(version: &str) -> Self {
        if version.contains("MariaDB") { Self::MariaDb } else { Self::Mysql }
    }

    /// `9.7.4`, or `mariadb 10.11.19`.
    pub(super) fn version(self, text: &str) -> String {
        // What MariaDB puts before its version in a greeting, for the eyes of old replicas.
        let text = text.strip_prefix("5.5.5-").unwrap_or(text);
        let number = text.split('-').find(|part| part.contains('.')).unwrap_or(text);
        match self {
            Self::Mysql => number.to_owned(),
            Self::MariaDb => format!("mariadb {number}"),
        }
    }

    /// The first for MySQL, the second for MariaDB.
    pub(super) fn pick<T>(self, mysql: T, mariadb: T) -> T {
        if self == Self::Mysql { mysql } else { mariadb }
    }

    /// Everything that is executed here, as one row with one value.
    pub(super) fn executed(self) -> &'static str {
        self.pick(
            "SELECT @@GLOBAL.gtid_executed",
            "SELECT CONCAT_WS(',', @@GLOBAL.gtid_binlog_state, @@GLOBAL.gtid_slave_pos)",
        )
    }

    /// What a probe asks each time: state, uptime, replication, and what only MySQL keeps elsewhere.
    pub(super) fn questions(self) -> &'static str {
        self.pick(
            "SELECT @@server_uuid AS identity, UNIX_TIMESTAMP() AS now, @@GLOBAL.read_only AS read_only, \
             @@GLOBAL.super_read_only AS super_read_only, @@GLOBAL.offline_mode AS offline_mode, \
             @@GLOBAL.gtid_executed AS executed, @@GLOBAL.gtid_mode AS gtid_mode; \
             SHOW GLOBAL STATUS LIKE 'Uptime'; SHOW REPLICA STATUS; \
             SELECT c.CHANNEL_NAME AS channel, c.HEARTBEAT_INTERVAL AS period, s.COUNT_RECEIVED_HEARTBEATS AS heard \
             FROM performance_schema.replication_connection_configuration c \
             JOIN performance_schema.replication_connection_status s ON s.CHANNEL_NAME = c.CHANNEL_NAME",
            "SELECT CONCAT(@@hostname, ':', @@port, ':', @@server_id) AS identity, UNIX_TIMESTAMP() AS now, \
             @@GLOBAL.read_only AS read_only, 0 AS super_read_only, 0 AS offline_mode, \
             CONCAT_WS(',', @@GLOBAL.gtid_binlog_state, @@GLOBAL.gtid_slave_pos) AS executed, 'ON' AS gtid_mode; \
             SHOW GLOBAL STATUS LIKE 'Uptime'; SHOW ALL SLAVES STATUS; DO 0",
        )
    }

    /// The status of replication alone.
    pub(super) fn replication(self) -> &'static str {
        self.pick("SHOW REPLICA STATUS", "SHOW ALL SLAVES STATUS")
    }

    /// What a probe asks now and then: other managers, attached standbys (by their own names, and from where), semi-synchronous replication, writes that wait for room.
    pub(super) fn slow_questions(self) -> &'static str {
        self.pick(
            "SELECT DISTINCT ATTR_VALUE FROM performance_schema.session_connect_attrs \
             WHERE ATTR_NAME = 'pointsman_manager'; \
             SELECT COALESCE(u.VARIABLE_VALUE, p.ID), p.HOST FROM performance_schema.processlist p \
             JOIN performance_schema.threads t ON t.PROCESSLIST_ID = p.ID \
             LEFT JOIN performance_schema.user_variables_by_thread u \
             ON u.THREAD_ID = t.THREAD_ID AND u.VARIABLE_NAME = 'replica_uuid' WHERE p.COMMAND LIKE 'Binlog Dump%'; \
             SELECT VARIABLE_NAME, VARIABLE_VALUE FROM performance_schema.global_variables \
             WHERE VARIABLE_NAME LIKE 'rpl\\_semi\\_sync\\_%'; \
             SELECT VARIABLE_NAME, VARIABLE_VALUE FROM performance_schema.global_status \
             WHERE VARIABLE_NAME LIKE 'rpl\\_semi\\_sync\\_%'; \
             SELECT STATE FROM performance_schema.processlist WHERE STATE = 'Waiting for disk space'",
            "SELECT DISTINCT ATTR_VALUE FROM performance_schema.session_connect_attrs \
             WHERE ATTR_NAME = 'pointsman_manager'; \
             SHOW SLAVE HOSTS; SHOW GLOBAL VARIABLES LIKE 'rpl\\_semi\\_sync\\_%'; SHOW GLOBAL STATUS LIKE 'Rpl\\_semi\\_sync\\_%'; \
             SHOW PROCESSLIST",
        )
    }

    /// What a node that follows nobody and takes writes does to become so.
    pub(super) fn stop(self) -> &'static str {
        self.pick("STOP REPLICA", "STOP ALL SLAVES")
    }

    /// Receiving alone is stopped; what was received is applied on.
    pub(super) fn stop_receiving(self) -> &'static str {
        self.pick("STOP REPLICA IO_THREAD", "STOP SLAVE IO_THREAD")
    }

    /// Replication is started.
    pub(super) fn start(self) -> &'static str {
        self.pick("START REPLICA", "START SLAVE")
    }

    /// Where to replicate from, and how. `extra` are further options, each behind a comma.
    pub(super) fn follow(self, (host, port): (&str, u16), user: &str, password: &str, extra: &str) -> String {
        let (host, user) = (quoted(host), quoted(user));
        match self {
            Self::Mysql => format!(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST={host}, SOURCE_PORT={port}, SOURCE_USER={user}, \
                 SOURCE_AUTO_POSITION=1, SOURCE_HEARTBEAT_PERIOD=1, SOURCE_CONNECT_RETRY=1, \
                 SOURCE_RETRY_COUNT=86400, GET_SOURCE_PUBLIC_KEY=1{extra}, SOURCE_PASSWORD={password}"
            ),
            Self::MariaDb => format!(
                "CHANGE MASTER TO MASTER_HOST={host}, MASTER_PORT={port}, MASTER_USER={user}, \
                 MASTER_USE_GTID=slave_pos, MASTER_HEARTBEAT_PERIOD=1, MASTER_CONNECT_RETRY=1{extra}, \
                 MASTER_PASSWORD={password}"
            ),
        }
    }
}

/// Whether the thread that receives runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiving {
    /// Connected.
    Yes,
    /// Trying to connect.
    Connecting,
    /// Stopped.
    No,
}

/// A node's replication from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replica {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) receiving: Receiving,
    /// Whether what was received is being applied.
    pub(super) applies: bool,
    /// Why receiving or applying stopped, or can't connect; empty if neither did.
    pub(super) error: String,
    /// The number of the error of receiving; 0 if none.
    pub(super) receive_errno: u64,
    /// The number of the error of applying; 0 if none.
    pub(super) apply_errno: u64,
    /// What was received since replication was set up.
    pub(super) retrieved: Transactions,
    /// What changes with each word of the primary.
    pub(super) heard: String,
    /// How often the primary speaks when it has nothing to say.
    pub(super) heartbeat: Option<Duration>,
    /// Whether there is nothing left to apply.
    pub(super) drained: bool,
    /// Whether positions are global transaction ids.
    pub(super) by_gtid: bool,
}

impl Replica {
    /// The first channel of [`Flavour::replication`]; `more` are MySQL's heartbeats. None if it follows nobody.
    pub(super) fn read(flavour: Flavour, rows: &Rows, more: Option<&Rows>) -> Result<Option<Self>, NotTransactions> {
        // What group replication calls its channels is no replication from a primary.
        let channel = |row: &Row<'_>| !row.get("Channel_Name").starts_with("group_replication_");
        let Some(row) = rows.iter().find(channel) else { return Ok(None) };
        let pick = |mysql, mariadb| row.get(flavour.pick(mysql, mariadb));
        let receiving = match pick("Replica_IO_Running", "Slave_IO_Running") {
            "Yes" => Receiving::Yes,
            "No" => Receiving::No,
            _ => Receiving::Connecting,
        };
        let name = row.get("Channel_Name");
        let beats = more.and_then(|rows| rows.iter().find(|more| more.get("channel") == name));
        let (period, heard) = match (flavour, beats) {
            (Flavour::MariaDb, _) => (row.get("Slave_heartbeat_period"), row.get("Slave_received_heartbeats")),
            (Flavour::Mysql, Some(beats)) => (beats.get("period"), beats.get("heard")),
            (Flavour::Mysql, None) => ("", ""),
        };
        let file = pick("Source_Log_File", "Master_Log_File");
        let at = pick("Read_Source_Log_Pos", "Read_Master_Log_Pos");
        let errors = ["Last_IO_Error", "Last_SQL_Error"].map(|name| row.get(name)).into_iter();
        let seconds = period.parse::<f64>().ok().filter(|period| *period > 0.0);
        Ok(Some(Self {
            host: pick("Source_Host", "Master_Host").to_owned(),
            port: pick("Source_Port", "Master_Port").parse().unwrap_or(0),
            receiving,
            applies: pick("Replica_SQL_Running", "Slave_SQL_Running") == "Yes",
            error: errors.filter(|error| !error.is_empty()).collect::<Vec<_>>().join("; "),
            receive_errno: row.number("Last_IO_Errno").unwrap_or(0),
            apply_errno: row.number("Last_SQL_Errno").unwrap_or(0),
            retrieved: pick("Retrieved_Gtid_Set", "Gtid_IO_Pos").parse()?,
            heard: format!("{heard} {file} {at}"),
            heartbeat: seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            drained: pick("Replica_SQL_Running_State", "Slave_SQL_Running_State").contains("has read all relay log"),
            by_gtid: pick("Auto_Position", "Using_Gtid") != flavour.pick("0", "No"),
        }))
    }

    /// Whether it was parked: only receiving was stopped, and not because the primary can't serve it. A connection that was lost before
    /// that leaves its error.
    pub(super) fn is_parked(&self) -> bool {
        let lost = matches!(self.receive_errno, 0 | 1040 | 1045 | 1053 | 1129 | 1130 | 1158..=1161 | 2000..=2999);
        self.receiving == Receiving::No && lost && self.applies
    }
}

/// How a primary replicates semi-synchronously.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SemiSync {
    /// Whether it is switched on.
    pub(super) enabled: bool,
    /// Whether it is in force now: it isn't when a time-out made it fall back.
    pub(super) active: bool,
    /// How long a commit waits for its acknowledgement.
    pub(super) timeout: Duration,
    /// How many acknowledgements it waits for.
    pub(super) acknowledgements: u64,
    /// How many semi-synchronous standbys are attached.
    pub(super) clients: u64,
}

impl SemiSync {
    /// Reads variables and status values, by whichever names the version has; all off where the plugin isn't there.
    pub(super) fn read(variables: &Rows, state: &Rows) -> Self {
        let find = |rows: &Rows, ends: [&str; 2]| {
            let row = rows.iter().find(|row| ends.iter().any(|end| row.at(0).eq_ignore_ascii_case(end)))?;
            Some(row.at(1).to_owned())
        };
        let number = |value: Option<String>| value.and_then(|value| value.parse().ok());
        let setting = |names| find(variables, names);
        let on = |value: Option<String>| value.is_some_and(|value| value == "ON");
        let timeout = setting(["rpl_semi_sync_source_timeout", "rpl_semi_sync_master_timeout"]);
        let wait = ["rpl_semi_sync_source_wait_for_replica_count", "rpl_semi_sync_master_wait_for_slave_count"];
        Self {
            enabled: on(setting(["rpl_semi_sync_source_enabled", "rpl_semi_sync_master_enabled"])),
            active: on(find(state, ["Rpl_semi_sync_source_status", "Rpl_semi_sync_master_status"])),
            timeout: Duration::from_millis(number(timeout).unwrap_or(0)),
            acknowledgements: number(setting(wait)).unwrap_or(1),
            clients: number(find(state, ["Rpl_semi_sync_source_clients", "Rpl_semi_sync_master_clients"])).unwrap_or(0),
        }
    }

    /// The name of the variable that switches it on, as the node has it; none where the plugin isn't there.
    pub(super) fn switch(variables: &Rows) -> Option<String> {
        let names = ["rpl_semi_sync_source_enabled", "rpl_semi_sync_master_enabled"];
        let found = variables.iter().find(|row| names.iter().any(|name| row.at(0).eq_ignore_ascii_case(name)))?;
        Some(found.at(0).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart() {
        assert_eq!(Flavour::of("9.7.4-2"), Flavour::Mysql);
        assert_eq!(Flavour::Mysql.version("9.7.4-2"), "9.7.4");
        let text = "5.5.5-10.11.19-MariaDB-0+deb12u1";
        assert_eq!(Flavour::of(text), Flavour::MariaDb);
        assert_eq!(Flavour::MariaDb.version(text), "mariadb 10.11.19");
    }

    #[test]
    fn a_password_is_the_last_word_of_its_statement() {
        for flavour in [Flavour::Mysql, Flavour::MariaDb] {
            let statement = flavour.follow(("h", 1), "it's", "'secret'", ", X=1");
            assert!(statement.ends_with("PASSWORD='secret'") && statement.contains("USER='it''s'"), "{statement}");
        }
    }
}
