//! Finds whom a `KILL` means.

use std::ops::Range;

use super::lexer::{Dialect, Lexer, Token};
use super::words::{self, pack};

/// A `KILL` of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// Only its statement: `KILL QUERY`.
    pub query: bool,
    /// The connection's id.
    pub id: u64,
    /// Where the id's digits stand in the text.
    pub digits: Range<usize>,
}

/// Reads `KILL [HARD | SOFT] [CONNECTION | QUERY] id`. `None` for every other form (`KILL USER`, `KILL QUERY ID`, an expression), of which the
/// id can't be told or is none.
pub fn kill(text: &[u8], dialect: Dialect) -> Option<Kill> {
    let mut lexer = Lexer::new(text, dialect);
    let word = |lexer: &mut Lexer<'_>| match lexer.next() {
        Some(Token::Word(word)) => Ok(pack(word)),
        other => Err(other.map(|token| matches!(token, Token::Number(_)))),
    };
    if word(&mut lexer) != Ok(words::KILL) {
        return None;
    }
    let mut query = false;
    loop {
        match word(&mut lexer) {
            Ok(words::HARD | words::SOFT | words::CONNECTION) => {}
            Ok(words::QUERY) => query = true,
            Err(Some(true)) => break,
            _ => return None,
        }
    }
    let digits = lexer.span();
    let id = std::str::from_utf8(text.get(digits.clone())?).ok()?.parse().ok()?;
    match lexer.next() {
        None | Some(Token::Symbol(b';')) if lexer.next().is_none() => Some(Kill { query, id, digits }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_kill_means() {
        let kill = |text: &str| {
            let found = kill(text.as_bytes(), Dialect::default())?;
            assert_eq!(text[found.digits].parse(), Ok(found.id));
            Some((found.query, found.id))
        };
        assert_eq!(kill("KILL 42"), Some((false, 42)));
        assert_eq!(kill("kill /* it */ query 2147483648 ;"), Some((true, 2_147_483_648)));
        assert_eq!(kill("KILL CONNECTION 7"), Some((false, 7)));
        assert_eq!(kill("KILL SOFT QUERY 7"), Some((true, 7)));
        for none in [
            "KILL USER 'x'",
            "KILL QUERY ID 7",
            "KILL @a",
            "KILL 7 + 1",
            "KILL 0x10",
            "KILL 7; SELECT 1",
            "KILL",
            "SELECT 7",
            "KILL 1.5",
        ] {
            assert_eq!(kill(none), None, "{none}");
        }
    }
}
