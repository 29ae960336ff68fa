//! The read port in front of real Redis servers: where reads go, what is refused, and what applications feel when that changes.

mod common;
#[path = "switchover/rig.rs"]
mod rig;

use common::{
    PATIENCE, Stop,
    ports::free_port,
    raw::{Raw, Reply},
    redis_server::RedisServer,
    relay::Relay,
    wait_for,
};
use rig::Rig;
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// What a replica says to a write.
const READONLY: &str = "READONLY You can't write against a read only replica.";

/// A service with a read port.
struct Reads {
    rig: Rig,
    port: u16,
}

impl Reads {
    /// One cluster a server, the first of which is the primary.
    #[track_caller]
    fn start(servers: &[&RedisServer], settings: &str) -> Self {
        let names = ["main", "spare", "third"];
        let clusters: Vec<_> = names.into_iter().zip(servers).map(|(name, server)| (name, vec![*server])).collect();
        let port = free_port();
        let settings = format!("listen_read = \"127.0.0.1:{port}\"\n{settings}");
        let reads = Self { rig: Rig::start(&clusters, &settings), port };
        reads.rig.wait_ready();
        reads
    }

    fn raw(&self) -> Raw {
        Raw::connect(self.port)
    }

    /// Waits until `status` says that reads go there.
    #[track_caller]
    fn wait(&self, cluster: &str) {
        self.rig.wait(&format!("read from {cluster}"), |service| service["read_route"]["cluster"] == cluster);
    }
}

/// Three servers, of which the last two follow the first.
fn three() -> [RedisServer; 3] {
    let primary = RedisServer::start("redis7");
    let replicas = [0, 1].map(|_| RedisServer::builder("redis7").replica_of(&primary).start());
    replicas.iter().for_each(RedisServer::wait_synced);
    let [second, third] = replicas;
    [primary, second, third]
}

/// The port of the server that a connection reads from.
#[track_caller]
fn asked(raw: &mut Raw) -> u16 {
    match raw.command(&["CONFIG", "GET", "port"]) {
        Reply::Array(pair) if pair.len() == 2 => pair[1].text().parse().expect("a port"),
        other => panic!("CONFIG GET gave {other:?}"),
    }
}

#[track_caller]
fn wait_asked(raw: &mut Raw, server: &RedisServer) {
    wait_for(&format!("reads from {}", server.address()), PATIENCE, || asked(raw) == server.port());
}

/// Applications that read without a pause while `act` happens; none may feel an error.
fn while_they_read(port: u16, act: impl FnOnce()) {
    let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (stop, reads) = (&stop, &reads);
        let _end = Stop(stop);
        for _ in 0..8 {
            scope.spawn(move || {
                let mut raw = Raw::connect(port);
                while !stop.load(Relaxed) {
                    assert_eq!(raw.command(&["GET", "k"]).text(), "v");
                    reads.fetch_add(1, Relaxed);
                }
            });
        }
        let more = || {
            let before = reads.load(Relaxed);
            wait_for("reads", PATIENCE, || reads.load(Relaxed) > before + 100);
        };
        more();
        act();
        more();
    });
}

#[test]
fn a_standby_serves_and_writes_are_refused() {
    require_server!("redis7");
    let [primary, spare, third] = three();
    let reads = Reads::start(&[&primary, &spare, &third], "");
    reads.wait("spare");
    let mut raw = reads.raw();
    assert_eq!(asked(&mut raw), spare.port());
    assert_eq!(asked(&mut reads.rig.raw()), primary.port(), "the other port is the primary's");
    assert_eq!(raw.command(&["SET", "k", "v"]).text(), READONLY);
    assert_eq!(raw.command(&["EVAL", "return redis.call('SET', 'k', 'v')", "0"]).text(), READONLY);
    assert_eq!(raw.command(&["MULTI"]).text(), "OK");
    assert_eq!(raw.command(&["DEL", "k"]).text(), READONLY);
    assert!(raw.command(&["EXEC"]).text().starts_with("EXECABORT"));
    assert_eq!(reads.rig.raw().command(&["SET", "k", "v"]).text(), "OK");
    wait_for("the write arrives", PATIENCE, || raw.command(&["GET", "k"]).text() == "v");

    let service = reads.rig.service();
    assert_eq!(service["read_route"]["node"], spare.address());
    assert!(service["read_route"]["since"].is_string(), "{service}");
    reads
        .rig
        .wait("counted", |service| service["connections"]["read_client"] == 1 && service["connections"]["client"] == 1);
    let node = format!("member=\"spare\",node=\"{}\"", spare.address());
    assert_eq!(
        reads.rig.pointsman.metric(&["pointsman_read_route_info{svc=\"cart\",store=\"redis\",", &node]),
        Some(1.0)
    );
    assert_eq!(reads.rig.pointsman.metric(&["pointsman_read_client_connections{svc=\"cart\""]), Some(1.0));
    let table = reads.rig.pointsman.cli_expect(&["status"], 0);
    let row = table.lines().find(|line| line.contains("spare")).expect("its row");
    assert!(row.ends_with("reads"), "{table}");
}

#[test]
fn a_killed_standby_is_followed_by_the_next_and_the_primary_and_no_connection_is_lost() {
    require_server!("redis7");
    let [primary, mut spare, mut third] = three();
    let reads = Reads::start(&[&primary, &spare, &third], "");
    reads.rig.raw().command(&["SET", "k", "v"]);
    reads.wait("spare");
    for standby in [&spare, &third] {
        standby.wait_synced();
    }
    let (mut idle, mut hears) = (reads.raw(), reads.raw());
    assert_eq!(asked(&mut idle), spare.port());
    hears.command(&["SUBSCRIBE", "news"]);
    while_they_read(reads.port, || {
        spare.kill();
        reads.wait("third");
        assert_eq!(asked(&mut idle), third.port());
        third.kill();
        reads.wait("main");
        assert_eq!(asked(&mut idle), primary.port());
        assert_eq!(idle.command(&["SET", "k", "x"]).text(), READONLY, "by the primary too");
        spare.restart();
        reads.wait("spare");
        wait_asked(&mut idle, &spare);
    });
    let news = |raw: &mut Raw| raw.command(&["PUBLISH", "news", "hello"]);
    let mut publisher = reads.rig.raw();
    assert!(news(&mut reads.raw()).text().starts_with("READONLY"), "as in mode read_only");
    news(&mut publisher);
    hears.expect("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n");
}

#[test]
fn a_standby_that_falls_behind_is_left_and_taken_again() {
    require_server!("redis7");
    let primary = RedisServer::start("redis7");
    let relay = Relay::to(primary.port());
    let spare = RedisServer::start("redis7");
    let (host, port) = relay.address().rsplit_once(':').map(|(h, p)| (h.to_owned(), p.to_owned())).expect("host:port");
    spare.command(&["REPLICAOF", &host, &port]);
    spare.wait_synced();
    let read_port = free_port();
    let text = format!(
        "[services.cart]\nkind = \"redis\"\nlisten = [\"127.0.0.1:{}\"]\nlisten_read = [\"127.0.0.1:{read_port}\"]\n\
         failover = {{ max_lag = \"1s\" }}\n\
         [[services.cart.clusters]]\nname = \"main\"\n\
         nodes = [{{ address = \"{}\", replicate_from = \"{}\" }}]\n\
         [[services.cart.clusters]]\nname = \"spare\"\nnodes = [\"{}\"]\n",
        free_port(),
        primary.address(),
        relay.address(),
        spare.address()
    );
    let rig = Rig { pointsman: common::instance::Pointsman::start(&text), port: 0 };
    let reads = Reads { rig, port: read_port };
    reads.rig.wait_ready();
    reads.wait("spare");
    primary.command(&["SET", "k", "v"]);
    spare.wait_synced();
    let mut raw = reads.raw();
    while_they_read(reads.port, || {
        relay.silence(true);
        reads.rig.wait("read from main", |service| {
            primary.command(&["SET", "n", "1"]);
            service["read_route"]["cluster"] == "main"
        });
        assert_eq!(asked(&mut raw), primary.port());
        relay.silence(false);
        reads.wait("spare");
        wait_asked(&mut raw, &spare);
    });
}

#[test]
fn after_a_planned_switch_the_old_primary_serves_reads() {
    require_server!("redis7");
    let (primary, replica) = RedisServer::pair("redis7");
    let reads = Reads::start(&[&primary, &replica], "");
    reads.rig.raw().command(&["SET", "k", "v"]);
    reads.wait("spare");
    replica.wait_synced();
    let (mut raw, mut hears) = (reads.raw(), reads.raw());
    hears.command(&["SUBSCRIBE", "news"]);
    let mut news = |text: &str| {
        reads.rig.raw().command(&["PUBLISH", "news", text]);
        hears.expect(format!("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n${}\r\n{text}\r\n", text.len()));
    };
    while_they_read(reads.port, || {
        news("before");
        reads.rig.switch("spare");
        reads.wait("main");
        news("between");
        wait_asked(&mut raw, &primary);
        assert_eq!(asked(&mut reads.rig.raw()), replica.port());
        reads.rig.wait_ready();
        reads.rig.switch("main");
        reads.wait("spare");
        wait_asked(&mut raw, &replica);
        news("behind");
    });
    assert_eq!(raw.command(&["SET", "k", "x"]).text(), READONLY);
}

#[test]
fn when_the_primary_is_killed_reads_go_on() {
    require_server!("redis7");
    let [mut primary, spare, third] = three();
    let reads = Reads::start(&[&primary, &spare, &third], "");
    reads.rig.raw().command(&["SET", "k", "v"]);
    reads.wait("spare");
    for standby in [&spare, &third] {
        standby.wait_synced();
    }
    while_they_read(reads.port, || {
        primary.kill();
        reads.rig.wait("failed over", |service| service["route"]["cluster"] != "main" && service["mode"] == "open");
        let routed = reads.rig.service()["route"]["cluster"].clone();
        reads.rig.wait("read from the standby that is left", |service| {
            service["read_route"]["cluster"] != routed && service["read_route"]["cluster"] != "main"
        });
    });
}

#[test]
fn a_hold_leaves_reads_alone_and_closed_closes_both() {
    require_server!("redis7");
    let (primary, replica) = RedisServer::pair("redis7");
    let reads = Reads::start(&[&primary, &replica], "");
    reads.wait("spare");
    let mut raw = reads.raw();
    reads.rig.pointsman.cli_expect(&["mode", "cart", "hold"], 0);
    assert_eq!(asked(&mut raw), replica.port());
    reads.rig.pointsman.cli_expect(&["mode", "cart", "closed"], 0);
    let closed = "ERR pointsman: service cart is closed";
    wait_for("it is closed", PATIENCE, || raw.command(&["GET", "k"]).text() == closed);
    assert_eq!(reads.rig.raw().command(&["GET", "k"]).text(), closed);
    reads.rig.pointsman.cli_expect(&["mode", "cart", "open"], 0);
    wait_asked(&mut raw, &replica);
}

/// A transaction on the read port that stays open is in nobody's way but its own port's.
#[test]
fn what_can_not_move_on_the_read_port_refuses_no_switch() {
    require_server!("redis7");
    let (primary, replica) = RedisServer::pair("redis7");
    let reads = Reads::start(&[&primary, &replica], "");
    reads.wait("spare");
    let mut raw = reads.raw();
    raw.command(&["MULTI"]);
    raw.command(&["GET", "k"]);
    reads.rig.switch("spare");
    reads.wait("main");
    assert!(matches!(raw.command(&["EXEC"]), Reply::Array(_)), "it went along");
}

/// One limit for both ports.
#[test]
fn connections_of_both_ports_count_together() {
    require_server!("redis7");
    let (primary, replica) = RedisServer::pair("redis7");
    let reads = Reads::start(&[&primary, &replica], "max_connections = 2");
    reads.wait("spare");
    let (mut one, mut two) = (reads.raw(), reads.rig.raw());
    assert_eq!(one.command(&["PING"]).text(), "PONG");
    assert_eq!(two.command(&["PING"]).text(), "PONG");
    for port in [reads.port, reads.rig.port] {
        assert_eq!(Raw::connect(port).command(&["PING"]).text(), "ERR max number of clients reached");
    }
    drop(one);
    // Who comes too early is told so and closed, perhaps before it has asked.
    let answer = || -> std::io::Result<[u8; 7]> {
        let mut stream = TcpStream::connect(("127.0.0.1", reads.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).map(|()| answer)
    };
    wait_for("a place is free", PATIENCE, || answer().is_ok_and(|answer| answer == *b"+PONG\r\n"));
}

/// What a reload changes is felt at both ports; where the read port listens needs a restart.
#[test]
fn a_reload_reaches_the_read_port() {
    require_server!("redis7");
    let (primary, replica) = RedisServer::pair("redis7");
    let reads = Reads::start(&[&primary, &replica], "");
    reads.wait("spare");
    let mut raw = reads.raw();
    let clusters = [("main", vec![&primary]), ("spare", vec![&replica])];
    let services = |read_port: u16, more: &str| {
        rig::service(reads.rig.port, &clusters, &format!("listen_read = \"127.0.0.1:{read_port}\"\n{more}"))
    };
    reads.rig.pointsman.write_services(&services(free_port(), "deny = [\"DBSIZE\"]"));
    let output = reads.rig.pointsman.cli(&["reload"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(raw.command(&["DBSIZE"]).text(), "0", "nothing of it was applied");
    reads.rig.pointsman.write_services(&services(reads.port, "deny = [\"DBSIZE\"]"));
    reads.rig.pointsman.cli_expect(&["reload"], 0);
    let denied = "ERR pointsman: DBSIZE is denied on service cart (deny)";
    wait_for("it is denied", PATIENCE, || raw.command(&["DBSIZE"]).text() == denied);
    assert_eq!(asked(&mut reads.raw()), replica.port(), "new connections are taken");
}
