//! The steady state: a command to the node, its answer to the application, each by one read and one write where they are small.
//!
//! Input: bytes in the worker's scratch buffer. Output: the same bytes on the other side. What one side doesn't take waits in the session, and
//! nothing more is read for it meanwhile, so that a slow reader slows only itself. Never: a copy of rows.

use super::{
    answering::Answering,
    ask,
    file::FileEnd,
    plan::{Retry, Taken},
    session::{Need, Phase, Session},
};
use crate::{
    protocol::mysql::{
        capability::Capabilities,
        error::{self, ErrPacket},
        packet::{Framer, HEADER},
        response::Found,
        session::tracking::SETUP,
    },
    proxy::counters::Outcome,
};
use std::{
    rc::Rc,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll, ready},
};

impl Session {
    /// Handles commands at the front of `buf` until one is under way. Returns how many bytes are done with.
    pub(super) fn commands(&mut self, buf: &mut [u8]) -> (usize, Result<(), Need>) {
        let mut used = 0;
        while matches!(self.phase, Phase::Idle) && !self.ending {
            let Some(rest) = buf.get_mut(used..).filter(|rest| !rest.is_empty()) else { break };
            match self.command(rest) {
                Taken::Done(many) => used += many,
                Taken::Wait => break,
                Taken::Need(need) => return (used, Err(need)),
            }
        }
        (used, Ok(()))
    }

    /// Sends what `buf` has of the command at its front, which is all of it or its beginning. Returns how many bytes were taken.
    pub(super) fn send(&mut self, buf: &[u8], command: u8, retry: Retry) -> Taken {
        let Some(backend) = &mut self.backend else { return Taken::Need(Need::Backend) };
        let mut framer = Framer::default();
        let found = framer.next(buf);
        let bytes = buf.get(..found.len).unwrap_or_default();
        let mut answering = Answering::new(command, backend.capabilities, retry);
        let answered = !answering.scanner.ended();
        answering.setup = answered && std::mem::take(&mut backend.setup_due);
        let mut both = Vec::new();
        let together = if answering.setup {
            both = self.lane.desk.pool.take();
            ask::query(&mut both, backend.capabilities, SETUP.as_bytes());
            both.extend_from_slice(bytes);
            &*both
        } else {
            bytes
        };
        let Ok(taken) = backend.line.writer.try_write(together) else {
            // Nothing of it was taken: the connection was dead before.
            return Taken::Need(self.lost_idle().unwrap_or(Need::Backend));
        };
        if let Some(rest) = together.get(taken..).filter(|rest| !rest.is_empty()) {
            self.to_node = self.lane.desk.pool.take();
            self.to_node.extend_from_slice(rest);
        }
        self.lane.desk.pool.give(both);
        let answer = answered.then_some(answering);
        let whole = found.ended && self.to_node.is_empty();
        if answer.is_none() {
            self.forget_kept();
        }
        self.phase = match answer {
            Some(answer) if whole => Phase::Answer(answer),
            None if whole => Phase::Idle,
            answer => Phase::Request { framer, ended: found.ended, answer },
        };
        if matches!(self.phase, Phase::Idle) {
            // No answer will say that something is open now.
            self.tell_lane();
        } else {
            self.lane.began(&self.handle);
            if self.state.is_open() {
                self.handle.set_idle(false);
            }
        }
        Taken::Done(found.len)
    }

    /// Passes the rest of a command on.
    pub(super) fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Need>> {
        match ready!(self.poll_to_node(cx)) {
            Ok(()) => {}
            Err(need) => return Poll::Ready(Err(need)),
        }
        let Phase::Request { framer, ended, answer } = &mut self.phase else { return Poll::Ready(Ok(())) };
        if *ended {
            match answer.take() {
                Some(answer) => self.phase = Phase::Answer(answer),
                None => self.idle_again(),
            }
            return Poll::Ready(Ok(()));
        }
        let desk = Rc::clone(&self.lane.desk);
        let mut scratch = desk.scratch.borrow_mut();
        let bytes = match ready!(self.client.reader.poll_read(cx, &mut scratch)) {
            Ok(0) | Err(_) => return Poll::Ready(Err(Need::End)),
            Ok(many) => scratch.get(..many).unwrap_or_default(),
        };
        let framed = framer.next(bytes);
        *ended = framed.ended;
        let (now, later) = bytes.split_at(framed.len.min(bytes.len()));
        self.to_node.extend_from_slice(now);
        self.inbox.extend_from_slice(later);
        Poll::Ready(Ok(()))
    }

    /// Hands the node what it hasn't taken yet.
    pub(super) fn poll_to_node(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Need>> {
        if self.lane.version() != self.seen && self.is_left_behind() {
            return Poll::Ready(Err(Need::Lost));
        }
        let Some(backend) = &self.backend else { return Poll::Ready(Err(Need::Lost)) };
        let writer = &backend.line.writer;
        while !self.to_node.is_empty() || writer.unflushed() {
            match if self.to_node.is_empty() { Ok(0) } else { writer.try_write(&self.to_node) } {
                Ok(0) => {
                    if ready!(writer.poll_ready(cx)).is_err() {
                        return Poll::Ready(Err(Need::Lost));
                    }
                }
                Ok(many) => {
                    self.to_node.drain(..many);
                }
                Err(_) => return Poll::Ready(Err(Need::Lost)),
            }
        }
        self.lane.desk.pool.give(std::mem::take(&mut self.to_node));
        Poll::Ready(Ok(()))
    }

    /// Passes what the node has sent.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Need>> {
        let desk = Rc::clone(&self.lane.desk);
        let mut scratch = desk.scratch.borrow_mut();
        if self.lane.version() != self.seen && self.is_left_behind() {
            return Poll::Ready(Err(Need::Lost));
        }
        let Some(backend) = &mut self.backend else { return Poll::Ready(Err(Need::Lost)) };
        let many = match ready!(backend.line.reader.poll_read(cx, &mut scratch)) {
            Ok(0) | Err(_) => return Poll::Ready(Err(Need::Lost)),
            Ok(many) => many,
        };
        let fresh = scratch.get_mut(..many).unwrap_or_default();
        if self.tail.is_empty() {
            return Poll::Ready(self.answer_behind_setup(fresh));
        }
        let mut whole = std::mem::take(&mut self.tail);
        whole.extend_from_slice(fresh);
        let result = self.answer_behind_setup(&mut whole);
        self.lane.desk.pool.give(whole);
        Poll::Ready(result)
    }

    /// Passes an answer on that may stand behind one of Pointsman's own.
    fn answer_behind_setup(&mut self, buf: &mut [u8]) -> Result<(), Need> {
        let node = self.backend.as_ref().map(|backend| backend.capabilities).unwrap_or_default();
        let start = match &mut self.phase {
            Phase::Answer(answering) => answering.behind_setup(buf, node),
            _ => Ok(Some(0)),
        };
        match start {
            Ok(Some(start)) => return self.answer(buf.get_mut(start..).unwrap_or_default()),
            Ok(None) => {
                self.tail = self.lane.desk.pool.take();
                self.tail.extend_from_slice(buf);
            }
            Err(()) => {
                self.backend = None;
                self.cut("pointsman: the node doesn't tell what changes in a session");
            }
        }
        Ok(())
    }

    /// Passes an answer on, or what there is of it.
    fn answer(&mut self, buf: &mut [u8]) -> Result<(), Need> {
        let Phase::Answer(mut answering) = std::mem::replace(&mut self.phase, Phase::Idle) else { return Ok(()) };
        // `passed` is the end of what the application was given, `at` of what was looked at.
        let (mut at, mut passed) = (0, 0);
        let node = self.backend.as_ref().map(|backend| backend.capabilities).unwrap_or_default();
        let mut infile = false;
        loop {
            let rest = buf.get(at..).unwrap_or_default();
            let step = match answering.scanner.next(rest) {
                Ok(step) => step,
                Err(error) => {
                    tracing::warn!(service = %self.lane.seat.view().settings.name, %error, "a node's answer can't be understood");
                    self.phase = Phase::Answer(answering);
                    return Err(Need::Lost);
                }
            };
            at += step.pass;
            let packet = |len: usize| buf.get(at..at + len).unwrap_or_default();
            let len = match step.found {
                Found::Nothing { .. } => break,
                Found::Ok { len, status } => {
                    if self.state.on_ok(packet(len), status, node) {
                        // What the application gets is shorter, so that it goes out with what stands before it in one write.
                        let shown = self.rewrite(buf.get_mut(at..at + len).unwrap_or_default(), node);
                        self.deliver(buf.get(passed..at + shown).unwrap_or_default(), &mut answering);
                        passed = at + len;
                    }
                    len
                }
                Found::Err { len, number } => {
                    answering.failed = true;
                    if let Some(need) = self.refused(number, packet(len), at + passed, &answering) {
                        self.phase = Phase::Answer(answering);
                        return Err(need);
                    }
                    self.state.on_error(number);
                    len
                }
                Found::Prepared { len, statement, params, .. } => {
                    let packet = packet(len);
                    if let Some(shown) = self.state.on_prepared(statement, params) {
                        self.deliver(buf.get(passed..at).unwrap_or_default(), &mut answering);
                        self.renumber(packet, shown);
                        passed = at + len;
                    }
                    len
                }
                Found::LocalInfile { len } => {
                    infile = true;
                    len
                }
            };
            at += len;
        }
        self.deliver(buf.get(passed..at).unwrap_or_default(), &mut answering);
        let rest = buf.get(at..).unwrap_or_default();
        if answering.scanner.ended() {
            if !rest.is_empty() {
                // It has said more than it was asked for: who knows what its next answer belongs to.
                tracing::warn!(service = %self.lane.seat.view().settings.name, "a node's answer goes on behind its end");
                self.backend = None;
                self.ending = true;
            }
            self.finish(&answering);
        } else {
            if !rest.is_empty() {
                self.tail = self.lane.desk.pool.take();
                self.tail.extend_from_slice(rest);
            }
            self.phase = if infile { Phase::File(FileEnd::default(), answering) } else { Phase::Answer(answering) };
        }
        Ok(())
    }

    /// Gives bytes of an answer to the application.
    fn deliver(&mut self, bytes: &[u8], answering: &mut Answering) {
        if bytes.is_empty() {
            return;
        }
        if !answering.delivered {
            answering.delivered = true;
            self.forget_kept();
        }
        self.give(bytes);
    }

    /// Writes what the application takes now, keeps the rest.
    fn give(&mut self, bytes: &[u8]) {
        let written = if self.outbox.is_empty() {
            self.client.writer.try_write(bytes).unwrap_or_else(|_| {
                self.ending = true;
                bytes.len()
            })
        } else {
            0
        };
        if let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            self.say(|out| out.extend_from_slice(rest));
        }
    }

    /// Changes an OK packet to what the application is to see of it. Returns its new length, which is no longer than before.
    fn rewrite(&mut self, packet: &mut [u8], node: Capabilities) -> usize {
        let mut out = self.lane.desk.pool.take();
        self.state.rewrite(packet, node, &mut out);
        let len = out.len();
        let shorter = packet.get_mut(..len).is_some_and(|place| {
            place.copy_from_slice(&out);
            true
        });
        self.lane.desk.pool.give(out);
        if shorter { len } else { packet.len() }
    }

    /// Gives the answer to a prepare with the id that the application is to use.
    fn renumber(&mut self, packet: &[u8], shown: u32) {
        let mut out = self.lane.desk.pool.take();
        out.extend_from_slice(packet);
        if let Some(id) = out.get_mut(HEADER + 1..HEADER + 5) {
            id.copy_from_slice(&shown.to_le_bytes());
        }
        self.give(&out);
        self.lane.desk.pool.give(out);
    }

    /// An error that means that the route has moved, or will: what is to be done instead of handing it on.
    fn refused(&mut self, number: u16, packet: &[u8], before: usize, answering: &Answering) -> Option<Need> {
        let text = ErrPacket::read(packet.get(HEADER..)?).ok()?.text;
        let first = before == 0 && !answering.delivered;
        let read_only = match number {
            // On the read port a node is read only, and stays so.
            _ if self.lane.seat.board.reads => false,
            1836 => true,
            1290 => text.windows(9).any(|word| word == b"read-only"),
            _ => false,
        };
        if read_only {
            let node = self.backend.as_ref()?.node.clone();
            self.lane.wrong_role(&node);
            if first && !self.kept.is_empty() && !self.state.is_open() && !self.lane.is_run_out() {
                return Some(Need::Elsewhere);
            }
            // A transaction whose node was fenced can't be committed any more.
            let moving = self.lane.gate() != super::lane::Gate::Open || self.lane.seat.view().next.is_some();
            if first && moving && self.state.is_open() && answering.retry != Retry::Never {
                return Some(Need::Lost);
            }
        }
        (number == error::SHUTDOWN.number && first).then_some(Need::Lost)
    }

    /// An answer has ended.
    fn finish(&mut self, answering: &Answering) {
        let counters = &self.lane.counters;
        counters.count(Outcome::Answered, 1);
        if answering.failed {
            counters.count(Outcome::Error, 1);
        }
        counters.took(u32::try_from(answering.begun.elapsed().as_micros()).unwrap_or(u32::MAX), 1);
        self.forget_kept();
        if let Some(victim) = self.victim.take()
            && answering.failed
        {
            // It wasn't killed after all.
            victim.killed.store(false, Relaxed);
        }
        self.idle_again();
    }

    /// The command in flight won't be sent again.
    fn forget_kept(&mut self) {
        if self.kept.capacity() > 0 {
            self.lane.desk.pool.give(std::mem::take(&mut self.kept));
        }
    }

    /// Nothing is under way any more.
    pub(super) fn idle_again(&mut self) {
        self.phase = Phase::Idle;
        self.stalled = false;
        self.tell_lane();
        self.lane.ended(&self.handle);
    }
}
