//! A thousand watchers of the event stream, slow ones and dead ones among them: what they cost, and what each of them sees.

mod common;

use common::{
    PATIENCE,
    admin_rig::{AdminRig, Token, bearer, request, until},
    wait_for,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

/// As many as the contract names.
const WATCHERS: usize = 1000;
/// How many of them don't read.
const STUCK: usize = 900;
/// What the process may grow by for all of them, in KiB; one costs about 30.
const GROWTH: u64 = 96 * 1024;
/// What it may grow by while many events pass those that don't read.
const STORM: u64 = 48 * 1024;

/// Each watcher takes a descriptor here.
fn raise_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(4096, |maximum| maximum.min(4096));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).expect("a limit within the maximum");
    assert!(wanted >= 2048, "the system allows too few open files: {wanted}");
}

fn memory(rig: &AdminRig) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", rig.pointsman.id())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}

/// One that takes little at a time, so that what it doesn't read waits at the other side.
fn watch(port: u16, token: &Token) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("an option of every socket");
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).expect("admin.listen");
    let mut stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE)).expect("a read limit");
    let open = request("GET", "/v1/events", Some(token), &[], "").replace("Connection: close\r\n", "");
    stream.write_all(open.as_bytes()).expect("sent");
    stream
}

/// Reads until events are said to be gone, or until the mark; whether it was the former.
fn misses(stream: &mut impl Read, mark: &str) -> bool {
    let (mut kept, mut bytes) = (String::new(), vec![0; 16 * 1024]);
    loop {
        let read = stream.read(&mut bytes).expect("events");
        assert!(read > 0, "closed before the end");
        kept += &String::from_utf8_lossy(&bytes[..read]);
        if kept.contains("event: gap") || kept.contains(mark) {
            return kept.contains("event: gap");
        }
        // Enough for a mark that comes in two pieces.
        let from = kept.char_indices().rev().nth(64).map_or(0, |(at, _)| at);
        kept.drain(..from);
    }
}

/// Pauses and resumes, one order after the other, until so many records were written; the last reason is the mark. By root, who
/// may ask as often as they like.
fn storm(rig: &AdminRig, records: u64, mark: &str) {
    let order = |action: &str, body: Value| {
        let (status, answer) = rig.pointsman.api(&format!("/v1/services/cart/{action}"), Some(&body));
        assert_eq!(status, 200, "{answer}");
    };
    let (begin, reason) = (rig.head(), format!("{mark} {}", "x".repeat(200)));
    while rig.head() < begin + records {
        order("pause", json!({"for": "1m", "reason": reason}));
        order("resume", json!({"reason": reason}));
    }
    order("pause", json!({"for": "1m", "reason": format!("{mark} is over")}));
}

#[test]
fn a_thousand_watchers_cost_little_and_a_slow_one_costs_the_others_nothing() {
    raise_limit();
    let (ann, bob) = (Token::fresh(), Token::fresh());
    let rig = AdminRig::start(&(bearer("ann", "viewer", &ann) + &bearer("bob", "viewer", &bob)));
    let before = memory(&rig);
    let mut streams: Vec<TcpStream> = Vec::new();
    while streams.len() < WATCHERS {
        let mut stream = watch(rig.port, &bob);
        let mut head = [0; 12];
        stream.read_exact(&mut head).expect("an answer");
        match &head {
            b"HTTP/1.1 200" => streams.push(stream),
            // They come faster than one person may ask.
            b"HTTP/1.1 429" => {}
            other => panic!("{}", String::from_utf8_lossy(other)),
        }
    }
    assert_eq!(rig.pointsman.metric(&["pointsman_admin_streams"]), Some(1000.0));
    wait_for("one more is refused", PATIENCE, || rig.get("/v1/events", &bob).status == 503);
    // Nobody takes every place: others still find one.
    until(&mut watch(rig.port, &ann), "retry: ");
    let all = memory(&rig);
    assert!(all - before < GROWTH, "{before} KiB grew to {all}");

    let stuck = streams.split_off(WATCHERS - STUCK);
    let (gaps, slowest) = thread::scope(|scope| {
        let readers: Vec<_> =
            streams.iter().map(|mut stream| scope.spawn(move || misses(&mut stream, "storm is over"))).collect();
        storm(&rig, 800, "storm");
        let over = std::time::Instant::now();
        let gaps =
            readers.into_iter().filter_map(|reader| reader.join().expect("the last event").then_some(())).count();
        (gaps, over.elapsed())
    });
    assert_eq!(gaps, 0, "whoever reads misses nothing");
    let after = memory(&rig);
    println!(
        "memory: {before} KiB before, {all} KiB with {WATCHERS} watchers, {after} KiB while {STUCK} of them did not read"
    );
    println!("the last one that reads had the last event {slowest:?} after it happened");
    assert!(after.saturating_sub(all) < STORM, "{all} KiB grew to {after}");

    // Those that come back to reading hear that they missed something, and then the present.
    let told = thread::scope(|scope| {
        let some = stuck
            .chunks(STUCK.div_ceil(10))
            .map(|some| scope.spawn(|| some.iter().filter(|stream| misses(&mut &**stream, "storm is over")).count()));
        some.collect::<Vec<_>>().into_iter().map(|some| some.join().expect("an end")).sum::<usize>()
    });
    assert_eq!(told, STUCK, "each is told that events are gone");
    assert_eq!(rig.pointsman.metric(&["pointsman_admin_stream_gaps_total"]), Some(900.0), "and nobody else");
    drop(stuck);
    drop(streams);
    wait_for("places given back", PATIENCE, || rig.pointsman.metric(&["pointsman_admin_streams"]) == Some(0.0));
}

/// One that never reads again doesn't keep its place for ever.
#[test]
fn a_dead_watcher_gives_its_place_back() {
    let bob = Token::fresh();
    let rig = AdminRig::start(&bearer("bob", "viewer", &bob));
    let dead = watch(rig.port, &bob);
    wait_for("a stream", PATIENCE, || rig.pointsman.metric(&["pointsman_admin_streams"]) == Some(1.0));
    storm(&rig, 600, "flood");
    wait_for("given up", Duration::from_mins(2), || rig.pointsman.metric(&["pointsman_admin_streams"]) == Some(0.0));
    drop(dead);
}
