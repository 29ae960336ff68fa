//! Groups and sites on the command line: a group's name stands where a service's may.
//!
//! Inputs: the API's groups, operations of several services. Outputs: words, and where an order goes. It decides nothing.

use super::{
    args::{Common, Written, duration},
    client::{Client, segment},
    exit::{Exit, complain},
    order::{self, Place},
    report,
};
use crate::{
    admin::GroupSwitchBody,
    model::{
        group::{GroupKind, GroupMember, GroupOperation, GroupView, SITE},
        narrative::{agreed, because},
        operation::Outcome,
    },
};
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;
use std::fmt::Write;

/// `pointsman site …`.
#[derive(Debug, Subcommand)]
pub(super) enum Site {
    /// Move every service that is routed there to its best cluster elsewhere, groups together.
    Evacuate(Evacuate),
}

/// Arguments of `site evacuate`.
#[derive(Debug, Args)]
pub(super) struct Evacuate {
    /// The site.
    pub(super) site: String,
    /// Only say whether it would be let through.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// How long each service may wait for sessions that can't move and for its candidate, e.g. 30s.
    #[arg(long, value_name = "D", value_parser = duration)]
    pub(super) timeout: Option<Written>,
    /// Leave in place what guards refuse, with its whole group, and move the rest.
    #[arg(long)]
    pub(super) partial: bool,
    /// Cut sessions that can't move instead of refusing.
    #[arg(long)]
    pub(super) cut_sessions: bool,
    /// Pass this guard of every service by name; needs a reason, is recorded.
    #[arg(long = "override", value_name = "GUARD", requires = "reason")]
    pub(super) overrides: Vec<String>,
    #[command(flatten)]
    pub(super) common: Common,
}

/// What is asked of `GET /v1/groups`.
#[derive(Debug, Deserialize)]
struct Groups {
    groups: Vec<GroupView>,
}

/// Every group; none where the Pointsman knows of none.
async fn all(client: &Client) -> Result<Vec<GroupView>, Exit> {
    Ok(client.get_json::<Groups>("/v1/groups").await?.groups)
}

/// The group of that name, where no service has it.
pub(super) async fn named(client: &Client, name: &str) -> Option<GroupView> {
    let reply = client.get(&format!("/v1/services/{}", segment(name))).await.ok()?;
    if reply.status.is_success() {
        return None;
    }
    all(client).await.ok()?.into_iter().find(|group| group.name == name)
}

/// Where an order for a group goes.
pub(super) fn place(group: &str, action: &str) -> Place {
    Place { path: format!("/v1/groups/{}/{action}", segment(group)), look: format!("status {group}") }
}

/// `pointsman site evacuate`: everything that is routed to a site goes to its best place elsewhere.
pub(super) async fn site(client: &Client, options: &Site) -> Exit {
    let Site::Evacuate(Evacuate { site, dry_run, partial, cut_sessions, timeout, overrides, common }) = options;
    let body = GroupSwitchBody {
        dry_run: *dry_run,
        partial: *partial,
        cut_sessions: *cut_sessions,
        timeout: timeout.as_ref().map(|timeout| timeout.0.clone()),
        wait: Some(order::FIRST_WAIT.to_owned()),
        overrides: overrides.clone(),
        ..GroupSwitchBody::default()
    };
    let place = Place { path: format!("/v1/sites/{}/evacuate", segment(site)), look: "status".to_owned() };
    order::run_at(client, &place, serde_json::json!(body), common).await
}

/// Reports an operation of several services that doesn't run any more.
pub(super) fn finished(value: &Value, json: bool) -> Exit {
    let operation: GroupOperation = match serde_json::from_value(value.clone()) {
        Ok(operation) => operation,
        Err(error) => return complain(Exit::Unknown, &format!("the answer isn't understood: {error}")),
    };
    order::shown(value, json, operation.outcome, &words(&operation))
}

/// Shows one that was asked for by its id.
pub(super) fn show(operation: &GroupOperation) -> String {
    let agreed = agreed(operation.approver.as_deref());
    let GroupOperation { actor, started, reason, .. } = operation;
    format!("{}\n  by {actor}{agreed} at {started}{}", words(operation), because(reason))
}

/// An operation of several services: one line, and one a member.
pub(super) fn words(operation: &GroupOperation) -> String {
    let GroupOperation { id, group, kind, outcome, .. } = operation;
    let how = match outcome {
        Outcome::Done if is_dry(operation) && operation.members.iter().any(GroupMember::stays) => {
            "would be let through in part"
        }
        Outcome::Done if is_dry(operation) => "would be let through",
        Outcome::Refused if is_dry(operation) => "would be refused",
        Outcome::Done => "done",
        Outcome::Refused => "refused, nothing changed",
        Outcome::RolledBack => "failed, every member is where it was",
        Outcome::Partial => "partly done, look at each member",
        Outcome::Unknown => "outcome unknown, look at each member",
        Outcome::Running => "runs",
        Outcome::Waiting => "waits for a second person",
    };
    let mut text = format!("{} {group} ({id}): {how}", kind.as_str());
    if *outcome == Outcome::Waiting {
        report::waits(&mut text, id, &operation.actor, operation.expires);
    }
    for member in &operation.members {
        let path = match (&member.from, &member.to) {
            (Some(from), Some(to)) if from != to => format!(" {from} -> {to}"),
            (_, Some(to)) if operation.kind == GroupKind::Switchover => format!(" {to}"),
            _ => String::new(),
        };
        let how = member.outcome.map_or("", Outcome::as_str);
        let line = format!("{}{path} {how}", member.svc);
        let detail = if member.detail.is_empty() { String::new() } else { format!(": {}", member.detail) };
        let _ = write!(text, "\n  {}{detail}", line.trim_end());
    }
    if *outcome == Outcome::Refused {
        report::refusals(&mut text, &operation.guards, |guard| report::advice(guard).to_owned());
        if let Some(site) = group.strip_prefix(SITE)
            && operation.members.iter().any(|member| !member.stays())
        {
            let _ = write!(text, "\n  what isn't refused can go alone: pointsman site evacuate {site} --partial");
        }
    } else if !operation.detail.is_empty() && *outcome != Outcome::Partial {
        let _ = write!(text, "\n  {}", operation.detail);
    }
    text
}

fn is_dry(operation: &GroupOperation) -> bool {
    operation.id.as_str().ends_with("-dry-run")
}

/// The lines of groups below the table of `status`.
pub(super) fn lines(groups: &[GroupView]) -> String {
    groups.iter().fold(String::new(), |mut text, group| {
        let GroupView { name, state, site, note, operation, .. } = group;
        let _ = write!(text, "group {name}: {}", state.as_str());
        if let Some(site) = site {
            let _ = write!(text, " in {site}");
        }
        if !note.is_empty() {
            let _ = write!(text, ": {note}");
        }
        if let Some(operation) = operation.as_ref().filter(|operation| operation.outcome == Outcome::Waiting) {
            let _ = write!(text, ": {} waits for a second person, asked for by {}", operation.id, operation.actor);
        }
        text + "\n"
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        group::GroupMember,
        guard::{Guard, Refusal},
        route::Epoch,
    };

    fn operation(outcome: Outcome) -> GroupOperation {
        let member = |svc: &str, outcome, detail: &str| GroupMember {
            svc: svc.into(),
            operation: None,
            outcome,
            from: Some("main".into()),
            to: Some("spare".into()),
            epoch: Epoch(1),
            detail: detail.into(),
        };
        GroupOperation {
            actor: "ann".into(),
            outcome,
            guards: vec![Refusal::new(Guard::Lag, "cart: spare is 12 s behind")],
            detail: "more".into(),
            members: vec![member("orders", Some(Outcome::Done), ""), member("cart", None, "lag: spare is 12 s behind")],
            ..GroupOperation::begun("checkout-3", "checkout", GroupKind::Switchover)
        }
    }

    #[test]
    fn one_line_a_member() {
        let text = words(&operation(Outcome::Partial));
        let expected = "switchover checkout (checkout-3): partly done, look at each member\n  \
                        orders main -> spare done\n  cart main -> spare: lag: spare is 12 s behind";
        assert_eq!(text, expected);
        let text = words(&operation(Outcome::Refused));
        assert!(text.contains("refused, nothing changed") && text.contains("\n      -> wait until"), "{text}");
        let text = words(&operation(Outcome::Waiting));
        assert!(text.contains("pointsman approve checkout-3"), "{text}");
    }
}
