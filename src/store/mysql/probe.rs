//! The probe: one round trip on the connection that is kept, and on a new one when that is silent or gone.
//!
//! Input: a node. Output: an observation, always; a failure says what it proves. It never changes anything at the node. While a node
//! doesn't answer, one new connection waits there over many probes: a server counts connections that were broken off, and locks a host
//! out that breaks off too many (`max_connect_errors`).

use super::{
    ask::{Attempt, Slow, ask},
    client::{CallError, Connection},
    flavour::{Flavour, Receiving, Replica, SemiSync},
    node::{Node, first},
    rows::Rows,
};
use crate::{
    model::{
        name::NodeAddress,
        observation::{Answer, Lineage, Observation, Part, Reach, SelfFence},
        transactions::Transactions,
    },
    net::ConnectError,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Starts of one server that are so close to each other are one: it tells its uptime in whole seconds.
const SAME_START: u64 = 2;
/// A semi-synchronous primary that waits at least so long for an acknowledgement doesn't go on without.
const NO_FALLBACK: Duration = Duration::from_hours(1);
/// What a parked standby is said to follow: where nobody listens.
const NOWHERE: &str = "127.0.0.1:1";

/// What the probe keeps from one time to the next.
#[derive(Debug, Default)]
pub(super) struct ProbeState {
    /// The connection of the last good probe.
    pub(super) kept: Option<Connection>,
    /// A new connection under way.
    pub(super) attempt: Option<Attempt>,
    /// What was last asked now and then, and when.
    pub(super) slow: Option<(Instant, Slow)>,
    /// The server that answered last, when it started (seconds since 1970), and how long it had run then (seconds).
    pub(super) started: Option<(String, u64, u64)>,
    /// The primary's last word to this standby, and when it was first seen.
    pub(super) heard: Option<(String, Instant)>,
    /// Until when whoever was here before us may not have seen us.
    pub(super) newcomer_until: Option<Instant>,
    /// What was received and not applied at the last probe.
    pub(super) unapplied: Option<(u64, u64)>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    pub(super) service: &'a str,
    pub(super) instance: &'a str,
}

/// Probes `node` once, within `limit`.
pub(super) async fn probe(node: &Arc<Node>, asker: Asker<'_>, limit: Duration) -> Observation {
    let mut state = node.probe.lock().await;
    if let Some(connection) = node.knocked.lock().await.take() {
        // The path is back, and what was begun on it before may wait for seconds until it is sent again.
        (state.kept, state.attempt) = (Some(connection), None);
    }
    let started = Instant::now();
    let reach = match ask(node, &mut state, started, limit).await {
        Err(error) => reach_of(&error),
        Ok((connection, answers, late)) => {
            let flavour = Flavour::of(&connection.version);
            match answer(flavour, &connection.version, &answers, &mut state, asker) {
                Ok(mut answer) => {
                    state.kept = Some(connection);
                    note_semi_sync(node, &answer, &state);
                    if late {
                        add(&mut answer.note, "answered late or on a new connection only");
                    }
                    Reach::Answered(Box::new(answer))
                }
                Err(why) => Reach::Rejected(why),
            }
        }
    };
    Observation::new(reach, started.elapsed())
}

/// A primary that is closed, or was just opened, says nothing of how it is meant to be.
fn note_semi_sync(node: &Node, answer: &Answer, state: &ProbeState) {
    let enabled = state.slow.as_ref().is_some_and(|(_, slow)| slow.semi_sync.enabled);
    match answer.part {
        Part::Primary { .. } if !answer.writable => {}
        Part::Primary { .. } => node.semi_sync.store(enabled, Ordering::Relaxed),
        Part::Standby { .. } => node.semi_sync.store(false, Ordering::Relaxed),
    }
}

/// Whether the node lets us in on a connection of its own, within `limit`; the next probe asks on it.
pub(super) async fn knock(node: &Node, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    let opened = Connection::open(&node.endpoint, &node.login, deadline, &AtomicBool::new(false)).await;
    let answers = opened.is_ok();
    if let Ok(connection) = opened {
        *node.knocked.lock().await = Some(connection);
    }
    answers
}

/// What a failure proves.
pub(super) fn reach_of(error: &CallError) -> Reach {
    match error {
        CallError::Connect(ConnectError::Refused) | CallError::Reset => Reach::Refused,
        CallError::Connect(ConnectError::Silent) | CallError::Silent => Reach::Silent,
        CallError::Connect(error @ ConnectError::Tls(_)) => Reach::Rejected(error.to_string()),
        CallError::Connect(error) => Reach::Unreachable(error.to_string()),
        error => Reach::Rejected(error.to_string()),
    }
}

/// Builds the answer; an error says what couldn't be read.
fn answer(
    flavour: Flavour,
    version: &str,
    answers: &[Rows],
    state: &mut ProbeState,
    asker: Asker<'_>,
) -> Result<Answer, String> {
    let now = first(answers).ok_or("its state is no row")?;
    let uptime = answers.get(1).and_then(Rows::first).and_then(|row| row.at(1).parse::<u64>().ok()).unwrap_or(0);
    let executed: Transactions = now.get("executed").parse().map_err(|error| format!("what it executed: {error}"))?;
    let replica = answers.get(2).map(|rows| Replica::read(flavour, rows, answers.get(3)));
    let replica = replica.transpose().map_err(|error| format!("what it received: {error}"))?.flatten();
    let (read_only, super_read_only) = (now.flag("read_only"), now.flag("super_read_only"));
    let closed = flavour.pick(super_read_only, read_only);
    let applied = executed.count();
    let mut received = applied;
    let mut note = String::new();
    if let Some(replica) = &replica {
        received = executed.union(&replica.retrieved).count();
        if state.unapplied.replace((received, applied)) == Some((received, applied)) && replica.drained {
            // Applied to the end, and no more came since: what is left is the beginning of a transaction whose rest isn't here.
            received = applied;
        }
        add(&mut note, &replica.error);
        if !replica.by_gtid {
            add(&mut note, "replicates by file and position, not by GTID: it can't be moved to another primary");
        }
    }
    if now.get("gtid_mode") != "ON" {
        add(&mut note, "gtid_mode is off: what it holds can't be compared");
    }
    let slow = state.slow.as_ref().map(|(_, slow)| slow.clone()).unwrap_or_default();
    if !slow.refused.is_empty() {
        add(&mut note, &format!("other managers and semi-synchronous replication can't be seen: {}", slow.refused));
    }
    let others = slow.others(asker);
    // Whoever was here before us manages until it must have seen us: else both do for that time.
    let unseen = state.newcomer_until.is_some_and(|until| Instant::now() < until);
    Ok(Answer {
        run_id: run_id(now.get("identity"), now.number("now").unwrap_or(0), uptime, state),
        version: flavour.version(version),
        part: part(replica.as_ref(), &slow, state),
        writable: !read_only && !super_read_only && !now.flag("offline_mode"),
        loading: false,
        fenced: replica.is_none() && closed,
        lineage: lineage(executed),
        received: received.max(applied),
        applied,
        items: applied,
        priority: 1,
        yields: others.first().is_some_and(|first| unseen || first.as_str() < asker.instance),
        other_managers: others,
        heartbeat: replica.as_ref().and_then(|replica| replica.heartbeat),
        self_fence: self_fence(&slow.semi_sync),
        sick: sick(slow.waits_for_room),
        unfit: String::new(),
        note,
    })
}

/// A history of named transactions.
pub(super) fn lineage(executed: Transactions) -> Lineage {
    Lineage { id: "gtid".to_owned(), transactions: Some(executed), ..Lineage::default() }
}

/// `identity/start`, the same as long as the process runs although its uptime is told in whole seconds. A later start with less uptime
/// than before is another one, however soon it came; a clock that was set back changes the uptime and not the start.
fn run_id(identity: &str, now: u64, uptime: u64, state: &mut ProbeState) -> String {
    let told = now.saturating_sub(uptime);
    let start = match &state.started {
        Some((before, known, ran)) if before == identity && told.abs_diff(*known) <= SAME_START => {
            if told > *known && uptime < *ran { told } else { *known }
        }
        _ => told,
    };
    state.started = Some((identity.to_owned(), start, uptime));
    format!("{identity}/{start}")
}

fn part(replica: Option<&Replica>, slow: &Slow, state: &mut ProbeState) -> Part {
    let Some(replica) = replica else {
        let semi_sync = slow.semi_sync;
        // Only those that acknowledge count for a primary that needs acknowledgements.
        let many = if semi_sync.enabled { usize::try_from(semi_sync.clients).unwrap_or(0) } else { usize::MAX };
        let standbys = slow.standbys.values().take(many).map(|host| (NodeAddress::from(host.as_str()), 0));
        return Part::Primary { standbys: standbys.collect() };
    };
    let now = Instant::now();
    let since = match &state.heard {
        Some((before, since)) if *before == replica.heard => *since,
        _ => now,
    };
    state.heard = Some((replica.heard.clone(), since));
    let of = if replica.is_parked() { NOWHERE.into() } else { endpoint(&replica.host, replica.port) };
    Part::Standby {
        of,
        link_up: replica.receiving == Receiving::Yes,
        silent_for: Some(now.duration_since(since)),
        syncing: false,
    }
}

fn self_fence(semi_sync: &SemiSync) -> Option<SelfFence> {
    let holds = semi_sync.enabled && semi_sync.active && semi_sync.timeout >= NO_FALLBACK;
    holds.then_some(SelfFence { standbys: semi_sync.acknowledgements, lag: Duration::ZERO })
}

fn sick(waits_for_room: u64) -> String {
    if waits_for_room == 0 {
        return String::new();
    }
    format!("its disk is full: {waits_for_room} sessions wait for room")
}

fn add(note: &mut String, words: &str) {
    if words.is_empty() {
        return;
    }
    if !note.is_empty() {
        note.push_str("; ");
    }
    note.push_str(words);
}

/// `host:port`, an IPv6 host in brackets.
pub(super) fn endpoint(host: &str, port: u16) -> NodeAddress {
    if host.contains(':') { format!("[{host}]:{port}").into() } else { format!("{host}:{port}").into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_start_is_one_although_its_second_wavers() {
        let mut state = ProbeState::default();
        assert_eq!(run_id("a", 110, 10, &mut state), "a/100");
        assert_eq!(run_id("a", 112, 11, &mut state), "a/100");
        assert_eq!(run_id("a", 112, 14, &mut state), "a/100");
        assert_eq!(run_id("a", 108, 8, &mut state), "a/100", "the clock was set back");
        assert_eq!(run_id("a", 113, 10, &mut state), "a/103", "it was started again");
        assert_eq!(run_id("a", 105, 0, &mut state), "a/105", "and again, at once");
        assert_eq!(run_id("b", 105, 0, &mut state), "b/105");
    }

    #[test]
    fn a_standby_that_came_back_is_one_standby() {
        let row = |values: &[&str]| values.iter().map(|value| Some((*value).to_owned())).collect();
        let rows =
            |rows: &[&[&str]]| Rows { columns: Vec::new(), rows: rows.iter().map(|values| row(values)).collect() };
        let answers = [
            rows(&[]),
            rows(&[&["uuid-1", "10.0.0.2:4000"], &["uuid-1", "10.0.0.2:4010"]]),
            rows(&[&["rpl_semi_sync_source_enabled", "ON"]]),
            rows(&[&["Rpl_semi_sync_source_clients", "2"]]),
        ];
        let slow = Slow::read(&answers);
        assert_eq!(slow.semi_sync.clients, 2, "its former connection counts");
        let Part::Primary { standbys } = part(None, &slow, &mut ProbeState::default()) else { panic!("a primary") };
        assert_eq!(standbys, [("10.0.0.2:4010".into(), 0)]);
    }

    #[test]
    fn only_other_managers_of_the_same_service_count() {
        let names = ["cart:b", "cart:a", "cart:a", "cart:us", "orders:c"].map(ToOwned::to_owned);
        let slow = Slow { managers: names.to_vec(), ..Slow::default() };
        assert_eq!(slow.others(Asker { service: "cart", instance: "us" }), ["a", "b"]);
    }

    #[test]
    fn only_a_semi_synchronous_primary_without_fallback_fences_itself() {
        let on = SemiSync { enabled: true, active: true, timeout: NO_FALLBACK, acknowledgements: 2, clients: 2 };
        assert_eq!(self_fence(&on).map(|fence| fence.standbys), Some(2));
        for off in [
            SemiSync { enabled: false, ..on },
            SemiSync { active: false, ..on },
            SemiSync { timeout: Duration::from_secs(10), ..on },
        ] {
            assert_eq!(self_fence(&off), None);
        }
    }
}
