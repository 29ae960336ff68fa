//! The journal's own thread: it alone writes, so that no fsync ever stops the control runtime.
//!
//! Inputs: appends from a bounded queue. Outputs: records, once they would survive a crash. What waits while an fsync runs
//! is written together by the next one. A segment is filled with zeros when it is made, so that an fsync of a line has
//! no length and no extents to write (`fallocate` alone would leave unwritten extents to convert).

use super::{
    OpenError, Shown, draft,
    files::{Tail, segment_path},
    line::{self, FORMAT, Header},
    retention,
};
use crate::{
    coord::{Condition, CoordError, Keep},
    model::{
        record::{Change, Draft, Record},
        state::State,
    },
};
use arc_swap::ArcSwap;
use jiff::Timestamp;
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};
use tokio::sync::oneshot;

/// The least size of a segment.
pub(super) const SEGMENT: u64 = 1 << 20;
/// When less than this part of a segment is left after a write, the next one is made at once, while nobody waits.
const RESERVE: u64 = 8;
/// How often a disk that refused a write is tried again, so that it is known when it takes writes again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// At most so many appends share one fsync.
const GROUP: usize = 64;

/// One append and who waits for it.
pub(super) struct Append {
    pub(super) drafts: Vec<Draft>,
    pub(super) reply: Reply<Vec<Record>>,
}

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, CoordError>>;

/// What the thread is asked for.
pub(super) enum Ask {
    /// Records are to be written.
    Append(Append),
    /// Old segments may go.
    Retain(Keep, Reply<Option<Record>>),
}

/// The open end of the journal.
pub(super) struct Writer {
    folder: PathBuf,
    file: File,
    path: PathBuf,
    size: u64,
    /// The least size of the next ones.
    segment: u64,
    tail: Tail,
    /// How far a failed write may have left bytes behind the last durable line.
    dirty: u64,
}

impl Writer {
    /// Goes on where `tail` ends; makes the first segment where there is none.
    pub(super) fn open(folder: &Path, tail: Option<Tail>, first: u64, segment: u64) -> Result<Self, OpenError> {
        let fresh = tail.is_none();
        let (mut tail, path) = (tail.unwrap_or_else(Tail::empty), segment_path(folder, first));
        let failed = |error: io::Error| OpenError::io(&path, &error);
        let (file, size) = if fresh {
            let made = make_segment(folder, &tail, segment).map_err(failed)?;
            tail.enter(made.header, made.hash);
            (made.file, made.size)
        } else {
            let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
            let size = file.metadata().map_err(failed)?.len();
            (file, size)
        };
        let dirty = tail.offset + tail.torn;
        let mut writer = Self { folder: folder.to_owned(), file, path, size, segment, tail, dirty };
        writer.wipe().map_err(|error| OpenError::io(&writer.path, &error))?;
        Ok(writer)
    }

    /// What may be shown to readers.
    pub(super) fn shown(&self, error: Option<Arc<str>>) -> Shown {
        let Tail { state, first, seq, hash, .. } = &self.tail;
        let condition = Condition { first: *first, seq: *seq, hash: hash.clone(), error };
        Shown { state: Arc::new(state.clone()), condition }
    }

    /// Serves the queue until every sender is gone.
    pub(super) fn run(mut self, queue: &Receiver<Ask>, shown: &ArcSwap<Shown>) {
        let mut error: Option<Arc<str>> = None;
        loop {
            let ask = match error {
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(_) => queue.recv_timeout(TRY_AGAIN),
            };
            let result = match ask {
                Ok(Ask::Append(first)) => self.serve(first, queue, shown),
                Ok(Ask::Retain(keep, reply)) => self.answer_retain(keep, reply, shown),
                Err(RecvTimeoutError::Timeout) => self.make_room().map_err(|error| self.failed(&error)),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let now = result.err().map(|error| Arc::from(error.detail));
            if now != error {
                error = now;
                shown.store(Arc::new(self.shown(error.clone())));
            }
        }
    }

    /// Writes what waits, with one fsync, and answers.
    fn serve(&mut self, first: Append, queue: &Receiver<Ask>, shown: &ArcSwap<Shown>) -> Result<(), CoordError> {
        let mut group = vec![first];
        let mut retain = None;
        while group.len() < GROUP && retain.is_none() {
            match queue.try_recv() {
                Ok(Ask::Append(append)) => group.push(append),
                Ok(Ask::Retain(keep, reply)) => retain = Some((keep, reply)),
                Err(_) => break,
            }
        }
        let (batches, replies): (Vec<_>, Vec<_>) = group.into_iter().map(|a| (a.drafts, a.reply)).unzip();
        let mut result = match self.append(batches) {
            Ok(written) => {
                shown.store(Arc::new(self.shown(None)));
                written.into_iter().zip(replies).for_each(|(records, reply)| {
                    // Whoever asked may be gone; what is written stays written.
                    let _ = reply.send(Ok(records));
                });
                Ok(())
            }
            Err(error) => {
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
                Err(error)
            }
        };
        if self.size.saturating_sub(self.tail.offset) < self.segment / RESERVE {
            // A failure now is met again by the append that needs the space, and said to who ordered that.
            let _ = self.rotate_for(0);
            if result.is_ok() {
                shown.store(Arc::new(self.shown(None)));
            }
        }
        if let Some((keep, reply)) = retain {
            result = result.and(self.answer_retain(keep, reply, shown));
        }
        result
    }

    fn answer_retain(
        &mut self,
        keep: Keep,
        reply: Reply<Option<Record>>,
        shown: &ArcSwap<Shown>,
    ) -> Result<(), CoordError> {
        let result = self.retain(keep);
        if result.is_ok() {
            shown.store(Arc::new(self.shown(None)));
        }
        let ended = result.as_ref().map(|_| ()).map_err(Clone::clone);
        // As above.
        let _ = reply.send(result);
        ended
    }

    /// Records what is to go and its last head, then removes it. What a crash left of that is removed without a second record.
    fn retain(&mut self, keep: Keep) -> Result<Option<Record>, CoordError> {
        let due = retention::due(&self.folder, keep, Timestamp::now()).map_err(|error| self.failed(&error))?;
        let Some(due) = due else { return Ok(None) };
        let recorded = self.tail.state.removed.as_ref().is_some_and(|removed| removed.seq >= due.removed.seq);
        let first = due.removed.seq + 1;
        let start = due.removed.hash.clone();
        let record = if recorded {
            None
        } else {
            self.append(vec![vec![draft(Change::Removed { removed: due.removed })]])?.into_iter().flatten().next()
        };
        let removed = due.paths.iter().try_for_each(|path| match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        });
        removed.and_then(|()| File::open(&self.folder)?.sync_all()).map_err(|error| self.failed(&error))?;
        (self.tail.first, self.tail.start) = (first, start);
        Ok(record)
    }

    /// Tries what failed again, as far as that can be done without a record: the next segment, or the disk itself.
    fn make_room(&mut self) -> io::Result<()> {
        if self.size.saturating_sub(self.tail.offset) < self.segment / RESERVE {
            return self.rotate_for(0);
        }
        self.wipe()?;
        self.file.sync_data()
    }

    /// Writes the batches, a line each, with one fsync: all of them, or none.
    pub(super) fn append(&mut self, batches: Vec<Vec<Draft>>) -> Result<Vec<Vec<Record>>, CoordError> {
        let (time, mut seq) = (Timestamp::now(), self.tail.seq);
        let written: Vec<Vec<Record>> = batches
            .into_iter()
            .map(|drafts| {
                let records: Vec<Record> =
                    (seq + 1..).zip(drafts).map(|(seq, draft)| number(draft, seq, time)).collect();
                seq += records.len() as u64;
                records
            })
            .collect();
        let (mut bytes, mut hash) = self.lines(&written)?;
        let length = bytes.len() as u64;
        if self.tail.offset + length > self.size {
            self.rotate_for(length).map_err(|error| self.failed(&error))?;
            // They continue the new segment's first line now.
            (bytes, hash) = self.lines(&written)?;
        }
        if let Err(error) = self.put(bytes) {
            // Whether these bytes survive a crash isn't known: they are wiped now, or with the next write.
            let _ = self.wipe();
            return Err(self.failed(&error));
        }
        written.iter().flatten().for_each(|record| self.tail.state.apply(record));
        (self.tail.seq, self.tail.hash) = (seq, hash);
        self.tail.offset += length;
        Ok(written)
    }

    /// A line for each batch, and the hash of the last.
    fn lines(&self, batches: &[Vec<Record>]) -> Result<(Vec<u8>, String), CoordError> {
        let (mut bytes, mut hash) = (Vec::new(), self.tail.hash.clone());
        for records in batches.iter().filter(|records| !records.is_empty()) {
            let (line, next) = line::of_records(&hash, records).map_err(|error| self.failed(&error))?;
            bytes.extend_from_slice(&line);
            hash = next;
        }
        Ok((bytes, hash))
    }

    fn failed(&self, error: &dyn std::error::Error) -> CoordError {
        CoordError { detail: format!("{}: {error}", self.path.display()) }
    }

    fn put(&mut self, mut bytes: Vec<u8>) -> io::Result<()> {
        let end = self.tail.offset + bytes.len() as u64;
        if let Ok(left) = usize::try_from(self.dirty.saturating_sub(end)) {
            bytes.resize(bytes.len() + left, 0);
        }
        self.dirty = self.dirty.max(end);
        self.file.write_all_at(&bytes, self.tail.offset)?;
        self.file.sync_data()?;
        self.dirty = 0;
        Ok(())
    }

    /// Zeros over what a torn or failed write left behind the last durable line.
    fn wipe(&mut self) -> io::Result<()> {
        let left = self.dirty.saturating_sub(self.tail.offset);
        if left > 0 {
            self.file.write_all_at(&vec![0; usize::try_from(left).unwrap_or(0)], self.tail.offset)?;
            self.file.sync_data()?;
        }
        self.dirty = 0;
        Ok(())
    }

    /// Goes on in a new segment with room for `length` bytes.
    fn rotate_for(&mut self, length: u64) -> io::Result<()> {
        // A segment that is left must be clean: only the last one's end may be torn.
        self.wipe()?;
        let made = make_segment(&self.folder, &self.tail, length.max(self.segment))?;
        self.path = segment_path(&self.folder, self.tail.seq + 1);
        (self.file, self.size, self.dirty) = (made.file, made.size, 0);
        self.tail.enter(made.header, made.hash);
        Ok(())
    }
}

fn number(draft: Draft, seq: u64, time: Timestamp) -> Record {
    let Draft { svc, kind, actor, reason, epoch, change } = draft;
    Record { seq, time, svc, kind, actor, reason, epoch, detail: change }
}

struct Made {
    file: File,
    size: u64,
    /// Where the header ends.
    header: u64,
    /// Its hash, which the next line continues.
    hash: String,
}

/// A new segment with so much room appears whole or not at all: it is filled and synced under another name, then renamed.
fn make_segment(folder: &Path, tail: &Tail, room: u64) -> io::Result<Made> {
    let state: State = tail.state.clone();
    let header = Header { format: FORMAT, first: tail.seq + 1, skipped: tail.skipped, state };
    let (mut bytes, hash) = line::of_header(tail.before_next(), &header).map_err(io::Error::other)?;
    let header = bytes.len() as u64;
    let size = header + room;
    bytes.resize(usize::try_from(size).map_err(io::Error::other)?, 0);
    let unfinished = folder.join("next.tmp");
    let path = segment_path(folder, tail.seq + 1);
    let made = File::create(&unfinished).and_then(|file| {
        file.write_all_at(&bytes, 0)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        if synced.is_err() && tail.begins.0 != tail.seq + 1 {
            // Writing goes on in the segment before: this one would continue something older then.
            let _ = fs::remove_file(&path);
        }
        synced?;
        Ok(Made { file, size, header, hash })
    });
    if made.is_err() {
        // On a full disk the half-made file would keep its space.
        let _ = fs::remove_file(&unfinished);
    }
    made
}
