//! Planned switches of a whole search service, there and back, under indexers, bulks, searches, gets and scrolls: no error, no connection
//! lost, and each acknowledged write on exactly the cluster that was routed at that moment.

mod common;

use common::search_load::{Felt, Load, Role, Write, held};
use common::search_service::SearchService;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// One planned switch: when it was ordered and when it was reported as done.
struct Switch {
    begun: Instant,
    done: Instant,
}

/// The cluster (0 or 1) that holds each write; panics unless it is exactly one.
#[track_caller]
fn places(writes: &[Write], clusters: &[HashSet<String>; 2]) -> Vec<usize> {
    let place = |write: &Write| match clusters.each_ref().map(|held| held.contains(&write.id)) {
        [true, false] => 0,
        [false, true] => 1,
        [false, false] => panic!("the acknowledged write {} is on no cluster", write.id),
        [true, true] => panic!("the write {} is on both clusters", write.id),
    };
    writes.iter().map(place).collect()
}

/// Outside of the switches a write is where the route was; within one, all that are on the old cluster had been sent before the first one that
/// is on the new cluster was acknowledged.
#[track_caller]
fn on_the_routed_one(writes: &[Write], places: &[usize], switches: &[Switch]) {
    for (write, place) in writes.iter().zip(places) {
        let least = switches.iter().filter(|switch| switch.done < write.sent).count();
        let most = switches.iter().filter(|switch| switch.begun < write.acknowledged).count();
        assert!(
            (least..=most).any(|epoch| epoch % 2 == *place),
            "{write:?} is on cluster {place}, after {least} to {most} switches"
        );
    }
    for (number, switch) in switches.iter().enumerate() {
        let around = |write: &&Write| write.acknowledged > switch.begun && write.sent < switch.done;
        let near = || writes.iter().zip(places).filter(move |(write, _)| around(write));
        let old = near().filter(|(_, place)| **place == number % 2).map(|(write, _)| write.sent).max();
        let new = near().filter(|(_, place)| **place != number % 2).map(|(write, _)| write.acknowledged).min();
        if let (Some(old), Some(new)) = (old, new) {
            assert!(old < new, "a write went to the old cluster when the new one had acknowledged one already");
        }
    }
}

/// The longest wait of the reads and writes that were on their way during a switch.
fn stall(felt: &Felt, switch: &Switch) -> Duration {
    let writes = felt.writes.iter().flatten().map(|write| (write.sent, write.acknowledged));
    let all = felt.reads.iter().copied().chain(writes);
    all.filter(|(sent, seen)| *seen > switch.begun && *sent < switch.done)
        .map(|(sent, seen)| seen - sent)
        .max()
        .unwrap_or_default()
}

fn there_and_back(component: &str) {
    let service = SearchService::pair(component, "");
    let roles = [(Role::Index, 4), (Role::Bulk, 2), (Role::Search, 4), (Role::Get, 4), (Role::Scroll, 2)];
    let load = Load::start(&service.address(), &roles);
    let mut switches = Vec::new();
    for to in ["spare", "main", "spare"] {
        load.progress(300);
        service.ready();
        let begun = Instant::now();
        service.switch(to);
        switches.push(Switch { begun, done: Instant::now() });
    }
    load.progress(300);
    let felt = load.finish();
    assert!(felt.faults.is_empty(), "{:#?}\n{}", felt.faults, service.pointsman.log());
    let clusters = [held(&service.main), held(&service.spare)];
    let writes: Vec<Write> = felt.writes.iter().flatten().cloned().collect();
    on_the_routed_one(&writes, &places(&writes, &clusters), &switches);
    assert!(felt.scrolls >= 2, "scrolls came to their end");
    let stalls: Vec<Duration> = switches.iter().map(|switch| stall(&felt, switch)).collect();
    println!("{component}: the longest waits at the switches {stalls:?}");
    println!(
        "{component}: {} requests, {} writes, {} scrolls, the longest wait {:?}",
        felt.good,
        writes.len(),
        felt.scrolls,
        felt.longest
    );
}

#[test]
fn applications_of_opensearch_feel_nothing() {
    require_server!("opensearch2");
    there_and_back("opensearch2");
}

#[test]
fn applications_of_elasticsearch_feel_nothing() {
    require_server!("elasticsearch7");
    there_and_back("elasticsearch7");
}
