//! Reads `[journal]`.

use super::Reader;
use crate::config::{journal::Journal, table::Table};
use std::{ops::RangeInclusive, time::Duration};

/// An hour to ten years.
const AGES: RangeInclusive<Duration> = Duration::from_hours(1)..=Duration::from_hours(10 * 365 * 24);
/// A handful of segments, to what is still read at a start within a minute.
const SIZES: RangeInclusive<u64> = (8 << 20)..=(64 << 30);

/// The table, or what holds without it.
pub(super) fn journal(mut table: Table<'_>, r: &mut Reader<'_>) -> Journal {
    let keep = table.get("keep").and_then(|field| field.duration(&mut r.sink, &AGES));
    let size = table.get("keep_size").and_then(|field| field.size(&mut r.sink, &SIZES));
    table.finish(&mut r.sink);
    Journal { keep, keep_size: size.unwrap_or(Journal::default().keep_size) }
}
