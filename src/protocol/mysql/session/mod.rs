//! What is known of a session's state, so that it can be had again on another node.

pub mod statements;
pub mod text;
