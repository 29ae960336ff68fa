//! TLS over a TCP socket without a task in between: rustls' own buffers, driven by who reads and writes.
//!
//! Input: a socket and a fresh session. Output: a stream with the readiness rules of [`super::Stream`]. Bounded: rustls
//! keeps at most 16 KiB of received plaintext, and no new plaintext is taken while ciphertext waits for the socket.
//!
//! Two things differ from a plain socket and cause lost wake-ups when forgotten: plaintext may wait inside although the
//! socket isn't readable, and ciphertext may wait inside although the caller has nothing more to write. So polling for
//! reading answers at once while plaintext waits, and polling of either sort moves waiting ciphertext on.

use super::stream::append;
use bytes::BytesMut;
use rustls::Connection;
use std::{
    io::{self, Read, Write},
    net::Shutdown,
    task::{Context, Poll},
};
use tokio::net::TcpStream;

/// Plaintext that one `try_write` takes at most, in bytes.
const WRITE_LIMIT: usize = 64 * 1024;

/// An established TLS stream.
#[derive(Debug)]
pub struct TlsStream {
    socket: TcpStream,
    session: Connection,
    /// Decrypted bytes that wait inside the session.
    plaintext: usize,
    /// Nothing more will come from the socket.
    ended: bool,
}

/// Lets rustls use the socket without waiting.
struct NoWait<'a>(&'a TcpStream);

impl Read for NoWait<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }
}

impl Write for NoWait<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TlsStream {
    /// Shakes hands on a connected socket, as client or server as the session is. Unbounded in time: the caller's limit
    /// ends it. A failure of the peer's proof is told to the peer by an alert before it is returned.
    pub async fn handshake(socket: TcpStream, mut session: Connection) -> io::Result<Self> {
        session.set_buffer_limit(Some(WRITE_LIMIT));
        let mut stream = Self { socket, session, plaintext: 0, ended: false };
        while stream.session.is_handshaking() || stream.session.wants_write() {
            if stream.session.wants_write() && !stream.flush()? {
                stream.socket.writable().await?;
            } else if stream.session.is_handshaking() {
                match stream.receive() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.socket.readable().await?,
                    Err(error) => return Err(error),
                    Ok(()) if stream.ended => {
                        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed during the handshake"));
                    }
                    Ok(()) => {}
                }
            }
        }
        Ok(stream)
    }

    pub(super) fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.plaintext > 0 {
                let read = self.session.reader().read(buf)?;
                self.plaintext = self.plaintext.saturating_sub(read);
                return Ok(read);
            }
            if self.ended {
                return Ok(0);
            }
            self.receive()?;
        }
    }

    pub(super) fn try_read_buf(&mut self, buf: &mut BytesMut) -> io::Result<usize> {
        append(buf, |room| self.try_read(room))
    }

    pub(super) fn try_write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if !self.flush()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = self.session.writer().write(buf)?;
        // What the socket doesn't take now waits inside; an error comes back with the next call.
        let _ = self.flush();
        Ok(taken)
    }

    pub(super) fn unflushed(&self) -> bool {
        self.session.wants_write()
    }

    pub(super) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.plaintext > 0 || self.ended {
            return Poll::Ready(Ok(()));
        }
        // If ciphertext still waits, the write side's waker is set now and the read side's below: either brings us back.
        let _ = self.poll_flush(cx)?;
        self.socket.poll_read_ready(cx)
    }

    pub(super) fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.poll_flush(cx)? {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => self.socket.poll_write_ready(cx),
        }
    }

    pub(super) fn close_write(&mut self) -> io::Result<()> {
        self.session.send_close_notify();
        let _ = self.flush()?;
        socket2::SockRef::from(&self.socket).shutdown(Shutdown::Write)
    }

    /// Takes in what the socket has, once, and decrypts it. `WouldBlock` if it has nothing.
    fn receive(&mut self) -> io::Result<()> {
        if self.session.read_tls(&mut NoWait(&self.socket))? == 0 {
            // An end without a farewell counts as an end too: servers close that way, and a cut-off reply is found by
            // the framing of the protocol above.
            self.ended = true;
        }
        match self.session.process_new_packets() {
            Ok(state) => {
                self.plaintext = state.plaintext_bytes_to_read();
                self.ended |= state.peer_has_closed();
                // Key updates are answered here; what the socket doesn't take waits for the next poll.
                let _ = self.flush();
                Ok(())
            }
            Err(error) => {
                let _ = self.flush();
                Err(io::Error::new(io::ErrorKind::InvalidData, error))
            }
        }
    }

    /// Moves waiting ciphertext to the socket; false if some still waits.
    fn flush(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut NoWait(&self.socket)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.flush()? {
            // Ready here means that the socket freed room since: try again, until it takes all or a waker is set.
            if self.socket.poll_write_ready(cx)?.is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }
}
