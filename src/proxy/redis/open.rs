//! Opens an upstream and brings it into a session's state.
//!
//! Input: a node and the commands that log in. Output: the two halves of a connection on which nothing is outstanding, and which
//! process is at its other end; or what was said against it. Never: retries, or a connection to another process than the one that
//! the board says is served: it may have taken the address of one that died, and be empty.

use super::{busy::is_busy, inbox::Inbox, lane::Lane};
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
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
/// Proves the same, and says which process it is.
const WHO: &[u8] = b"*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n";
/// The field of that answer.
const FIELD: &[u8] = b"\nrun_id:";
/// The longest answer that is read: two paths of the longest length, and the rest.
const LONGEST: usize = 12 * 1024;
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
    /// Another process answers than the one that is served: it is judged, and then it is or it isn't.
    Stranger,
    /// The server refused the login; its error reply.
    Refused(Vec<u8>),
}

/// What has to prove that the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Any answer: nothing of an application's is sent there.
    Answer,
    /// The process that is served, if it is known.
    Process,
}

/// A connection on which nothing is outstanding.
pub struct Upstream {
    /// Its reading half.
    pub reader: Reader,
    /// Its writing half.
    pub writer: Writer,
    /// The process at the other end, as long as it lasts; `None` if it wasn't asked, or didn't say.
    pub process: Option<Box<str>>,
}

/// Connects to `node` and sends `setup`, `replies` of whose answers must come; an error among the first `must` of them refuses.
pub async fn open(
    lane: &Lane,
    node: &NodeAddress,
    setup: &[u8],
    replies: usize,
    must: usize,
    proof: Proof,
) -> Result<Upstream, OpenError> {
    let asks = proof == Proof::Process && lane.seat.view().process.is_some();
    let may_ask = asks && !lane.witness.is_denied(setup);
    let mut upstream = enter(lane, node, setup, replies, must, may_ask).await?;
    if asks && upstream.process.is_none() {
        if may_ask {
            lane.witness.deny(setup);
        }
        upstream.process = Box::pin(lane.witness.ask(lane, node)).await;
    }
    if asks
        && lane.seat.target().is_some_and(|target| target.node == *node)
        && !lane.serves(upstream.process.as_deref())
    {
        // Without an answer nothing is known against it, and nothing for it.
        return Err(if upstream.process.is_some() {
            lane.seat.report(Signal::Stranger, node);
            OpenError::Stranger
        } else {
            OpenError::Lost
        });
    }
    Ok(upstream)
}

/// The same, whoever answers; `who`: asks which process that is.
pub(super) async fn enter(
    lane: &Lane,
    node: &NodeAddress,
    setup: &[u8],
    replies: usize,
    must: usize,
    who: bool,
) -> Result<Upstream, OpenError> {
    let endpoint = lane.seat.endpoint(node);
    let stream = match endpoint.connect(LIMIT).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%node, %error, "no connection");
            match error {
                ConnectError::Refused => lane.seat.report(Signal::Refused, node),
                ConnectError::TimedOut | ConnectError::Silent => lane.seat.report(Signal::TimedOut, node),
                _ => {}
            }
            return Err(OpenError::Connect);
        }
    };
    let (reader, writer) = split(stream);
    let mut upstream = Upstream { reader, writer, process: None };
    match timeout(LIMIT, upstream.log_in(setup, replies, must, who)).await {
        Ok(Ok(())) => Ok(upstream),
        Ok(Err(error)) => {
            match &error {
                OpenError::NotReady => lane.seat.report(Signal::WrongRole, node),
                OpenError::Lost => lane.seat.report(Signal::Reset, node),
                _ => {}
            }
            Err(error)
        }
        Err(_) => {
            lane.seat.report(Signal::TimedOut, node);
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
    pub async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.writer.send(bytes).await
    }

    async fn log_in(&mut self, setup: &[u8], replies: usize, must: usize, who: bool) -> Result<(), OpenError> {
        let setup = [setup, if who { WHO } else { PING }].concat();
        self.send(&setup).await.map_err(|_| OpenError::Lost)?;
        let mut inbox = Inbox::new(LONGEST);
        let mut scanner = ReplyScanner::default();
        let mut seen = 0;
        while seen <= replies {
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
                    if who && seen == replies && reply.kind != ReplyKind::Push {
                        self.process = process(inbox.unused().get(..reply.len).unwrap_or_default())?;
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

/// The process that an answer to [`WHO`] names; `None` if the user may not ask, or the server doesn't say.
fn process(answer: &[u8]) -> Result<Option<Box<str>>, OpenError> {
    if is_busy(answer) {
        // It answers nothing else either until the script has ended.
        return Err(OpenError::Refused(answer.to_vec()));
    }
    let may_not = [&b"-NOPERM"[..], b"-NOAUTH", b"-ERR unknown command"].iter().any(|error| answer.starts_with(error));
    if answer.starts_with(b"-") && !may_not {
        return Err(OpenError::Lost);
    }
    let at = answer.windows(FIELD.len()).position(|window| window == FIELD).map(|at| at + FIELD.len());
    let value = at.and_then(|at| answer.get(at..)?.split(u8::is_ascii_whitespace).next());
    let value = value.and_then(|value| std::str::from_utf8(value).ok()).filter(|value| !value.is_empty());
    Ok(value.map(Into::into))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_found_in_either_protocol_and_a_refusal_names_none() {
        let text = "# Server\r\nredis_version:7.0.15\r\nrun_id:0f3a\r\ntcp_port:1\r\n";
        for answer in [format!("${}\r\n{text}\r\n", text.len()), format!("={}\r\ntxt:{text}\r\n", text.len() + 4)] {
            assert_eq!(process(answer.as_bytes()).expect("an answer").as_deref(), Some("0f3a"));
        }
        assert!(process(b"-NOPERM this user has no permissions\r\n").expect("an answer").is_none());
        assert!(process(b"$12\r\nrun_id_no:1\r\n\r\n").expect("an answer").is_none());
        assert!(matches!(process(b"-BUSY Redis is busy\r\n"), Err(OpenError::Refused(_))));
        assert!(matches!(process(b"-DENIED protected mode\r\n"), Err(OpenError::Lost)));
    }
}
