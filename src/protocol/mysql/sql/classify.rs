//! Tells what kind a statement is, by its first words; [`contents`](super::contents) reads the rest.

use super::contents::Last;
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

/// A statement that is being read.
pub(super) struct Reader<'a> {
    pub(super) lexer: Lexer<'a>,
    pub(super) flags: Flags,
    /// A statement that may assign every user variable that it names.
    pub(super) assigning: bool,
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
        let (kind, token) = self.head(head);
        if self.rest(kind, token) { Kind::Several } else { kind }
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
                (words::FORMAT, _) => (self.formatted(), None),
                (words::TABLE | words::LOCAL | 0, token) => (Kind::Ddl, token),
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
            (words::WORK, _) | (_, None) => (Kind::Begin, None),
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
                    self.flags |= Flags::READ_ONLY;
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
}
