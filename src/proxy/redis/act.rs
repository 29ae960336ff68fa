//! What a session has to wait for: logins, another database, an upstream of its own.

use super::{
    ask::Ask,
    busy::{Busy, is_busy},
    client::Ready,
    drive,
    handover::Handover,
    join::join,
    key::Key,
    moving::Move,
    open::{OpenError, Proof, open},
    pinned::Pinned,
    session::{Flow, Session},
    settle::SPOILER,
    spare::Spare,
};
use crate::{
    model::route::Mode,
    protocol::redis::{
        Protocol,
        command::Retry,
        reply,
        session::{Change, Hello, Login as Credentials, Selector, Session as State},
    },
    proxy::counters::Outcome,
};
use std::{
    rc::Rc,
    sync::Arc,
    task::Context,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// A pause before an upstream is tried again.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// The longest one.
const PAUSE_LONGEST: Duration = Duration::from_millis(500);

/// Something that can't be done at once.
pub enum Act {
    /// Get an upstream of its own.
    Pin,
    /// `AUTH` and `HELLO`.
    Login(Box<Login>),
    /// `SELECT`.
    Select(u32),
    /// `SCRIPT KILL` and `FUNCTION KILL`.
    KillScript(Box<[u8]>),
    /// The pinned upstream is gone.
    Lost,
    /// The route moves.
    Move(Move),
}

/// What a client wants to be.
pub struct Login {
    /// New credentials.
    pub login: Option<Arc<Credentials>>,
    /// Set when it came by `HELLO`.
    pub hello: Option<Hello>,
}

impl Session {
    pub(super) async fn act(&mut self, act: Act) {
        let refused = match act {
            Act::Pin => self.pin().await.err(),
            Act::Login(login) => self.log_in(*login).await.err(),
            Act::Select(database) => self.select(database).await.err(),
            Act::KillScript(request) => self.kill_script(&request).await.err(),
            Act::Lost => {
                self.relocate(true).await;
                None
            }
            Act::Move(step) => {
                self.make(step).await;
                None
            }
        };
        if let Some(error) = refused {
            self.client.say(|out| out.extend_from_slice(&error));
            self.client.flush();
        }
    }

    /// Has the server verify credentials on a connection made for that, then joins the shared upstream of what the session now
    /// is. The reply to HELLO is the server's own.
    async fn log_in(&mut self, login: Login) -> Result<(), Box<[u8]>> {
        let mut state = self.state.clone();
        if let Some(login) = &login.login {
            state.apply(Change::Login(Arc::clone(login)));
            self.verify(login).await?;
        }
        let is_hello = login.hello.is_some();
        if let Some(hello) = login.hello {
            state.apply(Change::Hello(hello.protocol, None, hello.name));
        }
        let before = match self.state.selector() {
            Selector::Itself => Selector::Before(self.state.login().cloned()),
            before @ Selector::Before(_) => before.clone(),
        };
        match self.become_state(state.clone()).await {
            Err(error) if state.database() != 0 && error.starts_with(b"-NOPERM ") => {
                // Redis keeps the database over AUTH, whatever the new user may do.
                state.set_selector(before);
                self.become_state(state).await?;
            }
            Err(error) if !is_hello && is_busy(&error) => {
                // It may end the script, and is told that the server is busy otherwise.
                self.state = state;
                self.forget_shared();
            }
            outcome => outcome?,
        }
        if is_hello {
            let mut request = Vec::new();
            let version: &[u8] = if self.state.protocol() == Protocol::Resp3 { b"3" } else { b"2" };
            reply::request(&mut request, &[b"HELLO", version]);
            self.share(Retry::Read, false, &request);
        } else {
            self.client.say(reply::ok);
            self.client.flush();
        }
        Ok(())
    }

    async fn select(&mut self, database: u32) -> Result<(), Box<[u8]>> {
        let mut state = self.state.clone();
        state.apply(Change::Database(database));
        if database == 0 && self.state.selects_as_another() {
            // A connection is there already when it opens. Whether this user may go there, the server says.
            let mut setup = Vec::new();
            let replies = state.open(&mut setup) + 1;
            reply::request(&mut setup, &[b"SELECT", b"0"]);
            self.open_somewhere(&setup, replies, replies, Proof::Process).await?;
        }
        self.become_state(state).await?;
        self.client.say(reply::ok);
        self.client.flush();
        Ok(())
    }

    /// The session becomes this if the server lets it.
    async fn become_state(&mut self, state: State) -> Result<(), Box<[u8]>> {
        let shared = join(&self.lane, Key::of(&state, self.entry));
        match timeout(self.patience(), drive::wait_up(&shared)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err((&*error).into()),
            Err(_) => return Err(no_node()),
        }
        self.state = state;
        self.client.set_shared_id(shared.id());
        self.shared = Some(shared);
        self.scripts = None;
        Ok(())
    }

    async fn verify(&self, login: &Arc<Credentials>) -> Result<(), Box<[u8]>> {
        let mut bare = State::default();
        bare.apply(Change::Login(Arc::clone(login)));
        let mut setup = Vec::new();
        let replies = bare.open(&mut setup);
        match self.open_somewhere(&setup, replies, replies, Proof::Process).await {
            // The login went well, and a script keeps the server from saying who it is: no other process has just come there.
            Err(error) if is_busy(&error) => Ok(()),
            verified => verified.map(drop),
        }
    }

    /// Asks on a connection made for that, and only logged in: while a script runs, the node refuses `SELECT`.
    async fn kill_script(&self, request: &[u8]) -> Result<(), Box<[u8]>> {
        let mut bare = State::default();
        if let Some(login) = self.state.login() {
            bare.apply(Change::Login(Arc::clone(login)));
        }
        let mut setup = Vec::new();
        let replies = bare.open(&mut setup) + 1;
        setup.extend_from_slice(request);
        self.open_somewhere(&setup, replies, replies, Proof::Answer).await?;
        self.lane.counters.count(Outcome::Answered, 1);
        self.client.say(reply::ok);
        self.client.flush();
        Ok(())
    }

    /// Opens an upstream on the route, trying for as long as requests may wait.
    pub(super) async fn open_somewhere(
        &self,
        setup: &[u8],
        replies: usize,
        must: usize,
        proof: Proof,
    ) -> Result<Pinned, Box<[u8]>> {
        let attempts = async {
            let mut pause = PAUSE;
            loop {
                let changed = self.lane.changed.notified();
                if let Some(target) = self.lane.seat.target() {
                    match open(&self.lane, &target.node, setup, replies, must, proof).await {
                        Ok(upstream) => return Ok(Pinned::new(upstream, target.node)),
                        Err(OpenError::Refused(error)) => return Err(error.into_boxed_slice()),
                        Err(_) => {}
                    }
                }
                // Many sessions may wait here for the same node: they come back ever more seldom, or when the route changes.
                // A limit that passes is the end of the pause.
                let _ = timeout(drive::jitter(pause, self.lane.turn.tick()), changed).await;
                pause = (pause * 2).min(PAUSE_LONGEST);
            }
        };
        timeout(self.patience(), attempts).await.unwrap_or_else(|_| Err(no_node()))
    }

    /// How long a request may wait for a node.
    fn patience(&self) -> Duration {
        let limit = self.lane.seat.settings().failover.hold_timeout;
        limit.saturating_sub(self.lane.outage().unwrap_or_default()).max(PAUSE)
    }

    /// Gets an upstream of its own in the session's state.
    async fn pin(&mut self) -> Result<(), Box<[u8]>> {
        let key = Key::of(&self.state, self.entry);
        let spare = self.lane.seat.target().and_then(|target| self.lane.spares.take(&key, &target.node));
        let spare = spare.filter(|spare| self.lane.serves(spare.upstream.process.as_deref()));
        let pinned = match spare {
            Some(spare) => self.reuse(spare),
            None => match self.open_pinned().await {
                Ok(pinned) => pinned,
                Err(error) if is_busy(&error) => {
                    self.busy = Busy::Refused(error);
                    return Ok(());
                }
                Err(error) => {
                    // The request can't be carried, and what follows it may rely on it.
                    self.client.end();
                    return Err(error);
                }
            },
        };
        self.pinned = Some(Box::new(pinned));
        self.lane.pinned.borrow_mut().insert(self.id, Rc::clone(&self.client));
        Ok(())
    }

    fn reuse(&self, spare: Spare) -> Pinned {
        let mut requests = Vec::new();
        let replies = self.state.relabel(&spare.label, &mut requests);
        let mut pinned = Pinned::new(spare.upstream, spare.node);
        for _ in 0..replies {
            pinned.queue.push(&std::mem::take(&mut requests), Ask::OWN);
        }
        pinned
    }

    /// Gives the pinned upstream back when nothing needs it any more.
    fn unpin_if_idle(&mut self) {
        let idle = self
            .pinned
            .as_ref()
            .is_some_and(|pinned| !pinned.fresh && pinned.is_idle() && pinned.forever.is_none() && !self.state.pins());
        if !idle || self.is_streaming() {
            return;
        }
        self.twin = None;
        self.warming = None;
        if let Some(pinned) = self.forget_pinned() {
            let key = Key::of(&self.state, self.entry);
            if !self.shared.as_ref().is_some_and(|shared| shared.key == key) {
                self.forget_shared();
            }
            let node = pinned.node.clone();
            let (label, since) = (self.state.label().clone(), Instant::now());
            self.lane.spares.put(Spare { key, node, label, upstream: pinned.into_upstream(), since });
        }
    }

    pub(super) fn forget_pinned(&mut self) -> Option<Pinned> {
        let pinned = self.pinned.take()?;
        self.lane.pinned.borrow_mut().remove(&self.id);
        self.client.set_ready(Ready::No);
        self.client.set_pinned_in_flight(0);
        self.client.set_pinned_silent(None);
        Some(*pinned)
    }

    /// A command of a transaction was refused: what was queued must not run without it. A command that lacks its argument has
    /// the server answer EXEC with EXECABORT, as it does for what it refuses itself; it is kept with the queue, for a move.
    pub(super) fn spoil(&mut self) -> Flow {
        let Some(pinned) =
            self.pinned.as_mut().filter(|_| matches!(self.lane.seat.mode(), Mode::Open | Mode::ReadOnly))
        else {
            self.client.end();
            return Flow::Last;
        };
        pinned.queue.push(SPOILER, Ask::OWN);
        self.state.queue(SPOILER);
        Flow::Done
    }

    /// Moves bytes on the pinned upstream both ways; an act if something is to be done about it.
    pub(super) fn poll_pinned(&mut self, cx: &mut Context<'_>) -> Option<Act> {
        let streaming = self.is_streaming();
        let pinned = self.pinned.as_mut()?;
        if self.handover == Handover::Done && !pinned.is_blocked() {
            // The next view wakes it.
            return self.wants_move().map(Act::Move);
        }
        let ended = self.lane.seat.serves_nobody()
            || pinned.poll_write(cx).is_err()
                | pinned.poll_read(cx, &self.lane, Some(&self.client), &mut self.state).is_ready()
                | self.client.take_given_up();
        if ended {
            self.client.set_pinned_silent(None);
            return Some(Act::Lost);
        }
        let owed = pinned.is_owed() && !streaming;
        let since = self.client.pinned_silent().filter(|_| !pinned.stirred).or(Some(self.lane.turn.now_us()));
        pinned.stirred = false;
        self.client.set_pinned_silent(since.filter(|_| owed));
        let in_flight = pinned.in_flight();
        self.collect_twin();
        self.poll_twin(cx);
        self.client.set_pinned_in_flight(in_flight);
        if in_flight == 0 {
            self.lane.quiet();
        }
        self.tell_stuck();
        self.unpin_if_idle();
        self.wants_move().map(Act::Move)
    }
}

fn no_node() -> Box<[u8]> {
    let mut error = Vec::new();
    reply::refusal(&mut error, "no node could be reached in time (hold_timeout)");
    error.into_boxed_slice()
}
