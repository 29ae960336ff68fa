//! A primary's process dies.

use crate::{
    common::{
        PATIENCE,
        raw::{Raw, Reply},
        wait_for,
    },
    rig::{Rig, fence, wait_role},
    scene::{self, QUICK, a_server, changes, last_operation, median, ms, servers, streams},
    writers::{Notes, Writers},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// How many times a crash is timed.
const ROUNDS: usize = 5;
/// How many clients write in a round.
const WRITERS: usize = 20;

/// How many clients read in a round.
const READERS: usize = 5;

/// With an interval of 100 ms and two failed probes.
pub fn quick_rounds() -> String {
    rounds(QUICK, Duration::from_millis(500))
}

/// With shipped defaults.
pub fn default_rounds() -> String {
    rounds("", Duration::from_secs(1))
}

/// One round, and no time is judged.
pub fn once() -> String {
    let (noted, gap, missing) = round(QUICK);
    format!(
        "gap {} ms, {} acknowledged, {missing} lost, {} unknown",
        gap.as_millis(),
        noted.acknowledged.len(),
        noted.unknown.len()
    )
}

fn rounds(settings: &str, limit: Duration) -> String {
    let (mut gaps, mut lost, mut unknown, mut acknowledged) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let (noted, gap, missing) = round(settings);
        println!(
            "gap {gap:?}, {} acknowledged, {missing} lost, {} unknown",
            noted.acknowledged.len(),
            noted.unknown.len()
        );
        gaps.push(gap);
        lost.push(missing.to_string());
        unknown.push(noted.unknown.len().to_string());
        acknowledged += noted.acknowledged.len();
    }
    let middle = median(&gaps);
    assert!(middle <= limit, "the median of {} ms is {middle:?}", ms(&gaps));
    format!(
        "gaps {} ms, median {} ms; of {acknowledged} acknowledged writes lost {}; unknown {}",
        ms(&gaps),
        middle.as_millis(),
        lost.join(", "),
        unknown.join(", ")
    )
}

/// One crash of a fresh pair, all promises but the time checked; the first acknowledged write came so long after.
fn round(settings: &str) -> (Notes, Duration, usize) {
    let mut nodes = servers(a_server, 1);
    let rig = scene::ready(&nodes, settings);
    let mut idle = rig.raw();
    assert_eq!(idle.command(&["CLIENT", "SETNAME", "idle"]).text(), "OK");
    let mut subscriber = rig.raw();
    subscriber.request(&["SUBSCRIBE", "news"]).reply();
    let writers = Writers::start(rig.port, WRITERS);
    let stop = Arc::new(AtomicBool::new(false));
    let readers = [(); READERS].map(|()| {
        let (port, stop) = (rig.port, stop.clone());
        std::thread::spawn(move || read(port, &stop))
    });
    writers.progress(200);
    streams(&nodes[1]);
    nodes[0].kill();
    let crash = Instant::now();
    wait_role(&nodes[1], "master");
    writers.progress(200);
    stop.store(true, Relaxed);
    let reads: usize = readers.into_iter().map(|reader| reader.join().expect("reads never fail")).sum();
    assert!(reads > 0, "no read");
    let noted = writers.finish();
    let missing = noted.missing(&nodes[1]);
    noted.no_errors();
    assert!(noted.unknown.len() <= WRITERS, "one a connection at most: {}", noted.unknown.len());
    assert!(missing <= WRITERS, "asynchronous replication loses what was under way: {missing}");
    assert_eq!(idle.command(&["GET", "nothing"]), Reply::Null, "an idle connection lasts");
    let publish = || nodes[1].command(&["PUBLISH", "news", "again"]) == Reply::Integer(1);
    wait_for("the subscription moved", PATIENCE, publish);
    assert_eq!(subscriber.reply(), Reply::Array(["message", "news", "again"].map(|t| Reply::Bulk(t.into())).into()));
    reported(&rig);
    nodes[0].restart();
    rig.wait_ready();
    wait_role(&nodes[0], "slave");
    assert_eq!((fence(&nodes[0]), fence(&nodes[1])), ("0".into(), "0".into()));
    assert!(!changes(&rig, "amended").is_empty(), "the record of the loss is amended when it returned");
    let gap = noted.gap(crash);
    (noted, gap, missing)
}

/// Reads until told to stop: each is answered, those that were on their way in the crash too.
fn read(port: u16, stop: &AtomicBool) -> usize {
    let (mut raw, mut reads) = (Raw::connect(port), 0);
    while !stop.load(Relaxed) {
        let reply = raw.command(&["GET", "w0:0"]);
        assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
        reads += 1;
    }
    reads
}

/// The failover says itself that it is one, and what it may have lost.
fn reported(rig: &Rig) {
    let operation = last_operation(rig);
    assert_eq!(operation["kind"], "failover", "{operation:#}");
    assert_eq!(operation["outcome"], "done", "{operation:#}");
    assert_eq!(operation["actor"], "pointsman", "{operation:#}");
    assert_eq!(operation["lost"]["known"], false, "not known before it returned: {operation:#}");
    assert!(operation["lost"]["count"].is_u64(), "a bound: {operation:#}");
}
