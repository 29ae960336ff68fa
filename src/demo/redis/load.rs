//! The load: writers with unique ids, counters, transactions, a subscriber and a worker that blocks. None of them reconnects or
//! tries again, so whatever an application would feel is counted.

use super::{
    super::tally::Tally,
    resp::{Client, number},
};
use redis_protocol::resp2::types::OwnedFrame;
use std::{cell::Cell, io, rc::Rc, time::Duration};
use tokio::task::JoinSet;

/// How many clients write ids.
const WRITERS: usize = 12;
/// From one command of a client to its next.
const PACE: Duration = Duration::from_millis(2);
/// How many ids are read back at once.
const BATCH: usize = 500;

/// The running load.
pub(super) struct Load {
    port: u16,
    tally: Rc<Tally>,
    stop: Rc<Cell<bool>>,
    acknowledged: Vec<Rc<Cell<u64>>>,
    counted: Rc<Cell<u64>>,
    published: Rc<Cell<u64>>,
    heard: Rc<Cell<u64>>,
    pushed: Rc<Cell<u64>>,
    popped: Rc<Cell<u64>>,
    clients: JoinSet<()>,
}

impl Load {
    /// Connects every client and starts them. Must run inside a `LocalSet`.
    pub(super) async fn start(port: u16, tally: &Rc<Tally>) -> io::Result<Self> {
        let cell = || Rc::new(Cell::new(0));
        let mut load = Self {
            port,
            tally: tally.clone(),
            stop: Rc::new(Cell::new(false)),
            acknowledged: (0..WRITERS).map(|_| cell()).collect(),
            counted: cell(),
            published: cell(),
            heard: cell(),
            pushed: cell(),
            popped: cell(),
            clients: JoinSet::new(),
        };
        for writer in 0..WRITERS {
            let acknowledged = load.acknowledged[writer].clone();
            let client = Client::connect(port).await?;
            load.spawn("writer", ids(client, writer, acknowledged, tally.clone(), load.stop.clone()));
        }
        let client = Client::connect(port).await?;
        load.spawn("counter", counter(client, load.counted.clone(), tally.clone(), load.stop.clone()));
        load.messages().await?;
        load.queue().await?;
        Ok(load)
    }

    /// How many clients there are.
    pub(super) fn clients(&self) -> usize {
        self.clients.len()
    }

    /// One who publishes numbers and one who hears them.
    async fn messages(&mut self) -> io::Result<()> {
        let mut subscriber = Client::connect(self.port).await?;
        subscriber.send(&["SUBSCRIBE", "demo:news"]).await?;
        subscriber.read().await?;
        self.spawn("subscriber", follow(subscriber, self.heard.clone(), self.tally.clone()));
        let sender = Client::connect(self.port).await?;
        let (published, tally, stop) = (self.published.clone(), self.tally.clone(), self.stop.clone());
        self.spawn("publisher", numbered(sender, ["PUBLISH", "demo:news"], published, tally, stop));
        Ok(())
    }

    /// One who pushes numbers and one who waits for them.
    async fn queue(&mut self) -> io::Result<()> {
        let worker = Client::connect(self.port).await?;
        self.spawn("worker", pop(worker, self.popped.clone(), self.tally.clone()));
        let producer = Client::connect(self.port).await?;
        let (pushed, tally, stop) = (self.pushed.clone(), self.tally.clone(), self.stop.clone());
        self.spawn("producer", numbered(producer, ["RPUSH", "demo:queue"], pushed, tally, stop));
        Ok(())
    }

    fn spawn(&mut self, who: &'static str, work: impl Future<Output = io::Result<()>> + 'static) {
        let tally = self.tally.clone();
        self.clients.spawn_local(async move {
            if let Err(error) = work.await {
                tally.failed(who, &error);
            }
        });
    }

    /// Reads back, through Pointsman, every id whose write was acknowledged, and answers how many are gone, counters,
    /// messages and pops included.
    pub(super) async fn lost(&self) -> io::Result<u64> {
        let mut client = Client::connect(self.port).await?;
        let mut missing = 0;
        for (writer, acknowledged) in self.acknowledged.iter().enumerate() {
            let keys: Vec<String> = (1..=acknowledged.get()).map(|id| format!("demo:id:{writer}:{id}")).collect();
            for batch in keys.chunks(BATCH) {
                let words: Vec<&str> = ["MGET"].into_iter().chain(batch.iter().map(String::as_str)).collect();
                let (reply, _) = client.call(&words).await?;
                let OwnedFrame::Array(values) = reply else { return Err(io::ErrorKind::InvalidData.into()) };
                missing += values.iter().filter(|value| matches!(value, OwnedFrame::Null)).count() as u64;
            }
        }
        let counted = self.counted.get();
        let (reply, _) = client.call(&["GET", "demo:count"]).await?;
        // The counter runs on while it is read, so more is right and less is not.
        missing += counted.saturating_sub(number(&reply).unwrap_or(0));
        Ok(missing + self.tally.wrong.get())
    }

    /// Stops the load; waits until the last message and the last pop have arrived, at most `patience`.
    pub(super) async fn stop(&mut self, patience: Duration) {
        self.stop.set(true);
        let arrived = async {
            while self.heard.get() < self.published.get() || self.popped.get() < self.pushed.get() {
                tokio::time::sleep(PACE).await;
            }
        };
        if tokio::time::timeout(patience, arrived).await.is_err() {
            let messages = self.published.get().saturating_sub(self.heard.get());
            let pops = self.pushed.get().saturating_sub(self.popped.get());
            self.tally.wrong("subscriber and worker", messages + pops, "messages or pops that never came");
        }
        self.clients.shutdown().await;
    }

    /// In words, for the end.
    pub(super) fn summary(&self) -> String {
        let ids: u64 = self.acknowledged.iter().map(|count| count.get()).sum();
        format!(
            "{ids} ids written, {} transactions counted, {} messages heard, {} jobs popped",
            self.counted.get(),
            self.heard.get(),
            self.popped.get()
        )
    }
}

/// Writes ids that are read back later.
async fn ids(
    mut client: Client,
    writer: usize,
    acknowledged: Rc<Cell<u64>>,
    tally: Rc<Tally>,
    stop: Rc<Cell<bool>>,
) -> io::Result<()> {
    let mut id = 0;
    while !stop.get() {
        id += 1;
        let (_, took) = client.call(&["SET", &format!("demo:id:{writer}:{id}"), "1"]).await?;
        acknowledged.set(id);
        tally.answered(took);
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}

/// Counts in transactions: one applied twice, or not at all, is seen at once.
async fn counter(mut client: Client, counted: Rc<Cell<u64>>, tally: Rc<Tally>, stop: Rc<Cell<bool>>) -> io::Result<()> {
    while !stop.get() {
        let expected = counted.get() + 1;
        client.call(&["MULTI"]).await?;
        client.call(&["INCR", "demo:count"]).await?;
        let (reply, took) = client.call(&["EXEC"]).await?;
        let found = match &reply {
            OwnedFrame::Array(values) => values.first().and_then(number),
            _ => None,
        };
        tally.answered(took);
        if found != Some(expected) {
            tally.wrong("counter", 1, &format!("expected {expected}, found {found:?}"));
        }
        counted.set(found.unwrap_or(expected));
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}

/// Sends `words` with 1, 2, 3, ... behind them.
async fn numbered(
    mut client: Client,
    words: [&'static str; 2],
    sent: Rc<Cell<u64>>,
    tally: Rc<Tally>,
    stop: Rc<Cell<bool>>,
) -> io::Result<()> {
    while !stop.get() {
        let next = sent.get() + 1;
        let (_, took) = client.call(&[words[0], words[1], &next.to_string()]).await?;
        sent.set(next);
        tally.answered(took);
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}

/// Hears messages, which must be 1, 2, 3, ...
async fn follow(mut client: Client, heard: Rc<Cell<u64>>, tally: Rc<Tally>) -> io::Result<()> {
    loop {
        let OwnedFrame::Array(parts) = client.read().await? else { continue };
        in_order("subscriber", parts.last().and_then(number), &heard, &tally);
    }
}

/// Pops jobs, which must be 1, 2, 3, ...
async fn pop(mut client: Client, popped: Rc<Cell<u64>>, tally: Rc<Tally>) -> io::Result<()> {
    loop {
        client.send(&["BLPOP", "demo:queue", "0"]).await?;
        match client.read().await? {
            OwnedFrame::Array(parts) => in_order("worker", parts.last().and_then(number), &popped, &tally),
            OwnedFrame::Error(text) => return Err(io::Error::other(text)),
            _ => {}
        }
    }
}

fn in_order(who: &str, found: Option<u64>, last: &Cell<u64>, tally: &Tally) {
    let expected = last.get() + 1;
    let found = found.unwrap_or(0);
    if found != expected {
        tally.wrong(who, found.abs_diff(expected).max(1), &format!("expected {expected}, came {found}"));
    }
    last.set(found.max(last.get()));
}
