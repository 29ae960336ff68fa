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
