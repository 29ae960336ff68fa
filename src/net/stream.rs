//! One stream type over TCP, Unix sockets and TLS, read and written without waiting and without a task in between.
//!
//! Input: a connected socket. Output: bytes. Readiness means "worth a try": `try_read` and `try_write` may still answer
//! `WouldBlock`. It never buffers plain sockets, and bounds what TLS buffers.

use super::tls_stream::TlsStream;
use bytes::{BufMut, BytesMut};
use std::{
    future::poll_fn,
    io,
    net::Shutdown,
    task::{Context, Poll},
};
use tokio::{
    io::Interest,
    net::{TcpStream, UnixStream},
};

/// Room that one [`Stream::try_read_buf`] makes sure of, in bytes.
const READ_ROOM: usize = 4096;

/// A connected byte stream. All waiting on one stream is done by one task at a time: a second task's waker would
/// replace the first one's.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<TlsStream>),
}

impl Stream {
    /// Reads what is there: `Ok(0)` at the end of the stream, `WouldBlock` if there is nothing yet.
    pub fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(buf),
            Self::Unix(stream) => stream.try_read(buf),
            Self::Tls(stream) => stream.try_read(buf),
        }
    }

    /// As [`Self::try_read`], appending to `buf` up to its free capacity, or 4 KiB if it has none.
    pub fn try_read_buf(&mut self, buf: &mut BytesMut) -> io::Result<usize> {
        if buf.capacity() == buf.len() {
            buf.reserve(READ_ROOM);
        }
        match self {
            Self::Tcp(stream) => stream.try_read_buf(buf),
            Self::Unix(stream) => stream.try_read_buf(buf),
            Self::Tls(stream) => stream.try_read_buf(buf),
        }
    }

    /// Writes what can be taken now: the number of bytes, or `WouldBlock`. Bytes taken by TLS may wait inside it until
    /// the socket takes them ([`Self::unflushed`]).
    pub fn try_write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(buf),
            Self::Unix(stream) => stream.try_write(buf),
            Self::Tls(stream) => stream.try_write(buf),
        }
    }

    /// Whether bytes that `try_write` took still wait for the socket. Waiting for readiness of any sort moves them on;
    /// who waits for nothing on this stream must wait for `writable` while this is true. Never true without TLS.
    pub fn unflushed(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => false,
            Self::Tls(stream) => stream.unflushed(),
        }
    }

    /// Polls for something to read, or the end of the stream.
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
            Self::Tls(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Polls for room to write.
    pub fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
            Self::Tls(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Waits until reading is worth a try. Cancel safe.
    pub async fn readable(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_read_ready(cx)).await
    }

    /// Waits until writing is worth a try. Cancel safe.
    pub async fn writable(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_write_ready(cx)).await
    }

    /// Waits until one of the two asked for is worth a try; says which are: `(readable, writable)`. Cancel safe.
    pub async fn ready(&mut self, interest: Interest) -> io::Result<(bool, bool)> {
        poll_fn(|cx| {
            let read = if interest.is_readable() { self.poll_read_ready(cx)? } else { Poll::Pending };
            let write = if interest.is_writable() { self.poll_write_ready(cx)? } else { Poll::Pending };
            if read.is_pending() && write.is_pending() {
                return Poll::Pending;
            }
            Poll::Ready(Ok((read.is_ready(), write.is_ready())))
        })
        .await
    }

    /// Waits for bytes and appends them; 0 at the end of the stream. Cancel safe.
    pub async fn read_buf(&mut self, buf: &mut BytesMut) -> io::Result<usize> {
        loop {
            match self.try_read_buf(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable().await?,
                done => return done,
            }
        }
    }

    /// Writes all of `bytes` and sees them into the socket.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() || self.unflushed() {
            if bytes.is_empty() {
                self.writable().await?;
                continue;
            }
            match self.try_write(bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says that nothing more will be written, as far as the socket takes it now; reading goes on.
    pub fn close_write(&mut self) {
        // A peer that is gone already is the only error there can be, and is what the caller wants.
        let _ = match self {
            Self::Tcp(stream) => socket2::SockRef::from(&*stream).shutdown(Shutdown::Write),
            Self::Unix(stream) => socket2::SockRef::from(&*stream).shutdown(Shutdown::Write),
            Self::Tls(stream) => stream.close_write(),
        };
    }
}

/// Appends to `buf` by one call of `read` on its free capacity.
pub(super) fn append(buf: &mut BytesMut, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
    let start = buf.len();
    let room = buf.capacity() - start;
    buf.put_bytes(0, room);
    let result = read(buf.get_mut(start..).unwrap_or_default());
    buf.truncate(start + result.as_ref().copied().unwrap_or(0));
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixStream;

    #[tokio::test]
    async fn a_unix_pair_carries_bytes_both_ways_and_ends() {
        let (left, right) = UnixStream::pair().unwrap();
        let (mut left, mut right) = (Stream::Unix(left), Stream::Unix(right));
        let mut buf = BytesMut::new();
        assert_eq!(right.try_read_buf(&mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        left.write_all(b"PING").await.unwrap();
        right.read_buf(&mut buf).await.unwrap();
        assert_eq!(&buf[..], b"PING");
        left.close_write();
        assert_eq!(right.read_buf(&mut buf).await.unwrap(), 0);
        right.write_all(b"PONG").await.unwrap();
        buf.clear();
        left.read_buf(&mut buf).await.unwrap();
        assert_eq!(&buf[..], b"PONG");
    }

    #[tokio::test]
    async fn ready_says_which_side_is() {
        let (left, right) = UnixStream::pair().unwrap();
        let (mut left, _right) = (Stream::Unix(left), right);
        assert_eq!(left.ready(Interest::READABLE | Interest::WRITABLE).await.unwrap(), (false, true));
    }
}
