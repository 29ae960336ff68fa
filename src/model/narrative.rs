//! Journal records in words, the same wherever they are shown: by the command line, in a timeline, on the page.

use super::{
    group::GroupOperation,
    guard::Refusal,
    operation::{Operation, Outcome},
    record::{Change, Record},
    suspicion::{Ending, Evidence, Suspicion},
    timeline::{Entry, EntryKind, kind_of},
};
use jiff::SignedDuration;
use std::fmt::Write as _;

/// A change in words: one line, and more for its details.
pub fn words(change: &Change) -> String {
    match change {
        Change::Routed { route } => {
            let target = route.target.as_ref();
            let target = target.map_or("nowhere".to_owned(), |target| format!("{} ({})", target.cluster, target.node));
            format!("route: {target}, {}, epoch {}", route.mode.as_str(), route.epoch)
        }
        Change::FenceIntended { node } => format!("fence of {node} intended"),
        Change::Fenced { node, position, .. } => format!("fenced {node} at position {position}"),
        Change::Unfenced { node } => format!("fence of {node} lifted"),
        Change::Parked { node, of, .. } => format!("{node} parked: it lost {of} and keeps its data"),
        Change::Unparked { node } => format!("{node} is not parked any more"),
        Change::Silenced { silenced } => {
            format!("{} is silent; without its standbys it stops by itself", silenced.node)
        }
        Change::Departed { node, id, position, .. } => format!("{id} leaves {node}; its candidate had {position}"),
        Change::Amended { id, lost } => format!("{id} lost {} {}{}", lost.count, lost.unit, because(&lost.detail)),
        Change::Retargeted { id, to } => format!("{id} goes to {} ({}) now", to.cluster, to.node),
        Change::Strayed { node } => format!("{node} does not follow yet, and is told again until it does"),
        Change::Gathered { node } => format!("{node} is no stray any more"),
        Change::LineageSeen { node, lineage, items, .. } => format!("history of {node}: {}, {items} items", lineage.id),
        Change::Group { operation, .. } => {
            let GroupOperation { id, kind, group, outcome, detail, approver, .. } = &**operation;
            let (outcome, agreed) = (outcome.as_str().replace('_', " "), agreed(approver.as_deref()));
            let detail = if detail.is_empty() { String::new() } else { format!("; {detail}") };
            format!("{id} of {group}: {} {outcome}{agreed}{detail}{}", kind.as_str(), refusals(&operation.guards))
        }
        Change::Asked { operation, .. } => {
            let to = operation.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
            let until = operation.expires.map(|until| format!(" until {until:.0}")).unwrap_or_default();
            format!("{} waits for a second person{until}: {}{to}", operation.id, operation.kind)
        }
        Change::Approved { id, by, reason } => format!("{id} approved by {by}{}", because(reason)),
        Change::Overridden { id, guard } => {
            format!("{id} passes the guard {}, overridden: {}", guard.name.as_str(), guard.detail)
        }
        Change::Began { operation, .. } => {
            let to = operation.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
            format!("{} began: {}{to}{}", operation.id, operation.kind, agreed(operation.approver.as_deref()))
        }
        Change::Entered { id, step } => format!("{id} entered {}", step.as_str()),
        Change::Ended { operation } => format!("{} ended: {}", operation.id, ended(operation)),
        Change::Refused { intent, guards, .. } => format!("not done: {intent}{}", refusals(guards)),
        Change::Drained { cluster } => format!("{cluster} drained"),
        Change::Restored { cluster } => format!("{cluster} restored"),
        Change::Paused { until } => format!("automatic failover paused until {until:.0}"),
        Change::Resumed => "automatic failover resumed".to_owned(),
        Change::Keyed { key, id, .. } => format!("{id} has the key {key}"),
        Change::Suspected { suspicion } => {
            suspicion.evidence.iter().fold(verdict(suspicion), |text, found| text + "\n      " + &shown(found))
        }
        Change::Removed { removed } => {
            let until = removed.until.map(|until| format!(", written until {until:.0}")).unwrap_or_default();
            format!(
                "records up to #{} are removed{until}: {} files, {} bytes, last head {}:{}",
                removed.seq, removed.segments, removed.bytes, removed.seq, removed.hash
            )
        }
        Change::Configured { changes, .. } => format!("configuration changed{}", lines(changes)),
        Change::ConfigurationRejected { problems } => format!("configuration turned down{}", lines(problems)),
        Change::Noted { text } | Change::Estranged { text, .. } => text.clone(),
    }
}

/// `: reason`, or nothing.
pub fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

/// The second person, if there was one, behind what was ordered.
pub fn agreed(approver: Option<&str>) -> String {
    approver.map(|by| format!(", approved by {by}")).unwrap_or_default()
}

/// How an operation ended, on one line but for its guards.
fn ended(operation: &Operation) -> String {
    let route = match (&operation.from, &operation.to) {
        (Some(from), Some(to)) if from != to => format!("{from} -> {to} "),
        (_, Some(to)) => format!("{to} "),
        _ => String::new(),
    };
    let outcome = operation.outcome.as_str().replace('_', " ");
    // Writing to a String can't fail.
    let mut text = format!("{} {route}{outcome}", operation.kind);
    let total: f64 = operation.phases.iter().map(|phase| phase.ms).sum();
    if !operation.phases.is_empty() {
        let _ = write!(text, " in {total:.1} ms");
    }
    if let Some(stall) = operation.client_stall_ms {
        let _ = write!(text, " (stall {stall:.1} ms)");
    }
    if operation.lost.count > 0 || !operation.lost.known {
        let bound = if operation.lost.known { "" } else { "at most " };
        let _ = write!(text, ", lost {bound}{} {}", operation.lost.count, operation.lost.unit);
    }
    if !operation.detail.is_empty() {
        let _ = write!(text, "; {}", operation.detail);
    }
    text + &refusals(&operation.guards)
}

/// A suspicion on one line.
fn verdict(suspicion: &Suspicion) -> String {
    let Suspicion { node, end, words, left_out, brief, .. } = suspicion;
    let what = match end {
        Ending::Open => format!("{node} is suspect: {words}"),
        Ending::Cleared => format!("no failover from {node}: {words}"),
        Ending::Failover => format!("{node} is left: {words}"),
    };
    let more = |count: u64, what: &str| if count > 0 { format!("; {count} {what}") } else { String::new() };
    what + &more(*left_out, "findings are left out") + &more(*brief, "short suspicions before it have no record")
}

fn shown(found: &Evidence) -> String {
    format!("{:.3} {}: {} {}", found.time, found.source.as_str(), found.who, found.words)
}

fn refusals(guards: &[Refusal]) -> String {
    guards
        .iter()
        .fold(String::new(), |text, refusal| text + "\n      " + refusal.name.as_str() + ": " + &refusal.detail)
}

fn lines(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |text, line| text + "\n      " + line)
}

/// What a record tells in a timeline; nothing where the operation's phases tell it better.
pub(super) fn entries(record: &Record) -> Vec<Entry> {
    let entry = |time, kind, words: String| Entry { time, offset_ms: 0.0, kind, words };
    let because = because(&record.reason);
    let (kind, words) = match &record.detail {
        Change::Entered { .. } | Change::Keyed { .. } => return Vec::new(),
        Change::Suspected { suspicion } => {
            let kind = match suspicion.end {
                Ending::Open => EntryKind::Note,
                Ending::Cleared => EntryKind::Refusal,
                Ending::Failover => EntryKind::Decision,
            };
            let found = |found: &Evidence| {
                let words = format!("{}: {} {}", found.source.as_str(), found.who, found.words);
                entry(found.time, EntryKind::Evidence, words)
            };
            let mut entries: Vec<Entry> = suspicion.evidence.iter().map(found).collect();
            entries.push(entry(record.time, kind, verdict(suspicion)));
            return entries;
        }
        Change::Began { operation, .. } => {
            (EntryKind::Operation, format!("{}, ordered by {}{because}", words(&record.detail), operation.actor))
        }
        Change::Ended { operation } if operation.outcome == Outcome::Refused => {
            (EntryKind::Refusal, words(&record.detail) + &because)
        }
        // What it was for stands at its beginning.
        Change::Ended { operation } if !operation.phases.is_empty() => (EntryKind::Operation, words(&record.detail)),
        change => {
            let words = words(change);
            let (first, rest) = words.find('\n').map_or((words.as_str(), ""), |end| words.split_at(end));
            (kind_of(record.kind), format!("{first}{because}{rest}"))
        }
    };
    vec![entry(record.time, kind, words)]
}

/// The steps of an operation, each at its beginning.
pub(super) fn phases(operation: &Operation) -> Vec<Entry> {
    let mut passed = 0.0;
    let entry = |phase: &super::operation::Phase| {
        let time = SignedDuration::try_from_secs_f64(passed / 1e3).unwrap_or_default();
        passed += phase.ms;
        let time = operation.started.checked_add(time).unwrap_or(operation.started);
        let words = format!("{} took {:.1} ms", phase.name.as_str(), phase.ms);
        Entry { time, offset_ms: 0.0, kind: EntryKind::Phase, words }
    };
    operation.phases.iter().map(entry).collect()
}
