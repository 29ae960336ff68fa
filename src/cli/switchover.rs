//! `pointsman switchover`: a planned move, of a service or of a group.

use super::{
    args::Switchover,
    client::Client,
    exit::{Exit, complain},
    groups, order,
};
use crate::admin::{GroupSwitchBody, SwitchBody};

/// Orders it and reports how it ended.
pub(super) async fn run(client: &Client, options: &Switchover) -> Exit {
    let switch = &options.switch;
    let timeout = options.timeout.as_ref().map(|timeout| timeout.0.clone());
    if groups::named(client, &switch.svc).await.is_some() {
        return of_group(client, options, timeout).await;
    }
    if options.to_site.is_some() {
        return complain(Exit::Usage, "--to-site is for groups: name a cluster of the service with --to");
    }
    let body = SwitchBody {
        to: switch.to.clone(),
        dry_run: switch.dry_run,
        if_epoch: switch.if_epoch,
        timeout,
        cut_sessions: options.cut_sessions,
        rehearsal: options.rehearsal,
        accept_difference: options.accept_difference,
        overrides: switch.overrides.clone(),
        ..SwitchBody::default()
    };
    order::run(client, &switch.svc, "switchover", serde_json::json!(body), &switch.common).await
}

async fn of_group(client: &Client, options: &Switchover, timeout: Option<String>) -> Exit {
    let switch = &options.switch;
    if switch.if_epoch.is_some() || options.accept_difference {
        return complain(Exit::Usage, "--if-epoch and --accept-difference are for one service: a group has no epoch");
    }
    let body = GroupSwitchBody {
        to: switch.to.clone(),
        to_site: options.to_site.clone(),
        dry_run: switch.dry_run,
        wait: Some(order::FIRST_WAIT.to_owned()),
        timeout,
        cut_sessions: options.cut_sessions,
        rehearsal: options.rehearsal,
        overrides: switch.overrides.clone(),
        ..GroupSwitchBody::default()
    };
    order::run_at(client, &groups::place(&switch.svc, "switchover"), serde_json::json!(body), &switch.common).await
}
