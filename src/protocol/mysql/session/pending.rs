//! What a statement's text says that it changes in the session, kept until the node has said OK.

use super::super::sql::set::{Assignment, Scope, Value, assignments, user_variables};
use super::super::sql::{Dialect, Flags, Kind, Lexer, Statement, Token};
use super::variables::{Known, LITERAL_MAX};

/// The longest text that is kept for saying it again, in bytes.
const TEXT_MAX: usize = 4096;

/// A value that outlives its statement's text.
#[derive(Debug)]
pub(super) enum Kept {
    Literal(Box<[u8]>),
    Word(Box<[u8]>),
    Expression,
}

impl Kept {
    fn of(value: Value<'_>) -> Self {
        match value {
            Value::Literal(text) => Self::Literal(text.into()),
            Value::Word(word) => Self::Word(word.into()),
            Value::Expression => Self::Expression,
        }
    }

    pub(super) fn as_value(&self) -> Value<'_> {
        match self {
            Self::Literal(text) => Value::Literal(text),
            Self::Word(word) => Value::Word(word),
            Self::Expression => Value::Expression,
        }
    }
}

/// What a statement changes.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Pending {
    pub user: Vec<(Box<[u8]>, Known)>,
    /// `session_track_...` variables.
    pub tracked: Vec<(Box<[u8]>, Kept)>,
    pub schema: Option<Box<[u8]>>,
    pub option: Option<u16>,
    pub role: Option<Box<[u8]>>,
    /// A statement got (true) or lost a name in the server.
    pub named: Option<(Box<[u8]>, bool)>,
    /// `collation_connection` was set without a tracker that tells it: to this, or to what has to be asked.
    pub collation: Option<Known>,
    /// Locks of tables or the server are taken (true) or given back.
    pub locks: Option<bool>,
    pub xa: Option<bool>,
    pub handlers: i16,
    pub user_lock: bool,
    pub releases_all: bool,
    pub temporary: bool,
    pub group: bool,
    pub clock_off: bool,
    /// A named statement is run.
    pub executes: bool,
    /// A named statement may leave something behind whenever it is run.
    pub opaque: bool,
    /// It can't be told what it changes.
    pub hidden: bool,
    /// Everything that it changes and no tracker names was read off its text.
    pub complete: bool,
}

/// Flags of what is no matter of trackers.
const TELLING: [Flags; 4] = [Flags::GET_LOCK, Flags::RELEASE_LOCK, Flags::TEMPORARY, Flags::ASSIGNS];

impl Pending {
    /// False for nearly every statement: nothing has to be kept for it.
    #[inline]
    pub(super) fn is_needed(statement: Statement) -> bool {
        let [get_lock, release_lock, temporary, assigns] = TELLING;
        statement.flags.any(get_lock | release_lock | temporary | assigns)
            || matches!(
                statement.kind,
                Kind::Set
                    | Kind::Use
                    | Kind::Prepare
                    | Kind::Execute
                    | Kind::Deallocate
                    | Kind::LockTables
                    | Kind::UnlockTables
                    | Kind::Handler
                    | Kind::Xa
                    | Kind::Several
            )
    }

    /// Reads a statement that [`Self::is_needed`] for.
    pub(super) fn read(statement: Statement, text: Option<&[u8]>, dialect: Dialect) -> Self {
        let flags = statement.flags;
        let mut pending = Self {
            user_lock: flags.any(Flags::GET_LOCK),
            temporary: flags.any(Flags::TEMPORARY),
            complete: true,
            ..Self::default()
        };
        let Some(text) = text else {
            // Its text isn't known.
            pending.hidden =
                flags.any(Flags::ASSIGNS) || matches!(statement.kind, Kind::Prepare | Kind::Execute | Kind::Several);
            pending.complete = false;
            return pending;
        };
        if flags.any(Flags::ASSIGNS) {
            user_variables(text, dialect, &mut |name| pending.user.push((name.into(), Known::No)));
        }
        pending.releases_all = flags.any(Flags::RELEASE_LOCK) && has_word(text, dialect, b"release_all_locks");
        match statement.kind {
            Kind::Set => pending.set(text, dialect),
            Kind::Prepare => {
                pending.named = second(text, dialect).map(|name| (name, true));
                pending.opaque = memchr::memchr2(b'@', b'(', text).is_some();
            }
            Kind::Execute => {
                // EXECUTE IMMEDIATE (MariaDB) has its text with it.
                let immediate = second(text, dialect).is_some_and(|name| &*name == b"immediate");
                pending.hidden = immediate && memchr::memchr2(b'@', b'(', text).is_some();
                pending.executes = true;
            }
            Kind::Deallocate => pending.named = last_name(text, dialect).map(|name| (name, false)),
            Kind::LockTables => pending.locks = Some(true),
            Kind::UnlockTables => pending.locks = Some(false),
            Kind::Handler => pending.handler(text, dialect),
            Kind::Xa => {
                pending.xa = match second(text, dialect).as_deref() {
                    Some(b"prepare") => Some(true),
                    Some(b"commit" | b"rollback") => Some(false),
                    _ => None,
                }
            }
            Kind::Several => pending.several(text, dialect),
            _ => {}
        }
        pending
    }

    fn set(&mut self, text: &[u8], dialect: Dialect) {
        let mut role = false;
        let understood = assignments(text, dialect, &mut |assignment| match assignment {
            Assignment::User { name, value } => {
                let known = match value {
                    Value::Literal(literal) if literal.len() <= LITERAL_MAX => Known::Sql(literal.into()),
                    _ => Known::No,
                };
                self.user.push((name.into(), known));
            }
            Assignment::Variable { name, scope: Scope::Session, value } => {
                let name = super::variables::plain_name(name);
                if name == b"timestamp" {
                    self.clock_off |= matches!(value, Value::Word(_) | Value::Literal(b"0"));
                } else if name.starts_with(b"session_track_") {
                    self.tracked.push((name.into(), Kept::of(value)));
                }
            }
            Assignment::Role => role = true,
            Assignment::ResourceGroup => self.group = true,
            Assignment::Names { of_schema: true, .. } => self.collation = Some(Known::No),
            Assignment::Names { collation: Some(name), .. } => {
                self.collation = Some(Known::Sql(super::variables::plain_name(name).into()));
            }
            Assignment::Variable { .. } | Assignment::Names { .. } | Assignment::Transaction { .. } => {}
        });
        if role {
            if text.len() <= TEXT_MAX && text.is_ascii() {
                self.role = Some(text.into());
            } else {
                self.hidden = true;
            }
        }
        self.complete = understood;
        if !understood {
            user_variables(text, dialect, &mut |name| self.user.push((name.into(), Known::No)));
        }
    }

    fn handler(&mut self, text: &[u8], dialect: Dialect) {
        if has_word(text, dialect, b"open") {
            self.handlers = 1;
        } else if has_word(text, dialect, b"close") {
            self.handlers = -1;
        }
    }

    /// Several statements: what one of them may leave behind without a tracker keeps the session where it is; user variables are read back.
    fn several(&mut self, text: &[u8], dialect: Dialect) {
        for token in Lexer::new(text, dialect) {
            let Token::Word(word) = token else { continue };
            let is = |one: &&[u8]| word.eq_ignore_ascii_case(one);
            let words: [&[u8]; 9] = [
                b"prepare",
                b"execute",
                b"lock",
                b"unlock",
                b"handler",
                b"xa",
                b"role",
                b"resource",
                b"session_track_state_change",
            ];
            if words.iter().any(is) {
                self.hidden = true;
            }
            if is(&&b"collate"[..]) || is(&&b"character"[..]) || is(&&b"charset"[..]) {
                self.collation = Some(Known::No);
            }
        }
    }
}

fn has_word(text: &[u8], dialect: Dialect, wanted: &[u8]) -> bool {
    Lexer::new(text, dialect).any(|token| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(wanted)))
}

fn name(token: Token<'_>) -> Option<Box<[u8]>> {
    match token {
        Token::Word(name) | Token::Name(name) => Some(super::variables::plain_name(name).into()),
        _ => None,
    }
}

fn second(text: &[u8], dialect: Dialect) -> Option<Box<[u8]>> {
    Lexer::new(text, dialect).nth(1).and_then(name)
}

/// The last name: of `DEALLOCATE PREPARE name`, `DROP PREPARE name`.
fn last_name(text: &[u8], dialect: Dialect) -> Option<Box<[u8]>> {
    Lexer::new(text, dialect).filter_map(name).last()
}
