//! `pointsman switchover`: a planned move.

use super::{args::Switchover, client::Client, exit::Exit, order};
use crate::admin::SwitchBody;

/// Orders it and reports how it ended.
pub(super) async fn run(client: &Client, options: &Switchover) -> Exit {
    let switch = &options.switch;
    let body = SwitchBody {
        to: switch.to.clone(),
        dry_run: switch.dry_run,
        if_epoch: switch.if_epoch,
        timeout: options.timeout.as_ref().map(|timeout| timeout.0.clone()),
        cut_sessions: options.cut_sessions,
        rehearsal: options.rehearsal,
        accept_difference: options.accept_difference,
        overrides: switch.overrides.clone(),
        ..SwitchBody::default()
    };
    order::run(client, &switch.svc, "switchover", serde_json::json!(body), &switch.common).await
}
