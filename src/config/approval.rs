//! What a service asks of a switch by hand: a second person.
//!
//! Input: nothing; the reader builds it. Output: the settings that `decision` and the checks read. Never: who the people are.

use std::time::Duration;

/// `require_approval` and `approval_timeout` of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approval {
    /// Whether a switch by hand waits for a second person. Default false.
    pub required: bool,
    /// How long it waits; 1 s to a day. Default 15 min.
    pub timeout: Duration,
}

impl Default for Approval {
    fn default() -> Self {
        Self { required: false, timeout: Duration::from_mins(15) }
    }
}
