//! Getting a session to where the route leads: the first time, after a loss, and when the route moves.
//!
//! Input: the lane's view, the session's state. Output: a connection that is in that state. Never: a move of a session whose state isn't wholly
//! known, or in the middle of something.

use super::{
    ask,
    handle::Ending,
    open::{self, Backend, OpenError},
    session::{Need, Session},
    wait,
};
use crate::{
    model::{name::NodeAddress, route::Mode, signal::StuckSession},
    protocol::mysql::{
        capability::command as com,
        error::{self, Code},
        packet,
    },
};
use std::{sync::atomic::Ordering::Relaxed, time::Duration};
use tokio::time::timeout;

/// How long an answer is awaited that only makes certain what is known already.
const BRIEFLY: Duration = Duration::from_millis(200);

/// Why there is no connection for a session.
#[derive(Debug)]
pub enum Trouble {
    /// It took longer than commands may wait, or the service is closed.
    RunOut,
    /// The node doesn't let it in.
    Refused(Code, String),
    /// The session's state can't be had there.
    Unmovable(String),
    /// The session has to end.
    Ended,
}

impl Trouble {
    /// What the application is told.
    pub fn told(&self, lane: &super::Lane) -> (Code, String) {
        match self {
            Self::RunOut => (error::SHUTDOWN, wait::excuse(lane)),
            Self::Refused(code, text) => (*code, text.clone()),
            Self::Unmovable(why) => {
                (error::LINK_FAILURE, format!("pointsman: the session can't go on elsewhere: {why}"))
            }
            Self::Ended => (error::SHUTDOWN, "pointsman: the session was ended".to_owned()),
        }
    }

    /// True if the session ends by it.
    pub fn ends(&self) -> bool {
        !matches!(self, Self::RunOut)
    }
}

impl Session {
    /// Gets a connection to where the route leads, in the session's state. `first`: in the schema of the login, whose absence refuses it.
    pub(super) async fn connect(&mut self, first: bool) -> Result<(), Trouble> {
        self.lane.outage.waits(true);
        let result = self.try_until_connected(first).await;
        self.lane.outage.waits(false);
        result
    }

    async fn try_until_connected(&mut self, first: bool) -> Result<(), Trouble> {
        loop {
            if self.handle.ending() != Ending::No || self.is_killed() {
                return Err(Trouble::Ended);
            }
            if self.lane.seat.mode() == Mode::Closed || self.lane.is_run_out() {
                return Err(Trouble::RunOut);
            }
            if self.lane.seat.mode() == Mode::Hold {
                self.lane.park(&self.handle);
                wait::for_change(&self.lane).await;
                continue;
            }
            let Some(target) = self.lane.seat.target() else {
                self.lane.outage.began();
                wait::for_change(&self.lane).await;
                continue;
            };
            let version = self.lane.version();
            match self.backend_on(&target.node, first).await {
                Ok(backend) if self.lane.seat.leads_to(&target.node) => {
                    self.handle.seat.borrow().thread.at_node.store(backend.thread.into(), Relaxed);
                    self.backend = Some(backend);
                    self.seen = version;
                    self.lane.is_well();
                    return Ok(());
                }
                // The route has moved on meanwhile.
                Ok(_) => {}
                Err(OpenError::Refused(code, text)) if first => return Err(Trouble::Refused(code, text)),
                Err(OpenError::Refused(code, text)) => {
                    return Err(Trouble::Unmovable(format!("{} {text}", code.number)));
                }
                Err(_) => {
                    self.lane.outage.began();
                    wait::for_change(&self.lane).await;
                }
            }
        }
    }

    /// A connection to that node, in the session's state.
    async fn backend_on(&mut self, node: &NodeAddress, first: bool) -> Result<Backend, OpenError> {
        let login = self.handle.login.borrow().clone();
        if first {
            return open::begin(&self.lane, node, &login, self.state.schema()).await;
        }
        if let Some(mut twin) = self.handle.take_twin(node)
            && self.replay(&mut twin).await.is_ok()
        {
            return Ok(twin);
        }
        let mut backend = open::open(&self.lane, node, &login).await?;
        self.replay(&mut backend).await?;
        Ok(backend)
    }

    /// Brings a fresh connection into the session's state.
    async fn replay(&mut self, backend: &mut Backend) -> Result<(), OpenError> {
        let (mut bytes, mut commands) = (Vec::new(), Vec::new());
        self.state.replay(backend.capabilities, &mut bytes, &mut commands);
        if commands.is_empty() {
            return Ok(());
        }
        for answer in ask::say(backend, &bytes, &commands).await? {
            answer?;
        }
        Ok(())
    }

    /// The view has changed: sees what that means for an idle session.
    pub(super) fn look_around(&mut self) -> Result<(), Need> {
        self.stalled = false;
        let view = self.lane.seat.view();
        let stays = self.backend.as_ref().is_none_or(|backend| {
            view.route.mode == Mode::Closed || self.lane.seat.leads_to(&backend.node) && !self.lane.seat.serves_nobody()
        });
        if !stays {
            return Err(Need::Move);
        }
        // An open transaction gets its time to end; the steward cuts it when that is over.
        if view.cut_sessions && view.route.mode == Mode::Hold && !self.state.is_open() && self.stuck().is_some() {
            tracing::info!(peer = %self.handle.peer, "a session is cut because it can't move and the operator said so");
            return Err(Need::End);
        }
        self.seen = self.lane.version();
        Ok(())
    }

    /// Goes where the route leads. Returns false when the session ends.
    pub(super) async fn move_along(&mut self) -> bool {
        self.seen = self.lane.version();
        if self.lane.seat.serves_nobody() || self.state.is_open() {
            // What is open there is lost: the route has left that node for good.
            return self.lost_idle().is_none();
        }
        if let Some(why) = self.stuck() {
            tracing::warn!(peer = %self.handle.peer, %why, "a session ends because it can't move");
            return false;
        }
        if !self.ask_for_values().await {
            tracing::warn!(peer = %self.handle.peer, "a session ends because a value in it can't be had exactly");
            return false;
        }
        self.drop_backend();
        match self.connect(false).await {
            // Who waits for nothing needn't be told that there is no node now.
            Ok(()) | Err(Trouble::RunOut) => true,
            Err(trouble) if self.inbox.is_empty() => {
                tracing::warn!(peer = %self.handle.peer, ?trouble, "a session ends because it can't move");
                false
            }
            Err(trouble) => self.trouble(&trouble),
        }
    }

    /// Reads back what only the old connection knows. False if something of it can't be had.
    async fn ask_for_values(&mut self) -> bool {
        let Some(backend) = &mut self.backend else { return self.state.survives() };
        let node = backend.capabilities;
        let Some(question) = self.state.question(node) else { return true };
        let mut bytes = Vec::new();
        packet::write(&mut bytes, 0, &question);
        // Who can do without the answer doesn't wait for a node that may hang.
        let limit = if self.state.survives() { BRIEFLY } else { open::LIMIT };
        let answer = timeout(limit, ask::say(backend, &bytes, &[com::QUERY])).await;
        let answered = match answer.map(|answers| answers.map(|answers| answers.into_iter().next())) {
            Ok(Ok(Some(Ok(answer)))) => self.state.answered(&answer, node),
            _ => false,
        };
        answered || self.state.survives()
    }

    /// Why the session can't move now, if it can't.
    pub(super) fn stuck(&self) -> Option<&'static str> {
        self.state.stuck()
    }

    /// True when the connection in use isn't where the route leads any more.
    pub(super) fn is_left_behind(&self) -> bool {
        let leads = |backend: &Backend| self.lane.seat.leads_to(&backend.node) || self.lane.seat.mode() == Mode::Closed;
        !self.backend.as_ref().is_some_and(leads) || self.lane.seat.serves_nobody()
    }

    /// True while the command at the front of the inbox waits for the hold to end.
    pub(super) fn is_held(&self) -> bool {
        self.handle.parked.get()
    }

    /// Tells the lane whether something is open here, and operators why it can't move.
    pub(super) fn tell_lane(&mut self) {
        // A transaction that was lost with its node keeps nobody waiting.
        let open = self.state.is_open() && self.backend.is_some();
        let ended = self.lane.set_busy(&self.handle, open, self.state.in_transaction());
        if !self.state.take_news() && !ended {
            return;
        }
        let stuck = self.stuck();
        let named = self.handle.named.replace(stuck.is_some());
        if stuck.is_none() && open && !named {
            // The steward may have said so of its transaction, and will say when that has ended.
            return;
        }
        let told = |why: &str| StuckSession { client: self.handle.peer.to_string(), why: why.to_owned() };
        self.lane.seat.set_stuck(self.handle.id().into(), stuck.map(told));
    }
}
