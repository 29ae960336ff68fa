//! ERR packets: those that Pointsman sends, in MySQL's own words, and reading those of nodes.
//!
//! Source: the manual's `Protocol::ERR_Packet` and "Server Error Message Reference".

use super::wire::{Cursor, Malformed};

/// First byte of an ERR packet.
pub const ERR: u8 = 0xff;

/// An error's number and SQL state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The number, by which drivers decide.
    pub number: u16,
    /// The five characters of the SQL state, by which others do.
    pub state: [u8; 5],
}

const fn code(number: u16, state: [u8; 5]) -> Code {
    Code { number, state }
}

/// `ER_CON_COUNT_ERROR`: too many connections.
pub const TOO_MANY_CONNECTIONS: Code = code(1040, *b"08004");
/// `ER_HANDSHAKE_ERROR`: the login could not be read.
pub const BAD_HANDSHAKE: Code = code(1043, *b"08S01");
/// `ER_DBACCESS_DENIED_ERROR`: no rights in the schema.
pub const SCHEMA_DENIED: Code = code(1044, *b"42000");
/// `ER_ACCESS_DENIED_ERROR`: unknown user or wrong password.
pub const ACCESS_DENIED: Code = code(1045, *b"28000");
/// `ER_UNKNOWN_COM_ERROR`: a command that is not served.
pub const UNKNOWN_COMMAND: Code = code(1047, *b"08S01");
/// `ER_BAD_DB_ERROR`: no such schema.
pub const UNKNOWN_SCHEMA: Code = code(1049, *b"42000");
/// `ER_SERVER_SHUTDOWN`: the server goes away; drivers connect again.
pub const SHUTDOWN: Code = code(1053, *b"08S01");
/// `ER_NO_SUCH_THREAD`: a KILL of a connection that isn't.
pub const NO_SUCH_THREAD: Code = code(1094, *b"HY000");
/// `ER_KILL_DENIED_ERROR`: a KILL of somebody else's.
pub const KILL_DENIED: Code = code(1095, *b"HY000");
/// `ER_UNKNOWN_ERROR`, for what has no number of its own.
pub const UNKNOWN: Code = code(1105, *b"HY000");
/// `ER_NET_PACKET_TOO_LARGE`: longer than what is taken.
pub const PACKET_TOO_LARGE: Code = code(1153, *b"08S01");
/// `ER_NET_PACKETS_OUT_OF_ORDER`: a wrong sequence number.
pub const OUT_OF_ORDER: Code = code(1156, *b"08S01");
/// `ER_NET_READ_INTERRUPTED`: nothing came in time.
pub const READ_TIMEOUT: Code = code(1159, *b"08S01");
/// `ER_LOCK_WAIT_TIMEOUT`: waited too long; try again.
pub const LOCK_WAIT_TIMEOUT: Code = code(1205, *b"HY000");
/// `ER_LOCK_DEADLOCK`: the transaction was rolled back; drivers run it again.
pub const DEADLOCK: Code = code(1213, *b"40001");
/// `ER_USER_LIMIT_REACHED`: one user's limit.
pub const USER_LIMIT: Code = code(1226, *b"42000");
/// `ER_SPECIFIC_ACCESS_DENIED_ERROR`: a right is missing.
pub const SPECIFIC_DENIED: Code = code(1227, *b"42000");
/// `ER_UNKNOWN_STMT_HANDLER`: no such prepared statement.
pub const UNKNOWN_STATEMENT: Code = code(1243, *b"HY000");
/// `ER_NOT_SUPPORTED_AUTH_MODE`: an authentication that is not served.
pub const AUTH_MODE: Code = code(1251, *b"08004");
/// `ER_OPTION_PREVENTS_STATEMENT`: the server runs with an option that forbids it (`--read-only`).
pub const OPTION_PREVENTS: Code = code(1290, *b"HY000");
/// `ER_QUERY_INTERRUPTED`: killed while it ran.
pub const INTERRUPTED: Code = code(1317, *b"70100");
/// `ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION`.
pub const READ_ONLY_TRANSACTION: Code = code(1792, *b"25006");
/// `ER_MALFORMED_PACKET`: bytes that are no packet of the protocol.
pub const MALFORMED: Code = code(1835, *b"HY000");
/// `ER_READ_ONLY_MODE`: the server only reads.
pub const READ_ONLY_MODE: Code = code(1836, *b"HY000");
/// `ER_CONNECTION_KILLED`: the connection itself was killed.
pub const CONNECTION_KILLED: Code = code(1927, *b"70100");
/// `ER_SERVER_OFFLINE_MODE`: the server takes no application's session.
pub const OFFLINE: Code = code(3032, *b"HY000");
/// `ER_CLIENT_INTERACTION_TIMEOUT`: idle for too long.
pub const IDLE_TIMEOUT: Code = code(4031, *b"HY000");
/// The communication link failed and nobody knows what became of the last statement. The number is 1053, which every driver counts as a
/// lost connection: no server sends the client's own 2013.
pub const LINK_FAILURE: Code = SHUTDOWN;

/// True for an error by which a node says that it no longer takes this session's writes, or any: it was demoted, goes away, or is fenced.
pub fn means_moved(number: u16) -> bool {
    matches!(number, 1053 | 1290 | 1792 | 1836 | 3032 | 4031)
}

/// Appends an ERR packet's payload. Without `state` as servers send it before a login; the text is cut at 512 bytes, as there.
pub fn write(out: &mut Vec<u8>, code: Code, with_state: bool, text: &str) {
    out.push(ERR);
    out.extend_from_slice(&code.number.to_le_bytes());
    if with_state {
        out.push(b'#');
        out.extend_from_slice(&code.state);
    }
    let cut = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|&end| end <= 512).last();
    out.extend_from_slice(&text.as_bytes()[..cut.unwrap_or_default()]);
}

/// An ERR packet that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrPacket<'a> {
    /// The error's number.
    pub number: u16,
    /// The SQL state, if the packet has one.
    pub state: Option<[u8; 5]>,
    /// What the server says.
    pub text: &'a [u8],
}

impl<'a> ErrPacket<'a> {
    /// Reads the payload.
    pub fn read(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload);
        if cursor.u8()? != ERR {
            return Err(Malformed);
        }
        let number = cursor.u16()?;
        let (state, text) = match cursor.left() {
            [b'#', marked @ ..] if marked.len() >= 5 => (marked.first_chunk().copied(), &marked[5..]),
            text => (None, text),
        };
        Ok(Self { number, state, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for with_state in [true, false] {
            let mut out = Vec::new();
            write(&mut out, DEADLOCK, with_state, "Deadlock found");
            let read = ErrPacket::read(&out).expect("an error");
            assert_eq!((read.number, read.text), (1213, &b"Deadlock found"[..]));
            assert_eq!(read.state, with_state.then_some(*b"40001"));
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let mut out = Vec::new();
        write(&mut out, UNKNOWN, true, &"ä".repeat(400));
        assert_eq!(out.len(), 9 + 512);
        let mut out = Vec::new();
        write(&mut out, UNKNOWN, false, &format!("x{}", "ä".repeat(400)));
        assert_eq!(std::str::from_utf8(&out[3..]).map(str::len), Ok(511));
    }

    #[test]
    fn a_short_one_is_malformed() {
        assert_eq!(ErrPacket::read(&[ERR, 1]), Err(Malformed));
        assert_eq!(ErrPacket::read(b""), Err(Malformed));
        let read = ErrPacket::read(b"\xff\x10\x04#0800").expect("a text that only looks like a state");
        assert_eq!((read.number, read.state, read.text), (1040, None, &b"#0800"[..]));
    }
}
