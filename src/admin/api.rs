//! The API's routes, its reading half, and the bounds that hold for every request.

use super::{
    events::{self, Watchers},
    gate::{self, Peer, WRONG_AT_ONCE},
    groups,
    identity::{self, Proof},
    journal, openapi, operations, orders, page, people,
    problem::Problem,
    visitors::Visitors,
};
use crate::{
    control::{Handle, RebuildReply},
    model::{
        name::{NodeAddress, ServiceName},
        person::{Caller, Role},
        view::{Rebuild, ServiceView},
    },
    telemetry::Metrics,
};
use axum::{
    Extension, Json, Router,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};

/// The largest body.
const LARGEST_BODY: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// What handlers share.
pub(super) struct Api {
    pub(super) handle: Handle,
    pub(super) metrics: Metrics,
    pub(super) watchers: Watchers,
    pub(super) visitors: Visitors,
    /// Places for answers to wrong tokens that are kept back.
    pub(super) wrong: Semaphore,
    /// Pointsman's own user.
    pub(super) own: u32,
}

/// The API, which every listener of operators serves. Clones share it.
#[derive(Clone)]
pub struct AdminApi {
    api: Arc<Api>,
    router: Router,
}

impl AdminApi {
    /// Sets it up. Must be called within a tokio runtime.
    pub fn start(handle: Handle, metrics: Metrics) -> Self {
        let api = Arc::new(Api {
            watchers: Watchers::start(&handle),
            visitors: Visitors::default(),
            wrong: Semaphore::new(WRONG_AT_ONCE),
            own: rustix::process::geteuid().as_raw(),
            handle,
            metrics,
        });
        Self { router: router(api.clone()), api }
    }

    /// The routes for one connection.
    pub(super) fn router(&self, peer: Peer) -> Router {
        self.router.clone().layer(Extension(peer))
    }

    /// Who a process on the Unix socket is now.
    pub(super) fn who(&self, uid: u32, gid: u32) -> Option<Caller> {
        identity::who(&self.api.handle.configuration().admin, &Proof::Peer { uid, gid }, self.api.own)
    }

    /// Whether this is root or Pointsman's own user.
    pub(super) fn is_own(&self, uid: u32) -> bool {
        identity::is_own(uid, self.api.own)
    }
}

/// The routes of operators.
fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/v1/services", get(services))
        .route("/v1/services/{svc}", get(service))
        .route("/v1/services/{svc}/{action}", post(orders::order))
        .route("/v1/services/{svc}/nodes/{node}/rebuild", get(rebuild))
        .route("/v1/groups", get(groups::groups))
        .route("/v1/groups/{group}/{action}", post(groups::order))
        .route("/v1/sites", get(groups::sites))
        .route("/v1/sites/{site}/evacuate", post(groups::evacuate))
        .route("/v1/operations", get(operations::list))
        .route("/v1/operations/{id}", get(operations::one))
        .route("/v1/operations/{id}/{action}", post(operations::consented))
        .route("/v1/services/{svc}/timeline", get(journal::timeline))
        .route("/v1/journal", get(journal::journal))
        .route("/v1/events", get(events::stream))
        .route("/v1/reload", post(reload))
        .route("/v1/config", get(config))
        .route("/v1/whoami", get(people::whoami))
        .route("/v1/people", get(people::people))
        .route("/openapi.json", get(openapi::document))
        .route("/schema.json", get(openapi::schema))
        .merge(page::router())
        .fallback(async || Problem::not_found("no such path; /openapi.json lists them"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method",
                "Method not allowed",
                "reading is GET, every change is POST",
            )
        })
        .layer(middleware::from_fn(bounded))
        .layer(middleware::from_fn_with_state(api.clone(), gate::gate))
        .layer(middleware::map_response(page::guarded))
        .with_state(api)
}

/// Reads each body whole within a size and a time, so that no handler waits for a caller.
async fn bounded(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match timeout(BODY_TIME, axum::body::to_bytes(body, LARGEST_BODY)).await {
        // A form of another site can send text, but not JSON.
        Ok(Ok(body)) if !body.is_empty() && !is_json(&head.headers) => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-json",
            "The body is not said to be JSON",
            "send the header `Content-Type: application/json`",
        )
        .into_response(),
        Ok(Ok(body)) => next.run(Request::from_parts(head, Body::from(body))).await,
        Ok(Err(_)) => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "The body is too large or broke off",
            format!("at most {LARGEST_BODY} bytes"),
        )
        .into_response(),
        Err(_) => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow",
            "The body came too slowly",
            format!("it must be there within {} s", BODY_TIME.as_secs()),
        )
        .into_response(),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// `GET /v1/services`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Services {
    /// In the order of the configuration.
    services: Vec<ServiceView>,
}

async fn services(State(api): State<Arc<Api>>) -> Json<Services> {
    Json(Services { services: api.handle.services() })
}

async fn service(State(api): State<Arc<Api>>, Path(svc): Path<String>) -> Result<Json<ServiceView>, Problem> {
    let name = ServiceName::from(svc);
    api.handle.service(&name).map(Json).ok_or_else(|| Problem::not_found(format!("no service {name}")))
}

async fn rebuild(
    State(api): State<Arc<Api>>,
    Path((svc, node)): Path<(String, String)>,
) -> Result<Json<Rebuild>, Problem> {
    let (svc, node) = (ServiceName::from(svc), NodeAddress::from(node));
    match api.handle.rebuild(&svc, &node).await {
        RebuildReply::Told(rebuild) => Ok(Json(rebuild)),
        RebuildReply::UnknownService => Err(Problem::not_found(format!("no service {svc}"))),
        RebuildReply::UnknownNode => Err(Problem::not_found(format!("{svc} has no node {node}"))),
        RebuildReply::Refused(error) => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "rebuild",
            "The node can't be rebuilt, or need not be",
            error.detail,
        )),
        RebuildReply::Late => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "late",
            "No answer in time",
            "nothing was changed: ask again",
        )),
    }
}

async fn reload(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<serde_json::Value>, Problem> {
    caller.may(Role::Operator)?;
    match api.handle.reload(&caller.name).await {
        Ok(changes) => Ok(Json(serde_json::json!({ "changes": changes }))),
        Err(problems) => Err(Problem {
            problems,
            ..Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "configuration",
                "The new configuration was turned down",
                "the old one stays in force; nothing changed",
            )
        }),
    }
}

async fn config(State(api): State<Arc<Api>>) -> Json<serde_json::Value> {
    Json(api.handle.config())
}
