//! An upstream of one session's own, and the reading of its replies.
//!
//! Input: the session's requests, replies of the server. Output: the same bytes, in order; and the session's state, which is
//! changed as the replies confirm it. Back pressure is the session's own: its replies are read as fast as its client takes
//! them. Never: a decision where requests go.

use super::{
    ask::Ask,
    client::Client,
    inbox::CHUNK,
    lane::Lane,
    open::Upstream,
    queue::Queue,
    retry::Refusal,
    settle::{Shown, drop_silent, judge, settle},
};
use crate::{
    model::name::NodeAddress,
    protocol::redis::{
        reply::null_exec,
        scan::{ReplyError, ReplyKind, ReplyScanner},
        session::Session,
    },
    proxy::{
        conn::{Reader, Writer},
        pool::Pool,
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
    /// The process there, if it is known.
    pub process: Option<Box<str>>,
    /// Why it stays for as long as the session, if it does.
    pub forever: Option<String>,
    /// True while the only reason for that is a command that may not exist at all.
    pub doubtful: bool,
    /// What the node refused for its role or state: asked again, unless something later turns out to have been executed.
    pub refused: Vec<Refusal>,
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
        let Upstream { reader, writer, process } = upstream;
        let (queue, scanner) = (Queue::default(), ReplyScanner::default());
        Self {
            node,
            process,
            forever: None,
            doubtful: false,
            refused: Vec::new(),
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
            if !self.refused.is_empty() && self.queue.is_empty() {
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
                    self.deliver_refusals(client, session);
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
            if !streaming && self.put_aside(lane, found, bytes) {
                continue;
            }
            if found.kind != ReplyKind::Push {
                self.deliver_refusals(client, session);
            }
            let shown = if streaming {
                // It was too large to be anything but an answer, and its beginning is out already.
                settle(&mut self.queue, session, found, b"+");
                Shown::Reply
            } else {
                let doubted = self.doubtful && self.queue.front().is_some_and(|ask| ask.unknown);
                let shown = judge(&mut self.queue, session, lane, found, bytes)?;
                if doubted && !self.queue.front().is_some_and(|ask| ask.unknown) {
                    self.doubtful = false;
                    self.forever.take_if(|_| bytes.starts_with(b"-ERR unknown command"));
                }
                shown
            };
            match (client, shown) {
                (None, _) | (_, Shown::Nothing) => {}
                (Some(client), Shown::Reply) => {
                    client.deliver(bytes, true);
                }
                (Some(client), Shown::LostRace) => client.say(|out| null_exec(out, session.protocol())),
            }
        }
    }

    /// Asks for an answer that ends what was delivered before it.
    pub fn fence(&mut self) {
        self.queue.push(b"*1\r\n$4\r\nPING\r\n", Ask::OWN);
    }

    /// The two halves, when it is given back.
    pub fn into_upstream(self) -> Upstream {
        Upstream { reader: self.reader, writer: self.writer, process: self.process }
    }
}
