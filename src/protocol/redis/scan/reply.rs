//! Finds the end of a server's reply.
//!
//! Nesting needs no stack: what is left is one number of values. A scalar takes one away, an array of `k` adds `k - 1`, a map
//! of `k` adds `2k - 1`, an attribute of `k` adds `2k` because the value it describes still follows.

use std::fmt;

use super::number::{Number, number};

/// The longest header line of a length: a type, a sign and digits. A server sends no longer one.
const HEADER_MAX: usize = 32;

/// Bytes that no Redis server sends. The upstream connection can't be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyError {
    /// A value of a type that doesn't exist, or a streamed one, which Redis never sends.
    Type(u8),
    /// A length that is none or can't be counted.
    Length,
    /// A string that doesn't end where its length says.
    LineBreak,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(byte) => write!(f, "the server sent a reply of the unknown type '{}'", byte.escape_ascii()),
            Self::LineBreak => f.write_str("the server sent a reply that doesn't end where its length says"),
            Self::Length => f.write_str("the server sent a reply of an impossible length"),
        }
    }
}

impl std::error::Error for ReplyError {}

/// What a reply is at its top level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyKind {
    /// An answer to a request, by its type byte (`+ : $ * _ , # = ( % ~`).
    Value(u8),
    /// An error (`-`, `!`), also an answer to a request.
    Error,
    /// An out-of-band message (`>`): answers nothing.
    Push,
}

/// A whole reply, or the rest of one whose beginning was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// Bytes from the start of the buffer.
    pub len: usize,
    /// Its type at the top level, attributes left out.
    pub kind: ReplyKind,
    /// True when its first bytes were handed on before.
    pub streamed: bool,
}

impl Reply {
    /// The first word of an error reply (`READONLY`), `None` if it is no error or not wholly in `buf`, the buffer that this
    /// reply was found in.
    pub fn error_word<'a>(&self, buf: &'a [u8]) -> Option<&'a [u8]> {
        if self.kind != ReplyKind::Error || self.streamed {
            return None;
        }
        let text = match buf.get(..self.len)? {
            [b'-', text @ ..] => text,
            bulk @ [b'!', ..] => match number(bulk, 1, 0) {
                Number::Value(_, start) => bulk.get(start..)?,
                _ => return None,
            },
            _ => return None,
        };
        text.split(|b| matches!(b, b' ' | b'\r' | b'\n')).next()
    }
}

/// What a scanner looks for next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Due {
    /// The first byte of a value.
    #[default]
    Value,
    /// The end of the line that a value is.
    Line,
    /// The line break behind a bulk.
    LineBreak,
}

/// Keeps the place in one upstream's stream of replies; 24 bytes.
#[derive(Debug, Clone, Default)]
pub struct ReplyScanner {
    /// Offset of the next unread byte; beyond the buffer's end while a bulk is still coming.
    at: u64,
    /// Values whose first byte is still to come in the current reply.
    left: u64,
    /// Type byte of the reply's top level; 0 until it is known.
    top: u8,
    /// True from a reply's first byte to its last.
    busy: bool,
    /// What is at `at`.
    due: Due,
    /// True when the reply's first bytes were already handed on.
    taken: bool,
}

impl ReplyScanner {
    /// Looks for the end of the reply that starts at `buf[0]` (or continues there after [`Self::take`]). `None`: read more.
    #[inline]
    pub fn next(&mut self, buf: &[u8]) -> Result<Option<Reply>, ReplyError> {
        if !self.busy {
            if let Some(reply) = whole(buf) {
                return Ok(Some(reply));
            }
            if buf.is_empty() {
                return Ok(None);
            }
            self.busy = true;
            self.left = 1;
        }
        loop {
            let whole = match self.due {
                Due::Line => self.line(buf),
                Due::LineBreak => self.end_of_bulk(buf)?,
                Due::Value if self.left > 0 => self.value(buf)?,
                Due::Value => break,
            };
            if !whole {
                return Ok(None);
            }
        }
        let len = usize::try_from(self.at).unwrap_or(buf.len());
        let reply = Reply { len, kind: kind(self.top), streamed: self.taken };
        *self = Self::default();
        Ok(Some(reply))
    }

    /// The current reply's type, as soon as its first byte was seen; `None` between replies.
    pub fn kind(&self) -> Option<ReplyKind> {
        (self.top != 0).then(|| kind(self.top))
    }

    /// Says how many of the `have` bytes in the buffer can be passed on and dropped now, and expects the next call of
    /// [`Self::next`] to start behind them. The bytes all belong to the reply that isn't complete.
    pub fn take(&mut self, have: usize) -> usize {
        let take = usize::try_from(self.at).map_or(have, |at| at.min(have));
        if take > 0 {
            self.at -= take as u64;
            self.taken = true;
        }
        take
    }

    /// Bytes of the current reply, from where the next call of [`Self::next`] has to start, that were announced so far.
    pub fn to_come(&self) -> u64 {
        self.at
    }

    /// True while the rest of a reply is awaited whose first bytes were taken.
    pub fn streaming(&self) -> bool {
        self.taken
    }

    /// Reads the header of one value; false when it isn't there yet.
    #[inline]
    fn value(&mut self, buf: &[u8]) -> Result<bool, ReplyError> {
        let Some((at, &first)) = usize::try_from(self.at).ok().and_then(|at| Some((at, buf.get(at)?))) else {
            return Ok(false);
        };
        if matches!(first, b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(') {
            self.begin(first);
            self.left -= 1;
            self.at += 1;
            self.due = Due::Line;
            return Ok(true);
        }
        if !matches!(first, b'$' | b'!' | b'=' | b'*' | b'~' | b'>' | b'%' | b'|') {
            return Err(ReplyError::Type(first));
        }
        let (count, next) = match number(buf, at + 1, 0) {
            Number::Value(count, next) => (count, next as u64),
            Number::Bad => return Err(ReplyError::Length),
            Number::Cut if buf.len() - at > HEADER_MAX => return Err(ReplyError::Length),
            Number::Cut => return Ok(false),
        };
        // RESP2's null is a length of -1.
        let null = count == -1 && matches!(first, b'$' | b'*');
        let count = if null { 0 } else { u64::try_from(count).map_err(|_| ReplyError::Length)? };
        let bulk = !null && matches!(first, b'$' | b'!' | b'=');
        let (inner, bytes) = match first {
            _ if bulk => (Some(0), count),
            b'%' => (count.checked_mul(2), 0),
            b'|' => (count.checked_mul(2).and_then(|n| n.checked_add(1)), 0),
            _ => (Some(count), 0),
        };
        if first != b'|' {
            self.begin(first);
        }
        let left = inner.and_then(|inner| inner.checked_add(self.left - 1));
        self.left = left.ok_or(ReplyError::Length)?;
        self.at = next.checked_add(bytes).ok_or(ReplyError::Length)?;
        self.due = if bulk { Due::LineBreak } else { Due::Value };
        Ok(true)
    }

    /// Notes the type of the top level: of the first value, or of the one that follows its attributes.
    #[inline]
    fn begin(&mut self, first: u8) {
        if self.top == 0 && self.left == 1 {
            self.top = first;
        }
    }

    /// Steps over the line break behind a bulk; false when it isn't there yet.
    #[inline]
    fn end_of_bulk(&mut self, buf: &[u8]) -> Result<bool, ReplyError> {
        let rest = usize::try_from(self.at).ok().and_then(|at| buf.get(at..)).unwrap_or_default();
        match rest {
            [b'\r', b'\n', ..] => {
                self.at = self.at.checked_add(2).ok_or(ReplyError::Length)?;
                self.due = Due::Value;
                Ok(true)
            }
            [] | [b'\r'] => Ok(false),
            _ => Err(ReplyError::LineBreak),
        }
    }

    /// Goes to the end of the line; false when it isn't there yet. What was searched isn't searched again.
    #[inline]
    fn line(&mut self, buf: &[u8]) -> bool {
        let Ok(mut at) = usize::try_from(self.at) else { return false };
        while let Some(&byte) = buf.get(at) {
            if byte == b'\r' {
                match buf.get(at + 1) {
                    Some(b'\n') => {
                        self.at = at as u64 + 2;
                        self.due = Due::Value;
                        return true;
                    }
                    Some(_) => {}
                    None => break,
                }
            }
            at += 1;
        }
        self.at = at as u64;
        false
    }
}

/// Nearly every reply: one short value, all of it in `buf`. `None`: it has to be looked at closely.
#[inline]
fn whole(buf: &[u8]) -> Option<Reply> {
    let &first = buf.first()?;
    let end = match first {
        b'+' | b':' => buf.iter().position(|&byte| byte == b'\r')?,
        b'$' => match number(buf, 1, 0) {
            Number::Value(-1, behind) => behind - 2,
            Number::Value(len, start) => start.checked_add(usize::try_from(len).ok()?)?,
            _ => return None,
        },
        _ => return None,
    };
    let len = end.checked_add(2)?;
    (buf.get(end..len)? == b"\r\n").then_some(Reply { len, kind: ReplyKind::Value(first), streamed: false })
}

fn kind(top: u8) -> ReplyKind {
    match top {
        b'-' | b'!' => ReplyKind::Error,
        b'>' => ReplyKind::Push,
        other => ReplyKind::Value(other),
    }
}
