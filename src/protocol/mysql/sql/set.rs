//! Lists what a `SET` sets.
//!
//! Source: MySQL's manual, "SET Syntax for Variable Assignment", "SET CHARACTER SET", "SET NAMES", "SET TRANSACTION", "SET ROLE"; MariaDB's
//! knowledge base, "SET".

use super::lexer::{Dialect, Lexer, Token};
use super::words::{self, pack};

/// What a variable is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// One literal, as it is written: a number with a sign or without, a string, `NULL`, `TRUE`, `FALSE`.
    Literal(&'a [u8]),
    /// One bare word: `ON`, `DEFAULT`, `utf8mb4`.
    Word(&'a [u8]),
    /// Anything else.
    Expression,
}

/// The reach of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The session's own value: `SET x`, `SET SESSION x`, `SET @@x`.
    Session,
    /// The server's, or the one that survives its restart.
    Global,
}

/// One thing that a `SET` sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignment<'a> {
    /// A system variable.
    Variable {
        /// Its name as it is written, with quotes if it has some.
        name: &'a [u8],
        /// Its reach.
        scope: Scope,
        /// The value.
        value: Value<'a>,
    },
    /// A user variable.
    User {
        /// Its name as it is written behind the `@`, with quotes if it has some.
        name: &'a [u8],
        /// The value.
        value: Value<'a>,
    },
    /// `NAMES`, `CHARACTER SET`: character sets, which trackers tell, and a collation, which they don't.
    Names {
        /// What stands behind `COLLATE`, with quotes if it has some.
        collation: Option<&'a [u8]>,
        /// `CHARACTER SET`: the collation is the schema's.
        of_schema: bool,
    },
    /// `TRANSACTION`: with `SESSION` it holds for the session, without only for the next transaction.
    Transaction {
        /// `None`: the next transaction only.
        scope: Option<Scope>,
    },
    /// `ROLE`.
    Role,
    /// `RESOURCE GROUP`, which no tracker tells.
    ResourceGroup,
}

/// Calls `found` with everything that the `SET` in `text` sets, in its order. Returns false if some of it wasn't understood, or if it is no
/// `SET`; what was found before was told.
pub fn assignments<'a>(text: &'a [u8], dialect: Dialect, found: &mut dyn FnMut(Assignment<'a>)) -> bool {
    let mut reader = Reader { text, dialect, lexer: Lexer::new(text, dialect), ahead: None, found };
    matches!(reader.next(), Some(Token::Word(word)) if pack(word) == words::SET) && reader.list()
}

/// Calls `found` with the name of every user variable in `text`, some more than once.
pub fn user_variables<'a>(text: &'a [u8], dialect: Dialect, found: &mut dyn FnMut(&'a [u8])) {
    for token in Lexer::new(text, dialect) {
        if let Token::User(name) = token {
            found(name);
        }
    }
}

struct Reader<'a, 'f> {
    text: &'a [u8],
    dialect: Dialect,
    lexer: Lexer<'a>,
    /// The next token, if it was looked at.
    ahead: Option<Token<'a>>,
    found: &'f mut dyn FnMut(Assignment<'a>),
}

impl<'a> Reader<'a, '_> {
    fn next(&mut self) -> Option<Token<'a>> {
        self.ahead.take().or_else(|| self.lexer.next())
    }

    fn peek(&mut self) -> Option<Token<'a>> {
        self.ahead = self.next();
        self.ahead
    }

    fn next_if(&mut self, wanted: impl FnOnce(Token<'a>) -> bool) -> bool {
        let wanted = self.peek().is_some_and(wanted);
        if wanted {
            self.ahead = None;
        }
        wanted
    }

    fn list(&mut self) -> bool {
        loop {
            if !self.one() {
                return false;
            }
            match self.next() {
                Some(Token::Symbol(b',')) => {}
                Some(Token::Symbol(b';')) => return self.next().is_none(),
                None => return true,
                Some(_) => return false,
            }
        }
    }

    fn one(&mut self) -> bool {
        match self.next() {
            Some(Token::User(name)) => {
                let Some(value) = self.value() else { return false };
                (self.found)(Assignment::User { name, value });
                true
            }
            Some(Token::System(name)) => match pack(name) {
                words::GLOBAL | words::PERSIST | words::PERSIST_ONLY => self.behind_scope(Scope::Global),
                words::SESSION | words::LOCAL => self.behind_scope(Scope::Session),
                _ => self.variable(name, Scope::Session),
            },
            Some(Token::Word(word)) => self.named(word),
            Some(Token::Name(name)) => self.variable(name, Scope::Session),
            _ => false,
        }
    }

    /// `@@global . x`.
    fn behind_scope(&mut self, scope: Scope) -> bool {
        match (self.next(), self.next()) {
            (Some(Token::Symbol(b'.')), Some(Token::Word(name) | Token::Name(name))) => self.variable(name, scope),
            _ => false,
        }
    }

    fn named(&mut self, word: &'a [u8]) -> bool {
        let scope = match pack(word) {
            words::GLOBAL | words::PERSIST | words::PERSIST_ONLY => Scope::Global,
            words::SESSION | words::LOCAL => Scope::Session,
            words::NAMES => return self.names(false),
            words::CHARSET => return self.names(true),
            words::CHARACTER | words::CHAR if self.next_is(words::SET) => return self.names(true),
            words::TRANSACTION => return self.transaction(None),
            words::ROLE => return self.until_end(Assignment::Role),
            words::RESOURCE if self.next_is(words::GROUP) => return self.until_end(Assignment::ResourceGroup),
            _ => return self.variable(word, Scope::Session),
        };
        match self.next() {
            Some(Token::Word(word)) if pack(word) == words::TRANSACTION => self.transaction(Some(scope)),
            Some(Token::Word(name) | Token::Name(name)) => self.variable(name, scope),
            _ => false,
        }
    }

    fn next_is(&mut self, word: u128) -> bool {
        self.next_if(|token| matches!(token, Token::Word(next) if pack(next) == word))
    }

    /// A variable's name was read; with a component's prefix (`component.name`) more of it follows.
    fn variable(&mut self, name: &'a [u8], scope: Scope) -> bool {
        let (mut name, from) = (name, self.lexer.span().start);
        while self.next_if(|token| token == Token::Symbol(b'.')) {
            let Some(Token::Word(_) | Token::Name(_)) = self.next() else { return false };
            name = self.text.get(from..self.lexer.span().end).unwrap_or(name);
        }
        let Some(value) = self.value() else { return false };
        (self.found)(Assignment::Variable { name, scope, value });
        true
    }

    /// `= value` or `:= value`, up to a comma outside of parentheses.
    fn value(&mut self) -> Option<Value<'a>> {
        if !self.next_if(|token| matches!(token, Token::Assign | Token::Symbol(b'='))) {
            return None;
        }
        let (mut count, mut depth, mut span) = (0, 0_usize, 0..0);
        let (mut first, mut last) = (None, None);
        while let Some(token) = self.peek() {
            match token {
                Token::Symbol(b',' | b';') if depth == 0 => break,
                Token::Symbol(b'(') => depth += 1,
                Token::Symbol(b')') => depth = depth.saturating_sub(1),
                // An assignment in an expression: which variable it is isn't told apart, so all that are named count.
                Token::Assign => {
                    let found = &mut *self.found;
                    user_variables(self.text, self.dialect, &mut |name| {
                        found(Assignment::User { name, value: Value::Expression });
                    });
                }
                _ => {}
            }
            self.ahead = None;
            if count == 0 {
                (first, span) = (Some(token), self.lexer.span());
            }
            (last, span.end) = (Some(token), self.lexer.span().end);
            count += 1;
        }
        let text = self.text.get(span).unwrap_or_default();
        if let (1, Some(Token::Word(word))) = (count, first)
            && !matches!(pack(word), words::NULL | words::TRUE | words::FALSE)
        {
            return Some(Value::Word(word));
        }
        let is_literal = match (count, first?, last?) {
            (1, Token::Text(text) | Token::Number(text), _) => literal(text),
            (1, Token::Word(_), _) => true,
            (2, Token::Symbol(b'-'), Token::Number(digits)) => number(digits),
            _ => false,
        };
        Some(if is_literal { Value::Literal(text) } else { Value::Expression })
    }

    fn names(&mut self, of_schema: bool) -> bool {
        let (mut collation, mut behind) = (None, false);
        while let Some(token) = self.peek().filter(|token| !matches!(token, Token::Symbol(b',' | b';'))) {
            self.ahead = None;
            match token {
                Token::Word(name) | Token::Name(name) | Token::Text(name) if behind => collation = Some(name),
                _ => {}
            }
            behind = matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(b"collate"));
        }
        (self.found)(Assignment::Names { collation, of_schema });
        true
    }

    fn until_end(&mut self, what: Assignment<'a>) -> bool {
        while self.next_if(|token| token != Token::Symbol(b';')) {}
        (self.found)(what);
        true
    }

    fn transaction(&mut self, scope: Option<Scope>) -> bool {
        // A variable could be called so only with an equals sign behind.
        if self.peek().is_some_and(|token| matches!(token, Token::Assign | Token::Symbol(b'='))) {
            return false;
        }
        self.until_end(Assignment::Transaction { scope })
    }
}

/// True for a literal that reads back as it is: not a name that begins with a digit, and no string with bytes whose meaning a character set
/// decides.
fn literal(text: &[u8]) -> bool {
    match text {
        [b'\'' | b'"', ..] => text.is_ascii() && text.len() >= 2 && text.last() == text.first(),
        [b'0', b'x' | b'X', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit),
        [b'0', b'b', digits @ ..] => !digits.is_empty() && digits.iter().all(|digit| matches!(digit, b'0' | b'1')),
        _ => number(text),
    }
}

/// `1`, `1.5`, `1.`, `1e5`, `1.5E-3`.
fn number(text: &[u8]) -> bool {
    let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let point = memchr::memchr(b'.', mantissa);
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    point == memchr::memrchr(b'.', mantissa)
        && mantissa.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
        && mantissa.first().is_some_and(u8::is_ascii_digit)
        && exponent.is_none_or(|exponent| {
            digits(exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent))
        })
}
