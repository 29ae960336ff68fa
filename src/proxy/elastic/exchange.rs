//! One request to a node and its answer back, both at once: an answer may come while the request's body is still on its way.
//!
//! Input: a request, a connection, bytes of both sides in the worker's scratch buffer. Output: the same bytes on the other side, or why the
//! answer was lost. What one side doesn't take waits, and nothing more is read for it meanwhile, so that a slow side slows only its own
//! exchange. Never: a copy of a long body.

use super::{
    answer::Answer,
    ask::{Ask, KEPT},
    cluster::{Lease, Presence},
    handle::{Ending, Owes},
    session::Session,
};
use crate::protocol::{elastic::Retry, http::BadChunk};
use std::{
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Why an exchange has no good end.
#[derive(Debug)]
pub enum Trouble {
    /// The connection was dead before anything of the request was taken.
    Unsent,
    /// The node's answer won't come, or no more of it.
    Lost,
    /// The client has closed its connection.
    Gone,
    /// The client owes something for too long.
    Late,
    /// The request's body is malformed.
    BadBody(BadChunk),
}

impl Session {
    /// One step: as much as can be done without waiting for anything but bytes. Ready when the client has the whole answer.
    pub(super) fn poll_exchange(
        &mut self,
        ask: &mut Ask,
        lease: &mut Lease,
        answer: &mut Answer,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Trouble>> {
        self.handle.register(cx);
        if self.handle.ending() == Ending::Now {
            return Poll::Ready(Err(Trouble::Gone));
        }
        if self.handle.take_late() {
            return Poll::Ready(Err(Trouble::Late));
        }
        if self.is_given_up(ask, lease, answer) {
            return Poll::Ready(Err(Trouble::Lost));
        }
        let mut moved = false;
        loop {
            let up = self.poll_up(ask, lease, cx)?;
            let down = self.poll_down(ask, lease, answer, cx)?;
            if answer.is_done() && self.outbox.is_sent() && !self.client.writer.unflushed() {
                return Poll::Ready(Ok(()));
            }
            if up.is_pending() && down.is_pending() {
                break;
            }
            moved = true;
        }
        let owes = match () {
            () if !self.outbox.is_sent() => Some(Owes::Reading),
            () if ask.left.is_nothing() || ask.expects || lease.deaf || !ask.out.is_sent() => None,
            () => Some(Owes::Body),
        };
        if moved {
            self.handle.owes(owes, self.lane.second());
        } else {
            self.handle.still_owes(owes, self.lane.second());
        }
        Poll::Pending
    }

    /// True when the answer isn't worth waiting for: its node is gone, or is down and somebody else can be asked.
    fn is_given_up(&self, ask: &Ask, lease: &Lease, answer: &Answer) -> bool {
        let other = || {
            let left = self.lane.routed().is_none_or(|routed| !Rc::ptr_eq(&routed, &lease.cluster));
            lease.cluster.has_other(lease.node()) || left && ask.request.retry == Retry::Anywhere
        };
        match lease.node().presence() {
            Presence::Here => false,
            Presence::Down => !answer.delivered && ask.is_repeatable() && other(),
            Presence::Gone => true,
        }
    }

    /// Towards the node: what waits, then the request's body. Pending when nothing can be done now.
    fn poll_up(&mut self, ask: &mut Ask, lease: &mut Lease, cx: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
        if !lease.deaf && (!ask.out.is_sent() || lease.line.writer.unflushed()) {
            match ready!(ask.out.poll_send(&lease.line.writer, cx)) {
                Ok(()) => lease.touched = true,
                Err(_) if !lease.touched && ask.out.is_untouched() => return Poll::Ready(Err(Trouble::Unsent)),
                // It may have answered before it closed.
                Err(_) => lease.deaf = true,
            }
            return Poll::Ready(Ok(()));
        }
        if ask.left.is_nothing() || lease.deaf {
            return if self.is_gone(cx) { Poll::Ready(Err(Trouble::Gone)) } else { Poll::Pending };
        }
        if !self.inbox.is_empty() {
            let mut inbox = std::mem::take(&mut self.inbox);
            let taken = self.more_body(ask, lease, &inbox);
            inbox.drain(..taken.as_ref().copied().unwrap_or_default());
            self.put_back(inbox);
            return Poll::Ready(taken.map(drop));
        }
        let desk = Rc::clone(&self.desk);
        let mut scratch = desk.scratch.borrow_mut();
        let bytes = match ready!(self.client.reader.poll_read(cx, &mut scratch)) {
            Ok(0) | Err(_) => return Poll::Ready(Err(Trouble::Gone)),
            Ok(many) => scratch.get(..many).unwrap_or_default(),
        };
        let taken = self.more_body(ask, lease, bytes)?;
        if let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            self.inbox = desk.pool.take();
            self.inbox.extend_from_slice(rest);
        }
        Poll::Ready(Ok(()))
    }

    /// Passes more of the request's body on. Returns how many of the bytes belong to it.
    fn more_body(&mut self, ask: &mut Ask, lease: &mut Lease, bytes: &[u8]) -> Result<usize, Trouble> {
        let taken = ask.left.pass(bytes).map_err(Trouble::BadBody)?;
        let part = bytes.get(..taken).unwrap_or_default();
        ask.whole &= ask.request.retry != Retry::Never && ask.out.bytes.len() + taken <= KEPT;
        if ask.whole {
            ask.out.bytes.extend_from_slice(part);
        } else if ask.out.send(part, &lease.line.writer, &self.desk.pool).is_err() {
            lease.deaf = true;
        }
        Ok(taken)
    }

    /// Towards the client: what waits, then more of the answer. Pending when nothing can be done now.
    fn poll_down(
        &mut self,
        ask: &mut Ask,
        lease: &mut Lease,
        answer: &mut Answer,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Trouble>> {
        if !self.outbox.is_sent() || self.client.writer.unflushed() {
            let sent = ready!(self.outbox.poll_send(&self.client.writer, cx));
            self.outbox.clear(&self.desk.pool);
            return Poll::Ready(sent.map_err(|_| Trouble::Gone));
        }
        if answer.is_done() {
            return Poll::Pending;
        }
        let desk = Rc::clone(&self.desk);
        let mut scratch = desk.scratch.borrow_mut();
        match ready!(lease.line.reader.poll_read(cx, &mut scratch)) {
            Ok(0) if answer.ends_with_connection() => Poll::Ready(Ok(())),
            Ok(0) | Err(_) => Poll::Ready(Err(Trouble::Lost)),
            Ok(many) => {
                lease.node().heard();
                Poll::Ready(self.feed(ask, lease, answer, scratch.get(..many).unwrap_or_default()))
            }
        }
    }
}
