//! System and user variables of a session, as far as they were changed.

use super::super::sql::Dialect;

/// The most user variables that are kept apart; a session with more stays where it is.
pub const USER_VARIABLES_MAX: usize = 256;

/// The longest literal that is kept for a user variable, in bytes; a longer one is read back when it is needed.
pub const LITERAL_MAX: usize = 1024;

/// What is known of a user variable's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// SQL that gives the same value of the same type.
    Sql(Box<[u8]>),
    /// It has to be read back from the node.
    No,
}

/// A session's user variables.
#[derive(Debug, Default)]
pub struct UserVariables {
    list: Vec<(Box<[u8]>, Known)>,
    /// There are more than are kept.
    overflow: bool,
}

/// A name as servers compare it: without quotes, in lower case as far as it is ASCII.
pub fn plain_name(name: &[u8]) -> Vec<u8> {
    let plain = match name {
        [quote @ (b'`' | b'\'' | b'"'), inner @ ..] if inner.last() == Some(quote) => {
            let inner = &inner[..inner.len() - 1];
            let mut plain = Vec::with_capacity(inner.len());
            let mut bytes = inner.iter();
            while let Some(byte) = bytes.next() {
                plain.push(*byte);
                if byte == quote {
                    bytes.next();
                }
            }
            plain
        }
        name => name.to_vec(),
    };
    plain.to_ascii_lowercase()
}

impl UserVariables {
    /// The variable with this name (as it is written) has this value now.
    pub fn set(&mut self, name: &[u8], value: Known) {
        let name = plain_name(name);
        let full = self.list.len() >= USER_VARIABLES_MAX;
        match self.list.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, slot)) => *slot = value,
            None if full => self.overflow = true,
            None => self.list.push((name.into(), value)),
        }
    }

    /// Strings belong to the collation of the moment when they were set, which has changed: they have to be read back.
    pub fn forget_strings(&mut self) {
        for (_, value) in &mut self.list {
            if matches!(value, Known::Sql(sql) if matches!(sql.first(), Some(b'\'' | b'"'))) {
                *value = Known::No;
            }
        }
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Known)> {
        self.list.iter().map(|(name, value)| (&**name, value))
    }

    /// Their number.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Replaces the value of the variable at this place.
    pub fn set_at(&mut self, at: usize, value: Known) {
        if let Some((_, slot)) = self.list.get_mut(at) {
            *slot = value;
        }
    }

    /// True if a value has to be read back before the session can move.
    pub fn unknown(&self) -> bool {
        self.list.iter().any(|(_, value)| *value == Known::No)
    }

    /// True if there were more than are kept.
    pub fn overflow(&self) -> bool {
        self.overflow
    }
}

type Text = Box<[u8]>;

/// A session's system variables that it changed, with their values as the node told them.
#[derive(Debug, Default)]
pub struct SystemVariables {
    list: Vec<(Text, Text)>,
}

/// Variables that trackers tell and that are nothing to take along: they can't be set, or belong to one statement, or are Pointsman's own.
fn is_passing(name: &[u8]) -> bool {
    matches!(
        name,
        b"statement_id"
            | b"last_gtid"
            | b"last_insert_id"
            | b"identity"
            | b"insert_id"
            | b"rand_seed1"
            | b"rand_seed2"
            | b"timestamp"
            | b"in_transaction"
            | b"error_count"
            | b"warning_count"
            | b"external_user"
            | b"proxy_user"
    ) || name.starts_with(b"session_track_")
}

impl SystemVariables {
    /// A tracker told this value.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        if is_passing(name) {
            return;
        }
        match self.list.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, slot)) if **slot == *value => {}
            Some((_, slot)) => *slot = value.into(),
            None => self.list.push((name.into(), value.into())),
        }
    }

    /// The value that was told, if one was.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.list.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.list.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Forgets a variable, which has the server's own value again.
    pub fn remove(&mut self, name: &[u8]) {
        self.list.retain(|(known, _)| **known != *name);
    }
}

/// True for a client character set in which the second byte of a character can be a backslash.
pub fn is_wide(charset: &[u8]) -> bool {
    matches!(charset, b"big5" | b"cp932" | b"gbk" | b"gb18030" | b"sjis")
}

/// How text is read under an `sql_mode`.
pub fn dialect_of(sql_mode: &[u8], wide: bool) -> Dialect {
    let has = |mode: &[u8]| sql_mode.split(|&byte| byte == b',').any(|one| one.eq_ignore_ascii_case(mode));
    Dialect {
        ansi_quotes: has(b"ANSI_QUOTES") || has(b"ANSI"),
        no_backslash_escapes: has(b"NO_BACKSLASH_ESCAPES"),
        wide,
    }
}

/// Appends `value` as SQL that sets a system variable to what a tracker told: a number, or a string that reads the same in every dialect.
pub fn put_value(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    if !digits.is_empty() && digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') && digits[0] != b'.' {
        out.extend_from_slice(value);
    } else if value.is_empty() && name == b"character_set_results" {
        out.extend_from_slice(b"NULL");
    } else if value.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'\'' | b'\\')) {
        out.push(b'\'');
        out.extend_from_slice(value);
        out.push(b'\'');
    } else {
        out.extend_from_slice(b"_utf8mb4 x'");
        put_hex(out, value);
        out.push(b'\'');
    }
}

/// Appends bytes as hexadecimal digits.
pub fn put_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// Appends `@name` in quotes.
pub fn put_user_name(out: &mut Vec<u8>, name: &[u8]) {
    out.extend_from_slice(b"@`");
    for &byte in name {
        out.push(byte);
        if byte == b'`' {
            out.push(byte);
        }
    }
    out.push(b'`');
}
