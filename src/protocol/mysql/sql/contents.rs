//! Reads what stands in a statement behind its first words, for what it leaves behind in the session.

use super::classify::Reader;
use super::lexer::Token;
use super::statement::{Flags, Kind};
use super::words::{self, pack};

const DOT: u128 = b'.' as u128;
const COMMA: u128 = b',' as u128;
/// What no word and no symbol is packed as.
const SCOPE: u128 = u128::MAX;
const OPENED: u128 = u128::MAX - 1;
const OTHER: u128 = u128::MAX - 2;

/// The token before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Last<'a> {
    /// A word packed, a symbol as it is, 0 at the beginning.
    packed: u128,
    /// The same of the token before it.
    before: u128,
    /// The word or the quoted name.
    word: Option<&'a [u8]>,
    /// A name in quotes, or one behind a point: never a function of the server's own.
    qualified: bool,
}

impl<'a> Reader<'a> {
    /// Reads the rest of the text for what it leaves behind. True if more than one statement stands in it.
    pub(super) fn rest(&mut self, kind: Kind, held: Option<Token<'a>>) -> bool {
        let (mut held, mut kind, mut last) = (held, kind, Last::default());
        let several = kind;
        while let Some(token) = held.take().or_else(|| self.lexer.next()) {
            if token == Token::Symbol(b';') && kind != Kind::Several && self.lexer.clone().next().is_some() {
                kind = Kind::Several;
            }
            self.token(kind, token, &mut last);
        }
        kind != several
    }

    #[inline]
    pub(super) fn token(&mut self, kind: Kind, token: Token<'a>, last: &mut Last<'a>) {
        let mut now = Last { before: last.packed, ..Last::default() };
        match token {
            Token::Word(word) => {
                now.packed = pack(word.get(..16).unwrap_or(word));
                now.word = Some(word);
                now.qualified = last.packed == DOT;
                self.keyword(kind, last, now.packed);
            }
            Token::Name(name) => {
                now.word = Some(name);
                now.qualified = true;
            }
            Token::User(_) => {
                self.flags |= Flags::USER_VARIABLE;
                if last.packed == words::INTO || self.assigning || kind == Kind::Several {
                    self.flags |= Flags::ASSIGNS;
                }
            }
            Token::Assign if kind != Kind::Set => self.flags |= Flags::ASSIGNS,
            Token::System(name) => {
                now.packed = pack(name);
                match now.packed {
                    words::GLOBAL | words::PERSIST | words::PERSIST_ONLY
                        if kind == Kind::Set && matches!(last.packed, 0 | COMMA) =>
                    {
                        self.flags |= Flags::GLOBAL;
                    }
                    words::GLOBAL | words::SESSION | words::LOCAL => now.packed = SCOPE,
                    packed => self.system(packed),
                }
            }
            Token::Text(_) if matches!(last.packed, words::OUTFILE | words::DUMPFILE) => self.flags |= Flags::OUTFILE,
            Token::Symbol(b'(') => {
                if let Some(word) = last.word {
                    self.call(kind, word, last);
                }
                now.packed = u128::from(b'(');
            }
            Token::Symbol(symbol) => now.packed = u128::from(symbol),
            Token::Assign | Token::Text(_) | Token::Number(_) => now.packed = OTHER,
        }
        if last.packed == OPENED && token != Token::Symbol(b')') {
            self.flags |= Flags::SETS_INSERT_ID;
        }
        if token == Token::Symbol(b'(') && last.packed == words::LAST_INSERT_ID {
            now.packed = OPENED;
        }
        *last = now;
    }

    fn keyword(&mut self, kind: Kind, last: &Last<'a>, now: u128) {
        match (last.packed, now) {
            (DOT, _) if last.before == SCOPE => self.system(now),
            (words::FOR, words::UPDATE | words::SHARE) | (words::LOCK, words::IN) => self.flags |= Flags::LOCKING,
            (words::NEXT | words::PREVIOUS, words::VALUE) | (DOT, words::NEXTVAL) => self.flags |= Flags::FUNCTION,
            (words::CREATE | words::DROP | words::REPLACE, words::TEMPORARY) => self.flags |= Flags::TEMPORARY,
            (words::SHOW, words::WARNINGS | words::ERRORS) => self.flags |= Flags::ABOUT_LAST,
            (0 | COMMA, words::GLOBAL | words::PERSIST | words::PERSIST_ONLY) if kind == Kind::Set => {
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
    fn call(&mut self, kind: Kind, word: &[u8], last: &Last<'a>) {
        if !last.qualified {
            match last.packed {
                words::GET_LOCK => self.flags |= Flags::GET_LOCK,
                words::RELEASE_LOCK | words::RELEASE_ALL_LOCKS => self.flags |= Flags::RELEASE_LOCK,
                words::FOUND_ROWS | words::ROW_COUNT => self.flags |= Flags::ABOUT_LAST,
                words::LAST_INSERT_ID => self.flags |= Flags::INSERT_ID,
                _ => {}
            }
        }
        if kind == Kind::Read && (last.qualified || !words::harmless(word)) {
            self.flags |= Flags::FUNCTION;
        }
    }
}
