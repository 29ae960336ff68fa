//! The crash: the routed cluster is killed under searches and writes. Searches go on by themselves, on the other cluster, which holds what
//! was indexed there; writes wait for an operator's word, since two clusters that both took writes aren't brought together by anybody.
//!
//! Input: a scene whose route is steady. Output: how long no search was answered, and what became of the writes, which is counted on both
//! clusters when the killed one has been started again.

use super::{
    http::Client,
    ledger::{Acknowledged, Audit, audit},
    start_node,
};
use crate::demo::{Options, crash::Crash, scene::Scene, tally::Tally};
use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// How many clients search, and how many write.
const CLIENTS: usize = 6;
/// From one request of a client to its next.
const PACE: Duration = Duration::from_millis(5);
/// The load before the kill, and around the operator's word.
const AROUND: Duration = Duration::from_secs(1);
/// How long the first answer after the kill may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the clients share.
#[derive(Default)]
struct Seen {
    /// When the last answered search had been sent, and when the last acknowledged write had.
    search: Cell<Option<Instant>>,
    write: Cell<Option<Instant>>,
    unknown: Cell<u64>,
    refused: Cell<u64>,
    stop: Cell<bool>,
}

/// Kills the cluster called `main`, which must be the routed one, under a load of its own.
pub(super) async fn crash(scene: &mut Scene, options: &Options, tally: &Rc<Tally>) -> Result<Crash, String> {
    let (seen, errors) = (Rc::new(Seen::default()), tally.errors.get());
    let writers: Vec<Acknowledged> = (0..CLIENTS).map(|_| Acknowledged::default()).collect();
    let mut clients = JoinSet::new();
    for (number, acknowledged) in writers.iter().enumerate() {
        let (searcher, writer) = (Client::connect(scene.port).await?, Client::connect(scene.port).await?);
        let (seen, other, tally, acknowledged) = (seen.clone(), seen.clone(), tally.clone(), acknowledged.clone());
        let second = tally.clone();
        clients.spawn_local(async move {
            search(searcher, &seen).await.unwrap_or_else(|error| tally.failed("searcher", &error));
        });
        clients.spawn_local(async move {
            write(writer, number, &acknowledged, &other).await.unwrap_or_else(|error| second.failed("writer", &error));
        });
    }
    tokio::time::sleep(AROUND).await;
    say!("     $ kill -9 (the routed cluster)");
    let killed = Instant::now();
    scene.kill("main").await;
    let gap = answered_since(&seen.search, Instant::now(), "search").await? - killed;
    say!("     searches are answered again after {:.0} ms; writes wait for an operator", gap.as_secs_f64() * 1000.0);
    tokio::time::sleep(AROUND).await;
    say!("     $ pointsman mode demo open");
    let opened = Instant::now();
    let (code, said) = scene.ask(&["mode", "demo", "open", "--reason", "demo", "--json"]).await?;
    if code != 0 {
        return Err(format!("writes weren't let through again: code {code}: {said}"));
    }
    answered_since(&seen.write, opened, "write").await?;
    tokio::time::sleep(AROUND).await;
    seen.stop.set(true);
    while clients.join_next().await.is_some() {}
    start_node(scene, options, "main").await?;
    let audit = audit(scene.servers, &writers, 1).await?;
    report(&audit, &seen);
    Ok(Crash { errors: tally.errors.get() - errors, unknown: seen.unknown.get(), gap, lost: audit.wrong() })
}

fn report(audit: &Audit, seen: &Seen) {
    let [main, spare] = audit.held;
    let (lost, doubled, unknown, refused) = (audit.lost, audit.doubled, seen.unknown.get(), seen.refused.get());
    say!(
        "     the killed cluster, started again, holds {main} of the acknowledged writes, the other {spare}; {lost} lost, {doubled} on both, \
         {unknown} unknown, {refused} refused"
    );
}

/// Waits for something sent after `begin` that was answered; when that was.
async fn answered_since(last: &Cell<Option<Instant>>, begin: Instant, what: &str) -> Result<Instant, String> {
    loop {
        match last.get() {
            Some(at) if at > begin => return Ok(Instant::now()),
            _ if begin.elapsed() > PATIENCE => return Err(format!("no {what} was answered after the crash")),
            _ => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

async fn search(mut client: Client, seen: &Seen) -> Result<(), String> {
    while !seen.stop.get() {
        let begin = Instant::now();
        client.call("POST", "/catalog/_search", "{\"query\":{\"match_all\":{}}}").await?.good()?;
        seen.search.set(Some(begin));
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}

/// Writes ids. That nobody knows what became of one, and that nothing is written at present, are answers; anything else that isn't a success
/// is what no application should see.
async fn write(mut client: Client, number: usize, acknowledged: &Acknowledged, seen: &Seen) -> Result<(), String> {
    for count in 0_u64.. {
        if seen.stop.get() {
            break;
        }
        let (id, begin) = (format!("crash-{number}-{count}"), Instant::now());
        let answer = client.call("PUT", &format!("/orders/_doc/{id}"), "{\"state\":\"open\"}").await?;
        if answer.is_unknown() {
            seen.unknown.set(seen.unknown.get() + 1);
        } else if answer.is_block() {
            seen.refused.set(seen.refused.get() + 1);
        } else {
            answer.good()?;
            acknowledged.borrow_mut().push(id);
            seen.write.set(Some(begin));
        }
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}
