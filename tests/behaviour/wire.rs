//! A connection that reads whole replies as the bytes they came as.

use pointsman::protocol::redis::scan::ReplyScanner;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long an answer that has to come may take.
pub const LIMIT: Duration = Duration::from_secs(10);
/// How long "nothing comes" is watched.
pub const SILENCE: Duration = Duration::from_millis(60);

/// What a connection had to say.
#[derive(Debug, PartialEq)]
pub enum Got {
    /// One reply or push, whole.
    Frame(Vec<u8>),
    /// The other side closed or reset.
    Closed,
    /// Nothing within the limit.
    Silence,
}

/// One client's connection.
pub struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
    at: usize,
    scanner: ReplyScanner,
}

impl Wire {
    /// Connects to a port of this host.
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream.set_nodelay(true).expect("an option");
        stream.set_write_timeout(Some(LIMIT)).expect("a limit");
        Self { stream, read: Vec::new(), at: 0, scanner: ReplyScanner::default() }
    }

    /// Sends; false when the other side is gone.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// A second handle for sending while another thread reads.
    pub fn sender(&self) -> TcpStream {
        self.stream.try_clone().expect("a second handle")
    }

    /// The next reply or push.
    pub fn frame(&mut self, limit: Duration) -> Got {
        self.stream.set_read_timeout(Some(limit)).expect("a limit");
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let unread = &self.read[self.at..];
            if let Some(reply) = self.scanner.next(unread).expect("a reply is RESP") {
                let frame = unread[..reply.len].to_vec();
                self.at += reply.len;
                if self.at == self.read.len() {
                    self.read.clear();
                    self.at = 0;
                }
                return Got::Frame(frame);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Got::Closed,
                Ok(length) => self.read.extend_from_slice(&buffer[..length]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Got::Silence;
                }
                Err(_) => return Got::Closed,
            }
        }
    }

    /// Sends a command and gives its answer; panics when none comes.
    #[track_caller]
    pub fn ask<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Vec<u8> {
        self.send(&encode(words));
        match self.frame(LIMIT) {
            Got::Frame(frame) => frame,
            other => panic!("no answer: {other:?}"),
        }
    }
}

/// A command as an array of bulk strings.
pub fn encode<A: AsRef<[u8]>>(words: &[A]) -> Vec<u8> {
    crate::common::raw::encode(words)
}
