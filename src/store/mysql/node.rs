//! One node as this store sees it: where it is, how to log in, and the connections kept to it.
//!
//! Input: the service's settings. Output: rows. It keeps one connection for probes and one for everything else, so that a slow action
//! never delays a probe. Never a call without a deadline.

use super::{
    client::{CallError, Connection, Login},
    probe::ProbeState,
    rows::{Row, Rows},
};
use crate::{
    config::Service,
    model::{
        error::{Side, StoreError},
        name::NodeAddress,
        transactions::Transactions,
    },
    net::{ClientTls, Endpoint},
};
use std::{
    sync::atomic::{AtomicBool, AtomicU64},
    time::Duration,
};
use tokio::{sync::Mutex, time::Instant};

/// The user where none is configured.
const DEFAULT_USER: &str = "root";
/// `ER_CON_COUNT_ERROR`, which passes.
const TOO_MANY_CONNECTIONS: u16 = 1040;
/// Errors that say that our login may not do this.
const DENIED: [u16; 7] = [1044, 1045, 1142, 1143, 1227, 1370, 3879];

/// The connection for actions, and what hangs on it.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// The connection, if there is one.
    pub(super) kept: Option<Connection>,
    /// MariaDB: the id of the connection that holds the global read lock of a fence.
    pub(super) locked: Option<u32>,
    /// What a fence of ours found executed.
    pub(super) fenced_at: Option<Transactions>,
}

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    /// Its configured address.
    pub(super) address: NodeAddress,
    pub(super) endpoint: Endpoint,
    pub(super) login: Login,
    /// How long one action may take.
    pub(super) limit: Duration,
    /// The heartbeat period of its replication as last seen, 0 if it has none.
    pub(super) heartbeat_ms: AtomicU64,
    /// Whether it was a semi-synchronous primary when it was last seen.
    pub(super) semi_sync: AtomicBool,
    /// Whether it was promoted in the place of a semi-synchronous primary, and isn't semi-synchronous yet.
    pub(super) semi_sync_owed: AtomicBool,
    /// When it was last tried to make it so.
    pub(super) semi_sync_tried: Mutex<Option<Instant>>,
    pub(super) probe: Mutex<ProbeState>,
    /// A connection that got through to a node which couldn't be reached before.
    pub(super) knocked: Mutex<Option<Connection>>,
    pub(super) control: Mutex<Control>,
}

impl Node {
    pub(super) fn new(address: NodeAddress, service: &Service, manager: String, tls: Option<ClientTls>) -> Self {
        let credentials = service.credentials.as_ref();
        let user = credentials.and_then(|login| login.username.clone()).unwrap_or_else(|| DEFAULT_USER.to_owned());
        let password = credentials.and_then(|login| login.password.clone()).unwrap_or_default();
        Self {
            endpoint: Endpoint::new(address.as_str(), tls),
            address,
            login: Login { user, password, manager },
            limit: service.health.timeout.clamp(Duration::from_secs(2), Duration::from_secs(4)),
            heartbeat_ms: AtomicU64::new(0),
            semi_sync: AtomicBool::new(false),
            semi_sync_owed: AtomicBool::new(false),
            semi_sync_tried: Mutex::default(),
            probe: Mutex::default(),
            knocked: Mutex::default(),
            control: Mutex::default(),
        }
    }

    /// A further connection, for what the others have no time for.
    pub(super) async fn open(&self) -> Result<Connection, CallError> {
        Connection::open(&self.endpoint, &self.login, Instant::now() + self.limit, &AtomicBool::new(false)).await
    }

    /// Runs statements on the connection that isn't the probe's; see [`Self::run_on`].
    pub(super) async fn run(&self, statements: &str) -> Result<Vec<Rows>, StoreError> {
        let mut control = self.control.lock().await;
        self.run_on(&mut control, statements, self.limit).await
    }

    /// Runs statements within `limit`. A kept connection that broke meanwhile is replaced once, unless a lock hangs on it: all our
    /// statements may be sent twice.
    pub(super) async fn run_on(
        &self,
        control: &mut Control,
        statements: &str,
        limit: Duration,
    ) -> Result<Vec<Rows>, StoreError> {
        self.try_on(control, statements, limit).await.map_err(|error| self.failed(statements, &error))
    }

    /// As [`Self::run_on`], with the error as it is.
    pub(super) async fn try_on(
        &self,
        control: &mut Control,
        statements: &str,
        limit: Duration,
    ) -> Result<Vec<Rows>, CallError> {
        let deadline = Instant::now() + limit;
        if let Some(mut kept) = control.kept.take() {
            match kept.run(statements, deadline).await {
                Err(CallError::Reset | CallError::Closed) if control.locked.take().is_none() => {}
                outcome => {
                    if matches!(outcome, Ok(_) | Err(CallError::Refused { .. })) {
                        control.kept = Some(kept);
                    }
                    return outcome;
                }
            }
        }
        let mut fresh = Connection::open(&self.endpoint, &self.login, deadline, &AtomicBool::new(false)).await?;
        let outcome = fresh.run(statements, deadline).await;
        if matches!(outcome, Ok(_) | Err(CallError::Refused { .. })) {
            control.kept = Some(fresh);
        }
        outcome
    }

    /// Makes sure that there is a connection, and gives it.
    pub(super) async fn connected<'a>(&self, control: &'a mut Control) -> Result<&'a mut Connection, StoreError> {
        self.run_on(control, "DO 0", self.limit).await?;
        control.kept.as_mut().ok_or_else(|| self.fatal("has no connection although it answered"))
    }

    /// The error of statements that failed. Passwords in them are not shown.
    pub(super) fn failed(&self, statements: &str, error: &CallError) -> StoreError {
        let shown = without_passwords(statements);
        let mut detail = format!("{}: {shown}: {error}", self.address);
        if DENIED.contains(&error.number()) {
            detail = format!("{detail} (user {:?} lacks a right; see check --connect)", self.login.user);
        }
        StoreError {
            side: Side::Node,
            retryable: match error {
                CallError::Rejected { number, .. } => *number == TOO_MANY_CONNECTIONS,
                // A lock or a deadlock that we met, or a statement that was killed.
                CallError::Refused { number, .. } => matches!(number, 1205 | 1213 | 1317),
                CallError::Alien(_) => false,
                _ => true,
            },
            maybe_done: error.maybe_done(),
            detail,
        }
    }

    /// An error that trying again at once can't mend.
    pub(super) fn fatal(&self, detail: impl std::fmt::Display) -> StoreError {
        let detail = format!("{}: {detail}", self.address);
        StoreError { side: Side::Node, retryable: false, maybe_done: false, detail }
    }

    /// An error that may pass.
    pub(super) fn passing(&self, detail: impl std::fmt::Display) -> StoreError {
        StoreError { retryable: true, ..self.fatal(detail) }
    }

    /// A set of transactions in a value that the node answered.
    pub(super) fn transactions(&self, text: &str) -> Result<Transactions, StoreError> {
        text.parse().map_err(|error| self.fatal(error))
    }
}

/// The first row of the first rows.
pub(super) fn first(answers: &[Rows]) -> Option<Row<'_>> {
    answers.first()?.first()
}

/// A statement as it may be logged: no literal behind `PASSWORD=`, and cut short.
fn without_passwords(statements: &str) -> String {
    let shown = statements.split_once("PASSWORD=").map_or(statements, |(head, _)| head);
    let more = if shown.len() < statements.len() || shown.chars().count() > 200 { "…" } else { "" };
    shown.chars().take(200).collect::<String>() + more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logged_statement_shows_no_password() {
        let shown = without_passwords("CHANGE MASTER TO MASTER_USER='r', MASTER_PASSWORD='hidden', MASTER_PORT=1");
        assert_eq!(shown, "CHANGE MASTER TO MASTER_USER='r', MASTER_…");
        assert_eq!(without_passwords("SELECT 1"), "SELECT 1");
    }
}
