//! A MySQL connection whose every byte the test sends itself, once it has logged in.

use super::PATIENCE;
use super::mysql_server::{PASSWORD, SHOP};
use pointsman::model::secret::Secret;
use pointsman::protocol::mysql::capability::Capabilities;
use pointsman::protocol::mysql::node_login::{Ask, Channel, NodeLogin, Progress};
use pointsman::protocol::mysql::packet::{self, HEADER};
use std::io::{Read, Write};
use std::net::TcpStream;

/// The connection.
pub struct RawMysql {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl RawMysql {
    /// Connects and reads nothing.
    #[track_caller]
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read limit");
        stream.set_nodelay(true).expect("no delay");
        Self { stream, unread: Vec::new() }
    }

    /// Connects and logs in as the application's user.
    #[track_caller]
    pub fn log_in(port: u16) -> Self {
        let mut raw = Self::connect(port);
        let password = Secret::new(PASSWORD.as_bytes());
        let mut login = NodeLogin::new(Ask {
            user: SHOP.as_bytes(),
            password: &password,
            schema: Some(b"shop"),
            capabilities: Capabilities::PROTOCOL_41
                | Capabilities::MULTI_STATEMENTS
                | Capabilities::MULTI_RESULTS
                | Capabilities::DEPRECATE_EOF,
            optional: Capabilities::DEPRECATE_EOF,
            collation: 45,
            attributes: b"",
            channel: Channel::Plain,
            seed: [7; 20],
        });
        loop {
            raw.fill();
            let mut out = Vec::new();
            let (used, progress) = login.read(&raw.unread, &mut out).expect("a login");
            raw.unread.drain(..used);
            raw.send(&out);
            if let Progress::Done(_) = progress {
                return raw;
            }
        }
    }

    fn fill(&mut self) -> usize {
        let mut chunk = [0; 16 * 1024];
        let many = self.stream.read(&mut chunk).unwrap_or_default();
        self.unread.extend_from_slice(&chunk[..many]);
        many
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        // A peer that hangs up is what some tests want.
        let _ = self.stream.write_all(bytes);
    }

    /// Sends a command.
    pub fn command(&mut self, command: u8, argument: &[u8]) {
        let mut out = Vec::new();
        packet::command(&mut out, command, argument);
        self.send(&out);
    }

    /// The next packet's number and payload; nothing at the end of the stream.
    pub fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((header, payload)) = packet::read(&self.unread) {
                let payload = payload.to_vec();
                self.unread.drain(..HEADER + header.len);
                return Some((header.sequence, payload));
            }
            if self.fill() == 0 {
                return None;
            }
        }
    }

    /// The number of the error that comes next; 0 for anything else.
    pub fn error(&mut self) -> u16 {
        match self.packet() {
            Some((_, payload)) if payload.first() == Some(&0xff) => u16::from_le_bytes([payload[1], payload[2]]),
            _ => 0,
        }
    }

    /// True if the other side has hung up, whatever it said before.
    pub fn ends(&mut self) -> bool {
        (0..1000).any(|_| self.fill() == 0)
    }
}
