//! An answer that is awaited: what is known of it, and what may be done if it doesn't come.
//!
//! Input: a node's bytes. Output: where the application's own answer begins. Never: bytes to anybody.

use super::plan::Retry;
use crate::protocol::mysql::{
    capability::{Capabilities, command as com},
    response::{Found, ResponseScanner},
};
use std::time::Instant;

/// An answer that is awaited.
pub struct Answering {
    /// Where in it we are.
    pub scanner: ResponseScanner,
    /// What may be done if the node is lost now.
    pub retry: Retry,
    /// The application has some of it already.
    pub delivered: bool,
    /// When the command was read.
    pub begun: Instant,
    /// An error ended it.
    pub failed: bool,
    /// The answer to [`SETUP`](crate::protocol::mysql::session::tracking::SETUP) comes first, and is Pointsman's own.
    pub setup: bool,
}

impl Answering {
    /// The answer to a command that is sent now.
    pub fn new(command: u8, capabilities: Capabilities, retry: Retry) -> Self {
        let scanner = ResponseScanner::new(command, capabilities);
        Self { scanner, retry, delivered: false, begun: Instant::now(), failed: false, setup: false }
    }

    /// Where the application's own answer begins; `None` while that can't be told. An error if the node refused the setup.
    pub fn behind_setup(&mut self, buf: &[u8], node: Capabilities) -> Result<Option<usize>, ()> {
        if !self.setup {
            return Ok(Some(0));
        }
        match ResponseScanner::new(com::QUERY, node).next(buf).map(|step| step.found) {
            Ok(Found::Ok { len, .. }) => {
                self.setup = false;
                Ok(Some(len))
            }
            Ok(Found::Nothing { .. }) => Ok(None),
            Ok(_) | Err(_) => Err(()),
        }
    }
}
