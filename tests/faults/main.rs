//! The faults of docs/faults.md, each on real servers under load, and a table of what held.
//!
//! `make faults` runs all of them, one after the other, since some measure time; `cargo test` runs those that aren't slow. A scenario
//! panics when its promise doesn't hold, and gives in one line what it measured.

#[path = "../common/mod.rs"]
mod common;
#[path = "../switchover/load.rs"]
mod load;
#[path = "../switchover/rig.rs"]
mod rig;
#[path = "../failover/writers.rs"]
mod writers;

mod candidates;
mod clock;
mod crash;
mod disk;
mod hang;
mod journal_disk;
mod kills;
mod net_isolation;
mod net_managers;
mod net_paths;
mod net_scene;
mod orders;
mod restarts;
mod scene;
mod sidecar;
mod sql;
mod survivors;
mod table;

use libtest_mimic::Arguments;
use std::process::ExitCode;
use table::Fault;

/// Only in `make faults`.
const SLOW: bool = true;
/// In `make test` too.
const QUICK: bool = false;

/// Rows of docs/faults.md, what goes wrong, what must hold, whether it is slow, and who tries it.
const FAULTS: &[Fault] = &[
    Fault(
        "1",
        "kill -9 of the primary, 5 rounds",
        "back in 500 ms (median), connections stay, loss said",
        SLOW,
        crash::quick_rounds,
    ),
    Fault(
        "1",
        "kill -9 of the primary, shipped defaults",
        "back in 1 s (median), connections stay, loss said",
        SLOW,
        crash::default_rounds,
    ),
    Fault("1", "kill -9 of the primary", "another serves, connections stay, loss said", QUICK, crash::once),
    Fault(
        "2, 3",
        "SIGSTOP of the primary, 5 rounds",
        "back in 3.5 s; fenced 200 ms after it wakes, what it ran counted",
        SLOW,
        hang::rounds,
    ),
    Fault(
        "2, 3",
        "SIGSTOP of the primary",
        "replaced, nothing sent to it any more, fenced when it wakes",
        QUICK,
        hang::once,
    ),
    Fault("2", "SIGSTOP of a primary that nothing fences", "blocked, said, no flip", QUICK, hang::unfenced_blocks),
    Fault(
        "2",
        "SIGSTOP of a primary that fences itself",
        "replaced once it has stopped by itself",
        QUICK,
        hang::self_fenced,
    ),
    Fault("32", "a 4 s script, shipped defaults", "no flip, no error", QUICK, hang::slow_script),
    Fault("9", "a restart within the hysteresis", "no flip, nothing lost", QUICK, restarts::within_the_hysteresis),
    Fault("10", "a flapping primary", "one flip at most, then blocked", SLOW, restarts::flapping),
    Fault("19", "the clock steps by an hour", "no flip", SLOW, clock::steps),
    Fault("22", "Pointsman stands still, or starves", "no flip", SLOW, sidecar::starved),
    Fault("23", "all standbys lag", "blocked, with an estimate of the loss", QUICK, candidates::lagging),
    Fault("24", "the candidate dies in catch-up", "rolled back, nothing lost", QUICK, candidates::dies_in_catch_up),
    Fault(
        "25",
        "the candidate dies after its promotion",
        "the next candidate serves",
        QUICK,
        candidates::dies_after_promotion,
    ),
    Fault("26", "planned switch under load", "nothing lost, no client error", SLOW, orders::under_load),
    Fault("27", "two operators switch at once", "one wins, the other gets 409", SLOW, orders::two_at_once),
    Fault("28", "everything is ended and comes back", "the routed node serves, no other does", SLOW, restarts::ended),
    Fault("28", "everything is killed, dumps", "the routed node serves, no other does", SLOW, restarts::killed),
    Fault(
        "28",
        "everything is killed, logs",
        "the routed node serves, no other does",
        SLOW,
        restarts::killed_with_logs,
    ),
    Fault("29", "a bad file is reloaded", "the old configuration stays", QUICK, sidecar::bad_file),
    Fault(
        "31",
        "the primary restarts empty at once",
        "the standby's data serves, no flip back",
        SLOW,
        restarts::empty_at_once,
    ),
    Fault(
        "31",
        "the primary restarts empty at once, copies begin at once",
        "the standby's data serves, or nothing and it is said",
        SLOW,
        restarts::empty_at_once_undelayed,
    ),
    Fault(
        "31",
        "the primary restarts empty while Pointsman is away",
        "the standby keeps its data",
        QUICK,
        sidecar::emptied_while_away,
    ),
    Fault(
        "34",
        "Pointsman frozen or killed between promote and demote",
        "the fence holds, finished on return",
        SLOW,
        sidecar::gone_before_demote,
    ),
    Fault(
        "35",
        "the state folder is lost",
        "never two writable; history decides, or closed and said",
        SLOW,
        sidecar::forgetful,
    ),
    Fault(
        "15",
        "kill -9 of Pointsman in failovers, at random moments",
        "no older epoch, one writer, every operation ends",
        SLOW,
        kills::rounds,
    ),
    Fault(
        "4",
        "primary isolated from everyone, fences itself",
        "stops first, then another serves; it returns as a standby",
        QUICK,
        net_isolation::isolated_and_fences_itself,
    ),
    Fault(
        "4",
        "primary isolated from everyone, unfenced = promote",
        "another serves; it is fenced when the path is back",
        SLOW,
        net_isolation::isolated_and_replaced_unfenced,
    ),
    Fault(
        "4",
        "primary isolated from everyone, default",
        "blocked, said, goes on when the path is back",
        SLOW,
        net_isolation::isolated_and_blocked,
    ),
    Fault(
        "5",
        "Pointsman alone cut off from the primary, 3 ways",
        "no flip, said, goes on when the path is back",
        SLOW,
        net_paths::the_sidecar_alone_is_cut_off,
    ),
    Fault("7", "only replication is cut", "no flip, nothing lost, said", SLOW, net_isolation::only_replication_is_cut),
    Fault(
        "7",
        "only replication is cut, the primary fences itself",
        "no flip, the reason is said",
        SLOW,
        net_isolation::only_replication_is_cut_and_it_fences_itself,
    ),
    Fault(
        "8",
        "packets lost in one direction, 5 ways",
        "no flip, one writer, nothing lost",
        SLOW,
        net_paths::one_direction_is_lost,
    ),
    Fault(
        "8",
        "a tenth of all packets lost",
        "no flip, one writer, nothing lost",
        SLOW,
        net_paths::packets_are_lost_by_chance,
    ),
    Fault("21", "primary's disk full, writes refused", "left as planned, nothing lost", SLOW, disk::full_and_says_so),
    Fault("21", "primary's disk full, it ends itself", "replaced", SLOW, disk::full_and_it_ends_itself),
    Fault("21", "primary's disk frozen", "replaced; follows after the thaw", SLOW, disk::frozen),
    Fault(
        "30",
        "the journal's disk is full",
        "data flows, an order is refused, an override is done",
        QUICK,
        journal_disk::a_full_journal_refuses_and_may_be_overridden,
    ),
    Fault(
        "30",
        "the journal's disk is full and the primary dies",
        "blocked and said, goes on when there is room",
        SLOW,
        journal_disk::a_full_journal_blocks_a_failover_and_says_so,
    ),
    Fault(
        "33",
        "one configuration on two hosts",
        "one manages, the other says so and takes over",
        QUICK,
        net_managers::of_two_managers_one_manages,
    ),
];

fn main() -> ExitCode {
    // Which server is asked for is one that speaks Redis's protocol.
    let sql = if scene::component() == "redis7" { sql::FAULTS } else { &[] };
    table::run(&Arguments::from_args(), &[FAULTS, sql].concat())
}
