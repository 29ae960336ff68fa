//! TLS towards applications and towards nodes.

use crate::common::{
    PATIENCE,
    certificates::Certificates,
    data_path::DataPath,
    instance::Pointsman,
    ports::free_port,
    raw::{Raw, Reply},
    redis_server::RedisServer,
    wait_for,
};
use crate::require_server;
use crate::tls_client::connect;
use crate::{bulk, error, ok};
use pointsman::config::{ListenerTls, Service};
use rustls::{
    ALL_VERSIONS,
    version::{TLS12, TLS13},
};
use std::sync::Arc;

fn listener(files: &Certificates, identified: bool) -> ListenerTls {
    ListenerTls {
        certificate: files.server.clone(),
        key: files.server_key.clone(),
        client_ca: identified.then(|| files.ca.clone()),
    }
}

#[test]
fn both_versions_deep_pipelines_and_values_of_20_mb() {
    require_server!("redis7");
    let folder = tempfile::tempdir().expect("a folder");
    let files = Certificates::write(folder.path());
    let server = RedisServer::start("redis7");
    let path = DataPath::with(&server, |settings| settings.tls = Some(listener(&files, false)));
    let big = "x".repeat(20 << 20);
    for version in [&TLS12, &TLS13] {
        let mut raw = connect(path.port, &files, false, &[version]).expect("a handshake");
        let requests: Vec<_> = (0..5_000).map(|number| format!("SET n {number}\r\nGET n\r\n")).collect();
        raw.send(requests.concat());
        for number in 0..5_000 {
            assert_eq!(raw.reply(), ok());
            assert_eq!(raw.reply(), bulk(&number.to_string()));
        }
        assert_eq!(raw.command(&["SET", "big", &big]), ok());
        let Reply::Bulk(back) = raw.command(&["GET", "big"]) else { panic!("no value") };
        assert!(back == big.as_bytes(), "the value came back as it was");
        assert_eq!(raw.command(&["STRLEN", "big"]), Reply::Integer(20 << 20));
        assert_eq!(raw.command(&["DEL", "big"]), Reply::Integer(1));
    }
}

#[test]
fn who_has_no_certificate_or_no_tls_is_not_served() {
    require_server!("redis7");
    let folder = tempfile::tempdir().expect("a folder");
    let files = Certificates::write(folder.path());
    let server = RedisServer::start("redis7");
    let path = DataPath::with(&server, |settings| settings.tls = Some(listener(&files, true)));
    // In TLS 1.3 the refusal of a certificate comes behind the handshake.
    assert!(connect(path.port, &files, false, &[&TLS12]).is_err(), "no certificate, no connection");
    let mut known = connect(path.port, &files, true, ALL_VERSIONS).expect("a handshake");
    assert_eq!(known.command(&["PING"]), Reply::Simple("PONG".into()));
    let mut plain = Raw::connect(path.port);
    plain.send("*1\r\n$4\r\nPING\r\n");
    let said = plain.until_closed();
    assert!(!said.starts_with(b"+") && said.len() < 64, "{said:?}");
    assert_eq!(known.command(&["PING"]), Reply::Simple("PONG".into()));
}

#[test]
fn new_connections_get_the_new_certificate_and_old_sessions_live_on() {
    require_server!("redis7");
    let folder = tempfile::tempdir().expect("a folder");
    let old = Certificates::write(folder.path());
    let old_ca = folder.path().join("old_ca.pem");
    std::fs::copy(&old.ca, &old_ca).expect("a copy");
    let server = RedisServer::start("redis7");
    let path = DataPath::with(&server, |settings| settings.tls = Some(listener(&old, false)));
    let mut session = connect(path.port, &old, false, ALL_VERSIONS).expect("a handshake");
    assert_eq!(session.command(&["SET", "k", "v"]), ok());
    let new = Certificates::write(folder.path());
    let settings: Arc<Service> = Arc::clone(&path.board.view().settings);
    path.proxy.update(&settings).expect("files that can be used");
    let mut other = connect(path.port, &new, false, ALL_VERSIONS).expect("the new certificate");
    assert_eq!(other.command(&["GET", "k"]), bulk("v"));
    let stale = Certificates { ca: old_ca, ..new.clone() };
    assert!(connect(path.port, &stale, false, &[&TLS12]).is_err(), "the old certificate is gone");
    assert_eq!(session.command(&["GET", "k"]), bulk("v"));
    std::fs::write(&new.server, "nonsense").expect("a broken file");
    assert!(path.proxy.update(&settings).is_err());
    connect(path.port, &new, false, ALL_VERSIONS).expect("a file that can't be used changes nothing");
}

/// With an identity of Pointsman's own; and an authority that didn't sign the nodes' certificates is said, and mended by a
/// reload.
#[test]
fn nodes_by_tls() {
    require_server!("redis7");
    let (right, wrong) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (files, others) = (Certificates::write(right.path()), Certificates::write(wrong.path()));
    let server = || RedisServer::builder("redis7").tls(&files).set("tls-auth-clients", "yes");
    let main = server().start();
    let spare = server().replica_of(&main).start();
    spare.wait_synced();
    let ca = right.path().join("configured.pem");
    std::fs::copy(&others.ca, &ca).expect("a copy");
    let port = free_port();
    let nodes = |server: &RedisServer| {
        format!(
            "nodes = [{{ address = \"localhost:{}\", replicate_from = \"{}\" }}]\n",
            server.tls_port(),
            server.address()
        )
    };
    let pointsman = Pointsman::start(&format!(
        "[services.cart]\nkind = \"redis\"\nlisten = [\"127.0.0.1:{port}\"]\n\
         failover.hold_timeout = \"1s\"\n\
         [services.cart.node_tls]\nca = \"{}\"\ncertificate = \"{}\"\nkey = \"{}\"\n\
         [[services.cart.clusters]]\nname = \"main\"\n{}[[services.cart.clusters]]\nname = \"spare\"\n{}",
        ca.display(),
        files.client.display(),
        files.client_key.display(),
        nodes(&main),
        nodes(&spare),
    ));
    let mut raw = Raw::connect(port);
    let text = error(raw.command(&["GET", "k"]));
    assert!(text.starts_with("LOADING pointsman") || text.starts_with("ERR pointsman"), "{text}");
    let mut said = String::new();
    wait_for("the status says why", PATIENCE, || {
        said = pointsman.api("/v1/services/cart", None).1.to_string();
        said.contains("TLS") || said.contains("certificate")
    });
    std::fs::copy(&files.ca, &ca).expect("a copy");
    pointsman.cli_expect(&["reload"], 0);
    wait_for("served", PATIENCE, || raw.command(&["SET", "k", "v"]) == ok());
    assert_eq!(main.command(&["GET", "k"]), bulk("v"));

    // New connections use what the files say at the last reload; the shared upstream lives on.
    std::fs::copy(&others.ca, &ca).expect("a copy");
    pointsman.cli_expect(&["reload"], 0);
    assert_eq!(raw.command(&["GET", "k"]), bulk("v"));
    let text = error(raw.command(&["BLPOP", "list", "0"]));
    assert!(text.starts_with("ERR pointsman"), "{text}");
}
