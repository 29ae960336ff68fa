//! One turn of a worker's loop: what every ready session gathers in it leaves together at its end.

use super::shared::Shared;
use crate::proxy::{bell::Bell, pool::Pool};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Poll,
    time::Instant,
};

/// Bytes that one read takes from an application at most.
pub const SCRATCH: usize = 64 * 1024;

/// What all services of one worker share.
pub struct Turn {
    /// Where applications' bytes are read into; borrowed for one synchronous step at a time.
    pub scratch: RefCell<Box<[u8]>>,
    /// Spare buffers.
    pub pool: Rc<Pool>,
    /// Upstreams with bytes that nobody has tried to send in this turn.
    dirty: RefCell<Vec<Rc<Shared>>>,
    /// The task that sends them when every ready session has had its turn.
    flusher: Bell,
    started: Instant,
    now_us: Cell<u32>,
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            scratch: RefCell::new(vec![0; SCRATCH].into_boxed_slice()),
            pool: Rc::default(),
            dirty: RefCell::default(),
            flusher: Bell::default(),
            started: Instant::now(),
            now_us: Cell::new(0),
        }
    }
}

impl Turn {
    /// Reads the clock, once a turn; in microseconds, and it wraps: only differences mean something.
    #[expect(clippy::cast_possible_truncation, reason = "wraps on purpose")]
    pub fn tick(&self) -> u32 {
        let now = self.started.elapsed().as_micros() as u32;
        self.now_us.set(now);
        now
    }

    /// The clock as last read.
    pub fn now_us(&self) -> u32 {
        self.now_us.get()
    }

    /// Has the upstream flushed at the end of this turn.
    pub fn mark_dirty(&self, upstream: Rc<Shared>) {
        let mut dirty = self.dirty.borrow_mut();
        if dirty.is_empty() {
            self.tick();
            self.flusher.ring();
        }
        dirty.push(upstream);
    }

    /// Sends what was gathered; runs for as long as the worker.
    pub async fn flush_forever(self: Rc<Self>) {
        std::future::poll_fn(|cx| {
            self.flusher.register(cx.waker());
            // Flushing marks nothing as dirty, so that the borrow may last.
            for upstream in self.dirty.borrow_mut().drain(..) {
                upstream.flush();
            }
            Poll::<()>::Pending
        })
        .await;
    }
}
