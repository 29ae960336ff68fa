//! Applications of a MySQL service: sessions that write rows of their own, each in its own way, and note what became of each.
#![allow(dead_code, reason = "two test programs use a part of it each")]

use crate::common::{
    PATIENCE, holds_within,
    mysql_server::{MysqlServer, PASSWORD, SHOP},
    wait_for,
};
use mysql::{Conn, OptsBuilder, Statement, prelude::Queryable};
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Rows have numbers of their own, so that a write that is executed twice is there twice.
const TABLE: &str = "CREATE TABLE shop.ledger (n BIGINT AUTO_INCREMENT PRIMARY KEY, id VARCHAR(40) NOT NULL, \
                     who VARCHAR(20), KEY (id))";
const INSERT: &str = "INSERT INTO ledger (id, who) VALUES (?, ?)";
/// Between two writes of a session: a saturated primary outruns its replica, which is another test.
const PACE: Duration = Duration::from_millis(20);
/// A transaction was rolled back; the connection stays.
const DEADLOCK: u16 = 1213;
/// The connection counts as lost.
const LOST: &str = "08S01";
const ZONE: &str = "+03:00";

/// How a session writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Statements as text, each its own transaction.
    Text,
    /// A statement that was prepared once.
    Prepared,
    /// Two rows in a transaction.
    Transaction,
    /// By what it has set in its session, which it looks at again.
    Variables,
}

const STYLES: [Style; 4] = [Style::Text, Style::Prepared, Style::Transaction, Style::Variables];

/// What became of the writes so far.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Rows whose write was acknowledged, and when.
    pub acknowledged: Vec<(String, Instant)>,
    /// Rows whose write may have been executed: the connection was lost meanwhile.
    pub unknown: Vec<String>,
    /// Rows whose transaction was rolled back, as the error said, or was never committed.
    pub undone: Vec<String>,
    /// How many connections were lost.
    pub cut: usize,
    /// Every other error, and session state that was lost.
    pub errors: Vec<String>,
    /// Logins that were refused.
    pub turned_away: Vec<String>,
}

/// Running sessions.
pub struct Load {
    acknowledged: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Ledger>>,
}

impl Load {
    /// Makes the table, at the primary.
    #[track_caller]
    pub fn prepare(primary: &MysqlServer) {
        primary.query(TABLE);
    }

    /// Starts `count` sessions, of each style in turn; their rows begin with `prefix`.
    pub fn start(port: u16, count: usize, prefix: &str) -> Self {
        let (acknowledged, stop) = <(Arc<AtomicUsize>, Arc<AtomicBool>)>::default();
        let threads = (0..count).map(|number| {
            let (acknowledged, stop, name) = (acknowledged.clone(), stop.clone(), format!("{prefix}{number}"));
            let style = STYLES[number % STYLES.len()];
            let mut session = Session { port, name, style, open: None, ledger: Ledger::default(), acknowledged };
            std::thread::spawn(move || {
                session.run(&stop);
                session.ledger
            })
        });
        let threads = threads.collect();
        Self { acknowledged, stop, threads }
    }

    /// Waits for this many more acknowledged rows.
    #[track_caller]
    pub fn progress(&self, rows: usize) {
        let goal = self.acknowledged.load(Relaxed) + rows;
        wait_for("acknowledged rows", PATIENCE, || self.acknowledged.load(Relaxed) >= goal);
    }

    /// Ends the sessions; what they noted.
    #[track_caller]
    pub fn finish(self) -> Ledger {
        self.stop.store(true, Relaxed);
        let mut all = Ledger::default();
        for thread in self.threads {
            let ledger = thread.join().expect("a session never panics");
            all.acknowledged.extend(ledger.acknowledged);
            all.unknown.extend(ledger.unknown);
            all.undone.extend(ledger.undone);
            all.cut += ledger.cut;
            all.errors.extend(ledger.errors);
            all.turned_away.extend(ledger.turned_away);
        }
        all
    }
}

/// One application's connection, opened again whenever it was lost.
struct Session {
    port: u16,
    name: String,
    style: Style,
    open: Option<(Conn, Option<Statement>)>,
    ledger: Ledger,
    acknowledged: Arc<AtomicUsize>,
}

/// What a write that failed leaves.
enum Failure {
    /// Nothing of it is there.
    Undone(mysql::Error),
    /// It may be there.
    Open(mysql::Error),
}

impl Session {
    fn run(&mut self, stop: &AtomicBool) {
        for number in 0.. {
            if holds_within(PACE, || stop.load(Relaxed)) {
                return;
            }
            if self.open.is_none() {
                match self.connect() {
                    Ok(open) => self.open = Some(open),
                    Err(error) => {
                        self.refused(&error);
                        continue;
                    }
                }
            }
            let rows = [format!("{}:{number}", self.name), format!("{}:{number}b", self.name)];
            let rows = &rows[..if self.style == Style::Transaction { 2 } else { 1 }];
            self.note(rows, number);
        }
    }

    fn note(&mut self, rows: &[String], number: usize) {
        let (connection, statement) = self.open.as_mut().expect("open");
        let outcome = match self.style {
            Style::Transaction => transaction(connection, rows),
            style => one(connection, statement.as_ref(), style, &rows[0], &self.name),
        };
        match outcome {
            Ok(()) => {
                self.ledger.acknowledged.extend(rows.iter().map(|row| (row.clone(), Instant::now())));
                self.acknowledged.fetch_add(rows.len(), Relaxed);
                if self.style == Style::Variables && number.is_multiple_of(8) {
                    self.look();
                }
            }
            Err(Failure::Undone(error)) => {
                self.ledger.undone.extend_from_slice(rows);
                self.failed(&error);
            }
            Err(Failure::Open(error)) => {
                let known = matches!(&error, mysql::Error::MySqlError(error) if error.state != LOST);
                if known { &mut self.ledger.undone } else { &mut self.ledger.unknown }.extend_from_slice(rows);
                self.failed(&error);
            }
        }
    }

    /// Its variables are what it set.
    fn look(&mut self) {
        let (connection, _) = self.open.as_mut().expect("open");
        match connection.query_first::<(Option<String>, String), _>("SELECT @who, @@SESSION.time_zone") {
            Ok(seen) if seen == Some((Some(self.name.clone()), ZONE.to_owned())) => {}
            Ok(other) => self.ledger.errors.push(format!("{}: its session is {other:?}", self.name)),
            Err(error) => self.failed(&error),
        }
    }

    /// A connection that was lost is opened again; one that was told of a deadlock goes on.
    fn failed(&mut self, error: &mysql::Error) {
        match error {
            mysql::Error::MySqlError(said) if said.code == DEADLOCK => {}
            mysql::Error::MySqlError(said) if said.state != LOST => {
                self.ledger.errors.push(format!("{}: {said}", self.name));
            }
            _ => {
                self.ledger.cut += 1;
                self.open = None;
            }
        }
    }

    /// A login that failed: a lost connection is none yet, what a server says is a refusal.
    fn refused(&mut self, error: &mysql::Error) {
        if let mysql::Error::MySqlError(said) = error
            && said.state != LOST
        {
            self.ledger.turned_away.push(format!("{}: {said}", self.name));
        }
    }

    fn connect(&self) -> mysql::Result<(Conn, Option<Statement>)> {
        let options = OptsBuilder::new()
            .ip_or_hostname(Some("127.0.0.1"))
            .tcp_port(self.port)
            // Else it asks for the server's socket, and walks round whatever is between.
            .prefer_socket(false)
            .user(Some(SHOP))
            .pass(Some(PASSWORD))
            .db_name(Some("shop"))
            .tcp_connect_timeout(Some(Duration::from_secs(1)))
            .read_timeout(Some(PATIENCE));
        let mut connection = Conn::new(options)?;
        let statement = if self.style == Style::Prepared { Some(connection.prep(INSERT)?) } else { None };
        if self.style == Style::Variables {
            connection.query_drop(format!("SET @who = '{}', SESSION time_zone = '{ZONE}'", self.name))?;
        }
        Ok((connection, statement))
    }
}

/// One row, its own transaction.
fn one(
    connection: &mut Conn,
    statement: Option<&Statement>,
    style: Style,
    row: &str,
    name: &str,
) -> Result<(), Failure> {
    let written = match (style, statement) {
        (_, Some(statement)) => connection.exec_drop(statement, (row, name)),
        (Style::Variables, _) => connection.query_drop(format!("INSERT INTO ledger (id, who) VALUES ('{row}', @who)")),
        _ => connection.query_drop(format!("INSERT INTO ledger (id, who) VALUES ('{row}', '{name}')")),
    };
    written.map_err(Failure::Open)
}

/// All of the rows or none: only while COMMIT is under way is that open.
fn transaction(connection: &mut Conn, rows: &[String]) -> Result<(), Failure> {
    connection.query_drop("BEGIN").map_err(Failure::Undone)?;
    for row in rows {
        let statement = format!("INSERT INTO ledger (id, who) VALUES ('{row}', 'transaction')");
        connection.query_drop(statement).map_err(Failure::Undone)?;
    }
    connection.query_drop("COMMIT").map_err(Failure::Open)
}

impl Ledger {
    /// The longest silence of acknowledged rows that ends after `crash`.
    pub fn gap(&self, crash: Instant) -> Duration {
        let mut times: Vec<Instant> = self.acknowledged.iter().map(|(_, at)| *at).collect();
        times.sort_unstable();
        let pairs = times.windows(2).filter(|pair| pair[1] > crash);
        pairs.map(|pair| pair[1] - pair[0].max(crash)).max().unwrap_or(Duration::MAX)
    }

    /// The acknowledged rows that this server doesn't hold.
    #[track_caller]
    pub fn lost(&self, server: &MysqlServer) -> Vec<&(String, Instant)> {
        let held = held(server);
        self.acknowledged.iter().filter(|(id, _)| !held.contains(id)).collect()
    }

    /// How many of the rows whose outcome is unknown a server holds.
    #[track_caller]
    pub fn unknown_at(&self, server: &MysqlServer) -> usize {
        let held = held(server);
        self.unknown.iter().filter(|id| held.contains(*id)).count()
    }

    /// As [`Ledger::is_true`], and every login was let in.
    #[track_caller]
    pub fn is_clean(&self, server: &MysqlServer) {
        assert!(self.turned_away.is_empty(), "{} logins refused: {:?}", self.turned_away.len(), self.turned_away[0]);
        self.is_true(server);
    }

    /// Nothing is there twice, nothing that was said to be undone, of no transaction a part, and nobody wrote as somebody else.
    #[track_caller]
    pub fn is_true(&self, server: &MysqlServer) {
        let some = &self.errors[..self.errors.len().min(3)];
        assert!(some.is_empty(), "{} errors, such as {some:?}", self.errors.len());
        let twice = server.query("SELECT id FROM shop.ledger GROUP BY id HAVING COUNT(*) > 1 LIMIT 3");
        assert!(twice.is_empty(), "executed twice: {twice:?}");
        let held = held(server);
        let undone: Vec<_> = self.undone.iter().filter(|id| held.contains(*id)).take(3).collect();
        assert!(undone.is_empty(), "said to be undone, and there: {undone:?}");
        let parts = server.query(
            "SELECT a.id FROM shop.ledger a LEFT JOIN shop.ledger b ON b.id = CONCAT(a.id, 'b') \
             WHERE a.who = 'transaction' AND a.id NOT LIKE '%b' AND b.id IS NULL LIMIT 3",
        );
        assert!(parts.is_empty(), "a part of a transaction: {parts:?}");
        let strange = server.query(
            "SELECT id, who FROM shop.ledger WHERE who IS NULL OR \
             (who <> 'transaction' AND who <> SUBSTRING_INDEX(id, ':', 1)) LIMIT 3",
        );
        assert!(strange.is_empty(), "written as somebody else: {strange:?}");
    }
}

/// The rows that a server holds.
#[track_caller]
pub fn held(server: &MysqlServer) -> HashSet<String> {
    server.query("SELECT id FROM shop.ledger").into_iter().flatten().collect()
}
