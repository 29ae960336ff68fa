//! Reads what stands in a statement behind its first words, for what it leaves behind in the session.

use super::classify::Reader;
use super::lexer::Token;
use super::statement::{Flags, Kind};
use super::words::{self, may_be_noted, pack};

/// What a token means for the one behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mark {
    /// There is none: it is the first one.
    #[default]
    First,
    /// Nothing.
    Other,
    Dot,
    Comma,
    /// `@@session`, `@@local`.
    Scope,
    /// The parenthesis of `LAST_INSERT_ID(`.
    Opened,
    /// `FOR`.
    For,
    /// `LOCK`.
    Lock,
    /// `NEXT`, `PREVIOUS`.
    Next,
    /// `CREATE`, `DROP`, `REPLACE`.
    Define,
    /// `SHOW`.
    Show,
    /// `INTO`.
    Into,
    /// `OUTFILE`, `DUMPFILE`.
    File,
    /// `GET_LOCK`.
    GetLock,
    /// `RELEASE_LOCK`, `RELEASE_ALL_LOCKS`.
    ReleaseLock,
    /// `FOUND_ROWS`, `ROW_COUNT`.
    About,
    /// `LAST_INSERT_ID`.
    InsertId,
}

impl Mark {
    fn of(word: u128) -> Self {
        match word {
            words::FOR => Self::For,
            words::LOCK => Self::Lock,
            words::NEXT | words::PREVIOUS => Self::Next,
            words::CREATE | words::DROP | words::REPLACE => Self::Define,
            words::SHOW => Self::Show,
            words::INTO => Self::Into,
            words::OUTFILE | words::DUMPFILE => Self::File,
            words::GET_LOCK => Self::GetLock,
            words::RELEASE_LOCK | words::RELEASE_ALL_LOCKS => Self::ReleaseLock,
            words::FOUND_ROWS | words::ROW_COUNT => Self::About,
            words::LAST_INSERT_ID => Self::InsertId,
            _ => Self::Other,
        }
    }
}

/// The token before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Last<'a> {
    mark: Mark,
    /// That of the token before it.
    before: Mark,
    /// A name in quotes, or one behind a point: never a function of the server's own.
    qualified: bool,
    /// The word or the quoted name; empty for anything else.
    word: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads the rest of the text for what it leaves behind. True if more than one statement stands in it.
    pub(super) fn rest(&mut self, kind: Kind, held: Option<Token<'a>>) -> bool {
        let (mut held, mut kind, mut last) = (held, kind, Last::default());
        let several = kind;
        while let Some(token) = held.take().or_else(|| self.lexer.next()) {
            if matches!(token, Token::Symbol(b';')) && kind != Kind::Several && self.lexer.clone().next().is_some() {
                kind = Kind::Several;
            }
            self.token(kind, token, &mut last);
        }
        kind != several
    }

    #[inline]
    pub(super) fn token(&mut self, kind: Kind, token: Token<'a>, last: &mut Last<'a>) {
        let mut now = Last { mark: Mark::Other, before: last.mark, qualified: false, word: b"" };
        match token {
            Token::Word(word) => {
                now.word = word;
                now.qualified = last.mark == Mark::Dot;
                // Names of tables and columns, nearly always, and words that don't matter here.
                if may_be_noted(word) {
                    let word = pack(word.get(..16).unwrap_or(word));
                    now.mark = Mark::of(word);
                    self.keyword(kind, last, word);
                }
            }
            Token::Symbol(symbol) => now.mark = self.symbol(kind, symbol, last),
            Token::Name(name) => {
                now.word = name;
                now.qualified = true;
            }
            Token::User(_) => {
                self.flags |= Flags::USER_VARIABLE;
                if last.mark == Mark::Into || self.assigning || kind == Kind::Several {
                    self.flags |= Flags::ASSIGNS;
                }
            }
            Token::Assign if kind != Kind::Set => self.flags |= Flags::ASSIGNS,
            Token::System(name) => now.mark = self.variable(kind, name, last),
            Token::Text(_) if last.mark == Mark::File => self.flags |= Flags::OUTFILE,
            Token::Assign | Token::Text(_) | Token::Number(_) => {}
        }
        if last.mark == Mark::Opened && !matches!(token, Token::Symbol(b')')) {
            self.flags |= Flags::SETS_INSERT_ID;
        }
        *last = now;
    }

    #[inline]
    fn symbol(&mut self, kind: Kind, symbol: u8, last: &Last<'a>) -> Mark {
        match symbol {
            b'.' => Mark::Dot,
            b',' => Mark::Comma,
            b'(' => {
                if !last.word.is_empty() {
                    self.call(kind, last);
                }
                if last.mark == Mark::InsertId { Mark::Opened } else { Mark::Other }
            }
            _ => Mark::Other,
        }
    }

    /// What stands behind `@@`.
    fn variable(&mut self, kind: Kind, name: &[u8], last: &Last<'a>) -> Mark {
        let name = pack(name);
        match name {
            words::GLOBAL | words::PERSIST | words::PERSIST_ONLY
                if kind == Kind::Set && matches!(last.mark, Mark::First | Mark::Comma) =>
            {
                self.flags |= Flags::GLOBAL;
            }
            words::GLOBAL | words::SESSION | words::LOCAL => return Mark::Scope,
            name => self.system(name),
        }
        Mark::of(name)
    }

    fn keyword(&mut self, kind: Kind, last: &Last<'a>, now: u128) {
        match (last.mark, now) {
            (Mark::Dot, _) if last.before == Mark::Scope => self.system(now),
            (Mark::For, words::UPDATE | words::SHARE) | (Mark::Lock, words::IN) => self.flags |= Flags::LOCKING,
            (Mark::Next, words::VALUE) | (Mark::Dot, words::NEXTVAL) => self.flags |= Flags::FUNCTION,
            (Mark::Define, words::TEMPORARY) => self.flags |= Flags::TEMPORARY,
            (Mark::Show, words::WARNINGS | words::ERRORS) => self.flags |= Flags::ABOUT_LAST,
            (Mark::First | Mark::Comma, words::GLOBAL | words::PERSIST | words::PERSIST_ONLY) if kind == Kind::Set => {
                self.flags |= Flags::GLOBAL;
            }
            (_, words::SQL_CALC) => self.flags |= Flags::CALC_FOUND_ROWS,
            (_, words::DIAGNOSTICS) if kind == Kind::Several => self.flags |= Flags::ABOUT_LAST | Flags::ASSIGNS,
            _ => {}
        }
    }

    fn system(&mut self, name: u128) {
        match name {
            words::WARNING_COUNT | words::ERROR_COUNT => self.flags |= Flags::ABOUT_LAST,
            words::IDENTITY | words::LAST_INSERT_ID => self.flags |= Flags::INSERT_ID,
            words::SOCKET => self.flags |= Flags::SOCKET,
            _ => {}
        }
    }

    /// A word stands before a parenthesis.
    fn call(&mut self, kind: Kind, last: &Last<'a>) {
        if !last.qualified {
            match last.mark {
                Mark::GetLock => self.flags |= Flags::GET_LOCK,
                Mark::ReleaseLock => self.flags |= Flags::RELEASE_LOCK,
                Mark::About => self.flags |= Flags::ABOUT_LAST,
                Mark::InsertId => self.flags |= Flags::INSERT_ID,
                _ => {}
            }
        }
        if kind == Kind::Read && (last.qualified || !words::harmless(last.word)) {
            self.flags |= Flags::FUNCTION;
        }
    }
}
