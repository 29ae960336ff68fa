//! Who decides, and what has been decided: the journal, whose fold is the state.
//!
//! Inputs: drafts of records. Outputs: records with their number and the folded state. It never decides, and it never
//! says that something is written before it would survive a crash.

pub mod local;

use crate::model::{
    record::{Draft, Record},
    state::State,
};
use std::{future::Future, pin::Pin, sync::Arc};

/// Why a record could not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoordError {
    /// What happened, with the path and the system's words.
    pub detail: String,
}

/// Where decisions are kept. `local` is the journal on this machine's disk.
pub trait Coordinator: Send + Sync {
    /// Appends the drafts together, in order; resolves when they are durable (one fsync for all).
    fn append(&self, drafts: Vec<Draft>) -> Pin<Box<dyn Future<Output = Result<Vec<Record>, CoordError>> + Send + '_>>;

    /// The state as of the last durable record.
    fn state(&self) -> Arc<State>;

    /// Records with a number greater than `after`, oldest first, at most `limit`.
    fn records(
        &self,
        after: u64,
        limit: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Record>, CoordError>> + Send + '_>>;

    /// Number and hash of the last durable record, for logs and alerts.
    fn head(&self) -> (u64, String);
}
