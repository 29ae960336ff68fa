//! Groups and sites: how they stand, and orders for all of their services at once.

use super::{
    api::Api,
    body::{APPROACH, Wish, duration, guards, parse, short_enough, wish},
    orders,
    problem::Problem,
};
use crate::{
    control::{GroupConsent, GroupOrder, GroupReply, Of, To},
    model::{
        group::{GroupKind, GroupOperation, GroupView, SiteView},
        guard::{Guard, Refusal},
        operation::{Command, Outcome, Terms},
        person::{Caller, Role},
    },
};
use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

/// Body of a group's `switchover` and of a site's `evacuate`; may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the request")]
pub struct GroupSwitchBody {
    /// The cluster to go to, by a name that every member has; else the first place in order in which each of them may be. Not of a site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The site to go to instead. Not of a site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_site: Option<String>,
    /// Why, in the operator's words.
    pub reason: String,
    /// Only evaluate the guards of all members.
    pub dry_run: bool,
    /// How long to wait for the end, e.g. `30s`; then the answer is 202. Absent, and for a dry run: until it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
    /// How long each member may wait for sessions that can't move and for its candidate, e.g. `30s` (the default).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Cut sessions that can't move instead of refusing.
    pub cut_sessions: bool,
    /// It is done for practice.
    pub rehearsal: bool,
    /// Of a site: what its guards refuse stays, with its whole group, and the rest goes all the same.
    pub partial: bool,
    /// Guards to pass by name, of every member; each is recorded.
    #[serde(rename = "override", skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<String>,
}

/// `GET /v1/groups`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Groups {
    /// In the order of the configuration.
    groups: Vec<GroupView>,
}

/// `GET /v1/sites`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Sites {
    /// In the order of the configuration.
    sites: Vec<SiteView>,
}

/// `GET /v1/groups`.
pub(super) async fn groups(State(api): State<Arc<Api>>) -> Json<Groups> {
    Json(Groups { groups: api.handle.groups() })
}

/// `GET /v1/sites`.
pub(super) async fn sites(State(api): State<Arc<Api>>) -> Json<Sites> {
    Json(Sites { sites: api.handle.sites() })
}

/// `POST /v1/groups/{group}/{action}`.
pub(super) async fn order(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path((group, action)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    caller.may(Role::Operator)?;
    let key = orders::key(&headers, &format!("groups/{group}"), &action, &body)?;
    let (order, wait) = match action.as_str() {
        "switchover" => {
            let (order, wait) = switch(Of::Group(group), parse(&body)?, caller.name)?;
            if order.partial {
                return Err(Problem::bad_request(
                    "partial: the services of a group go together; a site may be left in part",
                ));
            }
            (order, wait)
        }
        "pause" | "resume" | "mode" => each(group, wish(&action, &body)?, caller.name),
        _ => return Err(Problem::not_found(format!("a group has no action {action:?}"))),
    };
    answer(api.handle.order_group(order, wait, key).await)
}

/// `POST /v1/sites/{site}/evacuate`.
pub(super) async fn evacuate(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(site): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    caller.may(Role::Operator)?;
    let key = orders::key(&headers, &format!("sites/{site}"), "evacuate", &body)?;
    let (order, wait) = switch(Of::Site(site), parse(&body)?, caller.name)?;
    if order.to != To::Any {
        return Err(Problem::bad_request("to: each service of a site goes to its own best place elsewhere"));
    }
    answer(api.handle.order_group(order, wait, key).await)
}

/// A second person's word on an operation of several services.
pub(super) async fn consented(api: &Api, consent: GroupConsent, wait: Option<Duration>) -> Result<Response, Problem> {
    answer(api.handle.consent_group(consent, wait).await)
}

fn switch(of: Of, body: GroupSwitchBody, actor: String) -> Result<(GroupOrder, Option<Duration>), Problem> {
    short_enough(&body.reason)?;
    let to = match (body.to, body.to_site) {
        (None, None) => To::Any,
        (Some(cluster), None) => To::Cluster(cluster.into()),
        (None, Some(site)) => To::Site(site),
        (Some(_), Some(_)) => return Err(Problem::bad_request("to_site: give a cluster or a site, not both")),
    };
    let timeout = body.timeout.as_deref().map_or(Ok(APPROACH), |text| duration("timeout", text))?;
    let wait = body.wait.as_deref().map(|text| duration("wait", text)).transpose()?;
    let terms = Terms {
        cut_sessions: body.cut_sessions,
        timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        accept_loss: false,
        overrides: guards(&body.overrides, &body.reason)?,
    };
    let order = GroupOrder {
        of,
        kind: GroupKind::Switchover,
        to,
        dry_run: body.dry_run,
        partial: body.partial,
        terms,
        actor,
        reason: body.reason,
        rehearsal: body.rehearsal,
    };
    Ok((order, wait))
}

/// What is no switch, for each member.
fn each(group: String, wish: Wish, actor: String) -> (GroupOrder, Option<Duration>) {
    let kind = match wish.command {
        Command::Pause(length) => GroupKind::Pause { seconds: length.as_secs().max(1) },
        Command::Mode(mode) => GroupKind::Mode { mode },
        _ => GroupKind::Resume,
    };
    let order = GroupOrder {
        of: Of::Group(group),
        kind,
        to: To::Any,
        dry_run: false,
        partial: false,
        terms: Terms::default(),
        actor,
        reason: wish.reason,
        rehearsal: false,
    };
    (order, wish.wait)
}

fn answer(reply: GroupReply) -> Result<Response, Problem> {
    match reply {
        GroupReply::Ended(operation) => ended(*operation),
        GroupReply::Running(id) => {
            let body = serde_json::json!({ "id": id, "outcome": Outcome::Running, "members": [] });
            Ok((StatusCode::ACCEPTED, Json(body)).into_response())
        }
        GroupReply::Unknown(words) => Err(Problem::not_found(words)),
        GroupReply::KeyReused => Err(Problem::key_reused()),
        GroupReply::Late => Err(Problem::late()),
    }
}

/// Only what was asked for is a success, so that a script that looks at nothing but the status isn't misled.
fn ended(operation: GroupOperation) -> Result<Response, Problem> {
    let conflict = |refusal: &Refusal| matches!(refusal.name, Guard::Busy | Guard::Epoch);
    let internal = StatusCode::INTERNAL_SERVER_ERROR;
    let (status, word, title) = match operation.outcome {
        Outcome::Done => return Ok(Json(operation).into_response()),
        Outcome::Running | Outcome::Waiting => return Ok((StatusCode::ACCEPTED, Json(operation)).into_response()),
        Outcome::Refused if operation.guards.iter().any(conflict) => {
            (StatusCode::CONFLICT, "conflict", "Refused: another operation runs or waits, or an epoch moved")
        }
        Outcome::Refused => (StatusCode::UNPROCESSABLE_ENTITY, "refused", "Refused by guards; nothing changed"),
        Outcome::RolledBack => (internal, "rolled-back", "Failed; every member is where it was"),
        Outcome::Partial => (internal, "partial", "Some members were switched, others weren't; look at each"),
        Outcome::Unknown => (internal, "unknown", "The outcome is unknown; look at each member"),
    };
    Err(Problem::of_group(status, word, title, operation))
}
