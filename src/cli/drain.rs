//! `pointsman drain`: take a cluster out of what may be chosen.

use super::{args::OfCluster, client::Client, exit::Exit, order};
use serde_json::json;

/// Orders it.
pub(super) async fn run(client: &Client, options: &OfCluster) -> Exit {
    order::run(client, &options.svc, "drain", json!({ "cluster": options.cluster }), &options.common).await
}
