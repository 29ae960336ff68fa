//! Connections on both sides, on real servers: Unix sockets, TLS, credentials, limits, silence, modes.

mod common;
#[path = "connections/credentials.rs"]
mod credentials;
#[path = "connections/limits.rs"]
mod limits;
#[path = "connections/modes.rs"]
mod modes;
#[path = "switchover/rig.rs"]
mod rig;
#[path = "connections/silence.rs"]
mod silence;
#[path = "connections/tls.rs"]
mod tls;
#[path = "connections/tls_client.rs"]
mod tls_client;
#[path = "connections/unix.rs"]
mod unix;

use common::raw::Reply;

fn ok() -> Reply {
    Reply::Simple("OK".into())
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

/// The text of an error; panics on anything else.
#[track_caller]
fn error(reply: Reply) -> String {
    match reply {
        Reply::Error(text) => text,
        other => panic!("no error: {other:?}"),
    }
}
