//! The journal as an auditor reads it: without its lock, also while a Pointsman writes it, and without forgiving anything.
//!
//! Inputs: the folder, heads that were noted earlier. Outputs: from where to where it is proven, or what is wrong with it and where.
//! It never writes, locks or mends.

use super::{
    OpenError, OpenErrorKind,
    files::{self, Mark, Tail},
};
use crate::model::state::Removed;
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// A write that is under way looks torn, and a segment may be removed between two looks: so many looks,
const LOOKS: u32 = 10;
/// so far apart.
const REST: Duration = Duration::from_millis(50);

/// A number and a hash that were noted from a log or an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the last record then.
    pub seq: u64,
    /// The hash that vouched for it.
    pub hash: String,
}

/// A whole journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Its folder.
    pub folder: PathBuf,
    /// Whether a Pointsman has it open, as far as can be seen from here.
    pub running: bool,
    /// How many files.
    pub segments: usize,
    /// The number of the first record that is there; one more than `seq` if there is none.
    pub first: u64,
    /// The number of the last record.
    pub seq: u64,
    /// The hash that vouches for all of it.
    pub hash: String,
    /// Records of newer versions: kept and proven, and not understood here.
    pub skipped: u64,
    /// What retention removed.
    pub removed: Option<Removed>,
}

/// Checks every line of the journal in `state_dir`, and that it is the one from which these heads were noted.
pub fn audit(state_dir: &Path, heads: &[Head]) -> Result<Audit, OpenError> {
    let folder = state_dir.join("journal");
    let mut result = look(&folder, heads);
    for _ in 1..LOOKS {
        let moving = match &result {
            Err(error) => matches!(error.kind, OpenErrorKind::Broken | OpenErrorKind::Missing),
            Ok(_) => false,
        };
        if !moving {
            break;
        }
        thread::sleep(REST);
        result = look(&folder, heads);
    }
    result
}

/// One look.
pub(super) fn look(folder: &Path, heads: &[Head]) -> Result<Audit, OpenError> {
    let asked = |seq| heads.iter().any(|head| head.seq == seq);
    let mut marks: Vec<(Head, PathBuf, usize)> = Vec::new();
    let mut note = |mark: Mark<'_>| {
        if asked(mark.seq) {
            let head = Head { seq: mark.seq, hash: mark.hash.to_owned() };
            marks.push((head, mark.file.to_owned(), mark.line));
        }
    };
    let tail = files::read_all(folder, &mut note)?;
    let segments = files::segments(folder).map_err(|error| OpenError::io(folder, &error))?;
    let Some(tail) = tail else {
        let detail = format!("{}: there is no journal", folder.display());
        return Err(OpenError { kind: OpenErrorKind::Missing, file: folder.to_owned(), line: 0, record: 0, detail });
    };
    let last = segments.last().map_or(folder, |(_, path)| path);
    if tail.torn > 0 {
        let why = "the end is no whole line: a write that a crash cut (whoever asked for it was never told that it is done; \
                   the next start drops it and says so), or damage";
        return Err(OpenError::broken(last, tail.line, tail.seq + 1, why));
    }
    for head in heads {
        prove(head, &tail, &marks, last)?;
    }
    let opening = Head { seq: tail.first.saturating_sub(1), hash: tail.start.clone() };
    begins_as_recorded(&tail, &opening, heads.contains(&opening), segments.first().map_or(folder, |(_, path)| path))?;
    let Tail { state, first, seq, hash, skipped, .. } = tail;
    let (folder, segments, running) = (folder.to_owned(), segments.len(), is_open(folder).unwrap_or(false));
    Ok(Audit { folder, running, segments, first, seq, hash, skipped, removed: state.removed })
}

/// A head that was noted must be a place in this chain.
fn prove(head: &Head, tail: &Tail, marks: &[(Head, PathBuf, usize)], last: &Path) -> Result<(), OpenError> {
    let Head { seq, hash } = head;
    if marks.iter().any(|(mark, ..)| mark == head) {
        return Ok(());
    }
    if let Some((mark, file, line)) = marks.iter().find(|(mark, ..)| mark.seq == *seq) {
        let why = format!("up to here the hash is {}, and {hash} was noted: it was rewritten since", mark.hash);
        return Err(OpenError::broken(file, *line, *seq, &why));
    }
    let why = if *seq > tail.seq {
        format!("it ends with record {}, and the head of record {seq} was noted: its end was cut off", tail.seq)
    } else if *seq < tail.first {
        format!("it begins with record {}: the head of record {seq} proves nothing about what is left", tail.first)
    } else {
        format!("record {seq} is not the last of a write: this head was noted from another journal")
    };
    Err(OpenError::broken(last, tail.line, *seq, &why))
}

/// Records before the first one must have been removed by Pointsman, which says so; or their head was noted by whoever did it.
fn begins_as_recorded(tail: &Tail, opening: &Head, vouched: bool, file: &Path) -> Result<(), OpenError> {
    let gone = opening.seq;
    let why = match &tail.state.removed {
        _ if gone == 0 || vouched => return Ok(()),
        Some(removed) if removed.seq > gone || (removed.seq == gone && removed.hash == opening.hash) => return Ok(()),
        Some(removed) if removed.seq == gone => {
            format!("what stood before was removed with the hash {}, and this continues another one", removed.hash)
        }
        Some(removed) => {
            let from = removed.seq + 1;
            format!("records {from} to {gone} are gone, and nothing says that Pointsman removed them")
        }
        None => format!("records 1 to {gone} are gone, and nothing says that Pointsman removed them"),
    };
    Err(OpenError::broken(file, 1, gone, &why))
}

/// Whether somebody holds the folder's lock. It is not touched: a Pointsman that starts just now would find it taken.
fn is_open(folder: &Path) -> io::Result<bool> {
    let inode = fs::metadata(folder.join("lock"))?.ino().to_string();
    let locks = fs::read_to_string("/proc/locks")?;
    let held = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(1) == Some(&"FLOCK") && words.get(5).and_then(|id| id.rsplit(':').next()) == Some(&inode)
    };
    Ok(locks.lines().any(held))
}
