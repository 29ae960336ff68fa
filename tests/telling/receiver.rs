//! An HTTP server that takes what it is told, or behaves badly: on a thread of its own, and gone with its handle.
#![allow(dead_code, reason = "several test programs use a part of it each")]
#![allow(unreachable_pub, reason = "a module of test programs")]
#![expect(clippy::disallowed_types, reason = "threads of a test, far from the data path")]

use crate::common::{certificates::Certificates, wait_for};
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

/// How it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// 200.
    Takes,
    /// This status, and nothing taken.
    Says(u16),
    /// 503, and to come again in an hour.
    Later,
    /// No answer.
    Hangs,
    /// A redirect to another path of the same server.
    Redirects,
}

/// What it was told.
#[derive(Clone, Debug)]
pub struct Told {
    /// The path and query.
    pub path: String,
    /// The head.
    pub headers: HeaderMap,
    /// The body.
    pub body: Value,
    /// How it was answered.
    pub manner: Manner,
}

struct Shared {
    manner: Mutex<Manner>,
    told: Mutex<Vec<Told>>,
}

/// The server. It can be stopped and started again on its port, and remembers what it was told.
pub struct Receiver {
    port: u16,
    shared: Arc<Shared>,
    certificates: Option<Certificates>,
    stop: Option<(oneshot::Sender<()>, std::thread::JoinHandle<()>)>,
}

impl Receiver {
    /// Starts it on a port.
    pub fn start(port: u16) -> Self {
        Self::prepare(port, None)
    }

    /// Starts it with TLS.
    pub fn with_tls(port: u16, certificates: &Certificates) -> Self {
        Self::prepare(port, Some(certificates.clone()))
    }

    fn prepare(port: u16, certificates: Option<Certificates>) -> Self {
        let shared = Arc::new(Shared { manner: Mutex::new(Manner::Takes), told: Mutex::default() });
        let mut receiver = Self { port, shared, certificates, stop: None };
        receiver.restart();
        receiver
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Nobody listens any more; open connections are cut.
    pub fn stop(&mut self) {
        if let Some((stop, thread)) = self.stop.take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }

    /// Listens again.
    pub fn restart(&mut self) {
        self.stop();
        let listener = std::net::TcpListener::bind(("127.0.0.1", self.port)).expect("its port");
        listener.set_nonblocking(true).expect("a listener of tokio");
        let (stop, stopped) = oneshot::channel();
        let (shared, tls) = (self.shared.clone(), self.certificates.as_ref().map(acceptor));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, tls, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        self.stop = Some((stop, thread));
    }

    /// Behaves so from now on.
    pub fn behave(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }

    /// Everything that it was told, taken or not, oldest first.
    pub fn told(&self) -> Vec<Told> {
        self.shared.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it took, oldest first.
    pub fn taken(&self) -> Vec<Value> {
        self.told().into_iter().filter(|told| told.manner == Manner::Takes).map(|told| told.body).collect()
    }

    /// The alerts of all messages that it took: name and status.
    pub fn alerts(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let each = |alert: &Value| (text(&alert["labels"]["alertname"]), text(&alert["status"]));
        let taken = self.taken();
        taken.iter().flat_map(|body| body["alerts"].as_array().into_iter().flatten()).map(each).collect()
    }

    /// Waits until it took that alert, firing or resolved.
    #[track_caller]
    pub fn wait_for(&self, alert: &str, status: &str, log: impl Fn() -> String) {
        let wanted = (alert.to_owned(), status.to_owned());
        let took = crate::common::holds_within(crate::common::PATIENCE, || self.alerts().contains(&wanted));
        assert!(took, "no {wanted:?} in {:?}; log:\n{}", self.alerts(), log());
    }

    /// Waits until it was asked so often, whatever it answered.
    #[track_caller]
    pub fn wait_asked(&self, times: usize) {
        wait_for("it is asked", crate::common::PATIENCE, || self.told().len() >= times);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop();
    }
}

fn acceptor(certificates: &Certificates) -> tokio_rustls::TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(&certificates.server).expect("its certificate");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(&certificates.server_key).expect("its key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate and its key");
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

async fn serve(listener: std::net::TcpListener, tls: Option<tokio_rustls::TlsAcceptor>, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, shared) = (tls.clone(), shared.clone());
        connections.spawn(async move {
            match tls {
                None => connection(stream, shared).await,
                // A client that doesn't trust us goes away.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        connection(stream, shared).await;
                    }
                }
            }
        });
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let service = service_fn(|request| answer(request, shared.clone()));
    // A client that goes away while we hang is no error of ours.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (path, headers) = (request.uri().to_string(), request.headers().clone());
    let body = request.into_body().collect().await?.to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let manner = *shared.manner.lock().unwrap_or_else(PoisonError::into_inner);
    shared.told.lock().unwrap_or_else(PoisonError::into_inner).push(Told { path, headers, body, manner });
    let mut response = Response::new(Full::default());
    match manner {
        Manner::Takes => {}
        Manner::Says(status) => *response.status_mut() = status.try_into().expect("a status"),
        Manner::Later => {
            *response.status_mut() = 503.try_into().expect("a status");
            response.headers_mut().insert("retry-after", "3600".try_into().expect("a value"));
        }
        Manner::Hangs => tokio::time::sleep(Duration::from_hours(1)).await,
        Manner::Redirects => {
            *response.status_mut() = hyper::StatusCode::TEMPORARY_REDIRECT;
            response.headers_mut().insert("location", "/elsewhere".parse().expect("a path"));
        }
    }
    Ok(response)
}
