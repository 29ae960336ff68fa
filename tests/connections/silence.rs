//! Nodes that say nothing, or are gone: an honest error within a bound, and no storm of connections.

use crate::common::{
    PATIENCE,
    data_path::DataPath,
    instance::Pointsman,
    ports::free_port,
    raw::{Raw, Reply},
    redis_server::RedisServer,
    wait_for,
};
use crate::require_server;
use crate::{bulk, error, ok};
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// The path to a node that counts as hung after 0.3 s and is waited for for 0.7 s.
fn impatient(server: &RedisServer) -> DataPath {
    DataPath::with(server, |settings| {
        settings.health.hang_window = Duration::from_millis(300);
        settings.failover.hold_timeout = Duration::from_millis(700);
    })
}

#[test]
fn a_node_that_hangs_is_given_up() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let path = impatient(&server);
    let (mut reader, mut writer, mut trader, mut blocked) = (path.raw(), path.raw(), path.raw(), path.raw());
    for raw in [&mut reader, &mut writer, &mut trader, &mut blocked] {
        assert_eq!(raw.command(&["SET", "k", "v"]), ok());
    }
    assert_eq!(trader.command(&["MULTI"]), ok());
    blocked.request(&["BLPOP", "list", "0"]);
    wait_for("it blocks", PATIENCE, || server.info("blocked_clients") == "1");
    server.freeze();
    let began = Instant::now();
    reader.request(&["GET", "k"]);
    writer.request(&["SET", "k", "w"]);
    trader.request(&["INCR", "n"]).request(&["EXEC"]);
    assert!(error(reader.reply()).starts_with("ERR pointsman: "));
    assert_eq!(error(writer.reply()), "ERR pointsman: connection to the node was lost, the outcome is unknown");
    assert!(error(trader.reply()).starts_with("ERR pointsman: "));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let again = Instant::now();
    assert!(error(reader.command(&["GET", "k"])).starts_with("ERR pointsman: "));
    assert!(again.elapsed() < Duration::from_millis(900), "the outage has one clock: {:?}", again.elapsed());
    assert!(blocked.is_silent_for(Duration::from_millis(50)), "who blocks may wait for ever");
    server.thaw();
    wait_for("served again", PATIENCE, || matches!(reader.command(&["GET", "k"]), Reply::Bulk(_)));
    assert_eq!(reader.command(&["RPUSH", "list", "one"]), Reply::Integer(1));
    assert_eq!(blocked.reply(), Reply::Array(vec![bulk("list"), bulk("one")]));
}

/// Slow is not silent: a script below the bound, a large value that takes its time, an idle connection.
#[test]
fn what_is_slow_is_not_given_up() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let path = impatient(&server);
    let (mut raw, mut uploader) = (path.raw(), path.raw());
    let value = "y".repeat(200_000);
    let request = crate::common::raw::encode(&["SET", "big", &value]);
    uploader.send(&request[..100_000]);
    let script = "local t = redis.call('TIME') local e = t[1] * 1000000 + t[2] + 600000 \
                  repeat local n = redis.call('TIME') until n[1] * 1000000 + n[2] > e return 'done'";
    assert_eq!(raw.command(&["EVAL", script, "0"]), bulk("done"));
    assert!(raw.is_silent_for(Duration::from_millis(1500)), "nothing is owed");
    assert_eq!(raw.command(&["PING"]), Reply::Simple("PONG".into()));
    uploader.send(&request[100_000..]);
    assert_eq!(uploader.reply(), ok());
}

/// A node that takes connections and closes them, under clients that insist.
#[test]
fn reconnects_are_paced() {
    require_server!("redis7");
    let mut server = RedisServer::start("redis7");
    let path = DataPath::with(&server, |settings| settings.failover.hold_timeout = Duration::from_secs(30));
    let mut clients: Vec<Raw> = (0..50).map(|_| path.raw()).collect();
    let mut pinned: Vec<Raw> = (0..20).map(|_| path.raw()).collect();
    for raw in &mut clients {
        assert_eq!(raw.command(&["SET", "k", "v"]), ok());
    }
    for raw in &mut pinned {
        raw.request(&["SUBSCRIBE", "news"]).reply();
    }
    server.kill();
    let listener = TcpListener::bind(("127.0.0.1", server.port())).expect("its port");
    listener.set_nonblocking(true).expect("no waiting");
    for raw in &mut clients {
        raw.request(&["GET", "k"]);
    }
    let (began, mut count) = (Instant::now(), 0);
    wait_for("2 s of attempts", PATIENCE, || {
        while listener.accept().is_ok() {
            count += 1;
        }
        began.elapsed() > Duration::from_secs(2)
    });
    println!("{count} connections in 2 s for 50 shared and 20 pinned sessions");
    // At most 8 doublings for what is shared and for each of the 20, and then two or more a second.
    assert!((3..=14 * 21).contains(&count), "{count} connections in 2 s");
    drop(listener);
    server.restart();
    for raw in &mut clients {
        assert_eq!(raw.reply(), Reply::Null, "the node is empty, and nobody got an error");
    }
    let received: usize = server.info("total_connections_received").parse().expect("a number");
    assert!(received < 60, "{received} connections at its return");
}

/// Names are resolved at each connect.
#[test]
fn a_node_by_name_that_comes_later() {
    require_server!("redis7");
    let mut main = RedisServer::builder("redis7").set("appendonly", "yes").start();
    let mut spare = RedisServer::builder("redis7").replica_of(&main).start();
    spare.wait_synced();
    main.kill();
    spare.kill();
    let port = free_port();
    let pointsman = Pointsman::start(&format!(
        "[services.cart]\nkind = \"redis\"\nlisten = [\"127.0.0.1:{port}\"]\n\
         [[services.cart.clusters]]\nname = \"main\"\nnodes = [\"localhost:{}\"]\n\
         [[services.cart.clusters]]\nname = \"spare\"\nnodes = [\"localhost:{}\"]\n",
        main.port(),
        spare.port(),
    ));
    let mut raw = Raw::connect(port);
    let text = error(raw.command(&["GET", "k"]));
    assert!(text.starts_with("LOADING pointsman") || text.starts_with("ERR pointsman"), "{text}");
    let status = pointsman.cli(&["status"]);
    assert!(!String::from_utf8_lossy(&status.stdout).is_empty());
    main.restart();
    spare.restart();
    wait_for("served", PATIENCE, || raw.command(&["SET", "k", "v"]) == ok());
    main.kill();
    main.restart();
    wait_for("served again", PATIENCE, || raw.command(&["GET", "k"]) == bulk("v"));
}
