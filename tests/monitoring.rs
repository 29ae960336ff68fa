//! What `monitoring/` promises, on a real Pointsman before a real Redis: the metrics page, the alert rules with their tests, the dashboard.

mod common;
#[path = "switchover/rig.rs"]
mod rig;

use common::{instance::Pointsman, ports::free_port, redis_server::RedisServer, servers_folder, yaml};
use rig::{Rig, service};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text_of(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs promtool; gives its exit code's success and everything that it printed.
fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new(servers_folder().join("prometheus/promtool"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool starts");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn rules() -> Vec<Value> {
    let groups = yaml::documents(&file("monitoring/pointsman.rules.yml")).remove(0);
    let groups = groups["groups"].as_array().expect("groups").clone();
    groups.iter().flat_map(|group| group["rules"].as_array().cloned().expect("rules")).collect()
}

fn word<'a>(value: &'a Value, what: &str) -> &'a str {
    value.as_str().unwrap_or_else(|| panic!("no {what}"))
}

#[test]
fn the_alert_rules_hold_what_their_tests_say() {
    require_server!("prometheus");
    let (good, said) = promtool(&["check", "rules", &file("monitoring/pointsman.rules.yml").display().to_string()], "");
    assert!(good, "{said}");
    let (good, said) =
        promtool(&["test", "rules", &file("monitoring/pointsman.rules.test.yml").display().to_string()], "");
    assert!(good, "{said}");
    let config = file("monitoring/prometheus.yml").display().to_string();
    let (good, said) = promtool(&["check", "config", &config], "");
    assert!(good, "{said}");
}

#[test]
fn every_alert_has_a_test_that_fires_one_that_does_not_and_a_runbook() {
    require_server!("yaml");
    let tests = yaml::documents(&file("monitoring/pointsman.rules.test.yml")).remove(0);
    let tests = tests["tests"].as_array().expect("tests");
    let tested = |alert: &str, fires: bool| {
        tests.iter().flat_map(|test| test["alert_rule_test"].as_array().into_iter().flatten()).any(|test| {
            let expected = test["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty());
            test["alertname"] == alert && expected == fires
        })
    };
    let runbooks = text_of("docs/runbooks.md");
    let all = rules();
    assert!(all.len() >= 23, "{} rules", all.len());
    for rule in &all {
        let alert = word(&rule["alert"], "name");
        assert!(tested(alert, true) && tested(alert, false), "{alert} isn't tested both ways");
        let severity = word(&rule["labels"]["severity"], "severity");
        assert!(["critical", "warning", "info"].contains(&severity), "{alert}: {severity}");
        for annotation in ["summary", "description"] {
            assert!(!word(&rule["annotations"][annotation], annotation).is_empty(), "{alert}");
        }
        let link = format!("docs/runbooks.md#{}", alert.to_ascii_lowercase());
        assert_eq!(word(&rule["annotations"]["runbook_url"], "runbook_url"), link);
        assert!(runbooks.contains(&format!("\n## {alert}\n")), "{alert} has no runbook");
    }
}

/// A service that was switched once, in a group with one whose nodes answer nobody, and a webhook, so that every metric has a series.
#[track_caller]
fn page() -> String {
    let (main, spare) = RedisServer::pair("redis7");
    let port = free_port();
    let hook = "[[telemetry.webhooks]]\nname = \"pager\"\nurl = \"http://127.0.0.1:9/\"\n";
    let services = service(
        port,
        &[("main", vec![&main]), ("spare", vec![&spare])],
        &format!("listen_read = [\"127.0.0.1:{}\"]", free_port()),
    );
    let group = format!(
        "[services.silent]\nkind = \"redis\"\nlisten = \"127.0.0.1:{}\"\nreplication = \"none\"\n\
         [[services.silent.clusters]]\nname = \"main\"\nnodes = \"127.0.0.1:{}\"\n\
         [[services.silent.clusters]]\nname = \"spare\"\nnodes = \"127.0.0.1:{}\"\n\
         [groups.checkout]\nmembers = [\"cart\", \"silent\"]\n",
        free_port(),
        free_port(),
        free_port()
    );
    let rig = Rig { pointsman: Pointsman::start(&format!("{hook}{services}{group}")), port };
    rig.wait_ready();
    rig.raw().send("SET k v\r\n").expect("+OK\r\n");
    rig.switch("spare");
    rig.wait_ready();
    let wanted = "pointsman_webhook_behind_records";
    common::wait_for("the webhook's series", common::PATIENCE, || rig.pointsman.metric(&[wanted]).is_some());
    rig.pointsman.telemetry("/metrics").1
}

#[test]
fn promtool_has_nothing_to_say_about_a_live_page() {
    require_server!("prometheus");
    require_server!("redis7");
    let (good, said) = promtool(&["check", "metrics"], &page());
    assert!(good && said.is_empty(), "{said}");
}

/// A selector of a query: the metric, and each label with the values that it must have (none where any will do).
#[derive(Debug)]
struct Selector {
    metric: String,
    labels: Vec<(String, Vec<String>)>,
}

/// Every selector of Pointsman's own metrics.
fn selectors(query: &str) -> Vec<Selector> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(at) = rest.find("pointsman_") {
        let end = rest[at..].find(|c| !is_name(c)).map_or(rest.len(), |end| at + end);
        let metric = rest[at..end].to_owned();
        rest = &rest[end..];
        let mut labels = Vec::new();
        if let Some(inner) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(inner, _)| inner) {
            for matcher in inner.split(", ").filter(|matcher| !matcher.is_empty()) {
                let (name, value) = matcher.split_once('=').expect("a matcher");
                let exact = !name.ends_with('!') && !value.contains('$');
                let value = value.trim_start_matches('~').trim_matches('"');
                let values = if exact { value.split('|').map(ToOwned::to_owned).collect() } else { Vec::new() };
                labels.push((name.trim_end_matches('!').to_owned(), values));
            }
        }
        found.push(Selector { metric, labels });
    }
    found
}

/// Prometheus adds these.
const TARGET: [&str; 2] = ["instance", "job"];

/// Fails on a query that would find nothing on that page, whatever happens.
#[track_caller]
fn finds_something(page: &str, query: &str) {
    for Selector { metric, labels } in selectors(query) {
        let samples: Vec<&str> = page.lines().filter(|line| line.split(['{', ' ']).next() == Some(&metric)).collect();
        assert!(!samples.is_empty(), "{metric} isn't on the page: {query}");
        for (label, values) in labels.iter().filter(|(label, _)| !TARGET.contains(&label.as_str())) {
            assert!(
                samples.iter().all(|line| line.contains(&format!("{label}=\""))),
                "{metric} has no label {label}: {query}"
            );
            for value in values {
                let wanted = format!("{label}=\"{value}\"");
                assert!(samples.iter().any(|line| line.contains(&wanted)), "{metric} never has {wanted}: {query}");
            }
        }
    }
}

/// The queries of the dashboard's panels, variables and annotations.
fn queries(dashboard: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let panels = list(&dashboard["panels"]);
    let targets = panels.iter().flat_map(|panel| list(&panel["targets"]));
    let annotations = list(&dashboard["annotations"]["list"]);
    let exprs = targets.chain(annotations).filter_map(|target| Some(target["expr"].as_str()?.to_owned()));
    exprs.collect()
}

#[test]
fn every_query_of_rules_and_dashboard_finds_something_on_a_live_page() {
    require_server!("yaml");
    require_server!("redis7");
    let page = page();
    for rule in rules() {
        finds_something(&page, word(&rule["expr"], "expr"));
    }
    let dashboard: Value = serde_json::from_str(&text_of("monitoring/grafana.json")).expect("JSON");
    let all = queries(&dashboard);
    assert!(all.len() >= 25, "{} queries", all.len());
    for query in &all {
        finds_something(&page, query);
    }
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    for variable in variables.iter().filter(|variable| variable["type"] == "query") {
        let query = word(&variable["definition"], "definition");
        finds_something(&page, query.trim_start_matches("label_values("));
    }
    // And the other way round: whatever is measured is looked at by somebody.
    let looked_at: String = all.concat() + &rules().iter().map(|rule| rule["expr"].to_string()).collect::<String>();
    let names: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let unseen: Vec<&&str> = names.iter().filter(|name| !looked_at.contains(**name)).collect();
    let left = [
        "pointsman_build_info",
        "pointsman_journal_first_seq",
        "pointsman_process_threads",
        "pointsman_read_route_info",
    ];
    assert!(unseen.iter().all(|name| left.contains(name)), "on no panel and in no rule: {unseen:?}");
}

#[test]
fn the_dashboard_is_whole_and_its_queries_are_queries() {
    require_server!("prometheus");
    let dashboard: Value = serde_json::from_str(&text_of("monitoring/grafana.json")).expect("JSON");
    assert!(dashboard["schemaVersion"].as_u64() >= Some(39), "today's schema");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    let mut taken = BTreeSet::new();
    for panel in panels {
        let side = |name: &str| panel["gridPos"][name].as_u64().expect("a place");
        assert!(side("x") + side("w") <= 24, "{}", panel["title"]);
        for column in side("x")..side("x") + side("w") {
            for line in side("y")..side("y") + side("h") {
                assert!(taken.insert((column, line)), "{} lies on another panel", panel["title"]);
            }
        }
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
            assert!(panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()), "{}", panel["title"]);
            assert!(panel["fieldConfig"]["defaults"].is_object() && panel["options"].is_object(), "{}", panel["title"]);
        }
    }
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (index, query) in queries(&dashboard).iter().enumerate() {
        let query = query
            .replace("$__rate_interval", "5m")
            .replace("$__range", "1h")
            .replace("$instance", ".*")
            .replace("$svc", ".*");
        let _ = writeln!(rules, "  - record: panel:query:{index}\n    expr: {}", Value::from(query));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let written = folder.path().join("dashboard.yml");
    std::fs::write(&written, rules).expect("written");
    let (good, said) = promtool(&["check", "rules", &written.display().to_string()], "");
    assert!(good, "{said}");
}
