//! Plain timing of the scanners and of classification, in nanoseconds a command, statement or request: `cargo bench --bench scan`.

use std::hint::black_box;
use std::time::Instant;

use pointsman::protocol::elastic;
use pointsman::protocol::http::{
    ChunkScanner, Limits as HeadLimits, Method, RequestChanges, RequestHead, ResponseChanges, ResponseHead,
};
use pointsman::protocol::mysql::sql::{self, Dialect};
use pointsman::protocol::redis::command::{DenyList, classify, find};
use pointsman::protocol::redis::scan::{Limits, ReplyScanner, RequestScanner, Scan};

const ROUNDS: usize = 20_000;

/// Best of five runs, in nanoseconds for each of the `count` items of one round.
fn time(name: &str, count: usize, mut round: impl FnMut() -> usize) {
    let best = (0..5)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..ROUNDS {
                assert_eq!(black_box(round()), count);
            }
            start.elapsed()
        })
        .min()
        .unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let each = best.as_nanos() as f64 / (ROUNDS * count) as f64;
    println!("{name:32} {each:6.1} ns");
}

fn requests(bytes: &[u8], mut each: impl FnMut(&pointsman::protocol::redis::scan::Head, &[u8])) -> usize {
    let (mut scanner, limits, mut at, mut seen) = (RequestScanner::default(), Limits::default(), 0, 0);
    while let Ok(Scan::Complete(head)) = scanner.next(&bytes[at..], &limits) {
        each(&head, &bytes[at..]);
        at += head.len;
        seen += 1;
    }
    seen
}

/// Statements as applications send them.
const STATEMENTS: [(&str, &str); 8] = [
    ("BEGIN", "BEGIN"),
    ("SELECT 1", "SELECT 1"),
    ("point select", "SELECT c FROM sbtest1 WHERE id=50123"),
    ("range select", "SELECT c FROM sbtest1 WHERE id BETWEEN 50123 AND 50222"),
    ("sum", "SELECT SUM(k) FROM sbtest1 WHERE id BETWEEN 50123 AND 50222"),
    ("quoted names", "SELECT `users`.* FROM `users` WHERE `users`.`id` = 1 LIMIT 1"),
    (
        "join",
        "SELECT u.id, u.name, COUNT(o.id) AS orders FROM users u LEFT JOIN orders o ON o.user_id = u.id \
         WHERE u.created_at > '2024-01-01' AND u.active = 1 GROUP BY u.id ORDER BY orders DESC LIMIT 20",
    ),
    ("update", "UPDATE sbtest1 SET k=k+1 WHERE id=50123"),
];

fn main() {
    mysql();
    redis();
}

fn mysql() {
    for (name, text) in STATEMENTS {
        time(&format!("SQL: {name}, {} bytes", text.len()), 1, || {
            black_box(sql::classify(black_box(text.as_bytes()), true, Dialect::default()));
            1
        });
    }
}

fn redis() {
    let get = b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000012345\r\n".repeat(16);
    let set = b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000012345\r\n$3\r\nxxx\r\n".repeat(16);
    let deny = DenyList::default();
    for (name, bytes) in [("GET", &get), ("SET", &set)] {
        time(&format!("scan {name}, pipeline of 16"), 16, || requests(bytes, |_, _| {}));
        time(&format!("scan and classify {name}"), 16, || {
            requests(bytes, |head, bytes| {
                black_box(classify(head, bytes, &deny));
            })
        });
    }
    for name in ["get", "SET", "ZREVRANGEBYSCORE", "JSON.GET"] {
        time(&format!("find {name}"), 1, || {
            black_box(find(black_box(name.as_bytes())));
            1
        });
    }
    for (name, reply) in
        [("+OK", &b"+OK\r\n"[..]), ("$3", b"$3\r\nxxx\r\n"), (":1", b":1\r\n"), ("*2", b"*2\r\n$1\r\na\r\n$1\r\nb\r\n")]
    {
        let bytes = reply.repeat(16);
        time(&format!("reply {name}"), 16, || {
            let (mut scanner, mut at, mut seen) = (ReplyScanner::default(), 0, 0);
            while let Ok(Some(reply)) = scanner.next(&bytes[at..]) {
                at += reply.len;
                seen += 1;
            }
            seen
        });
    }
    http();
}

/// What a small GET costs: its head, its class, and both heads written onwards.
fn http() {
    let small = b"GET /orders/_doc/12345 HTTP/1.1\r\nHost: localhost:9200\r\nAccept-Encoding: identity\r\n\
        user-agent: opensearch-py/2.8.0 (Python 3.11.2)\r\nConnection: keep-alive\r\n\r\n";
    let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=UTF-8\r\ncontent-length: 131\r\n\r\n";
    let parse = |bytes| RequestHead::parse(bytes, &HeadLimits::CLIENT).ok().flatten();
    let mut out = Vec::with_capacity(4096);
    time("http head of a GET", 1, || parse(black_box(small)).map_or(0, |(head, _)| usize::from(head.keep_alive)));
    time("http head of a GET, and its class", 1, || {
        let Some((head, _)) = parse(black_box(small)) else { return 0 };
        black_box(elastic::classify(head.method, head.path(), head.query()));
        1
    });
    let (head, _) = parse(small).expect("a head");
    time("http head written onwards", 1, || {
        out.clear();
        black_box(&head).write(&mut out, &RequestChanges::default());
        usize::from(!out.is_empty())
    });
    time("http answer, read and written", 1, || {
        out.clear();
        let head = ResponseHead::parse(black_box(answer), Method::Get, &HeadLimits::NODE).ok().flatten();
        head.map_or(0, |(head, _)| {
            head.write(&mut out, &ResponseChanges::default());
            1
        })
    });
    let chunks = [&b"1000\r\n"[..], &[b'x'; 4096], b"\r\n0\r\n\r\n"].concat();
    time("http chunked body of 4 KiB", 1, || {
        let scanned = ChunkScanner::default().scan(black_box(&chunks));
        scanned.map_or(0, |scanned| usize::from(scanned.done))
    });
}
