//! Socket options, so that a half-open connection is found although nobody sends on it.
//!
//! Input: a TCP socket. Output: the same with options set. It never fails a connection: an option that the
//! system refuses is logged and the connection serves without it.

use socket2::{SockRef, TcpKeepalive};
use std::{net::TcpListener, time::Duration};
use tokio::net::TcpStream;

/// Idle time before the first keep-alive probe.
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(15);
/// From one keep-alive probe to the next.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// Unanswered probes that end a connection: 30 s of silence in all.
const KEEP_ALIVE_PROBES: u32 = 3;
/// The longest that sent bytes may stay unacknowledged. As long as keep-alive takes, since Linux also counts the time in
/// which a living peer that doesn't read keeps its window shut, and a server busy with a slow script is such a peer.
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Options of a connection to a node: no delay, keep-alive, and an end to bytes that nobody acknowledges.
pub fn tune_upstream(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    keep_alive(&socket);
    warn_of(socket.set_tcp_user_timeout(Some(USER_TIMEOUT)), "TCP_USER_TIMEOUT");
}

/// Options of applications' connections, which inherit them from their listener: no delay and keep-alive. No limit on unacknowledged
/// bytes: an application may take its time to read, and what it makes Pointsman keep is bounded elsewhere.
pub fn tune_listener(listener: &TcpListener) {
    keep_alive(&SockRef::from(listener));
}

fn keep_alive(socket: &SockRef<'_>) {
    warn_of(socket.set_tcp_nodelay(true), "TCP_NODELAY");
    let keep_alive = TcpKeepalive::new()
        .with_time(KEEP_ALIVE_IDLE)
        .with_interval(KEEP_ALIVE_INTERVAL)
        .with_retries(KEEP_ALIVE_PROBES);
    warn_of(socket.set_tcp_keepalive(&keep_alive), "SO_KEEPALIVE");
}

fn warn_of(result: std::io::Result<()>, option: &str) {
    if let Err(error) = result {
        tracing::debug!(option, %error, "a socket option could not be set");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_connections_have_their_listeners_options() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        tune_listener(&listener);
        let _client = std::net::TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let (accepted, _) = listener.accept().expect("its other end");
        let socket = SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().expect("an option") && socket.keepalive().expect("an option"));
        assert_eq!(socket.tcp_keepalive_time().expect("an option"), KEEP_ALIVE_IDLE);
        assert_eq!(socket.tcp_keepalive_interval().expect("an option"), KEEP_ALIVE_INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().expect("an option"), KEEP_ALIVE_PROBES);
    }
}
