//! `pointsman failover`: an unplanned move by hand.

use super::{args::Failover, client::Client, exit::Exit, order};
use crate::admin::SwitchBody;

/// Orders it and reports how it ended.
pub(super) async fn run(client: &Client, options: &Failover) -> Exit {
    let switch = &options.switch;
    let body = SwitchBody {
        to: switch.to.clone(),
        dry_run: switch.dry_run,
        if_epoch: switch.if_epoch,
        accept_loss: options.accept_loss,
        overrides: switch.overrides.clone(),
        ..SwitchBody::default()
    };
    order::run(client, &switch.svc, "failover", serde_json::json!(body), &switch.common).await
}
