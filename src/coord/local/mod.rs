//! The journal on this machine's disk: append-only, hash-chained, its fold is the state.
//!
//! `STATE_DIR/journal/` holds segments named by their first record. Each begins with a snapshot of the fold of everything
//! before, each line after it is one append (all of its records or none) with the hash of the line before. The folder is
//! locked while it is open. Inputs: drafts. Outputs: records, once durable. It never removes a segment that the fold needs, nor
//! any before its last head is recorded.

mod audit;
#[cfg(test)]
mod audit_tests;
mod files;
mod line;
mod retention;
#[cfg(test)]
mod tests;
mod writer;

pub use audit::{Audit, Head, audit};

use super::{Answer, Condition, CoordError, Coordinator, Keep};
use crate::model::{
    record::{Change, Draft, Record, RecordKind},
    state::State,
};
use arc_swap::ArcSwap;
use std::{
    fmt,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread,
};
use tokio::sync::oneshot;
use writer::{Append, Ask, Writer};

/// How many appends may wait for the disk.
const QUEUE: usize = 1024;

/// Why a journal can't be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenError {
    /// What sort of trouble.
    pub kind: OpenErrorKind,
    /// Which file.
    pub file: PathBuf,
    /// Which line of it, from 1; 0 where it isn't about a line.
    pub line: usize,
    /// Which record, from 1; 0 where it isn't about one.
    pub record: u64,
    /// All of it in words, with the file and the line.
    pub detail: String,
}

/// The sorts of trouble at opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenErrorKind {
    /// The system refused.
    Io,
    /// There is no such file, or no journal.
    Missing,
    /// Another process has it open.
    Locked,
    /// Written by another version in a format that this one can't read.
    Format,
    /// A line is damaged, or the chain of hashes is.
    Broken,
}

impl OpenError {
    fn io(file: &Path, error: &io::Error) -> Self {
        let kind = if error.kind() == io::ErrorKind::NotFound { OpenErrorKind::Missing } else { OpenErrorKind::Io };
        Self { kind, file: file.to_owned(), line: 0, record: 0, detail: format!("{}: {error}", file.display()) }
    }

    fn broken(file: &Path, line: usize, record: u64, why: &str) -> Self {
        let detail = format!("{}:{line}: the journal is damaged at record {record}: {why}", file.display());
        Self { kind: OpenErrorKind::Broken, file: file.to_owned(), line, record, detail }
    }

    fn format(file: &Path, found: u64) -> Self {
        let (oldest, newest) = (line::OLDEST, line::FORMAT);
        let detail =
            format!("{}:1: the journal has format {found}, this version reads {oldest} to {newest}", file.display());
        Self { kind: OpenErrorKind::Format, file: file.to_owned(), line: 1, record: 0, detail }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for OpenError {}

/// What readers see: the fold of what is durable, and its end.
#[derive(Debug)]
struct Shown {
    state: Arc<State>,
    condition: Condition,
}

/// The open journal. Dropping it lets what was queued be written, then frees the folder.
pub struct Local {
    folder: PathBuf,
    queue: Option<SyncSender<Ask>>,
    shown: Arc<ArcSwap<Shown>>,
    skipped: u64,
    writer: Option<thread::JoinHandle<()>>,
    /// Held, not read: the lock ends with it.
    _lock: File,
}

impl Local {
    /// Opens or creates the journal in `state_dir`. A torn last write is dropped and recorded.
    pub fn open(state_dir: &Path) -> Result<Self, OpenError> {
        Self::open_with(state_dir, writer::SEGMENT)
    }

    /// With segments of at least that size.
    fn open_with(state_dir: &Path, segment: u64) -> Result<Self, OpenError> {
        let folder = state_dir.join("journal");
        make_folder(&folder)?;
        let lock = lock(&folder)?;
        let tail = files::read_all(&folder, &mut |_| ())?;
        let segments = files::segments(&folder).map_err(|error| OpenError::io(&folder, &error))?;
        let first = segments.last().map_or(1, |(first, _)| *first);
        let (torn, skipped) = tail.as_ref().map_or((0, 0), |tail| (tail.torn, tail.skipped));
        let mut writer = Writer::open(&folder, tail, first, segment)?;
        if torn > 0 {
            let noted = format!("the last write was not finished: {torn} bytes at the journal's end were dropped");
            writer.append(vec![vec![draft(Change::Noted { text: noted })]]).map_err(|CoordError { detail }| {
                OpenError { detail, ..OpenError::io(&folder, &io::ErrorKind::Other.into()) }
            })?;
        }
        let shown = Arc::new(ArcSwap::from_pointee(writer.shown(None)));
        let (queue, asks) = sync_channel(QUEUE);
        let show = Arc::clone(&shown);
        let spawned = thread::Builder::new().name("journal".into()).spawn(move || writer.run(&asks, &show));
        let thread = spawned.map_err(|error| OpenError::io(&folder, &error))?;
        Ok(Self { folder, queue: Some(queue), shown, skipped, writer: Some(thread), _lock: lock })
    }

    /// How many records a newer version wrote that this one keeps and can't read.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

/// A record by the journal itself.
fn draft(change: Change) -> Draft {
    Draft {
        svc: None,
        kind: RecordKind::Decision,
        actor: "pointsman".into(),
        reason: String::new(),
        epoch: None,
        change,
    }
}

/// Makes the folder so that it survives a crash: each new folder's parent is synced.
fn make_folder(folder: &Path) -> Result<(), OpenError> {
    let mut missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.exists()).collect();
    while let Some(path) = missing.pop() {
        let made = fs::create_dir(path).and_then(|()| match path.parent().filter(|up| !up.as_os_str().is_empty()) {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        });
        made.map_err(|error| OpenError::io(path, &error))?;
    }
    Ok(())
}

fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(|error| OpenError::io(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(error)) => Err(OpenError::io(&path, &error)),
        Err(TryLockError::WouldBlock) => {
            let detail = format!("{}: another Pointsman has this state_dir open", path.display());
            Err(OpenError { kind: OpenErrorKind::Locked, file: path, line: 0, record: 0, detail })
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // The thread ends when the queue is empty; a panic in it was reported by its own message.
            let _ = writer.join();
        }
    }
}

impl Local {
    /// Queued at the call, so that the order of calls is the order of records, whenever the future is polled.
    fn ask<T: Send + 'static>(&self, ask: impl FnOnce(writer::Reply<T>) -> Ask) -> Answer<'_, T> {
        let (reply, answer) = oneshot::channel();
        let queued = self.queue.as_ref().map(|queue| queue.try_send(ask(reply)));
        let trouble = |detail: &str| CoordError { detail: format!("{}: {detail}", self.folder.display()) };
        Box::pin(async move {
            match queued {
                Some(Ok(())) => answer.await.unwrap_or_else(|_| Err(trouble("the journal's thread has ended"))),
                Some(Err(TrySendError::Full(_))) => Err(trouble("too many writes wait for the disk")),
                Some(Err(TrySendError::Disconnected(_))) | None => Err(trouble("the journal's thread has ended")),
            }
        })
    }

    /// Reads in a thread that may wait for the disk.
    fn read(&self, read: impl FnOnce(&Path) -> io::Result<Vec<Record>> + Send + 'static) -> Answer<'_, Vec<Record>> {
        let folder = self.folder.clone();
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || read(&folder));
            let failed = |detail: String| CoordError { detail: format!("{}: {detail}", self.folder.display()) };
            match read.await {
                Ok(Ok(records)) => Ok(records),
                Ok(Err(error)) => Err(failed(error.to_string())),
                Err(error) => Err(failed(error.to_string())),
            }
        })
    }
}

impl Coordinator for Local {
    fn append(&self, drafts: Vec<Draft>) -> Answer<'_, Vec<Record>> {
        self.ask(|reply| Ask::Append(Append { drafts, reply }))
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.shown.load().state)
    }

    fn records(&self, after: u64, limit: usize) -> Answer<'_, Vec<Record>> {
        let newest = self.shown.load().condition.seq;
        self.read(move |folder| files::read_after(folder, after, newest, limit))
    }

    fn newest(&self, before: u64, limit: usize) -> Answer<'_, Vec<Record>> {
        let before = before.min(self.shown.load().condition.seq + 1);
        self.read(move |folder| files::read_before(folder, before, limit))
    }

    fn retain(&self, keep: Keep) -> Answer<'_, Option<Record>> {
        self.ask(|reply| Ask::Retain(keep, reply))
    }

    fn condition(&self) -> Condition {
        self.shown.load().condition.clone()
    }
}
