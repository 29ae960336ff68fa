//! OK and EOF packets, and what they say of the session.
//!
//! Source: the manual's "`Protocol::OK_Packet`" and "`Protocol::EOF_Packet`"; that the human-readable text has a length in front also where
//! the manual says it has none is what servers send and libmysqlclient reads.

use super::capability::{Capabilities, status};
use super::wire::{Cursor, Malformed, put_lenenc, put_lenenc_bytes};

/// First byte of an OK packet.
pub const OK: u8 = 0;

/// First byte of an EOF packet, and of an OK packet in place of one.
pub const EOF: u8 = 0xfe;

/// Payload bytes of an EOF packet.
pub const EOF_LEN: usize = 5;

/// The status flags of an OK packet (also one that ends rows and begins with 0xfe) or an EOF packet; `None` if it is too short for them.
#[inline]
pub fn status(payload: &[u8]) -> Option<u16> {
    match *payload {
        // Nearly every one: nothing affected, or up to 250 rows, and no insert id.
        [first, 0..=0xfa, 0..=0xfa, low, high, _, _, ..] if first == OK || first == EOF => {
            Some(u16::from_le_bytes([low, high]))
        }
        [EOF, _, _, low, high] => Some(u16::from_le_bytes([low, high])),
        _ => {
            let mut cursor = Cursor::new(payload.get(1..)?);
            cursor.lenenc().ok()?;
            cursor.lenenc().ok()?;
            cursor.u16().ok()
        }
    }
}

/// An OK packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OkPacket<'a> {
    /// [`OK`], or [`EOF`] if it ends rows.
    pub header: u8,
    /// Rows affected.
    pub affected: u64,
    /// The last insert id of this statement, 0 for none.
    pub insert_id: u64,
    /// Status flags.
    pub status: u16,
    /// Number of warnings.
    pub warnings: u16,
    /// Human-readable text.
    pub info: &'a [u8],
    /// The session's changes, encoded: see [`OkPacket::trackers`].
    pub state: &'a [u8],
}

impl<'a> OkPacket<'a> {
    /// Reads the payload of an OK packet, or of an EOF packet, which has only status and warnings. `capabilities` are the node's.
    pub fn read(payload: &'a [u8], capabilities: Capabilities) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload);
        let header = cursor.u8()?;
        if header == EOF && payload.len() == EOF_LEN {
            let warnings = cursor.u16()?;
            return Ok(Self { header, warnings, status: cursor.u16()?, ..Self::default() });
        }
        if header != OK && header != EOF {
            return Err(Malformed);
        }
        let affected = cursor.lenenc()?;
        let insert_id = cursor.lenenc()?;
        let status = cursor.u16()?;
        let warnings = cursor.u16()?;
        let mut ok = Self { header, affected, insert_id, status, warnings, info: b"", state: b"" };
        if !cursor.is_empty() {
            ok.info = cursor.lenenc_bytes()?;
        }
        if capabilities.has(Capabilities::SESSION_TRACK)
            && status & status::SESSION_STATE_CHANGED != 0
            && !cursor.is_empty()
        {
            ok.state = cursor.lenenc_bytes()?;
        }
        Ok(ok)
    }

    /// Appends the payload as a client sees it that gets `state` (encoded trackers) of the session's changes; for none, also the flag is taken
    /// off.
    pub fn write(&self, out: &mut Vec<u8>, state: &[u8]) {
        let changed = status::SESSION_STATE_CHANGED;
        let status = if state.is_empty() { self.status & !changed } else { self.status | changed };
        out.push(self.header);
        put_lenenc(out, self.affected);
        put_lenenc(out, self.insert_id);
        out.extend_from_slice(&status.to_le_bytes());
        out.extend_from_slice(&self.warnings.to_le_bytes());
        if !self.info.is_empty() || !state.is_empty() {
            put_lenenc_bytes(out, self.info);
        }
        if !state.is_empty() {
            put_lenenc_bytes(out, state);
        }
    }

    /// What changed in the session, in the server's order; stops at the first entry that is malformed.
    pub fn trackers(&self) -> Trackers<'a> {
        Trackers { cursor: Cursor::new(self.state), variables: Cursor::new(b"") }
    }
}

/// One change of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracker<'a> {
    /// A system variable has this value now.
    Variable {
        /// Its name, as the server writes it.
        name: &'a [u8],
        /// Its value as text.
        value: &'a [u8],
    },
    /// The session is in this schema now.
    Schema(&'a [u8]),
    /// Something changed: user variables, prepared statements, temporary tables, or one of the others.
    Changed(bool),
    /// Transactions that were committed.
    Gtids(&'a [u8]),
    /// The statements that would begin the same transaction.
    Characteristics(&'a [u8]),
    /// Eight characters on the open transaction.
    Transaction(&'a [u8]),
    /// Of a kind that is not known here.
    Other(u8),
}

/// Iterates over trackers.
#[derive(Debug, Clone)]
pub struct Trackers<'a> {
    cursor: Cursor<'a>,
    /// MariaDB puts several variables into one entry.
    variables: Cursor<'a>,
}

impl<'a> Trackers<'a> {
    fn variable(&mut self) -> Result<Tracker<'a>, Malformed> {
        Ok(Tracker::Variable { name: self.variables.lenenc_bytes()?, value: self.variables.lenenc_bytes()? })
    }

    fn entry(&mut self) -> Result<Tracker<'a>, Malformed> {
        let kind = self.cursor.u8()?;
        let mut data = Cursor::new(self.cursor.lenenc_bytes()?);
        Ok(match kind {
            0 => {
                self.variables = data;
                return self.variable();
            }
            1 => Tracker::Schema(data.lenenc_bytes()?),
            2 => Tracker::Changed(data.lenenc_bytes()? == b"1"),
            3 => {
                data.u8()?;
                Tracker::Gtids(data.lenenc_bytes()?)
            }
            4 => Tracker::Characteristics(data.lenenc_bytes()?),
            5 => Tracker::Transaction(data.lenenc_bytes()?),
            other => Tracker::Other(other),
        })
    }
}

impl<'a> Iterator for Trackers<'a> {
    type Item = Tracker<'a>;

    fn next(&mut self) -> Option<Tracker<'a>> {
        let found = if !self.variables.is_empty() {
            self.variable()
        } else if !self.cursor.is_empty() {
            self.entry()
        } else {
            return None;
        };
        if found.is_err() {
            self.cursor.rest();
            self.variables.rest();
        }
        found.ok()
    }
}

/// Appends one tracker to an encoded list; one of an unknown kind can't be written and is left out.
pub fn put_tracker(out: &mut Vec<u8>, tracker: Tracker<'_>) {
    let mut data = Vec::new();
    let kind = match tracker {
        Tracker::Variable { name, value } => {
            put_lenenc_bytes(&mut data, name);
            put_lenenc_bytes(&mut data, value);
            0
        }
        Tracker::Schema(name) => {
            put_lenenc_bytes(&mut data, name);
            1
        }
        Tracker::Changed(changed) => {
            put_lenenc_bytes(&mut data, if changed { b"1" } else { b"0" });
            2
        }
        Tracker::Gtids(set) => {
            data.push(0);
            put_lenenc_bytes(&mut data, set);
            3
        }
        Tracker::Characteristics(text) => {
            put_lenenc_bytes(&mut data, text);
            4
        }
        Tracker::Transaction(text) => {
            put_lenenc_bytes(&mut data, text);
            5
        }
        Tracker::Other(_) => return,
    };
    out.push(kind);
    put_lenenc_bytes(out, &data);
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Capabilities = Capabilities(Capabilities::SESSION_TRACK.0 | Capabilities::PROTOCOL_41.0);

    fn state() -> Vec<u8> {
        let mut state = Vec::new();
        for tracker in all() {
            put_tracker(&mut state, tracker);
        }
        state
    }

    fn all() -> Vec<Tracker<'static>> {
        vec![
            Tracker::Variable { name: b"autocommit", value: b"OFF" },
            Tracker::Schema(b"shop"),
            Tracker::Changed(true),
            Tracker::Gtids(b"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5"),
            Tracker::Characteristics(b"START TRANSACTION READ ONLY;"),
            Tracker::Transaction(b"T_______"),
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        let ok = OkPacket {
            header: OK,
            affected: 300,
            insert_id: 1 << 40,
            status: 2,
            warnings: 7,
            info: b"Rows: 1",
            state: b"",
        };
        let (mut out, state) = (Vec::new(), state());
        ok.write(&mut out, &state);
        let read = OkPacket::read(&out, CAPS).expect("an OK packet");
        assert_eq!(read, OkPacket { status: 2 | status::SESSION_STATE_CHANGED, state: &state, ..ok });
        assert_eq!(read.trackers().collect::<Vec<_>>(), all());
        assert_eq!(status(&out), Some(read.status));
        let mut plain = Vec::new();
        read.write(&mut plain, b"");
        assert_eq!(OkPacket::read(&plain, Capabilities::PROTOCOL_41), Ok(ok));
        for cut in 0..out.len() {
            let _ = OkPacket::read(&out[..cut], CAPS);
            let _ = status(&out[..cut]);
        }
    }

    #[test]
    fn the_status_is_found_in_every_form() {
        for (payload, expected) in [
            (&b"\0\0\0\x02\0\0\0"[..], Some(2)),
            (b"\xfe\0\0\x22\0\0\0", Some(0x22)),
            (b"\xfe\0\0\x22\x01", Some(0x122)),
            (b"\0\xfc\x2c\x01\xfd\x01\x02\x03\x03\x40\0\0", Some(0x4003)),
            (b"\0\xfe\0\0\0\0\0\0\0\x01\0\x03\0\0\0", Some(3)),
            (b"\0\0\0", None),
            (b"", None),
        ] {
            assert_eq!(status(payload), expected, "{payload:x?}");
            let read = OkPacket::read(payload, CAPS).ok().map(|ok| ok.status);
            assert_eq!(read, expected, "{payload:x?}");
        }
    }

    #[test]
    fn several_variables_in_one_entry_and_a_malformed_one() {
        let mut data = Vec::new();
        for word in [&b"autocommit"[..], b"ON", b"time_zone", b"UTC"] {
            put_lenenc_bytes(&mut data, word);
        }
        let mut state = vec![0];
        put_lenenc_bytes(&mut state, &data);
        state.extend_from_slice(&[1, 9, 2]);
        let ok = OkPacket { state: &state, ..OkPacket::default() };
        let expected = [
            Tracker::Variable { name: b"autocommit", value: b"ON" },
            Tracker::Variable { name: b"time_zone", value: b"UTC" },
        ];
        assert_eq!(ok.trackers().collect::<Vec<_>>(), expected);
    }
}
