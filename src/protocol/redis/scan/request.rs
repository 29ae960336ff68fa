//! Finds the end and the first arguments of a client's request.

use std::fmt;

use super::number::{Number, number};

/// How many of a request's first arguments (the command's name is the first) a [`Head`] can point at: enough for every
/// option that decides how a command must be carried.
pub const HEAD_ARGS: usize = 10;

/// A header line or an inline request without an end is refused past this, as Redis does.
const LINE_MAX: usize = 64 * 1024;
/// Redis's own bounds for clients that still have to log in.
const UNAUTHENTICATED_ARGS: i64 = 10;
const UNAUTHENTICATED_BULK: u64 = 16 * 1024;

/// What a client may send; the caller knows whether it has logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest argument in bytes: the servers' `proto-max-bulk-len`.
    pub max_bulk: u64,
    /// False while the server would demand a login from this client.
    pub authenticated: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bulk: 512 * 1024 * 1024, authenticated: true }
    }
}

/// Why a client's bytes are no request. `Display` gives Redis's own words, without the leading `-ERR `.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestError {
    /// The number behind `*` is none, or too large.
    MultibulkLength,
    /// The number behind `$` is none, negative or above the limit.
    BulkLength,
    /// An argument that doesn't begin with `$`, but with this byte.
    ExpectedDollar(u8),
    /// An argument that doesn't end with a line break. Redis doesn't look, Valkey 9 refuses with these words; we must refuse
    /// too, or one client's mistake would end the upstream that others share.
    LineBreak,
    /// A `*` line without an end.
    MultibulkLine,
    /// A `$` line without an end.
    BulkLine,
    /// An inline request without an end.
    InlineTooBig,
    /// An inline request whose quotes don't match.
    UnbalancedQuotes,
    /// More arguments than a client may send before it has logged in.
    UnauthenticatedMultibulk,
    /// A longer argument than a client may send before it has logged in.
    UnauthenticatedBulk,
}

impl RequestError {
    /// Appends the error reply that Redis would send before closing the connection.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"-ERR ");
        if let Self::ExpectedDollar(got) = self {
            // The byte goes out as it came, as Redis does; a line break would end the reply early.
            let shown = if got == b'\r' || got == b'\n' { b' ' } else { got };
            out.extend_from_slice(b"Protocol error: expected '$', got '");
            out.push(shown);
            out.push(b'\'');
        } else {
            out.extend_from_slice(self.to_string().as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::MultibulkLength => "invalid multibulk length",
            Self::BulkLength => "invalid bulk length",
            Self::ExpectedDollar(got) => {
                return write!(f, "Protocol error: expected '$', got '{}'", got.escape_ascii());
            }
            Self::LineBreak => "invalid CRLF in request",
            Self::MultibulkLine => "too big mbulk count string",
            Self::BulkLine => "too big bulk count string",
            Self::InlineTooBig => "too big inline request",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::UnauthenticatedMultibulk => "unauthenticated multibulk length",
            Self::UnauthenticatedBulk => "unauthenticated bulk length",
        };
        write!(f, "Protocol error: {what}")
    }
}

impl std::error::Error for RequestError {}

/// Where one argument lies, from the request's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Span {
    start: u32,
    /// Saturated: a longer argument is never whole in a buffer.
    len: u32,
}

/// A request's length and where its first arguments are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the request from the start of the buffer it was found in: all of it, or what remained after
    /// [`RequestScanner::take`]. For a request that isn't complete: the bytes known to belong to it.
    pub len: usize,
    /// Number of arguments the client announced, the command's name included.
    pub argc: u32,
    known: u8,
    spans: [Span; HEAD_ARGS],
}

impl Head {
    const fn new(argc: u32) -> Self {
        Self { len: 0, argc, known: 0, spans: [Span { start: 0, len: 0 }; HEAD_ARGS] }
    }

    #[inline]
    fn add(&mut self, start: usize, len: u64) {
        if let (Some(span), Ok(start)) = (self.spans.get_mut(usize::from(self.known)), u32::try_from(start)) {
            *span = Span { start, len: u32::try_from(len).unwrap_or(u32::MAX) };
            self.known += 1;
        }
    }

    /// The argument number `index` (0 is the command's name), if it is among the first [`HEAD_ARGS`] and whole in `buf`,
    /// which must be the buffer that this head was found in.
    #[inline]
    pub fn arg<'a>(&self, buf: &'a [u8], index: usize) -> Option<&'a [u8]> {
        let prefix = self.prefix(buf, index)?;
        (prefix.len() == self.spans.get(index)?.len as usize).then_some(prefix)
    }

    /// As much of argument `index` as is in `buf`: the beginning of a large one.
    #[inline]
    pub fn prefix<'a>(&self, buf: &'a [u8], index: usize) -> Option<&'a [u8]> {
        if index >= usize::from(self.known) {
            return None;
        }
        let span = self.spans.get(index)?;
        let rest = buf.get(span.start as usize..)?;
        Some(rest.get(..span.len as usize).unwrap_or(rest))
    }

    /// The command's name as the client wrote it; empty if it isn't known.
    #[inline]
    pub fn name<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        self.arg(buf, 0).unwrap_or_default()
    }
}

/// What [`RequestScanner::next`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// The request isn't complete.
    NeedMore,
    /// `len` bytes that ask for nothing (`*0`, `*-1`); no reply is due.
    Blank {
        /// Bytes to drop.
        len: usize,
    },
    /// An inline request (its line end included): give it to [`super::expand_inline`] and carry what that makes of it.
    Inline {
        /// Bytes of the line.
        len: usize,
    },
    /// A whole request.
    Complete(Head),
}

/// Keeps the place in one client's stream of requests; 32 bytes.
#[derive(Debug, Clone, Default)]
pub struct RequestScanner {
    /// Offset of the next header line or line break, from the start of the buffer; beyond its end while an argument is
    /// still coming.
    at: u64,
    /// Bytes of the cut line at `at` that were already searched for its end.
    searched: u32,
    /// Arguments announced; 0 before the first line is read.
    argc: u32,
    /// Arguments whose header line is still to come.
    left: u32,
    /// True when the line break behind an argument is due at `at`.
    line_break: bool,
    /// True when the request's first bytes were already handed on.
    taken: bool,
}

impl RequestScanner {
    /// Looks for the end of the request that starts at `buf[0]` (or continues there after [`Self::take`]).
    #[inline]
    pub fn next(&mut self, buf: &[u8], limits: &Limits) -> Result<Scan, RequestError> {
        let fresh = self.argc == 0;
        if fresh {
            if self.searched == 0
                && let Some(head) = whole(buf, limits)
            {
                return Ok(Scan::Complete(head));
            }
            match buf.first() {
                None => return Ok(Scan::NeedMore),
                Some(b'*') => {}
                Some(_) => return self.inline(buf),
            }
            let (argc, at) = match number(buf, 1, self.searched as usize) {
                Number::Value(argc, at) => (argc, at),
                Number::Bad => return Err(RequestError::MultibulkLength),
                Number::Cut => return self.cut(buf.len(), 1, RequestError::MultibulkLine),
            };
            self.searched = 0;
            if argc <= 0 {
                return Ok(Scan::Blank { len: at });
            }
            let count = u32::try_from(argc).ok().filter(|&n| i32::try_from(n).is_ok());
            self.argc = count.ok_or(RequestError::MultibulkLength)?;
            if argc > UNAUTHENTICATED_ARGS && !limits.authenticated {
                return Err(RequestError::UnauthenticatedMultibulk);
            }
            self.left = self.argc;
            self.at = at as u64;
        }
        let mut head = Head::new(self.argc);
        if !self.arguments(buf, limits, &mut head)? {
            return Ok(Scan::NeedMore);
        }
        // A request that came in pieces has its first few header lines read again: they are all in the buffer.
        if !fresh && !self.taken {
            head = self.head(buf).unwrap_or(head);
        }
        head.len = usize::try_from(self.at).unwrap_or(buf.len());
        *self = Self::default();
        Ok(Scan::Complete(head))
    }

    /// Walks over the arguments that are there; true when the last one is whole.
    #[inline]
    fn arguments(&mut self, buf: &[u8], limits: &Limits, head: &mut Head) -> Result<bool, RequestError> {
        loop {
            let Ok(at) = usize::try_from(self.at) else { return Ok(false) };
            if self.line_break {
                match buf.get(at..).unwrap_or_default() {
                    [b'\r', b'\n', ..] => self.at += 2,
                    [] | [b'\r'] => return Ok(false),
                    _ => return Err(RequestError::LineBreak),
                }
                self.line_break = false;
                continue;
            }
            if self.left == 0 {
                return Ok(true);
            }
            match buf.get(at) {
                Some(b'$') => {}
                Some(&other) => return Err(RequestError::ExpectedDollar(other)),
                None => return Ok(false),
            }
            let (len, start) = match number(buf, at + 1, self.searched as usize) {
                Number::Value(len, start) => (len, start),
                Number::Bad => return Err(RequestError::BulkLength),
                Number::Cut => return self.cut(buf.len(), at + 1, RequestError::BulkLine).map(|_| false),
            };
            self.searched = 0;
            let len = u64::try_from(len).ok().filter(|&n| n <= limits.max_bulk).ok_or(RequestError::BulkLength)?;
            if len > UNAUTHENTICATED_BULK && !limits.authenticated {
                return Err(RequestError::UnauthenticatedBulk);
            }
            head.add(start, len);
            self.at = len.checked_add(start as u64).ok_or(RequestError::BulkLength)?;
            self.left -= 1;
            self.line_break = true;
        }
    }

    /// What is known of a request that isn't complete, or `None` while its name isn't there or after [`Self::take`].
    pub fn head(&self, buf: &[u8]) -> Option<Head> {
        if self.argc == 0 || self.taken {
            return None;
        }
        let mut head = Head::new(self.argc);
        let Number::Value(_, mut at) = number(buf, 1, 0) else { return None };
        for _ in 0..(self.argc - self.left).min(u32::try_from(HEAD_ARGS).unwrap_or(u32::MAX)) {
            let Number::Value(len, start) = number(buf, at + 1, 0) else { break };
            let len = u64::try_from(len).ok()?;
            head.add(start, len);
            match usize::try_from(len.saturating_add(start as u64 + 2)) {
                Ok(next) if next <= buf.len() => at = next,
                _ => break,
            }
        }
        head.len = self.takeable(buf.len());
        head.arg(buf, 0).is_some().then_some(head)
    }

    /// Says how many of the `have` bytes in the buffer can be passed on and dropped now, and expects the next call of
    /// [`Self::next`] to start behind them. Call [`Self::head`] before: afterwards the arguments are gone. The rest of the
    /// request may be long in coming, so it should go to an upstream that nobody else waits for.
    pub fn take(&mut self, have: usize) -> usize {
        let take = self.takeable(have);
        if take > 0 {
            self.at -= take as u64;
            self.taken = true;
        }
        take
    }

    /// True while the rest of a request is awaited whose first bytes were taken.
    pub fn streaming(&self) -> bool {
        self.taken
    }

    /// A cut header line stays in the buffer; everything before it may go.
    fn takeable(&self, have: usize) -> usize {
        if self.argc == 0 { 0 } else { usize::try_from(self.at).map_or(have, |at| at.min(have)) }
    }

    #[cold]
    fn cut(&mut self, have: usize, line: usize, too_long: RequestError) -> Result<Scan, RequestError> {
        // The last byte may be a `\r` whose `\n` hasn't come, so it is looked at again.
        let seen = have.saturating_sub(line);
        if seen > LINE_MAX {
            return Err(too_long);
        }
        self.searched = u32::try_from(seen.saturating_sub(1)).unwrap_or(u32::MAX);
        Ok(Scan::NeedMore)
    }

    #[cold]
    fn inline(&mut self, buf: &[u8]) -> Result<Scan, RequestError> {
        let searched = self.searched as usize;
        let rest = buf.get(searched..).unwrap_or_default();
        match rest.iter().take((LINE_MAX + 1).saturating_sub(searched)).position(|&b| b == b'\n') {
            Some(end) => {
                self.searched = 0;
                Ok(Scan::Inline { len: searched + end + 1 })
            }
            None => self.cut(buf.len(), 0, RequestError::InlineTooBig),
        }
    }
}

/// Nearly every request: short enough for every limit, and all of it in `buf`. `None`: it has to be looked at closely.
#[inline]
fn whole(buf: &[u8], limits: &Limits) -> Option<Head> {
    let longest = limits.max_bulk.min(UNAUTHENTICATED_BULK);
    let (argc, mut at) = header(buf, 0, b'*', HEAD_ARGS as u64)?;
    let mut head = Head::new(u32::try_from(argc).ok()?);
    for span in head.spans.iter_mut().take(usize::try_from(argc).ok()?) {
        let (len, start) = header(buf, at, b'$', longest)?;
        *span = Span { start: u32::try_from(start).ok()?, len: u32::try_from(len).ok()? };
        let end = start + usize::try_from(len).ok()?;
        at = end + 2;
        if buf.get(end..at) != Some(b"\r\n") {
            return None;
        }
    }
    head.known = u8::try_from(argc).ok()?;
    head.len = at;
    (argc > 0).then_some(head)
}

/// The number of the header line at `at` and the offset behind the line, if the number is at most `most`.
#[inline]
fn header(buf: &[u8], at: usize, kind: u8, most: u64) -> Option<(u64, usize)> {
    match number(buf, at + 1, 0) {
        Number::Value(value, next) if buf.get(at) == Some(&kind) => {
            Some((u64::try_from(value).ok().filter(|&value| value <= most)?, next))
        }
        _ => None,
    }
}
