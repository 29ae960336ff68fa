//! Redis: sessions, shared and pinned upstreams.
//!
//! A request's way: [`session`] reads and classifies it; most go to the [`shared`] upstream of the session's login, database
//! and protocol, whose [`drive`]r hands the replies straight back to the [`client`]; what leaves state behind goes to a
//! [`pinned`] upstream of the session's own. The [`steward`] carries out what the board says.

mod act;
mod ask;
mod backlog;
mod busy;
mod client;
mod door;
mod drive;
mod handover;
mod idle;
mod inbox;
mod join;
mod key;
mod lane;
mod large;
mod local;
mod moving;
mod open;
mod outage;
mod panic;
mod pinned;
mod queue;
mod resend;
mod retry;
mod run;
mod script;
mod send;
mod session;
mod settle;
mod shared;
mod spare;
mod steward;
mod stuck;
mod turn;
mod warm;
mod witness;

pub use lane::Lane;
pub use steward::follow;
pub use turn::Turn;

use super::{
    Arrival, Counted,
    conn::{Reader, Writer, split},
};
use client::Client;
use session::Session;
use std::rc::Rc;

/// What a connection is told when there are too many, as Redis says it when `maxclients` is reached.
pub const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

/// Serves one connection. A small task starts the session's own, so that what only the beginning needs is freed.
pub fn greet(lane: Rc<Lane>, arrival: Arrival, counted: [Counted; 2]) {
    tokio::task::spawn_local(async move {
        match arrival.shake_hands().await {
            Ok((stream, peer)) => {
                let (reader, writer) = split(stream);
                begin(lane, reader, writer, peer, counted);
            }
            Err(error) => tracing::debug!(%error, "a connection ended before its session began"),
        }
    });
}

/// Begins a session in a task of its own.
fn begin(lane: Rc<Lane>, reader: Reader, writer: Writer, peer: Box<str>, counted: [Counted; 2]) {
    let client = Rc::new(Client::new(writer, Rc::clone(&lane.turn.pool)));
    let session = Session::new(lane, client, reader, peer);
    tokio::task::spawn_local(async move {
        let _counted = counted;
        session.run().await;
    });
}
