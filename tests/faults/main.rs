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
mod hang;
mod kills;
mod orders;
mod restarts;
mod scene;
mod sidecar;
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
        QUICK,
        restarts::empty_at_once,
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
        "kill -9 of Pointsman in failovers, 50 moments",
        "no older epoch, one writer, every operation ends",
        SLOW,
        kills::rounds,
    ),
];

fn main() -> ExitCode {
    table::run(&Arguments::from_args(), FAULTS)
}
