//! What the sessions of one worker share where each has a connection of its own to a node: a buffer to work on, and spare buffers.
//!
//! Never: anything that belongs to one session between two steps of it.

use super::pool::Pool;
use std::cell::RefCell;

/// Bytes that one read takes at most, from an application or from a node.
pub const SCRATCH: usize = 64 * 1024;

/// One worker's desk.
pub struct Desk {
    /// Where bytes are read into; borrowed for one synchronous step at a time.
    pub scratch: RefCell<Box<[u8]>>,
    /// Spare buffers.
    pub pool: Pool,
}

impl Default for Desk {
    fn default() -> Self {
        Self { scratch: RefCell::new(vec![0; SCRATCH].into_boxed_slice()), pool: Pool::default() }
    }
}
