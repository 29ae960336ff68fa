//! A node's answer: its head is read and written anew, its body passed on, or changed where it names cursors or nodes.
//!
//! Input: bytes of the node. Output: bytes for the client. What has to be looked at whole is gathered within bounds, and passed as it is where
//! it is longer. Never: a guess at where an answer ends.

use super::{
    ask::{Ask, Rewrite},
    cluster::Lease,
    exchange::Trouble,
    left::Left,
    session::Session,
};
use crate::{
    protocol::{
        elastic::{
            cursor::{self, Wrap},
            sniff,
        },
        http::{Body, Limits, ResponseChanges, ResponseHead, begin_chunk},
    },
    proxy::pool::Pool,
};
use std::fmt;

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Head,
    /// The begin of a body that may have to be changed.
    Begin,
    Body,
    Done,
}

/// An answer that is awaited, or on its way.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not the states of one thing")]
pub struct Answer {
    /// The client has some of it already.
    pub delivered: bool,
    /// The node takes another request on its connection.
    pub node_stays: bool,
    /// The client may send another request on its connection.
    pub client_stays: bool,
    stage: Stage,
    status: u16,
    left: Left,
    /// The body goes to the client in chunks of our own.
    chunks: bool,
    /// What there is of the head; while the body's begin is gathered, all of it.
    head: Vec<u8>,
    /// The body's begin, without the framing of chunks.
    begin: Vec<u8>,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            delivered: false,
            node_stays: false,
            client_stays: false,
            stage: Stage::default(),
            status: 0,
            left: Left::Nothing,
            chunks: false,
            head: Vec::new(),
            begin: Vec::new(),
        }
    }
}

impl Answer {
    /// True when all of it was read.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// The server had a trouble of its own, or too much to do.
    pub fn is_error(&self) -> bool {
        self.status >= 500 || self.status == 429
    }

    /// The node has closed its connection: true if that is how its answer ends.
    pub fn ends_with_connection(&mut self) -> bool {
        let ends = self.stage == Stage::Body && matches!(self.left, Left::UntilClose);
        if ends {
            self.stage = Stage::Done;
        }
        ends
    }

    /// Gives its buffers back.
    pub fn clear(&mut self, pool: &Pool) {
        for buffer in [&mut self.head, &mut self.begin] {
            if buffer.capacity() > 0 {
                pool.give(std::mem::take(buffer));
            }
        }
    }
}

impl Session {
    /// Takes the next bytes of an answer.
    pub(super) fn feed(
        &mut self,
        ask: &mut Ask,
        lease: &Lease,
        answer: &mut Answer,
        bytes: &[u8],
    ) -> Result<(), Trouble> {
        if answer.stage != Stage::Head {
            return self.body(ask, lease, answer, bytes);
        }
        if answer.head.is_empty() {
            return self.head(ask, lease, answer, bytes);
        }
        let mut whole = std::mem::take(&mut answer.head);
        whole.extend_from_slice(bytes);
        let result = self.head(ask, lease, answer, &whole);
        self.desk.pool.give(whole);
        result
    }

    /// Reads heads until the final one, which the body follows.
    fn head(&mut self, ask: &mut Ask, lease: &Lease, answer: &mut Answer, mut bytes: &[u8]) -> Result<(), Trouble> {
        while !bytes.is_empty() {
            let (head, used) = match ResponseHead::parse(bytes, ask.method, &Limits::NODE) {
                Ok(Some(found)) => found,
                Ok(None) => {
                    answer.head = self.desk.pool.take();
                    answer.head.extend_from_slice(bytes);
                    return Ok(());
                }
                Err(bad) => return Err(self.nonsense(lease, &bad)),
            };
            let (raw, rest) = bytes.split_at(used);
            if !head.interim() {
                self.begin(ask, lease, answer, &head, raw);
                return self.body(ask, lease, answer, rest);
            }
            if head.status == 100 && std::mem::take(&mut ask.expects) {
                self.outbox.fill(&self.desk.pool).extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Writes the head, or keeps it until the body's begin is known.
    fn begin(&mut self, ask: &Ask, lease: &Lease, answer: &mut Answer, head: &ResponseHead<'_>, raw: &[u8]) {
        if lease.fresh {
            lease.cluster.product.set(head.header("x-elastic-product").is_some());
        }
        answer.status = head.status;
        answer.left = Left::of(head.body);
        answer.node_stays = head.keep_alive;
        // A client that still sends its body can't tell where the next request would begin.
        answer.client_stays =
            ask.keep_alive && ask.left.is_nothing() && !self.is_last() && head.body != Body::UntilClose;
        if matches!(ask.rewrite, Rewrite::No) || head.body == Body::None {
            answer.stage = Stage::Body;
            answer.delivered = true;
            let changes = ResponseChanges { close: !answer.client_stays, ..ResponseChanges::default() };
            head.write(self.outbox.fill(&self.desk.pool), &changes);
        } else {
            answer.stage = Stage::Begin;
            answer.head = self.desk.pool.take();
            answer.head.extend_from_slice(raw);
            answer.begin = self.desk.pool.take();
        }
    }

    fn body(&mut self, ask: &Ask, lease: &Lease, answer: &mut Answer, bytes: &[u8]) -> Result<(), Trouble> {
        let taken = match answer.stage {
            Stage::Begin => answer.left.decode(bytes, &mut answer.begin),
            _ if answer.chunks => self.rechunk(answer, bytes),
            _ => answer.left.pass(bytes),
        };
        let taken = taken.map_err(|bad| self.nonsense(lease, &bad))?;
        if taken < bytes.len() {
            // It has said more than it was asked for: who knows what its next answer belongs to.
            tracing::warn!(node = %lease.node().address, "a node's answer goes on behind its end");
            answer.node_stays = false;
        }
        if answer.stage == Stage::Begin {
            self.look_at_begin(ask, lease, answer);
            return Ok(());
        }
        if !answer.chunks {
            let part = bytes.get(..taken).unwrap_or_default();
            self.outbox.send(part, &self.client.writer, &self.desk.pool).map_err(|_| Trouble::Gone)?;
        }
        if answer.left.is_nothing() {
            answer.stage = Stage::Done;
        }
        Ok(())
    }

    /// Passes part of a chunked body in chunks of our own.
    fn rechunk(&mut self, answer: &mut Answer, bytes: &[u8]) -> Result<usize, crate::protocol::http::BadChunk> {
        let mut data = self.desk.pool.take();
        let taken = answer.left.decode(bytes, &mut data);
        let out = self.outbox.fill(&self.desk.pool);
        put_chunk(out, &data);
        if taken.is_ok() && answer.left.is_nothing() {
            put_end(out);
        }
        self.desk.pool.give(data);
        taken
    }

    /// Changes the begin of a body, if it can be told yet whether and how.
    fn look_at_begin(&mut self, ask: &Ask, lease: &Lease, answer: &mut Answer) {
        let done = answer.left.is_nothing();
        let begin = std::mem::take(&mut answer.begin);
        let rewritten = match &ask.rewrite {
            Rewrite::No => None,
            Rewrite::Cursor => match cursor::wrap(lease.cluster.name.as_str(), &begin, done) {
                Wrap::More => {
                    answer.begin = begin;
                    return;
                }
                Wrap::Changed(changed) => Some(changed),
                Wrap::AsItIs => None,
            },
            Rewrite::Sniff(_) if !done && begin.len() < sniff::MAX_BODY => {
                answer.begin = begin;
                return;
            }
            Rewrite::Sniff(address) => done.then(|| sniff::collapse(&begin, address)).flatten(),
        };
        let body = rewritten.as_deref().unwrap_or(&begin);
        let raw = std::mem::take(&mut answer.head);
        // It was read once before.
        if let Ok(Some((head, _))) = ResponseHead::parse(&raw, ask.method, &Limits::NODE) {
            let added = body.len() as u64 - if done { 0 } else { begin.len() as u64 };
            let content_length = match head.body {
                _ if done => Some(added),
                Body::Length(length) => Some(length + added),
                _ => None,
            };
            answer.chunks = !done && head.body == Body::Chunked;
            let changes = ResponseChanges { close: !answer.client_stays, content_length, chunked: answer.chunks };
            let out = self.outbox.fill(&self.desk.pool);
            head.write(out, &changes);
            if answer.chunks {
                put_chunk(out, body);
            } else {
                out.extend_from_slice(body);
            }
        }
        answer.delivered = true;
        answer.stage = if done { Stage::Done } else { Stage::Body };
        self.desk.pool.give(raw);
        self.desk.pool.give(begin);
    }

    fn nonsense(&self, lease: &Lease, why: &dyn fmt::Display) -> Trouble {
        tracing::warn!(
            service = %self.lane.seat.settings().name, node = %lease.node().address, %why, "a node's answer can't be understood"
        );
        Trouble::Lost
    }
}

fn put_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if !data.is_empty() {
        begin_chunk(out, data.len());
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }
}

fn put_end(out: &mut Vec<u8>) {
    begin_chunk(out, 0);
    out.extend_from_slice(b"\r\n");
}
