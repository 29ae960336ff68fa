//! One HTTP connection to a node: GET requests with a deadline, answers of bounded size.
//!
//! Input: a path. Output: a status and a body, or a [`CallError`] that says what its failure proves. It never retries, never
//! follows a redirect, never shows a password.

use crate::net::{ConnectError, Endpoint, HyperIo};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request,
    client::conn::http1::{self, SendRequest},
    header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue},
};
use serde_json::Value;
use std::{error::Error, fmt, io};
use tokio::{
    task::AbortHandle,
    time::{Instant, timeout_at},
};

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallError {
    /// There is no connection; nothing was sent.
    Connect(ConnectError),
    /// The connection is open and no whole answer came in time.
    Silent,
    /// The connection was reset.
    Reset,
    /// The connection was closed without a whole answer.
    Closed,
    /// What came back is no answer of such a server, or too long.
    Alien(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Silent => f.write_str("no answer in time"),
            Self::Reset => f.write_str("the connection was reset"),
            Self::Closed => f.write_str("the connection was closed without an answer"),
            Self::Alien(why) => write!(f, "not an answer of Elasticsearch or OpenSearch: {why}"),
        }
    }
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Value, CallError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| CallError::Alien(format!("HTTP {} with a body that isn't JSON: {error}", self.status)))
    }

    /// What an answer that is no success says: its type and reason, cut short, or its status alone.
    pub(super) fn refusal(&self) -> String {
        let error = self.json().ok().map(|body| body["error"].clone()).unwrap_or_default();
        let words = match (&error, error["type"].as_str(), error["reason"].as_str()) {
            (_, Some(kind), reason) => format!("{kind}: {}", reason.unwrap_or_default()),
            (Value::String(text), ..) => text.clone(),
            _ => String::new(),
        };
        let words: String = words.chars().filter(|c| !c.is_control()).take(200).collect();
        format!("HTTP {} {words}", self.status).trim_end_matches([' ', ':']).to_owned()
    }
}

/// How we present ourselves to a node.
#[derive(Clone, Debug)]
pub(super) struct Login {
    /// What `Host` says.
    pub(super) host: HeaderValue,
    /// Marked as sensitive, so that it is never printed.
    pub(super) authorization: Option<HeaderValue>,
}

/// An open connection; closed when dropped, also in the middle of an answer.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    task: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    pub(super) async fn open(endpoint: &Endpoint, deadline: Instant) -> Result<Self, CallError> {
        let limit = deadline.saturating_duration_since(Instant::now());
        let stream = endpoint.connect(limit).await.map_err(CallError::Connect)?;
        let handshake = http1::handshake(HyperIo::new(stream)).await;
        let (sender, driver) = handshake.map_err(|error| call_error(&error))?;
        // The error of the connection is told to who waits for an answer on it.
        let task = tokio::spawn(async move { drop(driver.await) }).abort_handle();
        Ok(Self { sender, task })
    }

    /// GET. The body may have `most` bytes. After an error the connection is of no more use.
    pub(super) async fn get(
        &mut self,
        login: &Login,
        path: &str,
        most: usize,
        deadline: Instant,
    ) -> Result<Answer, CallError> {
        timeout_at(deadline, self.exchange(login, path, most)).await.unwrap_or(Err(CallError::Silent))
    }

    async fn exchange(&mut self, login: &Login, path: &str, most: usize) -> Result<Answer, CallError> {
        let mut request = Request::get(path).header(HOST, &login.host).header(ACCEPT, "application/json");
        if let Some(authorization) = &login.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(Empty::new()).map_err(|error| CallError::Alien(format!("{path}: {error}")))?;
        self.sender.ready().await.map_err(|error| call_error(&error))?;
        let answer = self.sender.send_request(request).await.map_err(|error| call_error(&error))?;
        let status = answer.status().as_u16();
        match Limited::new(answer.into_body(), most).collect().await {
            Ok(body) => Ok(Answer { status, body: body.to_bytes() }),
            Err(error) => match error.downcast::<hyper::Error>() {
                Ok(error) => Err(call_error(&error)),
                Err(error) => Err(CallError::Alien(format!("GET {path}: {error} ({most} bytes)"))),
            },
        }
    }
}

fn call_error(error: &hyper::Error) -> CallError {
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => CallError::Reset,
                io::ErrorKind::TimedOut => CallError::Silent,
                _ => CallError::Closed,
            };
        }
        source = inner.source();
    }
    if error.is_parse() { CallError::Alien(error.to_string()) } else { CallError::Closed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: Bytes::from(body.to_owned()) }
    }

    #[test]
    fn a_refusal_is_told_in_each_form_that_servers_have() {
        let security =
            r#"{"error":{"root_cause":[],"type":"security_exception","reason":"no permissions"},"status":403}"#;
        assert_eq!(answer(403, security).refusal(), "HTTP 403 security_exception: no permissions");
        assert_eq!(answer(400, r#"{"error":"no handler found","status":400}"#).refusal(), "HTTP 400 no handler found");
        assert_eq!(answer(502, "<html>").refusal(), "HTTP 502");
        assert!(matches!(answer(200, "<html>").json(), Err(CallError::Alien(_))));
    }
}
