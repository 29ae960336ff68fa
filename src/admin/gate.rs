//! The gate that every request passes: is it meant for us, who sends it, may they, and not too often.
//!
//! Input: a request's head. Output: the request with its [`Caller`], or a refusal that is counted. Reading is GET and open to every
//! known caller; whatever else there is takes an operator at least, also where a handler should forget to ask. It never reads a
//! body, and a token that is right never waits for those that are wrong.

use super::{
    api::Api,
    hosts::{self, Wrong},
    identity::{self, Proof},
    page,
    problem::Problem,
};
use crate::{
    config::Admin,
    model::person::{Caller, Role},
    telemetry::Denial,
};
use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::Instant;

/// What anybody may read over TCP beside the page's files: what describes the API. The data behind them takes a token.
const OPEN: [&str; 3] = ["/openapi.json", "/schema.json", "/favicon.ico"];
/// How long the answer to a wrong token is kept back.
const WRONG: Duration = Duration::from_millis(500);
/// How many such answers may be kept back at once; more are sent away at once.
pub(super) const WRONG_AT_ONCE: usize = 64;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Peer {
    /// A process of this machine, and who the kernel says it runs as.
    Socket {
        /// Its user.
        uid: u32,
        /// Its primary group.
        gid: u32,
    },
    /// Somebody on TCP.
    Tcp {
        /// Our end.
        own: SocketAddr,
        /// Theirs.
        from: SocketAddr,
    },
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket { uid, gid } => write!(f, "uid {uid}, gid {gid}"),
            Self::Tcp { from, .. } => from.fmt(f),
        }
    }
}

/// A request that is not let through.
struct Denied {
    why: Denial,
    problem: Box<Problem>,
    /// When to come again.
    wait: Option<Duration>,
}

impl Denied {
    fn new(why: Denial, problem: impl Into<Problem>) -> Self {
        Self { why, problem: Box::new(problem.into()), wait: None }
    }

    fn unknown(why: Denial, detail: &str) -> Self {
        Self::new(why, Problem::new(StatusCode::UNAUTHORIZED, "unknown-caller", "It is not known who asks", detail))
    }

    fn too_often(why: Denial, wait: Duration) -> Self {
        let detail = "more was asked than is answered: come again later, or follow /v1/events instead of asking";
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-often", "Too many requests", detail);
        Self { wait: Some(wait), ..Self::new(why, problem) }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let unknown = self.problem.status == StatusCode::UNAUTHORIZED.as_u16();
        let mut response = self.problem.into_response();
        if unknown {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"pointsman\""));
        }
        if let Some(wait) = self.wait {
            // Whole seconds, and never "now".
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        response
    }
}

/// Lets a request through to its handler, or answers it.
pub(super) async fn gate(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match admit(&api, peer, request).await {
        Ok(request) => next.run(request).await,
        Err(denied) => {
            api.metrics.denied(denied.why);
            said(&api, peer, &denied);
            denied.into_response()
        }
    };
    guard(response.headers_mut());
    response
}

/// Logs what somebody should look at. Whoever forgot their token, or is only in a hurry, isn't that.
fn said(api: &Api, peer: Peer, denied: &Denied) {
    let (why, detail) = (denied.why.as_str(), &*denied.problem.detail);
    let grave = matches!(denied.why, Denial::Host | Denial::Origin | Denial::Peer | Denial::BadToken | Denial::Role);
    if grave && api.visitors.worth_a_line(Instant::now()) {
        tracing::warn!(%peer, why, detail, "a request to the admin API was denied");
    } else {
        tracing::debug!(%peer, why, detail, "a request to the admin API was denied");
    }
}

/// What keeps an answer from being used for something else than it is.
fn guard(headers: &mut HeaderMap) {
    let mut set = |name: HeaderName, value| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::CACHE_CONTROL, "no-store");
    set(header::REFERRER_POLICY, "no-referrer");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
}

fn is_open(path: &str) -> bool {
    OPEN.contains(&path) || page::is_file(path)
}

async fn admit(api: &Api, peer: Peer, request: Request) -> Result<Request, Denied> {
    let config = api.handle.configuration();
    let admin = &config.admin;
    let own = match peer {
        Peer::Tcp { own, .. } => Some(own.ip().to_canonical()),
        Peer::Socket { .. } => None,
    };
    let (mut head, body) = request.into_parts();
    hosts::check(&head, own, &admin.allowed_hosts).map_err(foreign)?;
    let changes = !matches!(head.method, Method::GET | Method::HEAD);
    let Some(proof) = proof(peer, &head.headers)? else {
        if !changes && is_open(head.uri.path()) {
            return Ok(Request::from_parts(head, body));
        }
        let detail = "send the header `Authorization: Bearer TOKEN`; `pointsman token NAME` makes a token";
        return Err(Denied::unknown(Denial::NoToken, detail));
    };
    let caller = known(api, admin, &proof).await?;
    if !is_exempt(&caller, &proof, api.own) {
        let pace = api.visitors.pace(&caller.name, Instant::now());
        pace.map_err(|wait| Denied::too_often(Denial::Rate, wait))?;
    }
    api.visitors.note(&caller, jiff::Timestamp::now());
    if changes {
        caller.may(Role::Operator).map_err(|why| Denied::new(Denial::Role, why))?;
    }
    head.extensions.insert(caller);
    head.extensions.insert(proof);
    Ok(Request::from_parts(head, body))
}

fn foreign(wrong: Wrong) -> Denied {
    match wrong {
        Wrong::Malformed(what) => Denied::new(Denial::Malformed, Problem::bad_request(what)),
        Wrong::Host(host) => {
            let detail =
                format!("{host:?} is no host of this listener: use localhost, or add it to admin.allowed_hosts");
            let title = "The request is meant for another host";
            let problem = Problem::new(StatusCode::MISDIRECTED_REQUEST, "wrong-host", title, detail);
            Denied::new(Denial::Host, problem)
        }
        Wrong::Origin(origin) => {
            let detail =
                format!("a page of {origin:?} may not use this API; admin.allowed_hosts says which others may");
            Denied::new(Denial::Origin, Problem::forbidden(detail))
        }
    }
}

/// What the request proves: by its token if it brings one, however it came, else by the socket.
fn proof(peer: Peer, headers: &HeaderMap) -> Result<Option<Proof>, Denied> {
    let Some(text) = hosts::one(headers, &header::AUTHORIZATION).map_err(foreign)? else {
        return Ok(match peer {
            Peer::Socket { uid, gid } => Some(Proof::Peer { uid, gid }),
            Peer::Tcp { .. } => None,
        });
    };
    let token = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let token = token.map(|(_, token)| token.trim()).filter(|token| !token.is_empty());
    match token {
        Some(token) => Ok(Some(Proof::of_token(token))),
        None => Err(Denied::unknown(Denial::BadToken, "the header Authorization is not of the form `Bearer TOKEN`")),
    }
}

async fn known(api: &Api, admin: &Admin, proof: &Proof) -> Result<Caller, Denied> {
    if let Some(caller) = identity::who(admin, proof, api.own) {
        return Ok(caller);
    }
    match proof {
        Proof::Peer { uid, gid } => {
            let pace = api.visitors.pace(&format!("uid:{uid}"), Instant::now());
            pace.map_err(|wait| Denied::too_often(Denial::Peer, wait))?;
            let own = api.own;
            let detail = format!(
                "uid {uid} may not: root and uid {own} are operators here, others what [[admin.people]] says, which has neither \
                 uid {uid} nor gid {gid}"
            );
            Err(Denied::new(Denial::Peer, Problem::forbidden(detail)))
        }
        Proof::Token(_) => Err(wrong_token(api).await),
    }
}

/// Guessing is slow, and costs nobody else anything: the right token of another connection is let through meanwhile.
async fn wrong_token(api: &Api) -> Denied {
    let Ok(_place) = api.wrong.try_acquire() else { return Denied::too_often(Denial::BadToken, WRONG) };
    tokio::time::sleep(WRONG).await;
    Denied::unknown(Denial::BadToken, "nobody has this token; it may have been replaced")
}

/// Root and our own user, whom nobody named: they could do worse than ask too often.
fn is_exempt(caller: &Caller, proof: &Proof, own: u32) -> bool {
    matches!(proof, Proof::Peer { uid, .. } if identity::is_own(*uid, own) && caller.name == format!("uid:{uid}"))
}
