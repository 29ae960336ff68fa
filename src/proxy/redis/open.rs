//! Opens an upstream and brings it into a session's state.
//!
//! Input: a node and the commands that log in. Output: the two halves of a connection on which nothing is outstanding, or what
//! the server said against it. Never: retries.

use super::{inbox::Inbox, lane::Lane};
use crate::{
    model::{name::NodeAddress, signal::Signal},
    net::ConnectError,
    protocol::redis::{
        reply::ErrorKind,
        scan::{ReplyKind, ReplyScanner},
    },
    proxy::conn::{Reader, Writer, split},
};
use std::{
    future::poll_fn,
    io,
    task::{Context, Waker},
    time::Duration,
};
use tokio::time::timeout;

/// Proves that the server answers: a node that hangs still takes connections.
const PROOF: &[u8] = b"*1\r\n$4\r\nPING\r\n";
/// What a server that is full says instead of answering, before it closes.
const FULL: &[u8] = b"-ERR max number of clients reached";

/// How long a connection and its login may take.
pub const LIMIT: Duration = Duration::from_secs(5);

/// Why there is no upstream.
#[derive(Debug)]
pub enum OpenError {
    /// No connection.
    Connect,
    /// Connected, and then the connection broke or stayed silent.
    Lost,
    /// The node isn't ready (it is loading, say): trying again later helps.
    NotReady,
    /// The server refused the login; its error reply.
    Refused(Vec<u8>),
}

/// A connection on which nothing is outstanding.
pub struct Upstream {
    /// Its reading half.
    pub reader: Reader,
    /// Its writing half.
    pub writer: Writer,
}

/// Connects to `node` and sends `setup`, `replies` of whose answers must come; an error among the first `must` of them refuses.
pub async fn open(
    lane: &Lane,
    node: &NodeAddress,
    setup: &[u8],
    replies: usize,
    must: usize,
) -> Result<Upstream, OpenError> {
    let endpoint = lane.endpoint(node);
    let stream = match endpoint.connect(LIMIT).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%node, %error, "no connection");
            match error {
                ConnectError::Refused => lane.report(Signal::Refused, node),
                ConnectError::TimedOut | ConnectError::Silent => lane.report(Signal::TimedOut, node),
                _ => {}
            }
            return Err(OpenError::Connect);
        }
    };
    let (reader, writer) = split(stream);
    let mut upstream = Upstream { reader, writer };
    match timeout(LIMIT, upstream.log_in(setup, replies, must)).await {
        Ok(Ok(())) => Ok(upstream),
        Ok(Err(error)) => {
            match &error {
                OpenError::NotReady => lane.report(Signal::WrongRole, node),
                OpenError::Lost => lane.report(Signal::Reset, node),
                _ => {}
            }
            Err(error)
        }
        Err(_) => {
            lane.report(Signal::TimedOut, node);
            Err(OpenError::Lost)
        }
    }
}

impl Upstream {
    /// Itself, unless the server has closed it, or has said something that nobody asked for. Only for one on which nothing is
    /// outstanding.
    pub fn alive(mut self) -> Option<Self> {
        let mut cx = Context::from_waker(Waker::noop());
        self.reader.poll_read(&mut cx, &mut [0; 16]).is_pending().then_some(self)
    }

    /// Writes all of `bytes`.
    pub async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() || self.writer.unflushed() {
            let written = if bytes.is_empty() { 0 } else { self.writer.try_write(bytes)? };
            bytes = bytes.get(written..).unwrap_or_default();
            if written == 0 {
                poll_fn(|cx| self.writer.poll_ready(cx)).await?;
            }
        }
        Ok(())
    }

    async fn log_in(&mut self, setup: &[u8], replies: usize, must: usize) -> Result<(), OpenError> {
        let setup = [setup, PROOF].concat();
        let replies = replies + 1;
        self.send(&setup).await.map_err(|_| OpenError::Lost)?;
        let mut inbox = Inbox::new(4096);
        let mut scanner = ReplyScanner::default();
        let mut seen = 0;
        while seen < replies {
            match scanner.next(inbox.unused()).map_err(|_| OpenError::Lost)? {
                Some(reply) => {
                    if inbox.unused().starts_with(FULL) {
                        return Err(OpenError::Lost);
                    }
                    if reply.kind == ReplyKind::Error && seen < must {
                        let error = inbox.unused().get(..reply.len).unwrap_or_default().to_vec();
                        return Err(match reply.error_word(inbox.unused()).map(ErrorKind::of) {
                            Some(ErrorKind::WrongNode) => OpenError::NotReady,
                            _ => OpenError::Refused(error),
                        });
                    }
                    seen += usize::from(reply.kind != ReplyKind::Push);
                    inbox.used(reply.len);
                }
                None => poll_fn(|cx| inbox.poll_fill(&mut self.reader, cx)).await.map_err(|_| OpenError::Lost)?,
            }
        }
        Ok(())
    }
}
