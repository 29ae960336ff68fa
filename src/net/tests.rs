//! TLS over real sockets, with certificates made on the spot.

use super::{ClientTls, ConnectError, Endpoint, ServerTls, Stream};
use crate::config::{ListenerTls, NodeIdentity, NodeTls};
use bytes::BytesMut;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{io::Interest, net::TcpListener};

const LIMIT: Duration = Duration::from_secs(5);

/// A folder with a CA and a certificate for `localhost` and 127.0.0.1.
struct Papers(tempfile::TempDir);

impl Papers {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        std::fs::write(folder.path().join("node.pem"), certificate.pem()).unwrap();
        std::fs::write(folder.path().join("node.key"), key.serialize_pem()).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::join(self.0.path(), name)
    }

    fn server(&self, client_ca: bool) -> ServerTls {
        let client_ca = client_ca.then(|| self.file("ca.pem"));
        let settings = ListenerTls { certificate: self.file("node.pem"), key: self.file("node.key"), client_ca };
        ServerTls::load(&settings).unwrap()
    }

    fn client(&self, identity: bool) -> ClientTls {
        let identity =
            identity.then(|| NodeIdentity { certificate: self.file("node.pem"), key: self.file("node.key") });
        ClientTls::load(&NodeTls { ca: self.file("ca.pem"), identity, server_name: None }).unwrap()
    }
}

/// Both ends of one connection, or what the client's end met.
async fn pair(server: ServerTls, client: ClientTls) -> (std::io::Result<Stream>, Result<Stream, ConnectError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::new(listener.local_addr().unwrap().to_string(), Some(client));
    let accept = async { server.accept(listener.accept().await.unwrap().0).await };
    tokio::join!(accept, endpoint.connect(LIMIT))
}

#[tokio::test]
async fn bytes_in_both_directions_at_once_arrive_whole_whatever_the_read_size() {
    let papers = Papers::new();
    let (server, client) = pair(papers.server(true), papers.client(true)).await;
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    let sent: Vec<u8> = (0..3_000_000_u32).map(|i| i.to_le_bytes()[0] ^ i.to_le_bytes()[1]).collect();
    let echo = async {
        let mut waiting = BytesMut::new();
        let (mut total, mut ended) = (0, false);
        while !ended || !waiting.is_empty() || server.unflushed() {
            // As a proxy does it: read only while little waits, write while something does.
            let interest = match (!ended && waiting.len() < 20_000, !waiting.is_empty()) {
                (true, true) => Interest::READABLE | Interest::WRITABLE,
                (true, false) => Interest::READABLE,
                _ => Interest::WRITABLE,
            };
            let (read, write) = server.ready(interest).await.unwrap();
            let mut small = [0; 777];
            if read && let Ok(n) = server.try_read(&mut small) {
                ended = n == 0;
                total += n;
                waiting.extend_from_slice(&small[..n]);
            }
            if write && let Ok(n) = server.try_write(&waiting) {
                let _ = waiting.split_to(n);
            }
        }
        server.close_write();
        total
    };
    let load = async {
        let (mut written, mut got) = (0, BytesMut::new());
        loop {
            let interest =
                if written < sent.len() { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            let (read, write) = client.ready(interest).await.unwrap();
            if write && let Ok(n) = client.try_write(&sent[written..]) {
                written += n;
                if written == sent.len() {
                    // The farewell goes out only after what is still inside.
                    client.write_all(b"").await.unwrap();
                    client.close_write();
                }
            }
            if read && matches!(client.try_read_buf(&mut got), Ok(0)) {
                return got;
            }
        }
    };
    let (total, got) = tokio::time::timeout(4 * LIMIT, async { tokio::join!(echo, load) }).await.unwrap();
    assert_eq!(total, sent.len());
    assert!(got == sent, "the echo differs");
}

#[tokio::test]
async fn plaintext_that_waits_inside_makes_the_stream_readable() {
    let papers = Papers::new();
    let (server, client) = pair(papers.server(false), papers.client(false)).await;
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    client.write_all(b"one record of twenty").await.unwrap();
    let mut got = Vec::new();
    while got.len() < 20 {
        tokio::time::timeout(LIMIT, server.readable()).await.expect("a lost wake-up").unwrap();
        let mut byte = [0];
        if let Ok(1) = server.try_read(&mut byte) {
            got.push(byte[0]);
        }
    }
    assert_eq!(got, b"one record of twenty");
}

#[tokio::test]
async fn a_stranger_and_a_silent_peer_are_told_apart() {
    let (papers, others) = (Papers::new(), Papers::new());
    let (server, client) = pair(papers.server(false), others.client(false)).await;
    assert!(server.is_err());
    assert!(matches!(client.unwrap_err(), ConnectError::Tls(_)));

    // A client without a certificate learns it after its own handshake (TLS 1.3): at its first read.
    let (server, client) = pair(papers.server(true), papers.client(false)).await;
    assert!(server.is_err());
    assert!(client.unwrap().read_buf(&mut BytesMut::new()).await.is_err());

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::new(listener.local_addr().unwrap().to_string(), Some(papers.client(false)));
    assert_eq!(endpoint.connect(Duration::from_millis(100)).await.unwrap_err(), ConnectError::Silent);
}

#[test]
fn an_unusable_file_is_named() {
    let papers = Papers::new();
    let mut settings =
        ListenerTls { certificate: papers.file("node.pem"), key: papers.file("node.key"), client_ca: None };
    settings.client_ca = Some(papers.file("absent.pem"));
    assert_eq!(ServerTls::load(&settings).unwrap_err().file, papers.file("absent.pem"));
    settings.client_ca = Some(papers.file("node.key"));
    let error = ServerTls::load(&settings).unwrap_err();
    assert_eq!(error.to_string(), format!("{}: holds no certificate", papers.file("node.key").display()));
    let node = NodeTls { ca: papers.file("ca.pem"), identity: None, server_name: Some("no name".into()) };
    assert!(ClientTls::load(&node).unwrap_err().why.contains("server_name"));
}
