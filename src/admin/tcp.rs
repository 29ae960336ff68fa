//! The TCP listener of the admin API, with or without TLS.
//!
//! Inputs: connections, certificates as they are loaded. Output: HTTP connections whose every request must prove itself by a token.
//! Certificates change without a connection being dropped: a new handshake takes the new ones. It never serves plain text where TLS is
//! configured.

use super::{api::AdminApi, gate::Peer, listener, serve};
use crate::{config::Admin, net::ServerTls};
use arc_swap::ArcSwapOption;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};

/// How many connections are served at once; more wait in the listener's backlog.
const CONNECTIONS: usize = 1280;
/// How long to rest when accepting fails.
const REST: Duration = Duration::from_millis(100);
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A machine that answers no packet for so long is gone.
const GONE: Duration = Duration::from_mins(1);

/// The certificates in force. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct AdminTls(Arc<ArcSwapOption<ServerTls>>);

impl AdminTls {
    /// Reads the files and hands over what puts them in force, and with them who may connect to the Unix socket.
    pub fn prepare(&self, admin: &Admin) -> Result<Box<dyn FnOnce() + Send>, String> {
        let tls = admin.tls.as_ref().map(ServerTls::load).transpose();
        let tls = tls.map_err(|error| format!("admin.tls: {error}"))?;
        let (place, admin) = (self.0.clone(), admin.clone());
        Ok(Box::new(move || {
            place.store(tls.map(Arc::new));
            if let Err(error) = listener::set_mode(&admin.socket, &admin) {
                tracing::error!(%error, "the mode of the admin socket can't be set: people may be unable to connect");
            }
        }))
    }
}

/// The bound listener.
#[derive(Debug)]
pub struct AdminTcp {
    listener: TcpListener,
    tls: AdminTls,
}

impl AdminTcp {
    /// Binds `admin.listen`, if it is configured. Must be called within a tokio runtime.
    pub async fn bind(admin: &Admin, tls: &AdminTls) -> io::Result<Option<Self>> {
        let Some(address) = admin.listen else { return Ok(None) };
        let named = |error: io::Error| io::Error::new(error.kind(), format!("admin.listen {address}: {error}"));
        let listener = TcpListener::bind(address).await.map_err(named)?;
        Ok(Some(Self { listener, tls: tls.clone() }))
    }

    /// Serves until the future is dropped; connections go with it.
    pub async fn serve(self, api: AdminApi) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            // The semaphore is never closed.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            while connections.try_join_next().is_some() {}
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    let (api, tls) = (api.clone(), self.tls.0.load_full());
                    connections.spawn(async move {
                        serve_one(stream, from, tls, &api).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "admin.listen can't accept");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }
}

async fn serve_one(stream: TcpStream, from: SocketAddr, tls: Option<Arc<ServerTls>>, api: &AdminApi) {
    let Ok(own) = stream.local_addr() else { return };
    serve::bound(&stream);
    // Small answers shall not wait for each other; where these can't be set, the system's own bounds hold.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(GONE));
    let router = api.router(Peer::Tcp { own, from });
    let Some(tls) = tls else { return serve::connection(stream, router).await };
    match timeout(HANDSHAKE, tls.accept_async(stream)).await {
        Ok(Ok(stream)) => serve::connection(stream, router).await,
        Ok(Err(error)) => tracing::debug!(%from, %error, "a handshake with admin.listen failed"),
        Err(_) => tracing::debug!(%from, "a handshake with admin.listen took too long"),
    }
}
