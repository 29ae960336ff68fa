//! Spare buffers of one worker, so that a session owns none while it is idle and takes none from the allocator while it isn't.

use std::cell::RefCell;

/// Spare buffers that are kept at most.
const SPARES: usize = 64;
/// A new buffer's size.
const FRESH: usize = 4 * 1024;
/// A buffer that has grown larger is freed instead of kept.
const LARGEST: usize = 256 * 1024;

/// Empty buffers with room in them.
#[derive(Default)]
pub struct Pool(RefCell<Vec<Vec<u8>>>);

impl Pool {
    /// A buffer with room.
    pub fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(FRESH))
    }

    /// Takes a buffer back.
    pub fn give(&self, mut buffer: Vec<u8>) {
        let mut spares = self.0.borrow_mut();
        if spares.len() < SPARES && (FRESH..=LARGEST).contains(&buffer.capacity()) {
            buffer.clear();
            spares.push(buffer);
        }
    }
}
