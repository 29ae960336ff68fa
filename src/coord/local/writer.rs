//! The journal's own thread: it alone writes, so that no fsync ever stops the control runtime.
//!
//! Inputs: appends from a bounded queue. Outputs: records, once they would survive a crash. What waits while an fsync runs
//! is written together by the next one. A segment is filled with zeros when it is made, so that an fsync of a line has
//! no length and no extents to write (`fallocate` alone would leave unwritten extents to convert).

use super::{
    OpenError, Shown,
    files::{Tail, segment_path},
    line::{self, FORMAT, Header},
};
use crate::{
    coord::CoordError,
    model::{
        record::{Draft, Record},
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
    sync::{Arc, mpsc},
};
use tokio::sync::oneshot;

/// The least size of a segment.
pub(super) const SEGMENT: u64 = 1 << 20;
/// When less than this is left after a write, the next segment is made at once, while nobody waits.
const RESERVE: u64 = SEGMENT / 8;
/// At most so many appends share one fsync.
const GROUP: usize = 64;

/// One append and who waits for it.
pub(super) struct Append {
    pub(super) drafts: Vec<Draft>,
    pub(super) reply: oneshot::Sender<Result<Vec<Record>, CoordError>>,
}

/// The open end of the journal.
pub(super) struct Writer {
    folder: PathBuf,
    file: File,
    path: PathBuf,
    size: u64,
    tail: Tail,
    /// How far a failed write may have left bytes behind the last durable line.
    dirty: u64,
}

impl Writer {
    /// Goes on where `tail` ends; makes the first segment where there is none.
    pub(super) fn open(folder: &Path, tail: Option<Tail>, first: u64) -> Result<Self, OpenError> {
        let (tail, path, fresh) = match tail {
            Some(tail) => (tail, segment_path(folder, first), false),
            None => (Tail::empty(), segment_path(folder, 1), true),
        };
        let mut writer = if fresh {
            let made = make_segment(folder, &tail).map_err(|error| OpenError::io(&path, &error))?;
            Self { folder: folder.to_owned(), file: made.file, path, size: made.size, tail, dirty: 0 }
        } else {
            let file = OpenOptions::new().read(true).write(true).open(&path);
            let file = file.map_err(|error| OpenError::io(&path, &error))?;
            let size = file.metadata().map_err(|error| OpenError::io(&path, &error))?.len();
            Self { folder: folder.to_owned(), file, path, size, tail, dirty: 0 }
        };
        if fresh {
            writer.tail.offset = header_end(&writer.tail)?;
        }
        writer.dirty = writer.tail.offset + writer.tail.torn;
        writer.wipe().map_err(|error| OpenError::io(&writer.path, &error))?;
        Ok(writer)
    }

    /// What may be shown to readers.
    pub(super) fn shown(&self) -> Shown {
        Shown { state: Arc::new(self.tail.state.clone()), seq: self.tail.seq, hash: self.tail.hash.clone() }
    }

    /// Serves the queue until every sender is gone.
    pub(super) fn run(mut self, queue: &mpsc::Receiver<Append>, shown: &ArcSwap<Shown>) {
        while let Ok(first) = queue.recv() {
            let mut group = vec![first];
            group.extend(queue.try_iter().take(GROUP - 1));
            let (batches, replies): (Vec<_>, Vec<_>) = group.into_iter().map(|a| (a.drafts, a.reply)).unzip();
            let result = self.append(batches);
            shown.store(Arc::new(self.shown()));
            match result {
                Ok(written) => written.into_iter().zip(replies).for_each(|(records, reply)| {
                    // Whoever asked may be gone; what is written stays written.
                    let _ = reply.send(Ok(records));
                }),
                Err(error) => replies.into_iter().for_each(|reply| {
                    let _ = reply.send(Err(error.clone()));
                }),
            }
            if self.size.saturating_sub(self.tail.offset) < RESERVE {
                // A failure now is met again by the append that needs the space, and said to who ordered that.
                let _ = self.rotate();
            }
        }
    }

    /// Writes the batches, a line each, with one fsync: all of them, or none.
    pub(super) fn append(&mut self, batches: Vec<Vec<Draft>>) -> Result<Vec<Vec<Record>>, CoordError> {
        let time = Timestamp::now();
        let (mut seq, mut hash) = (self.tail.seq, self.tail.hash.clone());
        let mut bytes = Vec::new();
        let mut written = Vec::with_capacity(batches.len());
        for drafts in batches {
            let records: Vec<Record> = (seq + 1..).zip(drafts).map(|(seq, draft)| number(draft, seq, time)).collect();
            if !records.is_empty() {
                let (line, next) = line::of_records(&hash, &records).map_err(|error| self.failed(&error))?;
                bytes.extend_from_slice(&line);
                seq += records.len() as u64;
                hash = next;
            }
            written.push(records);
        }
        let length = bytes.len() as u64;
        if self.tail.offset + length > self.size {
            self.rotate_for(length).map_err(|error| self.failed(&error))?;
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

    fn rotate(&mut self) -> io::Result<()> {
        self.rotate_for(0)
    }

    /// Goes on in a new segment with room for `length` bytes.
    fn rotate_for(&mut self, length: u64) -> io::Result<()> {
        // A segment that is left must be clean: only the last one's end may be torn.
        self.wipe()?;
        let made = make_segment_for(&self.folder, &self.tail, length)?;
        self.path = segment_path(&self.folder, self.tail.seq + 1);
        (self.file, self.size, self.dirty) = (made.file, made.size, 0);
        self.tail.offset = made.header;
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
}

fn header_line(tail: &Tail) -> io::Result<Vec<u8>> {
    let state: State = tail.state.clone();
    let header = Header { format: FORMAT, first: tail.seq + 1, skipped: tail.skipped, state };
    line::of_header(&tail.hash, &header).map_err(io::Error::other)
}

fn header_end(tail: &Tail) -> Result<u64, OpenError> {
    header_line(tail).map(|line| line.len() as u64).map_err(|error| OpenError::io(Path::new("journal"), &error))
}

fn make_segment(folder: &Path, tail: &Tail) -> io::Result<Made> {
    make_segment_for(folder, tail, 0)
}

/// A new segment appears whole or not at all: it is filled and synced under another name, then renamed.
fn make_segment_for(folder: &Path, tail: &Tail, length: u64) -> io::Result<Made> {
    let mut bytes = header_line(tail)?;
    let header = bytes.len() as u64;
    let size = header + length.max(SEGMENT);
    bytes.resize(usize::try_from(size).map_err(io::Error::other)?, 0);
    let unfinished = folder.join("next.tmp");
    let path = segment_path(folder, tail.seq + 1);
    let made = File::create(&unfinished).and_then(|file| {
        file.write_all_at(&bytes, 0)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        File::open(folder)?.sync_all()?;
        Ok(Made { file, size, header })
    });
    if made.is_err() {
        // On a full disk the half-made file would keep its space.
        let _ = fs::remove_file(&unfinished);
    }
    made
}
