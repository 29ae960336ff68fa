//! What a session has to take along when it moves, and what keeps it where it is.
//!
//! Input: statements as they are sent, and what the node answers. A statement that fails changes nothing: what it would change is kept apart
//! until its OK packet comes. What trackers tell is believed; what they don't tell (locks, roles, user variables' values) is read off the
//! statements' texts; what neither explains keeps the session where it is.

use super::super::capability::{Capabilities, status};
use super::super::ok::{EOF, EOF_LEN, OkPacket, Tracker};
use super::super::sql::{Dialect, Flags, Kind, Statement};
use super::pending::Pending;
use super::tracking::Wanted;
use super::variables::{Known, SystemVariables, UserVariables, dialect_of, is_wide};

/// Why a session can't move, besides an open transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Holds {
    /// `LOCK TABLES`, as the transaction's state tells.
    pub tables: bool,
    /// `FLUSH TABLES WITH READ LOCK` and the like.
    pub server: bool,
    /// `GET_LOCK()`.
    pub user_lock: bool,
    /// A temporary table.
    pub temporary: bool,
    /// A prepared XA transaction.
    pub xa: bool,
    /// Something that a function or procedure left behind.
    pub hidden: bool,
    /// Named statements whose text may leave something behind.
    pub opaque: bool,
    /// A resource group.
    pub group: bool,
    /// Seeds of `RAND()` or an insert id for one statement.
    pub seed: bool,
    /// Open handlers.
    pub handlers: u16,
}

/// The state of one session, but for its transaction, its prepared statements and its login.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Carried {
    pub(super) schema: Option<Box<[u8]>>,
    pub(super) system: SystemVariables,
    pub(super) user: UserVariables,
    pub(super) holds: Holds,
    /// Statements prepared by SQL, by their names.
    pub(super) named: Vec<Box<[u8]>>,
    /// `collation_connection` is no longer the character set's own, and has to be asked.
    pub(super) ask_collation: bool,
    /// `SET ROLE` as it was said.
    pub(super) role: Option<Box<[u8]>>,
    /// What holds for the next transaction only, as statements with semicolons.
    pub(super) one_shot: Option<Box<[u8]>>,
    /// `SET timestamp`.
    pub(super) clock: Option<Box<[u8]>>,
    pub(super) insert_id: u64,
    /// `COM_SET_OPTION` as it was said last.
    pub(super) option: Option<u16>,
    /// It has run a procedure or function, which may have taken a lock by `GET_LOCK()` that no text and no tracker tells of.
    pub(super) may_lock: bool,
    /// The session was reset: a fresh login has other values than it.
    pub(super) was_reset: bool,
    wanted: Wanted,
    setup_due: bool,
    /// What a statement changed that failed, or whose answer had no room for it, comes with the next OK packet.
    owed: bool,
    dialect: Dialect,
    flight: Statement,
    pending: Option<Box<Pending>>,
}

impl Carried {
    /// A session that has just logged in. `wide`: its collation's character set is one of [`is_wide`].
    pub fn new(schema: Option<&[u8]>, wide: bool) -> Self {
        Self {
            schema: schema.filter(|name| !name.is_empty()).map(Into::into),
            dialect: Dialect { wide, ..Dialect::default() },
            ..Self::default()
        }
    }

    /// The schema that the session is in.
    pub fn schema(&self) -> Option<&[u8]> {
        self.schema.as_deref()
    }

    /// How its statements are read.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// A statement is sent. `text` is its whole text, if that is known; of a prepared one, the text that was prepared. Allocates only for
    /// statements that change the session.
    #[inline]
    pub fn sent(&mut self, statement: Statement, text: Option<&[u8]>) {
        self.flight = statement;
        self.pending = None;
        if Pending::is_needed(statement) {
            self.pending = Some(Box::new(Pending::read(statement, text, self.dialect)));
        }
        self.may_lock |= self.is_opaque();
    }

    /// True while a statement is under way whose text says what it changes.
    #[inline]
    pub fn is_changing(&self) -> bool {
        self.pending.is_some()
    }

    /// `COM_INIT_DB` is sent. Its answer tells the schema only if it is another than before.
    pub fn sent_schema(&mut self, schema: &[u8]) {
        self.sent(Statement { kind: Kind::Use, flags: Flags::default() }, None);
        self.pending = Some(Box::new(Pending { schema: Some(schema.into()), ..Pending::default() }));
    }

    /// `COM_SET_OPTION` is sent.
    pub fn sent_option(&mut self, option: u16) {
        self.sent(Statement { kind: Kind::Set, flags: Flags::default() }, None);
        self.pending = Some(Box::new(Pending { option: Some(option), ..Pending::default() }));
    }

    /// Another command is sent, which changes nothing that is carried.
    pub fn sent_other(&mut self) {
        self.flight = Statement { kind: Kind::Empty, flags: Flags::default() };
        self.pending = None;
    }

    /// An error came: a single statement has changed nothing; of several, and in a procedure, what ran before it stays.
    pub fn failed(&mut self) {
        self.owed |= self.is_opaque();
        if self.flight.kind == Kind::Several {
            self.apply();
        }
        self.pending = None;
    }

    /// An OK or EOF packet came, the last of an answer or one of several; `capabilities` are the node's.
    #[inline]
    pub fn succeeded(&mut self, payload: &[u8], capabilities: Capabilities) {
        let Some(flags) = super::super::ok::status(payload) else { return };
        if flags & status::SESSION_STATE_CHANGED != 0 {
            self.changed(payload, capabilities);
        } else if payload.len() == EOF_LEN {
            // MySQL tells with the next OK packet what an EOF packet has no room for.
            self.owed |= self.is_opaque();
        } else if payload.first() == Some(&0) && self.flight.kind == Kind::Write {
            self.inserted(payload, capabilities);
        }
        self.dialect.no_backslash_escapes = flags & status::NO_BACKSLASH_ESCAPES != 0;
        if self.pending.is_some() && flags & status::MORE_RESULTS == 0 {
            self.apply();
        }
    }

    fn inserted(&mut self, payload: &[u8], capabilities: Capabilities) {
        if let Ok(ok) = OkPacket::read(payload, capabilities)
            && ok.insert_id != 0
        {
            self.insert_id = ok.insert_id;
        }
    }

    fn changed(&mut self, payload: &[u8], capabilities: Capabilities) {
        if payload.first() == Some(&EOF) && payload.len() == EOF_LEN {
            // MariaDB says that something changed, and an EOF packet has no room for what.
            self.holds.hidden |= self.is_opaque();
            return;
        }
        let Ok(ok) = OkPacket::read(payload, capabilities) else { return };
        if ok.insert_id != 0 {
            self.insert_id = ok.insert_id;
        }
        let (mut changed, mut told) = (false, false);
        let (mut charset, mut collation) = (false, false);
        for tracker in ok.trackers() {
            match tracker {
                Tracker::Variable { name: b"statement_id", .. } | Tracker::Gtids(_) | Tracker::Other(_) => {}
                Tracker::Variable { name, value } => {
                    told = true;
                    charset |= name == b"character_set_connection";
                    collation |= name == b"collation_connection";
                    self.variable(name, value);
                }
                Tracker::Schema(name) => {
                    told = true;
                    self.schema = Some(name).filter(|name| !name.is_empty()).map(Into::into);
                }
                Tracker::Changed(now) => changed = now,
                Tracker::Characteristics(text) => {
                    self.one_shot = (text.starts_with(b"SET TRANSACTION")).then(|| text.into());
                }
                Tracker::Transaction(state) => self.holds.tables = state.get(7) == Some(&b'L'),
            }
        }
        if charset || collation {
            self.ask_collation = false;
        }
        if charset && !collation {
            // The character set's own.
            self.system.remove(b"collation_connection");
        }
        if changed && (self.is_opaque() || self.owed || !told && !self.explains()) {
            self.holds.hidden = true;
        }
        self.owed = false;
    }

    fn variable(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"last_insert_id" | b"identity" => {
                self.insert_id = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
            }
            b"timestamp" => self.clock = Some(value.into()),
            b"insert_id" | b"rand_seed1" | b"rand_seed2" => self.holds.seed = true,
            b"sql_mode" => self.dialect = dialect_of(value, self.dialect.wide),
            b"character_set_client" => self.dialect.wide = is_wide(value),
            b"collation_connection" | b"character_set_connection" if self.system.get(name) != Some(value) => {
                self.user.forget_strings();
            }
            _ => {}
        }
        self.system.set(name, value);
    }

    /// True for a statement that may change anything without its text saying so.
    fn is_opaque(&self) -> bool {
        let opaque = matches!(self.flight.kind, Kind::Call | Kind::Execute | Kind::Unknown);
        opaque
            || self.flight.flags.any(Flags::FUNCTION | Flags::UNSEEN)
            || self.flight.kind == Kind::Several && self.pending.as_ref().is_none_or(|pending| !pending.complete)
    }

    /// True for a statement that changes something no tracker names, and whose text says what.
    fn explains(&self) -> bool {
        let explained = self.pending.as_ref().is_some_and(|pending| pending.complete);
        explained || self.flight.flags.any(Flags::TEMPORARY) || matches!(self.flight.kind, Kind::Set | Kind::Use)
    }

    /// What the statement's text says happens now.
    fn apply(&mut self) {
        let Some(mut pending) = self.pending.take() else { return };
        for (name, value) in std::mem::take(&mut pending.user) {
            self.user.set(&name, value);
        }
        for (name, value) in std::mem::take(&mut pending.tracked) {
            self.setup_due |= self.wanted.set(&name, value.as_value());
        }
        if let Some(schema) = pending.schema.take() {
            self.schema = Some(schema);
        }
        self.option = pending.option.or(self.option);
        match pending.collation.take() {
            Some(Known::Sql(name)) => {
                self.ask_collation = false;
                self.variable(b"collation_connection", &name);
            }
            Some(Known::No) => self.ask_collation = true,
            None => {}
        }
        if pending.role.is_some() {
            self.role = pending.role.take();
        }
        if pending.clock_off {
            self.clock = None;
        }
        let holds = &mut self.holds;
        holds.user_lock = holds.user_lock && !pending.releases_all || pending.user_lock;
        holds.temporary |= pending.temporary;
        holds.group |= pending.group;
        holds.hidden |= pending.hidden || pending.executes && holds.opaque;
        holds.opaque |= pending.opaque;
        match pending.locks {
            // The transaction's state tells of locked tables.
            Some(true) if !holds.tables => holds.server = true,
            Some(false) => holds.server = false,
            _ => {}
        }
        holds.xa = pending.xa.unwrap_or(holds.xa);
        holds.handlers = holds.handlers.saturating_add_signed(pending.handlers);
        if let Some((name, prepared)) = pending.named.take() {
            self.named.retain(|known| *known != name);
            if prepared {
                self.named.push(name);
            }
        }
    }

    /// True once after the client undid what has the node tell everything: [`SETUP`](super::tracking::SETUP) has to be sent.
    pub fn take_setup_due(&mut self) -> bool {
        std::mem::take(&mut self.setup_due)
    }

    /// Appends those of a node's trackers that a client with `CLIENT_SESSION_TRACK` gets.
    pub fn visible(&self, ok: &OkPacket<'_>, out: &mut Vec<u8>) {
        self.wanted.filter(ok.trackers(), out);
    }

    /// `COM_RESET_CONNECTION` was answered with OK: everything is as the server has it, but for the schema. Trackers are off, too: see
    /// [`Self::take_setup_due`].
    pub fn reset(&mut self) {
        let schema = self.schema.take();
        *self = Self { schema, was_reset: true, setup_due: true, ..Self::default() };
    }
}
