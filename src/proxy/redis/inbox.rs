//! What was read from a server and not used yet; one fixed buffer, never cleared, never grown.

use crate::proxy::conn::Reader;
use std::{
    io,
    task::{Context, Poll, ready},
};

/// Bytes read at once, and the longest incomplete reply that is kept before its beginning is handed on.
pub const CHUNK: usize = 64 * 1024;

/// Bytes from a server, from `start` to `end`.
pub struct Inbox {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    chunk: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new(CHUNK)
    }
}

impl Inbox {
    /// Reads `chunk` bytes at once; what stays unused may be as long.
    pub fn new(chunk: usize) -> Self {
        Self { bytes: vec![0; 2 * chunk].into_boxed_slice(), start: 0, end: 0, chunk }
    }

    /// What was read and not used.
    pub fn unused(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// `many` more bytes were used.
    pub fn used(&mut self, many: usize) {
        self.start = (self.start + many).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Reads more; the end of the stream is an error.
    pub fn poll_fill(&mut self, reader: &mut Reader, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.bytes.len() - self.end < self.chunk {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let room = self.bytes.get_mut(self.end..).unwrap_or_default();
        match ready!(reader.poll_read(cx, room))? {
            0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            many => {
                self.end += many;
                Poll::Ready(Ok(()))
            }
        }
    }
}
