//! What a command is, as far as the data path has to know.
//!
//! Input: a command's byte, its statement as it was classified. Output: what may be done with it. What isn't understood may change anything,
//! may end a transaction, and isn't sent again.

use crate::protocol::mysql::{
    capability::command as com,
    sql::{Flags, Kind, Statement},
};

/// A command as far as it was understood.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Plan {
    /// Its statement, if it has one.
    pub statement: Statement,
    /// It may be sent again after it was executed: it reads only.
    pub reads: bool,
    /// It may change data.
    pub writes: bool,
    /// It ends a transaction, or may.
    pub ends: bool,
    /// It gives the open transaction up.
    pub rolls_back: bool,
    /// It asks about the statement before it: only that one's connection knows.
    pub about_last: bool,
}

impl Plan {
    /// Of a statement.
    #[inline]
    pub fn of_statement(statement: Statement) -> Self {
        let stays = matches!(
            statement.kind,
            Kind::Empty | Kind::Read | Kind::Write | Kind::Savepoint | Kind::Use | Kind::Prepare | Kind::Deallocate
        );
        // Outside of a transaction these change nothing but the session itself.
        let harmless = matches!(statement.kind, Kind::Empty | Kind::Begin | Kind::Commit | Kind::Rollback | Kind::Use);
        Self {
            statement,
            reads: statement.can_be_sent_again() || harmless && statement.flags.is_empty(),
            writes: !statement.may_run_on_standby(),
            ends: !stays || statement.flags.any(Flags::UNSEEN | Flags::DOUBTFUL) && statement.kind != Kind::Write,
            rolls_back: statement.kind == Kind::Rollback,
            about_last: statement.flags.any(Flags::ABOUT_LAST),
        }
    }

    /// True for what a node refuses wholly or not at all. Of several statements, and in a procedure, some may have been executed before one
    /// was refused.
    pub fn is_one(&self) -> bool {
        self.reads || !matches!(self.statement.kind, Kind::Several | Kind::Call | Kind::Execute | Kind::Unknown)
    }

    /// True for what is slowed down so that a standby catches up: a write, or what begins a transaction of writes. Not a write within one,
    /// which holds locks.
    pub fn may_pause(&self) -> bool {
        let begins = self.statement.kind == Kind::Begin && !self.statement.flags.any(Flags::READ_ONLY);
        self.writes || begins
    }

    /// Of a command that is no statement.
    pub fn of_command(command: u8) -> Self {
        let harmless = matches!(
            command,
            com::PING
                | com::INIT_DB
                | com::FIELD_LIST
                | com::STATISTICS
                | com::SET_OPTION
                | com::PROCESS_INFO
                | com::STMT_PREPARE
                | com::STMT_RESET
                | com::STMT_CLOSE
                | com::STMT_FETCH
                | com::STMT_SEND_LONG_DATA
                | com::RESET_CONNECTION
                | com::CHANGE_USER
                | com::PROCESS_KILL
        );
        Self {
            statement: Statement::UNKNOWN,
            reads: harmless && command != com::PROCESS_KILL,
            writes: !harmless,
            ends: !harmless,
            rolls_back: matches!(command, com::RESET_CONNECTION | com::CHANGE_USER),
            about_last: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::mysql::sql::{Dialect, classify};

    fn plan(text: &str) -> Plan {
        Plan::of_statement(classify(text.as_bytes(), true, Dialect::default()))
    }

    #[test]
    fn what_may_be_sent_again_changes_nothing() {
        for text in ["SELECT 1", "SHOW TABLES", "BEGIN", "COMMIT", "ROLLBACK", "USE shop", "/* nothing */"] {
            assert!(plan(text).reads, "{text}");
        }
        for text in [
            "INSERT INTO t VALUES (1)",
            "SELECT f(1)",
            "SELECT GET_LOCK('x', 1)",
            "CALL p()",
            "SELECT 1; SELECT 2",
            "COMMIT AND CHAIN",
        ] {
            assert!(!plan(text).reads, "{text}");
        }
    }

    #[test]
    fn a_transaction_goes_on_behind_reads_and_writes_only() {
        for text in ["SELECT 1", "INSERT INTO t VALUES (1)", "SAVEPOINT a", "ROLLBACK TO a"] {
            assert!(!plan(text).ends, "{text}");
        }
        for text in [
            "COMMIT",
            "BEGIN",
            "CREATE TABLE t (n INT)",
            "CALL p()",
            "SET autocommit = 1",
            "UPDATE t SET n = 1; COMMIT",
            "what",
        ] {
            assert!(plan(text).ends, "{text}");
        }
        assert!(plan("ROLLBACK").rolls_back && !plan("ROLLBACK TO a").rolls_back);
    }

    #[test]
    fn a_refusal_of_one_statement_means_that_nothing_was_done() {
        assert!(plan("INSERT INTO t VALUES (1)").is_one() && plan("SELECT f(1)").is_one());
        assert!(!plan("CALL p()").is_one() && !plan("UPDATE t SET n = 1; UPDATE t SET n = 2").is_one());
    }

    #[test]
    fn what_begins_writes_is_slowed_down() {
        assert!(plan("INSERT INTO t VALUES (1)").may_pause() && plan("START TRANSACTION").may_pause());
        assert!(!plan("SELECT 1").may_pause() && !plan("START TRANSACTION READ ONLY").may_pause());
    }
}
