//! One application's connection: a task that takes one request after the other, has it answered, and says what Pointsman itself has to say.
//!
//! Input: the application's bytes. Output: requests ([`Ask`]) for [`super::exchange`], refusals. While nothing is under way a session owns no
//! buffer. Never: two requests of one connection at once, since answers come in the order of their requests.

use super::{
    answer::Answer,
    ask::{Ask, KEPT},
    cluster::{Lease, Presence},
    exchange::Trouble,
    handle::{Ending, Handle, Owes},
    lane::Lane,
    out::Out,
};
use crate::{
    model::signal::Signal,
    protocol::{
        elastic::{
            Retry, Special, classify,
            refusal::{Form, Refusal},
        },
        http::{Limits, Method, RequestChanges, RequestHead},
    },
    proxy::{
        Arrival, Counted,
        counters::Outcome,
        desk::{Desk, SCRATCH},
        line::Line,
    },
};
use std::{
    future::poll_fn,
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// How long what a client still sends is read and thrown away, so that it gets the answer before its connection ends.
const LINGER: Duration = Duration::from_secs(10);

/// Why there is no answer of a node.
pub enum Stop {
    /// Pointsman says why it isn't served.
    Refuse(Refusal),
    /// Pointsman says that the answer was lost.
    Lost(Refusal),
    /// The connection ends without a word: its client is gone, or has part of an answer.
    Cut,
}

impl Stop {
    /// The request's answer was lost, and it can't be sent again.
    pub(super) fn lost(ask: &Ask) -> Self {
        let cluster = ask.cluster.as_ref().map_or("", |cluster| cluster.name.as_str());
        Self::Lost(Refusal::lost(cluster, &ask.request))
    }
}

/// What comes after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Another one.
    Request,
    /// The end, when the client has read what it was told.
    End,
    /// The end at once.
    Cut,
}

/// One session.
pub struct Session {
    pub(super) lane: Rc<Lane>,
    pub(super) desk: Rc<Desk>,
    pub(super) handle: Rc<Handle>,
    pub(super) client: Line,
    /// The address that the client connected to; none for a Unix socket.
    pub(super) local: Option<SocketAddr>,
    /// What the client sent and nobody has looked at.
    pub(super) inbox: Vec<u8>,
    /// What the client hasn't taken yet.
    pub(super) outbox: Out,
}

/// A session's place in its lane, given back when it ends, whatever ends it.
struct Registered(Rc<Lane>, Rc<Handle>);

impl Drop for Registered {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.counters.count(Outcome::Fault, 1);
        }
        self.0.leave(&self.1);
    }
}

/// Serves one connection. A small task starts the session's own, so that what only the beginning needs is freed.
pub fn greet(lane: Rc<Lane>, arrival: Arrival, counted: [Counted; 2]) {
    tokio::task::spawn_local(async move {
        let local = match &arrival {
            Arrival::Tcp(stream, ..) => stream.local_addr().ok(),
            Arrival::Unix(_) => None,
        };
        let Ok((stream, _)) = arrival.shake_hands().await else { return };
        tokio::task::spawn_local(async move {
            let _counted = counted;
            let (desk, handle) = (Rc::clone(&lane.desk), lane.enter());
            let _registered = Registered(Rc::clone(&lane), Rc::clone(&handle));
            let (client, inbox, outbox) = (Line::new(stream), Vec::new(), Out::default());
            Session { lane, desk, handle, client, local, inbox, outbox }.run().await;
        });
    });
}

impl Session {
    async fn run(mut self) {
        loop {
            let next = match self.next().await {
                Ok(mut ask) => {
                    let next = self.serve(&mut ask).await;
                    ask.out.clear(&self.desk.pool);
                    next
                }
                Err(Stop::Refuse(refusal) | Stop::Lost(refusal)) => {
                    self.lane.counters.count(Outcome::Refused, 1);
                    self.tell(&refusal, Form { close: true, ..Form::default() }).await
                }
                Err(Stop::Cut) => Next::Cut,
            };
            match next {
                Next::Request => {}
                Next::End => return Box::pin(self.linger()).await,
                Next::Cut => return,
            }
        }
    }

    /// Reads the head of the next request, and more of it where its body has to be looked at.
    async fn next(&mut self) -> Result<Ask, Stop> {
        loop {
            let mut inbox = std::mem::take(&mut self.inbox);
            match RequestHead::parse(&inbox, &Limits::CLIENT) {
                Err(bad) => {
                    self.desk.pool.give(inbox);
                    return Err(Stop::Refuse(bad.into()));
                }
                Ok(Some((head, used))) => {
                    self.handle.owes(None, 0);
                    let request = classify(head.method, head.path(), head.query());
                    let mut ask = Ask::new(&head, request);
                    let rest = inbox.get(used..).unwrap_or_default();
                    if request.special == Special::Plain {
                        head.write(ask.out.fill(&self.desk.pool), &RequestChanges::default());
                        let taken = ask.left.pass(rest).map_err(|bad| Stop::Refuse(bad.into()))?;
                        ask.out.bytes.extend_from_slice(rest.get(..taken).unwrap_or_default());
                        ask.whole = ask.out.bytes.len() <= KEPT;
                        inbox.drain(..used + taken);
                        self.put_back(inbox);
                    } else {
                        if !rest.is_empty() {
                            self.inbox = self.desk.pool.take();
                            self.inbox.extend_from_slice(rest);
                        }
                        match Box::pin(self.special(&head, &mut ask)).await {
                            Err(Stop::Refuse(refusal)) => ask.refused = Some(refusal),
                            other => other?,
                        }
                        self.desk.pool.give(inbox);
                    }
                    return Ok(ask);
                }
                Ok(None) => {}
            }
            self.put_back(inbox);
            poll_fn(|cx| self.poll_more(cx)).await?;
        }
    }

    /// What is left of the inbox stays there; an empty one is no longer ours.
    pub(super) fn put_back(&mut self, inbox: Vec<u8>) {
        if inbox.is_empty() {
            self.desk.pool.give(inbox);
        } else {
            self.inbox = inbox;
        }
    }

    /// Reads more of a head, or the first of it.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        self.handle.register(cx);
        match self.handle.ending() {
            Ending::Now => return Poll::Ready(Err(Stop::Cut)),
            Ending::AtSafePoint if self.inbox.is_empty() => return Poll::Ready(Err(Stop::Cut)),
            _ => {}
        }
        if self.handle.take_late() {
            return Poll::Ready(Err(Stop::Refuse(Refusal::too_slow())));
        }
        let owes = (!self.inbox.is_empty()).then_some(Owes::Head);
        self.handle.still_owes(owes, self.lane.second());
        let came = ready!(self.poll_inbox(cx));
        Poll::Ready(if came { Ok(()) } else { Err(Stop::Cut) })
    }

    /// Takes what the client has sent into the inbox; false at its end.
    pub(super) fn poll_inbox(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let desk = Rc::clone(&self.desk);
        let mut scratch = desk.scratch.borrow_mut();
        match ready!(self.client.reader.poll_read(cx, &mut scratch)) {
            Ok(0) | Err(_) => Poll::Ready(false),
            Ok(many) => {
                if self.inbox.capacity() == 0 {
                    self.inbox = desk.pool.take();
                }
                self.inbox.extend_from_slice(scratch.get(..many).unwrap_or_default());
                Poll::Ready(true)
            }
        }
    }

    /// True when the client has closed its connection: nobody waits for the answer any more. What it sends ahead is kept, within bounds.
    pub(super) fn is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        while self.inbox.len() < SCRATCH {
            match self.poll_inbox(cx) {
                Poll::Pending => return false,
                Poll::Ready(true) => {}
                Poll::Ready(false) => return true,
            }
        }
        false
    }

    /// Has the request answered.
    async fn serve(&mut self, ask: &mut Ask) -> Next {
        self.lane.budget.earn();
        if let Some(refusal) = ask.refused.take() {
            return self.stopped(Stop::Refuse(refusal), ask).await;
        }
        loop {
            let admitted = match self.lane.admit(ask, None) {
                Ok(lease) => Ok(lease),
                Err(need) => Box::pin(self.obtain(ask, need)).await,
            };
            let mut lease = match admitted {
                Ok(lease) => lease,
                Err(stop) => return self.stopped(stop, ask).await,
            };
            let mut answer = Answer::default();
            let ended = poll_fn(|cx| self.poll_exchange(ask, &mut lease, &mut answer, cx)).await;
            answer.clear(&self.desk.pool);
            let trouble = match ended {
                Ok(()) => return self.finish(ask, lease, &answer),
                Err(trouble) => trouble,
            };
            if let Err(stop) = self.trouble(&trouble, ask, lease, &answer) {
                return self.stopped(stop, ask).await;
            }
        }
    }

    /// The answer has been given.
    fn finish(&mut self, ask: &Ask, lease: Lease, answer: &Answer) -> Next {
        let now = Instant::now();
        let outcome = if answer.is_error() { Outcome::Error } else { Outcome::Answered };
        self.lane.counters.count(Outcome::Answered, 1);
        if outcome == Outcome::Error {
            self.lane.counters.count(Outcome::Error, 1);
        }
        self.lane.counters.count_request(ask.request.class, outcome);
        let us = now.saturating_duration_since(ask.begun).as_micros();
        self.lane.counters.took(u32::try_from(us).unwrap_or(u32::MAX), 1);
        if answer.node_stays && ask.left.is_nothing() && ask.out.is_sent() && !lease.deaf {
            lease.give_back(now);
        }
        self.handle.owes(None, 0);
        if answer.client_stays { Next::Request } else { Next::End }
    }

    /// What to do when the answer was lost: nothing, and then the request is sent again, or the end of the exchange.
    fn trouble(&mut self, trouble: &Trouble, ask: &mut Ask, lease: Lease, answer: &Answer) -> Result<(), Stop> {
        let cluster = Rc::clone(&lease.cluster);
        let (place, fresh, node) = (lease.place, lease.fresh, Rc::clone(lease.node()));
        drop(lease);
        match trouble {
            Trouble::Late if !answer.delivered => return Err(Stop::Refuse(Refusal::too_slow())),
            Trouble::BadBody(bad) if !answer.delivered => return Err(Stop::Refuse((*bad).into())),
            Trouble::Gone | Trouble::Late | Trouble::BadBody(_) => return Err(Stop::Cut),
            Trouble::Unsent => {}
            Trouble::Lost => {
                tracing::debug!(node = %node.address, "an answer was lost");
                self.lane.report(Signal::Reset, &cluster);
                if answer.delivered {
                    self.count(ask, Outcome::Unknown);
                    return Err(Stop::Cut);
                }
                if !ask.is_repeatable() || !self.lane.budget.spend() {
                    ask.cluster = Some(cluster);
                    return Err(Stop::lost(ask));
                }
                ask.sent = true;
                if ask.request.retry == Retry::SameCluster {
                    ask.cluster = Some(Rc::clone(&cluster));
                }
            }
        }
        self.count(ask, Outcome::Retried);
        // A connection that was kept may have ended for reasons of its own; a new one to a dead node is refused.
        if fresh || node.presence() != Presence::Here {
            ask.note_tried(&cluster, place);
        }
        ask.out.rewind();
        Ok(())
    }

    fn count(&self, ask: &Ask, outcome: Outcome) {
        self.lane.counters.count(outcome, 1);
        self.lane.counters.count_request(ask.request.class, outcome);
    }

    /// Answers the request for the node, if there is something to say.
    async fn stopped(&mut self, stop: Stop, ask: &Ask) -> Next {
        let (refusal, outcome) = match stop {
            Stop::Cut => return Next::Cut,
            Stop::Refuse(refusal) => (refusal, Outcome::Refused),
            Stop::Lost(refusal) => (refusal, Outcome::Unknown),
        };
        self.count(ask, outcome);
        let cluster = ask.cluster.clone().or_else(|| self.lane.routed());
        let close = !ask.keep_alive || !ask.left.is_nothing() || self.is_last();
        let product = cluster.is_some_and(|cluster| cluster.product.get());
        self.tell(&refusal, Form { head: ask.method == Method::Head, close, product }).await
    }

    /// Says something of Pointsman's own.
    async fn tell(&mut self, refusal: &Refusal, form: Form) -> Next {
        refusal.write(self.outbox.fill(&self.desk.pool), &form);
        match poll_fn(|cx| self.poll_told(cx)).await {
            Err(_) => Next::Cut,
            Ok(()) if form.close => Next::End,
            Ok(()) => Next::Request,
        }
    }

    /// Hands the client what it was told.
    pub(super) fn poll_told(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        self.handle.register(cx);
        if self.handle.ending() == Ending::Now || self.handle.take_late() {
            return Poll::Ready(Err(Stop::Cut));
        }
        self.handle.still_owes(Some(Owes::Reading), self.lane.second());
        let sent = ready!(self.outbox.poll_send(&self.client.writer, cx));
        self.handle.owes(None, 0);
        self.outbox.clear(&self.desk.pool);
        Poll::Ready(sent.map_err(|_| Stop::Cut))
    }

    /// True if the answer that is given now is the connection's last one.
    pub(super) fn is_last(&self) -> bool {
        self.lane.is_retiring() || self.handle.ending() != Ending::No
    }

    /// Ends the connection so that the client gets what it was told: what it still sends would reset the connection if it weren't read.
    async fn linger(self) {
        let Self { client, desk, .. } = self;
        let Line { mut reader, writer } = client;
        drop(writer);
        let end = poll_fn(|cx| {
            let mut scratch = desk.scratch.borrow_mut();
            loop {
                match ready!(reader.poll_read(cx, &mut scratch)) {
                    Ok(0) | Err(_) => return Poll::Ready(()),
                    Ok(_) => {}
                }
            }
        });
        // Whoever sends for longer than that has had the time to read.
        let _ = timeout(LINGER, end).await;
    }
}
