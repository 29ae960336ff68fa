//! What was: the journal with its filters, and timelines of incidents.

use super::{api::Api, problem::Problem};
use crate::{
    control::{JournalFilter, JournalPage, TimelineReply},
    model::{
        name::{OperationId, ServiceName},
        record::{Record, RecordKind},
        timeline::Timeline,
    },
};
use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How many journal records are returned when the request doesn't say.
const RECORDS: usize = 1000;

/// Filters of `GET /v1/journal`.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct JournalQuery {
    /// Only of this service, or of the services of this group.
    svc: Option<String>,
    /// Only of this kind.
    kind: Option<RecordKind>,
    /// Only by this person, or `pointsman`.
    actor: Option<String>,
    /// Not written before, as `2026-11-22T01:02:03Z`.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Not written later.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// Only about this operation.
    operation: Option<String>,
    /// Only with this text in its words, its reason or its actor.
    text: Option<String>,
    /// Only records with a greater number.
    #[serde(default)]
    after: u64,
    /// Only records with a smaller number.
    before: Option<u64>,
    /// At most so many; 1000 if absent, 10000 at most.
    limit: Option<usize>,
    /// Which come first; `oldest` if absent.
    #[serde(default)]
    order: Order,
}

/// Which records come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// The oldest.
    #[default]
    Oldest,
    /// The newest.
    Newest,
}

/// `GET /v1/journal`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Journal {
    /// In the order that was asked for.
    records: Vec<Record>,
    /// Where more may follow: ask again with this as `after`, or as `before` where the newest come first.
    next: Option<u64>,
    /// The whole journal.
    head: Head,
}

/// The journal's ends.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Head {
    /// The number of the last record.
    seq: u64,
    /// The hash that vouches for all of it: note it as `SEQ:HASH` for `pointsman audit verify --head`.
    hash: String,
    /// The number of the oldest record that is kept.
    first: u64,
    /// Why the journal can't be written; absent when it can.
    error: Option<String>,
}

/// `GET /v1/journal`.
pub(super) async fn journal(
    State(api): State<Arc<Api>>,
    query: Result<Query<JournalQuery>, QueryRejection>,
) -> Result<Json<Journal>, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let filter = JournalFilter {
        svc: query.svc.map(ServiceName::from),
        kind: query.kind,
        after: query.after,
        before: query.before,
        actor: query.actor,
        since: query.since,
        until: query.until,
        operation: query.operation.map(OperationId::from),
        text: query.text,
        limit: query.limit.unwrap_or(RECORDS),
        newest: query.order == Order::Newest,
    };
    // The head is read first: it may then be older than the last record, never newer than what a caller could have seen.
    let condition = api.handle.condition();
    let JournalPage { records, next } = api.handle.journal_page(&filter).await.map_err(unreadable)?;
    let (first, seq, hash) = (condition.first, condition.seq, condition.hash);
    let error = condition.error.map(|error| error.to_string());
    Ok(Json(Journal { records, next, head: Head { seq, hash, first, error } }))
}

fn unreadable(detail: String) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "journal", "The journal can't be read", detail)
}

/// Which incident is asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TimelineQuery {
    /// The operation; the service's last incident if absent.
    operation: Option<String>,
}

/// `GET /v1/services/{svc}/timeline`.
pub(super) async fn timeline(
    State(api): State<Arc<Api>>,
    Path(svc): Path<String>,
    query: Result<Query<TimelineQuery>, QueryRejection>,
) -> Result<Json<Timeline>, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let (svc, id) = (ServiceName::from(svc), query.operation);
    match api.handle.timeline(&svc, id.as_deref().map(OperationId::from)).await {
        TimelineReply::Told(timeline) => Ok(Json(*timeline)),
        TimelineReply::UnknownService => Err(Problem::not_found(format!("no service {svc}"))),
        TimelineReply::UnknownOperation => {
            let id = id.unwrap_or_default();
            Err(Problem::not_found(format!(
                "the service {svc} had no operation {id}, or its records are not kept any more"
            )))
        }
        TimelineReply::Failed(detail) => Err(unreadable(detail)),
    }
}
