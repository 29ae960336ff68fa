//! Getting a session to where the route leads: the first time, after a loss, and when the route moves.
//!
//! Input: the lane's view, the session's state. Output: a connection that is in that state. Never: a move of a session whose state isn't wholly
//! known, or in the middle of something.

use super::{
    handle::Ending,
    lane::Gate,
    open::{self, Backend, OpenError},
    plan::Taken,
    session::{Aside, Need, Phase, Session},
    wait,
};
use crate::{
    model::route::Mode,
    protocol::mysql::error::{self, Code},
};
use std::sync::atomic::Ordering::Relaxed;

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
        loop {
            if self.handle.ending() != Ending::No {
                return Err(Trouble::Ended);
            }
            if self.lane.mode() == Mode::Closed || self.lane.is_run_out() {
                return Err(Trouble::RunOut);
            }
            if self.lane.gate() == Gate::Hold {
                self.lane.park(&self.handle);
                wait::for_change(&self.lane).await;
                continue;
            }
            let Some(target) = self.lane.target() else {
                self.lane.outage_began();
                wait::for_change(&self.lane).await;
                continue;
            };
            let version = self.lane.version();
            match self.backend_on(&target.node, first).await {
                Ok(backend) if self.lane.leads_to(&target.node) => {
                    self.handle.seat.borrow().thread.at_node.store(backend.thread.into(), Relaxed);
                    self.backend = Some(backend);
                    self.seen = version;
                    if self.lane.gate() == Gate::Open {
                        self.lane.outage_ended();
                    }
                    return Ok(());
                }
                Ok(_) => {}
                Err(OpenError::Refused(code, text)) => return Err(Trouble::Refused(code, text)),
                Err(_) => {
                    self.lane.outage_began();
                    wait::for_change(&self.lane).await;
                }
            }
        }
    }

    /// A connection to that node, in the session's state.
    async fn backend_on(&mut self, node: &crate::model::name::NodeAddress, _first: bool) -> Result<Backend, OpenError> {
        if let Some(twin) = self.handle.take_twin(node) {
            return Ok(twin);
        }
        let login = self.handle.login.borrow().clone();
        open::open(&self.lane, node, &login, self.state.schema.as_deref()).await
    }

    /// The view has changed: sees what that means for an idle session.
    pub(super) fn look_around(&mut self) -> Result<(), Need> {
        self.stalled = false;
        let Some(backend) = &self.backend else {
            self.seen = self.lane.version();
            return Ok(());
        };
        if self.lane.leads_to(&backend.node) || self.lane.mode() == Mode::Closed {
            self.seen = self.lane.version();
            return Ok(());
        }
        Err(Need::Move)
    }

    /// Goes where the route leads.
    pub(super) async fn move_along(&mut self) -> bool {
        self.seen = self.lane.version();
        self.backend = None;
        true
    }

    /// True when the connection in use isn't where the route leads any more.
    pub(super) fn is_left_behind(&self) -> bool {
        self.backend.as_ref().is_some_and(|backend| !self.lane.leads_to(&backend.node))
    }

    /// True while the command at the front of the inbox waits for the hold to end.
    pub(super) fn is_held(&self) -> bool {
        self.handle.parked.get()
    }

    /// Tells the lane whether something is open here.
    pub(super) fn tell_lane(&mut self) {
        self.lane.set_busy(&self.handle, self.state.is_open());
    }

    /// Carries out a command step by step.
    pub(super) async fn aside(&mut self, _aside: Aside) -> bool {
        false
    }

    /// A connection was lost on which nothing was under way.
    pub(super) fn lost_idle(&mut self) -> Option<Need> {
        self.backend = None;
        self.is_killed().then_some(Need::End)
    }

    /// The connection broke with a command in flight.
    pub(super) fn lost(&mut self) -> bool {
        self.backend = None;
        self.cut("pointsman: the connection to the node was lost, the outcome is unknown");
        if !matches!(self.phase, Phase::Idle) {
            self.idle_again();
        }
        true
    }

    /// The node refused a command because of its role.
    pub(super) async fn again_elsewhere(&mut self) -> bool {
        let _ = Taken::Wait;
        false
    }
}
