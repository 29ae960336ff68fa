//! What a huge bulk, a huge answer and a client that doesn't read cost in Pointsman's memory: bounded buffers, whatever the size.

mod common;

use common::search_server::SearchCluster;
use common::search_service::SearchService;
use std::io::Write;
use std::time::Duration;

/// The servers' own limit of a request is 100 MB.
const BULK: usize = 100_000_000;
/// How much memory may grow, in bytes.
const GROWTH: u64 = 32 << 20;

fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("the process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak").trim();
    line.trim_end_matches(" kB").trim().parse::<u64>().expect("a number") * 1024
}

/// Forgets the peak so far.
fn reset_peak(id: u32) {
    std::fs::write(format!("/proc/{id}/clear_refs"), "5").expect("the peak is reset");
}

#[test]
fn a_bulk_of_100_megabytes_costs_little() {
    require_server!("opensearch2");
    // A bulk may take a tenth of the heap, and is in it more than once.
    let large = || SearchCluster::builder("opensearch2").java("-Xms512m -Xmx3g -XX:TieredStopAtLevel=1").start();
    let service = SearchService::start(large(), SearchCluster::start("opensearch2", 1), "");
    let mappings = r#"{"settings":{"number_of_replicas":0},"mappings":{"enabled":false}}"#;
    service.main.call("PUT", "/large", mappings).good();
    let id = service.pointsman.id();
    for _ in 0..20 {
        service.call("GET", "/catalog/_doc/1", "").good();
    }
    reset_peak(id);
    let before = resident(id);
    let (line, text) = ("{\"index\":{\"_index\":\"large\"}}\n", "x".repeat(1_000_000 - 64));
    let item = format!("{line}{{\"text\":\"{text}\"}}\n");
    let count = BULK / item.len();
    let mut http = service.connect();
    http.limit(Duration::from_mins(3)).expect("a limit");
    let head = "POST /_bulk?refresh=true HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n";
    let stream = http.stream();
    write!(stream, "{head}Content-Length: {}\r\n\r\n", count * item.len()).expect("the head");
    for _ in 0..count {
        stream.write_all(item.as_bytes()).expect("the body");
    }
    let answer = http.answer("POST").expect("an answer");
    assert_eq!(answer.json()["errors"], false, "{} {:.300}", answer.status, answer.text());
    let bulk = resident(id).saturating_sub(before);

    reset_peak(id);
    let found = http.call("GET", "/large/_search?size=90", "").expect("an answer").good();
    assert!(found.body.len() > 80_000_000);
    let search = resident(id).saturating_sub(before);

    reset_peak(id);
    let mut never: Vec<_> = (0..10).map(|_| service.connect()).collect();
    for http in &mut never {
        http.send("GET", "/large/_search?size=30", "").expect("sending");
    }
    for _ in 0..100 {
        service.call("GET", "/catalog/_doc/1", "").good();
    }
    let slow = resident(id).saturating_sub(before);
    println!("growth: bulk {bulk}, answer {search}, ten who don't read {slow} bytes");
    assert!(bulk < GROWTH && search < GROWTH && slow < GROWTH);
}
