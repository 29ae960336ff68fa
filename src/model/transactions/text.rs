//! The notations of MySQL and MariaDB, read and written.
//!
//! Input: the text of `gtid_executed`, `Retrieved_Gtid_Set`, `gtid_binlog_state` and the like, line breaks and blanks among it.
//! Output: a set, or why the text is none. Beyond what MariaDB writes itself, `domain-server-first..last` names a part that
//! doesn't begin at the beginning. It never panics on what a server says.

use super::{Interval, MAX_INTERVALS, Source, Transactions, merge};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// The highest number of a transaction of MySQL (`GNO_END` - 1 in its source); MariaDB's are only bounded by their size.
const HIGHEST: u64 = i64::MAX as u64 - 1;
/// The longest tag of MySQL.
const LONGEST_TAG: usize = 32;

/// Why a text is no set of transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTransactions {
    /// Not of either notation; the part that isn't, cut short.
    Malformed(String),
    /// More than [`MAX_INTERVALS`] intervals.
    TooMany,
}

impl fmt::Display for NotTransactions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(part) => write!(f, "{part:?} names no transactions"),
            Self::TooMany => write!(f, "more than {MAX_INTERVALS} intervals of transactions"),
        }
    }
}

impl std::error::Error for NotTransactions {}

impl FromStr for Transactions {
    type Err = NotTransactions;

    fn from_str(text: &str) -> Result<Self, NotTransactions> {
        let mut set = Self::default();
        let mut room = MAX_INTERVALS;
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let read = if part.contains(':') {
                read_mysql(part, &mut set, &mut room)
            } else {
                read_mariadb(part, &mut set, &mut room)
            };
            match read {
                Some(()) => {}
                None if room == 0 => return Err(NotTransactions::TooMany),
                None => return Err(NotTransactions::Malformed(part.chars().take(60).collect())),
            }
        }
        set.sources.values_mut().for_each(merge);
        set.sources.retain(|_, intervals| !intervals.is_empty());
        Ok(set)
    }
}

impl Transactions {
    /// The last transaction of each MariaDB domain, as `MASTER_GTID_WAIT` takes a position: one a domain.
    pub fn positions(&self) -> String {
        let mut last: BTreeMap<u32, (u64, u32)> = BTreeMap::new();
        for (source, intervals) in &self.sources {
            let (Source::MariaDb { domain, server }, Some((_, end))) = (source, intervals.last()) else { continue };
            let known = last.entry(*domain).or_default();
            *known = (*known).max((*end, *server));
        }
        let texts: Vec<String> =
            last.iter().map(|(domain, (sequence, server))| format!("{domain}-{server}-{sequence}")).collect();
        texts.join(",")
    }

    fn add(&mut self, source: Source, interval: Interval, room: &mut usize) -> Option<()> {
        *room = room.checked_sub(1)?;
        self.sources.entry(source).or_default().push(interval);
        Some(())
    }
}

/// `UUID[:TAG]:FIRST[-LAST][:…]`.
fn read_mysql(part: &str, set: &mut Transactions, room: &mut usize) -> Option<()> {
    let mut words = part.split(':').map(str::trim);
    let server = read_uuid(words.next()?)?;
    let mut tag: Box<str> = Box::default();
    for word in words {
        if word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            let fits = word.len() <= LONGEST_TAG && word.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
            tag = fits.then(|| word.to_ascii_lowercase().into_boxed_str())?;
            continue;
        }
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let (first, last) = (number(first)?, number(last)?);
        (1 <= first && first <= last && last <= HIGHEST).then_some(())?;
        set.add(Source::Mysql { server, tag: tag.clone() }, (first, last), room)?;
    }
    Some(())
}

/// `DOMAIN-SERVER-SEQUENCE` or, written by ourselves, `DOMAIN-SERVER-FIRST..LAST`.
fn read_mariadb(part: &str, set: &mut Transactions, room: &mut usize) -> Option<()> {
    let mut words = part.splitn(3, '-');
    let (domain, server) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let rest = words.next()?;
    let interval = match rest.split_once("..") {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (1, number(rest)?),
    };
    // Nothing of a domain is said as 0.
    if interval == (1, 0) {
        return Some(());
    }
    (1 <= interval.0 && interval.0 <= interval.1).then_some(())?;
    set.add(Source::MariaDb { domain, server }, interval, room)
}

/// Digits alone: `parse` would take a sign too.
fn number(word: &str) -> Option<u64> {
    let word = word.trim();
    word.bytes().all(|c| c.is_ascii_digit()).then(|| word.parse().ok())?
}

pub(super) fn read_uuid(word: &str) -> Option<[u8; 16]> {
    let digits: Vec<u32> = word.chars().filter(|c| *c != '-').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    (digits.len() == 32 && word.len() <= 36).then_some(())?;
    let mut server = [0; 16];
    for (byte, pair) in server.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(pair.iter().fold(0, |sum, digit| sum * 16 + digit)).ok()?;
    }
    Some(server)
}

impl fmt::Display for Transactions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before: Option<&Source> = None;
        for (source, intervals) in &self.sources {
            match (before, source) {
                // Tags of one server stand behind each other, as the server writes them.
                (Some(Source::Mysql { server: last, .. }), Source::Mysql { server, tag }) if last == server => {
                    write!(f, ":{tag}")?;
                }
                _ => {
                    f.write_str(if before.is_some() { "," } else { "" })?;
                    write_source(f, source)?;
                }
            }
            write_intervals(f, source, intervals)?;
            before = Some(source);
        }
        Ok(())
    }
}

fn write_source(f: &mut fmt::Formatter<'_>, source: &Source) -> fmt::Result {
    let Source::Mysql { server, tag } = source else { return Ok(()) };
    for (index, byte) in server.iter().enumerate() {
        f.write_str(if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" })?;
        write!(f, "{byte:02x}")?;
    }
    if tag.is_empty() { Ok(()) } else { write!(f, ":{tag}") }
}

fn write_intervals(f: &mut fmt::Formatter<'_>, source: &Source, intervals: &[Interval]) -> fmt::Result {
    for (index, (first, last)) in intervals.iter().enumerate() {
        match source {
            Source::Mysql { .. } if first == last => write!(f, ":{first}")?,
            Source::Mysql { .. } => write!(f, ":{first}-{last}")?,
            Source::MariaDb { domain, server } => {
                let comma = if index > 0 { "," } else { "" };
                let begin = if *first > 1 { format!("{first}..") } else { String::new() };
                write!(f, "{comma}{domain}-{server}-{begin}{last}")?;
            }
        }
    }
    Ok(())
}
