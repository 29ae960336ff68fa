//! Free ports for servers. They lie below the kernel's range for outgoing connections, so that no client's own port takes one
//! between the choice and the server's bind.

use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

static TAKEN: AtomicU16 = AtomicU16::new(0);

/// A port of 127.0.0.1 nobody listens on, never given twice by one process. `POINTSMAN_TEST_PORTS="23000-23999"` limits the
/// choice. Another process can still take it first: whoever starts a server tries again with another.
pub fn free_port() -> u16 {
    let range = range();
    let length = range.end - range.start;
    // Test programs that run side by side begin at different places.
    let offset = u16::try_from(std::process::id().wrapping_mul(131) % u32::from(length)).expect("less than a u16");
    for _ in 0..length {
        let next = TAKEN.fetch_add(1, Ordering::Relaxed) % length;
        let port = range.start + (offset + next) % length;
        if is_free(port) {
            return port;
        }
    }
    panic!("no free port in {range:?}");
}

/// Bound, and not listened on: a program that is being started at this moment has a copy of the socket until it runs, and a client
/// that connected to such a copy would be thrown out by what it takes for its server.
fn is_free(port: u16) -> bool {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("an option of every socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).is_ok()
}

fn range() -> Range<u16> {
    let Ok(text) = std::env::var("POINTSMAN_TEST_PORTS") else { return 12_000..31_000 };
    let (first, last) = text.split_once('-').expect("POINTSMAN_TEST_PORTS is FIRST-LAST");
    first.parse().expect("a first port")..last.parse::<u16>().expect("a last port") + 1
}
