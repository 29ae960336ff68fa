//! `pointsman healthcheck`: readiness or life as an exit code, for containers without curl.

use super::{
    args::Healthcheck,
    client::Client,
    exit::{Exit, complain},
};
use crate::config::units::parse_duration;
use std::time::Duration;
use tokio::time::timeout;

/// How long the answer may take: whoever asks a container's health gives up soon, and a late answer is none.
const TIME: Duration = Duration::from_secs(3);

/// Asks `/readyz` or `/livez`.
pub(super) async fn run(options: &Healthcheck) -> Exit {
    let path = if options.live { "/livez" } else { "/readyz" };
    let client = Client::tcp(options.listen);
    // The grammar let only durations through.
    let time = parse_duration(&options.timeout.0).unwrap_or(TIME);
    match timeout(time, client.get(path)).await {
        Ok(Ok(reply)) if reply.status.is_success() => Exit::Done,
        Ok(Ok(reply)) => complain(Exit::Unknown, &reply.text()),
        Ok(Err(lost)) => complain(
            lost.exit(),
            &format!(
                "nothing answers at {client}: {lost}\n  It is `telemetry.listen` of the configuration: --listen ADDRESS"
            ),
        ),
        Err(_) => complain(Exit::NoAnswer, &format!("{client} did not answer within {}", options.timeout.0)),
    }
}
