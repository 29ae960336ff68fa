//! `pointsman reload`: the configuration file is read again.

use super::{
    args::Reload,
    client::{Client, Lost},
    exit::{Exit, complain},
    output::say,
    report,
};
use bytes::Bytes;
use std::time::Duration;

/// How long it may take.
const TIME: Duration = Duration::from_mins(1);

/// Orders it and says what changed, or what is wrong with the file.
pub(super) async fn run(client: &Client, options: &Reload) -> Exit {
    let reply = match client.post("/v1/reload", Bytes::new(), None, TIME).await {
        Ok(reply) => reply,
        Err(Lost::Cut(detail)) => return complain(Exit::Unknown, &detail),
        Err(lost) => return complain(lost.exit(), &lost.to_string()),
    };
    if !reply.status.is_success() {
        // What refuses a reload is the file, and a bad file is code 2.
        return match report::problem(&reply, options.json) {
            Exit::Refused => Exit::Usage,
            exit => exit,
        };
    }
    if options.json {
        say!("{}", reply.text());
        return Exit::Done;
    }
    let changes = reply.json().map(|value: serde_json::Value| value["changes"].clone()).unwrap_or_default();
    match changes.as_array().filter(|changes| !changes.is_empty()) {
        Some(changes) => changes.iter().filter_map(|change| change.as_str()).for_each(|change| say!("{change}")),
        None => say!("nothing changed"),
    }
    Exit::Done
}
