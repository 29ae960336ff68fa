//! `pointsman history SVC --timeline`: an incident moment by moment.

use super::{
    client::{Client, segment},
    exit::Exit,
    output::{say, show},
    report,
};
use crate::model::timeline::{Entry, Timeline};

/// Shows the incident of an operation, or the last one where `id` is empty.
pub(super) async fn run(client: &Client, svc: &str, id: &str, json: bool) -> Exit {
    let operation = if id.is_empty() { String::new() } else { format!("?operation={}", segment(id)) };
    let path = format!("/v1/services/{}/timeline{operation}", segment(svc));
    let timeline: Timeline = match client.get_json(&path).await {
        Ok(timeline) => timeline,
        Err(exit) => return exit,
    };
    if json {
        say!("{}", serde_json::json!(timeline));
        return Exit::Done;
    }
    let Some(began) = timeline.began else {
        say!("{svc}: nothing has happened yet");
        return Exit::Done;
    };
    match &timeline.operation {
        Some(operation) => say!("{}: {}", operation.id, report::operation(operation)),
        None => say!("{svc}: a suspicion without an operation"),
    }
    say!("  from {began:.3}");
    let _ = timeline.entries.iter().all(|entry| show(format_args!("{}\n", line(entry))));
    Exit::Done
}

/// `  +1234.5 ms  evidence   probe: 10.0.0.5:6379 refuses connections`.
fn line(entry: &Entry) -> String {
    let words = entry.words.replace('\n', "\n            ");
    format!("{:>12.1} ms  {:<9}  {words}", entry.offset_ms, entry.kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::timeline::EntryKind;

    #[test]
    fn moments_stand_in_columns() {
        let entry = Entry {
            time: jiff::Timestamp::UNIX_EPOCH,
            offset_ms: 1234.56,
            kind: EntryKind::Phase,
            words: "close took 0.4 ms".into(),
        };
        assert_eq!(line(&entry), "      1234.6 ms  phase      close took 0.4 ms");
    }
}
