//! `application/problem+json` (RFC 9457): what every error of the API looks like.

use crate::model::{group::GroupOperation, guard::Refusal, operation::Operation, person::TooLittle};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

/// The Content-Type of every error.
pub const PROBLEM: &str = "application/problem+json";

/// An error as a client sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// A stable name of the sort of error: `urn:pointsman:` and a word.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub kind: Box<str>,
    /// The sort of error in words.
    #[schema(value_type = String)]
    pub title: Box<str>,
    /// The HTTP status again.
    pub status: u16,
    /// What happened this time and what can be done.
    pub detail: String,
    /// The guards that refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<Refusal>,
    /// One line a problem of a configuration that was turned down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// The operation that ended badly, whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Box<Operation>>,
    /// The operation of several services that ended badly, whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_operation: Option<Box<GroupOperation>>,
}

impl Problem {
    /// An error with a stable word, its title and what happened.
    pub fn new(status: StatusCode, word: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:pointsman:{word}").into(),
            title: title.into(),
            status: status.as_u16(),
            detail: detail.into(),
            guards: Vec::new(),
            problems: Vec::new(),
            operation: None,
            group_operation: None,
        }
    }

    /// 400: the request can't be understood.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request is not valid", detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    /// 403: it is known who asks, and they may not.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail)
    }

    /// 422: the key came before with something else.
    pub fn key_reused() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "key-reused",
            "The idempotency key was used for another request",
            "take a new key, or repeat the first request unchanged",
        )
    }

    /// 503: control said nothing.
    pub fn late() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "late",
            "No answer from control in time",
            "it is not known whether the order will run: look at the journal and the service's state",
        )
    }

    /// An operation of several services that ended otherwise than asked for.
    pub fn of_group(status: StatusCode, word: &str, title: &str, operation: GroupOperation) -> Self {
        let detail = if operation.detail.is_empty() {
            operation.guards.iter().map(|refusal| refusal.detail.as_str()).collect::<Vec<_>>().join("; ")
        } else {
            operation.detail.clone()
        };
        let guards = operation.guards.clone();
        Self { guards, group_operation: Some(Box::new(operation)), ..Self::new(status, word, title, detail) }
    }

    /// An operation that ended otherwise than asked for.
    pub fn of_operation(status: StatusCode, word: &str, title: &str, operation: Operation) -> Self {
        let detail = if operation.detail.is_empty() {
            operation.guards.iter().map(|refusal| refusal.detail.as_str()).collect::<Vec<_>>().join("; ")
        } else {
            operation.detail.clone()
        };
        Self {
            guards: operation.guards.clone(),
            operation: Some(Box::new(operation)),
            ..Self::new(status, word, title, detail)
        }
    }
}

impl From<TooLittle> for Problem {
    fn from(why: TooLittle) -> Self {
        Self::forbidden(why.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        response
    }
}
