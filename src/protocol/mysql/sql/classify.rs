//! Tells what kind a statement is and what it may leave behind.

use super::lexer::{Dialect, Lexer, Token};
use super::statement::{Flags, Kind, Statement};
use super::words::{self, pack};

/// Classifies a statement's whole text. A part of it can be given with `whole` false: then what it leaves behind is [`Flags::UNSEEN`].
pub fn classify(text: &[u8], whole: bool, dialect: Dialect) -> Statement {
    let mut reader = Reader { lexer: Lexer::new(text, dialect), flags: Flags::default(), assigning: false };
    let kind = reader.statement();
    let mut statement = Statement { kind, flags: reader.flags };
    if reader.lexer.doubtful() {
        statement.flags |= Flags::DOUBTFUL;
    }
    if !whole {
        statement.flags |= Flags::UNSEEN;
    }
    statement
}

struct Reader<'a> {
    lexer: Lexer<'a>,
    flags: Flags,
    /// A statement that may assign every user variable that it names.
    assigning: bool,
}

impl<'a> Reader<'a> {
    fn statement(&mut self) -> Kind {
        let mut first = self.lexer.next();
        while first == Some(Token::Symbol(b'(')) {
            first = self.lexer.next();
        }
        let head = match first {
            None => return Kind::Empty,
            Some(Token::Word(word)) => pack(word),
            Some(_) => {
                self.rest(Kind::Unknown, None);
                return Kind::Unknown;
            }
        };
        self.assigning = matches!(head, words::CALL | words::EXECUTE | words::LOAD | words::GET);
        let (kind, held) = self.head(head);
        if self.rest(kind, held) { Kind::Several } else { kind }
    }

    /// The packed next word, 0 for anything else; with the token itself, which may begin something.
    fn word(&mut self) -> (u128, Option<Token<'a>>) {
        let token = self.lexer.next();
        match token {
            Some(Token::Word(word)) => (pack(word), token),
            _ => (0, token),
        }
    }

    /// The kind by the first words; with a token that was read and still has to be looked at.
    fn head(&mut self, head: u128) -> (Kind, Option<Token<'a>>) {
        let kind = match head {
            words::SELECT | words::VALUES | words::TABLE | words::HELP | words::CHECKSUM => Kind::Read,
            words::INSERT | words::UPDATE | words::DELETE | words::REPLACE | words::LOAD | words::IMPORT => Kind::Write,
            words::CREATE | words::DROP | words::ALTER => return self.definition(head),
            words::TRUNCATE
            | words::RENAME
            | words::GRANT
            | words::REVOKE
            | words::OPTIMIZE
            | words::REPAIR
            | words::CHECK => Kind::Ddl,
            words::CALL => Kind::Call,
            words::USE => Kind::Use,
            words::PREPARE => Kind::Prepare,
            words::EXECUTE => Kind::Execute,
            words::DEALLOCATE => Kind::Deallocate,
            words::HANDLER => Kind::Handler,
            words::KILL => Kind::Kill,
            words::XA => Kind::Xa,
            words::UNLOCK => Kind::UnlockTables,
            words::LOCK | words::BACKUP => Kind::LockTables,
            words::SAVEPOINT => Kind::Savepoint,
            words::BINLOG
            | words::CACHE
            | words::CHANGE
            | words::CLONE
            | words::INSTALL
            | words::PURGE
            | words::RESET
            | words::RESTART
            | words::SHUTDOWN
            | words::STOP
            | words::UNINSTALL => Kind::Admin,
            words::GET => {
                self.flags |= Flags::ABOUT_LAST | Flags::ASSIGNS;
                Kind::Unknown
            }
            _ => return self.two_words(head),
        };
        (kind, None)
    }

    /// Statements whose kind the second word decides.
    fn two_words(&mut self, head: u128) -> (Kind, Option<Token<'a>>) {
        match head {
            words::BEGIN => self.begin(),
            words::COMMIT | words::ROLLBACK => self.end(head),
            words::START => self.start(),
            words::RELEASE => (Kind::Savepoint, None),
            words::SET => self.set(),
            words::SHOW => self.show(),
            words::FLUSH => self.flush(),
            words::WITH => (self.with(), None),
            words::DESC | words::DESCRIBE | words::EXPLAIN => self.explain(),
            words::ANALYZE => match self.word() {
                // MariaDB runs a statement that it analyses.
                (words::TABLE | words::LOCAL, token) => (Kind::Ddl, token),
                (words::FORMAT, _) => (self.formatted(), None),
                (0, token) => (Kind::Ddl, token),
                (word, token) => self.inner(word, token),
            },
            _ => (Kind::Unknown, None),
        }
    }

    fn inner(&mut self, word: u128, token: Option<Token<'a>>) -> (Kind, Option<Token<'a>>) {
        match word {
            words::SELECT
            | words::INSERT
            | words::UPDATE
            | words::DELETE
            | words::REPLACE
            | words::WITH
            | words::VALUES
            | words::TABLE => {
                if word == words::WITH {
                    (self.with(), None)
                } else {
                    self.head(word)
                }
            }
            _ => (Kind::Unknown, token),
        }
    }

    /// `FORMAT = JSON statement`, from behind the first word.
    fn formatted(&mut self) -> Kind {
        let mut word = self.word();
        while word.0 == 0 && word.1.is_some() {
            word = self.word();
        }
        let (word, token) = self.word();
        self.inner(word, token).0
    }

    fn definition(&mut self, head: u128) -> (Kind, Option<Token<'a>>) {
        match self.word() {
            (words::TEMPORARY, _) => self.flags |= Flags::TEMPORARY,
            (words::PREPARE, _) if head == words::DROP => return (Kind::Deallocate, None),
            // CREATE OR REPLACE TEMPORARY TABLE (MariaDB).
            (_, Some(Token::Word(word))) if word.eq_ignore_ascii_case(b"or") => {
                self.lexer.next();
                if self.word().0 == words::TEMPORARY {
                    self.flags |= Flags::TEMPORARY;
                }
            }
            _ => {}
        }
        (Kind::Ddl, None)
    }

    fn begin(&mut self) -> (Kind, Option<Token<'a>>) {
        match self.word() {
            (words::WORK, _) => (Kind::Begin, None),
            (_, None) => (Kind::Begin, None),
            (_, token @ Some(Token::Symbol(b';'))) => (Kind::Begin, token),
            // BEGIN NOT ATOMIC, and whatever else isn't a transaction.
            (_, token) => (Kind::Several, token),
        }
    }

    fn end(&mut self, head: u128) -> (Kind, Option<Token<'a>>) {
        let mut kind = if head == words::COMMIT { Kind::Commit } else { Kind::Rollback };
        let mut no = false;
        loop {
            let (word, token) = self.word();
            match word {
                words::TO if kind == Kind::Rollback => kind = Kind::Savepoint,
                words::CHAIN if !no => self.flags |= Flags::CHAIN,
                words::RELEASE if !no => self.flags |= Flags::RELEASE,
                0 => return (kind, token),
                _ => {}
            }
            no = word == words::NO;
        }
    }

    fn start(&mut self) -> (Kind, Option<Token<'a>>) {
        if self.word().0 != words::TRANSACTION {
            return (Kind::Admin, None);
        }
        let mut read = false;
        loop {
            let (word, token) = self.word();
            match (word, token) {
                (0, Some(Token::Symbol(b','))) => {}
                (0, token) => return (Kind::Begin, token),
                (_, Some(Token::Word(word))) if read && word.eq_ignore_ascii_case(b"only") => {
                    self.flags |= Flags::READ_ONLY
                }
                _ => {}
            }
            read = word == words::READ;
        }
    }

    fn set(&mut self) -> (Kind, Option<Token<'a>>) {
        match self.word() {
            (words::PASSWORD, token) => {
                // SET PASSWORD = ..., SET PASSWORD FOR ...; a variable has no such name.
                (Kind::Ddl, token)
            }
            (words::DEFAULT, _) => (Kind::Ddl, None),
            (words::STATEMENT, _) => {
                // MariaDB: SET STATEMENT variable = value, ... FOR statement.
                loop {
                    match self.word() {
                        (words::FOR, _) => break,
                        (_, None) => return (Kind::Unknown, None),
                        _ => {}
                    }
                }
                match self.word() {
                    (0, token) => (Kind::Unknown, token),
                    (word, _) => self.head(word),
                }
            }
            (word, token) => {
                if matches!(word, words::GLOBAL | words::PERSIST | words::PERSIST_ONLY) {
                    self.flags |= Flags::GLOBAL;
                }
                (Kind::Set, token)
            }
        }
    }

    fn show(&mut self) -> (Kind, Option<Token<'a>>) {
        // SHOW WARNINGS, SHOW ERRORS, SHOW COUNT(*) WARNINGS.
        let mut word = self.word();
        if let Some(Token::Word(text)) = word.1
            && text.eq_ignore_ascii_case(b"count")
        {
            while word.0 != words::WARNINGS && word.0 != words::ERRORS && word.1.is_some() {
                word = self.word();
            }
        }
        if matches!(word.0, words::WARNINGS | words::ERRORS) {
            self.flags |= Flags::ABOUT_LAST;
        }
        (Kind::Read, word.1)
    }

    fn flush(&mut self) -> (Kind, Option<Token<'a>>) {
        let mut before = 0;
        loop {
            let (word, token) = self.word();
            match (before, word, token) {
                (words::WITH, words::READ, _) | (words::FOR, words::EXPORT, _) => return (Kind::LockTables, None),
                (_, _, None | Some(Token::Symbol(b';'))) => return (Kind::Admin, token),
                _ => before = word,
            }
        }
    }

    /// The statement behind common table expressions: the first keyword outside of parentheses.
    fn with(&mut self) -> Kind {
        let (mut depth, mut last) = (0_usize, Last::default());
        loop {
            let Some(token) = self.lexer.next() else { return Kind::Unknown };
            match token {
                Token::Symbol(b')') => depth = depth.saturating_sub(1),
                Token::Symbol(b'(') => depth += 1,
                Token::Word(word) if depth == 0 => match pack(word) {
                    words::SELECT | words::TABLE | words::VALUES => return Kind::Read,
                    words::INSERT | words::UPDATE | words::DELETE | words::REPLACE => return Kind::Write,
                    _ => {}
                },
                _ => {}
            }
            // The names of expressions may stand before parentheses; what is inside is looked at.
            if depth > 0 {
                let opened = depth == 1 && token == Token::Symbol(b'(');
                self.token(Kind::Read, if opened { Token::Symbol(b',') } else { token }, &mut last);
            }
        }
    }

    fn explain(&mut self) -> (Kind, Option<Token<'a>>) {
        match self.word() {
            (words::ANALYZE, _) => match self.word() {
                (words::FORMAT, _) => (self.formatted(), None),
                (word, token) => self.inner(word, token),
            },
            (_, token) => (Kind::Read, token),
        }
    }

    /// Reads the rest of the text for what it leaves behind. True if more than one statement stands in it.
    fn rest(&mut self, kind: Kind, held: Option<Token<'a>>) -> bool {
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
    fn token(&mut self, kind: Kind, token: Token<'a>, last: &mut Last<'a>) {
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
                self.flags |= Flags::GLOBAL
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

const DOT: u128 = b'.' as u128;
const COMMA: u128 = b',' as u128;
/// What no word and no symbol is packed as.
const SCOPE: u128 = u128::MAX;
const OPENED: u128 = u128::MAX - 1;
const OTHER: u128 = u128::MAX - 2;

/// The token before.
#[derive(Debug, Clone, Copy, Default)]
struct Last<'a> {
    /// A word packed, a symbol as it is, 0 at the beginning.
    packed: u128,
    /// The same of the token before it.
    before: u128,
    /// The word or the quoted name.
    word: Option<&'a [u8]>,
    /// A name in quotes, or one behind a point: never a function of the server's own.
    qualified: bool,
}
