//! What the configuration says of the journal: how much of it is kept, and what is done when its disk is full.

use std::time::Duration;

/// `[journal]`: how much of it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Journal {
    /// Whole segments that are older are removed. Default: none is too old.
    pub keep: Option<Duration>,
    /// The oldest segments are removed while all of them are larger, 8 MiB to 64 GiB. Default 256 MiB.
    pub keep_size: u64,
}

impl Default for Journal {
    fn default() -> Self {
        Self { keep: None, keep_size: 256 << 20 }
    }
}

/// `failover.full_journal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FullJournal {
    /// What can't be written down isn't done: an operator decides, or the disk has room again.
    #[default]
    Block,
    /// Fail over all the same, and write it down as soon as there is room.
    Promote,
}
