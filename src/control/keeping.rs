//! What the supervisor does for the journal beside the services: says its head, lets old segments go, and writes down what the
//! configuration is.

use super::recorder::Recorder;
use crate::{
    config::{self, Config},
    coord::{Condition, Keep},
    model::record::{Change, RecordKind},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Settings by their dotted path.
type Settings = BTreeMap<String, String>;

/// How often the head is said, and old segments are looked for.
pub(super) const EVERY: Duration = Duration::from_hours(1);
/// Shown where there is no such setting.
const ABSENT: &str = "(none)";

/// The head as `pointsman audit verify --head` takes it.
pub(super) fn head(condition: &Condition) -> String {
    format!("{}:{}", condition.seq, condition.hash)
}

/// Says the head, so that a journal that is rewritten later is found out by whoever keeps the logs.
pub(super) fn say_head(recorder: &Recorder) {
    let condition = recorder.coordinator().condition();
    let journal_head = head(&condition);
    match condition.error {
        None => tracing::info!(journal_head, "the journal's head"),
        Some(error) => tracing::error!(journal_head, error = &*error, "the journal can't be written"),
    }
}

/// Lets go what need not be kept any more. A failure is said, and tried again the next time.
pub(super) async fn retain(recorder: &Recorder, config: &Config) {
    let keep = Keep { age: config.journal.keep, bytes: config.journal.keep_size };
    match recorder.retain(keep).await {
        Ok(None) => {}
        Ok(Some(removed)) => {
            let journal_head = format!("{}:{}", removed.seq, removed.hash);
            let (files, bytes) = (removed.segments, removed.bytes);
            tracing::info!(
                journal_head,
                files,
                bytes,
                "the oldest part of the journal was removed; this was its last head"
            );
        }
        Err(error) => tracing::error!(error = error.detail, "old parts of the journal could not be removed"),
    }
}

/// Writes down that the configuration is another one: by a reload, with its own words, or since the last start.
pub(super) async fn configured(recorder: &Recorder, config: &Config, actor: &str, changes: Option<Vec<String>>) {
    let before = recorder.coordinator().state().settings.clone();
    let now = config::settings(config);
    let unset: BTreeSet<String> = before.keys().filter(|key| !now.contains_key(*key)).cloned().collect();
    let set: Settings = now.into_iter().filter(|(key, value)| before.get(key) != Some(value)).collect();
    let changes = match changes {
        Some(changes) => changes,
        None if before.is_empty() => vec![format!("first start with this journal: {} settings", set.len())],
        None => lines(&before, &set, &unset),
    };
    if changes.is_empty() && set.is_empty() && unset.is_empty() {
        return;
    }
    recorder.note(RecordKind::Configuration, actor, Change::Configured { changes, set, unset }).await;
}

fn lines(before: &Settings, set: &Settings, unset: &BTreeSet<String>) -> Vec<String> {
    let keys: BTreeSet<&String> = set.keys().chain(unset).collect();
    let value = |settings: &Settings, key: &String| settings.get(key).map_or(ABSENT, String::as_str).to_owned();
    keys.into_iter()
        .map(|key| format!("{key}: {} -> {} (since the last start)", value(before, key), value(set, key)))
        .collect()
}
