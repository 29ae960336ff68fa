//! An application that speaks TLS.

use crate::common::{
    certificates::Certificates,
    raw::{Raw, Stream},
};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use std::{io, net::TcpStream, sync::Arc, time::Duration};

impl Stream for StreamOwned<ClientConnection, TcpStream> {
    fn set_limit(&self, limit: Duration) {
        self.sock.set_read_timeout(Some(limit)).expect("a read limit");
        self.sock.set_write_timeout(Some(limit)).expect("a write limit");
    }
    fn finish_writing(&self) {
        let _ = self.sock.shutdown(std::net::Shutdown::Write);
    }
}

/// Connects and shakes hands; with the client's own certificate if `identified`.
pub fn connect(
    port: u16,
    files: &Certificates,
    identified: bool,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<Raw> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&files.ca).expect("the authority")).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots);
    let config = if identified {
        let chain = vec![CertificateDer::from_pem_file(&files.client).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_file(&files.client_key).expect("a key");
        config.with_client_auth_cert(chain, key).expect("an identity")
    } else {
        config.with_no_client_auth()
    };
    let name = ServerName::try_from("localhost").expect("a name");
    let mut session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(crate::common::PATIENCE))?;
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    Ok(Raw::over(StreamOwned::new(session, socket)))
}
