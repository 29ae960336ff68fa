//! What is known of a session's state, from its commands and from what the node says of them.
//!
//! Input: commands as they are sent, packets that end answers. Output: what a command is, what is open, why the session can't move, and what
//! brings a fresh connection into its state. Never: bytes to anybody.

use super::{door::Login, plan::Plan};
use crate::protocol::mysql::{
    capability::{Capabilities, command as com, status},
    ok::{OkPacket, Tracker, put_tracker},
    packet::{self, HEADER},
    session::{
        statements::{Statements, id_of},
        text::query_text,
    },
    sql::{Dialect, Flags, Kind, Statement, classify},
};

/// The command in flight, as far as its answer concerns the state.
#[derive(Clone, Copy, Debug)]
struct Flight {
    command: u8,
    /// The prepared statement that it names.
    id: u32,
}

/// The state of one session.
#[derive(Debug)]
pub struct State {
    /// The command at the front of the inbox has had its pause.
    pub paused: bool,
    /// Its prepared statements.
    pub statements: Statements,
    status: u16,
    dialect: Dialect,
    /// What both sides of the session can do.
    capabilities: Capabilities,
    /// The schema it is in.
    schema: Option<Box<[u8]>>,
    flight: Flight,
    /// A transaction was lost with its node, and its application hasn't been told.
    doomed: bool,
    /// What [`Self::stuck`] says may have changed.
    news: bool,
}

impl State {
    /// A session that has just logged in.
    pub fn new(login: &Login, schema: Option<&[u8]>) -> Self {
        Self {
            paused: false,
            statements: Statements::default(),
            status: status::AUTOCOMMIT,
            dialect: Dialect { wide: is_wide_collation(login.collation), ..Dialect::default() },
            capabilities: login.capabilities,
            schema: schema.map(Into::into),
            flight: Flight { command: com::PING, id: 0 },
            doomed: false,
            news: false,
        }
    }

    /// True while something is open that only the application's own commands end.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.status & status::IN_TRANS != 0 || self.doomed || self.statements.is_open()
    }

    /// True while a transaction is open, or was when its node was lost.
    pub fn in_transaction(&self) -> bool {
        self.status & status::IN_TRANS != 0 || self.doomed
    }

    /// True once for a transaction that was lost.
    pub fn take_doomed(&mut self) -> bool {
        std::mem::take(&mut self.doomed)
    }

    /// What both sides of the session can do.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// The status flags of the last answer.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// How the session's text is read.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What a command is, by its payload or the beginning of it.
    #[inline]
    pub fn plan(&self, command: u8, payload: &[u8], whole: bool) -> Plan {
        let statement = match command {
            com::QUERY => match query_text(payload, self.capabilities) {
                Some(at) => classify(payload.get(at..).unwrap_or_default(), whole, self.dialect),
                None => Statement::UNKNOWN,
            },
            com::STMT_PREPARE => classify(payload.get(1..).unwrap_or_default(), whole, self.dialect),
            com::STMT_EXECUTE | com::STMT_BULK_EXECUTE => {
                let prepared = id_of(payload).and_then(|id| self.statements.get(id));
                prepared.map_or(Statement::UNKNOWN, |prepared| prepared.statement)
            }
            _ => return Plan::of_command(command),
        };
        if command == com::STMT_PREPARE {
            return Plan { statement, ..Plan::of_command(command) };
        }
        Plan::of_statement(statement)
    }

    /// A command is sent.
    #[inline]
    pub fn sent(&mut self, command: u8, payload: &[u8], whole: bool, statement: Statement) {
        self.flight = Flight { command, id: 0 };
        match command {
            com::STMT_EXECUTE | com::STMT_FETCH | com::STMT_BULK_EXECUTE => {
                self.flight.id = id_of(payload).unwrap_or_default();
            }
            com::STMT_PREPARE => self.statements.preparing(payload.get(1..).filter(|_| whole), statement),
            com::STMT_SEND_LONG_DATA => self.statements.long_data(id_of(payload).unwrap_or_default()),
            com::STMT_RESET => self.statements.reset(id_of(payload).unwrap_or_default()),
            _ => {}
        }
    }

    /// An OK or EOF packet came. True if the application must get it rewritten.
    #[inline]
    pub fn on_ok(&mut self, packet: &[u8], status: u16, node: Capabilities) -> bool {
        self.status = status;
        if matches!(self.flight.command, com::STMT_EXECUTE | com::STMT_FETCH) {
            let executed = self.flight.command == com::STMT_EXECUTE;
            self.statements.answered(self.flight.id, Some(status), executed);
        }
        if status & status::SESSION_STATE_CHANGED == 0 {
            return false;
        }
        self.changed(packet, node);
        true
    }

    /// Notes what a node says of the session.
    fn changed(&mut self, packet: &[u8], node: Capabilities) {
        self.news = true;
        let Ok(ok) = OkPacket::read(packet.get(HEADER..).unwrap_or_default(), node) else { return };
        for tracker in ok.trackers() {
            match tracker {
                Tracker::Schema(schema) => {
                    if self.schema.as_deref() != Some(schema) {
                        self.schema = Some(schema).filter(|schema| !schema.is_empty()).map(Into::into);
                    }
                }
                Tracker::Variable { name: b"sql_mode", value } => {
                    self.dialect.ansi_quotes = value.windows(11).any(|word| word == b"ANSI_QUOTES");
                    self.dialect.no_backslash_escapes = value.windows(20).any(|word| word == b"NO_BACKSLASH_ESCAPES");
                }
                Tracker::Variable { name: b"character_set_client", value } => {
                    self.dialect.wide = matches!(value, b"big5" | b"cp932" | b"gbk" | b"gb18030" | b"sjis");
                }
                _ => {}
            }
        }
    }

    /// An error ended the answer.
    pub fn on_error(&mut self, number: u16) {
        match self.flight.command {
            com::STMT_EXECUTE | com::STMT_FETCH => {
                self.statements.answered(self.flight.id, None, self.flight.command == com::STMT_EXECUTE);
            }
            com::STMT_PREPARE => self.statements.refused(),
            _ => {}
        }
        if number == 1213 {
            // A deadlock's victim is rolled back wholly.
            self.status &= !(status::IN_TRANS | status::IN_TRANS_READONLY);
        }
        self.news = true;
    }

    /// A statement was prepared. The id for the application, if it is another one.
    pub fn on_prepared(&mut self, statement: u32, params: u16) -> Option<u32> {
        self.news = true;
        Some(self.statements.prepared(statement, params)).filter(|shown| *shown != statement)
    }

    /// Appends an OK packet as the application is to see it.
    pub fn rewrite(&self, packet: &[u8], node: Capabilities, out: &mut Vec<u8>) {
        let Some((header, ok)) =
            packet::read(packet).and_then(|(header, payload)| Some((header, OkPacket::read(payload, node).ok()?)))
        else {
            return out.extend_from_slice(packet);
        };
        let mut shown = Vec::new();
        if self.capabilities.has(Capabilities::SESSION_TRACK) {
            ok.trackers().filter(|tracker| is_wanted(tracker)).for_each(|tracker| put_tracker(&mut shown, tracker));
        }
        packet::write_with(out, header.sequence, |out| ok.write(out, &shown));
    }

    /// `COM_RESET_CONNECTION`: as after the login, in the schema that it is in.
    pub fn reset(&mut self) {
        self.statements.clear();
        self.status = status::AUTOCOMMIT;
        self.doomed = false;
        self.news = true;
    }

    /// The schema it is in.
    pub fn schema(&self) -> Option<&[u8]> {
        self.schema.as_deref()
    }

    /// True when a new connection can be brought into this state although the old one is gone.
    pub fn survives(&self) -> bool {
        self.statements.stuck().is_none()
    }

    /// Why it can't move now.
    pub fn stuck(&self) -> Option<String> {
        self.statements.stuck().map(ToOwned::to_owned)
    }

    /// True once after [`Self::stuck`] may have changed.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// What has to be asked on the old connection before a move.
    pub fn question(&self) -> Option<String> {
        None
    }

    /// The answer to it.
    pub fn answered(&mut self, _answer: Option<&super::ask::Answer>) {}

    /// Appends the commands that bring a fresh connection into this state.
    pub fn replay(&mut self, _capabilities: Capabilities, bytes: &mut Vec<u8>, commands: &mut Vec<u8>) {
        if let Some(schema) = &self.schema {
            packet::command(bytes, com::INIT_DB, schema);
            commands.push(com::INIT_DB);
        }
    }

    /// Its connection is gone, and with it the node's ids of prepared statements.
    pub fn forget_backend(&mut self) {
        self.statements.forget_node();
        self.news = true;
    }

    /// If a transaction was open, it is gone, and the application will be told.
    pub fn transaction_lost(&mut self) {
        self.doomed |= self.status & status::IN_TRANS != 0;
        self.status &= !(status::IN_TRANS | status::IN_TRANS_READONLY);
    }
}

/// True for what servers tell by default.
fn is_wanted(tracker: &Tracker<'_>) -> bool {
    match tracker {
        Tracker::Schema(_) => true,
        Tracker::Variable { name, .. } => matches!(
            *name,
            b"time_zone"
                | b"autocommit"
                | b"character_set_client"
                | b"character_set_results"
                | b"character_set_connection"
        ),
        _ => false,
    }
}

/// True for a collation of a character set in which a backslash can be the second byte of a character.
fn is_wide_collation(id: u8) -> bool {
    matches!(id, 1 | 13 | 28 | 84 | 87 | 88 | 95 | 96 | 248..=250)
}

impl Plan {
    /// Of a statement.
    #[inline]
    fn of_statement(statement: Statement) -> Self {
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

    /// Of a command that is no statement.
    fn of_command(command: u8) -> Self {
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
