//! What a session shows to its lane: how to wake it, whether it is ready for a move, and since when a transaction is open.
//!
//! Input: the session's own steps, the steward's orders. Output: each other's news, without a message. Never: bytes.

use super::{door::Login, open::Backend, threads::Seat};
use crate::{model::name::NodeAddress, proxy::bell::Bell};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Context,
    time::{Duration, Instant},
};

/// When a session has to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// It goes on.
    #[default]
    No,
    /// When nothing is under way in it.
    AtSafePoint,
    /// At once, since its transaction was idle for too long: its application is told.
    Idle,
    /// At once.
    Now,
}

/// One session of a lane.
pub struct Handle {
    /// The application's address.
    pub peer: Box<str>,
    /// The id that the application was told, and what others see of the session.
    pub seat: RefCell<Seat>,
    /// As whom it is logged in.
    pub login: RefCell<Rc<Login>>,
    bell: Bell,
    ending: Cell<Ending>,
    /// A connection on the node that the route will move to.
    twin: RefCell<Option<Backend>>,
    /// One is being opened.
    pub warming: Cell<bool>,
    /// A command of it was sent and isn't answered.
    pub in_flight: Cell<bool>,
    /// Since when it has a transaction open, or something else that only it can end.
    busy_since: Cell<Option<Instant>>,
    /// Since when its transaction has been idle.
    idle_since: Cell<Option<Instant>>,
    /// It waits for a hold to end.
    pub parked: Cell<bool>,
    /// Operators are told of something else than its transaction that keeps it where it is.
    pub named: Cell<bool>,
}

impl Handle {
    /// A session that has just logged in.
    pub fn new(peer: Box<str>, seat: Seat, login: Rc<Login>) -> Self {
        Self {
            peer,
            seat: RefCell::new(seat),
            login: RefCell::new(login),
            bell: Bell::default(),
            ending: Cell::default(),
            twin: RefCell::default(),
            warming: Cell::new(false),
            in_flight: Cell::new(false),
            busy_since: Cell::new(None),
            idle_since: Cell::new(None),
            parked: Cell::new(false),
            named: Cell::new(false),
        }
    }

    /// The id that the application was told.
    pub fn id(&self) -> u32 {
        self.seat.borrow().id
    }

    /// Notes the session's task.
    pub fn register(&self, cx: &Context<'_>) {
        self.bell.register(cx.waker());
    }

    /// Has the session look around.
    pub fn wake(&self) {
        self.bell.ring();
    }

    /// Tells it to end.
    pub fn end(&self, when: Ending) {
        self.ending.set(self.ending.get().max(when));
        self.wake();
    }

    /// Whether it has to end.
    pub fn ending(&self) -> Ending {
        self.ending.get()
    }

    /// A connection on the node that the route will move to.
    pub fn set_twin(&self, twin: Option<Backend>) {
        *self.twin.borrow_mut() = twin;
    }

    /// True when there is one on that node.
    pub fn is_warm(&self, node: &NodeAddress) -> bool {
        self.twin.borrow().as_ref().is_some_and(|twin| twin.node == *node)
    }

    /// Takes it, if it is on that node and its server hasn't closed it.
    pub fn take_twin(&self, node: &NodeAddress) -> Option<Backend> {
        self.twin.borrow_mut().take().filter(|twin| twin.node == *node)?.alive()
    }

    /// Closes it unless it is on that node.
    pub fn cool(&self, node: Option<&NodeAddress>) {
        self.twin.borrow_mut().take_if(|twin| Some(&twin.node) != node);
    }

    /// Notes that something is open in it, or no more. Returns true if that is a change.
    pub fn set_busy(&self, busy: bool) -> bool {
        let changed = self.busy_since.get().is_some() != busy;
        if changed {
            self.busy_since.set(busy.then(Instant::now));
        }
        changed
    }

    /// Notes that its transaction is idle, or that something is under way in it, or that there is none.
    pub fn set_idle(&self, idle: bool) {
        self.idle_since.set(idle.then(Instant::now));
    }

    /// How long its application has done nothing about its transaction.
    pub fn idle_for(&self) -> Option<Duration> {
        self.idle_since.get().map(|since| since.elapsed())
    }

    /// How long something has been open in it.
    pub fn busy_for(&self) -> Option<Duration> {
        self.busy_since.get().map(|since| since.elapsed())
    }
}
