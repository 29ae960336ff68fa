//! TLS settings from PEM files, for both directions.
//!
//! Input: paths from the configuration, read again at each load (a reload loads anew). Output: what makes sessions. Errors
//! name the file. It never keeps a private key outside of rustls, never turns verification off.

use super::{stream::Stream, tls_stream::TlsStream};
use crate::config::{ListenerTls, NodeTls};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
    crypto::{CryptoProvider, ring},
    server::WebPkiClientVerifier,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::net::TcpStream;

/// A PEM file that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFileError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for TlsFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.why)
    }
}

impl std::error::Error for TlsFileError {}

/// TLS towards nodes. Cloning shares it.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl ClientTls {
    /// Reads the files of `node_tls`.
    pub fn load(settings: &NodeTls) -> Result<Self, TlsFileError> {
        let roots = Arc::new(roots(&settings.ca)?);
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| fault(&settings.ca, error))?
            .with_root_certificates(roots);
        let config = match &settings.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(chain(&identity.certificate)?, key(&identity.key)?)
                .map_err(|error| fault(&identity.certificate, error))?,
        };
        let server_name = match &settings.server_name {
            None => None,
            Some(name) => Some(
                ServerName::try_from(name.clone())
                    .map_err(|_| fault(&settings.ca, format!("server_name {name:?} is not a host name")))?,
            ),
        };
        Ok(Self { config: Arc::new(config), server_name })
    }

    /// A session towards `address`, whose host is expected in the certificate unless `server_name` is configured.
    pub(super) fn session(&self, address: &str) -> Result<Connection, String> {
        let session = ClientConnection::new(self.config.clone(), self.name(address)?);
        Ok(session.map_err(|error| error.to_string())?.into())
    }

    fn name(&self, address: &str) -> Result<ServerName<'static>, String> {
        if let Some(name) = &self.server_name {
            return Ok(name.clone());
        }
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        ServerName::try_from(host.to_owned()).map_err(|_| format!("{host:?} can't stand in a certificate"))
    }

    /// Shakes hands on a connection to `address`, for an HTTP client that wants a stream of tokio's own kind. Unbounded in time: the
    /// caller's limit ends it.
    pub async fn connect_async(
        &self,
        socket: TcpStream,
        address: &str,
    ) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let name = self.name(address).map_err(io::Error::other)?;
        tokio_rustls::TlsConnector::from(self.config.clone()).connect(name, socket).await
    }
}

/// TLS towards applications. Cloning shares it.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// Reads the files of a listener's `tls`.
    pub fn load(settings: &ListenerTls) -> Result<Self, TlsFileError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| fault(&settings.certificate, error))?;
        let builder = match &settings.client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider())
                    .build()
                    .map_err(|error| fault(ca, error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config = builder
            .with_single_cert(chain(&settings.certificate)?, key(&settings.key)?)
            .map_err(|error| fault(&settings.certificate, error))?;
        Ok(Self { config: Arc::new(config) })
    }

    /// Shakes hands on an accepted connection. Unbounded in time: the caller's limit ends it.
    pub async fn accept(&self, socket: TcpStream) -> io::Result<Stream> {
        let session = ServerConnection::new(self.config.clone()).map_err(io::Error::other)?;
        Ok(Stream::Tls(Box::new(TlsStream::handshake(socket, session.into()).await?)))
    }

    /// The same for an HTTP server that wants a stream of tokio's own kind.
    pub async fn accept_async(&self, socket: TcpStream) -> io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
        tokio_rustls::TlsAcceptor::from(self.config.clone()).accept(socket).await
    }
}

/// Why a handshake with a node failed, in words for operators.
pub(super) fn why(error: &io::Error) -> String {
    use CertificateError::{BadSignature, UnknownIssuer};
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        // An authority of the same name has another key.
        Some(rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature)) => {
            "the node's certificate isn't signed by an authority in node_tls.ca".to_owned()
        }
        _ => error.to_string(),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn fault(file: &Path, why: impl fmt::Display) -> TlsFileError {
    TlsFileError { file: file.to_owned(), why: why.to_string() }
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fault(file, error))?;
    if certificates.is_empty() {
        return Err(fault(file, "holds no certificate"));
    }
    Ok(certificates)
}

fn key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsFileError> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| fault(file, error))
}

fn roots(file: &Path) -> Result<RootCertStore, TlsFileError> {
    let mut store = RootCertStore::empty();
    for certificate in chain(file)? {
        store.add(certificate).map_err(|error| fault(file, error))?;
    }
    Ok(store)
}
