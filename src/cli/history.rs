//! `pointsman history`: the journal in words, or as it is.

use super::{
    args::History,
    client::{Client, segment},
    exit::Exit,
    groups,
    operation::because,
    output::{say, show},
    report,
};
use crate::model::{
    guard::Refusal,
    record::{Change, Record},
};
use serde::Deserialize;
use std::collections::VecDeque;

/// Records asked for at once.
const PAGE: usize = 1000;

/// An answer of the journal.
#[derive(Debug, Deserialize)]
struct Page {
    records: Vec<Record>,
}

/// Prints the journal, oldest first.
pub(super) async fn run(client: &Client, options: &History) -> Exit {
    let svc = options.svc.as_deref().map(|svc| format!("&svc={}", segment(svc))).unwrap_or_default();
    if let Some(svc) = &options.svc
        && groups::named(client, svc).await.is_none()
        && let Err(exit) = client.get_json::<serde_json::Value>(&format!("/v1/services/{}", segment(svc))).await
    {
        return exit;
    }
    let kind = options.kind.as_deref().map(|kind| format!("&kind={kind}")).unwrap_or_default();
    // Without a beginning, as many as are wanted are the last ones.
    let (many, newest) = (options.limit.unwrap_or(usize::MAX), options.after.is_none());
    let (mut after, mut left) = (options.after.unwrap_or(0), if newest { usize::MAX } else { many });
    let (mut all, mut shown) = (VecDeque::new(), true);
    while left > 0 {
        let page_size = PAGE.min(left);
        let path = format!("/v1/journal?after={after}&limit={page_size}{svc}{kind}");
        let page: Page = match client.get_json(&path).await {
            Ok(page) => page,
            Err(exit) => return exit,
        };
        let last_page = page.records.len() < page_size;
        left -= page.records.len().min(left);
        after = page.records.last().map_or(after, |record| record.seq);
        all.extend(page.records);
        if newest {
            all.drain(..all.len().saturating_sub(many));
        }
        // What is shown as it stands needs no waiting for the end.
        if !options.json && (!newest || many == usize::MAX) {
            shown = all.drain(..).all(|record| show(format_args!("{}\n", line(&record))));
        }
        if last_page || !shown {
            break;
        }
    }
    if !options.json {
        let _ = all.iter().all(|record| show(format_args!("{}\n", line(record))));
    }
    if options.json {
        say!("{}", serde_json::json!({ "records": all }));
    }
    Exit::Done
}

/// One record: `2026-11-22T01:02:03.456Z  #12  cart  uid:0  what happened: why`, and more lines for its details.
fn line(record: &Record) -> String {
    let svc = record.svc.as_ref().map_or("-", |svc| svc.as_str());
    let what = what(&record.detail);
    let (first, details) = what.find('\n').map_or((what.as_str(), ""), |end| what.split_at(end));
    let why = because(&record.reason);
    format!("{:.3}  #{}  {svc}  {}  {first}{why}{details}", record.time, record.seq, record.actor)
}

fn what(change: &Change) -> String {
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
        Change::Group { operation, .. } => groups::words(operation).replace('\n', "\n    "),
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
            format!("{} began: {}{to}", operation.id, operation.kind)
        }
        Change::Entered { id, step } => format!("{id} entered {}", step.as_str()),
        Change::Ended { operation } => {
            let phases = report::phases(&operation.phases);
            let phases = if phases.is_empty() { phases } else { format!("\n      phases: {phases}") };
            format!("{} ended: {}{phases}", operation.id, report::operation(operation).replace('\n', "\n    "))
        }
        Change::Refused { intent, guards } => format!("not done: {intent}{}", refusals(guards)),
        Change::Drained { cluster } => format!("{cluster} drained"),
        Change::Restored { cluster } => format!("{cluster} restored"),
        Change::Paused { until } => format!("automatic failover paused until {until:.0}"),
        Change::Resumed => "automatic failover resumed".to_owned(),
        Change::Keyed { key, id, .. } => format!("{id} has the key {key}"),
        Change::Configured { changes } => format!("configuration changed{}", lines(changes)),
        Change::ConfigurationRejected { problems } => format!("configuration turned down{}", lines(problems)),
        Change::Noted { text } | Change::Estranged { text, .. } => text.clone(),
    }
}

fn refusals(guards: &[Refusal]) -> String {
    guards
        .iter()
        .fold(String::new(), |text, refusal| text + "\n      " + refusal.name.as_str() + ": " + &refusal.detail)
}

fn lines(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |text, line| text + "\n      " + line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{guard::Guard, record::RecordKind};

    #[test]
    fn a_refusal_is_told_with_its_guards() {
        let record = Record {
            seq: 12,
            time: "2026-11-22T01:02:03.456789Z".parse().expect("a time"),
            svc: Some("cart".into()),
            kind: RecordKind::Refusal,
            actor: "uid:0".into(),
            reason: "night shift".into(),
            epoch: None,
            detail: Change::Refused {
                intent: "switchover to spare".into(),
                guards: vec![Refusal::new(Guard::Lag, "12 s")],
            },
        };
        let expected =
            "2026-11-22T01:02:03.456Z  #12  cart  uid:0  not done: switchover to spare: night shift\n      lag: 12 s";
        assert_eq!(line(&record), expected);
    }
}
