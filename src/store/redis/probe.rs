//! The probe: one round trip on the connection that is kept, and on a new one when that is silent or gone.
//!
//! Input: a node. Output: an observation, always; a failure says what it proves. It never changes anything at the node.

use super::{
    FENCE,
    client::{CallError, Connection, Identity, Pipeline, managers},
    node::{Node, ProbeState},
    reply::{Info, Reply, config_value, error},
};
use crate::{
    model::{
        name::NodeAddress,
        observation::{Answer, Lineage, Observation, Part, Reach, SelfFence},
    },
    net::ConnectError,
};
use std::{future::Future, time::Duration};
use tokio::time::{Instant, sleep_until};

/// What is asked each time. Sections one by one: before Redis 7.0, INFO takes one.
const QUESTIONS: [&str; 9] = [
    "INFO replication",
    "INFO keyspace",
    "INFO persistence",
    "CONFIG GET min-replicas-to-write",
    "CONFIG GET min-replicas-max-lag",
    "CONFIG GET repl-ping-replica-period",
    "CONFIG GET stop-writes-on-bgsave-error",
    "CONFIG GET save",
    "INFO memory",
];
/// How often other managers are looked for on a node with few connections. The list stops the server for about 3 us a
/// connection [measured], so the more it has, the less often it is asked for; a manager that starts always asks.
const MANAGERS_EVERY: Duration = Duration::from_secs(5);
/// Each so many connections lengthen the time by [`MANAGERS_EVERY`].
const CONNECTIONS_A_STEP: usize = 100;
/// The same while another manager is seen, since then this one waits for it to be gone.
const CONNECTIONS_A_STEP_WAITING: usize = 1000;

/// How long a look at a node takes, and what comes between two of them, at most.
const LOOK: Duration = Duration::from_secs(2);

/// Probes `node` once, within `limit`.
pub(super) async fn probe(node: &Node, service: &str, instance: &str, limit: Duration) -> Observation {
    let mut state = node.probe.lock().await;
    let started = Instant::now();
    let ask_managers = state.managers_due.is_none_or(|due| due <= started);
    let mut questions = Pipeline::of(&QUESTIONS);
    if ask_managers {
        questions.push(["CLIENT", "LIST", "TYPE", "normal"]);
    }
    let reach = match ask_either(node, state.kept.take(), &questions, started, limit).await {
        Err(error) => reach_of(error),
        Ok((connection, replies, was_silent)) => {
            if let Some(list) = replies.get(QUESTIONS.len()) {
                note_managers(&mut state, list, service, instance, started);
            }
            // Whoever was here before us manages until it must have seen us: else both do for that time.
            let unseen = state.newcomer_until.is_some_and(|until| started < until);
            let yields = state.managers.first().is_some_and(|first| unseen || first.as_str() < instance);
            match answer(&connection.identity, &replies, (&state.managers, yields), was_silent) {
                Ok(mut answer) => {
                    state.kept = Some(connection);
                    drop_incomplete(&mut answer, &mut state.positions);
                    Reach::Answered(Box::new(answer))
                }
                Err(why) => Reach::Rejected(why),
            }
        }
    };
    Observation::new(reach, started.elapsed())
}

type Asked = Result<(Connection, Vec<Reply>), CallError>;

/// Asks on the kept connection; on a new one too when that one broke, or was silent for half of the time. The first
/// answer counts; without any, the new connection's failure does. Also says whether the kept one was silent.
async fn ask_either(
    node: &Node,
    kept: Option<Connection>,
    questions: &Pipeline,
    started: Instant,
    limit: Duration,
) -> Result<(Connection, Vec<Reply>, bool), CallError> {
    let deadline = started + limit;
    let fresh = async {
        let connection = Connection::open(&node.endpoint, &node.login, deadline).await?;
        ask(connection, questions, deadline).await
    };
    let Some(kept) = kept else { return fresh.await.map(|(connection, replies)| (connection, replies, false)) };
    let kept = ask(kept, questions, deadline);
    tokio::pin!(kept);
    tokio::select! {
        answered = &mut kept => match answered {
            Ok((connection, replies)) => Ok((connection, replies, false)),
            Err(_) => fresh.await.map(|(connection, replies)| (connection, replies, false)),
        },
        () = sleep_until(started + limit / 2) => first_answer(kept, fresh).await.map(|(c, replies)| (c, replies, true)),
    }
}

async fn ask(mut connection: Connection, questions: &Pipeline, deadline: Instant) -> Asked {
    let replies = connection.ask(questions, deadline).await?;
    Ok((connection, replies))
}

/// The first of the two that answers; if neither does, what became of the new connection.
async fn first_answer(kept: impl Future<Output = Asked> + Unpin, fresh: impl Future<Output = Asked>) -> Asked {
    tokio::pin!(fresh);
    let mut kept = kept;
    tokio::select! {
        answered = &mut kept => match answered {
            Ok(answered) => Ok(answered),
            Err(_) => fresh.await,
        },
        answered = &mut fresh => match answered {
            Ok(answered) => Ok(answered),
            // A new connection that is refused or turned away decides: the kept one would only be waited for in vain.
            Err(error @ (CallError::Connect(ConnectError::Refused) | CallError::Rejected(_))) => Err(error),
            Err(error) => kept.await.map_err(|_| error),
        },
    }
}

fn reach_of(error: CallError) -> Reach {
    match error {
        CallError::Connect(ConnectError::Refused) | CallError::Reset => Reach::Refused,
        CallError::Connect(ConnectError::Silent) | CallError::Silent => Reach::Silent,
        CallError::Connect(error @ ConnectError::Tls(_)) => Reach::Rejected(error.to_string()),
        CallError::Connect(error) => Reach::Unreachable(error.to_string()),
        CallError::Rejected(why) => Reach::Rejected(why),
        error @ (CallError::Closed | CallError::Alien(_)) => Reach::Rejected(error.to_string()),
    }
}

/// Redis applies everything that is whole before it answers again. So what a standby has received and not applied, and of which no
/// more has come since the last probe, is the beginning of a command (or of a transaction) whose rest may never come: where the
/// path to its primary broke in the middle of it, say. It is as good as not received.
fn drop_incomplete(answer: &mut Answer, before: &mut (u64, u64)) {
    let positions = (answer.received, answer.applied);
    if std::mem::replace(before, positions) == positions {
        answer.received = answer.applied;
    }
}

fn note_managers(state: &mut ProbeState, list: &Reply, service: &str, instance: &str, now: Instant) {
    let mut connections = 0;
    if let Some((others, count)) = managers(list, service, instance) {
        state.managers = others;
        connections = count;
    }
    let next = |step: usize| {
        let factor = u32::try_from(connections.div_ceil(step)).unwrap_or(u32::MAX).max(1);
        now + MANAGERS_EVERY.saturating_mul(factor)
    };
    // Who is alone here looks so seldom.
    let alone = next(CONNECTIONS_A_STEP);
    state.newcomer_until.get_or_insert(alone + LOOK);
    state.managers_due = Some(if state.managers.is_empty() { alone } else { next(CONNECTIONS_A_STEP_WAITING) });
}

/// Builds the answer from the replies to [`QUESTIONS`]; an error says which one was refused.
fn answer(
    identity: &Identity,
    replies: &[Reply],
    (managers, yields): (&[String], bool),
    was_silent: bool,
) -> Result<Answer, String> {
    let section = |index: usize| {
        let reply = replies.get(index).unwrap_or(&Reply::Null);
        Info::read(reply).ok_or_else(|| {
            let question = QUESTIONS.get(index).copied().unwrap_or_default();
            format!("{question}: {}", error(reply).unwrap_or("an answer that is no text"))
        })
    };
    let (replication, keyspace, persistence) = (section(0)?, section(1)?, section(2)?);
    let setting = |index: usize| replies.get(index).and_then(config_value).unwrap_or_default();
    let seconds = |index: usize| setting(index).parse::<u64>().ok().filter(|&s| s > 0).map(Duration::from_secs);
    let to_write = setting(3).parse::<u64>().ok();
    let primary = replication.get("role") == Some("master");
    let loading = persistence.flag("loading") || persistence.flag("async_loading");
    let sick = sick(&persistence, &setting(6), &setting(7));
    let good_standbys = replication.number("min_slaves_good_slaves");
    let starved = good_standbys.zip(to_write).filter(|(good, needed)| primary && good < needed);
    let position = replication.number("master_repl_offset").unwrap_or(0);
    let applied = if primary { position } else { replication.number("slave_repl_offset").unwrap_or(0) };
    let received = if primary { position } else { replication.number("slave_read_repl_offset").unwrap_or(applied) };
    let own_fence = to_write.filter(|&standbys| (1..FENCE).contains(&standbys)).zip(seconds(4));
    Ok(Answer {
        run_id: identity.run_id.clone(),
        version: identity.version.clone(),
        part: if primary { primary_part(&replication) } else { standby_part(&replication) },
        writable: primary && !loading && sick.is_empty() && starved.is_none(),
        loading,
        fenced: to_write.is_some_and(|value| value >= FENCE),
        lineage: lineage(&replication),
        received: received.max(applied),
        applied,
        items: keyspace.numbered("db").filter_map(|db| db.get("keys")?.parse::<u64>().ok()).sum(),
        // A primary doesn't say its own; what it will be as a standby is seen when it is one.
        priority: replication.number("slave_priority").and_then(|n| u32::try_from(n).ok()).unwrap_or(100),
        other_managers: managers.to_vec(),
        yields,
        heartbeat: seconds(5),
        self_fence: own_fence.map(|(standbys, lag)| SelfFence { standbys, lag: lag + Duration::from_secs(1) }),
        sick,
        unfit: String::new(),
        note: notes(replies.get(3).and_then(error), starved, replies.get(8), was_silent),
    })
}

/// Why every write is refused with MISCONF, if it is: as Redis decides it in `processCommand`.
fn sick(persistence: &Info, stop_writes: &str, save: &str) -> String {
    let failed = |field| persistence.get(field) == Some("err");
    if failed("aof_last_write_status") {
        "the append-only file can't be written: writes are refused (MISCONF)".into()
    } else if failed("rdb_last_bgsave_status") && stop_writes == "yes" && !save.is_empty() {
        "the last background save failed: writes are refused (MISCONF)".into()
    } else {
        String::new()
    }
}

fn notes(
    setting_refused: Option<&str>,
    starved: Option<(u64, u64)>,
    memory: Option<&Reply>,
    was_silent: bool,
) -> String {
    let mut notes = Vec::new();
    if let Some(why) = setting_refused {
        notes.push(format!("whether it is fenced can't be seen: {why}"));
    }
    if let Some((good, needed)) = starved.filter(|(_, needed)| *needed < FENCE) {
        notes.push(format!(
            "{good} standbys keep up and min-replicas-to-write is {needed}: writes are refused (NOREPLICAS)"
        ));
    }
    if memory.and_then(Info::read).is_some_and(|memory| is_full(&memory)) {
        notes.push("its memory is full and nothing may be evicted: writes that need more are refused (OOM)".to_owned());
    }
    if was_silent {
        notes.push("answered late or on a new connection only".into());
    }
    notes.join("; ")
}

/// As Redis decides it in `performEvictions`: what standbys and the append-only file have yet to be sent doesn't count.
fn is_full(memory: &Info) -> bool {
    let number = |name| memory.number(name).unwrap_or(0);
    let (used, most) = (number("used_memory").saturating_sub(number("mem_not_counted_for_evict")), number("maxmemory"));
    most > 0 && used > most && memory.get("maxmemory_policy") == Some("noeviction")
}

/// The history in INFO replication.
pub(super) fn lineage(replication: &Info) -> Lineage {
    let previous = replication.get("master_replid2").unwrap_or_default();
    let none = previous.bytes().all(|byte| byte == b'0');
    Lineage {
        id: replication.get("master_replid").unwrap_or_default().to_owned(),
        previous: if none { String::new() } else { previous.to_owned() },
        previous_until: replication.number("second_repl_offset").unwrap_or(0),
        transactions: None,
    }
}

fn primary_part(replication: &Info) -> Part {
    let standbys = replication.numbered("slave").filter_map(|fields| {
        let address = endpoint(fields.get("ip")?, fields.get("port")?);
        Some((address, fields.get("offset")?.parse().ok()?))
    });
    Part::Primary { standbys: standbys.collect() }
}

fn standby_part(replication: &Info) -> Part {
    let host = replication.get("master_host").unwrap_or_default();
    let heard = replication.number("master_last_io_seconds_ago");
    let silent = heard.or_else(|| replication.number("master_link_down_since_seconds"));
    Part::Standby {
        of: endpoint(host, replication.get("master_port").unwrap_or_default()),
        link_up: replication.get("master_link_status") == Some("up"),
        silent_for: silent.map(Duration::from_secs),
        syncing: replication.flag("master_sync_in_progress"),
    }
}

/// `host:port`, an IPv6 host in brackets.
pub(super) fn endpoint(host: &str, port: &str) -> NodeAddress {
    if host.contains(':') { format!("[{host}]:{port}").into() } else { format!("{host}:{port}").into() }
}
