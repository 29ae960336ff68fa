//! `GET /v1/whoami` and `GET /v1/people`: who asks, who may do what, and when each was last here.

use super::api::Api;
use crate::model::person::{Caller, Role, Way};
use axum::{Extension, Json, extract::State};
use jiff::Timestamp;
use serde::Serialize;
use std::sync::Arc;

/// `GET /v1/people`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct People {
    /// In the order of the configuration. Root and Pointsman's own user are operators without standing here.
    people: Vec<PersonView>,
}

/// One of `[[admin.people]]`. Never a token, nor its hash.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PersonView {
    name: String,
    role: Role,
    uid: Option<u32>,
    gid: Option<u32>,
    /// Whether they have a token.
    token: bool,
    /// Their last request since Pointsman started.
    last_used: Option<Timestamp>,
    /// How they came then.
    via: Option<Way>,
}

/// Who asks.
pub(super) async fn whoami(Extension(caller): Extension<Caller>) -> Json<Caller> {
    Json(caller)
}

/// Everybody who is named.
pub(super) async fn people(State(api): State<Arc<Api>>) -> Json<People> {
    let config = api.handle.configuration();
    let people = config.admin.people.iter().map(|person| {
        let last = api.visitors.last_use(&person.name);
        PersonView {
            name: person.name.clone(),
            role: person.role,
            uid: person.uid,
            gid: person.gid,
            token: !person.tokens.is_empty(),
            last_used: last.map(|last| last.at),
            via: last.map(|last| last.via),
        }
    });
    Json(People { people: people.collect() })
}
