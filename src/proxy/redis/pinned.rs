//! An upstream of one session's own, and the reading of its replies.
//!
//! Input: the session's requests, replies of the server. Output: the same bytes, in order; and the session's state, which is
//! changed as the replies confirm it. Back pressure is the session's own: its replies are read as fast as its client takes
//! them. Never: a decision where requests go.

use super::{
    ask::{Answer, Ask},
    client::Client,
    inbox::CHUNK,
    lane::Lane,
    open::Upstream,
    pool::Pool,
    queue::Queue,
    retry::is_passing,
};
use crate::{
    model::name::NodeAddress,
    protocol::redis::{
        Protocol,
        command::Retry,
        scan::{Reply, ReplyError, ReplyKind, ReplyScanner},
        session::{Change, Session},
    },
    proxy::{
        conn::{Reader, Writer},
        counters::Outcome,
    },
};
use std::{
    io,
    task::{Context, Poll, ready},
};

/// The longest incomplete reply that is kept before its beginning is handed on.
const STREAM: usize = 8 * 1024;
/// Unwritten request bytes past which the client isn't read.
const FULL: usize = 64 * 1024;
/// Unanswered requests past which the client isn't read.
const MANY: usize = 1024;
/// Unanswered request bytes that are kept for sending them again.
const KEEP: usize = 256 * 1024;

/// A session's own upstream.
pub struct Pinned {
    /// Where it is connected to.
    pub node: NodeAddress,
    /// Why it stays for as long as the session, if it does.
    pub forever: Option<String>,
    /// True while the only reason for that is a command that may not exist at all.
    pub doubtful: bool,
    /// The error by which the node refused the only unanswered request for its role or state; that one is asked again.
    pub refused: Option<Box<[u8]>>,
    /// True when bytes went or came since this was last looked at.
    pub stirred: bool,
    /// True until the session has asked something.
    pub fresh: bool,
    /// What was asked and not answered.
    pub queue: Queue<Ask>,
    reader: Reader,
    writer: Writer,
    /// The beginning of a reply whose end hasn't come: an idle upstream owns no buffer.
    rest: Vec<u8>,
    scanner: ReplyScanner,
}

/// An upstream on the next node, warmed up beside the one in use.
pub struct Twin {
    /// The upstream.
    pub pinned: Pinned,
    /// The commands that brought it into the session's state.
    pub bytes: Box<[u8]>,
}

impl Pinned {
    /// A connection on which nothing is outstanding.
    pub fn new(upstream: Upstream, node: NodeAddress) -> Self {
        let Upstream { reader, writer } = upstream;
        let (queue, scanner) = (Queue::default(), ReplyScanner::default());
        Self {
            node,
            forever: None,
            doubtful: false,
            refused: None,
            stirred: true,
            fresh: true,
            queue,
            reader,
            writer,
            rest: Vec::new(),
            scanner,
        }
    }

    /// True when the client should not be read for now.
    pub fn is_full(&self) -> bool {
        self.queue.unwritten().len() > FULL || self.queue.len() > MANY
    }

    /// True when nothing is going on.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.rest.is_empty() && self.queue.unwritten().is_empty()
    }

    /// Requests in flight that a switch has to wait for: those that block may be given up and asked again.
    pub fn in_flight(&self) -> usize {
        self.queue.entries().filter(|ask| ask.is_in_flight()).count()
    }

    /// True when the oldest request blocks.
    pub fn is_blocked(&self) -> bool {
        self.queue.front().is_some_and(|ask| ask.block.is_some())
    }

    /// True when the server owes an answer that it could give at once. What is unknown may block for as long as it likes.
    pub fn is_owed(&self) -> bool {
        self.in_flight() > 0 && !self.is_blocked() && self.forever.is_none()
    }

    /// True when the current reply's beginning was delivered and its end wasn't.
    pub fn is_cut(&self) -> bool {
        self.scanner.streaming()
    }

    /// Writes what the socket takes.
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            while !self.queue.unwritten().is_empty() {
                match self.writer.try_write(self.queue.unwritten())? {
                    0 => break,
                    many => {
                        self.stirred = true;
                        self.queue.wrote(many);
                    }
                }
            }
            if self.queue.weight() > KEEP {
                self.queue.forget_written();
            }
            if self.queue.unwritten().is_empty() && !self.writer.unflushed() {
                drop_silent(&mut self.queue);
                return Ok(());
            }
            match self.writer.poll_ready(cx)? {
                Poll::Ready(()) => {}
                Poll::Pending => return Ok(()),
            }
        }
    }

    /// Reads replies as long as there are some and the client takes them. Ready only with the end of the connection.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        lane: &Lane,
        client: Option<&Client>,
        session: &mut Session,
    ) -> Poll<io::Error> {
        loop {
            if let Some(client) = client
                && client.waiting() >= CHUNK
            {
                match client.poll_flush(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(_)) => client.close(),
                    Poll::Ready(Ok(())) => {}
                }
            }
            if let Err(error) = ready!(self.read_once(cx, lane, client, session)) {
                return Poll::Ready(error);
            }
            if let Some(client) = client {
                client.flush();
            }
            if self.refused.is_some() {
                return Poll::Ready(io::ErrorKind::Unsupported.into());
            }
        }
    }

    /// Reads into the worker's scratch, behind what was kept, and keeps what can't be handed on yet.
    fn read_once(
        &mut self,
        cx: &mut Context<'_>,
        lane: &Lane,
        client: Option<&Client>,
        session: &mut Session,
    ) -> Poll<io::Result<()>> {
        let mut scratch = lane.turn.scratch.borrow_mut();
        let kept = self.rest.len();
        let Some((head, room)) = scratch.split_at_mut_checked(kept) else {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        };
        let many = ready!(self.reader.poll_read(cx, room))?;
        if many == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.stirred = true;
        head.copy_from_slice(&self.rest);
        let bytes = scratch.get(..kept + many).unwrap_or_default();
        let used = self.replies(bytes, lane, client, session).map_err(|error| {
            // Nothing of this connection can be read any more.
            io::Error::new(io::ErrorKind::InvalidData, error)
        })?;
        self.keep(bytes.get(used..).unwrap_or_default(), &lane.turn.pool);
        Poll::Ready(Ok(()))
    }

    fn keep(&mut self, rest: &[u8], pool: &Pool) {
        self.rest.clear();
        if rest.is_empty() {
            pool.give(std::mem::take(&mut self.rest));
            return;
        }
        if self.rest.capacity() == 0 {
            self.rest = pool.take();
        }
        self.rest.extend_from_slice(rest);
    }

    /// Hands on the replies in `buf`; returns how many bytes were used.
    fn replies(
        &mut self,
        buf: &[u8],
        lane: &Lane,
        client: Option<&Client>,
        session: &mut Session,
    ) -> Result<usize, ReplyError> {
        let mut used = 0;
        loop {
            let unused = buf.get(used..).unwrap_or_default();
            let streaming = self.scanner.streaming();
            let Some(found) = self.scanner.next(unused)? else {
                if unused.len() >= STREAM {
                    let many = self.scanner.take(unused.len());
                    if let Some(client) = client {
                        client.deliver(unused.get(..many).unwrap_or_default(), true);
                    }
                    used += many;
                }
                return Ok(used);
            };
            let bytes = unused.get(..found.len).unwrap_or_default();
            used += found.len;
            if self.queue.len() == 1
                && self.queue.front().is_some_and(Ask::may_be_asked_again)
                && is_passing(lane, found, bytes)
            {
                lane.wrong_role();
                self.refused = Some(bytes.into());
                return Ok(used);
            }
            let shown = if streaming {
                // It was too large to be anything but an answer, and its beginning is out already.
                settle(&mut self.queue, session, found, b"+");
                true
            } else {
                let doubted = self.doubtful && self.queue.front().is_some_and(|ask| ask.unknown);
                let shown = judge(&mut self.queue, session, lane, found, bytes)?;
                if doubted && !self.queue.front().is_some_and(|ask| ask.unknown) {
                    self.doubtful = false;
                    self.forever.take_if(|_| bytes.starts_with(b"-ERR unknown command"));
                }
                shown
            };
            if let Some(client) = client.filter(|_| shown) {
                client.deliver(bytes, true);
            }
        }
    }

    /// Asks for an answer that ends what was delivered before it.
    pub fn fence(&mut self) {
        self.queue.push(b"*1\r\n$4\r\nPING\r\n", Ask::OWN);
    }

    /// The two halves, when it is given back.
    pub fn into_upstream(self) -> Upstream {
        Upstream { reader: self.reader, writer: self.writer }
    }
}

/// Finds what a reply belongs to, and says whether the client gets it.
fn judge(
    queue: &mut Queue<Ask>,
    session: &mut Session,
    lane: &Lane,
    reply: Reply,
    bytes: &[u8],
) -> Result<bool, ReplyError> {
    drop_silent(queue);
    let verb = verb(bytes);
    let confirms = verb.is_some_and(|verb| verb.ends_with(b"subscribe"));
    if confirms && let Some(shown) = confirmed(queue, session) {
        return Ok(shown);
    }
    // With `CLIENT REPLY OFF` Redis 7.0.15, 8.0.6 and Valkey 9.1 confirm subscriptions all the same, though nothing waits for it;
    // Redis 6.0.16 sends nothing, not even messages (measured).
    let told = confirms || verb.is_some_and(|verb| verb.ends_with(b"message"));
    let unasked = reply.kind == ReplyKind::Push
        || (told && session.protocol() == Protocol::Resp2 && session.subscribed())
        || (confirms && queue.is_empty())
        || (session.monitoring() && matches!(bytes, [b'+', b'0'..=b'9', ..]));
    if unasked {
        return Ok(true);
    }
    if reply.kind != ReplyKind::Error && queue.front().is_some_and(|ask| ask.pauses) {
        lane.note_pause(queue.front_bytes());
    }
    if queue.front().is_some_and(|ask| !ask.is_own()) {
        lane.counters.count(Outcome::Answered, 1);
        lane.counters.count(Outcome::Error, u64::from(reply.kind == ReplyKind::Error));
    }
    settle(queue, session, reply, bytes).ok_or(ReplyError::Length)
}

/// Takes out what was written and gets no answer.
fn drop_silent(queue: &mut Queue<Ask>) {
    while queue.front().is_some_and(|ask| ask.answer == Answer::Silence) && queue.answered().is_some() {}
}

/// One confirmation of a (un)subscription came. `None` if nobody asked for it.
fn confirmed(queue: &mut Queue<Ask>, session: &mut Session) -> Option<bool> {
    let ask = queue.front_mut()?;
    let (left, shown) = match &mut ask.answer {
        Answer::Confirmations(left) => (left, true),
        Answer::SwallowedConfirmations(left) => (left, false),
        _ => return None,
    };
    if *left == 0 {
        // UNSUBSCRIBE from everything: one for each, or one that says that there was nothing.
        *left = match ask.change.as_deref() {
            Some(Change::Unsubscribe(kind, _)) => session.channels(*kind).max(1),
            _ => 1,
        };
    }
    *left -= 1;
    if *left == 0 {
        let ask = queue.answered()?;
        if let Some(change) = ask.change {
            session.apply(*change);
        }
    }
    Some(shown)
}

/// Takes out the request that was answered, and notes what it changed. `None` if there is none.
fn settle(queue: &mut Queue<Ask>, session: &mut Session, reply: Reply, bytes: &[u8]) -> Option<bool> {
    let own = queue.front().is_some_and(Ask::is_own);
    if !own && session.in_multi() && bytes.starts_with(b"+QUEUED") {
        session.queue(queue.front_bytes());
    }
    if bytes.starts_with(b"-UNBLOCKED force")
        && let Some(ask) = queue.front_mut().filter(|ask| ask.block.is_some())
    {
        // The node was demoted; it closes the connection next, and the request, which took nothing, is issued again elsewhere.
        ask.retry = Retry::Read;
        return Some(false);
    }
    let ask = queue.answered()?;
    let failed = reply.kind == ReplyKind::Error;
    match ask.change.map(|change| *change) {
        Some(Change::Exec)
            if (failed || bytes.starts_with(b"*-1") || bytes.starts_with(b"_"))
            // EXEC without MULTI leaves everything as it was; a WATCH outlives it.
            && session.in_multi() =>
        {
            session.exec_failed();
        }
        Some(change) if !failed => session.apply(change),
        _ => {}
    }
    Some(ask.answer != Answer::Swallowed)
}

/// The first word of an array or push whose first element is a bulk string: what kind of message it is.
fn verb(bytes: &[u8]) -> Option<&[u8]> {
    let [b'*' | b'>', b'2'..=b'4', b'\r', b'\n', b'$', rest @ ..] = bytes else { return None };
    let end = rest.iter().take(4).position(|&byte| byte == b'\n')?;
    let word = rest.get(end + 1..)?;
    word.split(|&byte| byte == b'\r').next()
}
