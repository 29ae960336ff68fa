//! What long bodies, idle connections and clients that don't read make Pointsman keep.

mod common;

use common::elastic_path::ElasticPath;
use common::http::Http;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// Idle connections held.
const SESSIONS: u64 = 1000;
/// Resident bytes that one of them may cost, the test's own end included.
const LIMIT: u64 = 8 * 1024;
/// The length of a bulk request.
const BULK: usize = 100 << 20;
/// What that may add to the resident memory.
const GROWTH: u64 = 32 << 20;
/// How much an answer is longer than what a client reads of it.
const LONG: usize = 16 << 20;

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory").trim();
    line.trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// A node that keeps nothing: it throws bodies away, and answers `/long` with a long one.
fn node() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

fn serve(mut stream: TcpStream) -> Option<()> {
    // Head and body of an answer are two writes.
    stream.set_nodelay(true).ok()?;
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let many = stream.read(&mut chunk).ok().filter(|many| *many > 0)?;
        let text = String::from_utf8_lossy(&chunk[..many]).into_owned();
        let (head, begun) = text.split_once("\r\n\r\n")?;
        let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
        let mut left = length.unwrap_or(0) - begun.len();
        while left > 0 {
            left -= stream.read(&mut chunk).ok().filter(|many| *many > 0)?;
        }
        let body = if head.starts_with("GET /long") { LONG } else { 2 };
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n").as_bytes()).ok()?;
        let piece = vec![b'x'; body.min(64 * 1024)];
        for _ in 0..body / piece.len() {
            stream.write_all(&piece).ok()?;
        }
    }
}

/// One test after the other: all look at this process's memory.
#[test]
fn memory_stays_bounded() {
    let path = ElasticPath::to(&[("a", vec![node()])]);
    let mut http = path.http();
    assert!(http.call("GET", "/", "").is_ok());
    // First, so that no memory that others have given back is used again.
    idle_connections(&path);
    long_bodies(&path);
    clients_that_do_not_read(&path);
}

fn long_bodies(path: &ElasticPath) {
    let before = resident();
    let mut http = path.http();
    let piece = vec![b'x'; 1 << 20];
    let head = format!("POST /_bulk HTTP/1.1\r\nContent-Length: {BULK}\r\n\r\n");
    http.stream().write_all(head.as_bytes()).expect("a head");
    let mut most = 0;
    for _ in 0..BULK / piece.len() {
        http.stream().write_all(&piece).expect("a body");
        most = most.max(resident());
    }
    assert_eq!(http.answer("POST").expect("an answer").status, 200);
    let growth = most.saturating_sub(before);
    println!("{growth} bytes more for a bulk of {BULK}");
    assert!(growth < GROWTH, "{growth} bytes more for a bulk of {BULK}");
}

fn clients_that_do_not_read(path: &ElasticPath) {
    let before = resident();
    let mut never: Vec<Http> = (0..20).map(|_| path.http()).collect();
    for http in &mut never {
        http.send("GET", "/long", "").expect("sent");
    }
    let mut other = path.http();
    for _ in 0..200 {
        assert!(other.call("GET", "/", "").is_ok());
    }
    let each = resident().saturating_sub(before) / never.len() as u64;
    println!("{each} bytes one who never reads");
    assert!(each < 256 * 1024, "{each} bytes one who never reads");
}

fn idle_connections(path: &ElasticPath) {
    let one = || {
        let mut http = path.http();
        assert!(http.call("GET", "/", "").is_ok());
        http
    };
    let _first: Vec<Http> = (0..100).map(|_| one()).collect();
    let before = resident();
    // A connection alone, without the reader of the test's client.
    let _held: Vec<TcpStream> = (0..SESSIONS).map(|_| one().stream().try_clone().expect("a second handle")).collect();
    let each = resident().saturating_sub(before) / SESSIONS;
    println!("{each} bytes an idle connection");
    assert!(each <= LIMIT, "{each} bytes an idle connection");
}
