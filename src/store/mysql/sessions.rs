//! The sessions of a MariaDB, by `SHOW PROCESSLIST`.
//!
//! Input: the server's answers. Output: the sessions of others. `information_schema.PROCESSLIST` would say the same and could be filtered by
//! the server, but MariaDB writes it to a temporary table on disk first: a full disk would leave a primary without a fence.

use super::rows::{Row, Rows};

/// Who asks, and all sessions.
pub(super) const QUESTION: &str = "SELECT SUBSTRING_INDEX(USER(), '@', 1); SHOW PROCESSLIST";

/// The sessions of every user but the server itself and whoever asked [`QUESTION`].
pub(super) fn of_others(answers: &[Rows]) -> Vec<Row<'_>> {
    let asker = answers.first().and_then(Rows::first).map(|row| row.at(0));
    let sessions = answers.get(1).into_iter().flat_map(Rows::iter);
    let other = |row: &Row<'_>| {
        let user = row.get("User");
        row.get("Command") != "Daemon" && !["system user", "event_scheduler"].contains(&user) && Some(user) != asker
    };
    sessions.filter(other).collect()
}

/// Whether a standby reads the binary log by it.
pub(super) fn is_standby(session: &Row<'_>) -> bool {
    session.get("Command").starts_with("Binlog Dump")
}

/// How many wait for room on the disk, of those in an answer with a column `State`.
pub(super) fn waiting_for_room(sessions: &Rows) -> u64 {
    let waits = |session: &Row<'_>| {
        let state = session.get("State");
        state.starts_with("Waiting for ") && state.contains("disk space")
    };
    sessions.iter().filter(waits).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(columns: &[&str], rows: &[&[&str]]) -> Rows {
        let owned = |texts: &[&str]| texts.iter().map(|text| Some((*text).to_owned())).collect();
        Rows {
            columns: columns.iter().map(ToString::to_string).collect(),
            rows: rows.iter().map(|row| owned(row)).collect(),
        }
    }

    #[test]
    fn sessions_are_told_apart() {
        let asker = rows(&["who"], &[&["pointsman"]]);
        let list: &[&[&str]] = &[
            &["1", "system user", "Daemon", "InnoDB purge worker"],
            &["5", "system user", "Slave_SQL", "Slave has read all relay log"],
            &["6", "event_scheduler", "Daemon", "Waiting for next activation"],
            &["7", "pointsman", "Query", "starting"],
            &["8", "repl", "Binlog Dump", "Master has sent all binlog to slave"],
            &["9", "shop", "Query", "Waiting for someone to free disk space"],
            &["10", "shop", "Sleep", ""],
        ];
        let list = rows(&["Id", "User", "Command", "State"], list);
        assert_eq!(waiting_for_room(&list), 1);
        let answers = [asker, list];
        let others = of_others(&answers);
        assert_eq!(others.iter().map(|row| row.at(0)).collect::<Vec<_>>(), ["8", "9", "10"]);
        assert_eq!(others.iter().map(is_standby).collect::<Vec<_>>(), [true, false, false]);
        assert!(of_others(&[]).is_empty());
    }
}
