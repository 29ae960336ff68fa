//! One delivery: a POST with a deadline on a connection of its own.
//!
//! Input: a webhook and a body. Output: that it was taken, or why not. It never retries, never follows a redirect (who redirects
//! could have the token sent elsewhere), never reads more of an answer than its head, never shows a token or a path.

use crate::{
    config::{NodeTls, Webhook},
    net::{ClientTls, ConnectError, Endpoint, HyperIo},
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1,
    header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use std::{fmt, time::Duration};
use tokio::{
    task::AbortHandle,
    time::{Instant, timeout_at},
};

/// Why a delivery wasn't taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There was no whole answer: it may have been taken all the same.
    Lost(String),
    /// The endpoint said no.
    Refused {
        /// Its status.
        status: u16,
        /// How long it asked us to wait.
        after: Option<Duration>,
    },
}

impl Trouble {
    /// Whether the endpoint says that this body will never do.
    pub(super) fn is_of_the_body(&self) -> bool {
        matches!(self, Self::Refused { status: 400 | 413 | 422, .. })
    }

    /// How long it asked us to wait.
    pub(super) fn after(&self) -> Option<Duration> {
        match self {
            Self::Lost(_) => None,
            Self::Refused { after, .. } => *after,
        }
    }

    /// The word of the metric.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Lost(_) => "lost",
            Self::Refused { .. } => "refused",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(why) => f.write_str(why),
            Self::Refused { status: status @ 300..=399, .. } => {
                write!(f, "HTTP {status}: it redirects, and redirects are not followed")
            }
            Self::Refused { status, .. } => write!(f, "HTTP {status}"),
        }
    }
}

/// Sends the body; anything but a 2xx within the webhook's timeout is trouble.
pub(super) async fn post(hook: &Webhook, body: Vec<u8>) -> Result<(), Trouble> {
    let deadline = Instant::now() + hook.timeout;
    let late = || Trouble::Lost(format!("no answer within {:?}", hook.timeout));
    let answer = timeout_at(deadline, exchange(hook, body)).await.unwrap_or_else(|_| Err(late()))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Err(Trouble::Refused { status: status.as_u16(), after: after.map(Duration::from_secs) })
}

/// Ends the connection's task with the delivery.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn exchange(hook: &Webhook, body: Vec<u8>) -> Result<Response<Incoming>, Trouble> {
    let endpoint = Endpoint::new(hook.url.authority.clone(), tls(hook).await?);
    let stream = endpoint.connect(hook.timeout).await.map_err(|error| Trouble::Lost(connecting(&error)))?;
    let lost = |error: hyper::Error| Trouble::Lost(format!("the connection broke: {error}"));
    let (mut sender, connection) = http1::handshake(HyperIo::new(stream)).await.map_err(lost)?;
    // Its error is told to who waits for the answer.
    let _driver = Driver(tokio::spawn(async move { drop(connection.await) }).abort_handle());
    sender.send_request(request(hook, body)?).await.map_err(lost)
}

fn request(hook: &Webhook, body: Vec<u8>) -> Result<Request<Full<Bytes>>, Trouble> {
    // What the configuration let through makes a request; were it not so, the words must not hold the path.
    let unusable = |_| Trouble::Lost("the address or the token can't be sent".to_owned());
    let path = str::from_utf8(hook.url.path.expose()).unwrap_or("/");
    let mut request = Request::post(path)
        .header(HOST, &hook.url.host)
        .header(CONNECTION, "close")
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("pointsman/", env!("CARGO_PKG_VERSION")));
    if let Some(token) = &hook.token {
        let bearer = [b"Bearer ", token.expose()].concat();
        let mut value = HeaderValue::from_bytes(&bearer).map_err(|error| unusable(error.into()))?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    request.body(Full::new(Bytes::from(body))).map_err(unusable)
}

/// Read anew for each delivery, so that another authority needs no reload.
async fn tls(hook: &Webhook) -> Result<Option<ClientTls>, Trouble> {
    if !hook.url.tls {
        return Ok(None);
    }
    let settings = NodeTls { ca: hook.ca.clone(), identity: None, server_name: None };
    let loaded = tokio::task::spawn_blocking(move || ClientTls::load(&settings)).await;
    match loaded {
        Ok(Ok(tls)) => Ok(Some(tls)),
        Ok(Err(error)) => Err(Trouble::Lost(error.to_string())),
        Err(error) => Err(Trouble::Lost(error.to_string())),
    }
}

/// The words of the floor below speak of nodes.
fn connecting(error: &ConnectError) -> String {
    error.to_string().replace("the node's certificate", "the endpoint's certificate").replace("node_tls.ca", "`ca`")
}
