//! What is known of a session's state, so that it can be had again on another node.
//!
//! [`carried`] is told every statement that is sent and every OK packet that comes, [`stuck`] says why a session can't move, and [`replay`]
//! writes what brings a fresh connection into its state.

pub mod carried;
mod pending;
pub mod replay;
mod stuck;
pub mod tracking;
pub mod variables;
