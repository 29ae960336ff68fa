//! One node as this store sees it: where it is, how to log in, its connections, and whether requests may go there.
//!
//! Input: the service's settings, what probes found. Output: answers, and the node's health with fall and rise. It keeps one connection for
//! probes and one for everything else, so that a slow question never delays a probe. Never a call without a deadline.

use super::client::{Answer, CallError, Connection, Login};
use crate::{
    config::{Health as Limits, Service},
    model::{
        error::{Side, StoreError},
        name::{ClusterName, NodeAddress},
        observation::Peer,
        view::Health,
    },
    net::{ClientTls, Endpoint},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::header::HeaderValue;
use std::{sync::atomic::AtomicBool, time::Duration};
use tokio::{sync::Mutex, time::Instant};

/// How long one question that isn't a probe may take.
const LIMIT: Duration = Duration::from_secs(5);

/// What is kept from one probe to the next.
#[derive(Debug, Default)]
pub(super) struct ProbeState {
    /// The connection of the last good probe.
    pub(super) kept: Option<Connection>,
    /// The server's version, as it said on that connection.
    pub(super) version: String,
    health: Health,
    fails: u32,
    goods: u32,
}

impl ProbeState {
    /// Counts one probe. A node that refuses is down at once, one that is silent is suspect and down after `fall` of them; it is up again
    /// after `rise` good ones.
    pub(super) fn count(&mut self, good: bool, refused: bool, limits: &Limits) -> Health {
        if good {
            (self.fails, self.goods) = (0, self.goods.saturating_add(1));
            if self.health != Health::Down || self.goods >= limits.rise {
                self.health = Health::Up;
            }
        } else {
            (self.fails, self.goods) = (self.fails.saturating_add(1), 0);
            let down = refused || self.fails >= limits.fall || self.health == Health::Down;
            self.health = if down { Health::Down } else { Health::Suspect };
        }
        self.health
    }
}

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    /// Its configured address.
    pub(super) address: NodeAddress,
    pub(super) endpoint: Endpoint,
    pub(super) login: Login,
    pub(super) probe: Mutex<ProbeState>,
    /// Whether it is up, as of its last probe: questions go there first.
    pub(super) usable: AtomicBool,
    /// Whether our login may search, as far as is known.
    pub(super) may_search: AtomicBool,
    control: Mutex<Option<Connection>>,
}

impl Node {
    pub(super) fn new(address: &NodeAddress, service: &Service, tls: Option<ClientTls>) -> Self {
        let authorization = service.credentials.as_ref().and_then(|login| {
            let mut plain = login.username.clone().unwrap_or_default().into_bytes();
            plain.push(b':');
            plain.extend_from_slice(login.password.as_ref()?.expose());
            let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(plain))).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        // A configured address is visible ASCII; an empty one would be answered too.
        let host = HeaderValue::from_str(address.as_str()).unwrap_or_else(|_| HeaderValue::from_static(""));
        Self {
            endpoint: Endpoint::new(address.as_str(), tls),
            address: address.clone(),
            login: Login { host, authorization },
            probe: Mutex::default(),
            usable: AtomicBool::new(false),
            may_search: AtomicBool::new(true),
            control: Mutex::default(),
        }
    }

    /// Whether it answers on a connection of its own, within `limit`.
    pub(super) async fn knock(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let Ok(mut connection) = Connection::open(&self.endpoint, deadline).await else { return false };
        connection.get(&self.login, "/", 1 << 20, deadline).await.is_ok()
    }

    /// Asks on the connection that isn't the probe's. A kept connection that broke meanwhile is replaced once.
    pub(super) async fn get(&self, path: &str, most: usize) -> Result<Answer, CallError> {
        let deadline = Instant::now() + LIMIT;
        let mut slot = self.control.lock().await;
        if let Some(mut kept) = slot.take() {
            match kept.get(&self.login, path, most, deadline).await {
                Ok(answer) => {
                    *slot = Some(kept);
                    return Ok(answer);
                }
                Err(CallError::Reset | CallError::Closed) => {}
                Err(error) => return Err(error),
            }
        }
        let mut fresh = Connection::open(&self.endpoint, deadline).await?;
        let answer = fresh.get(&self.login, path, most, deadline).await?;
        *slot = Some(fresh);
        Ok(answer)
    }

    /// The error of a question that got no answer, or one that is none.
    pub(super) fn failed(&self, path: &str, error: &CallError) -> StoreError {
        StoreError {
            side: Side::Node,
            retryable: !matches!(error, CallError::Alien(_)),
            maybe_done: false,
            detail: format!("{}: GET {}: {error}", self.address, short(path)),
        }
    }

    /// The node as operators and workers see it.
    pub(super) fn peer(&self, cluster: &ClusterName, health: Health, version: &str, note: String) -> Peer {
        Peer { cluster: cluster.clone(), node: self.address.clone(), health, version: version.to_owned(), note }
    }
}

/// A path without its query, for people.
pub(super) fn short(path: &str) -> &str {
    path.split('?').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_refuses_is_down_at_once_and_a_silent_one_after_a_while() {
        let limits = Limits { fall: 3, rise: 2, ..Limits::default() };
        let mut state = ProbeState::default();
        assert_eq!(state.count(true, false, &limits), Health::Up);
        assert_eq!(state.count(false, false, &limits), Health::Suspect);
        assert_eq!(state.count(true, false, &limits), Health::Up);
        for expected in [Health::Suspect, Health::Suspect, Health::Down] {
            assert_eq!(state.count(false, false, &limits), expected);
        }
        assert_eq!(state.count(true, false, &limits), Health::Down);
        assert_eq!(state.count(true, false, &limits), Health::Up);
        assert_eq!(state.count(false, true, &limits), Health::Down);
    }
}
