//! The API's routes, its reading half, and the bounds that hold for every request.

use super::{events, openapi, orders, problem::Problem};
use crate::{
    control::{Handle, JournalFilter, RebuildReply},
    model::{
        name::{NodeAddress, OperationId, ServiceName},
        operation::Operation,
        record::{Record, RecordKind},
        view::{Rebuild, ServiceView},
    },
};
use axum::{
    Extension, Json, Router,
    body::Body,
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};

/// The largest body.
const LARGEST_BODY: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How many event streams there may be at once.
const STREAMS: usize = 32;
/// How many journal records are returned when the request doesn't say.
const RECORDS: usize = 1000;

/// Who sends the requests of a connection: `uid:0`.
#[derive(Clone, Debug)]
pub(super) struct Actor(pub(super) String);

/// What handlers share.
pub(super) struct Api {
    pub(super) handle: Handle,
    pub(super) streams: Arc<Semaphore>,
}

/// The routes of operators.
pub(super) fn router(handle: Handle) -> Router {
    Router::new()
        .route("/v1/services", get(services))
        .route("/v1/services/{svc}", get(service))
        .route("/v1/services/{svc}/{action}", post(orders::order))
        .route("/v1/services/{svc}/nodes/{node}/rebuild", get(rebuild))
        .route("/v1/operations/{id}", get(operation))
        .route("/v1/journal", get(journal))
        .route("/v1/events", get(events::stream))
        .route("/v1/reload", post(reload))
        .route("/v1/config", get(config))
        .route("/openapi.json", get(openapi::document))
        .route("/schema.json", get(openapi::schema))
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
        .with_state(Arc::new(Api { handle, streams: Arc::new(Semaphore::new(STREAMS)) }))
}

/// Reads each body whole within a size and a time, so that no handler waits for a caller.
async fn bounded(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match timeout(BODY_TIME, axum::body::to_bytes(body, LARGEST_BODY)).await {
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

async fn operation(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Result<Json<Operation>, Problem> {
    let id = OperationId::from(id);
    api.handle.operation(&id).await.map(Json).ok_or_else(|| Problem::not_found(format!("no operation {id}")))
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

/// Filters of `GET /v1/journal`.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct JournalQuery {
    /// Only of this service.
    svc: Option<String>,
    /// Only of this kind.
    kind: Option<RecordKind>,
    /// Only records with a greater number.
    #[serde(default)]
    after: u64,
    /// At most so many, oldest first; 1000 if absent, 10000 at most.
    limit: Option<usize>,
}

/// `GET /v1/journal`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Journal {
    /// Oldest first.
    records: Vec<Record>,
    /// The last record of the whole journal.
    head: Head,
}

/// The journal's last record.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Head {
    seq: u64,
    hash: String,
}

async fn journal(
    State(api): State<Arc<Api>>,
    query: Result<Query<JournalQuery>, QueryRejection>,
) -> Result<Json<Journal>, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let filter = JournalFilter {
        svc: query.svc.map(ServiceName::from),
        kind: query.kind,
        after: query.after,
        limit: query.limit.unwrap_or(RECORDS),
    };
    // The head is read first: it may then be older than the last record, never newer than what a caller could have seen.
    let (seq, hash) = api.handle.head();
    let records = api.handle.journal(&filter).await.map_err(|detail| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "journal", "The journal can't be read", detail)
    })?;
    Ok(Json(Journal { records, head: Head { seq, hash } }))
}

async fn reload(
    State(api): State<Arc<Api>>,
    Extension(Actor(actor)): Extension<Actor>,
) -> Result<Json<serde_json::Value>, Problem> {
    match api.handle.reload(&actor).await {
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
