//! Capability bits, status flags and command bytes, named as in the manuals.

use std::fmt;
use std::ops::{BitAnd, BitOr, Sub};

/// What one side of a connection can do: the 32 bits of MySQL, and above them the 32 bits of MariaDB's extension.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Capabilities(pub u64);

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl BitOr for Capabilities {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Capabilities {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for Capabilities {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl Capabilities {
    /// `CLIENT_LONG_PASSWORD`. A MariaDB server that leaves it out (it is called `CLIENT_MYSQL` there) speaks MariaDB's extension.
    pub const LONG_PASSWORD: Self = Self(1);
    /// `CLIENT_FOUND_ROWS`: matched instead of changed rows are counted.
    pub const FOUND_ROWS: Self = Self(1 << 1);
    /// `CLIENT_LONG_FLAG`.
    pub const LONG_FLAG: Self = Self(1 << 2);
    /// `CLIENT_CONNECT_WITH_DB`: the login names a schema.
    pub const CONNECT_WITH_DB: Self = Self(1 << 3);
    /// `CLIENT_NO_SCHEMA`: `schema.table.column` is refused.
    pub const NO_SCHEMA: Self = Self(1 << 4);
    /// `CLIENT_COMPRESS`: zlib.
    pub const COMPRESS: Self = Self(1 << 5);
    /// `CLIENT_ODBC`.
    pub const ODBC: Self = Self(1 << 6);
    /// `CLIENT_LOCAL_FILES`: `LOAD DATA LOCAL` may ask for a file.
    pub const LOCAL_FILES: Self = Self(1 << 7);
    /// `CLIENT_IGNORE_SPACE`: blanks before `(`.
    pub const IGNORE_SPACE: Self = Self(1 << 8);
    /// `CLIENT_PROTOCOL_41`: without it nothing here works.
    pub const PROTOCOL_41: Self = Self(1 << 9);
    /// `CLIENT_INTERACTIVE`: `interactive_timeout` counts.
    pub const INTERACTIVE: Self = Self(1 << 10);
    /// `CLIENT_SSL`.
    pub const SSL: Self = Self(1 << 11);
    /// `CLIENT_IGNORE_SIGPIPE`.
    pub const IGNORE_SIGPIPE: Self = Self(1 << 12);
    /// `CLIENT_TRANSACTIONS`.
    pub const TRANSACTIONS: Self = Self(1 << 13);
    /// `CLIENT_RESERVED`: an old name of `PROTOCOL_41`.
    pub const RESERVED: Self = Self(1 << 14);
    /// `CLIENT_SECURE_CONNECTION`: 20-byte nonces.
    pub const SECURE_CONNECTION: Self = Self(1 << 15);
    /// `CLIENT_MULTI_STATEMENTS`: several statements in one `COM_QUERY`.
    pub const MULTI_STATEMENTS: Self = Self(1 << 16);
    /// `CLIENT_MULTI_RESULTS`.
    pub const MULTI_RESULTS: Self = Self(1 << 17);
    /// `CLIENT_PS_MULTI_RESULTS`.
    pub const PS_MULTI_RESULTS: Self = Self(1 << 18);
    /// `CLIENT_PLUGIN_AUTH`: the login names its plugin.
    pub const PLUGIN_AUTH: Self = Self(1 << 19);
    /// `CLIENT_CONNECT_ATTRS`.
    pub const CONNECT_ATTRS: Self = Self(1 << 20);
    /// `CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA`: the login's scramble has a length-encoded length.
    pub const LENENC_AUTH: Self = Self(1 << 21);
    /// `CLIENT_CAN_HANDLE_EXPIRED_PASSWORDS`.
    pub const EXPIRED_PASSWORDS: Self = Self(1 << 22);
    /// `CLIENT_SESSION_TRACK`: OK packets say what changed in the session.
    pub const SESSION_TRACK: Self = Self(1 << 23);
    /// `CLIENT_DEPRECATE_EOF`: OK packets in place of EOF packets.
    pub const DEPRECATE_EOF: Self = Self(1 << 24);
    /// `CLIENT_OPTIONAL_RESULTSET_METADATA` (MySQL).
    pub const OPTIONAL_METADATA: Self = Self(1 << 25);
    /// `CLIENT_ZSTD_COMPRESSION_ALGORITHM` (MySQL).
    pub const ZSTD: Self = Self(1 << 26);
    /// `CLIENT_QUERY_ATTRIBUTES` (MySQL): `COM_QUERY` and `COM_STMT_EXECUTE` carry parameters with names.
    pub const QUERY_ATTRIBUTES: Self = Self(1 << 27);
    /// `MULTI_FACTOR_AUTHENTICATION` (MySQL).
    pub const MULTI_FACTOR: Self = Self(1 << 28);
    /// `CLIENT_CAPABILITY_EXTENSION` (MySQL), reserved.
    pub const EXTENSION: Self = Self(1 << 29);
    /// `CLIENT_SSL_VERIFY_SERVER_CERT`, of clients only.
    pub const SSL_VERIFY: Self = Self(1 << 30);
    /// `CLIENT_REMEMBER_OPTIONS`, of clients only.
    pub const REMEMBER_OPTIONS: Self = Self(1 << 31);
    /// `MARIADB_CLIENT_PROGRESS`: progress reports dressed as error packets.
    pub const MARIADB_PROGRESS: Self = Self(1 << 32);
    /// `MARIADB_CLIENT_COM_MULTI`, removed.
    pub const MARIADB_COM_MULTI: Self = Self(1 << 33);
    /// `MARIADB_CLIENT_STMT_BULK_OPERATIONS`.
    pub const MARIADB_STMT_BULK: Self = Self(1 << 34);
    /// `MARIADB_CLIENT_EXTENDED_METADATA`.
    pub const MARIADB_EXTENDED_METADATA: Self = Self(1 << 35);
    /// `MARIADB_CLIENT_CACHE_METADATA`: column definitions are left out when they didn't change.
    pub const MARIADB_CACHE_METADATA: Self = Self(1 << 36);
    /// `MARIADB_CLIENT_BULK_UNIT_RESULTS`.
    pub const MARIADB_BULK_UNIT_RESULTS: Self = Self(1 << 37);

    /// What changes bytes after the handshake, or how a server runs a statement: a client and its node must have the same of these, because
    /// what passes between them is not rewritten.
    pub const SHARED: Self = Self(
        Self::FOUND_ROWS.0
            | Self::LONG_FLAG.0
            | Self::NO_SCHEMA.0
            | Self::ODBC.0
            | Self::LOCAL_FILES.0
            | Self::IGNORE_SPACE.0
            | Self::PROTOCOL_41.0
            | Self::INTERACTIVE.0
            | Self::TRANSACTIONS.0
            | Self::MULTI_STATEMENTS.0
            | Self::MULTI_RESULTS.0
            | Self::PS_MULTI_RESULTS.0
            | Self::EXPIRED_PASSWORDS.0
            | Self::DEPRECATE_EOF.0
            | Self::OPTIONAL_METADATA.0
            | Self::QUERY_ATTRIBUTES.0
            | Self::MARIADB_STMT_BULK.0
            | Self::MARIADB_EXTENDED_METADATA.0
            | Self::MARIADB_CACHE_METADATA.0
            | Self::MARIADB_BULK_UNIT_RESULTS.0,
    );

    /// What Pointsman says of itself on every connection, towards clients and nodes, if the other side can do it.
    pub const OWN: Self = Self(
        Self::PROTOCOL_41.0
            | Self::CONNECT_WITH_DB.0
            | Self::SECURE_CONNECTION.0
            | Self::PLUGIN_AUTH.0
            | Self::CONNECT_ATTRS.0
            | Self::LENENC_AUTH.0
            | Self::SESSION_TRACK.0,
    );

    /// True when all of `other` is there.
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of MySQL.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
    pub(super) const fn low(self) -> u32 {
        self.0 as u32
    }

    /// MariaDB's extension.
    pub(super) const fn extended(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Status flags of OK and EOF packets.
pub mod status {
    /// A transaction is open.
    pub const IN_TRANS: u16 = 1;
    /// Each statement is its own transaction.
    pub const AUTOCOMMIT: u16 = 1 << 1;
    /// Another answer follows.
    pub const MORE_RESULTS: u16 = 1 << 3;
    /// A cursor was opened, and is read by `COM_STMT_FETCH`.
    pub const CURSOR_EXISTS: u16 = 1 << 6;
    /// The cursor's last row was sent.
    pub const LAST_ROW_SENT: u16 = 1 << 7;
    /// A schema was dropped.
    pub const DB_DROPPED: u16 = 1 << 8;
    /// `NO_BACKSLASH_ESCAPES` is in force.
    pub const NO_BACKSLASH_ESCAPES: u16 = 1 << 9;
    /// A prepared statement has other columns than before.
    pub const METADATA_CHANGED: u16 = 1 << 10;
    /// The row holds output parameters of a procedure.
    pub const PS_OUT_PARAMS: u16 = 1 << 12;
    /// The open transaction only reads.
    pub const IN_TRANS_READONLY: u16 = 1 << 13;
    /// The OK packet says what changed in the session.
    pub const SESSION_STATE_CHANGED: u16 = 1 << 14;
    /// `ANSI_QUOTES` is in force (MariaDB only).
    pub const ANSI_QUOTES: u16 = 1 << 15;
}

/// First bytes of commands.
pub mod command {
    /// Goodbye; not answered.
    pub const QUIT: u8 = 0x01;
    /// `USE`.
    pub const INIT_DB: u8 = 0x02;
    /// A statement's text.
    pub const QUERY: u8 = 0x03;
    /// Columns of a table; old.
    pub const FIELD_LIST: u8 = 0x04;
    /// `CREATE DATABASE`; old.
    pub const CREATE_DB: u8 = 0x05;
    /// `DROP DATABASE`; old.
    pub const DROP_DB: u8 = 0x06;
    /// `FLUSH`.
    pub const REFRESH: u8 = 0x07;
    /// Stops the server (MariaDB).
    pub const SHUTDOWN: u8 = 0x08;
    /// A line of numbers.
    pub const STATISTICS: u8 = 0x09;
    /// `SHOW PROCESSLIST`.
    pub const PROCESS_INFO: u8 = 0x0a;
    /// `KILL`.
    pub const PROCESS_KILL: u8 = 0x0c;
    /// Dumps what it knows into the server's log.
    pub const DEBUG: u8 = 0x0d;
    /// Are you there?
    pub const PING: u8 = 0x0e;
    /// A login on an open connection.
    pub const CHANGE_USER: u8 = 0x11;
    /// Asks for the binary log.
    pub const BINLOG_DUMP: u8 = 0x12;
    /// Registers a replica.
    pub const REGISTER_SLAVE: u8 = 0x15;
    /// Prepares a statement.
    pub const STMT_PREPARE: u8 = 0x16;
    /// Runs a prepared statement.
    pub const STMT_EXECUTE: u8 = 0x17;
    /// A piece of a parameter; not answered.
    pub const STMT_SEND_LONG_DATA: u8 = 0x18;
    /// Forgets a prepared statement; not answered.
    pub const STMT_CLOSE: u8 = 0x19;
    /// Drops long data and cursors of a prepared statement.
    pub const STMT_RESET: u8 = 0x1a;
    /// Multi-statements on or off.
    pub const SET_OPTION: u8 = 0x1b;
    /// Rows of a cursor.
    pub const STMT_FETCH: u8 = 0x1c;
    /// Asks for the binary log by GTID.
    pub const BINLOG_DUMP_GTID: u8 = 0x1e;
    /// A clean session on the same login.
    pub const RESET_CONNECTION: u8 = 0x1f;
    /// Clones a server (MySQL).
    pub const CLONE: u8 = 0x20;
    /// Groups of a subscription to the binary log (MySQL).
    pub const SUBSCRIBE_GROUP_REPLICATION_STREAM: u8 = 0x21;
    /// Runs a prepared statement for many rows of parameters (MariaDB).
    pub const STMT_BULK_EXECUTE: u8 = 0xfa;
}
