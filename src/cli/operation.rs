//! `pointsman operation`: how one operation stands, also after its caller was cut off.

use super::{
    args::OperationOf,
    client::{Client, segment},
    exit::{Exit, code, complain},
    groups,
    output::say,
    report,
};
use crate::model::{
    group::GroupOperation,
    narrative::{agreed, because},
    operation::{Operation, Outcome},
};
use serde_json::Value;

/// Shows it. The code is the operation's own; one that runs is no failure.
pub(super) async fn run(client: &Client, options: &OperationOf) -> Exit {
    let value: Value = match client.get_json(&format!("/v1/operations/{}", segment(&options.id))).await {
        Ok(value) => value,
        Err(exit) => return exit,
    };
    if options.json {
        say!("{value}");
    }
    if value["members"].is_array() {
        return of_several(value, options.json);
    }
    let operation: Operation = match serde_json::from_value(value) {
        Ok(operation) => operation,
        Err(error) => return complain(Exit::Unknown, &format!("the answer isn't understood: {error}")),
    };
    if !options.json {
        say!("{}", report::operation(&operation));
        if !operation.phases.is_empty() {
            say!("  {}", report::phases(&operation.phases));
        }
        let practice = if operation.rehearsal { ", a rehearsal" } else { "" };
        let why = because(&operation.reason);
        let agreed = agreed(operation.approver.as_deref());
        say!("  by {}{agreed} at {}{practice}{why}", operation.actor, operation.started);
    }
    match operation.outcome {
        Outcome::Running => Exit::Done,
        outcome => code(Some(outcome), 200),
    }
}

fn of_several(value: Value, json: bool) -> Exit {
    let operation: GroupOperation = match serde_json::from_value(value) {
        Ok(operation) => operation,
        Err(error) => return complain(Exit::Unknown, &format!("the answer isn't understood: {error}")),
    };
    if !json {
        say!("{}", groups::show(&operation));
    }
    match operation.outcome {
        Outcome::Running => Exit::Done,
        outcome => code(Some(outcome), 200),
    }
}
