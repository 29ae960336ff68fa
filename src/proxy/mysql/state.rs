//! What is known of a session's state, from its commands and from what the node says of them.
//!
//! Input: commands as they are sent, packets that end answers. Output: what a command is, what is open, why the session can't move, and what
//! brings a fresh connection into its state. Never: bytes to anybody.

use super::{ask::Answer, command::Plan, door::Login};
use crate::protocol::mysql::{
    capability::{Capabilities, command as com, status},
    ok::{EOF, OkPacket},
    packet::{self, HEADER},
    session::{
        carried::Carried,
        statements::{Statements, id_of},
        text::query_text,
    },
    sql::{Dialect, Statement, classify},
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
    /// Everything else that it takes along.
    carried: Carried,
    status: u16,
    /// What both sides of the session can do.
    capabilities: Capabilities,
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
            carried: Carried::new(schema, is_wide_collation(login.collation)),
            capabilities: login.capabilities,
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
        self.carried.dialect()
    }

    /// What a command is, by its payload or the beginning of it.
    #[inline]
    pub fn plan(&self, command: u8, payload: &[u8], whole: bool) -> Plan {
        let statement = match command {
            com::QUERY => match query_text(payload, self.capabilities) {
                Some(at) => classify(payload.get(at..).unwrap_or_default(), whole, self.carried.dialect()),
                None => Statement::UNKNOWN,
            },
            com::STMT_PREPARE => classify(payload.get(1..).unwrap_or_default(), whole, self.carried.dialect()),
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
        let open = self.statements.is_open();
        match command {
            com::QUERY => {
                let start = query_text(payload, self.capabilities).filter(|_| whole);
                self.carried.sent(statement, start.and_then(|start| payload.get(start..)));
            }
            com::STMT_EXECUTE | com::STMT_BULK_EXECUTE => {
                self.flight.id = id_of(payload).unwrap_or_default();
                self.carried.sent(statement, self.statements.text(self.flight.id));
                self.statements.executing(self.flight.id);
            }
            com::INIT_DB if whole => self.carried.sent_schema(payload.get(1..).unwrap_or_default()),
            com::SET_OPTION => {
                let option = payload.get(1..3).and_then(<[u8]>::first_chunk);
                self.carried.sent_option(option.copied().map(u16::from_le_bytes).unwrap_or_default());
            }
            _ => {
                self.carried.sent_other();
                self.sent_about(command, payload, whole, statement);
            }
        }
        self.news |= self.statements.is_open() != open;
    }

    /// A command about a prepared statement is sent, but not its execution.
    fn sent_about(&mut self, command: u8, payload: &[u8], whole: bool, statement: Statement) {
        match command {
            com::STMT_FETCH => self.flight.id = id_of(payload).unwrap_or_default(),
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
        let open = self.statements.is_open();
        if matches!(self.flight.command, com::STMT_EXECUTE | com::STMT_FETCH) {
            self.statements.answered(self.flight.id, Some(status));
        }
        // What neither the node says nor the statement's text is as it was.
        let was = self.carried.is_changing().then(|| self.is_told());
        self.carried.succeeded(packet.get(HEADER..).unwrap_or_default(), node);
        let changed = status & status::SESSION_STATE_CHANGED != 0;
        self.news |= changed || open != self.statements.is_open() || was.is_some_and(|was| was != self.is_told());
        changed
    }

    /// Why it can't move, as far as no prepared statement is concerned.
    fn is_told(&self) -> Option<&'static str> {
        self.carried.stuck()
    }

    /// True once after the application undid what has the node tell of changes: that has to be turned on again.
    pub fn take_setup_due(&mut self) -> bool {
        self.carried.take_setup_due()
    }

    /// An error ended the answer.
    pub fn on_error(&mut self, number: u16) {
        self.carried.failed();
        match self.flight.command {
            com::STMT_EXECUTE | com::STMT_FETCH => self.statements.answered(self.flight.id, None),
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
        if let [head @ .., EOF, _, _, _, high] = packet
            && head.len() == HEADER
        {
            // An EOF packet has no room for what changed, and MariaDB sets the flag all the same.
            out.extend_from_slice(packet);
            let [_, changed] = status::SESSION_STATE_CHANGED.to_le_bytes();
            if let Some(last) = out.last_mut() {
                *last = high & !changed;
            }
            return;
        }
        let Some((header, ok)) =
            packet::read(packet).and_then(|(header, payload)| Some((header, OkPacket::read(payload, node).ok()?)))
        else {
            return out.extend_from_slice(packet);
        };
        let mut shown = Vec::new();
        if self.capabilities.has(Capabilities::SESSION_TRACK) {
            self.carried.visible(&ok, &mut shown);
        }
        packet::write_with(out, header.sequence, |out| ok.write(out, &shown));
    }

    /// `COM_RESET_CONNECTION`: as after the login, in the schema that it is in.
    pub fn reset(&mut self) {
        self.statements.clear();
        self.carried.reset();
        // Who resets has turned tracking on again already.
        self.carried.take_setup_due();
        self.status = status::AUTOCOMMIT;
        self.doomed = false;
        self.news = true;
    }

    /// The schema it is in.
    pub fn schema(&self) -> Option<&[u8]> {
        self.carried.schema()
    }

    /// True when a new connection can be brought into this state although the old one is gone.
    pub fn survives(&self) -> bool {
        self.carried.is_known() && self.statements.stuck().is_none()
    }

    /// Why it can't move now, besides an open transaction.
    pub fn stuck(&self) -> Option<&'static str> {
        self.carried.stuck().or_else(|| self.statements.stuck())
    }

    /// True once after [`Self::stuck`] may have changed.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// What has to be asked on the old connection before a move, as a command's payload.
    pub fn question(&self, node: Capabilities) -> Option<Vec<u8>> {
        self.carried.ask(node)
    }

    /// The answer to it. False if it isn't enough.
    pub fn answered(&mut self, answer: &Answer, node: Capabilities) -> bool {
        self.carried.answered(&answer.bytes, node)
    }

    /// Appends the commands that bring a fresh connection into this state, and their first bytes.
    pub fn replay(&self, node: Capabilities, bytes: &mut Vec<u8>, commands: &mut Vec<u8>) {
        let mut put = |payload: &[u8]| {
            packet::write(bytes, 0, payload);
            commands.extend(payload.first());
        };
        let replayed = self.carried.replay(node);
        for payload in &replayed {
            put(payload);
        }
        if let Some(schema) = self.carried.schema() {
            put(&[&[com::INIT_DB], schema].concat());
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

/// True for a collation of a character set in which a backslash can be the second byte of a character.
fn is_wide_collation(id: u8) -> bool {
    matches!(id, 1 | 13 | 28 | 84 | 87 | 88 | 95 | 96 | 248..=250)
}
