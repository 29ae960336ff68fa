//! Metrics, health and logs of a running Pointsman on real servers.

mod common;
#[path = "switchover/rig.rs"]
mod rig;

use common::{PATIENCE, redis_server::RedisServer, wait_for};
use rig::Rig;
use serde_json::{Value, json};

fn ready() -> (Rig, RedisServer, RedisServer) {
    let (rig, main, spare) = Rig::pair("");
    rig.wait_ready();
    (rig, main, spare)
}

#[track_caller]
fn post(rig: &Rig, action: &str, body: &Value, status: u16) -> Value {
    let (found, answer) = rig.pointsman.api(&format!("/v1/services/cart/{action}"), Some(body));
    assert_eq!(found, status, "{action} {body}: {answer}");
    answer
}

/// INTERFACE: names, and the labels that tell their series apart.
const METRICS: &[(&str, &str)] = &[
    ("build_info", "version"),
    ("config_reload_success", ""),
    ("route_epoch", "svc store"),
    ("route_info", "svc store member node"),
    ("service_mode", "svc store mode"),
    ("service_state", "svc store state"),
    ("service_ready", "svc store operation"),
    ("member_up", "svc store member site"),
    ("member_lag_seconds", "svc store member site"),
    ("node_up", "svc store member site node"),
    ("probe_duration_seconds", "svc store member site node"),
    ("client_connections", "svc store"),
    ("read_client_connections", "svc store"),
    ("upstream_connections", "svc store sharing"),
    ("commands_total", "svc store outcome"),
    ("command_duration_seconds_count", "svc store"),
    ("held_commands", "svc store"),
    ("switches_total", "svc store operation outcome"),
    ("switch_duration_seconds_count", "svc store phase"),
    ("last_switch_timestamp_seconds", "svc store"),
    ("refusals_total", "svc store guard"),
    ("overrides_total", "svc store guard"),
    ("operations_waiting", "svc store"),
    ("admin_denied_total", "reason"),
    ("admin_streams", ""),
    ("admin_stream_gaps_total", ""),
    ("journal_seq", ""),
    ("journal_first_seq", ""),
    ("journal_writable", ""),
    ("process_resident_memory_bytes", ""),
    ("process_cpu_seconds_total", ""),
    ("process_open_fds", ""),
    ("process_max_fds", ""),
    ("process_start_time_seconds", ""),
];

#[test]
fn every_metric_is_there_from_the_start_with_its_labels() {
    require_server!("redis7");
    let (mut rig, _main, _spare) = ready();
    let (_, page) = rig.pointsman.telemetry("/metrics");
    for (name, labels) in METRICS {
        let samples: Vec<&str> = page.lines().filter(|line| sample(line) == format!("pointsman_{name}")).collect();
        assert!(!samples.is_empty(), "{name} is missing");
        for line in samples {
            let inner = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(inner, _)| inner);
            let mut found: Vec<&str> = inner.split(',').filter_map(|label| Some(label.split_once('=')?.0)).collect();
            let mut expected: Vec<&str> = labels.split(' ').filter(|label| !label.is_empty()).collect();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{line}");
        }
    }
    let known = |line: &str| {
        let name = sample(line);
        METRICS.iter().any(|(metric, _)| {
            let family = metric.trim_end_matches("_count");
            name == format!("pointsman_{metric}")
                || name.strip_prefix("pointsman_").is_some_and(|n| n.starts_with(family))
        })
    };
    let strange: Vec<&str> = page.lines().filter(|line| line.starts_with("pointsman_") && !known(line)).collect();
    assert!(strange.iter().all(|line| line.starts_with("pointsman_process_")), "not listed here: {strange:?}");
    for counter in ["pointsman_switches_total{", "pointsman_refusals_total{"] {
        assert!(page.lines().filter(|line| line.starts_with(counter)).all(|line| line.ends_with(" 0")), "{counter}");
    }
    post(&rig, "switchover", &json!({}), 200);
    let moved = rig.pointsman.metric(&["pointsman_last_switch_timestamp_seconds{"]);
    assert!(moved > Some(1.0e9));
    assert_eq!(rig.pointsman.metric(&["pointsman_route_info{", "member=\"spare\""]), Some(1.0));
    assert_eq!(rig.pointsman.metric(&["pointsman_route_info{", "member=\"main\""]), None, "one route");
    rig.pointsman.kill();
    rig.pointsman.launch();
    let again = rig.pointsman.metric(&["pointsman_last_switch_timestamp_seconds{"]).expect("there");
    assert!((again - moved.expect("there")).abs() < 5.0, "a restart doesn't forget when: {again}");
}

/// The name of a sample's line.
fn sample(line: &str) -> &str {
    line.split(['{', ' ']).next().unwrap_or_default()
}

#[test]
fn logs_say_what_they_are_about_and_nothing_secret() {
    require_server!("redis7");
    let (rig, _main, _spare) = ready();
    let mut client = rig.raw();
    client.send("SET top-secret-key top-secret-value\r\n").expect("+OK\r\n");
    let id = post(&rig, "switchover", &json!({"reason": "test"}), 200)["id"].as_str().expect("an id").to_owned();
    let log = rig.pointsman.log();
    for what in ["action=\"fence\"", "action=\"promote\"", "operation ended", "route=\"hold_warm\""] {
        let line = log.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("no {what} in\n{log}"));
        assert!(line.contains("svc=cart") && line.contains("epoch=") && line.contains(&id), "{line}");
    }
    assert!(!log.contains("top-secret"), "{log}");
}

#[test]
fn metrics_and_health() {
    require_server!("redis7");
    let (rig, _main, _spare) = ready();
    rig.raw().send("SET k v\r\n").expect("+OK\r\n");
    let (status, page) = rig.pointsman.telemetry("/metrics");
    assert_eq!(status, 200);
    for part in [
        "pointsman_build_info{",
        "pointsman_config_reload_success 1",
        "pointsman_route_info{",
        "pointsman_switches_total{",
        "pointsman_refusals_total{",
        "pointsman_probe_duration_seconds{",
        "pointsman_member_lag_seconds{",
        "pointsman_command_duration_seconds_bucket{",
        "pointsman_held_commands{",
        "pointsman_process_open_fds ",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
    let answered = || rig.pointsman.metric(&["pointsman_commands_total{", "outcome=\"answered\""]);
    wait_for("the command is counted", PATIENCE, || answered() > Some(0.0));
    let mut client = rig.raw();
    post(&rig, "mode", &json!({"mode": "hold"}), 200);
    client.send("GET k\r\n");
    wait_for("the held command is shown", PATIENCE, || {
        rig.pointsman.metric(&["pointsman_held_commands{"]) == Some(1.0)
    });
    post(&rig, "mode", &json!({"mode": "open"}), 200);
    client.expect("$1\r\nv\r\n");
    assert_eq!(rig.pointsman.metric(&["pointsman_held_commands{"]), Some(0.0));
    assert_eq!(rig.pointsman.telemetry("/livez").0, 200);
    assert_eq!(rig.pointsman.telemetry("/readyz").0, 200);
    post(&rig, "switchover", &json!({}), 200);
    let done = ["pointsman_switches_total{", "operation=\"switchover\"", "outcome=\"done\""];
    assert_eq!(rig.pointsman.metric(&done), Some(1.0));
    assert!(rig.pointsman.metric(&["pointsman_last_switch_timestamp_seconds{"]) > Some(1.0e9));
    post(&rig, "switchover", &json!({"if_epoch": 1}), 409);
    assert_eq!(rig.pointsman.metric(&["pointsman_refusals_total{", "guard=\"epoch\""]), Some(1.0));
}
