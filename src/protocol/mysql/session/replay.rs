//! Commands that bring a fresh connection into a session's state, and the question by which the rest of the state is read back.

use super::super::capability::{Capabilities, command};
use super::super::packet;
use super::super::wire::Cursor;
use super::carried::Carried;
use super::tracking::SETUP;
use super::variables::{Known, put_user_name, put_value};

/// A statement of user variables is ended behind this many bytes, and another begun.
const STATEMENT: usize = 64 * 1024;

/// The longest value that is read back, in bytes.
const VALUE_MAX: usize = 256 * 1024;

/// Columns of the answer before those of user variables.
const FIXED: usize = 3;

/// What `SET NAMES` sets besides the collation.
const NAMES: [&[u8]; 3] = [b"character_set_client", b"character_set_results", b"character_set_connection"];

/// The payload of a `COM_QUERY`.
pub fn query(capabilities: Capabilities, sql: &[u8]) -> Vec<u8> {
    let mut out = vec![command::QUERY];
    if capabilities.has(Capabilities::QUERY_ATTRIBUTES) {
        // No parameters, in one set.
        out.extend_from_slice(&[0, 1]);
    }
    out.extend_from_slice(sql);
    out
}

impl Carried {
    /// The payloads of the commands that bring a fresh connection of the same login and schema into this state; each must be answered with OK
    /// (or EOF) before the next is of use. The first always has trackers told. User variables whose value isn't known are left out: see
    /// [`Self::ask`]. `capabilities` are the new connection's.
    pub fn replay(&self, capabilities: Capabilities) -> Vec<Vec<u8>> {
        let mut commands = Vec::new();
        if self.was_reset {
            commands.push(vec![command::RESET_CONNECTION]);
        }
        if let Some(role) = &self.role {
            commands.push(query(capabilities, role));
        }
        commands.push(query(capabilities, &self.system_sql()));
        let mut sql = Vec::new();
        for (name, value) in self.user.iter() {
            let Known::Sql(value) = value else { continue };
            sql.extend_from_slice(if sql.is_empty() { b"SET " } else { b"," });
            put_user_name(&mut sql, name);
            sql.push(b'=');
            sql.extend_from_slice(value);
            if sql.len() > STATEMENT {
                commands.push(query(capabilities, &std::mem::take(&mut sql)));
            }
        }
        if !sql.is_empty() {
            commands.push(query(capabilities, &sql));
        }
        if let Some(one_shot) = &self.one_shot {
            let statements = one_shot.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            commands.extend(statements.filter(|one| !one.is_empty()).map(|one| query(capabilities, one)));
        }
        if let Some(option) = self.option {
            let [low, high] = option.to_le_bytes();
            commands.push(vec![command::SET_OPTION, low, high]);
        }
        commands
    }

    fn system_sql(&self) -> Vec<u8> {
        let mut sql = SETUP.as_bytes().to_vec();
        let names = self.names();
        if let Some((charset, collation)) = names {
            for text in [b", NAMES ", charset, b" COLLATE ", collation] {
                sql.extend_from_slice(text);
            }
        }
        let mut put = |name: &[u8], value: &[u8]| {
            sql.extend_from_slice(b", ");
            sql.extend_from_slice(name);
            sql.push(b'=');
            put_value(&mut sql, name, value);
        };
        // A character set takes its collation with it, so collations come behind. Names are the server's own.
        let is_charset = |name: &[u8]| name.starts_with(b"character_set_");
        let said = |name: &[u8]| names.is_some() && (NAMES.contains(&name) || name == b"collation_connection");
        for (name, value) in self.system.iter().filter(|(name, _)| is_charset(name) && !said(name)) {
            put(name, value);
        }
        for (name, value) in self.system.iter().filter(|(name, _)| !is_charset(name) && !said(name)) {
            put(name, value);
        }
        if let Some(clock) = &self.clock {
            put(b"timestamp", clock);
        }
        if self.insert_id != 0 {
            put(b"last_insert_id", self.insert_id.to_string().as_bytes());
        }
        sql
    }

    /// Character set and collation, if all that `SET NAMES` sets is as it would set it. Said so, also the collation of results is the same.
    fn names(&self) -> Option<(&[u8], &[u8])> {
        let [client, results, connection] = NAMES.map(|name| self.system.get(name));
        let collation = self.system.get(b"collation_connection")?;
        let plain = |text: &[u8]| !text.is_empty() && text.iter().copied().all(in_name);
        let same = client? == results? && results? == connection? && plain(client?) && plain(collation);
        same.then_some((client?, collation))
    }

    /// The payload of a `COM_QUERY` that asks the session's own node for what isn't known: values of user variables, the last insert id, which OK
    /// packets don't tell exactly, and whether there were hidden locks, which can only be asked by giving them up: the session leaves that node,
    /// or ends. `None`: nothing has to be asked. The whole answer goes to [`Self::answered`].
    pub fn ask(&self, capabilities: Capabilities) -> Option<Vec<u8>> {
        if !self.user.unknown() && self.insert_id == 0 && !self.ask_collation && !self.may_lock {
            return None;
        }
        let mut sql = b"SELECT LAST_INSERT_ID(), @@collation_connection, ".to_vec();
        sql.extend_from_slice(if self.may_lock { b"RELEASE_ALL_LOCKS()" } else { b"0" });
        for (name, _) in self.user.iter().filter(|(_, value)| **value == Known::No) {
            for (open, close) in [(&b", "[..], &b""[..]), (b", COLLATION(", b")"), (b", HEX(", b")")] {
                sql.extend_from_slice(open);
                put_user_name(&mut sql, name);
                sql.extend_from_slice(close);
            }
        }
        Some(query(capabilities, &sql))
    }

    /// Reads the answer to [`Self::ask`], all of its packets. False: a value can't be had exactly, and the session stays where it is.
    pub fn answered(&mut self, packets: &[u8], capabilities: Capabilities) -> bool {
        let asked: Vec<usize> =
            self.user.iter().enumerate().filter(|(_, (_, value))| **value == Known::No).map(|(at, _)| at).collect();
        let Some(answer) = read(packets, capabilities, asked.len()) else { return false };
        self.insert_id = answer.insert_id;
        if answer.locks {
            self.holds.user_lock = true;
            return false;
        }
        self.may_lock = false;
        if std::mem::take(&mut self.ask_collation) {
            self.system.set(b"collation_connection", answer.collation);
        }
        for (at, value) in asked.into_iter().zip(answer.values) {
            self.user.set_at(at, Known::Sql(value.into()));
        }
        true
    }
}

/// What a node answered.
struct Answer<'a> {
    insert_id: u64,
    collation: &'a [u8],
    /// It held locks by `GET_LOCK()`.
    locks: bool,
    /// SQL for each of the user variables.
    values: Vec<Vec<u8>>,
}

/// Reads the answer for `count` variables.
fn read(packets: &[u8], capabilities: Capabilities, count: usize) -> Option<Answer<'_>> {
    let mut rest = packets;
    let mut next = || {
        let (_, payload) = packet::read(rest)?;
        rest = &rest[packet::HEADER + payload.len()..];
        Some(payload)
    };
    let columns = FIXED + 3 * count;
    let mut head = Cursor::new(next()?);
    let optional = Capabilities::OPTIONAL_METADATA.0 | Capabilities::MARIADB_CACHE_METADATA.0;
    if head.lenenc().ok()? != columns as u64 || capabilities.0 & optional != 0 && head.u8() == Ok(0) {
        return None;
    }
    let mut kinds = Vec::with_capacity(columns);
    for _ in 0..columns {
        kinds.push(kind(next()?, capabilities)?);
    }
    if !capabilities.has(Capabilities::DEPRECATE_EOF) {
        next()?;
    }
    let mut row = Cursor::new(next()?);
    let mut cell = || {
        if row.left().first() == Some(&0xfb) {
            row.u8().ok()?;
            return Some(None);
        }
        row.lenenc_bytes().ok().map(Some)
    };
    let insert_id = std::str::from_utf8(cell()??).ok()?.parse().ok()?;
    let collation = cell()??;
    let locks = cell()?.is_none_or(|count| count != b"0");
    let mut values = Vec::with_capacity(count);
    for at in 0..count {
        let (value, collation, hex) = (cell()?, cell()?, cell()?);
        values.push(literal(*kinds.get(FIXED + 3 * at)?, value, collation?, hex)?);
    }
    Some(Answer { insert_id, collation, locks, values })
}

/// A column's type and whether it is unsigned.
fn kind(definition: &[u8], capabilities: Capabilities) -> Option<(u8, bool)> {
    let mut cursor = Cursor::new(definition);
    let texts = if capabilities.has(Capabilities::MARIADB_EXTENDED_METADATA) { 7 } else { 6 };
    for _ in 0..texts {
        cursor.lenenc_bytes().ok()?;
    }
    cursor.lenenc().ok()?;
    cursor.take(6).ok()?;
    let kind = cursor.u8().ok()?;
    Some((kind, cursor.u16().ok()? & 32 != 0))
}

/// SQL for a value of this type.
fn literal(
    (kind, unsigned): (u8, bool),
    value: Option<&[u8]>,
    collation: &[u8],
    hex: Option<&[u8]>,
) -> Option<Vec<u8>> {
    const LONGLONG: u8 = 8;
    const DOUBLE: u8 = 5;
    const DECIMAL: u8 = 246;
    let quoted = value.map_or("NULL".to_owned(), |value| format!("'{}'", String::from_utf8_lossy(value)));
    let plain = value.is_none_or(|value| value.iter().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)));
    let sql = match kind {
        LONGLONG if plain => format!("CAST({quoted} AS {})", if unsigned { "UNSIGNED" } else { "SIGNED" }),
        DECIMAL if plain => {
            let text = value.unwrap_or(b"0");
            let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count().max(1);
            let scale = memchr::memchr(b'.', text).map_or(0, |point| text.len() - point - 1);
            format!("CAST({quoted} AS DECIMAL({digits},{scale}))")
        }
        DOUBLE if plain => match value.map(String::from_utf8_lossy) {
            None => "NULL+1e0".to_owned(),
            Some(text) if text.contains(['e', 'E']) => text.into_owned(),
            Some(text) => format!("{text}e0"),
        },
        15 | 249..=254 => {
            let Some(hex) = hex else { return value.is_none().then(|| b"NULL".to_vec()) };
            let name = std::str::from_utf8(collation).ok().filter(|name| name.bytes().all(in_name))?;
            if hex.len() > 2 * VALUE_MAX || !hex.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            let hex = String::from_utf8_lossy(hex);
            match name.split_once('_') {
                _ if name == "binary" => format!("x'{hex}'"),
                Some((charset, _)) => format!("_{charset} x'{hex}' COLLATE {name}"),
                None => return None,
            }
        }
        _ => return None,
    };
    Some(sql.into_bytes())
}

fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
