//! A connection as it was accepted, on its way to the worker that serves it.

use crate::net::{ServerTls, Stream};
use std::{io, time::Duration};
use tokio::time::timeout;

/// How long a client may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A connection as it was accepted.
pub enum Arrival {
    /// TCP, its peer, and the TLS to speak.
    Tcp(std::net::TcpStream, Box<str>, Option<ServerTls>),
    /// A Unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl Arrival {
    /// A stream of this thread's runtime with nothing said on it yet, its peer, and the TLS that it may change to.
    pub fn plain(self) -> io::Result<(Stream, Box<str>, Option<ServerTls>)> {
        match self {
            Self::Unix(stream) => Ok((Stream::Unix(tokio::net::UnixStream::from_std(stream)?), "unix".into(), None)),
            Self::Tcp(stream, peer, tls) => Ok((Stream::Tcp(tokio::net::TcpStream::from_std(stream)?), peer, tls)),
        }
    }

    /// The same after the TLS handshake, where TLS comes first.
    pub async fn shake_hands(self) -> io::Result<(Stream, Box<str>)> {
        match self.plain()? {
            (Stream::Tcp(stream), peer, Some(tls)) => {
                Ok((timeout(HANDSHAKE, Box::pin(tls.accept(stream))).await??, peer))
            }
            (stream, peer, _) => Ok((stream, peer)),
        }
    }
}
