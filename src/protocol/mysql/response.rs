//! Finds the end of a node's answer, and the packets in it that have to be looked at.
//!
//! [`ResponseScanner::next`] is fed the unconsumed bytes of a node's connection. It looks at headers and at the first byte of each payload;
//! rows and column definitions are never read, copied or waited for. How a reader loop uses it:
//! 1. `next(&buf[at..])`: pass `pass` bytes on as they are and add them to `at`; what was found stands there; add its `len` to `at` too.
//! 2. After each call, [`ResponseScanner::ended`] tells whether the whole answer has been covered.
//! 3. If nothing was found and it hasn't ended, keep what is left (part of a packet that is looked at), read more, call again.
//!
//! After an error the connection can't be used again: where the next packet would start is unknown.
//!
//! Source: the manual's "Text Protocol", "Prepared Statements", "`Protocol::LOCAL_INFILE_Data`"; MariaDB's knowledge base, "Result set packets".

use std::fmt;

use super::capability::{Capabilities, command, status};
use super::error::ERR;
use super::ok::{EOF, EOF_LEN, OK};
use super::packet::{HEADER, Header, MAX_PAYLOAD};
use super::wire::Cursor;

/// The longest packet that is looked at as a whole, header included. An OK packet is long only if it lists GTIDs.
pub const LOOK_MAX: usize = 1 << 20;

/// First byte of a request for a local file.
const LOCAL_INFILE: u8 = 0xfb;

/// The longest packet that says how many columns follow.
const COUNT_MAX: usize = 10;

/// Bytes that no server sends. The connection can't be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseError {
    /// A packet that doesn't belong there, by its first byte.
    Unexpected(u8),
    /// A packet too short for what it is.
    Short,
    /// A packet that has to be looked at and is longer than [`LOOK_MAX`].
    Long,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected(first) => {
                write!(f, "the server sent a packet of the kind {first:#04x} where none belongs")
            }
            Self::Short => f.write_str("the server sent a packet that is too short for what it is"),
            Self::Long => f.write_str("the server sent an OK or error packet of more than a megabyte"),
        }
    }
}

impl std::error::Error for ResponseError {}

/// What the next bytes of an answer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes from the slice's start that pass as they are; they may end in the middle of a packet.
    pub pass: usize,
    /// What stands behind them.
    pub found: Found,
}

/// A whole packet that has to be looked at. Every `len` is its length, header included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing: the answer has ended, or more bytes are needed.
    Nothing {
        /// Bytes that must stand behind those that pass before anything more can be told; 0 at the end.
        wanted: usize,
    },
    /// An OK or EOF packet that ends an answer, or one of several.
    Ok {
        /// Its length.
        len: usize,
        /// Its status flags.
        status: u16,
    },
    /// An error packet. The answer has ended.
    Err {
        /// Its length.
        len: usize,
        /// The error's number.
        number: u16,
    },
    /// What a statement was prepared as; the definitions follow.
    Prepared {
        /// Its length. The statement's id stands at the bytes 5 to 8 of the packet.
        len: usize,
        /// The server's id of the statement.
        statement: u32,
        /// Number of columns.
        columns: u16,
        /// Number of parameters.
        params: u16,
    },
    /// The server asks for a file. The client's packets up to an empty one come next, then the rest of the answer.
    LocalInfile {
        /// Its length.
        len: usize,
    },
}

/// What the next packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// OK, an error, a request for a file, or the number of columns.
    First,
    /// What a statement was prepared as.
    Prepare,
    /// A definition of a column or a parameter.
    Definition,
    /// The EOF packet behind definitions.
    DefinitionsEnd,
    /// A row, or what ends them.
    Row,
    /// A line of text that is the whole answer.
    Line,
    /// Nothing.
    End,
}

/// Keeps the place in one answer; 20 bytes at most.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct ResponseScanner {
    /// Payload bytes of the current packet that pass as they are.
    skip: u32,
    /// Definitions to come in this group.
    left: u32,
    /// Columns whose definitions come behind the parameters'.
    columns: u16,
    phase: Phase,
    /// True while the next packet continues one of [`MAX_PAYLOAD`].
    continued: bool,
    /// True for the answer to `COM_STMT_PREPARE`: definitions, and no rows.
    prepare: bool,
    /// No EOF packets.
    deprecate_eof: bool,
    /// Definitions may be left out, as a byte behind their number says.
    optional_metadata: bool,
    /// A prepared statement's definitions are left out.
    omitted: bool,
    /// True when something of the answer was covered.
    begun: bool,
}

impl ResponseScanner {
    /// Expects the answer to the command with this first byte. `capabilities` are those of the node's connection.
    #[inline]
    pub fn new(command: u8, capabilities: Capabilities) -> Self {
        let phase = match command {
            command::QUIT | command::STMT_CLOSE | command::STMT_SEND_LONG_DATA => Phase::End,
            command::STMT_PREPARE => Phase::Prepare,
            command::STATISTICS => Phase::Line,
            command::FIELD_LIST | command::STMT_FETCH => Phase::Row,
            _ => Phase::First,
        };
        let optional = Capabilities::OPTIONAL_METADATA.0 | Capabilities::MARIADB_CACHE_METADATA.0;
        Self {
            skip: 0,
            left: 0,
            columns: 0,
            phase,
            continued: false,
            prepare: phase == Phase::Prepare,
            deprecate_eof: capabilities.has(Capabilities::DEPRECATE_EOF),
            optional_metadata: capabilities.0 & optional != 0,
            omitted: false,
            begun: false,
        }
    }

    /// True when every byte of the answer has been covered by an event. Commands that aren't answered have ended from the start.
    #[inline]
    pub fn ended(&self) -> bool {
        self.phase == Phase::End && self.skip == 0 && !self.continued
    }

    /// True until anything of the answer was covered: an error that comes now is the whole answer.
    #[inline]
    pub fn fresh(&self) -> bool {
        !self.begun
    }

    /// Tells what stands at the front of `buf`.
    #[inline]
    pub fn next(&mut self, buf: &[u8]) -> Result<Step, ResponseError> {
        let step = self.step(buf)?;
        self.begun |= step.pass > 0 || !matches!(step.found, Found::Nothing { .. });
        Ok(step)
    }

    #[inline]
    fn step(&mut self, buf: &[u8]) -> Result<Step, ResponseError> {
        let mut at = 0;
        loop {
            at += self.skipped(buf.len() - at);
            if self.skip > 0 {
                return Ok(Step { pass: at, found: Found::Nothing { wanted: 1 } });
            }
            if matches!(self.phase, Phase::Row | Phase::Definition) && !self.continued {
                let phase = self.phase;
                at = self.bulk(buf, at)?;
                if self.skip > 0 {
                    return Ok(Step { pass: at, found: Found::Nothing { wanted: 1 } });
                }
                if self.phase != phase || self.continued {
                    continue;
                }
            }
            if self.ended() {
                return Ok(Step { pass: at, found: Found::Nothing { wanted: 0 } });
            }
            let rest = buf.get(at..).unwrap_or_default();
            let Some(header) = Header::read(rest) else {
                return Ok(Step { pass: at, found: Found::Nothing { wanted: HEADER } });
            };
            if self.continued || self.phase == Phase::Line {
                self.pass(header);
                at += HEADER;
                continue;
            }
            match self.look(header, rest)? {
                Look::Pass(len) => at += len,
                Look::Found(found) => return Ok(Step { pass: at, found }),
            }
        }
    }

    /// Takes up to `have` bytes of the current packet that pass.
    #[inline]
    fn skipped(&mut self, have: usize) -> usize {
        let taken = self.skip.min(u32::try_from(have).unwrap_or(u32::MAX));
        self.skip -= taken;
        taken as usize
    }

    /// Lets a packet's payload pass, whose header was covered.
    fn pass(&mut self, header: Header) {
        self.skip = u32::try_from(header.len).unwrap_or_default();
        self.continued = header.continues();
        if self.phase == Phase::Line {
            self.phase = Phase::End;
        }
    }

    /// Goes over rows or definitions, header to header. Stops behind what is there, or at a packet that has to be looked at.
    #[inline]
    fn bulk(&mut self, buf: &[u8], from: usize) -> Result<usize, ResponseError> {
        let mut at = from;
        while let Some(&[a, b, c, _, first]) = buf.get(at..).and_then(<[u8]>::first_chunk) {
            let len = u32::from_le_bytes([a, b, c, 0]) as usize;
            if len == 0 {
                return Err(ResponseError::Short);
            }
            // An EOF packet, an OK packet in its place, or an error. A row of a text of 16 MB also begins so, but such a packet is full.
            if first >= EOF && len < MAX_PAYLOAD {
                break;
            }
            let definition = self.phase == Phase::Definition;
            if definition {
                self.left -= 1;
                if self.left == 0 {
                    self.group_ended();
                }
            }
            at += HEADER + len;
            if len == MAX_PAYLOAD {
                self.continued = true;
            }
            if at > buf.len() {
                self.skip = u32::try_from(at - buf.len()).unwrap_or_default();
                return Ok(buf.len());
            }
            if self.continued || definition && self.phase != Phase::Definition {
                break;
            }
        }
        Ok(at)
    }

    /// The last definition of a group was seen.
    fn group_ended(&mut self) {
        self.phase = if self.deprecate_eof { self.behind_group() } else { Phase::DefinitionsEnd };
    }

    /// What comes behind a group of definitions.
    fn behind_group(&mut self) -> Phase {
        if !self.prepare {
            return Phase::Row;
        }
        self.left = u32::from(std::mem::take(&mut self.columns));
        match self.left {
            0 => Phase::End,
            // What would end the definitions is sent all the same.
            _ if self.omitted => Phase::DefinitionsEnd,
            _ => Phase::Definition,
        }
    }

    /// Looks at a packet that stands at the front of `rest`; nothing has changed if it isn't wholly there.
    fn look(&mut self, header: Header, rest: &[u8]) -> Result<Look, ResponseError> {
        if header.len == 0 {
            return Err(ResponseError::Short);
        }
        let Some(&first) = rest.get(HEADER) else { return Ok(Look::Found(Found::Nothing { wanted: HEADER + 1 })) };
        let len = HEADER + header.len;
        if len > LOOK_MAX {
            return Err(ResponseError::Long);
        }
        let Some(payload) = rest.get(HEADER..len) else { return Ok(Look::Found(Found::Nothing { wanted: len })) };
        if first == ERR {
            let number = payload.get(1..).and_then(<[u8]>::first_chunk).ok_or(ResponseError::Short)?;
            self.phase = Phase::End;
            return Ok(Look::Found(Found::Err { len, number: u16::from_le_bytes(*number) }));
        }
        match (self.phase, first) {
            (Phase::First, OK | EOF) | (Phase::Row, EOF) => self.ok(payload, len),
            (Phase::First, LOCAL_INFILE) => Ok(Look::Found(Found::LocalInfile { len })),
            (Phase::First, _) => self.count(payload, len),
            (Phase::Prepare, OK) => self.prepared(payload, len),
            (Phase::DefinitionsEnd, EOF) if header.len == EOF_LEN => self.definitions_end(payload, len),
            (_, first) => Err(ResponseError::Unexpected(first)),
        }
    }

    #[inline]
    fn ok(&mut self, payload: &[u8], len: usize) -> Result<Look, ResponseError> {
        let status = super::ok::status(payload).ok_or(ResponseError::Short)?;
        self.phase = if status & status::MORE_RESULTS == 0 { Phase::End } else { Phase::First };
        Ok(Look::Found(Found::Ok { len, status }))
    }

    /// The number of columns, and whether their definitions follow.
    fn count(&mut self, payload: &[u8], len: usize) -> Result<Look, ResponseError> {
        let mut cursor = Cursor::new(payload);
        let count = cursor.lenenc().ok().and_then(|count| u32::try_from(count).ok()).ok_or(ResponseError::Short)?;
        if payload.len() > COUNT_MAX || count == 0 {
            return Err(ResponseError::Unexpected(payload[0]));
        }
        let omitted = self.optional_metadata && cursor.u8() == Ok(0);
        self.left = count;
        self.phase = Phase::Definition;
        if omitted {
            self.left = 0;
            self.group_ended();
        }
        Ok(Look::Pass(len))
    }

    fn prepared(&mut self, payload: &[u8], len: usize) -> Result<Look, ResponseError> {
        let mut cursor = Cursor::new(&payload[1..]);
        let mut read = || Ok::<_, super::wire::Malformed>((cursor.u32()?, cursor.u16()?, cursor.u16()?));
        let (statement, columns, params) = read().map_err(|_| ResponseError::Short)?;
        // Behind the number of warnings.
        self.omitted = self.optional_metadata && payload.get(12) == Some(&0);
        self.left = u32::from(params);
        self.columns = columns;
        self.phase = match params {
            _ if self.omitted && self.deprecate_eof => Phase::End,
            0 => self.behind_group(),
            _ if self.omitted => Phase::DefinitionsEnd,
            _ => Phase::Definition,
        };
        Ok(Look::Found(Found::Prepared { len, statement, columns, params }))
    }

    /// The EOF packet behind definitions; if a cursor was opened it is the last of the answer.
    fn definitions_end(&mut self, payload: &[u8], len: usize) -> Result<Look, ResponseError> {
        let status = super::ok::status(payload).ok_or(ResponseError::Short)?;
        if !self.prepare && status & status::CURSOR_EXISTS != 0 {
            return self.ok(payload, len);
        }
        self.phase = self.behind_group();
        Ok(Look::Pass(len))
    }
}

/// What [`ResponseScanner::look`] makes of a packet.
enum Look {
    Pass(usize),
    Found(Found),
}
