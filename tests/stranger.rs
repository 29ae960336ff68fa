//! A process that takes the address of a dead primary is served nothing before it was judged: it may be empty.

mod common;
#[path = "switchover/rig.rs"]
mod rig;

use common::{
    PATIENCE,
    data_path::{DataPath, switch},
    raw::{Raw, Reply},
    redis_server::RedisServer,
    relay::Relay,
    wait_for,
};
use pointsman::{
    config::Credentials,
    model::{name::NodeAddress, route::Mode, secret::Secret, signal::Signal},
};
use rig::{Rig, wait_role};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

/// A request waits while another process than the served one answers, control is told of it, and the request goes on when that
/// process was found to be good.
#[track_caller]
fn waits_for_a_verdict(path: &mut DataPath, server: &mut RedisServer, client: &mut Raw) {
    path.serve(server);
    assert_eq!(client.command(&["SET", "k", "1"]).text(), "OK");
    server.kill();
    server.restart();
    client.request(&["SET", "k", "2"]);
    let stranger = Signal::Stranger(NodeAddress::from(server.address()));
    wait_for("control is told", PATIENCE, || path.signals.try_recv().is_ok_and(|signal| signal == stranger));
    assert!(client.is_silent_for(Duration::from_millis(50)), "it was served before it was judged");
    assert_eq!(server.command(&["EXISTS", "k"]), Reply::Integer(0));
    path.serve(server);
    assert_eq!(client.reply().text(), "OK");
}

#[test]
fn a_request_waits_until_the_process_that_answers_was_judged() {
    require_server!("redis7");
    let mut server = RedisServer::start("redis7");
    let mut path = DataPath::to(&server);
    let mut shared = path.raw();
    waits_for_a_verdict(&mut path, &mut server, &mut shared);
    let mut pinned = path.raw();
    pinned.command(&["HELLO", "3"]);
    assert_eq!(pinned.command(&["CLIENT", "NO-EVICT", "ON"]).text(), "OK");
    waits_for_a_verdict(&mut path, &mut server, &mut pinned);
}

#[test]
fn a_user_who_may_not_ask_is_served_only_by_the_process_that_was_judged() {
    require_server!("redis7");
    let mut server =
        RedisServer::builder("redis7").user("app on >secret ~* +get +set").user("own on >word +info").start();
    let own = Credentials { username: Some("own".into()), password: Some(Secret::new(*b"word")) };
    let mut path = DataPath::with(&server, |settings| settings.credentials = Some(own.clone()));
    let mut client = path.raw();
    assert_eq!(client.command(&["AUTH", "app", "secret"]).text(), "OK");
    waits_for_a_verdict(&mut path, &mut server, &mut client);
}

/// A busy server can't say who it is; whoever logs in then may end the script all the same.
#[test]
fn a_script_is_ended_by_who_logs_in_while_it_runs() {
    require_server!("redis7");
    let server =
        RedisServer::builder("redis7").set("busy-reply-threshold", "50").user("app on >secret ~* +@all").start();
    let path = DataPath::to(&server);
    path.serve(&server);
    let (mut script, mut other) = (path.raw(), path.raw());
    script.request(&["EVAL", "while true do end", "0"]);
    wait_for("the script is felt", PATIENCE, || other.command(&["GET", "k"]).text().starts_with("BUSY"));
    let mut client = path.raw();
    assert_eq!(client.command(&["AUTH", "app", "secret"]).text(), "OK");
    assert!(client.command(&["GET", "k"]).text().starts_with("BUSY"));
    assert_eq!(client.command(&["SCRIPT", "KILL"]).text(), "OK");
    assert!(script.reply().text().contains("killed by user"));
    assert_eq!(client.command(&["GET", "k"]), Reply::Null);
}

#[test]
fn a_planned_switch_leads_to_the_process_that_was_promoted() {
    require_server!("redis7");
    let (a, b) = RedisServer::pair("redis7");
    let mut path = DataPath::to(&a);
    path.serve(&a);
    let mut client = path.raw();
    for (number, (from, to)) in [(&a, &b), (&b, &a)].into_iter().enumerate() {
        assert_eq!(client.command(&["INCR", "n"]).text(), (number + 1).to_string());
        switch(&mut path, from, to);
        assert_eq!(to.command(&["GET", "n"]).text(), (number + 1).to_string());
        assert_eq!(client.command(&["GET", "n"]).text(), (number + 1).to_string());
        from.wait_synced();
    }
}

/// Clients that write, and read a key that has been there all the time.
struct Clients {
    answered: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Clients {
    fn start(port: u16, many: usize) -> Self {
        let (answered, stop) = <(Arc<AtomicUsize>, Arc<AtomicBool>)>::default();
        let threads = (0..many).map(|number| {
            let (answered, stop) = (answered.clone(), stop.clone());
            std::thread::spawn(move || run(port, number, &answered, &stop))
        });
        let threads = threads.collect();
        Self { answered, stop, threads }
    }

    #[track_caller]
    fn progress(&self, requests: usize) {
        let goal = self.answered.load(Relaxed) + requests;
        wait_for("answers", PATIENCE, || self.answered.load(Relaxed) >= goal);
    }

    /// What was answered wrongly.
    fn finish(self) -> Vec<String> {
        self.stop.store(true, Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().expect("its connection lasts")).collect()
    }
}

/// Every other one reconnects all the time, so that somebody always opens an upstream.
fn run(port: u16, number: usize, answered: &AtomicUsize, stop: &AtomicBool) -> Vec<String> {
    let (mut client, mut wrong) = (Raw::connect(port), Vec::new());
    while !stop.load(Relaxed) {
        if number % 2 == 1 {
            client = Raw::connect(port);
            client.command(&["WATCH", "there"]);
        }
        let read = client.command(&["GET", "there"]);
        let write = client.command(&["SET", &format!("w{number}"), "v"]);
        let unknown = |reply: &Reply| reply.text().contains("the outcome is unknown");
        wrong.extend((read.text() != "all the time").then(|| format!("GET: {read:?}")));
        wrong.extend((write.text() != "OK" && !unknown(&write)).then(|| format!("SET: {write:?}")));
        answered.fetch_add(2, Relaxed);
    }
    wrong
}

/// One crash whose address is taken over at once: what applications felt, and the server that took it.
fn take_over(round: usize) {
    let (mut main, spare) = RedisServer::pair("redis7");
    // It can't be made a standby afterwards, so that it holds what it was sent, and nothing else.
    let empty = RedisServer::builder("redis7").with_file().set("rename-command", "REPLICAOF NOT.TO.BE.CALLED").start();
    let relay = Relay::to(main.port());
    let rig = Rig::behind(&relay, &main, &spare, "");
    assert_eq!(rig.raw().command(&["SET", "there", "all the time"]).text(), "OK");
    spare.wait_synced();
    let clients = Clients::start(rig.port, 6);
    clients.progress(200);
    relay.lead_to(empty.port());
    main.kill();
    wait_role(&spare, "master");
    clients.progress(50);
    let wrong = clients.finish();
    assert!(wrong.is_empty(), "round {round}: {wrong:?}");
    let calls = empty.command(&["INFO", "commandstats"]).text();
    let served = ["cmdstat_get:", "cmdstat_set:", "cmdstat_watch:"].iter().any(|command| calls.contains(command));
    assert!(!served, "round {round}: the empty process was served: {calls}");
}

/// From one instant to the next another process answers where the primary was: no probe can be quicker.
#[test]
fn an_empty_process_that_takes_over_the_address_at_once_is_served_nothing() {
    require_server!("redis7");
    let rounds: Vec<_> = (0..4)
        .map(|thread| std::thread::spawn(move || (0..5).for_each(|round| take_over(thread * 5 + round))))
        .collect();
    for thread in rounds {
        thread.join().expect("every round holds");
    }
}

/// A failover leaves a primary that hangs: what it answers when it wakes after all counts for nobody, on a shared upstream and on a
/// pinned one. The failover came to nothing, so the same process is served again.
#[test]
fn what_a_primary_answers_that_is_being_left_is_not_handed_on() {
    require_server!("redis7");
    let server = RedisServer::start("redis7");
    let mut path = DataPath::to(&server);
    path.serve(&server);
    let (mut shared, mut pinned) = (path.raw(), path.raw());
    assert_eq!(shared.command(&["SET", "k", "1"]).text(), "OK");
    pinned.command(&["HELLO", "3"]);
    assert_eq!(pinned.command(&["CLIENT", "NO-EVICT", "ON"]).text(), "OK");
    server.freeze();
    shared.request(&["SET", "k", "2"]);
    pinned.request(&["SET", "p", "2"]);
    wait_for("both are on their way", PATIENCE, || path.board.sum(|gauge| &gauge.in_flight) == 2);
    path.leave(&server);
    path.wait_drained();
    server.thaw();
    wait_for("it has run them", PATIENCE, || server.command(&["MGET", "k", "p"]).words() == ["2", "2"]);
    for client in [&mut shared, &mut pinned] {
        assert!(client.reply().text().contains("outcome is unknown"), "nobody was told that it is safe");
        client.request(&["SET", "k", "3"]);
        assert!(client.is_silent_for(Duration::from_millis(50)), "it is held");
    }
    path.publish(Mode::Open, &server, None);
    assert_eq!(shared.reply().text(), "OK");
    assert_eq!(pinned.reply().text(), "OK");
}
