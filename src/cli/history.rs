//! `pointsman history`: the journal in words, or as it is.

use super::{
    client::{Client, segment},
    exit::{Exit, complain},
    groups,
    history_options::{History, Moment},
    output::{say, show},
    report, timeline,
};
use crate::model::{
    narrative::{self, because},
    record::{Change, Record},
    view::ServiceView,
};
use serde::Deserialize;
use std::time::Duration;

/// Records asked for at once.
const PAGE: usize = 1000;
/// Between two looks for what is new.
const LOOK: Duration = Duration::from_millis(500);

/// An answer of the journal.
#[derive(Debug, Deserialize)]
struct Page {
    records: Vec<Record>,
    next: Option<u64>,
    head: Head,
}

#[derive(Debug, Deserialize)]
struct Head {
    seq: u64,
}

/// Prints the journal, oldest first unless asked otherwise.
pub(super) async fn run(client: &Client, options: &History) -> Exit {
    if let Some(id) = &options.timeline {
        let svc = options.svc.as_deref().unwrap_or_default();
        return timeline::run(client, svc, id, options.json).await;
    }
    match (known(client, options).await, filters(options)) {
        (Err(exit), _) => exit,
        (Ok(()), Err(message)) => complain(Exit::Usage, &message),
        (Ok(()), Ok(filters)) => match print(client, options, &filters).await {
            Ok(()) => Exit::Done,
            Err(exit) => exit,
        },
    }
}

/// The service, or a group of services, must be there.
async fn known(client: &Client, options: &History) -> Result<(), Exit> {
    #[derive(Deserialize)]
    struct Services {
        services: Vec<ServiceView>,
    }
    let Some(name) = &options.svc else { return Ok(()) };
    let Services { services } = client.get_json("/v1/services").await?;
    let known = services.iter().any(|service| service.name.as_str() == name || service.groups.contains(name));
    if known { Ok(()) } else { Err(complain(Exit::Usage, &format!("no service or group {name}"))) }
}

/// The filters as the API takes them.
fn filters(options: &History) -> Result<String, String> {
    let mut query = String::new();
    let texts = [
        ("svc", &options.svc),
        ("kind", &options.kind),
        ("actor", &options.actor),
        ("operation", &options.operation),
        ("text", &options.text),
    ];
    for (name, value) in texts {
        query += &value.as_deref().map(|value| format!("&{name}={}", segment(value))).unwrap_or_default();
    }
    for (name, value) in [("since", &options.since), ("until", &options.until)] {
        if let Some(Moment(time)) = value {
            query = query + "&" + name + "=" + &segment(&time.to_string());
        }
    }
    if options.follow && (options.newest || options.until.is_some()) {
        return Err("--follow shows what comes: neither --newest nor --until goes with it".to_owned());
    }
    Ok(query)
}

async fn print(client: &Client, options: &History, filters: &str) -> Result<(), Exit> {
    let many = options.limit.unwrap_or(usize::MAX);
    // As many as are wanted are the last ones, unless they are those behind a number. The last are shown oldest first too.
    let last = options.after.is_none() && (options.newest || options.limit.is_some());
    let mut turned = Vec::new();
    let mut shown: Vec<Record> = Vec::new();
    let (mut after, mut before, mut left) = (options.after.unwrap_or(0), None, many);
    let mut head = 0;
    while left > 0 {
        let place = match (last, before) {
            (true, Some(before)) => format!("&order=newest&before={before}"),
            (true, None) => "&order=newest".to_owned(),
            (false, _) => format!("&after={after}"),
        };
        let page: Page = client.get_json(&format!("/v1/journal?limit={}{place}{filters}", PAGE.min(left))).await?;
        left -= page.records.len().min(left);
        head = head.max(page.head.seq);
        if last && !options.newest {
            turned.extend(page.records);
        } else if options.json && !options.follow {
            shown.extend(page.records);
        } else if !page.records.iter().all(|record| print_one(record, options.json)) {
            return Ok(());
        }
        match page.next {
            Some(next) if last => before = Some(next),
            Some(next) => after = next,
            None => break,
        }
    }
    if options.json && !options.follow {
        shown.extend(turned.into_iter().rev());
        say!("{}", serde_json::json!({ "records": shown }));
        return Ok(());
    }
    if !turned.iter().rev().all(|record| print_one(record, options.json)) || !options.follow {
        return Ok(());
    }
    follow(client, head.max(after), filters, options.json).await
}

/// Shows what becomes durable from now on, until nobody reads it any more. A Pointsman that restarts is waited for.
async fn follow(client: &Client, mut after: u64, filters: &str, json: bool) -> Result<(), Exit> {
    loop {
        tokio::time::sleep(LOOK).await;
        let path = format!("/v1/journal?limit={PAGE}&after={after}{filters}");
        let Ok(reply) = client.get(&path).await else { continue };
        if reply.status != hyper::StatusCode::OK {
            return Err(report::failed(&reply));
        }
        let Ok(page) = reply.json::<Page>() else { continue };
        if !page.records.iter().all(|record| print_one(record, json)) {
            return Ok(());
        }
        let seen = page.records.last().map_or(after, |record| record.seq);
        // Without a next one all was looked at, and the head was read before.
        after = page.next.unwrap_or(seen.max(page.head.seq));
    }
}

/// One record; with `--follow --json` one object a line. False when nobody reads it.
fn print_one(record: &Record, json: bool) -> bool {
    if json { show(format_args!("{}\n", serde_json::json!(record))) } else { show(format_args!("{}\n", line(record))) }
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
        Change::Group { operation, .. } => groups::words(operation).replace('\n', "\n    "),
        Change::Ended { operation } => {
            let phases = report::phases(&operation.phases);
            let phases = if phases.is_empty() { phases } else { format!("\n      phases: {phases}") };
            format!("{} ended: {}{phases}", operation.id, report::operation(operation).replace('\n', "\n    "))
        }
        _ => narrative::words(change),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        guard::{Guard, Refusal},
        record::RecordKind,
    };

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
                id: None,
            },
        };
        let expected =
            "2026-11-22T01:02:03.456Z  #12  cart  uid:0  not done: switchover to spare: night shift\n      lag: 12 s";
        assert_eq!(line(&record), expected);
    }
}
