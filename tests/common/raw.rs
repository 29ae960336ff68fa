//! A connection that sends and reads exact bytes, and reads RESP replies, always with a deadline.

use super::PATIENCE;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// One RESP2 or RESP3 value. Maps are flat lists of keys and values, attributes are dropped.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `+OK`, and RESP3's big numbers and doubles as text.
    Simple(String),
    /// `-ERR …`, `!…`
    Error(String),
    /// `:1`
    Integer(i64),
    /// `$…`, `=…`
    Bulk(Vec<u8>),
    /// `$-1`, `*-1`, `_`
    Null,
    /// `#t`, `#f`
    Boolean(bool),
    /// `*`, `~`, `%`
    Array(Vec<Reply>),
    /// `>`
    Push(Vec<Reply>),
}

impl Reply {
    /// The texts of everything in it, arrays within arrays too.
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::Array(many) | Self::Push(many) => many.iter().flat_map(Self::words).collect(),
            one => vec![one.text()],
        }
    }

    /// Text of a simple string, a bulk string or an error; else how it is debugged.
    pub fn text(&self) -> String {
        match self {
            Self::Simple(text) | Self::Error(text) => text.clone(),
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Integer(number) => number.to_string(),
            other => format!("{other:?}"),
        }
    }
}

/// What [`Raw`] can be over.
pub trait Stream: Read + Write + Send {
    /// Bounds each read and write.
    fn set_limit(&self, limit: Duration);
    /// Ends the sending side.
    fn finish_writing(&self);
}

impl Stream for TcpStream {
    fn set_limit(&self, limit: Duration) {
        self.set_read_timeout(Some(limit)).expect("a read limit");
        self.set_write_timeout(Some(limit)).expect("a write limit");
    }
    fn finish_writing(&self) {
        let _ = self.shutdown(std::net::Shutdown::Write);
    }
}

impl Stream for UnixStream {
    fn set_limit(&self, limit: Duration) {
        self.set_read_timeout(Some(limit)).expect("a read limit");
        self.set_write_timeout(Some(limit)).expect("a write limit");
    }
    fn finish_writing(&self) {
        let _ = self.shutdown(std::net::Shutdown::Write);
    }
}

/// A raw connection. Panics, with what it had read, when an answer does not come in time.
pub struct Raw {
    stream: Box<dyn Stream>,
    read: Vec<u8>,
}

impl Raw {
    /// Connects to a TCP port of this host.
    #[track_caller]
    pub fn connect(port: u16) -> Self {
        Self::try_connect(port).unwrap_or_else(|error| panic!("connecting to port {port}: {error}"))
    }

    /// As [`Raw::connect`], but a refusal is a value.
    pub fn try_connect(port: u16) -> std::io::Result<Self> {
        Self::try_connect_to(("127.0.0.1", port))
    }

    /// As [`Raw::try_connect`], to another host.
    pub fn try_connect_to(address: impl std::net::ToSocketAddrs) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_limit(PATIENCE);
        Ok(Self { stream: Box::new(stream), read: Vec::new() })
    }

    /// Over a stream that is connected.
    pub fn over(stream: impl Stream + 'static) -> Self {
        stream.set_limit(PATIENCE);
        Self { stream: Box::new(stream), read: Vec::new() }
    }

    /// Connects to a Unix socket.
    #[track_caller]
    pub fn connect_unix(path: &Path) -> Self {
        let stream =
            UnixStream::connect(path).unwrap_or_else(|error| panic!("connecting to {}: {error}", path.display()));
        stream.set_limit(PATIENCE);
        Self { stream: Box::new(stream), read: Vec::new() }
    }

    /// Sends these bytes, all of them.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("sending");
        self
    }

    /// As [`Raw::send`], but a failure is a value: for peers that may have closed.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Ends the sending side only.
    pub fn finish_writing(&mut self) {
        self.stream.finish_writing();
    }

    /// Sends a command as an array of bulk strings and does not wait.
    #[track_caller]
    pub fn request<A: AsRef<[u8]>>(&mut self, words: &[A]) -> &mut Self {
        self.send(encode(words))
    }

    /// Sends a command and reads its reply.
    #[track_caller]
    pub fn command<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Reply {
        self.request(words);
        self.reply()
    }

    /// Reads exactly the expected bytes.
    #[track_caller]
    pub fn expect(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let expected = bytes.as_ref();
        let got = self.exactly(expected.len());
        assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(expected));
        self
    }

    /// Reads exactly `length` bytes.
    #[track_caller]
    pub fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert!(self.fill(), "closed, with only {:?} read", String::from_utf8_lossy(&self.read));
        }
        self.read.drain(..length).collect()
    }

    /// Reads one line without its CRLF.
    #[track_caller]
    pub fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.read.drain(..end + 2).take(end).collect();
                return String::from_utf8_lossy(&line).into_owned();
            }
            assert!(self.fill(), "closed, with only {:?} read", String::from_utf8_lossy(&self.read));
        }
    }

    /// As [`Raw::line`], but nothing once the other side has closed; waits for as long as it takes.
    pub fn next_line(&mut self) -> Option<String> {
        self.stream.set_limit(Duration::from_hours(1));
        loop {
            if self.read.contains(&b'\n') {
                return Some(self.line());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Reads one reply of any type.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        let line = self.line();
        assert!(!line.is_empty(), "an empty line is no reply");
        let (kind, rest) = line.split_at(1);
        match kind {
            "+" | "," | "(" => Reply::Simple(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(number(rest)),
            "_" => Reply::Null,
            "#" => Reply::Boolean(rest == "t"),
            "$" | "=" | "!" => match number(rest) {
                -1 => Reply::Null,
                length => self.bulk(kind, usize::try_from(length).expect("a length")),
            },
            "*" | "~" => match number(rest) {
                -1 => Reply::Null,
                length => Reply::Array(self.replies(length)),
            },
            "%" => Reply::Array(self.replies(number(rest) * 2)),
            ">" => Reply::Push(self.replies(number(rest))),
            "|" => {
                self.replies(number(rest) * 2);
                self.reply()
            }
            _ => panic!("no reply: {line:?}"),
        }
    }

    fn bulk(&mut self, kind: &str, length: usize) -> Reply {
        let bytes = self.exactly(length);
        self.expect("\r\n");
        match kind {
            "!" => Reply::Error(String::from_utf8_lossy(&bytes).into_owned()),
            _ => Reply::Bulk(bytes),
        }
    }

    #[track_caller]
    fn replies(&mut self, count: i64) -> Vec<Reply> {
        (0..count).map(|_| self.reply()).collect()
    }

    /// Waits for the other side to close; panics when it sends something instead, or nothing.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        let open = self.fill();
        assert!(!open && self.read.is_empty(), "sent instead of closing: {:?}", String::from_utf8_lossy(&self.read));
    }

    /// Everything until the other side closes.
    #[track_caller]
    pub fn until_closed(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.read)
    }

    /// Whether the other side stays silent and open for all of `limit`.
    pub fn is_silent_for(&mut self, limit: Duration) -> bool {
        self.stream.set_limit(limit);
        let mut byte = [0];
        let silent = match self.stream.read(&mut byte) {
            Ok(0) => false,
            Ok(_) => {
                self.read.push(byte[0]);
                false
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        };
        self.stream.set_limit(PATIENCE);
        silent && self.read.is_empty()
    }

    /// Reads more; false when the other side has closed or reset.
    #[track_caller]
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(length) => {
                self.read.extend_from_slice(&buffer[..length]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => false,
            Err(error) => panic!("no answer ({error}); read so far: {:?}", String::from_utf8_lossy(&self.read)),
        }
    }
}

/// A command as an array of bulk strings.
pub fn encode<A: AsRef<[u8]>>(words: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words.iter().map(AsRef::as_ref) {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn number(text: &str) -> i64 {
    text.parse().unwrap_or_else(|_| panic!("no number: {text:?}"))
}
