//! How much alike a primary and a candidate are in what replication doesn't carry: the comparison that kinds with roles share.
//!
//! Input: two readings of facts by name, and the kind's tables of what is compared and how. Output: refusals that name each difference and both
//! values. It reads nothing itself, and a secret never reaches it: facts hold digests.

use crate::model::{
    guard::{Guard, Refusal},
    observation::Fitness,
};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// How two values of a fact are compared.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// They must be equal.
    Equal,
    /// The candidate's number must not be smaller.
    AtLeast,
    /// As [`Rule::AtLeast`], and 0 is no limit.
    AtLeastOrEndless,
    /// Kept for readers of the facts; not compared.
    Shown,
}

/// What a kind compares.
pub(super) struct Tables<'a> {
    /// Facts by name.
    pub settings: &'a [(&'static str, Rule)],
    /// What a fact's name begins with when it is a user: each must be the same on both sides, and none on one side only.
    pub users: &'static str,
    /// What a fact's name begins with when it must be the same at the candidate, which may have more of them.
    pub at_least: &'a [&'static str],
    /// Why a candidate of an older version is refused.
    pub older: &'static str,
}

/// The fact of the version: the server's name, a blank, and its number.
pub(super) const VERSION: &str = "version";

/// Each difference that applications would feel after a switch, and each right that our login lacks.
pub(super) fn compare(tables: &Tables<'_>, primary: &Fitness, candidate: &Fitness) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for (who, fitness) in [("primary", primary), ("candidate", candidate)] {
        for statement in &fitness.missing_rights {
            refusals.push(Refusal::new(Guard::Rights, format!("our login lacks a right at the {who}: {statement}")));
        }
    }
    let (ours, theirs) = (&primary.facts, &candidate.facts);
    for (name, rule) in tables.settings {
        if let (Some(from), Some(to)) = (ours.get(*name), theirs.get(*name))
            && !rule.holds(from, to)
        {
            refusals.push(differ(name, from, to));
        }
    }
    if let (Some(from), Some(to)) = (ours.get(VERSION), theirs.get(VERSION))
        && is_older(to, from)
    {
        refusals.push(differ(tables.older, from, to));
    }
    // Every server has a user: none means that the list was denied, which is a missing right.
    let has_users = |facts: &BTreeMap<String, String>| facts.keys().any(|name| name.starts_with(tables.users));
    if has_users(ours) && has_users(theirs) {
        compare_sets(tables.users, ours, theirs, &mut refusals);
        for name in theirs.keys().filter(|name| name.starts_with(tables.users) && !ours.contains_key(*name)) {
            refusals.push(Refusal::new(Guard::Fit, format!("{name}: only the candidate has it")));
        }
    }
    for prefix in tables.at_least {
        compare_sets(prefix, ours, theirs, &mut refusals);
    }
    refusals
}

impl Rule {
    fn holds(self, primary: &str, candidate: &str) -> bool {
        let number = |text: &str| text.parse::<u64>().unwrap_or(0);
        let endless = |text: &str| if number(text) == 0 { u64::MAX } else { number(text) };
        match self {
            Self::Equal => primary == candidate,
            Self::AtLeast => number(candidate) >= number(primary),
            Self::AtLeastOrEndless => endless(candidate) >= endless(primary),
            Self::Shown => true,
        }
    }
}

/// Facts of one prefix that the primary has must be the same at the candidate.
fn compare_sets(
    prefix: &str,
    primary: &BTreeMap<String, String>,
    candidate: &BTreeMap<String, String>,
    refusals: &mut Vec<Refusal>,
) {
    for (name, from) in primary.iter().filter(|(name, _)| name.starts_with(prefix)) {
        match candidate.get(name) {
            Some(to) if to == from => {}
            Some(to) => refusals.push(differ(name, from, to)),
            None => refusals.push(Refusal::new(Guard::Fit, format!("{name}: the candidate has none"))),
        }
    }
}

fn differ(name: &str, primary: &str, candidate: &str) -> Refusal {
    Refusal::new(Guard::Fit, format!("{name}: the primary has {primary:?}, the candidate {candidate:?}"))
}

/// Whether `candidate` is an older version of the same server, by its first two numbers. One without a name is its own sort.
fn is_older(candidate: &str, primary: &str) -> bool {
    let read = |text: &str| {
        let (name, version) = text.rsplit_once(' ').unwrap_or(("", text));
        let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        Some((name.to_owned(), (numbers.next()?, numbers.next().unwrap_or(0))))
    };
    match (read(candidate), read(primary)) {
        (Some((name, candidate)), Some((other, primary))) => name == other && candidate < primary,
        _ => false,
    }
}

/// Enough of a digest to see that two texts differ, too little to find a password by trying.
pub(super) fn digest(text: &str) -> String {
    let bytes = Sha256::digest(text);
    let first = bytes.iter().take(3).fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
    format!("{first:06x}")
}
