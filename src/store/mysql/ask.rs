//! The questions of a probe: on the connection that is kept, and on a new one when that is silent or gone.
//!
//! Input: a node, what the probe keeps. Output: rows of the questions, or what became of the attempt. While a node doesn't answer, one new
//! connection waits there over many probes. It reads nothing into the rows.

use super::{
    client::{CallError, Connection},
    flavour::{Flavour, SemiSync},
    node::Node,
    probe::{Asker, ProbeState},
    rows::Rows,
    sessions,
};
use crate::{net::ConnectError, store::BoxFuture};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep_until, timeout_at};

/// How long one new connection may wait for a node that doesn't answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often what changes seldom is asked for.
const SLOW_EVERY: Duration = Duration::from_secs(2);
/// How long a look at a node takes, and what comes between two of them, at most.
const LOOK: Duration = Duration::from_secs(2);

/// A new connection that may take longer than one probe.
pub(super) struct Attempt {
    opening: BoxFuture<'static, Result<Connection, CallError>>,
    answers: Arc<AtomicBool>,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("answers", &self.answers).finish_non_exhaustive()
    }
}

/// What changes seldom.
#[derive(Clone, Debug, Default)]
pub(super) struct Slow {
    /// All managers that announce themselves, as `service:instance`.
    pub(super) managers: Vec<String>,
    /// Where standbys are attached from, by their own names: the connection that one had before it came back may still be there too.
    pub(super) standbys: BTreeMap<String, String>,
    pub(super) semi_sync: SemiSync,
    /// How many writes wait for room on the disk.
    pub(super) waits_for_room: u64,
    /// Why it can't be told.
    pub(super) refused: String,
}

impl Slow {
    pub(super) fn read(answers: &[Rows]) -> Self {
        let rows_of = |index: usize| answers.get(index).into_iter().flat_map(Rows::iter);
        let none = Rows::default();
        let rows = |index: usize| answers.get(index).unwrap_or(&none);
        Self {
            managers: rows_of(0).map(|row| row.at(0).to_owned()).collect(),
            standbys: rows_of(1).map(|row| (row.at(0).to_owned(), row.at(1).to_owned())).collect(),
            semi_sync: SemiSync::read(rows(2), rows(3)),
            waits_for_room: sessions::waiting_for_room(rows(4)),
            refused: String::new(),
        }
    }

    /// Other managers of the same service, in order.
    pub(super) fn others(&self, asker: Asker<'_>) -> Vec<String> {
        let ours = self.managers.iter().filter_map(|name| name.strip_prefix(asker.service)?.strip_prefix(':'));
        let mut others: Vec<String> = ours.filter(|name| *name != asker.instance).map(ToOwned::to_owned).collect();
        others.sort_unstable();
        others.dedup();
        others
    }
}

/// Rows of the questions, and what is asked now and then if it was due.
struct Heard {
    connection: Connection,
    answers: Vec<Rows>,
    slow: Option<Slow>,
}

type Asked = Result<Heard, CallError>;

/// Asks on the kept connection; on a new one too when that one broke, or was silent for half of the time. The first answer counts;
/// without any, the new connection's failure does. Also says whether the kept one was silent.
pub(super) async fn ask(
    node: &Arc<Node>,
    state: &mut ProbeState,
    started: Instant,
    limit: Duration,
) -> Result<(Connection, Vec<Rows>, bool), CallError> {
    let deadline = started + limit;
    let due = state.slow.as_ref().is_none_or(|(asked, _)| *asked + SLOW_EVERY <= started);
    let (outcome, late) = match state.kept.take() {
        None => (fresh(node, &mut state.attempt, deadline, due).await, false),
        Some(kept) => ask_kept(node, kept, &mut state.attempt, (started + limit / 2, deadline), due).await,
    };
    let heard = outcome?;
    state.attempt = None;
    if let Some(slow) = heard.slow {
        state.newcomer_until.get_or_insert(started + SLOW_EVERY + LOOK);
        state.slow = Some((started, slow));
    }
    Ok((heard.connection, heard.answers, late))
}

async fn ask_kept(
    node: &Arc<Node>,
    kept: Connection,
    attempt: &mut Option<Attempt>,
    (half, deadline): (Instant, Instant),
    due: bool,
) -> (Asked, bool) {
    let asked = question(kept, deadline, due);
    tokio::pin!(asked);
    tokio::select! {
        answered = &mut asked => match answered {
            Ok(_) | Err(CallError::Refused { .. }) => (answered, false),
            Err(_) => (fresh(node, attempt, deadline, due).await, false),
        },
        () = sleep_until(half) => {
            let outcome = tokio::select! {
                Ok(answered) = &mut asked => Ok(answered),
                answered = fresh(node, attempt, deadline, due) => answered,
            };
            (outcome, true)
        }
    }
}

/// The questions of a probe on one connection.
async fn question(mut connection: Connection, deadline: Instant, due: bool) -> Asked {
    let flavour = Flavour::of(&connection.version);
    let answers = connection.run(flavour.questions(), deadline).await?;
    let slow = if due {
        Some(match connection.run(flavour.slow_questions(), deadline).await {
            Ok(answers) => Slow::read(&answers),
            Err(CallError::Refused { number, text }) => {
                Slow { refused: format!("{text} ({number})"), ..Slow::default() }
            }
            Err(error) => return Err(error),
        })
    } else {
        None
    };
    Ok(Heard { connection, answers, slow })
}

/// The questions on a new connection: the one that is under way already, if there is one.
async fn fresh(node: &Arc<Node>, attempt: &mut Option<Attempt>, deadline: Instant, due: bool) -> Asked {
    let under_way = attempt.get_or_insert_with(|| Attempt::begin(node));
    match timeout_at(deadline, &mut under_way.opening).await {
        Ok(opened) => {
            *attempt = None;
            question(opened?, deadline, due).await
        }
        Err(_) if under_way.answers.load(Ordering::Relaxed) => Err(CallError::Silent),
        Err(_) => Err(CallError::Connect(ConnectError::TimedOut)),
    }
}

impl Attempt {
    fn begin(node: &Arc<Node>) -> Self {
        let answers = Arc::new(AtomicBool::new(false));
        let (node, seen) = (node.clone(), answers.clone());
        let deadline = Instant::now() + PATIENCE;
        let opening = Box::pin(async move { Connection::open(&node.endpoint, &node.login, deadline, &seen).await });
        Self { opening, answers }
    }
}
