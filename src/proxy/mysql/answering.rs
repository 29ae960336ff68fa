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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::mysql::{error, packet};

    #[test]
    fn the_answer_to_the_setup_is_found_whole_and_once() {
        let mut both = b"\x07\0\0\x01\0\0\0\x02\0\0\0".to_vec();
        let own = both.len();
        both.extend_from_slice(&both.clone());
        let mut answering = Answering::new(com::QUERY, Capabilities::default(), Retry::Reads);
        assert_eq!(answering.behind_setup(&both, Capabilities::default()), Ok(Some(0)), "none is awaited");
        answering.setup = true;
        for end in 0..own {
            assert_eq!(answering.behind_setup(&both[..end], Capabilities::default()), Ok(None), "{end}");
        }
        assert_eq!(answering.behind_setup(&both, Capabilities::default()), Ok(Some(own)));
        assert_eq!(answering.behind_setup(&both[own..], Capabilities::default()), Ok(Some(0)));
    }

    #[test]
    fn a_node_that_refuses_the_setup_is_told_from_one_that_refuses_the_command() {
        let mut refused = Vec::new();
        packet::write_with(&mut refused, 1, |out| error::write(out, error::ACCESS_DENIED, true, "no"));
        let mut answering = Answering::new(com::QUERY, Capabilities::default(), Retry::Reads);
        answering.setup = true;
        assert_eq!(answering.behind_setup(&refused, Capabilities::default()), Err(()));
        answering.setup = false;
        assert_eq!(answering.behind_setup(&refused, Capabilities::default()), Ok(Some(0)));
    }
}
