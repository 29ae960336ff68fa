//! Sets of transactions by their global ids, as MySQL and MariaDB name them: which node holds what, and what nobody else has.
//!
//! Input: a server's own notation. Output: sets that can be compared, subtracted, counted and written as the server writes them. Bounded:
//! a text with more than [`MAX_INTERVALS`] intervals is no set. It never asks a server.
//!
//! MySQL (reference manual, "GTID Format and Storage"): `source[:tag]:first-last[:…]`, a set in the plain sense. MariaDB ("Global
//! Transaction ID"): `domain-server-sequence`, which stands for everything of its domain up to it, since sequence numbers grow
//! along a domain whoever writes. A set of MariaDB's is therefore one line of history a domain: what two nodes share of a domain
//! ends at the highest sequence that both have of the same server, and what comes before that is shared, whoever wrote it. So a
//! node that was set up from a copy, and has never heard of the servers that wrote long ago, still holds what they wrote.

mod text;

pub use text::NotTransactions;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// The most intervals that one set may have. A healthy server has one or two a source; gaps come from filters and hand-made skips.
pub const MAX_INTERVALS: usize = 65_536;

/// First and last number of an interval, both inclusive, at least 1.
type Interval = (u64, u64);

/// Who a transaction's number comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Source {
    /// A MySQL server, and its tag (empty where there is none).
    Mysql { server: [u8; 16], tag: Box<str> },
    /// A MariaDB domain and server.
    MariaDb { domain: u32, server: u32 },
}

/// A set of transactions. Serialised, displayed and parsed as the server's own text, without line breaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transactions {
    /// Intervals of a source in order; neither empty nor touching each other.
    sources: BTreeMap<Source, Vec<Interval>>,
}

impl Transactions {
    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// How many there are. Of a MariaDB position, which names the last one only: the highest sequence of each domain, summed up.
    pub fn count(&self) -> u64 {
        let mut sum = 0_u64;
        let mut positions: BTreeMap<u32, u64> = BTreeMap::new();
        for (source, intervals) in &self.sources {
            match (source, intervals.as_slice()) {
                (Source::MariaDb { domain, .. }, [(1, last)]) => {
                    let highest = positions.entry(*domain).or_default();
                    *highest = last.max(highest).to_owned();
                }
                (_, intervals) => {
                    sum = intervals.iter().fold(sum, |sum, (first, last)| sum.saturating_add(last - first + 1));
                }
            }
        }
        positions.values().fold(sum, |sum, highest| sum.saturating_add(*highest))
    }

    /// Whether it holds all of `other`.
    pub fn contains(&self, other: &Self) -> bool {
        other.subtract(self).is_empty()
    }

    /// What either of the two holds.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        for (source, intervals) in &other.sources {
            all.sources.entry(source.clone()).or_default().extend(intervals);
        }
        all.sources.values_mut().for_each(merge);
        all
    }

    /// What it holds and `other` doesn't.
    #[must_use]
    pub fn subtract(&self, other: &Self) -> Self {
        let shared = self.shared_lines(other);
        let mut rest = BTreeMap::new();
        for (source, intervals) in &self.sources {
            let mut without = other.sources.get(source).cloned().unwrap_or_default();
            if let Source::MariaDb { domain, .. } = source
                && let Some(until) = shared.get(domain)
            {
                without.push((1, *until));
                merge(&mut without);
            }
            let left = difference(intervals, &without);
            if !left.is_empty() {
                rest.insert(source.clone(), left);
            }
        }
        Self { sources: rest }
    }

    /// Of what it holds and `other` doesn't, what the server `author` (MySQL: its UUID; MariaDB: its number) wrote behind everything
    /// of its own that `other` holds.
    #[must_use]
    pub fn written_later(&self, other: &Self, author: &str) -> Self {
        let mut later = self.subtract(other);
        later.sources.retain(|source, intervals| {
            let own = match source {
                Source::Mysql { server, .. } => text::read_uuid(author) == Some(*server),
                Source::MariaDb { server, .. } => author.parse() == Ok(*server),
            };
            let highest = other.highest_of(source);
            intervals.retain(|(first, _)| *first > highest);
            own && !intervals.is_empty()
        });
        later
    }

    /// The highest number of a source; of a MariaDB domain, whoever wrote it.
    fn highest_of(&self, source: &Source) -> u64 {
        let along = |other: &Source| match (source, other) {
            (Source::MariaDb { domain, .. }, Source::MariaDb { domain: other, .. }) => domain == other,
            _ => source == other,
        };
        let last = self.sources.iter().filter(|(other, _)| along(other)).filter_map(|(_, intervals)| intervals.last());
        last.map(|(_, last)| *last).max().unwrap_or(0)
    }

    /// Up to where each MariaDB domain's history is the same in both.
    fn shared_lines(&self, other: &Self) -> BTreeMap<u32, u64> {
        let mut shared: BTreeMap<u32, u64> = BTreeMap::new();
        for (source, ours) in &self.sources {
            let Source::MariaDb { domain, .. } = source else { continue };
            // Only positions tell a line of history; what was subtracted before doesn't.
            if let ([(1, ours)], Some([(1, theirs)])) = (ours.as_slice(), other.sources.get(source).map(Vec::as_slice))
            {
                let until = shared.entry(*domain).or_default();
                *until = (*until).max(*ours.min(theirs));
            }
        }
        shared
    }
}

/// Brings intervals into order, and joins those that overlap or touch.
fn merge(intervals: &mut Vec<Interval>) {
    intervals.sort_unstable();
    let mut joined: Vec<Interval> = Vec::with_capacity(intervals.len());
    for &(first, last) in intervals.iter() {
        match joined.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    *intervals = joined;
}

/// What is in `from` and not in `without`; both in order and joined.
fn difference(from: &[Interval], without: &[Interval]) -> Vec<Interval> {
    let mut left = Vec::new();
    let mut cuts = without.iter().copied().peekable();
    for &(first, last) in from {
        let mut at = first;
        while let Some(&(begin, end)) = cuts.peek() {
            if end < at {
                cuts.next();
                continue;
            }
            if begin > last {
                break;
            }
            if begin > at {
                left.push((at, begin - 1));
            }
            at = end.saturating_add(1);
            // A cut that goes on may also cut the next interval.
            if end > last {
                break;
            }
            cuts.next();
        }
        if at <= last {
            left.push((at, last));
        }
    }
    left
}

impl Serialize for Transactions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Transactions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
