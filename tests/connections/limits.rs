//! What there may be of something: connections, descriptors, and time of silent peers.

use crate::common::{
    PATIENCE, certificates::Certificates, data_path::DataPath, raw::Raw, redis_server::RedisServer, wait_for,
};
use crate::require_server;
use crate::rig::Rig;
use pointsman::config::ListenerTls;
use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;

#[test]
fn one_too_many_gets_redis_own_words_and_is_closed() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let path = DataPath::with(&server, |settings| settings.max_connections = 1);
    let mut one = path.raw();
    one.send("PING\r\n").expect("+PONG\r\n");
    assert_eq!(path.raw().until_closed(), b"-ERR max number of clients reached\r\n");
    one.send("PING\r\n").expect("+PONG\r\n");
}

/// Before the handshake nothing can be said in TLS.
#[test]
fn one_too_many_with_tls_is_closed() {
    require_server!("redis7");
    let folder = tempfile::tempdir().expect("a folder");
    let files = Certificates::write(folder.path());
    let server = RedisServer::start("redis7");
    let path = DataPath::with(&server, |settings| {
        settings.max_connections = 1;
        settings.tls =
            Some(ListenerTls { certificate: files.server.clone(), key: files.server_key.clone(), client_ca: None });
    });
    let _one = path.raw();
    assert!(path.raw().until_closed().is_empty(), "closed without a word");
}

#[test]
fn upstreams_that_no_session_uses_are_closed() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let path = DataPath::to(&server);
    let upstreams = || path.board.gauge(0).shared_upstreams.load(Relaxed);
    let mut sessions: Vec<Raw> = (0..16).map(|_| path.raw()).collect();
    for (database, raw) in sessions.iter_mut().enumerate() {
        raw.send(format!("SELECT {database}\r\nPING\r\n")).expect("+OK\r\n+PONG\r\n");
    }
    // The first database's may have been given up, when all had moved on from it, and been opened again.
    wait_for("one for each database", PATIENCE, || upstreams() == 16);
    // Those that are used stay; of the others, those used last.
    sessions.drain(..14);
    wait_for("two in use and eight idle ones", PATIENCE, || upstreams() == 10);
    let connections = || server.info("connected_clients").parse::<u32>().expect("a number");
    // And whoever asks for the number.
    wait_for("closed at the server, too", PATIENCE, || connections() <= 11);
    for raw in &mut sessions {
        raw.send("PING\r\n").expect("+PONG\r\n");
    }
    path.raw().send("SELECT 3\r\nPING\r\n").expect("+OK\r\n+PONG\r\n");
}

#[test]
fn what_may_run_out_is_said_at_the_start_and_by_check() {
    require_server!("redis7");
    let main = RedisServer::builder("redis7").set("maxclients", "100").start();
    let spare = RedisServer::builder("redis7").set("maxclients", "100").replica_of(&main).start();
    spare.wait_synced();
    let clusters = [("main", vec![&main]), ("spare", vec![&spare])];
    let rig = Rig::start(&clusters, "max_connections = 1000000\n");
    let lacking = "takes 100 connections, and the service's max_connections needs 1000032";
    wait_for("said in the log", PATIENCE, || rig.pointsman.log().contains(lacking));
    assert!(rig.pointsman.log().contains("open files may run out"), "{}", rig.pointsman.log());
    let file = rig.pointsman.config_file().display().to_string();
    let checked = rig.pointsman.cli(&["check", "--connect", "--config", &file]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains(lacking) && said.contains("CONFIG SET maxclients 1000032"), "{said}");
}

#[test]
fn applications_and_nodes_are_kept_alive() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let path = DataPath::to(&server);
    let mut raw: Raw = path.raw();
    raw.send("PING\r\n").expect("+PONG\r\n");
    for filter in [format!("( sport = :{} )", path.port), format!("( dport = :{} )", server.port())] {
        let sockets = Command::new("ss").args(["-tnoH", "state", "established", &filter]).output().expect("ss");
        let sockets = String::from_utf8_lossy(&sockets.stdout).into_owned();
        assert!(sockets.contains("timer:(keepalive"), "{filter}: {sockets}");
    }
}
