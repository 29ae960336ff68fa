//! One connection to a node: login, statements with a deadline, answers of bounded size.
//!
//! Input: statements. Output: their rows as text, or a [`CallError`] that says how far it got. Text protocol; several statements in one
//! packet are one round trip. It never retries and never shows a password.

use super::{
    flavour::Flavour,
    rows::{Rows, values},
};
use crate::{
    model::secret::Secret,
    net::{ConnectError, Endpoint, Stream},
    protocol::mysql::{
        auth::SEED,
        capability::{Capabilities, command, status},
        error::{ERR, ErrPacket},
        node_login::{Ask, Channel, Node, NodeLogin, NodeLoginError, Progress},
        packet::{self, HEADER, Header, MAX_PAYLOAD},
        wire::{Cursor, Malformed, put_lenenc_bytes},
    },
};
use bytes::{Buf, BytesMut};
use std::{
    fmt, io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// The longest that all unread packets of one call may be: the rights of 100,000 users fit.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// `utf8mb4_general_ci`, which both flavours know.
const COLLATION: u8 = 45;
/// What is needed of a node, and what is taken where it is offered.
const WANTED: Capabilities =
    Capabilities(Capabilities::PROTOCOL_41.0 | Capabilities::MULTI_STATEMENTS.0 | Capabilities::MULTI_RESULTS.0);
/// The attribute of our connections by which managers see each other.
pub(super) const ATTRIBUTE: &str = "pointsman_manager";

/// Why a call has no answer, or none to the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallError {
    /// There is no connection; nothing was sent.
    Connect(ConnectError),
    /// The node is there, but turned us away before any statement: too many connections, wrong password, no TLS.
    Rejected { number: u16, text: String },
    /// The node refused a statement; those before it in the same packet were carried out.
    Refused { number: u16, text: String },
    /// The connection is open and no complete answer came in time.
    Silent,
    /// The connection was reset.
    Reset,
    /// The connection was closed without a complete answer.
    Closed,
    /// What came back is no answer of MySQL, or too long.
    Alien(String),
}

impl CallError {
    /// Whether the node may have carried the statement out all the same.
    pub(super) fn maybe_done(&self) -> bool {
        !matches!(self, Self::Connect(_) | Self::Rejected { .. } | Self::Refused { .. })
    }

    /// The number of the node's error, 0 if it isn't one.
    pub(super) fn number(&self) -> u16 {
        match self {
            Self::Rejected { number, .. } | Self::Refused { number, .. } => *number,
            _ => 0,
        }
    }

    fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Reset,
            io::ErrorKind::TimedOut => Self::Silent,
            io::ErrorKind::InvalidData => Self::Alien(error.to_string()),
            _ => Self::Closed,
        }
    }

    fn of_login(error: NodeLoginError) -> Self {
        match error {
            NodeLoginError::Refused { number, text, .. } => Self::Rejected { number, text },
            NodeLoginError::Malformed => Self::Alien(error.to_string()),
            other => Self::Rejected { number: 0, text: other.to_string() },
        }
    }
}

impl From<Malformed> for CallError {
    fn from(_: Malformed) -> Self {
        Self::Alien("a malformed packet".to_owned())
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Rejected { number: 0, text } => f.write_str(text),
            Self::Rejected { number, text } | Self::Refused { number, text } => write!(f, "{text} ({number})"),
            Self::Silent => f.write_str("no answer in time"),
            Self::Reset => f.write_str("the connection was reset"),
            Self::Closed => f.write_str("the connection was closed without an answer"),
            Self::Alien(why) => write!(f, "not a MySQL server: {why}"),
        }
    }
}

/// How we present ourselves to a node.
#[derive(Debug)]
pub(super) struct Login {
    /// The user; the system's own default where none is configured.
    pub(super) user: String,
    /// The password, empty if there is none.
    pub(super) password: Secret,
    /// The value of [`ATTRIBUTE`], by which other managers see us; empty for one who manages nothing.
    pub(super) manager: String,
}

/// A connection after login.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    read: BytesMut,
    node: Node,
    /// The version that the node's greeting says.
    pub(super) version: String,
}

impl Connection {
    /// Connects and logs in. `answers` becomes true as soon as TCP is connected, so that whoever gives up waiting can tell a node that
    /// doesn't answer from one that can't be reached.
    pub(super) async fn open(
        endpoint: &Endpoint,
        login: &Login,
        deadline: Instant,
        answers: &AtomicBool,
    ) -> Result<Self, CallError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let tcp = endpoint.connect_plain(left).await.map_err(CallError::Connect)?;
        answers.store(true, Ordering::Relaxed);
        let opened = timeout_at(deadline, Self::log_in(endpoint, login, Stream::Tcp(tcp), deadline)).await;
        let mut connection = opened.unwrap_or(Err(CallError::Silent))?;
        // Idle connections are kept for long; whoever waits for a lock shall not wait for long.
        connection.run("SET SESSION wait_timeout=28800, lock_wait_timeout=2, sql_mode=''", deadline).await?;
        Ok(connection)
    }

    async fn log_in(
        endpoint: &Endpoint,
        login: &Login,
        mut stream: Stream,
        deadline: Instant,
    ) -> Result<Self, CallError> {
        let mut attributes = Vec::new();
        put_lenenc_bytes(&mut attributes, b"program_name");
        put_lenenc_bytes(&mut attributes, b"pointsman");
        if !login.manager.is_empty() {
            put_lenenc_bytes(&mut attributes, ATTRIBUTE.as_bytes());
            put_lenenc_bytes(&mut attributes, login.manager.as_bytes());
        }
        let ask = Ask {
            user: login.user.as_bytes(),
            password: &login.password,
            schema: None,
            capabilities: WANTED | Capabilities::DEPRECATE_EOF,
            optional: Capabilities::DEPRECATE_EOF,
            collation: COLLATION,
            attributes: &attributes,
            channel: if endpoint.is_secure() { Channel::Tls } else { Channel::Plain },
            seed: seed()?,
        };
        let (mut machine, mut read, mut out) = (NodeLogin::new(ask), BytesMut::new(), Vec::new());
        let mut version = String::new();
        loop {
            if version.is_empty() {
                version = greeted(&read).unwrap_or_default();
            }
            let (used, progress) = machine.read(&read, &mut out).map_err(CallError::of_login)?;
            read.advance(used);
            stream.write_all(&out).await.map_err(|error| CallError::of_io(&error))?;
            out.clear();
            match progress {
                Progress::Done(node) => return Ok(Self { stream, read, node, version }),
                Progress::NeedsTls => {
                    let Stream::Tcp(tcp) = stream else { return Err(CallError::Alien("TLS twice".into())) };
                    let left = deadline.saturating_duration_since(Instant::now());
                    stream = endpoint.secure(tcp, left).await.map_err(CallError::Connect)?;
                    machine.tls_ready(&mut out);
                    stream.write_all(&out).await.map_err(|error| CallError::of_io(&error))?;
                    out.clear();
                }
                Progress::More => {}
            }
            if stream.read_buf(&mut read).await.map_err(|error| CallError::of_io(&error))? == 0 {
                return Err(CallError::Closed);
            }
        }
    }

    /// The node's own id of this connection.
    pub(super) fn id(&self) -> u32 {
        self.node.connection_id
    }

    /// Which flavour the node is.
    pub(super) fn flavour(&self) -> Flavour {
        Flavour::of(&self.version)
    }

    /// Sends statements, `;` between them, and reads the rows of each. After an error other than [`CallError::Refused`] the connection is
    /// of no more use.
    pub(super) async fn run(&mut self, statements: &str, deadline: Instant) -> Result<Vec<Rows>, CallError> {
        timeout_at(deadline, self.exchange(statements)).await.unwrap_or(Err(CallError::Silent))
    }

    async fn exchange(&mut self, statements: &str) -> Result<Vec<Rows>, CallError> {
        let mut out = Vec::with_capacity(HEADER + 1 + statements.len());
        packet::command(&mut out, command::QUERY, statements.as_bytes());
        let sent = self.stream.write_all(&out).await;
        let mut answers = Vec::new();
        loop {
            // What was sent into a broken connection tells more than the end that is read from it.
            let first = match self.packet().await {
                Ok(first) => first,
                Err(error) => return Err(sent.as_ref().err().map_or(error, CallError::of_io)),
            };
            let (rows, flags) = match first.first() {
                Some(0) => (Rows::default(), crate::protocol::mysql::ok::status(&first).ok_or(Malformed)?),
                Some(&ERR) => return Err(refusal(&first)?),
                Some(0xfb) | None => return Err(CallError::Alien("asks for a file".into())),
                Some(_) => self.rows(&first).await?,
            };
            answers.push(rows);
            if flags & status::MORE_RESULTS == 0 {
                return Ok(answers);
            }
        }
    }

    /// The rows behind a packet with the number of columns, and the status flags at their end.
    async fn rows(&mut self, first: &[u8]) -> Result<(Rows, u16), CallError> {
        let count = Cursor::new(first).lenenc()?;
        let mut rows = Rows::default();
        for _ in 0..count {
            let packet = self.packet().await?;
            let mut column = Cursor::new(&packet);
            for _ in 0..4 {
                column.lenenc_bytes()?;
            }
            rows.columns.push(String::from_utf8_lossy(column.lenenc_bytes()?).into_owned());
        }
        let modern = self.node.capabilities.has(Capabilities::DEPRECATE_EOF);
        if !modern {
            self.packet().await?;
        }
        loop {
            let packet = self.packet().await?;
            match packet.first() {
                Some(&ERR) => return Err(refusal(&packet)?),
                Some(0xfe) if modern || packet.len() < 9 => {
                    return Ok((rows, crate::protocol::mysql::ok::status(&packet).ok_or(Malformed)?));
                }
                _ => rows.rows.push(values(&packet, rows.columns.len())?),
            }
        }
    }

    /// The next packet's payload.
    async fn packet(&mut self) -> Result<BytesMut, CallError> {
        loop {
            if let Some(header) = Header::read(&self.read) {
                if header.len == MAX_PAYLOAD || header.len > MAX_ANSWER {
                    return Err(CallError::Alien("the answer is too long".to_owned()));
                }
                if self.read.len() >= HEADER + header.len {
                    self.read.advance(HEADER);
                    return Ok(self.read.split_to(header.len));
                }
            }
            if self.read.len() > MAX_ANSWER {
                return Err(CallError::Alien("the answer is too long".to_owned()));
            }
            match self.stream.read_buf(&mut self.read).await {
                Ok(0) => return Err(CallError::Closed),
                Ok(_) => {}
                Err(error) => return Err(CallError::of_io(&error)),
            }
        }
    }
}

/// The version in a greeting that is wholly there.
fn greeted(read: &[u8]) -> Option<String> {
    let (_, payload) = packet::read(read)?;
    let rest = payload.split_first().filter(|(protocol, _)| **protocol == 10)?.1;
    let version = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(String::from_utf8_lossy(version).into_owned())
}

/// Errors with which a server ends a connection by itself, idle for too long or going down: as good as a closed one.
const ENDED: [u16; 3] = [1053, 1927, 4031];

fn refusal(packet: &[u8]) -> Result<CallError, CallError> {
    let error = ErrPacket::read(packet)?;
    if ENDED.contains(&error.number) {
        return Ok(CallError::Closed);
    }
    Ok(CallError::Refused { number: error.number, text: String::from_utf8_lossy(error.text).into_owned() })
}

fn seed() -> Result<[u8; SEED], CallError> {
    let mut seed = [0; SEED];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut seed).map_err(|_| CallError::Alien("the system gives no random bytes".into()))?;
    Ok(seed)
}

/// A string literal of both flavours, under any SQL mode of ours (`sql_mode=''`).
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for c in text.chars() {
        match c {
            '\'' => quoted.push_str("''"),
            '\\' => quoted.push_str("\\\\"),
            '\0' => {}
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

/// A password literal; bytes that are no text can't be said in a statement.
pub(super) fn quoted_secret(secret: &Secret) -> String {
    quoted(&String::from_utf8_lossy(secret.expose()))
}

/// Seconds with a fraction, as functions that wait take them.
pub(super) fn seconds(limit: Duration) -> String {
    format!("{:.3}", limit.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_closed_in_themselves() {
        assert_eq!(quoted(r"it's \ "), r"'it''s \\ '");
        assert_eq!(quoted("a\0b"), "'ab'");
        assert_eq!(seconds(Duration::from_millis(1500)), "1.500");
    }

    #[test]
    fn the_greetings_version_is_found() {
        assert_eq!(greeted(b"\x07\x00\x00\x00\x0a9.7.4\x00").as_deref(), Some("9.7.4"));
        assert_eq!(greeted(b"\x07\x00\x00\x00\x0a9.7"), None);
        assert_eq!(greeted(b"\x03\x00\x00\x00\xff\x10\x04"), None);
    }
}
