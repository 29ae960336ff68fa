//! The crash: the primary is killed under a load of writers, and what they felt is counted.
//!
//! Input: a scene whose route is steady. Output: how long no write was acknowledged, and what became of the writes. Unlike
//! after a planned switch, a write that was on its way may be answered with "the outcome is unknown", and writes that the
//! standby had not received are lost: replication is asynchronous. Connections stay.

use super::{resp::Client, scene::Scene, tally::Tally};
use redis_protocol::resp2::types::OwnedFrame;
use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// How many clients write.
const WRITERS: usize = 12;
/// From one write of a client to its next.
const PACE: Duration = Duration::from_millis(2);
/// The load before the kill, and after the first acknowledged write behind it.
const AROUND: Duration = Duration::from_secs(1);
/// How long the first acknowledged write after the kill may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// What an error says of a write whose fate is open.
const UNKNOWN: &str = "the outcome is unknown";

/// What the load felt.
pub(super) struct Crash {
    /// Errors that say anything else than that the outcome is unknown, and connections that broke.
    pub(super) errors: u64,
    /// Writes whose outcome is unknown.
    pub(super) unknown: u64,
    /// From the kill to the first acknowledged write.
    pub(super) gap: Duration,
    /// Acknowledged writes that the new primary doesn't hold.
    pub(super) lost: u64,
}

/// What the writers share.
#[derive(Default)]
struct Seen {
    acknowledged: RefCell<Vec<String>>,
    last: Cell<Option<Instant>>,
    unknown: Cell<u64>,
    stop: Cell<bool>,
}

/// Kills the server called `main`, which must be the primary, under a load of its own.
pub(super) async fn crash(scene: &mut Scene, tally: &Rc<Tally>) -> Result<Crash, String> {
    let (seen, errors) = (Rc::new(Seen::default()), tally.errors.get());
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let client = Client::connect(scene.port).await.map_err(|error| format!("a writer: {error}"))?;
        let (seen, tally) = (seen.clone(), tally.clone());
        writers.spawn_local(async move {
            if let Err(error) = write(client, writer, &seen).await {
                tally.failed("writer", &error);
            }
        });
    }
    tokio::time::sleep(AROUND).await;
    say!("     $ kill -9 (the primary)");
    scene.kill("main").await;
    let killed = Instant::now();
    // Answers that were on their way at the kill arrive within a moment.
    let on_their_way = killed + PACE;
    let gap = loop {
        match seen.last.get().filter(|last| *last > on_their_way) {
            Some(last) => break last - killed,
            None if killed.elapsed() > PATIENCE => return Err("no write was acknowledged after the crash".into()),
            None => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    };
    tokio::time::sleep(AROUND).await;
    seen.stop.set(true);
    while writers.join_next().await.is_some() {}
    let acknowledged = seen.acknowledged.borrow().len();
    let lost = missing(scene.port, &seen).await.map_err(|error| format!("reading back: {error}"))?;
    say!(
        "     writes are acknowledged again after {:.0} ms; every connection lasted; {acknowledged} acknowledged, {lost} lost, \
         {} unknown",
        gap.as_secs_f64() * 1000.0,
        seen.unknown.get()
    );
    Ok(Crash { errors: tally.errors.get() - errors, unknown: seen.unknown.get(), gap, lost })
}

async fn write(mut client: Client, writer: usize, seen: &Seen) -> io::Result<()> {
    for id in 0_u64.. {
        if seen.stop.get() {
            break;
        }
        let key = format!("demo:crash:{writer}:{id}");
        match client.call(&["SET", &key, "1"]).await {
            Ok(_) => {
                seen.acknowledged.borrow_mut().push(key);
                seen.last.set(Some(Instant::now()));
            }
            Err(error) if error.to_string().contains(UNKNOWN) => seen.unknown.set(seen.unknown.get() + 1),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}

async fn missing(port: u16, seen: &Seen) -> io::Result<u64> {
    let mut client = Client::connect(port).await?;
    let mut missing = 0;
    for batch in seen.acknowledged.take().chunks(500) {
        let words: Vec<&str> = ["MGET"].into_iter().chain(batch.iter().map(String::as_str)).collect();
        let (OwnedFrame::Array(values), _) = client.call(&words).await? else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        missing += values.iter().filter(|value| matches!(value, OwnedFrame::Null)).count() as u64;
    }
    Ok(missing)
}
