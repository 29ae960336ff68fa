//! A client as small as a client can be: it knows nothing of Pointsman, and it doesn't reconnect.

use bytes::{Buf, BytesMut};
use redis_protocol::resp2::{decode::decode, types::OwnedFrame};
use std::{
    fmt::Write as _,
    io,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How long an answer may take before it counts as an error.
const PATIENCE: Duration = Duration::from_secs(15);

/// One connection.
pub(in crate::demo) struct Client {
    stream: TcpStream,
    input: BytesMut,
}

impl Client {
    pub(super) async fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: BytesMut::with_capacity(4096) })
    }

    /// Sends one command.
    pub(super) async fn send(&mut self, words: &[&str]) -> io::Result<()> {
        let mut out = format!("*{}\r\n", words.len());
        for word in words {
            // Writing to a String can't fail.
            let _ = write!(out, "${}\r\n{word}\r\n", word.len());
        }
        self.stream.write_all(out.as_bytes()).await
    }

    /// Reads one reply; the caller says how long it may take.
    pub(super) async fn read(&mut self) -> io::Result<OwnedFrame> {
        loop {
            match decode(&self.input).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))? {
                Some((frame, length)) => {
                    self.input.advance(length);
                    return Ok(frame);
                }
                None if self.stream.read_buf(&mut self.input).await? == 0 => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                None => {}
            }
        }
    }

    /// Sends a command and reads its reply; an error reply is an error here too. Answers with the time it took.
    pub(super) async fn call(&mut self, words: &[&str]) -> io::Result<(OwnedFrame, Duration)> {
        let begin = Instant::now();
        self.send(words).await?;
        let reply = tokio::time::timeout(PATIENCE, self.read()).await.map_err(|_| io::ErrorKind::TimedOut)??;
        match reply {
            OwnedFrame::Error(text) => Err(io::Error::other(text)),
            reply => Ok((reply, begin.elapsed())),
        }
    }
}

/// The number in a reply, an integer or digits.
pub(super) fn number(frame: &OwnedFrame) -> Option<u64> {
    match frame {
        OwnedFrame::Integer(number) => u64::try_from(*number).ok(),
        OwnedFrame::BulkString(bytes) | OwnedFrame::SimpleString(bytes) => {
            std::str::from_utf8(bytes).ok()?.parse().ok()
        }
        _ => None,
    }
}
