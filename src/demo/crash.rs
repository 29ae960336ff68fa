//! The crash: the primary is killed under a load of writers, and what they felt is counted.
//!
//! Input: a scene whose route is steady. Output: how long no write was acknowledged, and what became of the writes. Unlike
//! after a planned switch, a write that was on its way may be answered with "the outcome is unknown", and writes that the
//! standby had not received are lost: replication is asynchronous.

use super::{
    scene::Scene,
    store::{Writer, Written},
    tally::Tally,
};
use std::{
    cell::{Cell, RefCell},
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
/// How many ids are read back at once.
const BATCH: usize = 500;

/// What the load felt.
pub(super) struct Crash {
    /// Errors that say anything else than that the outcome is unknown, and connections that broke for no such reason.
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
pub(super) async fn crash<W: Writer>(scene: &mut Scene, tally: &Rc<Tally>) -> Result<Crash, String> {
    let (seen, errors) = (Rc::new(Seen::default()), tally.errors.get());
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let writer = W::connect(scene.port).await.map_err(|error| format!("a writer: {error}"))?;
        let (seen, tally) = (seen.clone(), tally.clone());
        writers.spawn_local(async move {
            if let Err(error) = write(writer, number, &seen).await {
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
    let acknowledged = seen.acknowledged.take();
    let mut reader = W::connect(scene.port).await.map_err(|error| format!("reading back: {error}"))?;
    let mut lost = 0;
    for batch in acknowledged.chunks(BATCH) {
        lost += reader.missing(batch).await.map_err(|error| format!("reading back: {error}"))?;
    }
    say!(
        "     writes are acknowledged again after {:.0} ms; {} acknowledged, {lost} lost, {} unknown",
        gap.as_secs_f64() * 1000.0,
        acknowledged.len(),
        seen.unknown.get()
    );
    Ok(Crash { errors: tally.errors.get() - errors, unknown: seen.unknown.get(), gap, lost })
}

async fn write<W: Writer>(mut writer: W, number: usize, seen: &Seen) -> Result<(), String> {
    for count in 0_u64.. {
        if seen.stop.get() {
            break;
        }
        let id = format!("{number}-{count}");
        match writer.write(&id).await? {
            Written::Acknowledged => {
                seen.acknowledged.borrow_mut().push(id);
                seen.last.set(Some(Instant::now()));
            }
            Written::Unknown => seen.unknown.set(seen.unknown.get() + 1),
        }
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}
