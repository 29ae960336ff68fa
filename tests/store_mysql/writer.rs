//! An application that writes numbers to whatever port is said, one transaction each, as behind a proxy that holds when it is told.

use crate::common::mysql_server::{PASSWORD, SHOP};
use mysql::prelude::Queryable;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::Duration,
};

/// The table it writes to.
pub const TABLE: &str = "CREATE TABLE IF NOT EXISTS shop.numbers (n BIGINT PRIMARY KEY)";

#[derive(Default)]
struct Shared {
    port: AtomicU16,
    hold: AtomicBool,
    idle: AtomicBool,
    acknowledged: AtomicU64,
    failed: AtomicU64,
    end: AtomicBool,
}

/// The writer; ends when it is told to.
pub struct Writer {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Writes 1, 2, 3 … to `port`. With `patient` false, a write that fails is a failed test.
    pub fn start(port: u16, patient: bool) -> Self {
        let shared = Arc::new(Shared { port: AtomicU16::new(port), ..Shared::default() });
        let ours = shared.clone();
        let thread = std::thread::spawn(move || run(&ours, patient));
        Self { shared, thread }
    }

    /// Numbers whose write was acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(SeqCst)
    }

    #[track_caller]
    fn lives(&self) {
        assert!(!self.thread.is_finished(), "the writer has failed");
    }

    /// Waits until some more are written.
    pub async fn write_more(&self, many: u64) {
        let goal = self.acknowledged() + many;
        while self.acknowledged() < goal {
            self.lives();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Lets nothing more begin, and waits until nothing is under way.
    pub async fn hold(&self) {
        self.shared.idle.store(false, SeqCst);
        self.shared.hold.store(true, SeqCst);
        while !self.shared.idle.load(SeqCst) {
            self.lives();
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
    }

    /// Goes on, at that port.
    pub fn release(&self, port: u16) {
        self.shared.port.store(port, SeqCst);
        self.shared.hold.store(false, SeqCst);
    }

    /// Ends it: the last number that was acknowledged.
    pub fn end(self) -> u64 {
        self.shared.end.store(true, SeqCst);
        self.thread.join().expect("the writer ends well");
        self.shared.acknowledged.load(SeqCst)
    }
}

fn connect(port: u16) -> mysql::Result<mysql::Conn> {
    let options = mysql::OptsBuilder::new().ip_or_hostname(Some("127.0.0.1")).tcp_port(port).prefer_socket(false);
    mysql::Conn::new(options.user(Some(SHOP)).pass(Some(PASSWORD)).db_name(Some("shop")))
}

fn run(shared: &Shared, patient: bool) {
    let (mut at, mut connection) = (0, None);
    while !shared.end.load(SeqCst) {
        if shared.hold.load(SeqCst) {
            shared.idle.store(true, SeqCst);
            std::thread::park_timeout(Duration::from_micros(100));
            continue;
        }
        let port = shared.port.load(SeqCst);
        if at != port {
            (at, connection) = (port, None);
        }
        let number = shared.acknowledged.load(SeqCst) + 1;
        let statement = if patient { "INSERT IGNORE INTO numbers VALUES " } else { "INSERT INTO numbers VALUES " };
        let open = connection.take().map_or_else(|| connect(port), Ok);
        let written = open.and_then(|mut open| {
            open.query_drop(format!("{statement}({number})"))?;
            Ok(open)
        });
        match written {
            Ok(open) => {
                connection = Some(open);
                shared.acknowledged.store(number, SeqCst);
                // A pace that a standby on a busy machine keeps up with.
                std::thread::park_timeout(Duration::from_millis(1));
            }
            Err(error) => {
                assert!(patient, "number {number} at port {port}: {error}");
                shared.failed.fetch_add(1, SeqCst);
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
    }
}
