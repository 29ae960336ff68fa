//! What is known of a statement.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing but comments.
    Empty,
    /// `SELECT`, `TABLE`, `VALUES`, `SHOW`, `DESCRIBE`, `EXPLAIN`, `HELP`.
    Read,
    /// `INSERT`, `UPDATE`, `DELETE`, `REPLACE`, `LOAD`.
    Write,
    /// `BEGIN`, `START TRANSACTION`.
    Begin,
    /// `COMMIT`.
    Commit,
    /// `ROLLBACK`, but not to a savepoint.
    Rollback,
    /// `SAVEPOINT`, `RELEASE SAVEPOINT`, `ROLLBACK TO`.
    Savepoint,
    /// `SET`, but not of passwords: see [`assignments`](super::set::assignments).
    Set,
    /// `USE`.
    Use,
    /// `PREPARE`: a statement that lives in the server under a name.
    Prepare,
    /// `EXECUTE` of one, which may be anything.
    Execute,
    /// `DEALLOCATE PREPARE`, `DROP PREPARE`.
    Deallocate,
    /// `LOCK TABLES`, `LOCK INSTANCE`, `FLUSH TABLES ... WITH READ LOCK`, `BACKUP STAGE`.
    LockTables,
    /// `UNLOCK`.
    UnlockTables,
    /// `CALL`.
    Call,
    /// `HANDLER`.
    Handler,
    /// `KILL`: see [`kill`](super::kill::kill).
    Kill,
    /// `XA`.
    Xa,
    /// What defines something and ends a transaction: `CREATE`, `ALTER`, `DROP`, `GRANT`, `SET PASSWORD`, `ANALYZE TABLE`.
    Ddl,
    /// Orders to the server itself: `FLUSH`, `RESET`, `CHANGE REPLICATION SOURCE`, `STOP REPLICA`, `SHUTDOWN`, `INSTALL PLUGIN`.
    Admin,
    /// Several statements in one text, or a compound one.
    Several,
    /// Not understood.
    Unknown,
}

/// What stands in a statement besides.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flags(u32);

impl Flags {
    /// Takes a lock by `GET_LOCK()`.
    pub const GET_LOCK: Self = Self(1);
    /// Gives some back: `RELEASE_LOCK()`, `RELEASE_ALL_LOCKS()`.
    pub const RELEASE_LOCK: Self = Self(1 << 1);
    /// Creates, or drops, a temporary table.
    pub const TEMPORARY: Self = Self(1 << 2);
    /// Asks for what only the last statement's backend knows: `FOUND_ROWS()`, `ROW_COUNT()`, `SHOW WARNINGS`, `GET DIAGNOSTICS`, `@@warning_count`.
    pub const ABOUT_LAST: Self = Self(1 << 3);
    /// Uses `LAST_INSERT_ID()` or `@@identity`, which a fresh backend is told by the replay.
    pub const INSERT_ID: Self = Self(1 << 4);
    /// Sets it: `LAST_INSERT_ID(expression)`.
    pub const SETS_INSERT_ID: Self = Self(1 << 5);
    /// Assigns a user variable other than by `SET`: `@a := 1`, `INTO @a`.
    pub const ASSIGNS: Self = Self(1 << 6);
    /// Names a user variable.
    pub const USER_VARIABLE: Self = Self(1 << 7);
    /// Locks the rows it reads: `FOR UPDATE`, `FOR SHARE`, `LOCK IN SHARE MODE`.
    pub const LOCKING: Self = Self(1 << 8);
    /// Writes a file of the server: `INTO OUTFILE`, `INTO DUMPFILE`.
    pub const OUTFILE: Self = Self(1 << 9);
    /// May call a stored or loaded function, or take a number of a sequence.
    pub const FUNCTION: Self = Self(1 << 10);
    /// `COMMIT AND CHAIN`, `ROLLBACK AND CHAIN`: the next transaction begins at once.
    pub const CHAIN: Self = Self(1 << 11);
    /// `COMMIT RELEASE`, `ROLLBACK RELEASE`: the server hangs up.
    pub const RELEASE: Self = Self(1 << 12);
    /// `SQL_CALC_FOUND_ROWS`.
    pub const CALC_FOUND_ROWS: Self = Self(1 << 13);
    /// Reads `@@socket`, by which some drivers walk round a proxy.
    pub const SOCKET: Self = Self(1 << 14);
    /// Stands in a conditional comment that not every server runs.
    pub const DOUBTFUL: Self = Self(1 << 15);
    /// Wasn't seen to its end.
    pub const UNSEEN: Self = Self(1 << 16);
    /// `START TRANSACTION READ ONLY`.
    pub const READ_ONLY: Self = Self(1 << 17);
    /// A trigger of the whole server or instance: `SET GLOBAL`, `SET PERSIST`.
    pub const GLOBAL: Self = Self(1 << 18);

    /// True when any of `other` is there.
    #[inline]
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// True when nothing is.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 19] = [
            "GET_LOCK",
            "RELEASE_LOCK",
            "TEMPORARY",
            "ABOUT_LAST",
            "INSERT_ID",
            "SETS_INSERT_ID",
            "ASSIGNS",
            "USER_VARIABLE",
            "LOCKING",
            "OUTFILE",
            "FUNCTION",
            "CHAIN",
            "RELEASE",
            "CALC_FOUND_ROWS",
            "SOCKET",
            "DOUBTFUL",
            "UNSEEN",
            "READ_ONLY",
            "GLOBAL",
        ];
        f.debug_list()
            .entries(NAMES.iter().enumerate().filter(|(bit, _)| self.0 & 1 << bit != 0).map(|(_, name)| name))
            .finish()
    }
}

/// A statement, classified; 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Statement {
    /// What it does.
    pub kind: Kind,
    /// What stands in it besides.
    pub flags: Flags,
}

/// What a read must not have to be sent again to another node.
const NOT_AGAIN: Flags = Flags(
    Flags::GET_LOCK.0
        | Flags::RELEASE_LOCK.0
        | Flags::ABOUT_LAST.0
        | Flags::SETS_INSERT_ID.0
        | Flags::ASSIGNS.0
        | Flags::OUTFILE.0
        | Flags::FUNCTION.0
        | Flags::DOUBTFUL.0
        | Flags::UNSEEN.0,
);

impl Default for Statement {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

impl Statement {
    /// Nothing is known of it.
    pub const UNKNOWN: Self = Self { kind: Kind::Unknown, flags: Flags(0) };

    /// True for a read that can be sent again, in autocommit, if nothing of its answer was delivered: running it twice is running it once.
    pub fn can_be_sent_again(self) -> bool {
        self.kind == Kind::Read && !self.flags.any(NOT_AGAIN)
    }

    /// True if it may run on a node that is only read: it writes nothing, as far as its text tells. A function that writes is refused by the
    /// node itself, which is in `read_only`.
    pub fn may_run_on_standby(self) -> bool {
        match self.kind {
            Kind::Read => !self.flags.any(Flags::OUTFILE | Flags::LOCKING | Flags::DOUBTFUL | Flags::UNSEEN),
            Kind::Set => !self.flags.any(Flags::GLOBAL | Flags::DOUBTFUL | Flags::UNSEEN),
            Kind::Empty
            | Kind::Begin
            | Kind::Commit
            | Kind::Rollback
            | Kind::Savepoint
            | Kind::Use
            | Kind::Deallocate
            | Kind::UnlockTables
            | Kind::Kill => !self.flags.any(Flags::DOUBTFUL),
            _ => false,
        }
    }

    /// True if it ends the open transaction, whatever its own effect: the next statement is in none, or in a new one.
    pub fn ends_transaction(self) -> bool {
        match self.kind {
            Kind::Commit | Kind::Rollback | Kind::Begin | Kind::LockTables => true,
            Kind::Ddl => !self.flags.any(Flags::TEMPORARY),
            _ => false,
        }
    }
}
