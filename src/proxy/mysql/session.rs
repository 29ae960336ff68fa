//! One application's session: a task that passes commands to its node and answers back.
//!
//! Input: the application's bytes, the node's, the steward's orders. Output: the same bytes on the other side. [`Session::poll`] does all that
//! needs no waiting but for bytes, in one step; what needs more (a connection, a move, a login) is done between two such steps, boxed, so that
//! an idle session is small. Never: two commands in flight, or bytes kept while nothing is under way.

use super::{
    answering::Answering,
    door::{Guest, Login},
    file::FileEnd,
    handle::{Ending, Handle},
    lane::Lane,
    local,
    open::Backend,
    state::State,
    threads::Thread,
};
use crate::{
    protocol::mysql::{
        error::{self, Code},
        packet::Framer,
    },
    proxy::{Counted, counters::Outcome, line::Line},
};
use std::{
    future::poll_fn,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

/// What an application is told whose transaction was idle for too long.
const IDLE: &str = "pointsman: the session was ended and its transaction rolled back, because it was idle for longer than idle_in_transaction";

/// What [`Session::poll`] can't do itself.
#[derive(Debug)]
pub enum Need {
    /// A connection to where the route leads, for the command at the front of the inbox.
    Backend,
    /// The connection has to be brought where the route leads, though nobody waits for it.
    Move,
    /// The connection to the node broke while a command was in flight.
    Lost,
    /// The node refused the command in flight because of its role or state; nothing of it was executed or delivered.
    Elsewhere,
    /// The command at the front of the inbox is carried out step by step.
    Aside(Aside),
    /// A pause before the command at the front of the inbox.
    Pause(Duration),
    /// The session ends.
    End,
}

/// Commands that aren't simply passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    /// `COM_CHANGE_USER`.
    ChangeUser,
    /// `COM_RESET_CONNECTION`.
    Reset,
    /// Session tracking is turned on again: no command, but before the next one.
    Track,
    /// A prepared statement is prepared again on this connection first.
    Prepare(u32),
}

/// What is under way.
pub enum Phase {
    /// Nothing.
    Idle,
    /// A command that didn't fit one step is on its way to the node.
    Request {
        /// Where in it we are.
        framer: Framer,
        /// Its last byte was read.
        ended: bool,
        /// What will answer it; none for a command that isn't answered.
        answer: Option<Answering>,
    },
    /// The node's answer is awaited, or on its way.
    Answer(Answering),
    /// The application's file is on its way to the node; then the answer goes on.
    File(FileEnd, Answering),
}

/// A session's place in its lane, given back when it ends, whatever ends it.
pub(super) struct Registered(Rc<Lane>, Rc<Handle>);

impl Drop for Registered {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.counters.count(Outcome::Fault, 1);
        }
        self.0.leave(&self.1);
    }
}

/// One session.
pub struct Session {
    pub(super) lane: Rc<Lane>,
    pub(super) handle: Rc<Handle>,
    pub(super) client: Line,
    pub(super) backend: Option<Backend>,
    /// The lane's version when the connection was found to be where the route leads.
    pub(super) seen: u64,
    pub(super) phase: Phase,
    /// What the application sent and nobody has looked at, or whose time hasn't come.
    pub(super) inbox: Vec<u8>,
    /// The inbox was looked at: more bytes or another route are needed.
    pub(super) stalled: bool,
    /// What the application hasn't taken yet.
    pub(super) outbox: Vec<u8>,
    /// What the node hasn't taken yet.
    pub(super) to_node: Vec<u8>,
    /// The command in flight, whole, so that it can be sent again.
    pub(super) kept: Vec<u8>,
    /// Whom the command in flight kills.
    pub(super) victim: Option<Arc<Thread>>,
    /// The beginning of a packet of the node that has to be looked at whole.
    pub(super) tail: Vec<u8>,
    /// Ends when the application has taken what it is owed.
    pub(super) ending: bool,
    pub(super) state: State,
    registered: Option<Registered>,
}

/// Begins a session in a task of its own.
pub fn begin(lane: Rc<Lane>, guest: Guest, counted: [Counted; 2]) {
    tokio::task::spawn_local(async move {
        let _counted = counted;
        if let Some(mut session) = Box::pin(Session::enter(lane, guest)).await {
            session.run().await;
        }
    });
}

impl Session {
    /// Logs in at the node as the guest and tells it how that ended.
    async fn enter(lane: Rc<Lane>, guest: Guest) -> Option<Self> {
        let Guest { line, peer, seat, login, schema, sequence, unread, owed: mut out } = guest;
        let login: Rc<Login> = Rc::new(login);
        let handle = Rc::new(Handle::new(peer, seat, Rc::clone(&login)));
        let mut session = Self {
            state: State::new(&login, schema.as_deref()),
            lane,
            handle,
            client: line,
            backend: None,
            seen: 0,
            phase: Phase::Idle,
            inbox: unread,
            stalled: false,
            outbox: Vec::new(),
            to_node: Vec::new(),
            kept: Vec::new(),
            victim: None,
            tail: Vec::new(),
            ending: false,
            registered: None,
        };
        session.lane.enter(&session.handle);
        session.registered = Some(Registered(Rc::clone(&session.lane), Rc::clone(&session.handle)));
        let entered = session.connect(true).await;
        let welcome = match entered {
            Ok(()) => {
                let status = session.backend.as_ref().map_or(0, |backend| backend.status);
                local::ok(&mut out, sequence, status);
                true
            }
            Err(trouble) => {
                let (code, text) = trouble.told(&session.lane);
                local::error(&mut out, sequence, code, &text);
                false
            }
        };
        let told = tokio::time::timeout(super::door::LIMIT, session.client.send(&out)).await;
        (welcome && matches!(told, Ok(Ok(())))).then_some(session)
    }

    async fn run(&mut self) {
        loop {
            let need = poll_fn(|cx| self.poll(cx)).await;
            self.stalled = false;
            let go_on = match need {
                Need::End => false,
                Need::Pause(pause) => {
                    tokio::time::sleep(pause).await;
                    self.state.paused = true;
                    true
                }
                other => Box::pin(self.serve(other)).await,
            };
            if !go_on {
                break;
            }
        }
    }

    /// Does what needs waiting. Returns false when the session ends.
    async fn serve(&mut self, need: Need) -> bool {
        match need {
            Need::Backend => match self.connect(false).await {
                Ok(()) => true,
                Err(trouble) => self.trouble(&trouble),
            },
            Need::Move => self.move_along().await,
            Need::Lost => self.lost(),
            Need::Elsewhere => self.again_elsewhere().await,
            Need::Aside(aside) => self.aside(aside).await,
            Need::Pause(_) | Need::End => false,
        }
    }

    /// One step: as much as can be done without waiting for anything but bytes.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Need> {
        self.handle.register(cx);
        if self.handle.ending() == Ending::Now {
            return Poll::Ready(Need::End);
        }
        loop {
            if !self.outbox.is_empty() || self.client.writer.unflushed() {
                match ready!(self.poll_outbox(cx)) {
                    Ok(()) => {}
                    Err(need) => return Poll::Ready(need),
                }
            }
            if self.ending {
                return Poll::Ready(Need::End);
            }
            let step = match self.phase {
                Phase::Idle => self.poll_idle(cx),
                Phase::Request { .. } => self.poll_request(cx),
                Phase::Answer(_) => self.poll_answer(cx),
                Phase::File(..) => self.poll_file(cx),
            };
            match ready!(step) {
                Ok(()) => {}
                Err(need) => return Poll::Ready(need),
            }
        }
    }

    /// Hands the application what it is owed. Nothing more is read for it meanwhile.
    fn poll_outbox(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Need>> {
        while !self.outbox.is_empty() || self.client.writer.unflushed() {
            let written = if self.outbox.is_empty() { Ok(0) } else { self.client.writer.try_write(&self.outbox) };
            match written {
                Ok(0) => {
                    if ready!(self.client.writer.poll_ready(cx)).is_err() {
                        return Poll::Ready(Err(Need::End));
                    }
                }
                Ok(many) => {
                    self.outbox.drain(..many);
                }
                Err(_) => return Poll::Ready(Err(Need::End)),
            }
        }
        self.lane.desk.pool.give(std::mem::take(&mut self.outbox));
        Poll::Ready(Ok(()))
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Need>> {
        if self.handle.ending() == Ending::Idle {
            // As servers say it: as no command's answer.
            self.say(|out| local::error(out, 0, error::IDLE_TIMEOUT, IDLE));
            self.ending = true;
            return Poll::Ready(Ok(()));
        }
        if self.handle.ending() != Ending::No && !(self.state.is_open() && self.backend.is_some()) {
            return Poll::Ready(Err(Need::End));
        }
        if self.lane.version() != self.seen
            && let Err(need) = self.look_around()
        {
            return Poll::Ready(Err(need));
        }
        if self.state.take_setup_due() && self.backend.is_some() {
            return Poll::Ready(Err(Need::Aside(Aside::Track)));
        }
        if let Some(need) = self.watch_backend(cx) {
            return Poll::Ready(Err(need));
        }
        if !self.inbox.is_empty() && !self.stalled {
            return Poll::Ready(self.take_inbox());
        }
        if !self.inbox.is_empty() && self.is_held() {
            // Its command waits for the route: what follows may wait in the socket.
            return Poll::Pending;
        }
        let desk = Rc::clone(&self.lane.desk);
        let mut scratch = desk.scratch.borrow_mut();
        match ready!(self.client.reader.poll_read(cx, &mut scratch)) {
            Ok(0) | Err(_) => Poll::Ready(Err(Need::End)),
            Ok(many) => Poll::Ready(self.take(scratch.get_mut(..many).unwrap_or_default())),
        }
    }

    /// Handles what was read, and keeps what can't be handled yet.
    fn take(&mut self, bytes: &mut [u8]) -> Result<(), Need> {
        if !self.inbox.is_empty() {
            self.inbox.extend_from_slice(bytes);
            return self.take_inbox();
        }
        let (used, result) = self.commands(bytes);
        if let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            self.inbox = self.lane.desk.pool.take();
            self.inbox.extend_from_slice(rest);
        }
        self.stalled = matches!(self.phase, Phase::Idle);
        result
    }

    fn take_inbox(&mut self) -> Result<(), Need> {
        let mut inbox = std::mem::take(&mut self.inbox);
        let (used, result) = self.commands(&mut inbox);
        inbox.drain(..used);
        self.stalled = matches!(self.phase, Phase::Idle);
        if inbox.is_empty() {
            self.lane.desk.pool.give(inbox);
        } else {
            self.inbox = inbox;
        }
        result
    }

    /// Sees an idle connection to the node end. Nothing is to be said on it, so that a word is a goodbye as well.
    fn watch_backend(&mut self, cx: &mut Context<'_>) -> Option<Need> {
        let backend = self.backend.as_mut()?;
        let Poll::Ready(read) = backend.line.reader.poll_read(cx, &mut [0; 64]) else { return None };
        tracing::debug!(node = %backend.node, ?read, "a node closed an idle session's connection");
        self.lost_idle()
    }

    /// Tells the application something of Pointsman's own as the answer to its command.
    pub(super) fn refuse(&mut self, code: Code, text: &str) {
        self.lane.counters.count(Outcome::Refused, 1);
        self.say(|out| local::error(out, 1, code, text));
    }

    /// Writes to the application.
    pub(super) fn say(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        if self.outbox.capacity() == 0 {
            self.outbox = self.lane.desk.pool.take();
        }
        fill(&mut self.outbox);
    }

    /// The command at the front of the inbox won't be served.
    pub(super) fn drop_command(&mut self) {
        let mut framer = Framer::default();
        let found = framer.next(&self.inbox);
        self.inbox.drain(..found.len);
        if !found.ended {
            // The rest of it hasn't arrived, and isn't waited for.
            self.ending = true;
        }
    }

    /// What the application is told that waits for a connection. Always true: the session ends when it was told.
    pub(super) fn trouble(&mut self, trouble: &super::moving::Trouble) -> bool {
        let (code, text) = trouble.told(&self.lane);
        if !self.inbox.is_empty() {
            self.refuse(code, &text);
            self.drop_command();
        }
        self.ending |= trouble.ends();
        true
    }

    /// It was killed by its id.
    pub(super) fn is_killed(&self) -> bool {
        self.handle.seat.borrow().thread.killed.load(Relaxed)
    }

    /// Ends with an error that drivers count as a lost connection.
    pub(super) fn cut(&mut self, text: &str) {
        self.lane.counters.count(Outcome::Unknown, 1);
        self.say(|out| local::error(out, 1, error::LINK_FAILURE, text));
        self.ending = true;
    }
}
