//! `pointsman restore`: put a drained cluster back.

use super::{args::OfCluster, client::Client, exit::Exit, order};
use serde_json::json;

/// Orders it.
pub(super) async fn run(client: &Client, options: &OfCluster) -> Exit {
    order::run(client, &options.svc, "restore", json!({ "cluster": options.cluster }), &options.common).await
}
