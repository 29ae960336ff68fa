//! One connection of either side, as its two halves.
//!
//! Never: bytes of its own; who reads and writes decides where they wait.

use super::conn::{Reader, Writer, split};
use crate::net::Stream;
use std::task::{Context, Waker};

/// A connection.
pub struct Line {
    /// Its reading half.
    pub reader: Reader,
    /// Its writing half.
    pub writer: Writer,
}

impl Line {
    /// The halves of a stream.
    pub fn new(stream: Stream) -> Self {
        let (reader, writer) = split(stream);
        Self { reader, writer }
    }

    /// True unless the other side has closed it, or has said something that nobody asked for. No system call while nothing has come.
    pub fn is_quiet(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.reader.poll_read(&mut cx, &mut [0; 16]).is_pending()
    }
}
