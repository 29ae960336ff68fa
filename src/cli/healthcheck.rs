//! `pointsman healthcheck`: readiness or life as an exit code, for containers without curl.

use super::{
    args::Healthcheck,
    client::Client,
    exit::{Exit, complain},
};

/// Asks `/readyz` or `/livez`.
pub(super) async fn run(options: &Healthcheck) -> Exit {
    let path = if options.live { "/livez" } else { "/readyz" };
    match Client::tcp(options.listen).get(path).await {
        Ok(reply) if reply.status.is_success() => Exit::Done,
        Ok(reply) => complain(Exit::Unknown, &reply.text()),
        Err(lost) => complain(lost.exit(), &lost.to_string()),
    }
}
