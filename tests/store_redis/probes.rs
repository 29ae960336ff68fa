//! What a probe sees, and what each of its failures proves.

use super::setup::{answered, node, probe_until, service, store, store_as, store_of};
use crate::{
    common::{
        PATIENCE, certificates::Certificates, ports::free_port, redis_server::RedisServer, relay::Relay, wait_for,
    },
    require_server,
};
use pointsman::{
    model::observation::{Part, Reach},
    store::{Store, redis::RedisStore},
};
use std::time::Duration;
use tokio::{io::AsyncWriteExt, net::TcpListener};

async fn roles_and_positions(component: &str, version: &str) {
    let (primary, replica) = RedisServer::pair(component);
    primary.command(&["SET", "a", "1"]);
    primary.command(&["SET", "b", "1"]);
    replica.wait_synced();
    let store = store_of(&[&primary, &replica]);

    let seen = answered(store.probe(&node(&primary)).await);
    assert!(seen.version.starts_with(version), "{}", seen.version);
    assert_eq!(seen.run_id, primary.info("run_id"));
    assert!(seen.writable && !seen.fenced && !seen.loading);
    assert_eq!(seen.items, 2);
    assert_eq!(seen.note, "");
    let Part::Primary { standbys } = &seen.part else { panic!("{:?}", seen.part) };
    assert_eq!(standbys.len(), 1);
    assert_eq!(standbys[0].0, node(&replica));

    let standby = answered(store.probe(&node(&replica)).await);
    let Part::Standby { of, link_up, silent_for, syncing } = &standby.part else { panic!("{:?}", standby.part) };
    assert_eq!(*of, node(&primary));
    assert!(*link_up && !*syncing && silent_for.is_some_and(|silent| silent < Duration::from_secs(15)));
    assert!(!standby.writable);
    assert_eq!(standby.lineage.id, seen.lineage.id);
    assert_eq!((standby.items, standby.priority), (2, 100));
    assert!(standby.applied >= seen.applied && standby.received >= standby.applied);
    assert_ne!(standby.run_id, seen.run_id);
}

#[tokio::test]
async fn roles_and_positions_of_redis_7() {
    require_server!("redis7");
    roles_and_positions("redis7", "7.").await;
}

#[tokio::test]
async fn roles_and_positions_of_redis_6() {
    require_server!("redis6");
    roles_and_positions("redis6", "6.").await;
}

#[tokio::test]
async fn roles_and_positions_of_redis_8() {
    require_server!("redis8");
    roles_and_positions("redis8", "8.").await;
}

#[tokio::test]
async fn roles_and_positions_of_valkey() {
    require_server!("valkey");
    roles_and_positions("valkey", "valkey ").await;
}

#[tokio::test]
async fn a_killed_server_is_refused_on_the_kept_connection_and_seen_again_with_a_new_identity() {
    require_server!("redis7");
    let mut server = RedisServer::start("redis7");
    let store = store_of(&[&server]);
    let before = answered(store.probe(&node(&server)).await);
    server.kill();
    assert_eq!(store.probe(&node(&server)).await.reach, Reach::Refused);
    server.restart();
    let after = answered(store.probe(&node(&server)).await);
    assert_ne!(before.run_id, after.run_id);
}

#[tokio::test]
async fn a_stopped_process_is_silent_on_kept_and_new_connections_and_answers_again() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let (kept, new) = (store_of(&[&server]), store_of(&[&server]));
    answered(kept.probe(&node(&server)).await);
    server.freeze();
    for store in [&kept, &new] {
        let seen = store.probe(&node(&server)).await;
        assert_eq!(seen.reach, Reach::Silent);
        assert!(seen.took >= Duration::from_millis(450) && seen.took < Duration::from_secs(3), "{:?}", seen.took);
    }
    server.thaw();
    answered(kept.probe(&node(&server)).await);
}

#[tokio::test]
async fn a_slow_script_that_ends_in_time_is_an_answer_on_the_kept_connection() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let tables = "[services.cart.health]\ntimeout = \"4s\"";
    let service = service(&[server.address(), "127.0.0.1:1".to_owned()], "", tables);
    let store = RedisStore::new(service, "us").unwrap();
    let before = answered(store.probe(&node(&server)).await);
    let mut busy = server.raw();
    let script = "local t=redis.call('TIME') local e=t[1]*1000+t[2]/1000+2300 \
                  repeat t=redis.call('TIME') until t[1]*1000+t[2]/1000>e";
    busy.request(&["EVAL", script, "0"]);
    // The server is busy from the moment on that a PING stays without an answer.
    let mut other = server.raw();
    while !other.request(&["PING"]).is_silent_for(Duration::from_millis(50)) {
        other = server.raw();
    }
    let seen = store.probe(&node(&server)).await;
    assert!(seen.took > Duration::from_secs(1), "the script was over: {:?}", seen.took);
    let after = answered(seen);
    assert_eq!(after.run_id, before.run_id);
}

#[tokio::test]
async fn a_server_that_loads_says_so() {
    require_server!("redis7");
    let server = RedisServer::builder("redis7").set("enable-debug-command", "yes").start();
    for command in [
        "DEBUG POPULATE 20000",
        "CONFIG SET key-load-delay 200",
        "CONFIG SET loading-process-events-interval-bytes 1024",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        assert_eq!(server.command(&words).text(), "OK", "{command}");
    }
    let store = store_of(&[&server]);
    let mut loader = server.raw();
    loader.request(&["DEBUG", "RELOAD"]);
    let loading = |reach: &Reach| matches!(reach, Reach::Answered(answer) if answer.loading);
    let seen = probe_until(&store, &node(&server), "it is loading", loading).await;
    assert!(matches!(seen, Reach::Answered(answer) if !answer.writable));
}

#[tokio::test]
async fn who_is_not_let_in_is_rejected_with_the_servers_words() {
    require_server!("redis7");
    let server = RedisServer::builder("redis7")
        .set("requirepass", "right")
        .user("mute on >word ~* -@all +ping")
        .set("maxclients", "4")
        .start();
    let cases = [
        (store_of(&[&server]), "NOAUTH"),
        (store_as(&[&server], "default", "wrong"), "WRONGPASS"),
        (store_as(&[&server], "mute", "word"), "NOPERM"),
    ];
    for (store, word) in cases {
        let seen = store.probe(&node(&server)).await.reach;
        assert!(matches!(&seen, Reach::Rejected(why) if why.starts_with(word)), "{word}: {seen:?}");
    }
    let crowd: Vec<_> = (0..4).map(|_| server.raw()).collect();
    let store = store_as(&[&server], "default", "right");
    let full = |reach: &Reach| matches!(reach, Reach::Rejected(why) if why.contains("max number of clients"));
    probe_until(&store, &node(&server), "too many connections", full).await;
    drop(crowd);
    probe_until(&store, &node(&server), "room again", |reach| matches!(reach, Reach::Answered(_))).await;
}

#[tokio::test]
async fn what_is_no_redis_is_rejected_and_a_name_that_does_not_resolve_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let web = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let closed = format!("127.0.0.1:{}", free_port());
    let store = store(&[web.clone(), closed.clone()]);
    let seen = store.probe(&web.into()).await.reach;
    assert!(matches!(&seen, Reach::Rejected(why) if why.contains("not a Redis server")), "{seen:?}");
    assert_eq!(store.probe(&closed.into()).await.reach, Reach::Refused);
    let unknown = store.probe(&"no-such-host.invalid:6379".into()).await.reach;
    assert!(matches!(unknown, Reach::Unreachable(_)), "{unknown:?}");
}

#[tokio::test]
async fn hostile_replies_end_in_a_rejection() {
    let deep = "*1\r\n".repeat(100_000);
    for bytes in [deep.as_str(), "*1000000000\r\n", "$600000000000\r\n", "$-7\r\n", "+", "\r\n\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let bytes = bytes.to_owned();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(bytes.as_bytes()).await;
            }
        });
        let seen = store(&[address.clone(), "127.0.0.1:1".to_owned()]).probe(&address.into()).await.reach;
        assert!(!matches!(seen, Reach::Answered(_)), "{seen:?}");
    }
}

#[tokio::test]
async fn a_broken_save_and_a_fence_are_seen() {
    require_server!("redis7");
    let server = RedisServer::builder("redis7").set("save", "3600 1").start();
    let store = store_of(&[&server]);
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "1000"]);
    let fenced = answered(store.probe(&node(&server)).await);
    assert!(fenced.fenced && !fenced.writable);
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let starved = answered(store.probe(&node(&server)).await);
    assert!(!starved.fenced && !starved.writable, "nobody follows it, so it takes no writes");
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]);

    std::fs::remove_dir_all(server.unix_socket().parent().unwrap()).unwrap();
    server.command(&["BGSAVE"]);
    let noted =
        |reach: &Reach| matches!(reach, Reach::Answered(answer) if answer.sick.contains("MISCONF") && !answer.writable);
    probe_until(&store, &node(&server), "the failed save is noted", noted).await;
}

/// The path to the primary breaks in the middle of a command: its rest never comes, and so it was never received.
#[tokio::test]
async fn half_a_command_is_not_received() {
    require_server!("redis7");
    let (primary, standby) = RedisServer::pair("redis7");
    let relay = Relay::to(primary.port());
    let (host, port) = relay.address().rsplit_once(':').map(|(host, port)| (host.to_owned(), port.to_owned())).unwrap();
    standby.command(&["REPLICAOF", &host, &port]);
    standby.wait_synced();
    let value = vec![b'v'; 64 << 20];
    primary.raw().request(&[b"SET".as_slice(), b"k", &value]).reply();
    let positions = || [standby.info("slave_read_repl_offset"), standby.info("slave_repl_offset")];
    wait_for("half of it came", PATIENCE, || positions()[0] != positions()[1]);
    relay.silence(true);
    let store = store_of(&[&standby]);
    let whole = |reach: &Reach| matches!(reach, Reach::Answered(answer) if answer.received == answer.applied);
    probe_until(&store, &node(&standby), "what came of it doesn't count", whole).await;
    let [read, applied] = positions();
    assert_ne!(read, applied, "the test cut it in the middle");
}

#[tokio::test]
async fn another_manager_of_the_same_service_is_seen_by_name() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let others: Vec<_> = ["pointsman:cart:them", "pointsman:orders:else", "pointsman:cart:us"]
        .map(|name| {
            let mut raw = server.raw();
            raw.command(&["CLIENT", "SETNAME", name]);
            raw
        })
        .into();
    let seen = answered(store_of(&[&server]).probe(&node(&server)).await);
    assert_eq!((seen.other_managers, seen.yields), (vec!["them".to_owned()], true), "the first by name manages");
    let first = RedisStore::new(service(&super::setup::addresses(&[&server]), "", ""), "a").unwrap();
    let seen = answered(first.probe(&node(&server)).await);
    assert!(seen.other_managers.contains(&"them".to_owned()), "{:?}", seen.other_managers);
    assert!(seen.yields, "whoever was there before may not have seen it yet");
    let manages = |reach: &Reach| matches!(reach, Reach::Answered(answer) if !answer.yields);
    probe_until(&first, &node(&server), "the first by name manages", manages).await;
    drop(others);
}

#[tokio::test]
async fn who_only_looks_is_no_manager() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let addresses = super::setup::addresses(&[&server]);
    let visitor = RedisStore::visitor(service(&addresses, "", ""), "elsewhere").unwrap();
    answered(visitor.probe(&node(&server)).await);
    assert!(visitor.inspect(&node(&server)).await.version.is_some());
    assert!(server.command(&["CLIENT", "LIST"]).text().contains("name=pointsman-check:cart:elsewhere"));
    let seen = answered(store_of(&[&server]).probe(&node(&server)).await);
    assert!(seen.other_managers.is_empty(), "{:?}", seen.other_managers);
}

#[tokio::test]
async fn a_node_with_tls_is_probed_and_a_stranger_is_rejected() {
    require_server!("redis7");
    let folders = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (certificates, others) = (Certificates::write(folders.0.path()), Certificates::write(folders.1.path()));
    let server = RedisServer::builder("redis7").tls(&certificates).start();
    let address = format!("127.0.0.1:{}", server.tls_port());
    for (ca, good) in [(&certificates.ca, true), (&others.ca, false)] {
        let tables = format!("[services.cart.node_tls]\nca = {:?}", ca.display().to_string());
        let service = service(&[address.clone(), "127.0.0.1:1".to_owned()], "", &tables);
        let store = RedisStore::new(service, "us").unwrap();
        let seen = store.probe(&address.clone().into()).await.reach;
        match seen {
            Reach::Answered(answer) => assert!(good && answer.run_id == server.info("run_id")),
            Reach::Rejected(why) => assert!(!good && why.contains("TLS"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
