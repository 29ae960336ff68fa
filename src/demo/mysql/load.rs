//! The load: writers with prepared statements, one who counts in transactions, and sessions that rely on what they have set. None
//! of them reconnects or tries again, so whatever an application would feel is counted.

use super::connect;
use crate::demo::tally::Tally;
use mysql_async::{Conn, Result, Row, Value, prelude::Queryable};
use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// How many clients insert ids.
const WRITERS: u32 = 10;
/// How many sessions look after what they have set.
const SESSIONS: u32 = 4;
/// From one statement of a client to its next.
const PACE: Duration = Duration::from_millis(4);

/// The running load.
pub(super) struct Load {
    port: u16,
    tally: Rc<Tally>,
    stop: Rc<Cell<bool>>,
    acknowledged: Vec<Rc<Cell<u64>>>,
    counted: Rc<Cell<u64>>,
    looked: Rc<Cell<u64>>,
    clients: JoinSet<()>,
}

impl Load {
    /// Connects every client and starts them. Must run inside a `LocalSet`.
    pub(super) async fn start(port: u16, tally: &Rc<Tally>) -> Result<Self> {
        let cell = || Rc::new(Cell::new(0));
        let mut load = Self {
            port,
            tally: tally.clone(),
            stop: Rc::new(Cell::new(false)),
            acknowledged: (0..WRITERS).map(|_| cell()).collect(),
            counted: cell(),
            looked: cell(),
            clients: JoinSet::new(),
        };
        for (writer, acknowledged) in (0..WRITERS).zip(load.acknowledged.clone()) {
            let connection = connect(port).await?;
            load.spawn("writer", ids(connection, writer, acknowledged, tally.clone(), load.stop.clone()));
        }
        let connection = connect(port).await?;
        load.spawn("counter", counter(connection, load.counted.clone(), tally.clone(), load.stop.clone()));
        for session in 0..SESSIONS {
            let connection = connect(port).await?;
            let (looked, stop) = (load.looked.clone(), load.stop.clone());
            load.spawn("session", sessions(connection, session, looked, tally.clone(), stop));
        }
        Ok(load)
    }

    /// How many clients there are.
    pub(super) fn clients(&self) -> usize {
        self.clients.len()
    }

    fn spawn(&mut self, who: &'static str, work: impl Future<Output = Result<()>> + 'static) {
        let tally = self.tally.clone();
        self.clients.spawn_local(async move {
            if let Err(error) = work.await {
                tally.failed(who, &error);
            }
        });
    }

    /// Reads back, through Pointsman, every id whose insert was acknowledged, and answers how many are gone, counts included.
    pub(super) async fn lost(&self) -> Result<u64> {
        let mut connection = connect(self.port).await?;
        let mut missing = 0;
        for (writer, acknowledged) in (0..WRITERS).zip(&self.acknowledged) {
            let last = acknowledged.get();
            let found: Option<u64> =
                connection.exec_first("SELECT COUNT(*) FROM ids WHERE writer = ? AND id <= ?", (writer, last)).await?;
            missing += last.saturating_sub(found.unwrap_or(0));
        }
        let counted = self.counted.get();
        let found: Option<u64> = connection.query_first("SELECT n FROM counts").await?;
        // The counter runs on while it is read, so more is right and less is not.
        missing += counted.saturating_sub(found.unwrap_or(0));
        connection.disconnect().await?;
        Ok(missing + self.tally.wrong.get())
    }

    /// Lets every client finish what it is at.
    pub(super) async fn stop(&mut self) {
        self.stop.set(true);
        while let Some(ended) = self.clients.join_next().await {
            if let Err(error) = ended {
                self.tally.failed("a client", &error);
            }
        }
    }

    /// In words, for the end.
    pub(super) fn summary(&self) -> String {
        let ids: u64 = self.acknowledged.iter().map(|count| count.get()).sum();
        let (counted, looked) = (self.counted.get(), self.looked.get());
        format!("{ids} ids inserted, {counted} transactions counted, {looked} looks at session state")
    }
}

/// Inserts ids that are read back later, by a statement that is prepared once. One inserted twice is an error of the server's.
async fn ids(
    mut connection: Conn,
    writer: u32,
    acknowledged: Rc<Cell<u64>>,
    tally: Rc<Tally>,
    stop: Rc<Cell<bool>>,
) -> Result<()> {
    let insert = connection.prep("INSERT INTO ids (writer, id) VALUES (?, ?)").await?;
    while !stop.get() {
        let (id, begin) = (acknowledged.get() + 1, Instant::now());
        connection.exec_drop(&insert, (writer, id)).await?;
        acknowledged.set(id);
        tally.answered(begin.elapsed());
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}

/// Counts in transactions: one applied twice, or not at all, is seen at once.
async fn counter(mut connection: Conn, counted: Rc<Cell<u64>>, tally: Rc<Tally>, stop: Rc<Cell<bool>>) -> Result<()> {
    while !stop.get() {
        let expected = counted.get() + 1;
        for statement in ["BEGIN", "UPDATE counts SET n = n + 1"] {
            timed(&mut connection, statement, &tally).await?;
        }
        let found: Option<u64> = connection.query_first("SELECT n FROM counts").await?;
        timed(&mut connection, "COMMIT", &tally).await?;
        if found != Some(expected) {
            tally.wrong("counter", 1, &format!("expected {expected}, found {found:?}"));
        }
        counted.set(found.unwrap_or(expected));
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}

async fn timed(connection: &mut Conn, statement: &str, tally: &Tally) -> Result<()> {
    let begin = Instant::now();
    connection.query_drop(statement).await?;
    tally.answered(begin.elapsed());
    Ok(())
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        _ => None,
    }
}

/// Sets a variable, a time zone and a mode once, prepares a statement once, and looks whether they are still there.
async fn sessions(
    mut connection: Conn,
    session: u32,
    looked: Rc<Cell<u64>>,
    tally: Rc<Tally>,
    stop: Rc<Cell<bool>>,
) -> Result<()> {
    let zone = format!("+0{session}:30");
    connection
        .query_drop(format!("SET @mark = 'session {session}', time_zone = '{zone}', sql_mode = 'ANSI_QUOTES'"))
        .await?;
    let look = connection.prep("SELECT @mark, @@time_zone, @@sql_mode, CONCAT(?, '!')").await?;
    let expected = [format!("session {session}"), zone, "ANSI_QUOTES".to_owned(), "here!".to_owned()].map(Some);
    while !stop.get() {
        let begin = Instant::now();
        let found: Option<Row> = connection.exec_first(&look, ("here",)).await?;
        tally.answered(begin.elapsed());
        let found: Vec<Option<String>> = found.into_iter().flat_map(Row::unwrap).map(text).collect();
        if found != expected {
            tally.wrong("session", 1, &format!("expected {expected:?}, found {found:?}"));
        }
        looked.set(looked.get() + 1);
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}
