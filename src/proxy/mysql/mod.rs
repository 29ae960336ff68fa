//! MySQL and MariaDB: one session of the application, one connection to a node, and the state that lets the session go on on another node.
//!
//! A connection's way: [`door`] greets it and checks its password; [`session`] gets it a connection to the node ([`open`]) and runs it;
//! [`plan`] decides what to do with each command, [`relay`] passes it and its answer. The [`steward`] carries out what the board says, and
//! [`moving`] brings sessions to another node.

#[cfg(test)]
mod allocations;
mod answering;
mod aside;
mod ask;
mod command;
mod crash;
mod door;
mod file;
mod handle;
mod lane;
mod local;
mod manners;
mod moving;
mod open;
mod outage;
mod plan;
mod process;
mod random;
mod relay;
mod session;
mod special;
mod state;
mod steward;
mod talk;
mod threads;
mod wait;
mod witness;

pub use lane::Lane;
pub use steward::follow;
pub use threads::Threads;

use super::{Arrival, Counted};
use std::rc::Rc;

/// What a connection is told when there are too many: error 1040 in the place of the greeting.
pub const TOO_MANY: &[u8] = b"\x17\0\0\0\xff\x10\x04Too many connections";

/// Serves one connection. A small task starts the session's own, so that what only the beginning needs is freed.
pub fn greet(lane: Rc<Lane>, arrival: Arrival, counted: [Counted; 2]) {
    tokio::task::spawn_local(async move {
        if let Some(guest) = door::receive(&lane, arrival).await {
            session::begin(lane, guest, counted);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::mysql::{error::ErrPacket, packet};

    #[test]
    fn too_many_is_one_whole_packet() {
        let (header, payload) = packet::read(TOO_MANY).expect("a packet");
        let error = ErrPacket::read(payload).expect("an error");
        assert_eq!((header.sequence, header.len + packet::HEADER, error.number), (0, TOO_MANY.len(), 1040));
    }
}
