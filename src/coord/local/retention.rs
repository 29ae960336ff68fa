//! Which of the oldest segments need not be kept any more.
//!
//! Inputs: the folder, how much is to be kept, the time. Outputs: what may be removed, and the head that vouches for it, which is
//! recorded before any of it is gone. It never removes anything itself, and never names one of the two newest segments: the fold
//! needs the newest alone, and what happened lately should be there to be read also when a segment has just begun.

use super::files;
use crate::{coord::Keep, model::state::Removed};
use jiff::Timestamp;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// So many segments are always kept.
const ALWAYS: usize = 2;

/// What may go.
pub(super) struct Due {
    pub(super) removed: Removed,
    pub(super) paths: Vec<PathBuf>,
}

/// The oldest segments that are too old, or too many.
pub(super) fn due(folder: &Path, keep: Keep, now: Timestamp) -> io::Result<Option<Due>> {
    let segments = files::segments(folder)?;
    let sizes = segments.iter().map(|(_, path)| fs::metadata(path).map(|file| file.len()));
    let sizes = sizes.collect::<io::Result<Vec<u64>>>()?;
    let mut left: u64 = sizes.iter().sum();
    let mut until = None;
    let mut count = 0;
    for ((_, path), size) in segments.iter().zip(&sizes).take(segments.len().saturating_sub(ALWAYS)) {
        // What it holds that this version can't read has no age, and stays.
        let last = files::records_of(path)?.last().map(|record| record.time);
        let aged = last.zip(keep.age).is_some_and(|(last, age)| {
            now.duration_since(last).try_into().is_ok_and(|passed: std::time::Duration| passed > age)
        });
        if !aged && left <= keep.bytes {
            break;
        }
        (left, until, count) = (left - size, last.or(until), count + 1);
    }
    let Some((seq, hash)) =
        segments.get(count).filter(|_| count > 0).map_or(Ok(None), |(_, path)| files::before(path))?
    else {
        return Ok(None);
    };
    let paths: Vec<PathBuf> = segments.into_iter().take(count).map(|(_, path)| path).collect();
    let bytes = sizes.iter().take(count).sum();
    let removed = Removed { seq, hash, until, segments: count as u64, bytes };
    Ok(Some(Due { removed, paths }))
}
