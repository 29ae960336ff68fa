//! Alertmanager's own form, version 4: what its webhooks get, so that whatever takes those takes this.
//!
//! Input: events. Output: one message a service. An alert's labels never change while it lasts, so neither does its fingerprint, which
//! is computed as Alertmanager does (FNV-1a over the sorted labels).

use super::{event::Event, plain::Sender, words};
use crate::{config::Notice, model::name::ServiceName};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// What Alertmanager writes for the end of an alert that lasts.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Labels or annotations.
type Texts = BTreeMap<&'static str, String>;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    version: &'static str,
    group_key: String,
    truncated_alerts: u32,
    status: &'static str,
    receiver: String,
    group_labels: Texts,
    common_labels: Texts,
    common_annotations: Texts,
    #[serde(rename = "externalURL")]
    external_url: String,
    alerts: Vec<Alert>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    status: &'static str,
    labels: Texts,
    annotations: Texts,
    starts_at: Timestamp,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

/// The bodies to send, one a service, in the order in which each was first spoken of. Of two events of one alert only the later one
/// goes out: an alert is either firing or resolved.
pub(super) fn bodies(events: &[Event], sender: &Sender<'_>) -> Vec<Vec<u8>> {
    let mut groups: Vec<(Option<&ServiceName>, Vec<&Event>)> = Vec::new();
    for event in events.iter().filter(|event| event.notice != Notice::Record) {
        let svc = event.svc.as_ref();
        if groups.iter().all(|(known, _)| *known != svc) {
            groups.push((svc, Vec::new()));
        }
        for (_, alerts) in groups.iter_mut().filter(|(known, _)| *known == svc) {
            alerts.retain(|earlier| earlier.key() != event.key());
            alerts.push(event);
        }
    }
    let message = |(svc, events)| serde_json::to_vec(&message(svc, events, sender)).unwrap_or_default();
    groups.into_iter().map(message).collect()
}

fn message(svc: Option<&ServiceName>, events: Vec<&Event>, sender: &Sender<'_>) -> Message {
    let alerts: Vec<Alert> = events.into_iter().map(|event| alert(event, sender)).collect();
    let firing = alerts.iter().any(|alert| alert.status == FIRING);
    let mut group_labels = Texts::new();
    let group_key = match svc {
        Some(svc) => {
            group_labels.insert("svc", svc.to_string());
            format!("{{}}:{{svc=\"{svc}\"}}")
        }
        None => "{}:{}".to_owned(),
    };
    Message {
        version: "4",
        group_key,
        truncated_alerts: 0,
        status: if firing { FIRING } else { RESOLVED },
        receiver: sender.hook.to_owned(),
        group_labels,
        common_labels: common(&alerts.iter().map(|alert| &alert.labels).collect::<Vec<_>>()),
        common_annotations: common(&alerts.iter().map(|alert| &alert.annotations).collect::<Vec<_>>()),
        external_url: String::new(),
        alerts,
    }
}

const FIRING: &str = "firing";
const RESOLVED: &str = "resolved";

fn alert(event: &Event, sender: &Sender<'_>) -> Alert {
    let view = event.svc.as_ref().and_then(|svc| sender.views.iter().find(|view| view.name == *svc));
    let mut labels = Texts::from([
        ("alertname", words::alert(event.notice).to_owned()),
        ("event", event.notice.as_str().to_owned()),
        ("instance", sender.instance.to_owned()),
        ("job", "pointsman".to_owned()),
        ("severity", words::severity(event.notice).to_owned()),
    ]);
    if let Some(svc) = &event.svc {
        labels.insert("svc", svc.to_string());
    }
    let mut annotations = Texts::from([
        ("summary", event.summary.clone()),
        ("description", event.description.clone()),
        ("runbook_url", words::runbook(sender.runbooks, event.notice)),
        ("journal_head", sender.head.clone()),
    ]);
    if let Some(view) = view.filter(|view| !view.on_call.is_empty()) {
        annotations.insert("on_call", view.on_call.clone());
    }
    annotations.retain(|_, text| !text.is_empty());
    Alert {
        status: if event.ends.is_some() { RESOLVED } else { FIRING },
        fingerprint: fingerprint(&labels),
        labels,
        annotations,
        starts_at: event.starts,
        ends_at: event.ends.map_or_else(|| NEVER.to_owned(), |ends| ends.to_string()),
        generator_url: String::new(),
    }
}

/// What all have alike.
fn common(all: &[&Texts]) -> Texts {
    let Some(&first) = all.first() else { return Texts::new() };
    let mut common = first.clone();
    common.retain(|name, text| all.iter().all(|other| other.get(name) == Some(text)));
    common
}

/// FNV-1a over the labels in their order, as Prometheus and Alertmanager do it.
fn fingerprint(labels: &Texts) -> String {
    let separated = labels.iter().flat_map(|(name, value)| [name.as_bytes(), &[255], value.as_bytes(), &[255]]);
    let hash = separated
        .flatten()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_that_of_prometheus() {
        // Of client_golang's model: the empty set, and one label.
        assert_eq!(fingerprint(&Texts::new()), "cbf29ce484222325");
        let one = fingerprint(&Texts::from([("alertname", "PointsmanFailover".to_owned())]));
        let other = fingerprint(&Texts::from([("alertname", "PointsmanBlocked".to_owned())]));
        assert!(one != other && one.len() == 16, "{one} {other}");
    }
}
