//! Answers of Pointsman's own, in the form of the servers' errors.
//!
//! The status is what clients decide by: opensearch-py, elasticsearch-py, elasticsearch-js and both Go clients send a request again
//! after 502, 503 and 504, and after a connection that was closed, whatever its method. So a request that certainly wasn't
//! executed, or only reads, is answered with 503, and one whose outcome is unknown with 500, which none of them repeats.

use std::io::Write as _;

use super::api::{Request, Retry};
use super::cursor::Mixed;
use crate::model::route::Mode;
use crate::protocol::http::{BadChunk, BadHead};

/// An error: what the servers would say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// `error.type`: the servers' own where they have one for it.
    pub kind: &'static str,
    /// `error.reason`, for people.
    pub reason: String,
    /// `Retry-After`, in seconds, where the status is 503.
    pub retry_after: Option<u32>,
}

/// How a refusal is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Form {
    /// The request was a HEAD: the body is left out, its length is not.
    pub head: bool,
    /// This is the last answer on the connection.
    pub close: bool,
    /// `X-Elastic-Product: Elasticsearch`, which the product's clients ask for, is sent because the cluster's nodes send it.
    pub product: bool,
}

const fn refusal(status: u16, kind: &'static str, reason: String) -> Refusal {
    Refusal { status, kind, reason, retry_after: if status == 503 { Some(1) } else { None } }
}

impl Refusal {
    /// What the mode of the route forbids: `None` if the request may go on, or has to wait (`Mode::Hold`).
    pub fn by_mode(service: &str, mode: Mode, request: &Request) -> Option<Self> {
        match mode {
            Mode::Open | Mode::Hold => None,
            Mode::ReadOnly => request.changes.then(|| blocked(403, "FORBIDDEN", service, "is read_only")),
            Mode::Closed => Some(blocked(503, "SERVICE_UNAVAILABLE", service, "is closed")),
        }
    }

    /// Held for `hold_timeout`.
    pub fn held_too_long(service: &str) -> Self {
        blocked(503, "SERVICE_UNAVAILABLE", service, "was held for longer than hold_timeout")
    }

    /// No route is known.
    pub fn no_route(service: &str) -> Self {
        blocked(503, "SERVICE_UNAVAILABLE", service, "has no route yet")
    }

    /// No node took the request: it wasn't executed.
    pub fn not_sent(cluster: &str) -> Self {
        refusal(
            503,
            "no_node_available_exception",
            format!("no node of cluster [{cluster}] took the request; it was not executed"),
        )
    }

    /// The answer was lost, and the request can't be sent again from here. What only reads may be asked again by the client.
    pub fn lost(cluster: &str, request: &Request) -> Self {
        if request.changes || request.retry == Retry::Never {
            let reason =
                format!("the answer of cluster [{cluster}] was lost: the request may or may not have been executed");
            return refusal(500, "outcome_unknown_exception", reason);
        }
        refusal(503, "no_node_available_exception", format!("the answer of cluster [{cluster}] was lost"))
    }

    /// The cursor's cluster isn't configured any more, or is gone.
    pub fn cursor_gone(cluster: &str) -> Self {
        let reason = format!("No search context found: it belongs to cluster [{cluster}], which is not available");
        refusal(404, "search_context_missing_exception", reason)
    }

    /// A body that may hold the id of a cursor, in a coding that isn't known, or that isn't in the coding it says.
    pub fn undecodable_cursor() -> Self {
        let reason =
            "ids of cursors can't be read in this body; send it with gzip, deflate, or no Content-Encoding".to_owned();
        refusal(415, "illegal_argument_exception", reason)
    }

    /// A body that holds ids of cursors and is longer than [`super::cursor::MAX_BODY`].
    pub fn cursor_body_too_long() -> Self {
        let reason = format!("a body with ids of cursors is longer than {} bytes", super::cursor::MAX_BODY);
        refusal(413, "illegal_argument_exception", reason)
    }

    /// Nothing, or not all of a head, came in time.
    pub fn too_slow() -> Self {
        refusal(408, "request_timeout_exception", "the request did not come in time".to_owned())
    }

    /// Appends the whole answer, head and body.
    pub fn write(&self, out: &mut Vec<u8>, form: &Form) {
        let error = serde_json::json!({ "type": self.kind, "reason": self.reason });
        let mut error_with_root = error.clone();
        error_with_root["root_cause"] = serde_json::json!([error]);
        let body = serde_json::json!({ "error": error_with_root, "status": self.status }).to_string();
        let _ = write!(out, "HTTP/1.1 {} {}\r\n", self.status, phrase(self.status));
        if form.product {
            out.extend_from_slice(b"X-Elastic-Product: Elasticsearch\r\n");
        }
        if let Some(seconds) = self.retry_after {
            let _ = write!(out, "Retry-After: {seconds}\r\n");
        }
        if form.close {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        let _ = write!(out, "Content-Type: application/json; charset=UTF-8\r\nContent-Length: {}\r\n\r\n", body.len());
        if !form.head {
            out.extend_from_slice(body.as_bytes());
        }
    }
}

impl From<BadHead> for Refusal {
    /// To be followed by the end of the connection.
    fn from(error: BadHead) -> Self {
        let (status, kind) = match error {
            BadHead::LineTooLong(_) => (400, "too_long_http_line_exception"),
            BadHead::HeaderTooLong(_) | BadHead::HeadTooLong(_) => (400, "too_long_http_header_exception"),
            BadHead::Expectation => (417, "illegal_argument_exception"),
            _ => (400, "illegal_argument_exception"),
        };
        refusal(status, kind, error.to_string())
    }
}

impl From<BadChunk> for Refusal {
    /// To be followed by the end of the connection.
    fn from(error: BadChunk) -> Self {
        refusal(400, "illegal_argument_exception", error.to_string())
    }
}

impl From<Mixed> for Refusal {
    fn from(_: Mixed) -> Self {
        let reason = "the ids of one request belong to different clusters; send one request for each".to_owned();
        refusal(400, "illegal_argument_exception", reason)
    }
}

/// In the words of a block of the cluster, which people know.
fn blocked(status: u16, level: &str, service: &str, what: &str) -> Refusal {
    refusal(status, "cluster_block_exception", format!("blocked by: [{level}/pointsman/service [{service}] {what}];"))
}

fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        413 => "Request Entity Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        _ => "Service Unavailable",
    }
}

#[cfg(test)]
mod tests {
    use super::super::api::classify;
    use super::*;
    use crate::protocol::http::{Body, Limits, Method, ResponseHead};

    /// Every refusal there is, so that none is written in a form of its own.
    fn all() -> Vec<Refusal> {
        let write = classify(Method::Post, "/i/_doc", "");
        let search = classify(Method::Get, "/i/_search", "");
        let mut all = vec![
            Refusal::held_too_long("s"),
            Refusal::no_route("s"),
            Refusal::not_sent("east"),
            Refusal::lost("east", &write),
            Refusal::lost("east", &search),
            Refusal::cursor_gone("east"),
            Refusal::undecodable_cursor(),
            Refusal::cursor_body_too_long(),
            Refusal::too_slow(),
            Mixed.into(),
            BadChunk::Size.into(),
        ];
        let heads = [BadHead::LineTooLong(4096), BadHead::HeaderTooLong(8192), BadHead::Expectation, BadHead::Method];
        all.extend(heads.map(Refusal::from));
        all.extend([Mode::ReadOnly, Mode::Closed].iter().filter_map(|mode| Refusal::by_mode("s", *mode, &write)));
        all
    }

    fn written(refusal: &Refusal, form: Form) -> (Vec<u8>, usize) {
        let mut out = Vec::new();
        refusal.write(&mut out, &form);
        let (_, head) = ResponseHead::parse(&out, Method::Get, &Limits::NODE).expect("valid").expect("whole");
        (out, head)
    }

    #[test]
    fn every_refusal_is_an_answer_in_the_servers_form() {
        for refusal in all() {
            let (out, begin) = written(&refusal, Form::default());
            let (head, _) = ResponseHead::parse(&out, Method::Get, &Limits::NODE).expect("valid").expect("whole");
            assert_eq!((head.status, head.body), (refusal.status, Body::Length((out.len() - begin) as u64)));
            assert_eq!(head.header("content-type"), Some(&b"application/json; charset=UTF-8"[..]));
            assert_eq!((head.header("retry-after").is_some(), head.keep_alive), (refusal.status == 503, true));
            assert_eq!(head.header("x-elastic-product"), None);
            let error = serde_json::json!({"type": refusal.kind, "reason": refusal.reason});
            let expected = serde_json::json!({"error": {"root_cause": [error], "type": refusal.kind, "reason": refusal.reason},
                "status": refusal.status});
            let body: serde_json::Value = serde_json::from_slice(&out[begin..]).expect("JSON");
            assert_eq!(body, expected);
            assert!(!String::from_utf8_lossy(&out[..begin]).contains("Unknown"));
        }
    }

    #[test]
    fn the_form_is_what_the_request_and_the_cluster_ask_for() {
        let refusal = Refusal::no_route("a \"b\"\r\n");
        let (out, begin) = written(&refusal, Form { head: true, close: true, product: true });
        assert_eq!(out.len(), begin, "no body to a HEAD");
        let (head, _) = ResponseHead::parse(&out, Method::Head, &Limits::NODE).expect("valid").expect("whole");
        assert_eq!((head.keep_alive, head.header("X-Elastic-Product")), (false, Some(&b"Elasticsearch"[..])));
        assert_ne!(head.header("content-length"), Some(&b"0"[..]));
    }

    #[test]
    fn modes_refuse_what_they_say() {
        let judged =
            |mode, method, path| Refusal::by_mode("s", mode, &classify(method, path, "")).map(|refusal| refusal.status);
        for mode in [Mode::Open, Mode::Hold] {
            assert_eq!(judged(mode, Method::Post, "/_bulk"), None);
        }
        assert_eq!(judged(Mode::Closed, Method::Get, "/_search"), Some(503));
        for (method, path, status) in [
            (Method::Post, "/_bulk", Some(403)),
            (Method::Delete, "/i", Some(403)),
            (Method::Put, "/_cluster/settings", Some(403)),
            (Method::Post, "/_unknown", Some(403)),
            (Method::Post, "/i/_search", None),
            (Method::Delete, "/_search/scroll", None),
            (Method::Post, "/i/_refresh", None),
            (Method::Get, "/_cluster/health", None),
        ] {
            assert_eq!(judged(Mode::ReadOnly, method, path), status, "{path}");
        }
    }

    #[test]
    fn clients_repeat_only_what_can_be_repeated() {
        // What the clients of both products send again by themselves.
        let repeated = |refusal: &Refusal| matches!(refusal.status, 502..=504);
        for (method, path, may) in [
            (Method::Post, "/i/_doc", false),
            (Method::Put, "/i/_doc/1", false),
            (Method::Post, "/_bulk", false),
            (Method::Delete, "/i", false),
            (Method::Post, "/_search/scroll", false),
            (Method::Post, "/i/_search", true),
            (Method::Get, "/_cat/indices", true),
        ] {
            assert_eq!(repeated(&Refusal::lost("east", &classify(method, path, ""))), may, "{path}");
        }
        assert!(repeated(&Refusal::not_sent("east")));
    }
}
