//! What an error says beside its text: whose side it is on and whether trying again can help.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The application or operator.
    Client,
    /// A node of the store.
    Node,
    /// Pointsman itself or its machine.
    Internal,
}

/// Why an action at a node failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreError {
    /// Whose fault it is.
    pub side: Side,
    /// Whether the same action may succeed when it is tried again.
    pub retryable: bool,
    /// Whether the node may have carried the action out although it failed for us (the connection broke after the command was sent).
    pub maybe_done: bool,
    /// What happened, for the log and the journal: names the node and the command, never a secret.
    pub detail: String,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for StoreError {}
