//! An upstream that many clients share: their requests leave it in one stream, the replies go back to each in its order.
//!
//! Input: requests of sessions with the same login, database and protocol. Output: replies, written to the clients directly
//! from the reader. It outlives connections: [`super::drive`] opens one after the other, wherever the route points to.
//! Never: a request of a session that needs a connection of its own, a wait for one slow client beyond a short bound.

use super::{
    busy::is_busy,
    client::Client,
    key::Key,
    lane::Lane,
    open::Upstream,
    queue::{Entry, Queue},
    retry::Aside,
    run::Run,
};
use crate::{
    model::name::NodeAddress,
    protocol::redis::{
        command::Retry,
        reply,
        scan::{ReplyError, ReplyKind, ReplyScanner},
    },
    proxy::{bell::Bell, conn::Writer, counters::Outcome},
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Waker,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Unanswered bytes past which sessions send no more until some are answered.
const FULL: usize = 1024 * 1024;
/// An upstream that has said nothing for so long, while the oldest request waits for so long, in microseconds, stands still: most
/// likely behind a script.
const STILL_US: u32 = 100_000;
/// An incomplete reply larger than this is handed on as it comes.
const STREAM: usize = 64 * 1024;
/// While more than this of a reply is still to come, clients that wait for nothing take another upstream.
const LARGE: u64 = 256 * 1024;

/// Whether requests can be answered.
#[derive(Clone)]
pub enum Standing {
    /// Not connected now; requests wait.
    Down,
    /// Connected.
    Up,
    /// The server refused the login, or to be asked anything, with this reply. It never comes up again.
    Dead(Rc<[u8]>),
}

/// A shared upstream.
pub struct Shared {
    /// What it is logged in as.
    pub key: Key,
    /// True for one of scripts: these may run for long, and the node then answers (`BUSY`) on the others.
    pub scripts: bool,
    pub(super) queue: RefCell<Queue<Entry>>,
    writer: RefCell<Option<Writer>>,
    standing: RefCell<Standing>,
    dirty: Cell<bool>,
    /// True while the route leads elsewhere already: answers are awaited, nothing new is sent.
    frozen: Cell<bool>,
    /// The socket didn't take everything: the driver waits for it.
    blocked: Cell<bool>,
    /// True while much of one reply is still to come.
    large: Cell<bool>,
    driver: Bell,
    /// Sessions that wait until less is unanswered.
    crowd: RefCell<Vec<Rc<Client>>>,
    /// A connection to the node that the route will move to.
    pub(super) warm: RefCell<Option<(NodeAddress, Upstream)>>,
    /// True while one is being opened.
    pub warming: Cell<bool>,
    /// Kept for its room.
    touched: RefCell<Vec<Rc<Client>>>,
    /// What the node refused for its role or state.
    pub(super) aside: RefCell<Aside>,
    /// Since when no session uses it.
    pub(super) idle: Cell<Option<Instant>>,
    /// True when its driver has to end.
    pub(super) retired: Cell<bool>,
    /// Told when `standing` changes.
    pub changed: Notify,
    /// Told when the driver has to look at the route again.
    pub kick: Notify,
    /// Told when the server was silent for too long.
    pub given_up: Notify,
    /// When the last byte came, by the worker's clock.
    pub heard_us: Cell<u32>,
}

impl Shared {
    /// A shared upstream that nobody drives yet.
    pub fn new(key: Key, scripts: bool) -> Rc<Self> {
        Rc::new(Self {
            key,
            scripts,
            queue: RefCell::default(),
            writer: RefCell::default(),
            standing: RefCell::new(Standing::Down),
            dirty: Cell::new(false),
            frozen: Cell::new(false),
            blocked: Cell::new(false),
            large: Cell::new(false),
            driver: Bell::default(),
            crowd: RefCell::default(),
            warm: RefCell::default(),
            warming: Cell::new(false),
            touched: RefCell::default(),
            aside: RefCell::default(),
            idle: Cell::new(None),
            retired: Cell::new(false),
            changed: Notify::new(),
            kick: Notify::new(),
            given_up: Notify::new(),
            heard_us: Cell::new(0),
        })
    }

    /// Whether it can answer.
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// True while it is connected.
    pub fn is_up(&self) -> bool {
        matches!(*self.standing.borrow(), Standing::Up)
    }

    /// Requests without an answer, those that wait for a connection left out.
    pub fn sent(&self) -> u64 {
        if self.is_up() { self.queue.borrow().len() as u64 } else { 0 }
    }

    /// True while the oldest request keeps everything behind it waiting, by its reply's size or without a word. A new connection
    /// may be answered (`BUSY`, say), so clients that wait for nothing here had better take another one.
    pub fn stands_still(&self, lane: &Lane) -> bool {
        if self.large.get() {
            return true;
        }
        if let Standing::Dead(error) = &*self.standing.borrow() {
            return is_busy(error);
        }
        let queue = self.queue.borrow();
        let Some(oldest) = queue.front().filter(|_| self.is_up() && queue.has_written()) else { return false };
        // Once something was sent in this turn, the clock has been read.
        let now = if self.dirty.get() { lane.turn.now_us() } else { lane.turn.tick() };
        now.wrapping_sub(oldest.at_us).min(now.wrapping_sub(self.heard_us.get())) > STILL_US
    }

    /// True when somebody else's request is unanswered, too.
    pub fn owes_others(&self, client: &Rc<Client>) -> bool {
        self.queue.borrow().entries().any(|entry| !Rc::ptr_eq(&entry.client, client))
    }

    /// True when sessions should wait before they send more.
    pub fn is_full(&self) -> bool {
        self.queue.borrow().weight() > FULL
    }

    /// Wakes this client when it isn't full any more.
    pub fn wake_when_room(&self, client: &Rc<Client>) {
        self.crowd.borrow_mut().push(Rc::clone(client));
    }

    /// Sends a whole request; it leaves at the end of the turn.
    pub fn send(self: &Rc<Self>, lane: &Lane, client: &Rc<Client>, request: &[u8], retry: Retry) {
        client.expect();
        if !self.dirty.replace(true) {
            lane.turn.mark_dirty(Rc::clone(self));
        }
        let entry = Entry { client: Rc::clone(client), at_us: lane.turn.now_us(), retry, lost: 0 };
        self.queue.borrow_mut().push(request, entry);
    }

    /// Writes what the socket takes.
    pub fn flush(&self) {
        self.dirty.set(false);
        let mut queue = self.queue.borrow_mut();
        let writer = self.writer.borrow();
        let Some(writer) = writer.as_ref().filter(|_| !self.frozen.get()) else { return };
        let mut blocked = false;
        while !queue.unwritten().is_empty() && !blocked {
            match writer.try_write(queue.unwritten()) {
                Ok(0) => blocked = true,
                Ok(many) => queue.wrote(many),
                // The reader sees the end of the connection, too, and acts on it.
                Err(_) => return,
            }
        }
        if (blocked || writer.unflushed()) && !self.blocked.replace(true) {
            self.driver.ring();
        }
    }

    /// True while bytes wait for the socket.
    pub fn is_blocked(&self) -> bool {
        self.blocked.get()
    }

    /// Polls the socket for room and writes more.
    pub fn poll_unblock(&self, cx: &mut std::task::Context<'_>) {
        loop {
            let ready = self.writer.borrow().as_ref().map(|writer| writer.poll_ready(cx));
            if !matches!(ready, Some(std::task::Poll::Ready(Ok(())))) {
                return;
            }
            self.blocked.set(false);
            self.flush();
            if !self.blocked.get() {
                return;
            }
        }
    }

    /// Notes the driver's task.
    pub fn register_driver(&self, waker: &Waker) {
        self.driver.register(waker);
    }

    /// Sends nothing more on this connection.
    pub fn freeze(&self) {
        self.frozen.set(true);
    }

    /// Sends again: the route doesn't lead elsewhere after all.
    pub fn thaw(&self) {
        if self.frozen.replace(false) {
            self.flush();
        }
    }

    /// True when something that was sent is unanswered.
    pub fn has_written(&self) -> bool {
        self.queue.borrow().has_written()
    }

    /// A connection is there: what waits is sent.
    pub fn connected(&self, lane: &Lane, writer: Writer) {
        *self.writer.borrow_mut() = Some(writer);
        self.heard_us.set(lane.turn.tick());
        self.frozen.set(false);
        self.send_again(lane);
        self.blocked.set(false);
        self.heard_us.set(lane.turn.tick());
        self.set_standing(Standing::Up);
        self.flush();
    }

    /// Tells it from others of its lane.
    pub fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// How long it has owed an answer without a word of the server.
    pub fn silent_for(&self, now_us: u32) -> Duration {
        let queue = self.queue.borrow();
        let Some(oldest) = queue.front().filter(|_| self.is_up() && queue.has_written()) else { return Duration::ZERO };
        let silent = now_us.wrapping_sub(self.heard_us.get()).min(now_us.wrapping_sub(oldest.at_us));
        Duration::from_micros(silent.into())
    }

    fn set_standing(&self, standing: Standing) {
        *self.standing.borrow_mut() = standing;
        self.changed.notify_waiters();
    }

    /// The connection is gone: what may be is sent on the next one, the rest is answered with an honest error. `cut` is the
    /// number of bytes of the current reply that were already delivered.
    pub fn lost(&self, lane: &Lane, cut: bool) {
        self.large.set(false);
        self.writer.borrow_mut().take();
        self.set_standing(Standing::Down);
        if cut && let Some(entry) = self.queue.borrow().front() {
            // Half of its reply is out: nothing that could follow would make sense.
            entry.client.close();
        }
        let failed = self.queue.borrow_mut().lost();
        lane.counters.count(Outcome::Unknown, failed.len() as u64);
        for entry in failed {
            entry.client.say(|out| reply::refusal(out, LOST));
            entry.client.flush();
            entry.client.answered(1);
        }
        self.let_in();
    }

    /// Answers everything that waits with an error of Pointsman's own.
    pub fn refuse_waiting(&self, lane: &Lane, text: &str) {
        lane.counters.count(Outcome::Refused, self.queue.borrow().len() as u64);
        let waiting = self.queue.borrow_mut().take_all();
        for (_, _, entry) in waiting {
            entry.client.say(|out| reply::error(out, text));
            entry.client.flush();
            entry.client.answered(1);
        }
        self.let_in();
    }

    /// The server refused the login: sessions get its error and end, unless it was only busy.
    pub fn die(&self, error: &[u8]) {
        self.set_standing(Standing::Dead(error.into()));
        self.aside.borrow_mut().give_up_all();
        let waiting = self.queue.borrow_mut().take_all();
        for (_, _, entry) in waiting {
            entry.client.say(|out| out.extend_from_slice(error));
            entry.client.flush();
            entry.client.answered(1);
            if !is_busy(error) {
                entry.client.end();
            }
        }
        self.let_in();
    }

    fn let_in(&self) {
        for client in self.crowd.take() {
            client.wake();
        }
    }

    /// Hands the whole replies in `buf` to their clients; returns how many bytes were used, and a client that took too little of
    /// a reply that isn't whole yet.
    pub fn dispatch(&self, lane: &Lane, scanner: &mut ReplyScanner, buf: &[u8]) -> Result<Dispatched, ReplyError> {
        let now = lane.turn.tick();
        self.heard_us.set(now);
        let mut touched = self.touched.take();
        let mut queue = self.queue.borrow_mut();
        let mut run = Run::new(lane, buf, now, &mut touched);
        let mut errors = 0;
        while let Some(reply) = scanner.next(run.rest())? {
            if reply.kind == ReplyKind::Push {
                // Nothing on a shared upstream asks for pushes.
                run.skip(reply.len);
                continue;
            }
            if reply.kind == ReplyKind::Error && self.put_aside(lane, &mut queue, reply, run.rest()) {
                run.skip(reply.len);
                continue;
            }
            let entry = queue.answered().ok_or(ReplyError::Length)?;
            errors += u64::from(reply.kind == ReplyKind::Error);
            if entry.client.is_held() && self.aside.borrow().concerns(&entry) {
                run.skip(0);
                self.aside.borrow_mut().give_up(&entry);
            }
            run.add(entry, reply.len);
        }
        let (mut used, mut slow) = run.finish();
        for client in touched.drain(..) {
            client.flush();
        }
        *self.touched.borrow_mut() = touched;
        let rest = buf.len() - used;
        if rest > STREAM
            && let Some(entry) = queue.front()
            && scanner.kind().is_some_and(|kind| kind != ReplyKind::Push)
        {
            let many = scanner.take(rest);
            entry.client.narrow();
            entry.client.deliver(buf.get(used..used + many).unwrap_or_default(), false);
            used += many;
            slow = slow.or_else(|| (entry.client.waiting() > lane.client_buffer()).then(|| Rc::clone(&entry.client)));
        }
        self.large.set(scanner.streaming() && scanner.to_come() > LARGE);
        lane.counters.count(Outcome::Error, errors);
        let room = queue.weight() < FULL / 2;
        drop(queue);
        if room && !self.crowd.borrow().is_empty() {
            self.let_in();
        }
        Ok(Dispatched { used, slow })
    }
}

/// What was done with a chunk of replies.
pub struct Dispatched {
    /// Bytes that aren't needed any more.
    pub used: usize,
    /// The client whose large reply doesn't fit its buffer.
    pub slow: Option<Rc<Client>>,
}

/// What clients are told whose request may or may not have run.
const LOST: &str = "connection to the node was lost, the outcome is unknown";
