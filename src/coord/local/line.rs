//! One line of a segment: its hash, the hash before it, and a body. Pure: bytes in, bytes out.
//!
//! ```json
//! {"hash":"<64 hex>","prev":"<64 hex>","records":[…]}
//! {"hash":"<64 hex>","prev":"<64 hex>","segment":{"format":2,"first":1,"state":{…}}}
//! ```
//! The hash is SHA-256 over the previous hash's hex text and the body's bytes exactly as they stand in the line, so no
//! re-serialisation is ever compared. The layout before the body is fixed, so that the bytes can be cut out by position.

use crate::model::{record::Record, state::State};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The version of everything in `state_dir/journal` that this code writes, and the highest that it reads. In a segment of format 1
/// the chain goes past the first line; since format 2 it goes through it, so that a head vouches for the snapshot too.
pub(super) const FORMAT: u32 = 2;
/// The lowest that it reads.
pub(super) const OLDEST: u32 = 1;
/// The hash before the first line of all.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

const HASH: &[u8] = b"{\"hash\":\"";
const PREV: &[u8] = b"\",\"prev\":\"";
const RECORDS: &[u8] = b"\",\"records\":";
const SEGMENT: &[u8] = b"\",\"segment\":";
const HEX: usize = 64;

/// The first line of a segment.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) format: u32,
    /// The number of the first record in this segment.
    pub(super) first: u64,
    /// How many records of newer versions were skipped when the state was folded.
    #[serde(default)]
    pub(super) skipped: u64,
    /// The fold of everything before.
    pub(super) state: State,
}

fn digest(prev: &str, body: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(prev.as_bytes());
    hasher.update(b"\n");
    hasher.update(body);
    hasher.finalize().iter().fold(String::with_capacity(HEX), |mut text, byte| {
        use std::fmt::Write;
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn build(prev: &str, name: &[u8], body: &[u8]) -> (Vec<u8>, String) {
    let hash = digest(prev, body);
    let line = [HASH, hash.as_bytes(), PREV, prev.as_bytes(), name, body, b"}\n"].concat();
    (line, hash)
}

/// A line of records and its hash.
pub(super) fn of_records(prev: &str, records: &[Record]) -> Result<(Vec<u8>, String), serde_json::Error> {
    Ok(build(prev, RECORDS, &serde_json::to_vec(records)?))
}

/// A segment's first line and its hash.
pub(super) fn of_header(prev: &str, header: &Header) -> Result<(Vec<u8>, String), serde_json::Error> {
    Ok(build(prev, SEGMENT, &serde_json::to_vec(header)?))
}

/// Whether a whole line stands there whose end was overwritten. A write that was cut leaves zeros there, and nothing else.
pub(super) fn is_damaged_end(rest: &[u8]) -> bool {
    rest.split_last().is_some_and(|(end, line)| *end != 0 && parse(line).is_some())
}

/// A line whose own hash is right.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) hash: &'a str,
    pub(super) prev: &'a str,
    /// Whether it is a segment's first line.
    pub(super) header: bool,
    pub(super) body: &'a [u8],
}

/// Cuts a line (without its newline) and checks its own hash.
pub(super) fn parse(line: &[u8]) -> Option<Line<'_>> {
    let rest = line.strip_prefix(HASH)?;
    let (hash, rest) = rest.split_at_checked(HEX)?;
    let (prev, rest) = rest.strip_prefix(PREV)?.split_at_checked(HEX)?;
    let (header, rest) = match rest.strip_prefix(SEGMENT) {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix(RECORDS)?),
    };
    let body = rest.strip_suffix(b"}")?;
    let (hash, prev) = (std::str::from_utf8(hash).ok()?, std::str::from_utf8(prev).ok()?);
    (digest(prev, body) == hash).then_some(Line { hash, prev, header, body })
}

/// The records of a body, one by one: those that a newer version wrote and this one can't read are counted, not lost,
/// since their bytes stay where they are. An error if the body isn't a list of numbered records.
pub(super) fn records(body: &[u8]) -> Result<(Vec<Record>, u64, u64), String> {
    let values: Vec<serde_json::Value> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut last = 0;
    let mut skipped = 0;
    let mut records = Vec::with_capacity(values.len());
    for value in values {
        last = value.get("seq").and_then(serde_json::Value::as_u64).ok_or("a record without a number")?;
        match serde_json::from_value(value) {
            Ok(record) => records.push(record),
            Err(_) => skipped += 1,
        }
    }
    Ok((records, last, skipped))
}

/// A line with this body, as a newer version might have written it.
#[cfg(test)]
pub(super) fn of_raw(prev: &str, body: &[u8]) -> Vec<u8> {
    build(prev, RECORDS, body).0
}

/// A segment whose hashes fit its changed text again, as one who rewrites a journal would make it. With `through`, the chain goes
/// through the first line.
#[cfg(test)]
pub(super) fn rehash(segment: &str, through: bool) -> Vec<u8> {
    let mut prev = GENESIS.to_owned();
    let mut bytes = Vec::new();
    for (index, line) in segment.split_inclusive('\n').filter(|line| line.starts_with('{')).enumerate() {
        let start = HASH.len() + HEX + PREV.len() + HEX + RECORDS.len();
        let name = if index == 0 { SEGMENT } else { RECORDS };
        let (made, hash) = build(&prev, name, &line.trim_end().as_bytes()[start..line.len() - 2]);
        bytes.extend_from_slice(&made);
        if index > 0 || through {
            prev = hash;
        }
    }
    bytes.resize(segment.len().max(bytes.len()), 0);
    bytes
}
