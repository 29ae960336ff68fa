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
mod panic;
mod pinned;
mod pool;
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
    Counted,
    conn::{Reader, Writer},
};
use client::Client;
use session::Session;
use std::rc::Rc;

/// Begins a session in a task of its own.
pub fn begin(lane: Rc<Lane>, reader: Reader, writer: Writer, peer: Box<str>, counted: [Counted; 2]) {
    let client = Rc::new(Client::new(writer, Rc::clone(&lane.turn.pool)));
    let session = Session::new(lane, client, reader, peer);
    tokio::task::spawn_local(async move {
        let _counted = counted;
        session.run().await;
    });
}
