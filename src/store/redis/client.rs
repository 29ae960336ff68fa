//! One connection to a node: login, pipelined commands with a deadline, replies of bounded size.
//!
//! Input: commands. Output: as many replies, or a [`CallError`] that says how far it got. RESP2. It never retries and never
//! shows a password.

use super::reply::{Info, Reply, error, text};
use crate::{
    model::secret::Secret,
    net::{ConnectError, Endpoint, Stream},
};
use bytes::BytesMut;
use redis_protocol::resp2::{decode::decode_bytes_mut, encode::extend_encode};
use std::{fmt, io};
use tokio::time::{Instant, timeout_at};

/// The longest that all unread replies of one call may be: a CLIENT LIST of 100,000 connections fits.
const MAX_REPLY: usize = 64 * 1024 * 1024;
/// The most array headers in unread replies. The decoder recurses, and no reply that we ask for nests deeper than a ROLE
/// with hundreds of standbys.
const MAX_ARRAYS: usize = 512;

/// Why a call has no replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallError {
    /// There is no connection; nothing was sent.
    Connect(ConnectError),
    /// The node answered the login, but turned us away; nothing else was sent.
    Rejected(String),
    /// The connection is open and no complete answer came in time.
    Silent,
    /// The connection was reset.
    Reset,
    /// The connection was closed without a complete answer.
    Closed,
    /// What came back is no reply of Redis, or too long.
    Alien(String),
}

impl CallError {
    /// Whether the node may have carried the commands out all the same.
    pub(super) fn maybe_done(&self) -> bool {
        !matches!(self, Self::Connect(_) | Self::Rejected(_))
    }

    fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Reset,
            io::ErrorKind::TimedOut => Self::Silent,
            io::ErrorKind::InvalidData => Self::Alien(error.to_string()),
            _ => Self::Closed,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Rejected(why) => f.write_str(why),
            Self::Silent => f.write_str("no answer in time"),
            Self::Reset => f.write_str("the connection was reset"),
            Self::Closed => f.write_str("the connection was closed without an answer"),
            Self::Alien(why) => write!(f, "not a Redis server: {why}"),
        }
    }
}

/// Commands to be sent in one write.
#[derive(Debug, Default)]
pub(super) struct Pipeline {
    bytes: BytesMut,
    count: usize,
}

impl Pipeline {
    /// A pipeline of these commands, words separated by blanks.
    pub(super) fn of(commands: &[&str]) -> Self {
        let mut pipeline = Self::default();
        for command in commands {
            pipeline.push(command.split(' '));
        }
        pipeline
    }

    /// Appends one command.
    pub(super) fn push<W: AsRef<[u8]>>(&mut self, words: impl IntoIterator<Item = W>) {
        let words = words.into_iter().map(|word| Reply::BulkString(word.as_ref().to_vec().into())).collect();
        // Encoding into a growing buffer fails for no array of bulk strings; a command that wasn't encoded isn't counted.
        if extend_encode(&mut self.bytes, &Reply::Array(words), false).is_ok() {
            self.count += 1;
        }
    }
}

/// How we present ourselves to a node.
#[derive(Debug)]
pub(super) struct Login {
    /// The user and password, if the node asks for them.
    pub(super) credentials: Option<(String, Secret)>,
    /// The connection's name, by which other managers see us.
    pub(super) name: String,
}

/// What a server process says of itself once a connection: it can't change while the connection lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// New at each start.
    pub(super) run_id: String,
    /// With the flavour where that isn't Redis.
    pub(super) version: String,
}

/// A connection after login.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    read: BytesMut,
    /// Who is at the other end.
    pub(super) identity: Identity,
}

impl Connection {
    /// Connects, logs in, says our name, asks who it is.
    pub(super) async fn open(endpoint: &Endpoint, login: &Login, deadline: Instant) -> Result<Self, CallError> {
        let limit = deadline.saturating_duration_since(Instant::now());
        let stream = endpoint.connect(limit).await.map_err(CallError::Connect)?;
        let identity = Identity { run_id: String::new(), version: String::new() };
        let mut connection = Self { stream, read: BytesMut::new(), identity };
        let mut greeting = Pipeline::default();
        if let Some((user, password)) = &login.credentials {
            greeting.push([b"AUTH", user.as_bytes(), password.expose()]);
        }
        greeting.push(["CLIENT", "SETNAME", &login.name]);
        greeting.push(["INFO", "server"]);
        let replies = connection.ask(&greeting, deadline).await?;
        let refusal = |reply: Option<&Reply>| reply.and_then(error).map(|why| CallError::Rejected(why.to_owned()));
        // A refused login says more than the errors that follow from it. A refused name costs only the name.
        if let Some(refused) = login.credentials.as_ref().and_then(|_| refusal(replies.first())) {
            return Err(refused);
        }
        match (refusal(replies.last()), replies.last().and_then(Info::read)) {
            (Some(refused), _) => Err(refused),
            (None, Some(info)) => {
                connection.identity = identity_of(&info);
                Ok(connection)
            }
            (None, None) => Err(CallError::Alien("INFO answers no text".to_owned())),
        }
    }

    /// Sends the commands in one write and reads as many replies. After an error the connection is of no more use.
    pub(super) async fn ask(&mut self, pipeline: &Pipeline, deadline: Instant) -> Result<Vec<Reply>, CallError> {
        timeout_at(deadline, self.exchange(pipeline)).await.unwrap_or(Err(CallError::Silent))
    }

    async fn exchange(&mut self, pipeline: &Pipeline) -> Result<Vec<Reply>, CallError> {
        let sent = self.stream.write_all(&pipeline.bytes).await;
        let mut replies = Vec::with_capacity(pipeline.count);
        let mut arrays = 0;
        while replies.len() < pipeline.count {
            if let Some(reply) = self.next_reply()? {
                let refused = error(&reply).is_some_and(turned_away);
                replies.push(reply);
                if refused && replies.len() < pipeline.count {
                    // Such a server closes after this one error.
                    return Err(CallError::Rejected(replies.last().and_then(error).unwrap_or_default().to_owned()));
                }
                continue;
            }
            let start = self.read.len().saturating_sub(2);
            match self.stream.read_buf(&mut self.read).await {
                Ok(0) => return Err(CallError::Closed),
                Ok(_) => {}
                // What was sent into a broken connection tells more than the end that is read from it.
                Err(error) => return Err(CallError::of_io(sent.as_ref().err().unwrap_or(&error))),
            }
            arrays += array_headers(self.read.get(start..).unwrap_or_default());
            if self.read.len() > MAX_REPLY || arrays > MAX_ARRAYS {
                return Err(CallError::Alien("the reply is too long or nested too deeply".to_owned()));
            }
        }
        Ok(replies)
    }

    fn next_reply(&mut self) -> Result<Option<Reply>, CallError> {
        if self.read.is_empty() {
            return Ok(None);
        }
        decode_bytes_mut(&mut self.read).map(|reply| reply.map(|(reply, _, _)| reply)).map_err(|_| {
            let start = self.read.get(..self.read.len().min(40)).unwrap_or_default();
            CallError::Alien(format!("{:?}", String::from_utf8_lossy(start)))
        })
    }
}

/// Errors by which a server turns a connection away before it reads a command, and then closes it.
fn turned_away(error: &str) -> bool {
    error.starts_with("DENIED") || error.starts_with("ERR max number of clients")
}

/// Lines that begin with `*`. `fresh` begins two bytes before what is new, so that no line is missed or counted twice.
fn array_headers(fresh: &[u8]) -> usize {
    fresh.windows(3).filter(|window| window == b"\r\n*").count()
}

fn identity_of(info: &Info) -> Identity {
    let version = match (info.get("server_name"), info.get("valkey_version")) {
        (Some(flavour), Some(version)) => format!("{flavour} {version}"),
        _ => info.get("redis_version").unwrap_or_default().to_owned(),
    };
    Identity { run_id: info.get("run_id").unwrap_or_default().to_owned(), version }
}

/// The names of other managers of this service among the connections in a CLIENT LIST, and how many connections it has.
pub(super) fn managers(list: &Reply, service: &str, ours: &str) -> Option<(Vec<String>, usize)> {
    let list = text(list)?;
    let prefix = format!("name={}", name_prefix(service));
    let mut others: Vec<String> = list
        .lines()
        .filter_map(|line| line.split(' ').find_map(|field| field.strip_prefix(&prefix)))
        .filter(|instance| *instance != ours)
        .map(ToOwned::to_owned)
        .collect();
    others.sort_unstable();
    others.dedup();
    Some((others, list.lines().count()))
}

/// What the connection names of all managers of a service begin with.
pub(super) fn name_prefix(service: &str) -> String {
    format!("pointsman:{service}:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_managers_of_the_same_service_count() {
        let line = |name: &str| format!("id=3 addr=127.0.0.1:1 name={name} age=0 cmd=info\n");
        let names = ["pointsman:cart:a", "pointsman:cart:b", "pointsman:cart:b", "pointsman:orders:c", "", "app"];
        let list = Reply::BulkString(names.map(line).concat().into());
        assert_eq!(managers(&list, "cart", "a"), Some((vec!["b".to_owned()], 6)));
        assert_eq!(managers(&Reply::Null, "cart", "a"), None);
    }

    #[test]
    fn array_headers_over_a_border_are_counted_once() {
        let bytes = b"*2\r\n*1\r\n:1\r\n*0\r\n";
        for cut in 0..=bytes.len() {
            let first = array_headers(&bytes[..cut]);
            let second = array_headers(&bytes[cut.saturating_sub(2)..]);
            assert_eq!(first + second, 2, "cut at {cut}");
        }
    }
}
