//! `GET /v1/events`: what changes, as Server-Sent Events that resume after `Last-Event-ID`.
//!
//! A watcher is a place in control's ring and a connection: it holds no event, so that a thousand of them, slow ones among them, need
//! no more memory than their connections. Each event is written once, and what comes at once is joined once for a row. Watchers sit in
//! rows, which are woken one after the other with a rest after each, so that following costs the machine little whatever happens, and
//! never much at once: what a thousand of them take from the data path is spread as thinly as a second allows.

use super::{
    api::Api,
    identity::{self, Proof},
    problem::Problem,
    visitors::Stream,
};
use crate::{
    config::Config,
    control::{Event, Follower, Handle, Next},
    model::person::Caller,
    telemetry::{Denial, Metrics},
};
use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{FutureExt, stream};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::AbortHandle,
    time::{sleep, timeout},
};

/// How many event streams there may be at once.
pub(super) const STREAMS: usize = 1024;
/// A line that says nothing, so that whoever is in between doesn't think the connection dead.
const ALIVE: Bytes = Bytes::from_static(b": alive\n\n");
/// How often it comes when nothing else does.
const QUIET: Duration = Duration::from_secs(15);
/// Tells a watcher that events are gone that it didn't see: it should read the services anew.
const GAP: Bytes = Bytes::from_static(b"event: gap\ndata: {}\n\n");
/// Comes first: how soon a browser connects again, in milliseconds.
const RETRY: Bytes = Bytes::from_static(b"retry: 1000\n\n");
/// How many rows there are: with all places taken, sixteen watchers sit in each.
const ROWS: usize = 64;
/// The rest after each watcher that was woken: a thousand are all woken within a second.
const REST_EACH: Duration = Duration::from_micros(800);

/// All watchers: their places, and what wakes them.
pub(super) struct Watchers {
    places: Arc<Semaphore>,
    rows: Arc<[watch::Sender<()>; ROWS]>,
    pacer: AbortHandle,
}

impl Watchers {
    /// Starts to wake watchers. Must be called within a tokio runtime.
    pub(super) fn start(handle: &Handle) -> Self {
        let rows = Arc::new(std::array::from_fn(|_| watch::Sender::new(())));
        // One task follows control and wakes the others from this side, so that a thousand watchers cost control one wake-up.
        let pacer = tokio::spawn(wake_in_rows(handle.follow(None), rows.clone()));
        Self { places: Arc::new(Semaphore::new(STREAMS)), rows, pacer: pacer.abort_handle() }
    }

    /// A seat in the emptiest row. Whoever takes it looks at what happened before waiting to be woken.
    fn seat(&self) -> Option<watch::Receiver<()>> {
        self.rows.iter().min_by_key(|row| row.receiver_count()).map(watch::Sender::subscribe)
    }
}

/// Wakes row after row for as long as there is one that wasn't woken since the newest event.
async fn wake_in_rows(mut follower: Follower, rows: Arc<[watch::Sender<()>; ROWS]>) {
    let (mut behind, mut places) = (0, (0..ROWS).cycle());
    loop {
        if behind == 0 && !follower.changed().await {
            return;
        }
        if behind == 0 || follower.changed().now_or_never() == Some(true) {
            behind = ROWS;
        }
        behind -= 1;
        let Some(row) = places.next().and_then(|place| rows.get(place)) else { return };
        let watching = u32::try_from(row.receiver_count()).unwrap_or(u32::MAX);
        if watching > 0 {
            row.send_replace(());
            sleep(REST_EACH * watching).await;
        }
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.pacer.abort();
    }
}

/// One watcher.
struct Watcher {
    follower: Follower,
    woken: watch::Receiver<()>,
    caller: Caller,
    proof: Proof,
    /// The configuration in which the caller was last found.
    config: Arc<Config>,
    api: Arc<Api>,
    begun: bool,
    _gauge: Gauge,
    _places: (OwnedSemaphorePermit, Stream),
}

/// Streams events: `service`, `operation`, `group` and `journal`, and `gap` where some are lost.
pub(super) async fn stream(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Extension(proof): Extension<Proof>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = match headers.get("last-event-id") {
        None => None,
        Some(value) => {
            let id = value.to_str().ok().and_then(|text| text.parse().ok());
            Some(id.ok_or_else(|| Problem::bad_request("Last-Event-ID: a number that an event carried"))?)
        }
    };
    let full = || {
        api.metrics.denied(Denial::Streams);
        let detail = "close one, or ask /v1/services from time to time";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "streams", "Too many event streams", detail)
    };
    let place = api.watchers.places.clone().try_acquire_owned().map_err(|_| full())?;
    let places = (place, api.visitors.stream(&caller.name).ok_or_else(full)?);
    let woken = api.watchers.seat().ok_or_else(full)?;
    let watcher = Watcher {
        // After the seat was taken, so that nothing happens in between unseen.
        follower: api.handle.follow(last),
        woken,
        caller,
        proof,
        config: api.handle.configuration(),
        begun: false,
        _gauge: Gauge::new(&api.metrics),
        _places: places,
        api,
    };
    let events = stream::unfold(watcher, async |mut watcher| {
        let bytes = watcher.next().await?;
        Some((Ok::<_, Infallible>(bytes), watcher))
    });
    let about = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((about, Body::from_stream(events)).into_response())
}

impl Watcher {
    /// What to send next. Asked only when the connection took what came before.
    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.begun, true) {
            return Some(RETRY);
        }
        loop {
            if !self.is_still_known() {
                return None;
            }
            match self.follower.next(write) {
                Next::Events(bytes) => return Some(bytes),
                Next::Gap => {
                    self.api.metrics.stream_gap();
                    return Some(GAP);
                }
                Next::Nothing => {}
            }
            match timeout(QUIET, self.woken.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some(ALIVE),
            }
        }
    }

    /// A reload may have taken the token away, or given it to another.
    fn is_still_known(&mut self) -> bool {
        let config = self.api.handle.configuration();
        if Arc::ptr_eq(&config, &self.config) {
            return true;
        }
        let now = identity::who(&config.admin, &self.proof, self.api.own);
        self.config = config;
        now.is_some_and(|now| now.name == self.caller.name)
    }
}

/// Counts a stream for as long as it lives.
struct Gauge(Metrics);

impl Gauge {
    fn new(metrics: &Metrics) -> Self {
        metrics.streams(1);
        Self(metrics.clone())
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.0.streams(-1);
    }
}

fn write(id: u64, event: &Event) -> Bytes {
    let (name, json) = match event {
        Event::Service(view) => ("service", serde_json::to_string(&**view)),
        Event::Operation(operation) => ("operation", serde_json::to_string(&**operation)),
        Event::Group(view) => ("group", serde_json::to_string(&**view)),
        Event::Journal(record) => ("journal", serde_json::to_string(&**record)),
    };
    match json {
        // JSON as it is written here has no line breaks.
        Ok(json) => format!("id: {id}\nevent: {name}\ndata: {json}\n\n").into(),
        // These types serialise always (no maps with odd keys); if one day one doesn't, the watcher reads anew.
        Err(_) => GAP,
    }
}
