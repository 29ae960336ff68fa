//! `GET /v1/events`: what changes, as Server-Sent Events that resume after `Last-Event-ID`.

use super::{api::Api, problem::Problem};
use crate::control::{Event, Numbered, Subscription};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::stream::{self, StreamExt};
use std::{convert::Infallible, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, broadcast::error::RecvError};

/// Tells a follower that events are gone: it should read the services anew.
const GAP: &str = "gap";

/// Streams events: `service`, `operation` and `journal`, and `gap` where some are lost.
pub(super) async fn stream(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, Problem> {
    let permit = Arc::clone(&api.streams).try_acquire_owned().map_err(|_| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "streams",
            "Too many event streams",
            "close one, or ask /v1/services from time to time",
        )
    })?;
    let last = match headers.get("last-event-id") {
        None => None,
        Some(value) => {
            let id = value.to_str().ok().and_then(|text| text.parse().ok());
            Some(id.ok_or_else(|| Problem::bad_request("Last-Event-ID: a number that an event carried"))?)
        }
    };
    let Subscription { gap, missed, live } = api.handle.events(last);
    let first = gap.then(gap_event).into_iter().chain(missed.iter().map(event)).collect::<Vec<_>>();
    let live = stream::unfold((live, permit), |(mut live, permit): (_, OwnedSemaphorePermit)| async move {
        let next = match live.recv().await {
            Ok(numbered) => event(&numbered),
            Err(RecvError::Lagged(_)) => gap_event(),
            Err(RecvError::Closed) => return None,
        };
        Some((next, (live, permit)))
    });
    let events = stream::iter(first).chain(live).map(Ok::<_, Infallible>);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

fn gap_event() -> sse::Event {
    sse::Event::default().event(GAP).data("{}")
}

fn event(numbered: &Numbered) -> sse::Event {
    let (name, json) = match &numbered.event {
        Event::Service(view) => ("service", serde_json::to_string(&**view)),
        Event::Operation(operation) => ("operation", serde_json::to_string(&**operation)),
        Event::Journal(record) => ("journal", serde_json::to_string(&**record)),
    };
    match json {
        Ok(json) => sse::Event::default().id(numbered.id.to_string()).event(name).data(json),
        // These types serialise always (no maps with odd keys); if one day one doesn't, the follower reads anew.
        Err(_) => gap_event(),
    }
}
