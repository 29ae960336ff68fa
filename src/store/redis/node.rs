//! One node as this store sees it: where it is, how to log in, and the connections kept to it.
//!
//! Input: the service's settings. Output: replies. It keeps one connection for probes and one for everything else, so that a
//! slow action never delays a probe. Never a call without a deadline.

use super::{
    client::{CallError, Connection, Login, Pipeline},
    reply::{Reply, error},
};
use crate::{
    config::Service,
    model::{
        error::{Side, StoreError},
        name::NodeAddress,
    },
    net::{ClientTls, Endpoint},
};
use std::time::Duration;
use tokio::{sync::Mutex, time::Instant};

/// What the probe keeps from one time to the next.
#[derive(Debug, Default)]
pub(super) struct ProbeState {
    /// The connection of the last good probe.
    pub(super) kept: Option<Connection>,
    /// The other managers last seen.
    pub(super) managers: Vec<String>,
    /// When to look for them again.
    pub(super) managers_due: Option<Instant>,
    /// Until when a manager that was here before us may not have seen us.
    pub(super) newcomer_until: Option<Instant>,
    /// What was received and applied at the last good probe.
    pub(super) positions: (u64, u64),
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
    pub(super) probe: Mutex<ProbeState>,
    control: Mutex<Option<Connection>>,
}

impl Node {
    pub(super) fn new(address: NodeAddress, service: &Service, name: String, tls: Option<ClientTls>) -> Self {
        let credentials = service.credentials.as_ref().and_then(|login| {
            let user = login.username.clone().unwrap_or_else(|| DEFAULT_USER.to_owned());
            Some((user, login.password.clone()?))
        });
        Self {
            endpoint: Endpoint::new(address.as_str(), tls),
            address,
            login: Login { credentials, name },
            // Shorter than the fence's pause, so that a step after it still meets the pause.
            limit: service.health.timeout.clamp(Duration::from_secs(2), Duration::from_secs(4)),
            probe: Mutex::default(),
            control: Mutex::default(),
        }
    }

    /// The ACL user we are there.
    pub(super) fn user(&self) -> &str {
        self.login.credentials.as_ref().map_or(DEFAULT_USER, |(user, _)| user)
    }

    /// Whether it lets us in on a connection of its own, within `limit`.
    pub(super) async fn knock(&self, limit: Duration) -> bool {
        Connection::open(&self.endpoint, &self.login, Instant::now() + limit).await.is_ok()
    }

    /// Runs commands on the connection that isn't the probe's. A kept connection that broke meanwhile is replaced once: all
    /// our commands may be sent twice.
    pub(super) async fn call(&self, commands: &Pipeline) -> Result<Vec<Reply>, CallError> {
        let deadline = Instant::now() + self.limit;
        let mut slot = self.control.lock().await;
        if let Some(mut kept) = slot.take() {
            match kept.ask(commands, deadline).await {
                Ok(replies) => {
                    *slot = Some(kept);
                    return Ok(replies);
                }
                Err(CallError::Reset | CallError::Closed) => {}
                Err(error) => return Err(error),
            }
        }
        let mut fresh = Connection::open(&self.endpoint, &self.login, deadline).await?;
        let replies = fresh.ask(commands, deadline).await?;
        *slot = Some(fresh);
        Ok(replies)
    }

    /// As [`Self::call`] with commands as text; the first error reply fails it.
    pub(super) async fn run(&self, commands: &[&str]) -> Result<Vec<Reply>, StoreError> {
        let replies = self.call(&Pipeline::of(commands)).await.map_err(|error| self.failed(commands, &error))?;
        for (command, reply) in commands.iter().zip(&replies) {
            if let Some(why) = error(reply) {
                return Err(self.refused(command, why));
            }
        }
        Ok(replies)
    }

    /// The error of commands that got no replies.
    pub(super) fn failed(&self, commands: &[&str], error: &CallError) -> StoreError {
        let commands = commands.join("; ");
        StoreError {
            side: Side::Node,
            retryable: match error {
                CallError::Rejected(why) => why.contains("max number of clients"),
                CallError::Alien(_) => false,
                _ => true,
            },
            maybe_done: error.maybe_done(),
            detail: format!("{}: {commands}: {error}", self.address),
        }
    }

    /// The error of a command that the node refused to run.
    pub(super) fn refused(&self, command: &str, why: &str) -> StoreError {
        let passing = ["LOADING", "BUSY", "TRYAGAIN", "MASTERDOWN"];
        let mut detail = format!("{}: {command}: {why}", self.address);
        if why.starts_with("NOPERM") {
            let right = command.split(' ').next().unwrap_or_default().to_lowercase();
            detail = format!("{detail} (user {:?} lacks a right of {right}; see check --connect)", self.user());
        }
        StoreError {
            side: Side::Node,
            retryable: passing.iter().any(|word| why.starts_with(word)),
            maybe_done: false,
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
}

/// The user of a connection that names none.
const DEFAULT_USER: &str = "default";
