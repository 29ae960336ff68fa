//! The side of a session that faces its application: what upstream readers hand replies to.
//!
//! Input: reply bytes, from whichever upstream of the same worker. Output: the application's socket. A reply is written at
//! once from the upstream's reader if the socket takes it; what it doesn't take waits in a buffer that this client alone fills
//! and that is bounded by the service's `client_buffer`. Never: reads, or waits.

use crate::proxy::{bell::Bell, conn::Writer, pool::Pool};
use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// Commands that a client with large replies, or slow to read, sends on an upstream of its own before it may share again.
const SLOW: u8 = 32;
/// Replies that a client may be owed on a shared upstream at most.
const WINDOW: u32 = 128;
/// Those that a new client may be owed, until it is known how large its replies are.
const WINDOW_FIRST: u32 = 8;

/// What a pinned session has ready for a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ready {
    /// Nothing.
    No,
    /// An upstream on the next node, in the session's state.
    Warm,
    /// Everything the old node published was delivered, the new one's copies were dropped.
    HandedOver,
}

/// Bytes on their way out, from `at` on.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    at: usize,
}

/// One application's connection, as seen by the upstreams that answer it.
pub struct Client {
    writer: RefCell<Option<Writer>>,
    pool: Rc<Pool>,
    waiting: RefCell<Waiting>,
    /// Replies that shared upstreams still owe it.
    outstanding: Cell<u32>,
    bell: Bell,
    /// How many it may be owed: the fewer, the larger they are, so that what it has ordered about fits its buffer.
    window: Cell<u32>,
    /// Its task wants to know when fewer than this are outstanding; 0 if it doesn't.
    wants_below: Cell<u32>,
    /// True while bytes were added in this turn that nobody has tried to write.
    touched: Cell<bool>,
    /// True when the session has to end after what waits was written.
    ending: Cell<bool>,
    /// The reader of a shared upstream that waits until less waits here.
    relief: RefCell<Option<Waker>>,
    /// Used while a queue is sorted after a loss.
    marked: Cell<bool>,
    /// True while it waits for a hold to end.
    parked: Cell<bool>,
    /// Requests in flight on its pinned upstream that a switch has to wait for.
    pinned_in_flight: Cell<usize>,
    /// Since when its pinned upstream owes it something and is silent, by the worker's clock.
    pinned_silent: Cell<Option<u32>>,
    /// True when its pinned upstream was silent for too long.
    given_up: Cell<bool>,
    /// Identifies the shared upstream that it used last.
    shared_id: Cell<usize>,
    /// What its session has ready for a move.
    ready: Cell<Ready>,
    /// True while a refused request of it waits to be sent again.
    held: Cell<bool>,
    /// How many commands it has to carry on an upstream of its own because it was slow to read.
    slow: Cell<u8>,
}

impl Client {
    /// A client that writes to `writer`.
    pub fn new(writer: Writer, pool: Rc<Pool>) -> Self {
        Self {
            writer: RefCell::new(Some(writer)),
            pool,
            relief: RefCell::default(),
            marked: Cell::new(false),
            parked: Cell::new(false),
            pinned_in_flight: Cell::new(0),
            pinned_silent: Cell::new(None),
            given_up: Cell::new(false),
            shared_id: Cell::new(0),
            ready: Cell::new(Ready::No),
            held: Cell::new(false),
            slow: Cell::new(0),
            waiting: RefCell::default(),
            outstanding: Cell::new(0),
            bell: Bell::default(),
            window: Cell::new(WINDOW_FIRST),
            wants_below: Cell::new(0),
            touched: Cell::new(false),
            ending: Cell::new(false),
        }
    }

    /// True when the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.writer.borrow().is_none()
    }

    /// Closes the connection now; what waits is dropped.
    pub fn close(&self) {
        self.writer.borrow_mut().take();
        *self.waiting.borrow_mut() = Waiting::default();
        if let Some(relief) = self.relief.borrow_mut().take() {
            relief.wake();
        }
        self.wake();
    }

    /// Asks the session to end when everything was written.
    pub fn end(&self) {
        self.ending.set(true);
        self.wake();
    }

    /// True after [`Client::end`].
    pub fn is_ending(&self) -> bool {
        self.ending.get()
    }

    /// Sets a mark, for who sorts a queue.
    pub fn mark(&self, on: bool) {
        self.marked.set(on);
    }

    /// Notes whether it waits for a hold to end; says whether it did before.
    pub fn is_parked(&self, now: bool) -> bool {
        self.parked.replace(now)
    }

    /// Requests in flight on its pinned upstream that a switch has to wait for.
    pub fn pinned_in_flight(&self) -> usize {
        self.pinned_in_flight.get()
    }

    /// Notes how many there are.
    pub fn set_pinned_in_flight(&self, many: usize) {
        self.pinned_in_flight.set(many);
    }

    /// Since when its pinned upstream owes it something and is silent, by the worker's clock.
    pub fn pinned_silent(&self) -> Option<u32> {
        self.pinned_silent.get()
    }

    /// Notes since when.
    pub fn set_pinned_silent(&self, since_us: Option<u32>) {
        self.pinned_silent.set(since_us);
    }

    /// Has its session give its pinned upstream up.
    pub fn give_pinned_up(&self) {
        self.given_up.set(true);
        self.wake();
    }

    /// True once after [`Client::give_pinned_up`].
    pub fn take_given_up(&self) -> bool {
        self.given_up.take()
    }

    /// Identifies the shared upstream that it used last.
    pub fn shared_id(&self) -> usize {
        self.shared_id.get()
    }

    /// Notes which one that is.
    pub fn set_shared_id(&self, id: usize) {
        self.shared_id.set(id);
    }

    /// True while nothing more of it may be sent, because a refused request waits to be sent again.
    pub fn is_held(&self) -> bool {
        self.held.get()
    }

    /// Changes that; wakes the session when it may go on.
    pub fn hold(&self, on: bool) {
        if self.held.replace(on) && !on {
            self.wake();
        }
    }

    /// What its session has ready for a move.
    pub fn ready(&self) -> Ready {
        self.ready.get()
    }

    /// Notes what it has ready.
    pub fn set_ready(&self, ready: Ready) {
        self.ready.set(ready);
    }

    /// Reads the mark.
    pub fn is_marked(&self) -> bool {
        self.marked.get()
    }

    /// Replies that shared upstreams still owe.
    pub fn outstanding(&self) -> u32 {
        self.outstanding.get()
    }

    /// One more reply is owed.
    pub fn expect(&self) {
        self.outstanding.set(self.outstanding.get() + 1);
    }

    /// `many` replies came (or never will); wakes the task if it waits for the last one.
    pub fn answered(&self, many: u32) {
        let left = self.outstanding.get().saturating_sub(many);
        self.outstanding.set(left);
        if left < self.wants_below.get() {
            self.wants_below.set(0);
            self.wake();
        }
    }

    /// True when it should be answered before it asks more.
    pub fn is_owed_enough(&self) -> bool {
        self.outstanding.get() >= self.window.get()
    }

    /// `count` replies of `bytes` bytes came; as many more may be outstanding as fit its buffer of `room` bytes if they are as
    /// large. It grows step by step, because what comes next may be larger.
    pub fn measure(&self, count: u32, bytes: usize, room: usize) {
        let fit = room.saturating_mul(count as usize) / bytes.max(1);
        let most = self.window.get().saturating_mul(2).min(WINDOW);
        self.window.set(u32::try_from(fit).unwrap_or(WINDOW).clamp(1, most));
    }

    /// True when [`Client::measure`] would change nothing.
    pub fn is_measured(&self, count: u32, bytes: usize, room: usize) -> bool {
        self.window.get() == WINDOW && bytes.saturating_mul(WINDOW as usize) <= room.saturating_mul(count as usize)
    }

    /// Part of a reply came that is too large to be kept whole: the next ones are better read on an upstream of its own.
    pub fn narrow(&self) {
        self.window.set(1);
        self.slow.set(SLOW);
    }

    /// True while it should not share an upstream because its replies were large or it was slow to read them; counts a command
    /// that went alone.
    pub fn is_slow(&self) -> bool {
        let left = self.slow.get();
        self.slow.set(left.saturating_sub(1));
        left > 0
    }

    /// Asks to be woken when nothing is outstanding any more.
    pub fn wake_when_quiet(&self) {
        self.wants_below.set(1);
    }

    /// Asks to be woken when half of what may be outstanding was answered.
    pub fn wake_when_owed_less(&self) {
        self.wants_below.set(self.window.get() / 2 + 1);
    }

    /// Bytes that wait to be written.
    pub fn waiting(&self) -> usize {
        let waiting = self.waiting.borrow();
        waiting.bytes.len() - waiting.at
    }

    /// Hands reply bytes over. With `more` announced they are kept for a common write, and true is returned if the caller has to
    /// call [`Client::flush`] at the end of its turn.
    pub fn deliver(&self, bytes: &[u8], more: bool) -> bool {
        let mut rest = bytes;
        if !more && !self.touched.get() && self.waiting() == 0 {
            let Ok(written) = self.write(bytes) else {
                self.close();
                return false;
            };
            rest = bytes.get(written..).unwrap_or_default();
            if rest.is_empty() {
                return false;
            }
            self.slow.set(SLOW);
            self.wake();
        }
        if self.is_closed() {
            return false;
        }
        self.append(|bytes| bytes.extend_from_slice(rest));
        more && !self.touched.replace(true)
    }

    /// Appends a reply that Pointsman makes itself.
    pub fn say(&self, make: impl FnOnce(&mut Vec<u8>)) {
        if !self.is_closed() {
            self.append(make);
        }
    }

    fn append(&self, make: impl FnOnce(&mut Vec<u8>)) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.bytes.capacity() == 0 {
            waiting.bytes = self.pool.take();
        }
        make(&mut waiting.bytes);
    }

    /// Asks to be woken when some of what waits has been written, or the client is gone.
    pub fn relieve(&self, waker: &Waker) {
        *self.relief.borrow_mut() = Some(waker.clone());
    }

    /// Writes what waits, as far as the socket takes it; wakes the task if some is left.
    pub fn flush(&self) {
        self.touched.set(false);
        if self.push().is_err() {
            self.close();
        } else if self.has_left() {
            self.slow.set(SLOW);
            self.wake();
        }
    }

    /// As [`Client::flush`] for the client's own task: ready when all was written.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.touched.set(false);
        loop {
            self.push()?;
            if !self.has_left() {
                return Poll::Ready(Ok(()));
            }
            let ready = match &*self.writer.borrow() {
                Some(writer) => writer.poll_ready(cx),
                None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            };
            std::task::ready!(ready)?;
        }
    }

    /// Notes the task that has to be woken.
    pub fn register(&self, waker: &Waker) {
        self.bell.register(waker);
    }

    /// Wakes the session's task.
    pub fn wake(&self) {
        self.bell.ring();
    }

    fn has_left(&self) -> bool {
        self.waiting() > 0 || self.writer.borrow().as_ref().is_some_and(Writer::unflushed)
    }

    fn push(&self) -> io::Result<()> {
        let mut waiting = self.waiting.borrow_mut();
        let Waiting { bytes, at } = &mut *waiting;
        let before = *at;
        while let Some(rest) = bytes.get(*at..).filter(|rest| !rest.is_empty()) {
            match self.write(rest)? {
                0 => break,
                written => *at += written,
            }
        }
        if *at > before
            && let Some(relief) = self.relief.borrow_mut().take()
        {
            relief.wake();
        }
        if *at == bytes.len() {
            *at = 0;
            self.pool.give(std::mem::take(bytes));
        } else if *at > bytes.len() / 2 {
            bytes.drain(..*at);
            *at = 0;
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &*self.writer.borrow() {
            Some(writer) => writer.try_write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}
