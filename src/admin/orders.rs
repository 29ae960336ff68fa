//! POST on a service: an order to control, and what its answer is in HTTP.

use super::{
    api::Api,
    body::{Wish, wish},
    problem::Problem,
};
use crate::{
    control::{Key, OrderReply},
    model::{
        guard::Guard,
        name::{OperationId, ServiceName},
        operation::{Operation, Order, Outcome},
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
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{fmt::Write, sync::Arc};

/// The header that makes a request safe to repeat.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The longest key.
const LONGEST_KEY: usize = 255;

/// The body of a 202: an order that was taken and has not ended.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub(super) enum Taken {
    /// It runs on; `GET /v1/operations/{id}` tells how it ends.
    Running {
        /// Of the operation.
        #[schema(value_type = String)]
        id: OperationId,
        /// The service.
        #[schema(value_type = String)]
        svc: ServiceName,
        /// `running`.
        outcome: Outcome,
    },
    /// The operation as it stands: it waits for a second person.
    Waiting(Box<Operation>),
}

/// `POST /v1/services/{svc}/{action}`.
pub(super) async fn order(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path((svc, action)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    caller.may(Role::Operator)?;
    let Wish { command, reason, if_epoch, overrides, wait, rehearsal } = wish(&action, &body)?;
    let key = key(&headers, &svc, &action, &body)?;
    let svc = ServiceName::from(svc);
    let order = Order { if_epoch, overrides, rehearsal, ..Order::new(command, caller.name, reason) };
    answer(&svc, api.handle.order(&svc, order, wait, key).await)
}

/// The key of a request, and the digest by which another request under the same key is told apart.
pub(super) fn key(headers: &HeaderMap, of: &str, action: &str, body: &[u8]) -> Result<Option<Key>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| !key.is_empty() && key.len() <= LONGEST_KEY);
    let key = key
        .ok_or_else(|| Problem::bad_request(format!("Idempotency-Key: 1 to {LONGEST_KEY} visible ASCII characters")))?;
    let mut hash = Sha256::new();
    hash.update(format!("{of}\n{action}\n"));
    hash.update(body);
    let mut digest = String::with_capacity(64);
    for byte in hash.finalize() {
        // Writing to a String can't fail.
        let _ = write!(digest, "{byte:02x}");
    }
    Ok(Some(Key { key: key.to_owned(), digest }))
}

/// What came of an order, in HTTP.
pub(super) fn answer(svc: &ServiceName, reply: OrderReply) -> Result<Response, Problem> {
    match reply {
        OrderReply::Ended(operation) => ended(*operation),
        OrderReply::Running(id) => {
            let taken = Taken::Running { id, svc: svc.clone(), outcome: Outcome::Running };
            Ok((StatusCode::ACCEPTED, Json(taken)).into_response())
        }
        OrderReply::UnknownService => Err(Problem::not_found(format!("no service {svc}"))),
        OrderReply::UnknownCluster(cluster) => {
            Err(Problem::not_found(format!("the service {svc} has no cluster {cluster}")))
        }
        OrderReply::KeyReused => Err(Problem::key_reused()),
        OrderReply::Late => Err(Problem::late()),
    }
}

/// Only what was asked for is a success, so that a script that looks at nothing but the status isn't misled.
fn ended(operation: Operation) -> Result<Response, Problem> {
    let conflict = |refusal: &crate::model::guard::Refusal| matches!(refusal.name, Guard::Busy | Guard::Epoch);
    let internal = StatusCode::INTERNAL_SERVER_ERROR;
    let (status, word, title) = match operation.outcome {
        Outcome::Done => return Ok(Json(operation).into_response()),
        Outcome::Running | Outcome::Waiting => {
            return Ok((StatusCode::ACCEPTED, Json(Taken::Waiting(Box::new(operation)))).into_response());
        }
        Outcome::Refused if operation.guards.iter().any(conflict) => {
            (StatusCode::CONFLICT, "conflict", "Refused: another operation runs or waits, or the epoch moved")
        }
        Outcome::Refused => (StatusCode::UNPROCESSABLE_ENTITY, "refused", "Refused by guards; nothing changed"),
        Outcome::RolledBack => (internal, "rolled-back", "Failed and rolled back; the old route serves"),
        Outcome::Partial => (internal, "partial", "Partly done; look at the service"),
        Outcome::Unknown => (internal, "unknown", "The outcome is unknown; look at the service"),
    };
    Err(Problem::of_operation(status, word, title, operation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{guard::Refusal, route::Epoch};

    fn operation(outcome: Outcome, guards: Vec<Refusal>) -> OrderReply {
        OrderReply::Ended(Box::new(Operation {
            from: Some("main".into()),
            to: Some("spare".into()),
            epoch_before: Epoch(3),
            actor: "uid:0".into(),
            guards,
            outcome,
            ..Operation::begun("op-9", "cart", "switchover")
        }))
    }

    fn status(reply: OrderReply) -> u16 {
        match answer(&"cart".into(), reply) {
            Ok(response) => response.status().as_u16(),
            Err(problem) => problem.status,
        }
    }

    #[test]
    fn the_status_tells_the_truth() {
        let refusal = |guard| vec![Refusal::new(guard, "because")];
        let table = [
            (operation(Outcome::Done, vec![]), 200),
            (operation(Outcome::Running, vec![]), 202),
            (operation(Outcome::Waiting, vec![]), 202),
            (operation(Outcome::Refused, refusal(Guard::Busy)), 409),
            (operation(Outcome::Refused, refusal(Guard::Epoch)), 409),
            (operation(Outcome::Refused, refusal(Guard::Lag)), 422),
            (operation(Outcome::RolledBack, vec![]), 500),
            (operation(Outcome::Partial, vec![]), 500),
            (operation(Outcome::Unknown, vec![]), 500),
            (OrderReply::Running("op-1".into()), 202),
            (OrderReply::UnknownService, 404),
            (OrderReply::UnknownCluster("x".into()), 404),
            (OrderReply::KeyReused, 422),
            (OrderReply::Late, 503),
        ];
        for (reply, expected) in table {
            let shown = format!("{reply:?}");
            assert_eq!(status(reply), expected, "{shown}");
        }
    }

    #[test]
    fn a_refusal_names_its_guards_and_its_operation() {
        let reply = operation(Outcome::Refused, vec![Refusal::new(Guard::Lag, "spare is 12 s behind")]);
        let problem = answer(&"cart".into(), reply).expect_err("refused");
        let json = serde_json::to_value(&problem).expect("a problem is JSON");
        assert_eq!(json["guards"][0], serde_json::json!({"name": "lag", "detail": "spare is 12 s behind"}));
        assert_eq!(
            (json["operation"]["id"].as_str(), json["detail"].as_str()),
            (Some("op-9"), Some("spare is 12 s behind"))
        );
    }

    #[test]
    fn a_key_tells_requests_apart() {
        let mut headers = HeaderMap::new();
        assert_eq!(key(&headers, "cart", "pause", b"{}"), Ok(None));
        headers.insert(IDEMPOTENCY_KEY, "k1".parse().expect("a header"));
        let one = key(&headers, "cart", "pause", b"{}").expect("valid").expect("there");
        let two = key(&headers, "cart", "resume", b"{}").expect("valid").expect("there");
        assert_eq!((one.key.as_str(), one.digest.len()), ("k1", 64));
        assert_ne!(one.digest, two.digest);
        headers.insert(IDEMPOTENCY_KEY, "k".repeat(256).parse().expect("a header"));
        assert!(key(&headers, "cart", "pause", b"{}").is_err());
    }
}
