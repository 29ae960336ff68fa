//! One HTTP connection with its bounds, the same for operators and for monitoring.

use super::patience::Patient;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// How long a request's head may take, and how long a connection may idle between requests.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// The most bytes of a head, and about as many wait for a slow reader.
const HEAD_BYTES: usize = 16 * 1024;
/// What the kernel keeps for a slow reader; the kernel's own choice may be hundreds of times as much.
const SEND_BUFFER: usize = 64 * 1024;

/// Serves one connection until it ends. Errors are the peer's: they are only worth a debug line.
pub(super) async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send>(stream: S, router: Router) {
    let service = TowerToHyperService::new(router);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(Patient::new(stream)), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "an HTTP connection broke");
    }
}

/// Bounds what the kernel keeps of a connection's answers.
pub(super) fn bound(socket: &impl std::os::fd::AsFd) {
    // Where that can't be set, the kernel's own bound holds.
    let _ = socket2::SockRef::from(socket).set_send_buffer_size(SEND_BUFFER);
}
