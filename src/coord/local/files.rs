//! The journal's folder: which segments there are, reading them back and judging what is found there.
//!
//! Inputs: the folder. Outputs: the folded state, the place where writing goes on, records. A torn last write is told from
//! a broken journal: only the first is forgiven. It never writes.

use super::{
    OpenError,
    line::{self, FORMAT, GENESIS, Header, OLDEST},
};
use crate::model::{record::Record, state::State};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The name of the segment that begins with record `first`.
pub(super) fn segment_path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.jsonl"))
}

/// The segments by their first record, oldest first.
pub(super) fn segments(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if let Some(first) = stem.and_then(|stem| stem.parse().ok()) {
                found.push((first, path));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What a whole journal says.
#[derive(Debug, Clone)]
pub(super) struct Tail {
    pub(super) state: State,
    /// The number of the first record that is kept, and the hash before it.
    pub(super) first: u64,
    pub(super) start: String,
    /// Number of the last record, and the hash of the last line.
    pub(super) seq: u64,
    pub(super) hash: String,
    /// The number of the last segment's first record, and the hash before it.
    pub(super) begins: (u64, String),
    /// Records of newer versions that were kept and not folded.
    pub(super) skipped: u64,
    /// Where the last segment's next line begins, and which line that is, from 1.
    pub(super) offset: u64,
    pub(super) line: usize,
    /// How many bytes a torn write left behind there; zero if none.
    pub(super) torn: u64,
}

impl Tail {
    /// Before the first record.
    pub(super) fn empty() -> Self {
        Self {
            state: State::default(),
            first: 1,
            start: GENESIS.into(),
            seq: 0,
            hash: GENESIS.into(),
            begins: (1, GENESIS.into()),
            skipped: 0,
            offset: 0,
            line: 1,
            torn: 0,
        }
    }

    /// The hash that the next segment continues. One without a record has the same name as the next, which takes its place.
    pub(super) fn before_next(&self) -> &str {
        if self.begins.0 == self.seq + 1 { &self.begins.1 } else { &self.hash }
    }

    /// Goes on in the next segment, behind its first line.
    pub(super) fn enter(&mut self, offset: u64, hash: String) {
        self.begins = (self.seq + 1, self.before_next().to_owned());
        (self.offset, self.hash) = (offset, hash);
    }
}

/// A place in the chain: after the record of this number it had this hash.
pub(super) struct Mark<'a> {
    pub(super) seq: u64,
    pub(super) hash: &'a str,
    pub(super) file: &'a Path,
    pub(super) line: usize,
}

/// Told each place in the chain, in order.
pub(super) type Visit<'a> = dyn FnMut(Mark<'_>) + 'a;

/// How many bytes of a segment are in use: what follows is zeros.
fn used(bytes: &[u8]) -> usize {
    const ZEROS: [u8; 4096] = [0; 4096];
    // Whole blocks are compared first: a segment is mostly zeros.
    let blocks = bytes.chunks(ZEROS.len()).rposition(|block| block != &ZEROS[..block.len()]);
    let end = blocks.map_or(0, |block| bytes.len().min((block + 1) * ZEROS.len()));
    bytes.iter().take(end).rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// The lines of a segment, up to the zeros that it was filled with.
struct Lines<'a> {
    /// Without those zeros.
    bytes: &'a [u8],
    offset: usize,
    number: usize,
}

/// The next line, or why there is none.
enum Next<'a> {
    Line(&'a [u8]),
    /// Only zeros follow.
    End,
    /// Something follows that is no whole line: a write that did not finish.
    Torn,
}

impl<'a> Lines<'a> {
    fn new(segment: &'a [u8]) -> Self {
        Self { bytes: &segment[..used(segment)], offset: 0, number: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.offset..).unwrap_or_default()
    }

    fn next(&mut self) -> Next<'a> {
        let rest = self.rest();
        match rest.iter().position(|byte| *byte == b'\n' || *byte == 0) {
            None if rest.is_empty() => Next::End,
            Some(end) if rest[end] == b'\n' => {
                self.offset += end + 1;
                self.number += 1;
                Next::Line(&rest[..end])
            }
            _ => Next::Torn,
        }
    }

    /// Whether what isn't a whole line was damaged, not torn: a line whose own hash is right stands after it, or within it.
    fn was_damaged(&self) -> bool {
        let rest = self.rest();
        line::is_damaged_end(rest)
            || rest.split(|byte| *byte == b'\n' || *byte == 0).skip(1).any(|piece| line::parse(piece).is_some())
    }
}

/// Reads every segment, checks every hash, and folds the last segment's snapshot with what follows it.
pub(super) fn read_all(folder: &Path, visit: &mut Visit<'_>) -> Result<Option<Tail>, OpenError> {
    let segments = segments(folder).map_err(|error| OpenError::io(folder, &error))?;
    let mut tail: Option<Tail> = None;
    for (index, (first, path)) in segments.iter().enumerate() {
        let bytes = fs::read(path).map_err(|error| OpenError::io(path, &error))?;
        let last = index + 1 == segments.len();
        tail = Some(read_segment(path, *first, &bytes, tail, last, visit)?);
    }
    Ok(tail)
}

fn read_segment(
    path: &Path,
    first: u64,
    bytes: &[u8],
    before: Option<Tail>,
    last: bool,
    visit: &mut Visit<'_>,
) -> Result<Tail, OpenError> {
    let mut lines = Lines::new(bytes);
    let mut tail = match lines.next() {
        Next::Line(text) => read_header(path, first, text, before, visit)?,
        Next::End | Next::Torn => return Err(OpenError::broken(path, 1, first, "the segment has no first line")),
    };
    loop {
        (tail.offset, tail.line) = (lines.offset as u64, lines.number + 1);
        let broken = |why: &str| OpenError::broken(path, tail.line, tail.seq + 1, why);
        match lines.next() {
            Next::End => return Ok(tail),
            Next::Torn if last && !lines.was_damaged() => {
                tail.torn = lines.rest().len() as u64;
                return Ok(tail);
            }
            Next::Torn => return Err(broken("the line is not whole")),
            Next::Line(text) => match fold_line(&mut tail, text) {
                Ok(()) => visit(Mark { seq: tail.seq, hash: &tail.hash, file: path, line: lines.number }),
                Err(why) => return Err(OpenError::broken(path, lines.number, tail.seq + 1, &why)),
            },
        }
    }
}

fn read_header(
    path: &Path,
    first: u64,
    text: &[u8],
    before: Option<Tail>,
    visit: &mut Visit<'_>,
) -> Result<Tail, OpenError> {
    let broken = |why: &str| OpenError::broken(path, 1, first, why);
    let line = line::parse(text).ok_or_else(|| broken("its hash doesn't fit its text"))?;
    if !line.header {
        return Err(broken("a segment begins with its header"));
    }
    let format: serde_json::Value = serde_json::from_slice(line.body).map_err(|error| broken(&error.to_string()))?;
    let format = format.get("format").and_then(serde_json::Value::as_u64).unwrap_or_default();
    if !(u64::from(OLDEST)..=u64::from(FORMAT)).contains(&format) {
        return Err(OpenError::format(path, format));
    }
    let header: Header = serde_json::from_slice(line.body).map_err(|error| broken(&error.to_string()))?;
    let fits = before.as_ref().is_none_or(|before| before.hash == line.prev && before.seq + 1 == first);
    if !fits || header.first != first {
        return Err(broken("it doesn't continue the segment before it"));
    }
    let seq = first.saturating_sub(1);
    let hash = if header.format > OLDEST { line.hash } else { line.prev };
    for hash in [line.prev, line.hash] {
        visit(Mark { seq, hash, file: path, line: 1 });
    }
    let (oldest, start) = before.map_or((first, line.prev.to_owned()), |before| (before.first, before.start));
    let Header { skipped, state, .. } = header;
    let (hash, begins) = (hash.to_owned(), (first, line.prev.to_owned()));
    Ok(Tail { state, first: oldest, start, seq, hash, begins, skipped, offset: 0, line: 1, torn: 0 })
}

fn fold_line(tail: &mut Tail, text: &[u8]) -> Result<(), String> {
    let line = line::parse(text).ok_or("its hash doesn't fit its text")?;
    if line.header || line.prev != tail.hash {
        return Err("it doesn't continue the line before it".into());
    }
    let (records, last, skipped) = line::records(line.body)?;
    if last != tail.seq + records.len() as u64 + skipped {
        return Err("record numbers have a gap".into());
    }
    for record in &records {
        tail.state.apply(record);
    }
    tail.seq = last;
    tail.skipped += skipped;
    line.hash.clone_into(&mut tail.hash);
    Ok(())
}

/// The numbers and hash before a segment, by its first line.
pub(super) fn before(path: &Path) -> io::Result<Option<(u64, String)>> {
    let bytes = fs::read(path)?;
    let Next::Line(text) = Lines::new(&bytes).next() else { return Ok(None) };
    let Some(line) = line::parse(text).filter(|line| line.header) else { return Ok(None) };
    let Ok(header) = serde_json::from_slice::<Header>(line.body) else { return Ok(None) };
    Ok(Some((header.first.saturating_sub(1), line.prev.to_owned())))
}

/// The records of one segment, oldest first; none where it was removed a moment ago.
pub(super) fn records_of(path: &Path) -> io::Result<Vec<Record>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let mut lines = Lines::new(&bytes);
    let mut found = Vec::new();
    while let Next::Line(text) = lines.next() {
        let Some(line) = line::parse(text).filter(|line| !line.header) else { continue };
        let Ok((records, ..)) = line::records(line.body) else { continue };
        found.extend(records);
    }
    Ok(found)
}

/// Records after `after`, up to `newest`, at most `limit`, oldest first. Only what is durable is asked for by `newest`, so a
/// write under way is never looked at.
pub(super) fn read_after(folder: &Path, after: u64, newest: u64, limit: usize) -> io::Result<Vec<Record>> {
    let segments = segments(folder)?;
    let start = segments.partition_point(|(first, _)| *first <= after.saturating_add(1)).saturating_sub(1);
    let mut found = Vec::new();
    for (_, path) in segments.iter().skip(start) {
        let records = records_of(path)?;
        found.extend(records.into_iter().filter(|record| record.seq > after && record.seq <= newest));
        if found.len() >= limit {
            found.truncate(limit);
            return Ok(found);
        }
    }
    Ok(found)
}

/// Records before `before`, at most `limit`, newest first.
pub(super) fn read_before(folder: &Path, before: u64, limit: usize) -> io::Result<Vec<Record>> {
    let segments = segments(folder)?;
    let end = segments.partition_point(|(first, _)| *first < before);
    let mut found = Vec::new();
    for (_, path) in segments.iter().take(end).rev() {
        let records = records_of(path)?;
        found.extend(records.into_iter().rev().filter(|record| record.seq < before));
        if found.len() >= limit {
            found.truncate(limit);
            return Ok(found);
        }
    }
    Ok(found)
}
