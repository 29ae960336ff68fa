//! Heads of requests.

use std::io::Write as _;
use std::mem::MaybeUninit;

use super::cuts::{Cuts, Line};
use super::head::{BadHead, Body, Facts, Limits, MAX_HEADERS, Version, bounds, find};

/// The methods that the servers know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "HTTP's own")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    Trace,
}

impl Method {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            "PATCH" => Self::Patch,
            "TRACE" => Self::Trace,
            _ => return None,
        })
    }

    /// As it stands in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Trace => "TRACE",
        }
    }
}

/// The head of a request, borrowed from the bytes it was read from.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'b> {
    /// The method.
    pub method: Method,
    /// Path and query as they stand there, beginning with `/`.
    pub target: &'b str,
    /// The version.
    pub version: Version,
    /// The body behind the head; never [`Body::UntilClose`].
    pub body: Body,
    /// Whether the client may send another request on this connection. Never in HTTP/1.0: such connections end with their answer.
    pub keep_alive: bool,
    /// Whether the client waits for a `100 Continue` before it sends the body. Always false where there is no body or for HTTP/1.0.
    pub expect_continue: bool,
    head: &'b [u8],
    /// Where the header lines begin.
    lines: usize,
    cuts: Cuts,
}

/// What is changed when a request's head is written onwards.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestChanges<'a> {
    /// Another path and query.
    pub target: Option<&'a str>,
    /// Leaves `Accept-Encoding` out, so that the answer can be read.
    pub drop_accept_encoding: bool,
    /// Leaves `Content-Encoding` out: the body is sent without the coding that it came in.
    pub drop_content_encoding: bool,
    /// The body is sent whole, with this length, and `Expect` is left out: it has been read.
    pub content_length: Option<u64>,
}

impl<'b> RequestHead<'b> {
    /// Reads the head in front of `bytes` and says how many bytes it took, blank lines before it included. `None`: more is needed.
    /// Costs a look at each byte again when called again with more; what comes behind the head isn't looked at.
    pub fn parse(bytes: &'b [u8], limits: &Limits) -> Result<Option<(Self, usize)>, BadHead> {
        let Some((begin, end)) = bounds(bytes, limits)? else { return Ok(None) };
        let head = &bytes[begin..end];
        let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(head, &mut headers) {
            Ok(httparse::Status::Complete(len)) if len == head.len() => {}
            Ok(_) => return Err(BadHead::HeaderLine),
            Err(error) => return Err(reason(error, head)),
        }
        let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
            return Err(BadHead::FirstLine);
        };
        let method = Method::of(method).ok_or(BadHead::Method)?;
        // A fragment never belongs there, and the products read it differently.
        if !target.starts_with('/') || target.contains('#') {
            return Err(BadHead::Target);
        }
        let version = if version == 0 { Version::Http10 } else { Version::Http11 };
        let mut cuts = Cuts::default();
        let facts = Facts::read(head, request.headers, &mut cuts)?;
        let body = facts.body(version, Body::None)?;
        let http11 = version == Version::Http11;
        let lines = method.as_str().len() + target.len() + " ".len() * 2 + "HTTP/1.1\r\n".len();
        let parsed = Self {
            method,
            target,
            version,
            body,
            keep_alive: http11 && facts.persistent(version),
            expect_continue: http11 && facts.expect_continue && body != Body::None,
            head,
            lines,
            cuts,
        };
        Ok(Some((parsed, end)))
    }

    /// The part of the target before the query.
    pub fn path(&self) -> &'b str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }

    /// The part of the target behind the `?`, or nothing.
    pub fn query(&self) -> &'b str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The value of the first header of that name, in any case, without spaces around it. Looks at every line: for rare questions.
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        find(&self.head[self.lines..], name)
    }

    /// Appends the head as it goes to a node: without what concerns the client's connection only, with the changes asked for. The
    /// version stays: a node answers HTTP/1.0 in a form that such a client can read, and ends that connection.
    pub fn write(&self, out: &mut Vec<u8>, changes: &RequestChanges<'_>) {
        if let Some(target) = changes.target {
            out.extend_from_slice(self.method.as_str().as_bytes());
            out.push(b' ');
            out.extend_from_slice(target.as_bytes());
            out.extend_from_slice(&self.head[self.lines - " HTTP/1.1\r\n".len()..self.lines]);
        } else {
            out.extend_from_slice(&self.head[..self.lines]);
        }
        let whole = changes.content_length.is_some();
        self.cuts.copy(self.head, self.lines, out, |line| match line {
            Line::Connection | Line::Hop => true,
            Line::Host => false,
            Line::AcceptEncoding => changes.drop_accept_encoding,
            Line::ContentEncoding => changes.drop_content_encoding,
            Line::Expect => whole || !self.expect_continue,
            Line::ContentLength | Line::TransferEncoding => whole,
        });
        if let Some(length) = changes.content_length {
            let _ = write!(out, "Content-Length: {length}\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// httparse says what it stumbled over, not where; the first line is told apart here.
fn reason(error: httparse::Error, head: &[u8]) -> BadHead {
    match error {
        httparse::Error::TooManyHeaders => BadHead::TooManyHeaders,
        httparse::Error::Version => BadHead::Version,
        httparse::Error::HeaderName | httparse::Error::HeaderValue | httparse::Error::NewLine => BadHead::HeaderLine,
        _ if head.starts_with(b"PRI * HTTP/2.0\r\n") => BadHead::Version,
        httparse::Error::Token | httparse::Error::Status => BadHead::FirstLine,
    }
}
