//! The MySQL and MariaDB protocol as a proxy sees it.
//!
//! [`packet`] and [`response`] find where packets and answers end without decoding them, [`greeting`], [`login`], [`auth`] and
//! [`node_login`] end handshakes on both sides, [`ok`] and [`error`] read and write the packets that end an answer. Inputs are byte
//! slices that the caller owns; nothing here does I/O, reads a clock or draws random numbers.
//!
//! The protocol is described at <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html> and, where MariaDB differs, at
//! <https://mariadb.com/kb/en/clientserver-protocol/>; names of constants are those of the manuals.

pub mod auth;
pub mod capability;
pub mod error;
pub mod greeting;
pub mod login;
pub mod node_login;
pub mod ok;
pub mod packet;
pub mod response;
pub mod session;
pub mod sql;
pub mod wire;

#[cfg(test)]
mod login_tests;
#[cfg(test)]
mod node_login_tests;
#[cfg(test)]
mod response_tests;
