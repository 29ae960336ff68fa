//! `/openapi.json`: what the API takes and gives, from the types themselves.
//!
//! The functions below exist for their attributes; a test compares the paths with those of the router.

#![expect(dead_code, reason = "utoipa reads the attributes of functions that nobody calls")]

use super::{
    api::Services,
    body::{ConsentBody, ModeBody, NamedBody, PauseBody, ResumeBody, SwitchBody},
    groups::{GroupSwitchBody, Groups, Sites},
    journal::{Journal, JournalQuery, TimelineQuery},
    operations::{Operations, OperationsQuery},
    orders::Taken,
    people::People,
    problem::{PROBLEM, Problem},
};
use crate::{
    config::JSON_SCHEMA,
    model::{
        group::GroupOperation,
        operation::Operation,
        person::Caller,
        timeline::Timeline,
        view::{Rebuild, ServiceView},
    },
};
use axum::{Json, http::header, response::IntoResponse};
use utoipa::{
    OpenApi,
    openapi::{
        RefOr,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

/// Answers with the document.
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}

/// Answers with the JSON schema of the configuration, for editors.
pub(super) async fn schema() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/schema+json")], JSON_SCHEMA)
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Pointsman",
        description = "Operators' API. Reading is GET, every change is POST. Errors are application/problem+json. On the Unix socket the \
                       kernel says who asks; over TCP a token does. Every path may answer 400 (a header), 401 (unknown caller), 403 \
                       (not allowed), 421 (a host that isn't ours) and 429 (too often)."
    ),
    paths(
        services, service, rebuild, timeline, operations, operation, approve, withdraw, groups, sites, group_switchover,
        group_pause, group_resume, group_mode, evacuate, journal, events, config, reload, switchover, failover, pause,
        resume, mode, drain, restore, whoami, people, this, configuration_schema
    ),
    modifiers(&Tokens, &Problems),
    security((), ("token" = []))
)]
struct Document;

/// Says how a caller proves who they are.
struct Tokens;

impl utoipa::Modify for Tokens {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        document.components.get_or_insert_default().add_security_scheme("token", bearer);
    }
}

/// Gives every error its Content-Type: what isn't a success is a problem.
struct Problems;

impl utoipa::Modify for Problems {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let items = document.paths.paths.values_mut();
        let operations = items.flat_map(|item| [&mut item.get, &mut item.post].into_iter().flatten());
        for (status, response) in operations.flat_map(|operation| operation.responses.responses.iter_mut()) {
            if let (false, RefOr::T(response)) = (status.starts_with('2'), response)
                && let Some(content) = response.content.shift_remove("application/json")
            {
                response.content.insert(PROBLEM.to_owned(), content);
            }
        }
    }
}

#[utoipa::path(get, path = "/openapi.json", responses((status = 200, description = "This document", body = Object)))]
fn this() {}

#[utoipa::path(get, path = "/schema.json", responses((status = 200, description = "The JSON schema of the configuration, for editors",
    content_type = "application/schema+json", body = Object)))]
fn configuration_schema() {}

#[utoipa::path(get, path = "/v1/services", responses((status = 200, body = Services)))]
fn services() {}

#[utoipa::path(get, path = "/v1/services/{svc}", params(("svc" = String, Path)),
    responses((status = 200, body = ServiceView), (status = 404, body = Problem)))]
fn service() {}

#[utoipa::path(get, path = "/v1/services/{svc}/nodes/{node}/rebuild",
    params(("svc" = String, Path), ("node" = String, Path)),
    responses((status = 200, body = Rebuild), (status = 404, body = Problem),
        (status = 422, description = "It need not be rebuilt, or can't be asked", body = Problem), (status = 503, body = Problem)))]
fn rebuild() {}

#[utoipa::path(get, path = "/v1/services/{svc}/timeline", params(("svc" = String, Path), TimelineQuery),
    responses((status = 200, description = "An incident, moment by moment", body = Timeline), (status = 400, body = Problem),
        (status = 404, body = Problem)))]
fn timeline() {}
#[utoipa::path(get, path = "/v1/operations", params(OperationsQuery),
    responses((status = 200, body = Operations), (status = 400, body = Problem), (status = 404, body = Problem)))]
fn operations() {}

#[utoipa::path(get, path = "/v1/operations/{id}", params(("id" = String, Path)),
    responses((status = 200, description = "Of one service, or of several (with `members`)", body = AnyOperation),
        (status = 404, body = Problem)))]
fn operation() {}

/// What one id may name.
#[derive(serde::Serialize, utoipa::ToSchema)]
#[serde(untagged)]
enum AnyOperation {
    #[schema(title = "of one service")]
    One(Box<Operation>),
    #[schema(title = "of several services")]
    Several(Box<GroupOperation>),
}

#[utoipa::path(get, path = "/v1/groups", responses((status = 200, body = Groups)))]
fn groups() {}

#[utoipa::path(get, path = "/v1/sites", responses((status = 200, body = Sites)))]
fn sites() {}

#[utoipa::path(get, path = "/v1/journal", params(JournalQuery),
    responses((status = 200, body = Journal), (status = 400, body = Problem)))]
fn journal() {}

#[utoipa::path(get, path = "/v1/events", params(("Last-Event-ID" = Option<u64>, Header)),
    responses((status = 200, description = "Server-Sent Events: service, operation, group, journal; gap where some are lost",
        content_type = "text/event-stream", body = String)))]
fn events() {}

#[utoipa::path(get, path = "/v1/config", responses((status = 200, description = "The configuration in force", body = Object)))]
fn config() {}

#[utoipa::path(get, path = "/v1/whoami", responses((status = 200, body = Caller)))]
fn whoami() {}

#[utoipa::path(get, path = "/v1/people", responses((status = 200, body = People)))]
fn people() {}

#[utoipa::path(post, path = "/v1/reload",
    responses((status = 200, description = "{\"changes\":[…]}", body = Object), (status = 422, body = Problem)))]
fn reload() {}

/// Declares one action of a service.
macro_rules! action {
    ($name:ident, $path:literal, $body:ty) => {
        action!($name, $path, $body, "svc", Operation);
    };
    ($name:ident, $path:literal, $body:ty, $of:literal, $answer:ty) => {
        #[utoipa::path(post, path = $path, request_body = $body,
            params(($of = String, Path), ("Idempotency-Key" = Option<String>, Header)),
            responses(
                (status = 200, description = "Done, or a dry run that would be", body = $answer),
                (status = 202, description = "Runs on past `wait`, or waits for a second person", body = Taken),
                (status = 400, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
                (status = 409, description = "Another operation runs, or the epoch moved", body = Problem),
                (status = 422, description = "Refused by guards, or the key was used for another request", body = Problem),
                (status = 500, description = "Rolled back, partial or unknown: see `operation.outcome`", body = Problem),
                (status = 503, description = "No answer in time: the outcome is unknown", body = Problem)))]
        fn $name() {}
    };
}

action!(switchover, "/v1/services/{svc}/switchover", SwitchBody);
action!(failover, "/v1/services/{svc}/failover", SwitchBody);
action!(pause, "/v1/services/{svc}/pause", PauseBody);
action!(resume, "/v1/services/{svc}/resume", ResumeBody);
action!(mode, "/v1/services/{svc}/mode", ModeBody);
action!(drain, "/v1/services/{svc}/drain", NamedBody);
action!(restore, "/v1/services/{svc}/restore", NamedBody);
action!(approve, "/v1/operations/{id}/approve", ConsentBody, "id", AnyOperation);
action!(withdraw, "/v1/operations/{id}/withdraw", ConsentBody, "id", AnyOperation);
action!(group_switchover, "/v1/groups/{group}/switchover", GroupSwitchBody, "group", GroupOperation);
action!(group_pause, "/v1/groups/{group}/pause", PauseBody, "group", GroupOperation);
action!(group_resume, "/v1/groups/{group}/resume", ResumeBody, "group", GroupOperation);
action!(group_mode, "/v1/groups/{group}/mode", ModeBody, "group", GroupOperation);
action!(evacuate, "/v1/sites/{site}/evacuate", GroupSwitchBody, "site", GroupOperation);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_path_and_the_contracts_fields() {
        let document = serde_json::to_value(Document::openapi()).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        assert_eq!(paths.len(), 30, "{:?}", paths.keys());
        for action in ["switchover", "failover", "pause", "resume", "mode", "drain", "restore"] {
            assert!(paths[&format!("/v1/services/{{svc}}/{action}")]["post"]["requestBody"].is_object(), "{action}");
        }
        let schemas = &document["components"]["schemas"];
        for field in ["to", "reason", "dry_run", "if_epoch", "wait", "cut_sessions", "accept_loss", "override"] {
            assert!(schemas["SwitchBody"]["properties"][field].is_object(), "{field}");
        }
        for field in ["switchover_ready", "read_route"] {
            assert!(schemas["ServiceView"]["properties"][field].is_object(), "{field}");
        }
        assert!(schemas["Operation"]["properties"]["client_stall_ms"].is_object());
        assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
        assert!(schemas["Change"].is_object() && schemas["Problem"].is_object());
    }
}
