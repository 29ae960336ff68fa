//! What is known of a session's state, so that it can be had again on another node.
//!
//! [`carried`] is told every statement that is sent and every OK packet that comes, and says why a session can't move; [`replay`] writes what
//! brings a fresh connection into its state; [`statements`] keeps prepared statements under the client's ids.

pub mod carried;
mod layout;
mod pending;
pub mod replay;
pub mod statements;
mod stuck;
pub mod text;
pub mod tracking;
pub mod variables;

#[cfg(test)]
mod tests;
