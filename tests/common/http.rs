//! A small HTTP/1.1 client over one kept connection, for search servers and whoever carries their traffic. Each read and write has a limit.

use serde_json::Value;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The limit of one read or write unless [`Http::limit`] sets another.
const LIMIT: Duration = Duration::from_mins(1);

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 200, ...
    pub status: u16,
    /// Names in lower case, in the order that they came.
    pub headers: Vec<(String, String)>,
    /// What the body was, chunks joined.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Whether the status is 2xx.
    pub fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The answer, or a panic that shows it.
    #[track_caller]
    pub fn good(self) -> Self {
        assert!(self.is_good(), "{}: {}", self.status, self.text());
        self
    }
}

/// One connection. An error leaves it unusable.
pub struct Http {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Http {
    /// Connects to `HOST:PORT`.
    pub fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let http = Self { stream: BufReader::new(stream), host: address.to_owned() };
        http.limit(LIMIT)?;
        Ok(http)
    }

    /// Sets the limit of each read and write from now on.
    pub fn limit(&self, limit: Duration) -> Result<()> {
        self.stream.get_ref().set_read_timeout(Some(limit))?;
        self.stream.get_ref().set_write_timeout(Some(limit))
    }

    /// The connection, for bytes of one's own.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.stream.get_mut()
    }

    /// One request and its answer. A body that isn't empty is said to be JSON, or lines of JSON for a path that ends in `_bulk` or `_msearch`.
    pub fn call(&mut self, method: &str, path: &str, body: &str) -> Result<Answer> {
        self.send(method, path, body)?;
        self.answer(method)
    }

    /// Sends a request whose answer [`Http::answer`] reads: several may be sent first.
    pub fn send(&mut self, method: &str, path: &str, body: &str) -> Result<()> {
        let lines = ["_bulk", "_msearch"].iter().any(|end| path.split('?').next().unwrap_or(path).ends_with(end));
        let kind = if lines { "application/x-ndjson" } else { "application/json" };
        let length = body.len();
        let about = match length {
            0 => String::new(),
            _ => format!("Content-Type: {kind}\r\nContent-Length: {length}\r\n"),
        };
        let text = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{about}\r\n{body}", self.host);
        self.stream.get_mut().write_all(text.as_bytes())
    }

    /// Reads one answer to a request of this method; `100 Continue` is passed over.
    pub fn answer(&mut self, method: &str) -> Result<Answer> {
        loop {
            let status = status(&self.line()?)?;
            let mut headers = Vec::new();
            loop {
                let line = self.line()?;
                let Some((name, value)) = line.split_once(':') else { break };
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            let mut answer = Answer { status, headers, body: Vec::new() };
            if !(100..200).contains(&status) {
                if method != "HEAD" && status != 204 && status != 304 {
                    self.body(&mut answer)?;
                }
                return Ok(answer);
            }
        }
    }

    fn body(&mut self, answer: &mut Answer) -> Result<()> {
        if answer.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            loop {
                let line = self.line()?;
                let size = line.split(';').next().unwrap_or_default().trim();
                let size =
                    u64::from_str_radix(size, 16).map_err(|_| Error::new(ErrorKind::InvalidData, line.clone()))?;
                self.take(size, &mut answer.body)?;
                // Behind the last chunk an empty line ends the trailers.
                if self.line()?.is_empty() && size == 0 {
                    return Ok(());
                }
            }
        } else if let Some(length) = answer.header("content-length") {
            let length = length.parse().map_err(|_| Error::new(ErrorKind::InvalidData, "a bad Content-Length"))?;
            self.take(length, &mut answer.body)
        } else {
            self.stream.read_to_end(&mut answer.body).map(drop)
        }
    }

    fn take(&mut self, size: u64, into: &mut Vec<u8>) -> Result<()> {
        let read = (&mut self.stream).take(size).read_to_end(into)?;
        if read as u64 == size { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        Ok(line)
    }
}

fn status(line: &str) -> Result<u16> {
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|digits| digits.parse().ok());
    status.ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("no status line: {line:?}")))
}

/// One request on a connection of its own.
pub fn call(address: &str, method: &str, path: &str, body: &str) -> Result<Answer> {
    Http::connect(address)?.call(method, path, body)
}
