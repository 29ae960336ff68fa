//! A [`Stream`] for hyper's clients.
//!
//! Input: a connected stream. Output: what hyper reads and writes. It knows nothing of HTTP, and buffers nothing.

use super::stream::Stream;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// How much is read from the socket at once.
const CHUNK: usize = 16 * 1024;

/// Our stream in the shape that hyper reads and writes.
#[derive(Debug)]
pub struct HyperIo(Stream);

impl HyperIo {
    /// Wraps a connected stream.
    pub fn new(stream: Stream) -> Self {
        Self(stream)
    }

    /// Tries, and waits for the socket where it isn't ready.
    fn read(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.0.try_read(room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.0.poll_read_ready(cx))?,
                done => return Poll::Ready(done),
            }
        }
    }
}

impl Read for HyperIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut chunk = [0; CHUNK];
        let most = buf.remaining().min(CHUNK);
        let room = chunk.get_mut(..most).unwrap_or_default();
        let read = ready!(self.read(cx, room))?;
        buf.put_slice(room.get(..read).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl Write for HyperIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.0.poll_write_ready(cx))?,
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.0.unflushed() {
            ready!(self.0.poll_write_ready(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.close_write();
        Poll::Ready(Ok(()))
    }
}
