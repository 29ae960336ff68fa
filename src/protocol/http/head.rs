//! What request and response heads have in common: where they end, their limits, and the framing of the body behind them.

use std::fmt;

use httparse::Header;

use super::cuts::{Cuts, Line, MAX_CUTS};

/// How many header lines a head may have.
pub const MAX_HEADERS: usize = 256;

/// How long a head may be, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The first line, without its line end.
    pub line: usize,
    /// One header line, without its line end.
    pub header: usize,
    /// The whole head.
    pub head: usize,
}

impl Limits {
    /// What servers take from clients: `http.max_initial_line_length` and `http.max_header_size` of Elasticsearch and OpenSearch
    /// as they come, and 64 KiB for the whole head.
    pub const CLIENT: Self = Self { line: 4096, header: 8192, head: 64 << 10 };
    /// What is taken from servers, whose `Warning` headers can be long: 64 KiB for the whole head.
    pub const NODE: Self = Self { line: 64 << 10, header: 64 << 10, head: 64 << 10 };
}

/// The version that a head names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunks, and the connection ends with the answer.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// How the end of the body behind a head is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// As many bytes as this; never 0, which is [`Body::None`].
    Length(u64),
    /// Chunks: [`super::ChunkScanner`] finds the end.
    Chunked,
    /// Until the connection is closed (answers only).
    UntilClose,
}

/// Why a head can't be taken. After it the connection can't be used again: where the next message would start is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadHead {
    /// The first line is longer than this limit.
    LineTooLong(usize),
    /// A header line is longer than this limit.
    HeaderTooLong(usize),
    /// The whole head is longer than this limit.
    HeadTooLong(usize),
    /// More than [`MAX_HEADERS`] header lines.
    TooManyHeaders,
    /// More hop-by-hop headers than anyone means.
    TooManyHopByHop,
    /// A line ends without a carriage return.
    BareLineFeed,
    /// The first line is not one of HTTP/1.
    FirstLine,
    /// A method that the servers don't know, lower-case ones and `CONNECT` included.
    Method,
    /// A target that isn't a path with a query, or has a fragment.
    Target,
    /// A version other than HTTP/1.0 and HTTP/1.1, the preface of HTTP/2 included.
    Version,
    /// A header line that has no name, a space before its colon, a control character, or that is folded.
    HeaderLine,
    /// `Content-Length` isn't one plain number, or stands there twice.
    ContentLength,
    /// `Transfer-Encoding` isn't `chunked` alone, stands there twice, or belongs to HTTP/1.0.
    TransferEncoding,
    /// `Content-Length` beside `Transfer-Encoding`.
    TwoFramings,
    /// More than one `Host`.
    TwoHosts,
    /// `Connection` names a header that frames or routes the message.
    Connection,
    /// An expectation other than `100-continue`: answered with 417.
    Expectation,
    /// An answer that switches protocols, which was never asked for.
    Upgrade,
}

impl fmt::Display for BadHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The servers' own words, in which people search.
            Self::LineTooLong(limit) => write!(f, "An HTTP line is larger than {limit} bytes."),
            Self::HeaderTooLong(limit) | Self::HeadTooLong(limit) => {
                write!(f, "HTTP header is larger than {limit} bytes.")
            }
            Self::TooManyHeaders => write!(f, "more than {MAX_HEADERS} headers"),
            Self::TooManyHopByHop => write!(f, "more than {MAX_CUTS} headers that concern the connection"),
            Self::BareLineFeed => f.write_str("a line ends without a carriage return"),
            Self::FirstLine => f.write_str("the first line is not one of HTTP/1.1"),
            Self::Method => f.write_str("unknown HTTP method"),
            Self::Target => f.write_str("the target of a request must be a path and a query"),
            Self::Version => f.write_str("only HTTP/1.1 and HTTP/1.0 are served"),
            Self::HeaderLine => f.write_str("malformed header line"),
            Self::ContentLength => f.write_str("Content-Length must be one plain number"),
            Self::TransferEncoding => f.write_str("Transfer-Encoding must be chunked and nothing else"),
            Self::TwoFramings => f.write_str("Content-Length and Transfer-Encoding exclude each other"),
            Self::TwoHosts => f.write_str("more than one Host header"),
            Self::Connection => f.write_str("Connection names a header that every hop needs"),
            Self::Expectation => f.write_str("only 100-continue can be expected"),
            Self::Upgrade => f.write_str("the node switched to a protocol that nobody asked for"),
        }
    }
}

impl std::error::Error for BadHead {}

/// Where the head in front of `bytes` begins (behind blank lines, which RFC 9112 2.2 tells to skip) and ends, the blank line
/// included. `None`: more is needed. What no further byte can mend is an error at once.
pub fn bounds(bytes: &[u8], limits: &Limits) -> Result<Option<(usize, usize)>, BadHead> {
    let mut begin = 0;
    while bytes[begin..].starts_with(b"\r\n") {
        begin += 2;
    }
    match &bytes[begin..] {
        [] | [b'\r'] if bytes.len() >= limits.head => return Err(BadHead::HeadTooLong(limits.head)),
        [] | [b'\r'] => return Ok(None),
        [b'\n', ..] => return Err(BadHead::BareLineFeed),
        [first, ..] if !first.is_ascii_alphabetic() => return Err(BadHead::FirstLine),
        _ => {}
    }
    let mut at = begin;
    loop {
        let (limit, error) = if at == begin {
            (limits.line, BadHead::LineTooLong(limits.line))
        } else {
            (limits.header, BadHead::HeaderTooLong(limits.header))
        };
        let rest = &bytes[at..];
        let Some(feed) = memchr::memchr(b'\n', rest) else {
            return match () {
                () if rest.len() > limit + 1 => Err(error),
                () if bytes.len() >= limits.head => Err(BadHead::HeadTooLong(limits.head)),
                () => Ok(None),
            };
        };
        if feed == 0 || rest[feed - 1] != b'\r' {
            return Err(BadHead::BareLineFeed);
        }
        at += feed + 1;
        match () {
            () if feed - 1 > limit => return Err(error),
            () if at > limits.head => return Err(BadHead::HeadTooLong(limits.head)),
            () if feed == 1 => return Ok(Some((begin, at))),
            () => {}
        }
    }
}

/// What the headers say of framing and of the connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts {
    length: Option<u64>,
    chunked: bool,
    host: bool,
    /// What `Connection` says, if it says `close` or `keep-alive`: `close` wins.
    close: Option<bool>,
    pub expect_continue: bool,
}

impl Facts {
    /// Reads all headers; `cuts` gets the lines that may have to be left out when the head is written onwards.
    pub fn read(head: &[u8], headers: &[Header<'_>], cuts: &mut Cuts) -> Result<Self, BadHead> {
        let mut facts = Self::default();
        let mut nominating = false;
        for (index, header) in headers.iter().enumerate() {
            let Some(line) = Line::of(header.name) else { continue };
            facts.note(line, header.value, &mut nominating)?;
            if line != Line::Host {
                cuts.push(line, span(head, headers, index))?;
            }
        }
        if nominating {
            nominated(head, headers, cuts)?;
        }
        if facts.chunked && facts.length.is_some() {
            return Err(BadHead::TwoFramings);
        }
        Ok(facts)
    }

    fn note(&mut self, line: Line, value: &[u8], nominating: &mut bool) -> Result<(), BadHead> {
        match line {
            Line::Host if self.host => return Err(BadHead::TwoHosts),
            Line::Host => self.host = true,
            Line::ContentLength if self.length.is_some() => return Err(BadHead::ContentLength),
            Line::ContentLength => self.length = Some(number(value).ok_or(BadHead::ContentLength)?),
            Line::TransferEncoding if self.chunked || !value.eq_ignore_ascii_case(b"chunked") => {
                return Err(BadHead::TransferEncoding);
            }
            Line::TransferEncoding => self.chunked = true,
            Line::Connection => {
                for token in tokens(value) {
                    match () {
                        () if token.eq_ignore_ascii_case(b"close") => self.close = Some(true),
                        () if token.eq_ignore_ascii_case(b"keep-alive") => self.close = self.close.or(Some(false)),
                        () => *nominating = true,
                    }
                }
            }
            Line::Expect if !value.eq_ignore_ascii_case(b"100-continue") => return Err(BadHead::Expectation),
            Line::Expect => self.expect_continue = true,
            Line::Hop | Line::AcceptEncoding | Line::ContentEncoding => {}
        }
        Ok(())
    }

    /// The body that a message with these headers has, if it can have one; `else_` if they say nothing.
    pub fn body(&self, version: Version, else_: Body) -> Result<Body, BadHead> {
        match (self.chunked, self.length) {
            (true, _) if version == Version::Http10 => Err(BadHead::TransferEncoding),
            (true, _) => Ok(Body::Chunked),
            (false, Some(0)) => Ok(Body::None),
            (false, Some(length)) => Ok(Body::Length(length)),
            (false, None) => Ok(else_),
        }
    }

    /// Whether the connection may carry another message after this one.
    pub fn persistent(&self, version: Version) -> bool {
        !self.close.unwrap_or(version == Version::Http10)
    }
}

/// Lines that `Connection` names by themselves: they concern this hop only.
fn nominated(head: &[u8], headers: &[Header<'_>], cuts: &mut Cuts) -> Result<(), BadHead> {
    let connection = |header: &&Header<'_>| header.name.eq_ignore_ascii_case("connection");
    let mut count = 0;
    for token in headers.iter().filter(connection).flat_map(|header| tokens(header.value)) {
        count += 1;
        if count > MAX_CUTS {
            return Err(BadHead::TooManyHopByHop);
        }
        for (index, header) in headers.iter().enumerate() {
            if !header.name.as_bytes().eq_ignore_ascii_case(token) {
                continue;
            }
            match Line::of(header.name) {
                None => cuts.push(Line::Hop, span(head, headers, index))?,
                Some(Line::Hop | Line::AcceptEncoding) => {}
                Some(_) => return Err(BadHead::Connection),
            }
        }
    }
    cuts.sort();
    Ok(())
}

/// The bytes of a header's line within the head: from its name to the next one's, or to the blank line.
fn span(head: &[u8], headers: &[Header<'_>], index: usize) -> (usize, usize) {
    let offset = |header: &Header<'_>| header.name.as_ptr().addr() - head.as_ptr().addr();
    (offset(&headers[index]), headers.get(index + 1).map_or(head.len() - 2, offset))
}

/// The elements of a comma-separated list; empty ones are left out.
pub fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// Digits alone: no sign, no space, no list, nothing beyond 18 digits, which no parser can misread by overflow.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}

/// The value of the first header of that name in the lines of a head that was read before.
pub fn find<'b>(lines: &'b [u8], name: &str) -> Option<&'b [u8]> {
    lines.split(|byte| *byte == b'\n').find_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| line[colon + 1..].trim_ascii())
    })
}
