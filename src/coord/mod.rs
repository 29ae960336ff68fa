//! Who decides, and what has been decided: the journal, whose fold is the state.
//!
//! Inputs: drafts of records. Outputs: records with their number and the folded state. It never decides, and it never
//! says that something is written before it would survive a crash.

pub mod local;

use crate::model::{
    record::{Draft, Record},
    state::State,
};
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

/// Why a record could not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoordError {
    /// What happened, with the path and the system's words.
    pub detail: String,
}

/// An answer that takes a disk's time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, CoordError>> + Send + 'a>>;

/// How the journal stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The number of the oldest record that is kept; one more than `seq` where none is.
    pub first: u64,
    /// The number of the last record.
    pub seq: u64,
    /// The hash that vouches for it and for all before it.
    pub hash: String,
    /// Why the last write failed; absent when it could be written.
    pub error: Option<Arc<str>>,
}

/// How much of the journal is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Records that are older may go; without an age none is too old.
    pub age: Option<Duration>,
    /// The oldest may go while all of it is larger.
    pub bytes: u64,
}

/// Where decisions are kept. `local` is the journal on this machine's disk.
pub trait Coordinator: Send + Sync {
    /// Appends the drafts together, in order; resolves when they are durable (one fsync for all).
    fn append(&self, drafts: Vec<Draft>) -> Answer<'_, Vec<Record>>;

    /// The state as of the last durable record.
    fn state(&self) -> Arc<State>;

    /// Records with a number greater than `after`, oldest first, at most `limit`.
    fn records(&self, after: u64, limit: usize) -> Answer<'_, Vec<Record>>;

    /// Records with a number less than `before`, newest first, at most `limit`.
    fn newest(&self, before: u64, limit: usize) -> Answer<'_, Vec<Record>>;

    /// Removes what needs not be kept any more; gives the record of that, which is durable before anything is gone.
    fn retain(&self, keep: Keep) -> Answer<'_, Option<Record>>;

    /// How it stands, with the number and hash of the last durable record, for logs and alerts.
    fn condition(&self) -> Condition;
}
