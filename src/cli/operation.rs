//! `pointsman operation`: how one operation stands, also after its caller was cut off.

use super::{
    args::OperationOf,
    client::{Client, segment},
    exit::{Exit, code},
    output::say,
    report,
};
use crate::model::{
    narrative::because,
    operation::{Operation, Outcome},
};

/// Shows it. The code is the operation's own; one that runs is no failure.
pub(super) async fn run(client: &Client, options: &OperationOf) -> Exit {
    let operation: Operation = match client.get_json(&format!("/v1/operations/{}", segment(&options.id))).await {
        Ok(operation) => operation,
        Err(exit) => return exit,
    };
    if options.json {
        say!("{}", serde_json::json!(operation));
    } else {
        say!("{}", report::operation(&operation));
        if !operation.phases.is_empty() {
            say!("  {}", report::phases(&operation.phases));
        }
        let approver = operation.approver.as_ref().map(|by| format!(", approved by {by}")).unwrap_or_default();
        let practice = if operation.rehearsal { ", a rehearsal" } else { "" };
        let why = because(&operation.reason);
        say!("  by {}{approver} at {}{practice}{why}", operation.actor, operation.started);
    }
    match operation.outcome {
        Outcome::Running => Exit::Done,
        outcome => code(Some(outcome), 200),
    }
}
