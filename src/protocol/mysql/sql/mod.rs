//! What a statement's text says about the session that runs it.
//!
//! [`classify`] tells what kind a statement is and what it may leave behind; [`assignments`](set::assignments) lists what a `SET` sets;
//! [`kill`](kill::kill) finds whom a `KILL` means. This is no parser: what isn't understood is [`Kind::Unknown`], which is treated as a
//! write that is never sent again. Nothing here allocates, and every byte of the text is read once.

mod classify;
mod contents;
pub mod kill;
mod lexer;
pub mod set;
mod statement;
mod words;

#[cfg(test)]
mod classify_tests;
#[cfg(test)]
mod set_tests;

pub use classify::classify;
pub use lexer::{Dialect, Lexer, Token};
pub use statement::{Flags, Kind, Statement};
