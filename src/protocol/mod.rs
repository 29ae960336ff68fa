//! Pure wire protocols: scanners, codecs, session state, classification and refusals. Bytes in, facts out: no sockets, no
//! clock, no async. One folder a kind of store.

pub mod elastic;
pub mod http;
pub mod mysql;
pub mod redis;
