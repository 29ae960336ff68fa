//! One byte stream of either side: plain TCP, a Unix socket, or TLS over TCP, behind one pair of halves.
//!
//! Input: a connected stream. Output: a [`Reader`] that its task polls, and a [`Writer`] that anybody on the same thread may
//! try to write to without being woken for it. Never: buffers of its own (TLS has some, inside its library).

use crate::net::Stream;
use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::{tcp, unix},
};

/// A TLS stream that both halves reach into. The borrows never overlap: each lasts for one call on one thread.
type Tls = Rc<RefCell<Stream>>;

/// The two halves of a stream.
pub fn split(stream: Stream) -> (Reader, Writer) {
    match stream {
        Stream::Tcp(stream) => {
            let (reader, writer) = stream.into_split();
            (Reader::Tcp(reader), Writer::Tcp(writer))
        }
        Stream::Unix(stream) => {
            let (reader, writer) = stream.into_split();
            (Reader::Unix(reader), Writer::Unix(writer))
        }
        tls @ Stream::Tls(_) => {
            let tls = Rc::new(RefCell::new(tls));
            (Reader::Tls(Rc::clone(&tls)), Writer::Tls(tls))
        }
    }
}

/// The reading half.
pub enum Reader {
    /// Of a TCP stream.
    Tcp(tcp::OwnedReadHalf),
    /// Of a Unix socket.
    Unix(unix::OwnedReadHalf),
    /// Of a TLS stream.
    Tls(Tls),
}

impl Reader {
    /// Reads into `buf`; 0 bytes is the end. A read that doesn't fill `buf` spares the next call a system call, so `buf` should
    /// be large.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut filling = ReadBuf::new(buf);
        match self {
            Self::Tcp(half) => ready!(Pin::new(half).poll_read(cx, &mut filling))?,
            Self::Unix(half) => ready!(Pin::new(half).poll_read(cx, &mut filling))?,
            Self::Tls(tls) => return poll_tls(tls, cx, buf),
        }
        Poll::Ready(Ok(filling.filled().len()))
    }
}

fn poll_tls(tls: &Tls, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
    let mut stream = tls.borrow_mut();
    loop {
        match stream.try_read(buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(stream.poll_read_ready(cx))?,
            done => return Poll::Ready(done),
        }
    }
}

/// The writing half. Dropping it ends the sending side.
pub enum Writer {
    /// Of a TCP stream.
    Tcp(tcp::OwnedWriteHalf),
    /// Of a Unix socket.
    Unix(unix::OwnedWriteHalf),
    /// Of a TLS stream.
    Tls(Tls),
}

impl Writer {
    /// Writes what fits now; `Ok(0)` if nothing does.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let result = match self {
            Self::Tcp(half) => half.try_write(bytes),
            Self::Unix(half) => half.try_write(bytes),
            Self::Tls(tls) => tls.borrow_mut().try_write(bytes),
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            other => other,
        }
    }

    /// Ready when more can be written (and what TLS keeps inside has gone out).
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => half.as_ref().poll_write_ready(cx),
            Self::Unix(half) => half.as_ref().poll_write_ready(cx),
            Self::Tls(tls) => tls.borrow_mut().poll_write_ready(cx),
        }
    }

    /// Writes all of `bytes`, and what TLS keeps inside.
    pub async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() || self.unflushed() {
            let written = if bytes.is_empty() { 0 } else { self.try_write(bytes)? };
            bytes = bytes.get(written..).unwrap_or_default();
            if written == 0 {
                poll_fn(|cx| self.poll_ready(cx)).await?;
            }
        }
        Ok(())
    }

    /// True while TLS keeps bytes that the socket didn't take.
    pub fn unflushed(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.borrow().unflushed())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Self::Tls(tls) = self {
            tls.borrow_mut().close_write();
        }
    }
}
