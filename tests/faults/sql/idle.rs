//! Sessions that do nothing when a primary dies, and sessions that only read.

use crate::common::{
    PATIENCE, holds_within,
    mysql_server::{PASSWORD, SHOP},
};
use mysql::{Conn, OptsBuilder, Statement, prelude::Queryable};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

/// A transaction was rolled back; the connection stays.
const DEADLOCK: u16 = 1213;
const ZONE: &str = "+05:00";
/// Between two reads of a reader.
const PACE: Duration = Duration::from_millis(5);

/// A connection of an application.
#[track_caller]
pub fn connect(port: u16) -> Conn {
    let options = OptsBuilder::new()
        .ip_or_hostname(Some("127.0.0.1"))
        .tcp_port(port)
        .prefer_socket(false)
        .user(Some(SHOP))
        .pass(Some(PASSWORD))
        .db_name(Some("shop"))
        .read_timeout(Some(PATIENCE));
    Conn::new(options).expect("a login")
}

/// Sessions with state of their own, and some with an open transaction.
pub struct Idle {
    known: Vec<(String, Conn, Statement)>,
    open: Vec<Conn>,
}

impl Idle {
    /// Opens `count` of each.
    #[track_caller]
    pub fn start(port: u16, count: usize) -> Self {
        let known = (0..count).map(|number| {
            let (name, mut connection) = (format!("idle{number}"), connect(port));
            connection.query_drop(format!("SET @who = '{name}', SESSION time_zone = '{ZONE}'")).expect("SET");
            let statement = connection.prep("SELECT @who, @@SESSION.time_zone, ?").expect("a statement");
            (name, connection, statement)
        });
        let known = known.collect();
        let open = (0..count).map(|number| {
            let mut connection = connect(port);
            connection.query_drop("BEGIN").expect("BEGIN");
            let row = format!("INSERT INTO ledger (id, who) VALUES ('open{number}:0', 'open{number}')");
            connection.query_drop(row).expect("a row");
            connection
        });
        let open = open.collect();
        Self { known, open }
    }

    /// Each connection lasted with its variables and its statement.
    #[track_caller]
    pub fn are_intact(&mut self) {
        for (name, connection, statement) in &mut self.known {
            let seen: Result<Option<(Option<String>, String, u32)>, _> = connection.exec_first(&*statement, (7,));
            let seen = seen.unwrap_or_else(|error| panic!("{name}: an idle session lasts: {error}"));
            assert_eq!(seen, Some((Some(name.clone()), ZONE.to_owned(), 7)), "{name}: with its state");
        }
    }

    /// Each open transaction was rolled back, which is said as a deadlock is, and the connection goes on.
    #[track_caller]
    pub fn were_rolled_back(&mut self) {
        for connection in &mut self.open {
            let row = "INSERT INTO ledger (id, who) VALUES ('open:1', 'open')";
            match connection.query_drop(row) {
                Err(mysql::Error::MySqlError(error)) if error.code == DEADLOCK && error.state == "40001" => {}
                other => panic!("an open transaction is told that it was rolled back: {other:?}"),
            }
            let kept: Result<Option<u32>, _> = connection.query_first("SELECT 1");
            assert_eq!(kept.expect("its connection lasts"), Some(1));
        }
    }

    /// Ends the open transactions as their applications would.
    #[track_caller]
    pub fn commit(&mut self) {
        self.open.iter_mut().for_each(|connection| connection.query_drop("COMMIT").expect("COMMIT"));
    }
}

/// Sessions that read, each read its own transaction.
pub struct Readers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<(usize, Vec<String>)>>,
}

impl Readers {
    /// Starts `count` of them.
    pub fn start(port: u16, count: usize) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let threads = (0..count).map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let (mut connection, mut reads, mut errors) = (connect(port), 0, Vec::new());
                while !holds_within(PACE, || stop.load(Relaxed)) {
                    match connection.query_first::<u32, _>("SELECT COUNT(*) FROM ledger WHERE id = 'w0:0'") {
                        Ok(_) => reads += 1,
                        Err(error) => {
                            errors.push(error.to_string());
                            connection = connect(port);
                        }
                    }
                }
                (reads, errors)
            })
        });
        let threads = threads.collect();
        Self { stop, threads }
    }

    /// Ends them: every read was answered. How many there were.
    #[track_caller]
    pub fn finish(self) -> usize {
        self.stop.store(true, Relaxed);
        let all = self.threads.into_iter().map(|thread| thread.join().expect("a reader's login"));
        let (reads, errors): (Vec<_>, Vec<_>) = all.unzip();
        let errors = errors.concat();
        assert!(errors.is_empty(), "{} reads failed, such as {:?}", errors.len(), errors.first());
        reads.iter().sum()
    }
}
