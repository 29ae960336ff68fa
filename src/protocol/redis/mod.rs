//! The Redis protocol as a proxy sees it.
//!
//! [`scan`] finds where requests and replies end without decoding them, [`command`] knows what a request may do to the
//! connection that carries it, [`session`] remembers what has to be said again on a fresh upstream, [`reply`] writes the
//! few replies that Pointsman gives itself. Inputs are byte slices that the caller owns; nothing here does I/O.

pub mod command;
pub mod reply;
pub mod scan;
pub mod session;

/// The version of the protocol that a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Protocol {
    /// RESP2, what every connection starts with.
    #[default]
    Resp2,
    /// RESP3, after `HELLO 3`.
    Resp3,
}
