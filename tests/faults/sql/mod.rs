//! The faults of MySQL and MariaDB services.

pub mod idle;
pub mod load;
pub mod scene;

mod crash;
mod hang;
mod kills;
mod net;
mod orders;
mod wire;

use crate::{SLOW, table::Fault};

/// The rows whose servers are MySQL and MariaDB.
pub const FAULTS: &[Fault] = &[
    Fault(
        "1",
        "MySQL: kill -9 of the primary, 5 rounds",
        "back in 1 s, what was known goes on, loss said",
        SLOW,
        crash::kills,
    ),
    Fault(
        "1",
        "MySQL: kill -9 of the primary, shipped defaults",
        "back in 1 s (median), loss said",
        SLOW,
        crash::kills_by_default,
    ),
    Fault(
        "1",
        "MySQL: kill -9, and what the wire says of each statement",
        "what was acknowledged is there, what was never read isn't",
        SLOW,
        wire::killed,
    ),
    Fault(
        "2, 3",
        "MySQL: SIGSTOP of the primary, 5 rounds",
        "back in 3.5 s; fenced when it wakes, what it executed named",
        SLOW,
        hang::hangs,
    ),
    Fault(
        "1",
        "MySQL: kill -9 of a semi-synchronous primary",
        "nothing acknowledged is lost",
        SLOW,
        crash::semi_synchronous_dies,
    ),
    Fault(
        "2, 3",
        "MySQL: SIGSTOP of a semi-synchronous primary, 5 rounds",
        "replaced by itself in 3.5 s, nothing acknowledged is lost",
        SLOW,
        hang::semi_synchronous_hangs,
    ),
    Fault(
        "2, 3",
        "MySQL: SIGSTOP of a semi-synchronous primary, unfenced = promote, 5 rounds",
        "replaced in 3.5 s, nothing acknowledged is lost",
        SLOW,
        hang::semi_synchronous_hangs_unfenced,
    ),
    Fault(
        "2",
        "MySQL: SIGSTOP of a primary that nothing fences",
        "blocked, said, no flip",
        SLOW,
        hang::unfenced_blocks,
    ),
    Fault(
        "3",
        "MySQL: a primary returns with transactions nobody else has",
        "fenced, named, no standby, service unharmed",
        SLOW,
        crash::returned_with_strays,
    ),
    Fault("9", "MySQL: a restart within the hysteresis", "no flip, nothing lost", SLOW, crash::within_the_hysteresis),
    Fault(
        "24",
        "MySQL: the candidate dies in catch-up",
        "rolled back, nothing lost",
        SLOW,
        orders::candidate_dies_in_catch_up,
    ),
    Fault(
        "25",
        "MySQL: the candidate dies after its promotion",
        "the next candidate serves",
        SLOW,
        crash::candidate_dies,
    ),
    Fault(
        "4",
        "MySQL: primary isolated from everyone, unfenced = promote",
        "another serves; it is fenced when the path is back, what it took named",
        SLOW,
        net::isolated,
    ),
    Fault(
        "4",
        "MySQL: primary isolated from everyone, default",
        "blocked, said, goes on when the path is back",
        SLOW,
        net::isolated_and_blocked,
    ),
    Fault("5", "MySQL: Pointsman alone cut off from the primary", "no flip, said", SLOW, net::alone_cut_off),
    Fault("32", "MySQL: a read lock of 4 s, shipped defaults", "no flip, no error", SLOW, kills::locked),
    Fault(
        "15",
        "MySQL: kill -9 of Pointsman in failovers",
        "no older epoch, one writer, every operation ends",
        SLOW,
        kills::moments,
    ),
    Fault(
        "26",
        "MySQL: planned switch under 32 sessions",
        "nothing lost, no error, no cut, state intact",
        SLOW,
        orders::planned,
    ),
];
