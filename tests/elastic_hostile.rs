//! Hostile and broken clients of a search service, before a real server: what they do hurts them alone. Each is answered 4xx in the servers' own
//! form or cut, neighbours are served, memory stays bounded, nothing crashes, and nothing that was hidden in a request is carried out.

mod common;

use common::PATIENCE;
use common::search_service::SearchService;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const MIB: u64 = 1024 * 1024;

fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its resident memory");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") * 1024
}

/// Everything that is answered to these bytes until the connection ends, or nothing more comes for `quiet`.
fn said(service: &SearchService, bytes: &[u8], quiet: Duration) -> String {
    let mut stream = TcpStream::connect(service.address()).expect("a connection");
    stream.set_read_timeout(Some(quiet)).expect("a limit");
    stream.set_write_timeout(Some(PATIENCE)).expect("a limit");
    // Whoever is cut in the middle of a request can't send its rest.
    let _ = stream.write_all(bytes);
    let (mut text, mut buffer) = (Vec::new(), [0; 16_384]);
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        text.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Its status, and whether it is an error in the servers' form.
fn is_refusal(text: &str) -> bool {
    text.is_empty()
        || (text.starts_with("HTTP/1.1 4") && (text.contains("\"error\"") || text.contains("content-length: 0")))
}

/// Still there, and it serves.
#[track_caller]
fn well(service: &mut SearchService) {
    let answer = service.call("GET", "/catalog/_doc/1", "");
    assert!(answer.is_good(), "{}", answer.text());
    assert!(service.pointsman.runs() && !service.pointsman.log().contains("panicked"), "{}", service.pointsman.log());
}

/// A request whose end can be seen in two places carries another one that must not be run.
fn smuggled(service: &SearchService) {
    let hidden = "PUT /orders/_doc/smuggled HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"n\":9}";
    let long = hidden.len() + 5;
    let forms = [
        format!(
            "POST /catalog/_search HTTP/1.1\r\nHost: x\r\nContent-Length: {long}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!(
            "POST /catalog/_search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!(
            "POST /catalog/_search HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: {long}\r\n\r\n{{}}{hidden}"
        ),
        format!("POST /catalog/_search HTTP/1.1\r\nHost: x\r\nContent-Length: 2, {long}\r\n\r\n{{}}{hidden}"),
        format!("POST /catalog/_search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!(
            "POST /catalog/_search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n{hidden}"
        ),
        format!(
            "POST /catalog/_search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 0\r\n\r\n{hidden}"
        ),
        format!("POST /catalog/_search HTTP/1.1\nHost: x\nContent-Length: 0\n\n{hidden}"),
        format!("GET /catalog/_doc/1 HTTP/1.1\r\nHost: x\r\nX: a\rContent-Length: 0\r\n\r\n{hidden}"),
        format!("POST /catalog/_search HTTP/1.1\r\nHost: x\r\nContent-Length: +0\r\n\r\n{hidden}"),
        format!("POST /catalog/_search HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551616\r\n\r\n{hidden}"),
        format!("POST /catalog/_search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-0\r\n\r\n{hidden}"),
        format!("POST /catalog/_search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n{hidden}"),
        format!("GET http://elsewhere/ HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n{hidden}"),
        format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{hidden}"),
        format!("CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: x\r\n\r\n{hidden}"),
    ];
    for form in &forms {
        let text = said(service, form.as_bytes(), Duration::from_millis(500));
        let answers = text.lines().filter(|line| line.starts_with("HTTP/1.1 ")).count();
        assert!(is_refusal(&text) && answers <= 1, "{form:?}\nis answered\n{text}");
    }
    assert_eq!(service.call("GET", "/orders/_doc/smuggled", "").status, 404, "a hidden request was carried out");
}

/// Too long, too many, without an end, and half.
fn endless(service: &SearchService) {
    let many = "X: 1\r\n".repeat(2000);
    let head = "GET /catalog/_doc/1 HTTP/1.1\r\nHost: x\r\n";
    let forms = [
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(5000)),
        format!("{head}X: {}\r\n\r\n", "a".repeat(9000)),
        format!("{head}{many}\r\n"),
        format!("{head}X: {}", "a".repeat(1_000_000)),
        "a".repeat(1_000_000),
        "\r\n".repeat(100_000),
        "\0".repeat(100_000),
    ];
    for form in &forms {
        let text = said(service, form.as_bytes(), Duration::from_secs(15));
        assert!(is_refusal(&text), "{form:.60}... is answered\n{text:.300}");
    }
    let half = format!("{head}Content-Length: 1000\r\n\r\nonly this");
    assert_eq!(said(service, half.as_bytes(), Duration::from_millis(300)), "", "it waits for the rest");
}

/// Changes of good requests, by a fixed seed: flipped, lost and doubled bytes.
fn mangled(service: &SearchService) {
    let good = "POST /catalog/_search?size=1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
        1e\r\n{\"query\":{\"term\":{\"group\":  1}\r\n2\r\n}}\r\n0\r\n\r\nGET /catalog/_doc/1 HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("small")
    };
    for _ in 0..300 {
        let mut bytes = good.as_bytes().to_vec();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            match random(3) {
                0 => bytes[at] = u8::try_from(random(256)).expect("a byte"),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[at]),
            }
        }
        let text = said(service, &bytes, Duration::from_millis(30));
        assert!(text.is_empty() || text.starts_with("HTTP/1."), "{}\nis answered\n{text}", bytes.escape_ascii());
    }
}

/// Hundreds who send their heads slowly, or nothing, cost little, and are cut or wait alone.
fn slow(service: &mut SearchService) {
    let before = resident(service.pointsman.id());
    let mut slow: Vec<TcpStream> =
        (0..500).map(|_| TcpStream::connect(service.address()).expect("a connection")).collect();
    for (n, stream) in slow.iter_mut().enumerate() {
        let part = &b"POST /_bulk HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n{\"index\":"[..n % 60];
        stream.write_all(part).expect("a few bytes");
    }
    let begun = Instant::now();
    for _ in 0..50 {
        well(service);
    }
    assert!(begun.elapsed() < PATIENCE, "neighbours are served");
    let growth = resident(service.pointsman.id()).saturating_sub(before);
    assert!(growth < 16 * MIB, "{growth} bytes for 500 who are slow");
}

#[test]
fn hostile_clients_hurt_themselves_alone() {
    require_server!("opensearch2");
    let mut service = SearchService::pair("opensearch2", "");
    let before = resident(service.pointsman.id());
    smuggled(&service);
    well(&mut service);
    endless(&service);
    well(&mut service);
    mangled(&service);
    well(&mut service);
    slow(&mut service);
    let growth = resident(service.pointsman.id()).saturating_sub(before);
    assert!(growth < 32 * MIB, "{growth} bytes");
    assert_eq!(service.routed(), "main", "what clients do is no sign of a sick node");
}
