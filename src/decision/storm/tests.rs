//! 256 seeds, more on demand, the replay of one, and defects put in on purpose.
//!
//! `POINTSMAN_SEED=n cargo test --lib storm::tests::every_seed -- --nocapture` prints what happened in seed n.
//! `make simulate SEEDS=n` runs n of them.

use super::{
    Sabotage,
    judge::{Story, storm},
};
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

/// How many seeds run each time.
const SEEDS: u64 = 256;

/// One seed; a broken assertion of the core is a finding too.
fn run(seed: u64, sabotage: Option<Sabotage>) -> Result<Story, String> {
    let told = catch_unwind(AssertUnwindSafe(|| storm(seed, sabotage, false)));
    told.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        Err(words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned())).unwrap_or_default())
    })
}

/// Seeds of a range, on two threads.
fn run_all(first: u64, count: u64) -> BTreeMap<u64, Result<Story, String>> {
    let half = |odd: u64| (first..first + count).filter(move |seed| seed % 2 == odd);
    thread::scope(|scope| {
        let other = scope.spawn(|| half(1).map(|seed| (seed, run(seed, None))).collect::<Vec<_>>());
        let mut told: BTreeMap<_, _> = half(0).map(|seed| (seed, run(seed, None))).collect();
        told.extend(other.join().expect("a seed's panic is caught"));
        told
    })
}

fn failures(told: &BTreeMap<u64, Result<Story, String>>) -> Vec<String> {
    let failed = told.iter().filter_map(|(seed, story)| Some((seed, story.as_ref().err()?)));
    failed
        .map(|(seed, why)| {
            format!("seed {seed}: {why}\n  replay: POINTSMAN_SEED={seed} cargo test --lib storm::tests::every_seed -- --nocapture")
        })
        .collect()
}

fn sum(told: &BTreeMap<u64, Result<Story, String>>) -> Story {
    let mut sum = Story::default();
    for story in told.values().flatten() {
        sum.automatic += story.automatic;
        sum.planned += story.planned;
        sum.acknowledged += story.acknowledged;
        sum.lost += story.lost;
        sum.helps += story.helps;
    }
    sum
}

/// A number from the environment, for `make simulate` and for a replay.
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn every_seed_keeps_what_must_hold() {
    if let Some(seed) = asked("POINTSMAN_SEED") {
        storm(seed, None, true).expect("the seed keeps what must hold");
        return;
    }
    let seeds = asked("POINTSMAN_SEEDS").unwrap_or(SEEDS);
    let began = std::time::Instant::now();
    let told = run_all(0, seeds);
    let (took, failed, sum) = (began.elapsed().as_secs_f64(), failures(&told), sum(&told));
    #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
    let rate = seeds as f64 / took;
    println!("{seeds} seeds in {took:.1} s, {rate:.0} a second, {} violations: {sum:?}", failed.len());
    assert!(failed.is_empty(), "{} of {seeds} seeds:\n{}", failed.len(), failed.join("\n"));
    assert!(sum.automatic > 50 && sum.planned > 10 && sum.acknowledged > 10_000, "too calm a storm: {sum:?}");
    assert!(u64::from(sum.helps) < seeds / 2, "too often an operator had to help: {sum:?}");
}

/// The first seed that finds the defect, and what it says; not what the defect spoils beside.
fn found(sabotage: Sabotage, words: &str) -> Option<(u64, String)> {
    let half = |odd: u64| {
        let mut seeds = (0..SEEDS).filter(|seed| seed % 2 == odd);
        seeds.find_map(|seed| Some((seed, run(seed, Some(sabotage)).err().filter(|said| said.contains(words))?)))
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        let found = half(0);
        [found, other.join().expect("a seed's panic is caught")].into_iter().flatten().min()
    })
}

#[test]
fn each_defect_put_in_on_purpose_is_found() {
    let mut missed = Vec::new();
    for (sabotage, words) in [
        (Sabotage::FenceDropped, "is promoted while"),
        (Sabotage::ShownTooSoon, "is promoted while a worker's route is open"),
        (Sabotage::ParkSkipped, "acknowledged writes are lost"),
        (Sabotage::BarrierIgnored, "before every worker acknowledged the hold"),
        (Sabotage::WitnessStale, "a standby hears the primary all the time"),
        (Sabotage::TiltForgotten, "just after a pause of our own"),
    ] {
        match found(sabotage, words) {
            Some((seed, words)) => println!("{sabotage:?}: seed {seed}, {words}"),
            None => missed.push(sabotage),
        }
    }
    assert!(missed.is_empty(), "no seed finds {missed:?}");
}
