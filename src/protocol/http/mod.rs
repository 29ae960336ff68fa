//! HTTP/1.1 as a proxy sees it: where heads and bodies end, and what may be handed on.
//!
//! [`RequestHead`] and [`ResponseHead`] read a head by httparse, decide the framing of the body behind it, and write themselves
//! onwards without what belongs to one connection only; [`ChunkScanner`] finds where a chunked body ends. Inputs are byte slices
//! that the caller owns, outputs are appended to buffers of the caller's. What two parsers could read in two ways (two lengths, a
//! length beside chunks, bare line feeds, folded lines) is an error and never guessed at. Nothing here does I/O or knows whose API
//! is spoken, and only [`Coding`] allocates; HTTP/2 and upgrades are not served.
//!
//! Sources: RFC 9110 (7.6.1, Connection), RFC 9112 (6, message body; 7.1, chunks).

mod chunked;
mod coding;
mod cuts;
mod head;
mod request;
mod response;

#[cfg(test)]
mod chunked_tests;
#[cfg(test)]
mod request_tests;
#[cfg(test)]
mod response_tests;

pub use chunked::{BadChunk, ChunkScanner, Scanned, begin_chunk};
pub use coding::{Coding, Undecodable};
pub use head::{BadHead, Body, Limits, MAX_HEADERS, Version};
pub use request::{Method, RequestChanges, RequestHead};
pub use response::{ResponseChanges, ResponseHead};
