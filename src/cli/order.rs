//! Giving an order: sent once under a key, followed by its id if it takes long, and reported.

use super::{
    args::Common,
    client::{Client, Lost, Reply, segment},
    exit::{Exit, code, complain},
    groups,
    output::say,
    report,
};
use crate::model::operation::{Operation, Outcome};
use bytes::Bytes;
use serde_json::Value;
use std::time::Duration;

/// After this long the answer is the operation's id, so that it is known when the connection breaks later.
pub(super) const FIRST_WAIT: &str = "1s";
/// The answer to the order itself must come within this time, or it is unknown what became of it.
const ANSWER: Duration = Duration::from_mins(1);
/// From one look at a running operation to the next.
const LOOK: Duration = Duration::from_millis(200);
/// How many looks in a row may fail before we give up.
const MISSES: u32 = 50;

/// Where an order goes.
pub(super) struct Place {
    /// The path of the API.
    pub(super) path: String,
    /// The subcommand that shows what became of it.
    pub(super) look: String,
}

/// Orders `action` of `svc` with `body` and waits for the end.
pub(super) async fn run(client: &Client, svc: &str, action: &str, mut body: Value, common: &Common) -> Exit {
    if matches!(action, "switchover" | "failover") {
        body["wait"] = FIRST_WAIT.into();
    }
    let group = matches!(action, "pause" | "resume" | "mode") && groups::named(client, svc).await.is_some();
    let place = if group {
        groups::place(svc, action)
    } else {
        Place { path: format!("/v1/services/{}/{action}", segment(svc)), look: format!("history {svc}") }
    };
    run_at(client, &place, body, common).await
}

/// Orders what the place's path says, and waits for the end.
pub(super) async fn run_at(client: &Client, place: &Place, body: Value, common: &Common) -> Exit {
    tokio::select! {
        exit = give(client, place, body, common) => exit,
        _ = tokio::signal::ctrl_c() => complain(
            Exit::Unknown,
            &format!("stopped waiting; what was ordered goes on. Look: pointsman {}", place.look),
        ),
    }
}

async fn give(client: &Client, place: &Place, mut body: Value, common: &Common) -> Exit {
    body["reason"] = common.reason.as_str().into();
    let key = common.key.clone().unwrap_or_else(fresh_key);
    let reply = match client.post(&place.path, Bytes::from(body.to_string()), Some(&key), ANSWER).await {
        Ok(reply) => reply,
        Err(Lost::Cut(detail)) => {
            return complain(
                Exit::Unknown,
                &format!(
                    "{detail}\n  The order may have been taken. Look: pointsman {}\n  \
                     The same command with --key {key} gives its answer, and never orders twice.",
                    place.look
                ),
            );
        }
        Err(lost) => return complain(lost.exit(), &lost.to_string()),
    };
    end(client, reply, common.json).await
}

/// Follows an answer to its end and reports it.
async fn end(client: &Client, reply: Reply, json: bool) -> Exit {
    if !reply.status.is_success() {
        return report::problem(&reply, json);
    }
    let value: Value = match reply.json() {
        Ok(value) => value,
        Err(lost) => return complain(Exit::Unknown, &lost.to_string()),
    };
    if value["outcome"] != Outcome::Running.as_str() {
        return finished(&value, json);
    }
    let id = value["id"].as_str().unwrap_or_default().to_owned();
    eprintln!("pointsman: {id} runs …");
    follow(client, &id, json).await
}

/// Looks at a running operation until it ended.
async fn follow(client: &Client, id: &str, json: bool) -> Exit {
    let path = format!("/v1/operations/{}", segment(id));
    let mut misses = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        let value: Result<Value, String> = match client.get(&path).await {
            Ok(reply) if reply.status.is_success() => reply.json().map_err(|lost| lost.to_string()),
            Ok(reply) => Err(format!("HTTP {}", reply.status)),
            Err(lost) => Err(lost.to_string()),
        };
        match value {
            Ok(value) if value["outcome"] == Outcome::Running.as_str() => misses = 0,
            Ok(value) => return finished(&value, json),
            Err(_) if misses < MISSES => misses += 1,
            Err(detail) => {
                return complain(
                    Exit::Unknown,
                    &format!("{detail}\n  It is not known how {id} ended. Look: pointsman operation {id}"),
                );
            }
        }
    }
}

/// Reports an operation that doesn't run any more.
pub(super) fn finished(value: &Value, json: bool) -> Exit {
    if value["members"].is_array() {
        return groups::finished(value, json);
    }
    let operation: Operation = match serde_json::from_value(value.clone()) {
        Ok(operation) => operation,
        Err(error) => return complain(Exit::Unknown, &format!("the answer isn't understood: {error}")),
    };
    shown(value, json, operation.outcome, &report::operation(&operation))
}

/// Prints how an operation ended, as it came or in words: only what was asked for goes to standard output.
pub(super) fn shown(value: &Value, json: bool, outcome: Outcome, words: &str) -> Exit {
    let exit = code(Some(outcome), 200);
    if json {
        say!("{value}");
    } else if exit == Exit::Done {
        say!("{words}");
    } else {
        eprintln!("{words}");
    }
    exit
}

/// A key that nobody else takes: the time in nanoseconds and our process id.
fn fresh_key() -> String {
    format!("cli-{}-{}", jiff::Timestamp::now().as_nanosecond(), std::process::id())
}
