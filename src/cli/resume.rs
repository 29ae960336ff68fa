//! `pointsman resume`: automatic failover on again.

use super::{args::Plain, client::Client, exit::Exit, order};
use serde_json::json;

/// Orders it.
pub(super) async fn run(client: &Client, options: &Plain) -> Exit {
    order::run(client, &options.svc, "resume", json!({}), &options.common).await
}
