//! A client of MySQL made of the protocol's own pieces: it sees packets, and holds that an answer ends where the scanner says.

use super::mysql_server::MysqlServer;
use pointsman::model::secret::Secret;
use pointsman::protocol::mysql::capability::{Capabilities, command};
use pointsman::protocol::mysql::node_login::{Ask, Channel, Node, NodeLogin, Progress};
use pointsman::protocol::mysql::packet;
use pointsman::protocol::mysql::response::{Found, ResponseScanner};
use pointsman::protocol::mysql::session::carried::Carried;
use pointsman::protocol::mysql::session::replay::query;
use pointsman::protocol::mysql::sql::classify;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// What every client takes.
pub const BASIC: Capabilities = Capabilities(
    Capabilities::PROTOCOL_41.0
        | Capabilities::TRANSACTIONS.0
        | Capabilities::MULTI_STATEMENTS.0
        | Capabilities::MULTI_RESULTS.0
        | Capabilities::PS_MULTI_RESULTS.0
        | Capabilities::LOCAL_FILES.0,
);

/// TCP or a Unix socket.
pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// A connection that was logged in.
pub struct Connection {
    stream: Box<dyn Stream>,
    /// What the login told.
    pub node: Node,
}

/// The bytes of one answer, and what was found in them.
#[derive(Debug)]
pub struct Answer {
    /// All of its packets.
    pub bytes: Vec<u8>,
    /// What was found.
    pub found: Vec<Found>,
}

/// A TCP connection to a server.
pub fn tcp(server: &MysqlServer) -> Box<dyn Stream> {
    tcp_to(server.port())
}

/// A TCP connection to whoever listens on that port.
pub fn tcp_to(port: u16) -> Box<dyn Stream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    stream.set_nodelay(true).expect("no delay");
    Box::new(stream)
}

impl Connection {
    /// Logs in, to the schema `shop`.
    pub fn open(
        mut stream: Box<dyn Stream>,
        channel: Channel,
        user: &str,
        password: &str,
        capabilities: Capabilities,
    ) -> Self {
        let password = Secret::new(password.as_bytes());
        let ask = Ask {
            user: user.as_bytes(),
            password: &password,
            schema: Some(b"shop"),
            capabilities,
            optional: Capabilities::default(),
            collation: 45,
            attributes: b"\x03foo\x03bar",
            channel,
            seed: [9; 20],
        };
        let (mut login, mut bytes, mut out) = (NodeLogin::new(ask), Vec::new(), Vec::new());
        loop {
            let (taken, progress) = login.read(&bytes, &mut out).expect("a login");
            bytes.drain(..taken);
            stream.write_all(&out).expect("write");
            out.clear();
            if let Progress::Done(node) = progress {
                assert!(bytes.is_empty());
                return Self { stream, node };
            }
            let mut some = [0; 512];
            let read = stream.read(&mut some).expect("read");
            assert!(read > 0, "hung up");
            bytes.extend_from_slice(&some[..read]);
        }
    }

    /// Sends a command and reads exactly its answer. A request for a local file is answered with two packets of one.
    pub fn command(&mut self, payload: &[u8]) -> Answer {
        let mut out = Vec::new();
        packet::write(&mut out, 0, payload);
        self.stream.write_all(&out).expect("write");
        let mut scanner = ResponseScanner::new(payload[0], self.node.capabilities);
        let (mut bytes, mut at, mut found) = (Vec::new(), 0, Vec::new());
        let mut some = vec![0; 1 << 20];
        while !scanner.ended() {
            let step = scanner.next(&bytes[at..]).expect("an answer");
            at += step.pass;
            match step.found {
                Found::Nothing { wanted: 0 } => break,
                Found::Nothing { .. } => {
                    let read = self.stream.read(&mut some).expect("more of the answer");
                    assert!(read > 0, "hung up");
                    bytes.extend_from_slice(&some[..read]);
                    continue;
                }
                Found::LocalInfile { len } => {
                    let sequence = bytes[at + 3].wrapping_add(1);
                    at += len;
                    let mut file = Vec::new();
                    let sequence = packet::write(&mut file, sequence, b"5000001\t1\n");
                    packet::write(&mut file, sequence, b"");
                    self.stream.write_all(&file).expect("write");
                }
                Found::Ok { len, .. } | Found::Err { len, .. } | Found::Prepared { len, .. } => at += len,
            }
            found.push(step.found);
        }
        assert_eq!(at, bytes.len(), "more than the answer to {:?}", String::from_utf8_lossy(payload));
        Answer { bytes, found }
    }

    /// Sends a command that isn't answered.
    pub fn send(&mut self, payload: &[u8]) {
        let mut out = Vec::new();
        packet::write(&mut out, 0, payload);
        self.stream.write_all(&out).expect("write");
    }

    /// True if the other side hangs up, whatever it says before.
    pub fn ends(&mut self) -> bool {
        let mut some = [0; 512];
        (0..100).any(|_| matches!(self.stream.read(&mut some), Ok(0)))
    }

    /// Prepares a statement; the server's id of it.
    #[track_caller]
    pub fn prepare(&mut self, sql: &str) -> u32 {
        let answer = self.command(&[&[command::STMT_PREPARE], sql.as_bytes()].concat());
        match answer.found[..] {
            [Found::Prepared { statement, .. }] => statement,
            _ => panic!("{sql}: {}", answer.bytes.escape_ascii()),
        }
    }

    /// Runs a prepared statement: its id, the flags of cursors, and what stands behind the number of iterations.
    pub fn execute(&mut self, id: u32, cursor: u8, rest: &[u8]) -> Answer {
        self.command(&[&[command::STMT_EXECUTE], &id.to_le_bytes()[..], &[cursor, 1, 0, 0, 0], rest].concat())
    }

    /// A statement.
    pub fn query(&mut self, sql: &str) -> Answer {
        self.command(&query(self.node.capabilities, sql.as_bytes()))
    }

    /// A statement that works.
    #[track_caller]
    pub fn fine(&mut self, sql: &str) -> Answer {
        let answer = self.query(sql);
        assert!(
            !answer.found.iter().any(|found| matches!(found, Found::Err { .. })),
            "{sql}: {}",
            answer.bytes.escape_ascii()
        );
        answer
    }

    /// A command and its answer as a session that takes its state along sees them.
    pub fn told(&mut self, session: &mut Carried, sql: &str) {
        let statement = classify(sql.as_bytes(), true, session.dialect());
        session.sent(statement, Some(sql.as_bytes()));
        let answer = self.query(sql);
        let mut rest = answer.bytes.as_slice();
        let mut scanner = ResponseScanner::new(command::QUERY, self.node.capabilities);
        while !scanner.ended() {
            let step = scanner.next(rest).expect("an answer");
            rest = &rest[step.pass..];
            match step.found {
                Found::Ok { len, .. } => {
                    session.succeeded(&rest[packet::HEADER..len], self.node.capabilities);
                    rest = &rest[len..];
                }
                Found::Err { .. } => panic!("{sql}: {}", rest.escape_ascii()),
                _ => {}
            }
        }
    }
}

impl Answer {
    /// The number of the error in it; 0 if there is none.
    pub fn error(&self) -> u16 {
        match self.found.last() {
            Some(Found::Err { number, .. }) => *number,
            _ => 0,
        }
    }

    /// The status flags at its end; none if there are none.
    pub fn status(&self) -> u16 {
        match self.found.last() {
            Some(Found::Ok { status, .. }) => *status,
            _ => 0,
        }
    }
}

/// The same is found however the bytes are cut.
pub fn check_cuts(answer: &Answer, command: u8, capabilities: Capabilities) {
    let steps: &[usize] = if answer.bytes.len() > 100_000 { &[65_536] } else { &[1, 2, 3, 7, 64, 1000] };
    for &step in steps {
        let mut scanner = ResponseScanner::new(command, capabilities);
        let (mut at, mut end, mut found) = (0, 0, Vec::new());
        while !scanner.ended() {
            let seen = scanner.next(&answer.bytes[at..end]).expect("an answer");
            at += seen.pass;
            match seen.found {
                Found::Nothing { .. } => {
                    assert!(end < answer.bytes.len() || scanner.ended());
                    end = (end + step).min(answer.bytes.len());
                    continue;
                }
                Found::Ok { len, .. }
                | Found::Err { len, .. }
                | Found::Prepared { len, .. }
                | Found::LocalInfile { len } => at += len,
            }
            found.push(seen.found);
        }
        assert_eq!((at, &found), (answer.bytes.len(), &answer.found), "{step}");
    }
}
