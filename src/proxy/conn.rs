//! One byte stream of either side: plain TCP, a Unix socket, or TLS over TCP, behind one pair of halves.
//!
//! Input: a connected stream. Output: a [`Reader`] that its task polls, and a [`Writer`] that anybody on the same thread may
//! try to write to without being woken for it. Never: buffers of its own (TLS has some, inside its library).

use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream, tcp, unix},
};
use tokio_rustls::TlsStream;

/// A connected stream, before it is split.
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS, either side of it.
    Tls(Box<TlsStream<TcpStream>>),
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl Stream {
    /// The two halves.
    pub fn split(self) -> (Reader, Writer) {
        match self {
            Self::Tcp(stream) => {
                let (reader, writer) = stream.into_split();
                (Reader::Tcp(reader), Writer::Tcp(writer))
            }
            Self::Unix(stream) => {
                let (reader, writer) = stream.into_split();
                (Reader::Unix(reader), Writer::Unix(writer))
            }
            Self::Tls(stream) => {
                let tls = Rc::new(Tls { stream: RefCell::new(stream), unflushed: Cell::new(false) });
                (Reader::Tls(Rc::clone(&tls)), Writer::Tls(tls))
            }
        }
    }
}

/// A TLS stream that both halves reach into. The borrows never overlap: each lasts for one call on one thread.
pub struct Tls {
    stream: RefCell<Box<TlsStream<TcpStream>>>,
    /// True while encrypted bytes wait inside the library for the socket.
    unflushed: Cell<bool>,
}

/// The reading half.
pub enum Reader {
    /// Of a TCP stream.
    Tcp(tcp::OwnedReadHalf),
    /// Of a Unix socket.
    Unix(unix::OwnedReadHalf),
    /// Of a TLS stream.
    Tls(Rc<Tls>),
}

impl Reader {
    /// Reads into `buf`; 0 bytes is the end. A read that doesn't fill `buf` spares the next call a system call, so `buf` should
    /// be large.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        match self {
            Self::Tcp(half) => ready!(Pin::new(half).poll_read(cx, &mut buf))?,
            Self::Unix(half) => ready!(Pin::new(half).poll_read(cx, &mut buf))?,
            Self::Tls(tls) => ready!(Pin::new(&mut **tls.stream.borrow_mut()).poll_read(cx, &mut buf))?,
        }
        Poll::Ready(Ok(buf.filled().len()))
    }
}

/// The writing half. Dropping it ends the sending side.
pub enum Writer {
    /// Of a TCP stream.
    Tcp(tcp::OwnedWriteHalf),
    /// Of a Unix socket.
    Unix(unix::OwnedWriteHalf),
    /// Of a TLS stream.
    Tls(Rc<Tls>),
}

impl Writer {
    /// Writes what fits now; `Ok(0)` if nothing does.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let result = match self {
            Self::Tcp(half) => half.try_write(bytes),
            Self::Unix(half) => half.try_write(bytes),
            Self::Tls(tls) => tls.try_write(bytes),
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
            Self::Tls(tls) => tls.poll_flush(cx),
        }
    }

    /// True while TLS keeps bytes that the socket didn't take.
    pub fn unflushed(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.unflushed.get())
    }
}

impl Tls {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut cx = Context::from_waker(Waker::noop());
        let written = match Pin::new(&mut **self.stream.borrow_mut()).poll_write(&mut cx, bytes) {
            Poll::Ready(result) => result?,
            Poll::Pending => 0,
        };
        if let Poll::Ready(result) = self.poll_flush(&mut cx) {
            result?;
        }
        Ok(written)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut **self.stream.borrow_mut()).poll_flush(cx);
        self.unflushed.set(flushed.is_pending());
        flushed
    }
}
