//! `pointsman pause`: automatic failover off for a while.

use super::{args::Pause, client::Client, exit::Exit, order};
use serde_json::json;

/// Orders it.
pub(super) async fn run(client: &Client, options: &Pause) -> Exit {
    order::run(client, &options.svc, "pause", json!({ "for": options.duration.0 }), &options.common).await
}
