//! Cuts a statement's text into tokens: comments away, strings whole, nothing copied.
//!
//! The lexer never fails: what it can't make sense of becomes single symbols, and what isn't ended goes to the text's end. Then the server
//! refuses the statement anyway.
//!
//! Source: MySQL's manual, "Language Structure"; MariaDB's knowledge base, "Comment Syntax".

use std::ops::Range;

use memchr::{memchr, memchr2, memmem};

/// The first version whose conditional comments (`/*!50700 ... */`) not every server runs: MariaDB skips those of newer MySQL servers.
const DOUBTFUL_FROM: u32 = 50_700;

/// How a session's server reads text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dialect {
    /// `ANSI_QUOTES`: `"x"` is a name.
    pub ansi_quotes: bool,
    /// `NO_BACKSLASH_ESCAPES`: a backslash in a string is one.
    pub no_backslash_escapes: bool,
    /// A client character set in which a backslash can be the second byte of a character (big5, cp932, gbk, gb18030, sjis).
    pub wide: bool,
}

/// A piece of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// A keyword or a name without quotes.
    Word(&'a [u8]),
    /// A name in quotes, with them.
    Name(&'a [u8]),
    /// A string, with its quotes.
    Text(&'a [u8]),
    /// What begins with a digit: a number, or a name that does.
    Number(&'a [u8]),
    /// A user variable, without its `@`; with its quotes, if it has some.
    User(&'a [u8]),
    /// What follows `@@`: a scope or a system variable.
    System(&'a [u8]),
    /// `:=`.
    Assign,
    /// Any other byte.
    Symbol(u8),
}

/// Walks over a statement's text.
#[derive(Debug, Clone)]
pub struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    /// Where the last token begins.
    from: usize,
    dialect: Dialect,
    /// Inside of a comment that servers run.
    conditional: bool,
    /// What was read may not be run by every server.
    doubtful: bool,
}

/// What a byte begins where a token may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// A token of its own.
    Symbol,
    /// White space.
    Blank,
    /// A word: letters, `_`, `$` and everything that isn't ASCII.
    Word,
    Digit,
    /// A comment, or the end of a conditional one, depending on what follows.
    Comment,
    /// A string, or a name in quotes.
    Quote,
    At,
    Colon,
}

const CLASS: [Class; 256] = {
    let (mut table, mut byte) = ([Class::Symbol; 256], 0_u8);
    loop {
        table[byte as usize] = match byte {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => Class::Blank,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' | 0x80.. => Class::Word,
            b'0'..=b'9' => Class::Digit,
            b'#' | b'-' | b'/' | b'*' => Class::Comment,
            b'`' | b'"' | b'\'' => Class::Quote,
            b'@' => Class::At,
            b':' => Class::Colon,
            _ => Class::Symbol,
        };
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

#[inline]
fn class(byte: u8) -> Class {
    CLASS[usize::from(byte)]
}

/// True for what goes on with a word.
#[inline]
fn in_word(byte: u8) -> bool {
    matches!(class(byte), Class::Word | Class::Digit)
}

impl<'a> Lexer<'a> {
    /// Starts at the beginning of `text`.
    pub fn new(text: &'a [u8], dialect: Dialect) -> Self {
        Self { text, at: 0, from: 0, dialect, conditional: false, doubtful: false }
    }

    /// Where the last token stands in the text.
    pub fn span(&self) -> Range<usize> {
        self.from..self.at
    }

    /// True when a token so far stands in a conditional comment that some servers run and others don't.
    pub fn doubtful(&self) -> bool {
        self.doubtful
    }

    fn byte(&self, offset: usize) -> Option<u8> {
        self.text.get(self.at + offset).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn slice(&self, from: usize) -> &'a [u8] {
        self.text.get(from..self.at).unwrap_or_default()
    }

    /// Goes behind `needle`, or to the end.
    fn behind(&mut self, from: usize, needle: &[u8]) {
        let rest = self.text.get(from..).unwrap_or_default();
        self.at = memmem::find(rest, needle).map_or(self.text.len(), |found| from + found + needle.len());
    }

    /// Goes over a comment, or over the end of a conditional one, if the byte here begins one.
    fn skip_comment(&mut self) -> bool {
        match (self.byte(0), self.byte(1)) {
            (Some(b'#'), _) => self.behind(self.at, b"\n"),
            (Some(b'-'), Some(b'-')) if self.byte(2).is_none_or(|byte| byte <= b' ') => self.behind(self.at, b"\n"),
            (Some(b'/'), Some(b'*')) => self.comment(),
            (Some(b'*'), Some(b'/')) if self.conditional => {
                self.conditional = false;
                self.at += 2;
            }
            _ => return false,
        }
        true
    }

    fn comment(&mut self) {
        let (marked, mariadb) = match (self.byte(2), self.byte(3)) {
            (Some(b'!'), _) => (3, false),
            (Some(b'M'), Some(b'!')) => (4, true),
            _ => return self.behind(self.at + 2, b"*/"),
        };
        self.at += marked;
        let digits = self.rest().iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
        let digits = if digits >= 5 { digits } else { 0 };
        let version = self.rest()[..digits].iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
        self.at += digits;
        self.conditional = true;
        self.doubtful |= mariadb || version >= DOUBTFUL_FROM;
    }

    /// Goes behind a quoted piece that begins here.
    fn quoted(&mut self, quote: u8, escapes: bool) {
        self.at += 1;
        loop {
            let rest = self.rest();
            let found = if escapes && self.dialect.wide {
                rest.iter().position(|&byte| byte == quote || byte == b'\\' || byte >= 0x81)
            } else if escapes {
                memchr2(quote, b'\\', rest)
            } else {
                memchr(quote, rest)
            };
            let Some(found) = found else {
                self.at = self.text.len();
                return;
            };
            let doubled = rest.get(found + 1) == Some(&quote);
            if rest[found] == quote && !doubled {
                self.at += found + 1;
                return;
            }
            // A backslash, the first byte of a character of two, or the first of two quotes.
            self.at = (self.at + found + 2).min(self.text.len());
        }
    }

    #[inline]
    fn word(&mut self) {
        let rest = self.rest();
        self.at += rest.iter().position(|&byte| !in_word(byte)).unwrap_or(rest.len());
    }

    /// What begins with a digit: letters belong to it, a fraction, and an exponent's sign.
    fn number(&mut self) {
        let hex = self.rest().first() == Some(&b'0') && matches!(self.byte(1), Some(b'x' | b'X' | b'b' | b'B'));
        let (rest, mut len, mut exponent) = (self.rest(), 0, false);
        while let Some(&byte) = rest.get(len) {
            if !(in_word(byte) || byte == b'.' || exponent && matches!(byte, b'+' | b'-')) {
                break;
            }
            exponent = !hex && matches!(byte, b'e' | b'E');
            len += 1;
        }
        self.at += len;
    }

    /// What follows an `@`.
    fn variable(&mut self) -> Token<'a> {
        self.at += 1;
        let system = self.byte(0) == Some(b'@');
        self.at += usize::from(system);
        let from = self.at;
        match self.byte(0) {
            Some(quote @ (b'`' | b'\'' | b'"')) => {
                let escapes =
                    quote != b'`' && !self.dialect.no_backslash_escapes && !(quote == b'"' && self.dialect.ansi_quotes);
                self.quoted(quote, escapes);
            }
            _ if system => self.word(),
            _ => {
                let rest = self.rest();
                self.at += rest.iter().position(|&byte| !in_word(byte) && byte != b'.').unwrap_or(rest.len());
            }
        }
        let name = self.slice(from);
        if system { Token::System(name) } else { Token::User(name) }
    }
}

impl<'a> Lexer<'a> {
    /// A string, or a name in quotes.
    fn in_quotes(&mut self, quote: u8) -> Token<'a> {
        let from = self.at;
        if quote == b'`' || quote == b'"' && self.dialect.ansi_quotes {
            self.quoted(quote, false);
            Token::Name(self.slice(from))
        } else {
            self.quoted(quote, !self.dialect.no_backslash_escapes);
            Token::Text(self.slice(from))
        }
    }

    #[inline]
    fn symbol(&mut self, symbol: u8) -> Token<'a> {
        self.at += 1;
        Token::Symbol(symbol)
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    #[inline]
    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let first = self.byte(0)?;
            let from = self.at;
            self.from = from;
            return Some(match class(first) {
                Class::Blank => {
                    self.at += 1;
                    continue;
                }
                Class::Word => {
                    self.word();
                    Token::Word(self.slice(from))
                }
                Class::Digit => {
                    self.number();
                    Token::Number(self.slice(from))
                }
                Class::Quote => self.in_quotes(first),
                Class::At => self.variable(),
                Class::Colon if self.byte(1) == Some(b'=') => {
                    self.at += 2;
                    Token::Assign
                }
                Class::Comment if self.skip_comment() => continue,
                Class::Symbol | Class::Colon | Class::Comment => self.symbol(first),
            });
        }
    }
}
