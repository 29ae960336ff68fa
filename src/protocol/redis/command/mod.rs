//! What Pointsman knows of each command: may it share an upstream, may it be sent again, does it block, may it pass at all.
//!
//! [`find`] looks a name up in the table made from the servers' own `COMMAND`; [`classify`] adds what the arguments say and
//! gives one [`Class`] a request. Nothing here remembers anything: what a session has done before is in
//! [`super::session`].

mod classify;
mod deny;
mod spec;
mod table;
mod timeout;

#[cfg(test)]
mod classify_tests;

pub use classify::{Block, Class, Retry, Route, Timeout, Why, classify};
pub use deny::{DenyList, UnknownCommand};
pub use spec::{Flags, Kind, Local, Spec, all_names, find};
pub(in crate::protocol::redis) use timeout::arguments;
pub use timeout::{Remaining, block_timeout, pause_length, rewrite_timeout};
