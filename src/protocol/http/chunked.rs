//! Where a chunked body ends, without copying it.

use std::fmt;
use std::io::Write as _;

/// How long a chunk's size with its extensions may be, in bytes.
const MAX_SIZE_LINE: u16 = 256;
/// How many digits a chunk's size may have: no parser overflows on that.
const MAX_DIGITS: u16 = 15;
/// How long all trailers together may be, in bytes.
const MAX_TRAILERS: u16 = 8192;

/// Why a chunked body can't be taken. The connection can't be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadChunk {
    /// The size isn't 1 to 15 hexadecimal digits, or its line is too long or has characters that don't belong there.
    Size,
    /// The data isn't followed by a line end, so the size was wrong.
    End,
    /// Trailers are malformed or longer than 8 KiB.
    Trailer,
}

impl fmt::Display for BadChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "malformed chunk size",
            Self::End => "a chunk is longer than its size says",
            Self::Trailer => "malformed trailers",
        })
    }
}

impl std::error::Error for BadChunk {}

/// What was found in the bytes looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scanned {
    /// How many of them belong to this body; all, unless it ended.
    pub len: usize,
    /// Whether the body ended with the last of them.
    pub done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Size,
    Extension,
    SizeFeed,
    Data,
    DataReturn,
    DataFeed,
    /// At the begin of a line behind the last chunk.
    Line,
    TrailerName,
    TrailerValue,
    TrailerFeed,
    EndFeed,
    Done,
}

/// Follows a chunked body (RFC 9112 7.1) as it is read; keeps a few words, however long the body is. One for each body.
///
/// Stricter than the RFC: every line ends with CR LF, sizes are digits alone (extensions behind a `;` are passed on), trailers have
/// no folded lines. So whoever reads the bytes next finds the same end.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChunkScanner {
    state: State,
    /// Of the chunk's data, in bytes; before it begins, its size so far.
    left: u64,
    /// Length so far of the size line, its digits alone while they last, or of all trailers.
    line: u16,
}

impl ChunkScanner {
    /// Looks at the next bytes of the connection, each byte once.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Scanned, BadChunk> {
        self.walk(bytes, |_| {})
    }

    /// The same, and appends the data without its framing to `out`.
    pub fn decode(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Scanned, BadChunk> {
        self.walk(bytes, |data| out.extend_from_slice(data))
    }

    fn walk(&mut self, bytes: &[u8], mut data: impl FnMut(&[u8])) -> Result<Scanned, BadChunk> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Done {
            if self.state == State::Data {
                let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - at);
                data(&bytes[at..at + len]);
                at += len;
                self.left -= len as u64;
                if self.left == 0 {
                    self.state = State::DataReturn;
                }
            } else {
                self.state = self.step(bytes[at])?;
                at += 1;
            }
        }
        Ok(Scanned { len: at, done: self.state == State::Done })
    }

    /// One byte of the framing.
    fn step(&mut self, byte: u8) -> Result<State, BadChunk> {
        Ok(match (self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if self.line < MAX_DIGITS => {
                self.line += 1;
                self.left = self.left * 16 + (byte as char).to_digit(16).map_or(0, u64::from);
                State::Size
            }
            (State::Size, b';') if self.line > 0 => State::Extension,
            (State::Size, b'\r') if self.line > 0 => State::SizeFeed,
            (State::Extension, b'\r') => State::SizeFeed,
            (State::Extension, b'\t' | b' '..=b'~') if self.line < MAX_SIZE_LINE => {
                self.line += 1;
                State::Extension
            }
            (State::SizeFeed, b'\n') => {
                self.line = 0;
                if self.left == 0 { State::Line } else { State::Data }
            }
            (State::Size | State::Extension | State::SizeFeed, _) => return Err(BadChunk::Size),
            (State::DataReturn, b'\r') => State::DataFeed,
            (State::DataFeed, b'\n') => State::Size,
            (State::DataReturn | State::DataFeed, _) => return Err(BadChunk::End),
            (State::Line, b'\r') => State::EndFeed,
            (State::EndFeed, b'\n') => State::Done,
            _ => self.trailer(byte)?,
        })
    }

    fn trailer(&mut self, byte: u8) -> Result<State, BadChunk> {
        self.line += 1;
        match (self.state, byte) {
            _ if self.line >= MAX_TRAILERS => Err(BadChunk::Trailer),
            (State::Line | State::TrailerName, _) if is_token(byte) => Ok(State::TrailerName),
            (State::TrailerValue, b'\r') => Ok(State::TrailerFeed),
            (State::TrailerName, b':') | (State::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => Ok(State::TrailerValue),
            (State::TrailerFeed, b'\n') => Ok(State::Line),
            _ => Err(BadChunk::Trailer),
        }
    }
}

/// A character of a header's name (RFC 9110 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Appends what stands before a chunk of `len` bytes of data. Behind the data comes CR LF; a chunk of 0 bytes, without data, and
/// CR LF end the body.
pub fn begin_chunk(out: &mut Vec<u8>, len: usize) {
    let _ = write!(out, "{len:x}\r\n");
}
