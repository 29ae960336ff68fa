//! One connection of either side while something is said on it step by step: logins, and what Pointsman itself asks a node.
//!
//! The relay of commands doesn't go this way: it polls the two halves itself. Never: time limits, which are the caller's.

use crate::{
    protocol::mysql::packet::{self, HEADER, Header},
    proxy::line::Line,
};
use std::{future::poll_fn, io};

/// Bytes that one read takes at most.
const CHUNK: usize = 4 * 1024;

impl Line {
    /// Appends what is there, at least a byte.
    pub async fn read(&mut self, buf: &mut Vec<u8>) -> io::Result<()> {
        let start = buf.len();
        buf.resize(start + CHUNK, 0);
        let room = buf.get_mut(start..).unwrap_or_default();
        let result = poll_fn(|cx| self.reader.poll_read(cx, room)).await;
        buf.truncate(start + result.as_ref().copied().unwrap_or_default());
        match result? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Writes all of `bytes`.
    pub async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.writer.send(bytes).await
    }

    /// The next packet of at most `longest` bytes, whatever its number, without those behind it, which stay in `unread`. The payload replaces
    /// what is in `payload`.
    pub async fn packet(&mut self, unread: &mut Vec<u8>, payload: &mut Vec<u8>, longest: usize) -> io::Result<u8> {
        loop {
            if let Some(header) = Header::read(unread) {
                if header.len > longest {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                if let Some((_, found)) = packet::read(unread) {
                    payload.clear();
                    payload.extend_from_slice(found);
                    unread.drain(..HEADER + header.len);
                    return Ok(header.sequence);
                }
            }
            self.read(unread).await?;
        }
    }
}
