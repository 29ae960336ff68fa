//! Sockets for the data path and for the stores alike: resolve a name, connect, TLS, keep-alive, one stream type.
//!
//! Inputs: addresses as configured, PEM files. Outputs: a [`Stream`] that is read and written without a task in between, or
//! an error that says what the failure proves ([`ConnectError`]). It never retries, never decides, never speaks a protocol.

mod connect;
mod hyper_io;
mod options;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod tls_stream;

pub use connect::{ConnectError, Endpoint};
pub use hyper_io::HyperIo;
pub use options::{tune_listener, tune_upstream};
pub use stream::Stream;
pub use tls::{ClientTls, ServerTls, TlsFileError};
pub use tls_stream::TlsStream;
