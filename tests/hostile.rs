//! Hostile and broken clients: what they do hurts them alone. Memory stays bounded, neighbours are served, nothing crashes.

mod behaviour;
mod common;

use behaviour::side::{Kind, Side};
use behaviour::wire::{Got, LIMIT, Wire, encode};
use common::{PATIENCE, certificates::Certificates, holds_within, instance::Pointsman, raw::Raw, wait_for};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Resident memory of a process, in bytes.
fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its resident memory");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") * 1024
}

fn pointsman(side: &mut Side) -> &mut Pointsman {
    side.pointsman.as_mut().expect("a side with a Pointsman")
}

/// Still there, and it serves.
#[track_caller]
fn well(side: &mut Side) {
    assert_eq!(side.connect().ask(&["SET", "well", "yes"]), b"+OK\r\n");
    let process = pointsman(side);
    assert!(process.runs(), "it ended; its log:\n{}", process.log());
    assert!(!process.log().contains("panicked"), "a panic:\n{}", process.log());
}

const MIB: u64 = 1024 * 1024;

/// A session of everything, as one string of bytes, and what it is answered.
const SESSION: &str = "PING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na\r\nbc\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$5\r\nMULTI\r\n\
    *2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*1\r\n$4\r\nEXEC\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n\
    *3\r\n$5\r\nBLPOP\r\n$4\r\nnone\r\n$4\r\n0.01\r\n*1\r\n$4\r\nNOPE\r\n*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n\
    *2\r\n$11\r\nUNSUBSCRIBE\r\n$1\r\nc\r\nECHO \"in line\"\r\n*1\r\n$5\r\nRESET\r\n*2\r\n$3\r\nDEL\r\n$1\r\nn\r\n*2\r\n$4\r\nECHO\r\n$4\r\nlast\r\n";

#[test]
fn every_split_at_every_byte_is_the_same_session() {
    require_server!("redis7");
    let mut side = Kind::plain("redis7").through();
    let play = |pieces: &[&[u8]]| {
        let mut wire = side.connect();
        // The second database's counter starts anew as well.
        wire.ask(&["FLUSHALL"]);
        for piece in pieces {
            wire.send(piece);
            // A reply in between is the only proof that a piece was read by itself; a yield makes it likely.
            std::thread::yield_now();
        }
        let mut said = Vec::new();
        while !said.ends_with(b"$4\r\nlast\r\n") {
            match wire.frame(LIMIT) {
                Got::Frame(frame) => said.extend(frame),
                other => panic!("{other:?} after {}", said.escape_ascii()),
            }
        }
        said.escape_ascii().to_string()
    };
    let bytes = SESSION.as_bytes();
    let whole = play(&[bytes]);
    assert!(whole.contains("QUEUED") && whole.contains("in line") && whole.contains("unsubscribe"), "{whole}");
    for at in 1..bytes.len() {
        let (head, tail) = bytes.split_at(at);
        assert_eq!(play(&[head, tail]), whole, "cut at byte {at}");
    }
    let one_by_one: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(play(&one_by_one), whole, "byte by byte");
    well(&mut side);
}

/// Sends this, many times over if it is let, until the other side closes or a limit of bytes or time is reached.
/// Gives the answer and how many bytes were taken.
fn pour(port: u16, head: &[u8], more: &[u8], limit: u64) -> (Vec<u8>, u64) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a limit");
    let mut sent = 0;
    let mut piece = head;
    while sent < limit {
        match stream.write(piece) {
            Ok(many) => sent += many as u64,
            Err(_) => break,
        }
        if more.is_empty() {
            break;
        }
        piece = more;
    }
    stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a limit");
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(many) = stream.read(&mut buffer) {
        if many == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..many]);
    }
    (answer, sent)
}

#[test]
fn requests_that_announce_too_much_cost_nothing() {
    require_server!("redis7");
    let mut side = Kind::plain("redis7").through();
    well(&mut side);
    let before = resident(pointsman(&mut side).id());
    let nested = b"*1\r\n".repeat(100_000);
    let cases: [(&str, &[u8], &[u8]); 8] = [
        ("a billion elements", b"*1000000000\r\n", b""),
        ("a billion elements, and some come", b"*1000000000\r\n", b"$1\r\nx\r\n$1\r\nx\r\n$1\r\nx\r\n"),
        ("nested arrays", &nested, b""),
        ("a bulk past the limit", b"*2\r\n$3\r\nGET\r\n$629145600\r\n", b""),
        ("an endless line", b"GET ", &[b'x'; 16 * 1024]),
        ("an endless length", b"*", &[b'1'; 16 * 1024]),
        ("an endless blank", b"", &[b' '; 16 * 1024]),
        ("a large login", b"*2\r\n$4\r\nAUTH\r\n$500000000\r\n", &[b'x'; 16 * 1024]),
    ];
    for (name, head, more) in cases {
        let (answer, sent) = pour(side.port, head, more, 64 * MIB);
        let grown = resident(pointsman(&mut side).id()).saturating_sub(before);
        assert!(grown < 24 * MIB, "{name}: {grown} bytes more for {sent} sent");
        assert!(answer.is_empty() || answer.starts_with(b"-"), "{name}: {}", answer.escape_ascii());
        well(&mut side);
    }
}

#[test]
fn a_large_bulk_is_streamed_not_kept() {
    require_server!("redis7");
    let mut side = Kind { settings: &[("proto-max-bulk-len", "1gb")], ..Kind::plain("redis7") }.through();
    well(&mut side);
    let before = resident(pointsman(&mut side).id());
    let mut stream = TcpStream::connect(("127.0.0.1", side.port)).expect("a connection");
    let length = 300 * MIB;
    stream.write_all(format!("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n${length}\r\n").as_bytes()).expect("a head");
    let piece = vec![b'x'; 1024 * 1024];
    let mut most = 0;
    for _ in 0..300 {
        stream.write_all(&piece).expect("a piece");
        most = most.max(resident(pointsman(&mut side).id()).saturating_sub(before));
    }
    stream.write_all(b"\r\n*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n").expect("the end");
    let expected = format!("+OK\r\n${length}\r\n");
    let mut head = vec![0; expected.len()];
    stream.read_exact(&mut head).expect("the answers");
    assert_eq!(String::from_utf8_lossy(&head), expected);
    let (mut buffer, mut left) = (vec![0; 1024 * 1024], length + 2);
    while left > 0 {
        let many = stream.read(&mut buffer).expect("more of it");
        assert!(many > 0, "closed with {left} bytes to come");
        left -= many as u64;
        most = most.max(resident(pointsman(&mut side).id()).saturating_sub(before));
    }
    assert!(most < 32 * MIB, "{most} bytes more than before");
    well(&mut side);
}

#[test]
fn slow_clients_hold_up_nobody() {
    require_server!("redis7");
    let mut side = Kind::plain("redis7").through();
    let request = encode(&["SET", "slow", "value"]);
    let mut slow: Vec<TcpStream> =
        (0..200).map(|_| TcpStream::connect(("127.0.0.1", side.port)).expect("a connection")).collect();
    for byte in &request[..request.len() - 1] {
        for stream in &mut slow {
            stream.write_all(&[*byte]).expect("a byte");
        }
        let asked = Instant::now();
        assert_eq!(side.connect().ask(&["GET", "slow"]), b"$-1\r\n");
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }
    for stream in &mut slow {
        stream.write_all(&request[request.len() - 1..]).expect("the last byte");
        let mut answer = [0; 5];
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"+OK\r\n");
    }
    well(&mut side);
}

/// Asks for a gigabyte and reads nothing; neighbours go on, memory stays near `client_buffer`, only it may be closed. With
/// `praised` many small answers went well before.
fn never_reads(component: &str, requests: &[u8], rounds: usize, praised: bool) {
    let mut side = Kind { service: "client_buffer = \"1MiB\"", ..Kind::plain(component) }.through();
    let mut neighbour = side.connect();
    let value = "x".repeat(1024 * 1024);
    assert_eq!(neighbour.ask(&["SET", "large", &value]), b"+OK\r\n");
    assert_eq!(neighbour.ask(&["SET", "small", &"y".repeat(16 * 1024)]), b"+OK\r\n");
    let before = resident(pointsman(&mut side).id());
    let greedy = TcpStream::connect(("127.0.0.1", side.port)).expect("a connection");
    greedy.set_write_timeout(Some(Duration::from_millis(200))).expect("a limit");
    if praised {
        (&greedy).write_all(&encode(&["ECHO", "small"]).repeat(1000)).expect("small requests");
        let mut answers = vec![0; b"$5\r\nsmall\r\n".len() * 1000];
        (&greedy).read_exact(&mut answers).expect("small answers");
    }
    let mut sent = 0;
    for _ in 0..rounds {
        match (&greedy).write(requests) {
            Ok(many) => sent += many,
            Err(_) => break,
        }
    }
    assert!(sent > 0);
    let (mut most, mut slowest) = (0, Duration::ZERO);
    // Who was praised may have ordered 128 MiB, and this may be a debug build on a busy machine.
    let limit = Duration::from_secs(if praised { 4 } else { 1 });
    for _ in 0..200 {
        let asked = Instant::now();
        assert_eq!(neighbour.ask(&["PING"]), b"+PONG\r\n");
        slowest = slowest.max(asked.elapsed());
        assert!(slowest < limit, "a neighbour waited for {slowest:?}");
        most = most.max(resident(pointsman(&mut side).id()).saturating_sub(before));
    }
    assert!(most < 24 * MIB, "{most} bytes for one client that does not read");
    if !praised {
        // It was not waited for, and not closed for it either: when it reads after all, it gets what it had asked for.
        greedy.set_read_timeout(Some(LIMIT)).expect("a limit");
        (&greedy).read_exact(&mut vec![0; 12 << 20]).expect("twelve large answers, or many small ones");
    }
    drop(greedy);
    well(&mut side);
    eprintln!("a neighbour waited for {slowest:?} at most, {most} bytes more at most");
    wait_for("its memory is given back", PATIENCE, || {
        resident(side.pointsman.as_ref().expect("running").id()).saturating_sub(before) < 24 * MIB
    });
}

#[test]
fn who_never_reads_large_replies_waits_alone() {
    require_server!("redis7");
    never_reads("redis7", &encode(&["GET", "large"]), 1000, false);
    never_reads("redis7", &encode(&["GET", "large"]).repeat(1000), 1, false);
}

#[test]
fn who_stops_reading_after_small_replies_waits_alone() {
    require_server!("redis7");
    never_reads("redis7", &encode(&["GET", "large"]).repeat(1000), 1, true);
}

#[test]
fn who_never_reads_many_small_replies_waits_alone() {
    require_server!("redis7");
    never_reads("redis7", &encode(&["GET", "small"]).repeat(1000), 65, false);
}

#[test]
fn who_never_reads_a_subscription_is_alone() {
    require_server!("redis7");
    let mut side = Kind::plain("redis7").through();
    let mut deaf = side.connect();
    deaf.ask(&["SUBSCRIBE", "news"]);
    let (mut neighbour, mut speaker) = (side.connect(), side.connect());
    neighbour.ask(&["SUBSCRIBE", "news"]);
    let before = resident(pointsman(&mut side).id());
    let message = "m".repeat(64 * 1024);
    for _ in 0..2000 {
        speaker.ask(&["PUBLISH", "news", &message]);
        assert!(matches!(neighbour.frame(LIMIT), Got::Frame(_)));
    }
    let grown = resident(pointsman(&mut side).id()).saturating_sub(before);
    assert!(grown < 24 * MIB, "{grown} bytes for a subscriber that does not read");
    well(&mut side);
}

/// Numbers of a small generator: what a seed gives, it gives again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[test]
fn random_bytes_end_in_an_error_or_a_wait() {
    require_server!("redis7");
    let mut side = Kind::plain("redis7").through();
    let before = resident(pointsman(&mut side).id());
    for seed in 0..400 {
        let mut dice = Dice(seed);
        // Half of them are made of the protocol's own signs, which get further in.
        let signs = b"*$\r\n0123456789-GETSETMULTIx \"'";
        let bytes: Vec<u8> = (0..dice.roll(600))
            .map(|_| match seed % 2 {
                0 => u8::try_from(dice.roll(256)).expect("a byte"),
                _ => signs[usize::try_from(dice.roll(signs.len() as u64)).expect("an index")],
            })
            .collect();
        let mut stream = TcpStream::connect(("127.0.0.1", side.port)).expect("a connection");
        // The other side may have closed already.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        let reset = ended.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset);
        assert!(ended.is_ok() || reset, "seed {seed} hangs: {}", bytes.escape_ascii());
    }
    well(&mut side);
    let grown = resident(pointsman(&mut side).id()).saturating_sub(before);
    assert!(grown < 24 * MIB, "{grown} bytes");
}

#[test]
fn who_has_finished_sending_still_gets_the_answers() {
    require_server!("redis7");
    let mut side = Kind::plain("redis7").through();
    let mut raw = Raw::connect(side.port);
    raw.send("SET half 1\r\nINCR half\r\nMULTI\r\nINCR half\r\nEXEC\r\nGET half\r\n");
    raw.finish_writing();
    let said = String::from_utf8_lossy(&raw.until_closed()).into_owned();
    // Redis itself closes without answering what it has not read by then; what is answered is in order.
    assert!("+OK\r\n:2\r\n+OK\r\n+QUEUED\r\n*1\r\n:3\r\n$1\r\n3\r\n".starts_with(&said), "{said}");
    well(&mut side);
}

#[test]
fn resets_in_the_middle_of_pipelines_leave_neighbours_alone() {
    require_server!("redis7");
    let mut side = Kind::plain("redis7").through();
    let mut neighbour = side.connect();
    let pipeline = encode(&["INCR", "reset"]).repeat(500);
    for round in 0..100 {
        let mut stream = TcpStream::connect(("127.0.0.1", side.port)).expect("a connection");
        stream.write_all(&pipeline[..pipeline.len() - round]).expect("a pipeline");
        // Unread answers in its buffer make the kernel send a reset.
        let mut first = [0; 4];
        stream.read_exact(&mut first).expect("the first answer");
        drop(stream);
        let counter = neighbour.ask(&["INCR", "neighbour"]);
        assert_eq!(counter, format!(":{}\r\n", round + 1).into_bytes());
    }
    let sockets = || side.server.info("connected_clients").parse::<u32>().expect("a number");
    assert!(holds_within(PATIENCE, || sockets() < 20), "{} connections left at the server", sockets());
    well(&mut side);
}

#[test]
fn a_tls_listener_is_not_troubled_by_plain_text() {
    require_server!("redis7");
    let folder = tempfile::tempdir().expect("a folder");
    let files = Certificates::write(folder.path());
    let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&files.server_key, own).expect("a key that only its owner reads");
    let (certificate, key) = (files.server.display().to_string(), files.server_key.display().to_string());
    let server = common::redis_server::RedisServer::start("redis7");
    let spare = common::redis_server::RedisServer::start("redis7");
    let port = common::ports::free_port();
    let mut pointsman = Pointsman::start(&format!(
        "[services.cart]\nkind = \"redis\"\nlisten = [\"127.0.0.1:{port}\"]\nreplication = \"none\"\n\
         [services.cart.tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n\
         [[services.cart.clusters]]\nname = \"main\"\nnodes = [\"{}\"]\n\
         [[services.cart.clusters]]\nname = \"spare\"\nnodes = [\"{}\"]\n",
        server.address(),
        spare.address()
    ));
    for bytes in [&b"PING\r\n"[..], b"*1\r\n$4\r\nPING\r\n", &[0x16; 600], &[0; 12_000]] {
        let (answer, _) = pour(port, bytes, b"", 1);
        assert!(!answer.starts_with(b"+PONG"), "plain text was served on a TLS listener");
    }
    let cli = common::servers_folder().join("redis7/redis-cli");
    let mut ping = std::process::Command::new(cli);
    ping.args(["-h", "localhost", "-p", &port.to_string(), "--tls", "--cacert"]).arg(&files.ca).arg("PING");
    // Until its nodes have been asked, Pointsman has none to lead to, and says so.
    let mut said = || String::from_utf8_lossy(&ping.output().expect("redis-cli starts").stdout).trim().to_owned();
    common::wait_for("a PONG over TLS", common::PATIENCE, || said() == "PONG");
    assert!(pointsman.runs());
}

#[test]
fn too_many_connections_get_redis_own_error() {
    require_server!("redis7");
    let mut side = Kind { service: "max_connections = 20", ..Kind::plain("redis7") }.through();
    let mut held: Vec<Wire> = Vec::new();
    // Connections of the start may still be counted for a moment.
    wait_for("twenty are served", PATIENCE, || {
        held.clear();
        held.extend((0..20).map(|_| side.connect()));
        held.iter_mut().all(|wire| wire.ask(&["PING"]) == b"+PONG\r\n")
    });
    let mut refused = Raw::connect(side.port);
    assert_eq!(refused.until_closed(), b"-ERR max number of clients reached\r\n");
    held.truncate(10);
    wait_for("there is room again", PATIENCE, || {
        let mut wire = side.connect();
        wire.send(&encode(&["PING"]));
        wire.frame(LIMIT) == Got::Frame(b"+PONG\r\n".to_vec())
    });
    well(&mut side);
}
