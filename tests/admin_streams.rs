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

/// What a watcher comes to.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The last event.
    Mark,
    /// Events are gone that it didn't see.
    Gap,
    /// It was given up.
    Closed,
}

/// Reads to the first of them.
fn follow(stream: &mut impl Read, mark: &str) -> End {
    let (mut kept, mut bytes) = (String::new(), vec![0; 16 * 1024]);
    loop {
        let Ok(read @ 1..) = stream.read(&mut bytes) else { return End::Closed };
        kept += &String::from_utf8_lossy(&bytes[..read]);
        if kept.contains("event: gap") {
            return End::Gap;
        }
        if kept.contains(mark) {
            return End::Mark;
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
    let slowest = thread::scope(|scope| {
        let readers: Vec<_> =
            streams.iter().map(|mut stream| scope.spawn(move || follow(&mut stream, "storm is over"))).collect();
        storm(&rig, 600, "storm");
        let over = std::time::Instant::now();
        for reader in readers {
            assert_eq!(reader.join().expect("an end"), End::Mark, "whoever reads misses nothing");
        }
        over.elapsed()
    });
    let after = memory(&rig);
    println!(
        "memory: {before} KiB before, {all} KiB with {WATCHERS} watchers, {after} KiB while {STUCK} of them did not read"
    );
    println!("the last one that reads had the last event {slowest:?} after it happened");
    assert!(after.saturating_sub(all) < STORM, "{all} KiB grew to {after}");

    // Those that come back to reading hear that they missed something, and then the present. On a slow machine the storm takes longer
    // than Pointsman's patience with one that takes nothing: then some were given up.
    let ends: Vec<End> = stuck.iter().map(|mut stream| follow(&mut stream, "storm is over")).collect();
    let told = ends.iter().filter(|end| **end == End::Gap).count();
    println!("{told} of {STUCK} that did not read were told so, the others given up");
    assert!(!ends.contains(&End::Mark), "nobody is left to think that they saw everything");
    let gaps = rig.pointsman.metric(&["pointsman_admin_stream_gaps_total"]).expect("there from the start");
    let counted = (0..=STUCK).find(|count| count.to_string() == gaps.to_string());
    assert!(counted.is_some_and(|counted| (told..=STUCK).contains(&counted)), "{told} were told, {gaps} counted");
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
