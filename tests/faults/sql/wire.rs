//! What a client can know of its statement when the server's process dies: clients without a Pointsman, statements sent around the
//! moment of the death, and what the server holds when it is back.

use super::{
    load::held,
    scene::{on_both, servers},
};
use crate::{common::mysql_server::SHOP, scene::pass};
use mysql::{Conn, Error, prelude::Queryable};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

const CLIENTS: u32 = 64;
const ROUNDS: usize = 3;
/// The first statement is sent so long before the death, each next one that much later.
const AHEAD: Duration = Duration::from_millis(20);
const STEP: Duration = Duration::from_millis(1);

/// How a statement ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// An OK.
    Acknowledged,
    /// The connection was closed in order, without an answer: everything that had arrived was read.
    Closed,
    /// It was reset: something that had arrived wasn't read.
    Reset,
    /// It was over before: nothing was taken to be sent, or it arrived where nobody was any more.
    Refused,
}

/// For each end: how many statements, and how many of them were executed.
pub fn killed() -> String {
    on_both(|component| {
        let mut all: BTreeMap<End, [usize; 2]> = BTreeMap::new();
        for _ in 0..ROUNDS {
            for (end, executed) in round(component) {
                if executed && end != End::Acknowledged {
                    println!("{component}: {end:?} and executed");
                }
                let [many, done] = all.entry(end).or_default();
                *many += 1;
                *done += usize::from(executed);
            }
        }
        let [many, done] = all.get(&End::Acknowledged).copied().unwrap_or_default();
        assert!(many > 0 && done == many, "what was acknowledged is there: {all:?}");
        let [_, done] = all.get(&End::Refused).copied().unwrap_or_default();
        assert!(done == 0, "what was never sent isn't executed: {all:?}");
        let told = all.iter().map(|(end, [many, done])| format!("{end:?} {many}, executed {done}"));
        told.collect::<Vec<_>>().join("; ")
    })
}

fn round(component: &str) -> Vec<(End, bool)> {
    let mut servers = servers(component, 0);
    let server = &servers[0];
    let clients: Vec<Conn> =
        (0..CLIENTS).map(|_| server.connect_as(SHOP, Some("shop")).expect("a connection")).collect();
    let death = Instant::now() + AHEAD + Duration::from_millis(100);
    let threads = clients.into_iter().zip(0..).map(|(mut client, number)| {
        std::thread::spawn(move || {
            pass((death + STEP * number).saturating_duration_since(Instant::now() + AHEAD));
            let row = format!("INSERT INTO ledger (id, who) VALUES ('wire:{number}', 'wire')");
            (number, end(client.query_drop(row)))
        })
    });
    let threads: Vec<_> = threads.collect();
    pass(death.saturating_duration_since(Instant::now()));
    servers[0].kill();
    let ends: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("a client never panics")).collect();
    servers[0].restart();
    let held = held(&servers[0]);
    ends.into_iter().map(|(number, end)| (end, held.contains(&format!("wire:{number}")))).collect()
}

fn end(outcome: mysql::Result<()>) -> End {
    let Err(error) = outcome else { return End::Acknowledged };
    assert!(!matches!(error, Error::MySqlError(_)), "no error of a dead server: {error}");
    let text = error.to_string();
    if text.contains("reset by peer") {
        End::Reset
    } else if text.contains("Broken pipe") {
        End::Refused
    } else {
        End::Closed
    }
}
