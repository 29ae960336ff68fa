//! Elasticsearch and OpenSearch: requests of HTTP/1.1, each to a node of the routed cluster.
//!
//! A request's way: [`session`] reads its head and has it judged; [`special`] looks at bodies that hold cursors; [`lane`] says whether it may
//! go, and to which node of which [`cluster`], [`wait`] for what is missing; [`exchange`] passes it on a kept connection, and [`answer`] what comes back. The [`steward`]
//! carries out what the board says. No request belongs to a connection of a node, so that a route moves between two requests and nothing has
//! to be drained.

#[cfg(test)]
mod allocations;
mod answer;
mod ask;
mod budget;
mod cluster;
mod exchange;
mod handle;
mod lane;
mod left;
mod open;
mod out;
mod outage;
mod session;
mod special;
mod steward;
mod wait;

pub use lane::Lane;
pub use session::greet;
pub use steward::follow;

/// What a connection is told when there are too many.
pub const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
Content-Type: application/json; charset=UTF-8\r\nContent-Length: 179\r\n\r\n\
{\"error\":{\"root_cause\":[{\"type\":\"no_node_available_exception\",\"reason\":\"too many connections\"}],\
\"type\":\"no_node_available_exception\",\"reason\":\"too many connections\"},\"status\":503}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::http::{Body, Limits, Method, ResponseHead};

    #[test]
    fn too_many_is_one_whole_answer() {
        let parsed = ResponseHead::parse(TOO_MANY, Method::Get, &Limits::NODE).expect("an answer");
        let (head, used) = parsed.expect("a whole head");
        assert_eq!((head.status, head.keep_alive), (503, false));
        assert_eq!(head.body, Body::Length((TOO_MANY.len() - used) as u64));
        assert!(serde_json::from_slice::<serde_json::Value>(&TOO_MANY[used..]).is_ok());
    }
}
