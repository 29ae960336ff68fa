//! Heads of answers.

use std::io::Write as _;
use std::mem::MaybeUninit;

use super::cuts::{Cuts, Line};
use super::head::{BadHead, Body, Facts, Limits, MAX_HEADERS, Version, bounds, find};
use super::request::Method;

/// The head of an answer, borrowed from the bytes it was read from.
#[derive(Debug, Clone, Copy)]
pub struct ResponseHead<'b> {
    /// The status, 100 to 999.
    pub status: u16,
    /// The version.
    pub version: Version,
    /// The body behind the head.
    pub body: Body,
    /// Whether the node takes another request on this connection.
    pub keep_alive: bool,
    head: &'b [u8],
    /// Where the header lines begin.
    lines: usize,
    cuts: Cuts,
}

/// What is changed when an answer's head is written onwards.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResponseChanges {
    /// Tells the client that this is the last answer on its connection.
    pub close: bool,
    /// The body has another length than the node said, or is sent whole instead of in chunks.
    pub content_length: Option<u64>,
    /// The body is sent in chunks, whatever the node said. Not together with `content_length`.
    pub chunked: bool,
}

impl<'b> ResponseHead<'b> {
    /// Reads the head in front of `bytes`, the answer to a request with that method, and says how many bytes it took. `None`:
    /// more is needed.
    pub fn parse(bytes: &'b [u8], asked: Method, limits: &Limits) -> Result<Option<(Self, usize)>, BadHead> {
        let Some((begin, end)) = bounds(bytes, limits)? else { return Ok(None) };
        let head = &bytes[begin..end];
        let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut []);
        let parser = httparse::ParserConfig::default();
        match parser.parse_response_with_uninit_headers(&mut response, head, &mut headers) {
            Ok(httparse::Status::Complete(len)) if len == head.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(BadHead::TooManyHeaders),
            Err(httparse::Error::Version) => return Err(BadHead::Version),
            Err(httparse::Error::Status) => return Err(BadHead::FirstLine),
            Ok(_) | Err(_) => return Err(BadHead::HeaderLine),
        }
        let (Some(status), Some(version)) = (response.code, response.version) else { return Err(BadHead::FirstLine) };
        if status == 101 {
            return Err(BadHead::Upgrade);
        }
        let version = if version == 0 { Version::Http10 } else { Version::Http11 };
        let mut cuts = Cuts::default();
        let facts = Facts::read(head, response.headers, &mut cuts)?;
        let framed = facts.body(version, Body::UntilClose)?;
        let bodiless = asked == Method::Head || status < 200 || status == 204 || status == 304;
        let body = if bodiless { Body::None } else { framed };
        let lines = memchr::memchr(b'\n', head).map_or(head.len() - 2, |feed| feed + 1);
        let keep_alive = facts.persistent(version) && body != Body::UntilClose;
        Ok(Some((Self { status, version, body, keep_alive, head, lines, cuts }, end)))
    }

    /// Whether this is an interim answer (`100 Continue`), behind which the real one comes.
    pub fn interim(&self) -> bool {
        self.status < 200
    }

    /// The value of the first header of that name, in any case, without spaces around it. Looks at every line: for rare questions.
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        find(&self.head[self.lines..], name)
    }

    /// Appends the head as it goes to the client: as HTTP/1.1, without what concerns the node's connection only, with the changes
    /// asked for. A body of [`Body::UntilClose`] needs `close` or `chunked`.
    pub fn write(&self, out: &mut Vec<u8>, changes: &ResponseChanges) {
        out.extend_from_slice(b"HTTP/1.1");
        out.extend_from_slice(&self.head["HTTP/1.1".len()..self.lines]);
        let reframed = changes.chunked || changes.content_length.is_some();
        self.cuts.copy(self.head, self.lines, out, |line| match line {
            Line::Connection | Line::Hop => true,
            Line::Host | Line::AcceptEncoding | Line::ContentEncoding | Line::Expect => false,
            Line::ContentLength | Line::TransferEncoding => reframed,
        });
        if changes.chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        } else if let Some(length) = changes.content_length {
            let _ = write!(out, "Content-Length: {length}\r\n");
        }
        if changes.close {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}
