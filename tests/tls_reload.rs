//! Certificates of every listener change by a reload or SIGHUP: new connections get the new ones, and no connection is dropped.

mod common;

use common::{
    PATIENCE,
    admin_rig::{Token, bearer, request, say, until},
    certificates::Certificates,
    instance::{Pointsman, program},
    ports::free_port,
    raw::{Raw, Reply, Stream},
    redis_server::RedisServer,
    wait_for,
};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use std::{
    io::{self, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

type Tls = StreamOwned<ClientConnection, TcpStream>;

struct Session(Tls);

impl io::Read for Session {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Session {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Stream for Session {
    fn set_limit(&self, limit: Duration) {
        self.0.sock.set_read_timeout(Some(limit)).expect("a read limit");
        self.0.sock.set_write_timeout(Some(limit)).expect("a write limit");
    }

    fn finish_writing(&self) {
        let _ = self.0.sock.shutdown(std::net::Shutdown::Write);
    }
}

/// Shakes hands, trusting `ca`; `identity` is a certificate of one's own and its key.
fn connect(port: u16, ca: &Path, identity: Option<(&Path, &Path)>) -> io::Result<Session> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("the authority")).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let config = match identity {
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_file(certificate).expect("a certificate")];
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).expect("a key")).expect("an identity")
        }
        None => config.with_no_client_auth(),
    };
    let name = ServerName::try_from("localhost").expect("a name");
    let mut session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    Ok(Session(StreamOwned::new(session, socket)))
}

/// A Pointsman whose service and whose admin listener have certificates in one folder.
struct Rig {
    pointsman: Pointsman,
    folder: tempfile::TempDir,
    files: Certificates,
    port: u16,
    admin: u16,
    token: Token,
    _servers: (RedisServer, RedisServer),
}

impl Rig {
    fn start(client_ca: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Certificates::write(folder.path());
        let servers = RedisServer::pair("redis7");
        let (port, admin, token) = (free_port(), free_port(), Token::fresh());
        let mut pointsman = Pointsman::prepare("");
        let tls = |name: &str| {
            let ca = if client_ca { format!("client_ca = \"{}\"\n", files.ca.display()) } else { String::new() };
            format!(
                "[{name}]\ncertificate = \"{}\"\nkey = \"{}\"\n{ca}",
                files.server.display(),
                files.server_key.display()
            )
        };
        pointsman.write_admin(
            &format!("listen = \"127.0.0.1:{admin}\"\n{}{}", tls("admin.tls"), bearer("ann", "operator", &token)),
            &format!(
                "[services.cart]\nkind = \"redis\"\nlisten = [\"127.0.0.1:{port}\"]\n{}\
                 [[services.cart.clusters]]\nname = \"main\"\nnodes = [\"{}\"]\n\
                 [[services.cart.clusters]]\nname = \"spare\"\nnodes = [\"{}\"]\n",
                tls("services.cart.tls"),
                servers.0.address(),
                servers.1.address()
            ),
        );
        pointsman.launch();
        let rig = Self { pointsman, folder, files, port, admin, token, _servers: servers };
        wait_for("ready", PATIENCE, || {
            rig.pointsman.api("/v1/services/cart", None).1["switchover_ready"]["ready"] == true
        });
        rig
    }

    /// Keeps the authority of now under another name, and writes all files anew in the places that the configuration names.
    fn renew(&self) -> PathBuf {
        let old = self.folder.path().join("old_ca.pem");
        std::fs::copy(&self.files.ca, &old).expect("a copy");
        Certificates::write(self.folder.path());
        old
    }

    fn whoami(&self, ca: &Path, identity: Option<(&Path, &Path)>) -> io::Result<u16> {
        let mut session = connect(self.admin, ca, identity)?;
        session.write_all(request("GET", "/v1/whoami", Some(&self.token), &[], "").as_bytes())?;
        let mut text = Vec::new();
        io::Read::read_to_end(&mut session, &mut text)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok(text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0))
    }

    fn follow(&self, ca: &Path) -> Session {
        let mut session = connect(self.admin, ca, None).expect("a handshake");
        let open = request("GET", "/v1/events", Some(&self.token), &[], "").replace("Connection: close\r\n", "");
        session.write_all(open.as_bytes()).expect("sent");
        until(&mut session, "retry: ");
        session
    }
}

/// A place isn't kept for whoever never begins.
#[test]
fn who_sends_nothing_of_a_handshake_is_cut() {
    require_server!("redis7");
    let rig = Rig::start(false);
    let mut silent = TcpStream::connect(("127.0.0.1", rig.admin)).expect("connected");
    silent.set_read_timeout(Some(PATIENCE)).expect("a limit");
    assert_eq!(io::Read::read(&mut silent, &mut [0; 1]).expect("closed within the limit"), 0);
}

#[test]
fn new_connections_get_new_certificates_and_old_ones_live_on() {
    require_server!("redis7");
    let rig = Rig::start(false);
    let ca = rig.files.ca.clone();
    let mut client = Raw::over(connect(rig.port, &ca, None).expect("the service's certificate"));
    assert_eq!(client.command(&["SET", "k", "v"]), Reply::Simple("OK".into()));
    assert_eq!(rig.whoami(&ca, None).expect("the admin's certificate"), 200);
    let mut events = rig.follow(&ca);
    let old = rig.renew();
    assert!(connect(rig.port, &ca, None).is_err(), "the files alone change nothing");
    rig.pointsman.cli_expect(&["reload"], 0);
    // The stream of before the reload goes on.
    rig.pointsman.cli_expect(&["pause", "cart", "--for", "1m"], 0);
    until(&mut events, "\"what\":\"paused\"");
    for port in [rig.port, rig.admin] {
        connect(port, &ca, None).expect("the new certificate");
        assert!(connect(port, &old, None).is_err(), "the old one is gone");
    }
    assert_eq!(rig.whoami(&ca, None).expect("the admin's certificate"), 200);
    assert_eq!(client.command(&["GET", "k"]), Reply::Bulk(b"v".to_vec()));

    // By the signal too.
    let old = rig.renew();
    rig.pointsman.reload();
    wait_for("the third certificate", PATIENCE, || {
        connect(rig.admin, &ca, None).is_ok() && connect(rig.port, &ca, None).is_ok()
    });
    assert!(connect(rig.admin, &old, None).is_err());
    assert_eq!(client.command(&["GET", "k"]), Reply::Bulk(b"v".to_vec()), "two reloads later");
    rig.pointsman.cli_expect(&["resume", "cart"], 0);
    until(&mut events, "\"what\":\"resumed\"");

    // The command line by TLS, and what it says when it doesn't trust.
    let token = rig.folder.path().join("token");
    std::fs::write(&token, &rig.token.text).expect("written");
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
    let cli = |ca: &Path| {
        let mut command = Command::new(program());
        command.args(["--admin", &format!("https://localhost:{}", rig.admin), "status", "--ca"]).arg(ca);
        let output = command.arg("--token-file").arg(&token).output().expect("the binary starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(cli(&ca).0, Some(0));
    let (code, said) = cli(&old);
    assert!(code == Some(69) && said.contains("certificate"), "{code:?} {said}");
    let plain = say(
        TcpStream::connect(("127.0.0.1", rig.admin)).expect("connected"),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert!(!plain.body.contains("html") && plain.status != 200, "plain text is not served: {plain:?}");
}

#[test]
fn files_that_cannot_be_used_change_nothing() {
    require_server!("redis7");
    let rig = Rig::start(false);
    let ca = rig.files.ca.clone();
    let mut client = Raw::over(connect(rig.port, &ca, None).expect("a handshake"));
    let good = std::fs::read(&rig.files.server).expect("the certificate");
    let other = tempfile::tempdir().expect("a folder");
    let stranger = std::fs::read(Certificates::write(other.path()).server).expect("a certificate");
    for (bad, why) in
        [(&b"nonsense"[..], "no certificate"), (&stranger, "of another key"), (&good[..good.len() / 2], "torn")]
    {
        std::fs::write(&rig.files.server, bad).expect("written");
        let output = rig.pointsman.cli(&["reload"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{why}: {said}");
        assert!(said.contains("server.pem"), "the file is named: {said}");
        for port in [rig.port, rig.admin] {
            connect(port, &ca, None).unwrap_or_else(|error| panic!("{why}: {error}"));
        }
    }
    assert_eq!(rig.pointsman.metric(&["pointsman_config_reload_success"]), Some(0.0));
    std::fs::write(&rig.files.server, good).expect("written");
    rig.pointsman.cli_expect(&["reload"], 0);
    assert_eq!(client.command(&["PING"]), Reply::Simple("PONG".into()));
}

#[test]
fn who_signs_callers_changes_too() {
    require_server!("redis7");
    let rig = Rig::start(true);
    let ca = rig.files.ca.clone();
    let keep = |name: &str, file: &Path| {
        let kept = rig.folder.path().join(name);
        std::fs::copy(file, &kept).expect("a copy");
        kept
    };
    let old = (keep("old.pem", &rig.files.client), keep("old.key", &rig.files.client_key));
    let identity = |files: &(PathBuf, PathBuf)| (files.0.clone(), files.1.clone());
    let asks = |files: &(PathBuf, PathBuf)| rig.whoami(&ca, Some((&files.0, &files.1)));
    assert_eq!(asks(&old).expect("a caller with a certificate"), 200);
    assert!(rig.whoami(&ca, None).is_err(), "a token alone is not enough");
    let mut client = Raw::over(connect(rig.port, &ca, Some((&old.0, &old.1))).expect("a handshake"));
    rig.renew();
    rig.pointsman.cli_expect(&["reload"], 0);
    let new = identity(&(rig.files.client.clone(), rig.files.client_key.clone()));
    assert_eq!(asks(&new).expect("signed by the new authority"), 200);
    assert!(asks(&old).is_err(), "the old authority signs nobody any more");
    assert_eq!(client.command(&["PING"]), Reply::Simple("PONG".into()), "who was let in stays");
}
