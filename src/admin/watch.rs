//! The listener of monitoring: `/metrics`, `/livez`, `/readyz`. It reads; nothing can be changed through it.

use super::serve;
use crate::{
    control::Handle,
    model::name::ServiceName,
    telemetry::{CONTENT_TYPE, Metrics, Traffic, render},
};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore};

/// How many connections are served at once; more wait in the listener's backlog.
const CONNECTIONS: usize = 64;
/// How long to rest when accepting fails.
const REST: Duration = Duration::from_millis(100);
/// A control loop that did not run for so long is not alive.
const LATE: Duration = Duration::from_secs(5);

/// Where a scrape's numbers come from.
pub struct Sources {
    /// Views, life and readiness.
    pub handle: Handle,
    /// What is counted as it happens.
    pub metrics: Metrics,
    /// Sums what the workers counted for one service.
    pub traffic: Box<dyn Fn(&ServiceName) -> Traffic + Send + Sync>,
}

/// The bound listener.
#[derive(Debug)]
pub struct WatchListener(TcpListener);

impl WatchListener {
    /// Binds the address. Must be called within a tokio runtime.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("telemetry.listen {address}: {error}"));
        Ok(Self(TcpListener::bind(address).await.map_err(named)?))
    }

    /// Serves until the future is dropped; connections go with it.
    pub async fn serve(self, sources: Sources) {
        let router = router(sources);
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = tokio::task::JoinSet::new();
        loop {
            // The semaphore is never closed.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            while connections.try_join_next().is_some() {}
            match self.0.accept().await {
                Ok((stream, _)) => {
                    let router = router.clone();
                    connections.spawn(async move {
                        serve::connection(stream, router).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the telemetry listener can't accept");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }
}

fn router(sources: Sources) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(Arc::new(sources))
}

async fn metrics(State(sources): State<Arc<Sources>>) -> impl IntoResponse {
    let journal = sources.handle.condition();
    sources.metrics.journal(journal.first, journal.seq, journal.error.is_none());
    let page = render(&sources.metrics, &sources.handle.services(), &sources.handle.groups(), &*sources.traffic);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page)
}

async fn livez(State(sources): State<Arc<Sources>>) -> impl IntoResponse {
    if sources.handle.alive(LATE) {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("the control loop did not run for {} s\n", LATE.as_secs()))
    }
}

async fn readyz(State(sources): State<Arc<Sources>>) -> impl IntoResponse {
    if sources.handle.ready() {
        (StatusCode::OK, "ok\n")
    } else if sources.handle.shutting_down() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no service can be served\n")
    }
}
