//! Bytes that wait to be written to one side.

use crate::proxy::{conn::Writer, pool::Pool};
use std::{
    io,
    task::{Context, Poll, ready},
};

/// Bytes for one side, of which some were taken. They stay until they are cleared, so that they can be sent again.
#[derive(Default)]
pub struct Out {
    /// All of them.
    pub bytes: Vec<u8>,
    taken: usize,
}

impl Out {
    /// True when all were taken.
    pub fn is_sent(&self) -> bool {
        self.taken == self.bytes.len()
    }

    /// True when none was taken.
    pub fn is_untouched(&self) -> bool {
        self.taken == 0
    }

    /// All are to be sent again.
    pub fn rewind(&mut self) {
        self.taken = 0;
    }

    /// Writes what wasn't taken yet, and sees it out of what TLS keeps inside.
    pub fn poll_send(&mut self, writer: &Writer, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_sent() || writer.unflushed() {
            let rest = self.bytes.get(self.taken..).unwrap_or_default();
            let taken = if rest.is_empty() { 0 } else { writer.try_write(rest)? };
            self.taken += taken;
            if taken == 0 {
                ready!(writer.poll_ready(cx))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes `bytes` at once as far as they are taken; the rest waits. For when nothing waits.
    pub fn send(&mut self, bytes: &[u8], writer: &Writer, pool: &Pool) -> io::Result<()> {
        let taken = if self.is_sent() { writer.try_write(bytes)? } else { 0 };
        if let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            self.fill(pool).extend_from_slice(rest);
        }
        Ok(())
    }

    /// Where to put bytes that are to be sent behind those that wait. What was sent is forgotten.
    pub fn fill(&mut self, pool: &Pool) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = pool.take();
        }
        if self.is_sent() {
            self.bytes.clear();
            self.taken = 0;
        }
        &mut self.bytes
    }

    /// Forgets all of it.
    pub fn clear(&mut self, pool: &Pool) {
        self.taken = 0;
        if self.bytes.capacity() > 0 {
            pool.give(std::mem::take(&mut self.bytes));
        }
    }
}
