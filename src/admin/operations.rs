//! Operations: the list, one by its id, and a second person's word on one that waits.

use super::{
    api::Api,
    body::{ConsentBody, consent},
    groups, orders,
    problem::Problem,
};
use crate::{
    control::GroupConsent,
    model::{
        group::GroupOperation,
        name::{OperationId, ServiceName},
        operation::{Command, Operation, Order},
        person::{Caller, Role},
    },
};
use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How many operations are listed when the request doesn't say.
const OPERATIONS: usize = 50;
/// The most that are.
const MOST: usize = 1000;

/// Filters of `GET /v1/operations`.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OperationsQuery {
    /// Only of this service.
    svc: Option<String>,
    /// At most so many; 50 if absent, 1000 at most.
    limit: Option<usize>,
}

/// `GET /v1/operations`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Operations {
    /// What runs or waits first, then what ended, each newest first.
    operations: Vec<Operation>,
    /// Those of groups and sites, in the same order; none where one service is asked for.
    group_operations: Vec<GroupOperation>,
}

/// `GET /v1/operations`.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    query: Result<Query<OperationsQuery>, QueryRejection>,
) -> Result<Json<Operations>, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let svc = query.svc.map(ServiceName::from);
    if let Some(name) = svc.as_ref().filter(|name| api.handle.service(name).is_none()) {
        return Err(Problem::not_found(format!("no service {name}")));
    }
    let limit = query.limit.unwrap_or(OPERATIONS).min(MOST);
    let mut group_operations = if svc.is_none() { api.handle.group_operations() } else { Vec::new() };
    group_operations.truncate(limit);
    Ok(Json(Operations { operations: api.handle.operations(svc.as_ref(), limit), group_operations }))
}

/// `GET /v1/operations/{id}`: of one service, or of several.
pub(super) async fn one(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = OperationId::from(id);
    if let Some(operation) = api.handle.group_operation(&id) {
        return Ok(Json(operation).into_response());
    }
    let operation = api.handle.operation(&id).await.ok_or_else(|| unknown(&id))?;
    Ok(Json(operation).into_response())
}

/// `POST /v1/operations/{id}/approve` and `/withdraw`. The one who asked may withdraw, and whoever may approve.
pub(super) async fn consented(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path((id, action)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let needed = if action == "approve" { Role::Approver } else { Role::Operator };
    caller.may(needed)?;
    let (ConsentBody { reason, .. }, wait) = consent(&action, &body)?;
    let key = orders::key(&headers, &id, &action, &body)?;
    let id = OperationId::from(id);
    let may_withdraw = |actor: &str| if actor == caller.name { Ok(()) } else { caller.may(Role::Approver) };
    let approve = action == "approve";
    if let Some(operation) = api.handle.group_operation(&id) {
        may_withdraw(&operation.actor)?;
        let consent = GroupConsent { id, approve, actor: caller.name, reason, key };
        return groups::consented(&api, consent, wait).await;
    }
    let Some(operation) = api.handle.operation(&id).await else { return Err(unknown(&id)) };
    may_withdraw(&operation.actor)?;
    let command = if approve { Command::Approve(id) } else { Command::Withdraw(id) };
    let order = Order::new(command, caller.name, reason);
    orders::answer(&operation.svc, api.handle.order(&operation.svc, order, wait, key).await)
}

fn unknown(id: &OperationId) -> Problem {
    Problem::not_found(format!("no operation {id}"))
}
