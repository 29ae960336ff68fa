//! A client that keeps its connection, never repeats a request, and opens another connection only when the server announced that it
//! would close.

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http1, header::CONNECTION};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// What an error says of a write whose fate is open.
const UNKNOWN: &str = "outcome_unknown_exception";

/// An answer, whatever its status.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Null if it isn't JSON.
    pub(super) body: Value,
    pub(super) took: Duration,
}

impl Answer {
    /// The body of an answer that says that everything was done: 2xx, no failed shard, no failed item.
    pub(super) fn good(self) -> Result<Value, String> {
        let whole = self.body["_shards"]["failed"].as_u64().unwrap_or(0) == 0 && self.body["errors"] != true;
        if (200..300).contains(&self.status) && whole { Ok(self.body) } else { Err(self.words()) }
    }

    /// Whether it says that nobody knows what became of the request.
    pub(super) fn is_unknown(&self) -> bool {
        self.body["error"]["type"] == UNKNOWN
    }

    /// Whether it says that nothing is written at present.
    pub(super) fn is_block(&self) -> bool {
        self.body["error"]["type"] == "cluster_block_exception"
    }

    /// In words, for the end.
    pub(super) fn words(&self) -> String {
        let text: String = self.body.to_string().chars().take(300).collect();
        format!("{} {text}", self.status)
    }
}

/// One application's connection.
pub(super) struct Client {
    port: u16,
    sender: Option<http1::SendRequest<Full<Bytes>>>,
}

impl Client {
    /// Connects. Must run inside a `LocalSet`.
    pub(super) async fn connect(port: u16) -> Result<Self, String> {
        let mut client = Self { port, sender: None };
        client.sender = Some(client.open().await?);
        Ok(client)
    }

    async fn open(&self) -> Result<http1::SendRequest<Full<Bytes>>, String> {
        let failed = |error: &dyn std::fmt::Display| format!("connecting: {error}");
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        // Its end is seen by the sender.
        tokio::task::spawn_local(connection);
        Ok(sender)
    }

    /// One request. An error means that no whole answer came.
    pub(super) async fn call(&mut self, method: &str, path: &str, body: impl Into<Bytes>) -> Result<Answer, String> {
        let begin = Instant::now();
        let mut sender = match self.sender.take() {
            Some(sender) => sender,
            None => self.open().await?,
        };
        let kind = if path.contains("_bulk") { "application/x-ndjson" } else { "application/json" };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Host", format!("127.0.0.1:{}", self.port))
            .header("Content-Type", kind)
            .body(Full::new(body.into()))
            .map_err(|error| error.to_string())?;
        let failed = |error: hyper::Error| format!("{method} {path}: {error}");
        sender.ready().await.map_err(failed)?;
        let answer = sender.send_request(request).await.map_err(failed)?;
        let (status, closes) = (answer.status().as_u16(), announces_end(&answer));
        let body = answer.into_body().collect().await.map_err(failed)?.to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        self.sender = (!closes).then_some(sender);
        Ok(Answer { status, body, took: begin.elapsed() })
    }
}

fn announces_end<B>(answer: &hyper::Response<B>) -> bool {
    answer.headers().get(CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}
