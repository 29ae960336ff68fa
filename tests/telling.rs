//! Webhooks of a real Pointsman before a real Redis, told to a real HTTP server that takes them, fails, hangs, and comes back.

mod common;
#[path = "telling/receiver.rs"]
mod receiver;
#[path = "switchover/rig.rs"]
mod rig;

use common::{
    PATIENCE, certificates::Certificates, ports::free_port, process::Process, redis_server::RedisServer, wait_for,
};
use receiver::{Manner, Receiver};
use rig::{Rig, service};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

/// One webhook's table.
fn hook(name: &str, url: &str, more: &str) -> String {
    format!("[[telemetry.webhooks]]\nname = \"{name}\"\nurl = \"{url}\"\ntimeout = \"500ms\"\n{more}\n")
}

/// A service with these webhooks, steady and ready.
#[track_caller]
fn start(hooks: &str, settings: &str) -> (Rig, RedisServer, RedisServer) {
    let (main, spare) = RedisServer::pair("redis7");
    let rig = prepare(hooks, settings, &main, &spare);
    rig.wait_ready();
    (rig, main, spare)
}

#[track_caller]
fn prepare(hooks: &str, settings: &str, main: &RedisServer, spare: &RedisServer) -> Rig {
    let port = free_port();
    let text = service(port, &[("main", vec![main]), ("spare", vec![spare])], settings);
    let mut rig = Rig { pointsman: common::instance::Pointsman::prepare(&format!("{hooks}{text}")), port };
    rig.pointsman.launch();
    rig.wait_steady();
    rig
}

fn mode(rig: &Rig, mode: &str) {
    rig.pointsman.cli_expect(&["mode", "cart", mode], 0);
}

/// The number of deliveries of the only webhook that ended so.
fn deliveries(rig: &Rig, outcome: &str) -> f64 {
    let outcome = format!("outcome=\"{outcome}\"");
    rig.pointsman.metric(&["pointsman_webhook_deliveries_total{", &outcome]).expect("there from the start")
}

#[test]
fn a_failover_fires_and_resolves_when_the_old_primary_is_a_standby_again() {
    require_server!("redis7");
    let (pager, archive) = (Receiver::start(free_port()), Receiver::start(free_port()));
    let hooks = hook("pager", &format!("http://127.0.0.1:{}/v4", pager.port()), "events = [\"failover\", \"start\"]")
        + &hook(
            "archive",
            &format!("http://127.0.0.1:{}/plain?x=y", archive.port()),
            "format = \"json\"\nevents = [\"failover\", \"record\"]",
        );
    let settings = "on_call = \"cache team\"\n[services.cart.health]\nsecond_opinion = \"none\"\n[services.cart.failover]\nunfenced = \"promote\"\n";
    let (rig, mut main, _spare) = start(&hooks, settings);
    main.kill();
    pager.wait_for("PointsmanFailover", "firing", || rig.pointsman.log());
    assert!(!pager.alerts().contains(&("PointsmanFailover".into(), "resolved".into())), "its primary is gone");
    main.restart();
    pager.wait_for("PointsmanFailover", "resolved", || rig.pointsman.log());
    let messages = pager.taken();
    let of = |status: &str| {
        let fits =
            |message: &&Value| message["status"] == status && message["alerts"][0]["labels"]["event"] == "failover";
        messages.iter().find(fits).unwrap_or_else(|| panic!("no {status} in {messages:#?}"))
    };
    let (firing, resolved) = (of("firing"), of("resolved"));
    for message in [firing, resolved] {
        assert_eq!((&message["version"], &message["groupKey"]), (&"4".into(), &"{}:{svc=\"cart\"}".into()));
        assert_eq!(message["alerts"][0]["fingerprint"], firing["alerts"][0]["fingerprint"]);
        assert_eq!(message["alerts"][0]["startsAt"], firing["alerts"][0]["startsAt"]);
        assert_eq!(message["alerts"][0]["annotations"]["on_call"], "cache team");
        assert_eq!(message["alerts"][0]["annotations"]["runbook_url"], "docs/runbooks.md#pointsmanfailover");
    }
    assert!(
        pager.alerts().iter().all(|(name, _)| name == "PointsmanFailover"),
        "history is no news: {:?}",
        pager.alerts()
    );

    // The archive has every record once, in order, and the journal's head.
    let last = rig.journal("").last().expect("records")["seq"].as_u64();
    let seqs = || -> Vec<u64> {
        let taken = archive.taken();
        let events = taken.iter().flat_map(|body| body["events"].as_array().into_iter().flatten());
        events.filter(|event| event["event"] == "record").filter_map(|event| event["record"]["seq"].as_u64()).collect()
    };
    wait_for("every record is told", PATIENCE, || seqs().last().copied() >= last);
    assert!(seqs().windows(2).all(|pair| pair[0] + 1 == pair[1]), "each once, in order: {:?}", seqs());
    let told = archive.told();
    assert!(told.iter().all(|told| told.path == "/plain?x=y"));
    let event = told.iter().flat_map(|told| told.body["events"].as_array().cloned().unwrap_or_default());
    let failover = event.into_iter().find(|event| event["event"] == "failover").expect("told beside its record");
    assert_eq!(failover["record"]["detail"]["operation"]["kind"], "failover");
    assert_eq!(told[0].body["services"]["cart"]["name"], "cart");
    let head = told[0].body["head"].as_str().expect("a head").to_owned();
    assert!(head.split_once(':').is_some_and(|(seq, hash)| seq.parse::<u64>().is_ok() && hash.len() == 64), "{head}");
}

#[test]
fn what_an_endpoint_did_not_take_is_told_later_and_nothing_twice() {
    require_server!("redis7");
    let mut receiver = Receiver::start(free_port());
    let url = format!("http://127.0.0.1:{}/", receiver.port());
    let hooks = hook("archive", &url, "format = \"json\"\nevents = [\"record\"]");
    let (mut rig, _main, _spare) = start(&hooks, "");
    let seqs = |receiver: &Receiver| -> Vec<u64> {
        let taken = receiver.taken();
        let events = taken.iter().flat_map(|body| body["events"].as_array().into_iter().flatten());
        events.filter_map(|event| event["record"]["seq"].as_u64()).collect()
    };
    let last = |rig: &Rig| rig.journal("").last().expect("records")["seq"].as_u64();
    let caught_up = |rig: &Rig, receiver: &Receiver| {
        wait_for("it is told everything", PATIENCE, || seqs(receiver).last().copied() >= last(rig));
        assert!(seqs(receiver).windows(2).all(|pair| pair[0] + 1 == pair[1]), "{:?}", seqs(receiver));
    };
    mode(&rig, "read_only");
    caught_up(&rig, &receiver);
    // A server error, a redirect, silence, and nobody there: each is tried again.
    for manner in [Manner::Says(503), Manner::Redirects, Manner::Hangs] {
        let asked = receiver.told().len();
        receiver.behave(manner);
        mode(&rig, if manner == Manner::Redirects { "read_only" } else { "open" });
        receiver.wait_asked(asked + 1);
        receiver.behave(Manner::Takes);
        caught_up(&rig, &receiver);
    }
    assert!(receiver.told().iter().all(|told| told.path == "/"), "no redirect is followed");
    assert!(deliveries(&rig, "refused") >= 2.0 && deliveries(&rig, "delivered") >= 4.0);
    receiver.stop();
    mode(&rig, "read_only");
    wait_for("the attempt is counted", PATIENCE, || deliveries(&rig, "lost") >= 1.0);
    wait_for("what waits is counted", PATIENCE, || {
        rig.pointsman.metric(&["pointsman_webhook_behind_records{"]) >= Some(1.0)
    });
    // A Pointsman that is killed meanwhile tells the rest at its next start, and what was taken not again.
    rig.pointsman.kill();
    receiver.restart();
    rig.pointsman.launch();
    rig.wait("up again", |service| service["mode"] == "read_only");
    caught_up(&rig, &receiver);
    wait_for("nothing is left to tell", PATIENCE, || {
        rig.pointsman.metric(&["pointsman_webhook_behind_records{"]) == Some(0.0)
    });
    let log = rig.pointsman.log();
    assert!(log.contains("redirects are not followed") && log.contains("no answer within"), "{log}");
}

#[test]
fn an_endpoint_that_asks_for_patience_gets_it_whatever_happens() {
    require_server!("redis7");
    let receiver = Receiver::start(free_port());
    receiver.behave(Manner::Later);
    let url = format!("http://127.0.0.1:{}/", receiver.port());
    let (rig, _main, _spare) = start(&hook("archive", &url, "format = \"json\"\nevents = [\"record\"]"), "");
    mode(&rig, "read_only");
    receiver.wait_asked(1);
    let asked = receiver.told().len();
    for _ in 0..10 {
        mode(&rig, "open");
        mode(&rig, "read_only");
    }
    // It has looked at all of them, and kept them.
    wait_for("what waits is counted", PATIENCE, || {
        rig.pointsman.metric(&["pointsman_webhook_behind_records{"]) >= Some(20.0)
    });
    assert_eq!(receiver.told().len(), asked);
}

#[test]
fn an_endpoint_that_hangs_keeps_nobody_waiting() {
    require_server!("redis7");
    let (hangs, takes) = (Receiver::start(free_port()), Receiver::start(free_port()));
    hangs.behave(Manner::Hangs);
    let all = "events = [\"switchover\", \"failed\"]";
    let hooks = hook("hangs", &format!("http://127.0.0.1:{}/", hangs.port()), all)
        + &hook("takes", &format!("http://127.0.0.1:{}/", takes.port()), all);
    let (mut rig, _main, _spare) = start(&hooks, "");
    let operation = rig.switch("spare");
    takes.wait_for("PointsmanSwitchover", "firing", || rig.pointsman.log());
    hangs.wait_asked(1);
    rig.wait_ready();
    rig.switch("main");
    assert_eq!(rig.pointsman.telemetry("/livez").0, 200);
    assert_eq!(operation["outcome"], "done");
    rig.pointsman.terminate();
    assert!(rig.pointsman.wait().success(), "and none at its end");
}

fn secret(file: &Path, content: &str) {
    std::fs::write(file, content).expect("writing a secret");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).expect("its mode");
}

#[test]
fn tls_and_the_token_reach_only_whom_they_are_for_and_are_never_shown() {
    require_server!("redis7");
    let folder = tempfile::tempdir().expect("a folder");
    let certificates = Certificates::write(folder.path());
    let strangers = tempfile::tempdir().expect("a folder");
    let foreign = Certificates::write(strangers.path());
    let token = folder.path().join("token");
    secret(&token, "s3cret-token\n");
    let receiver = Receiver::with_tls(free_port(), &certificates);
    let url = format!("https://localhost:{}/k3y-in-a-path", receiver.port());
    let table = |ca: &Path| {
        let (token, ca) = (token.display(), ca.display());
        hook(
            "pager",
            &url,
            &format!("events = [\"switchover\", \"configuration\"]\ntoken_file = \"{token}\"\nca = \"{ca}\""),
        )
    };
    let (main, spare) = RedisServer::pair("redis7");
    let rig = prepare(&table(&foreign.ca), "", &main, &spare);
    rig.wait_ready();
    rig.switch("spare");
    wait_for("its certificate isn't trusted", PATIENCE, || deliveries(&rig, "lost") >= 1.0);
    assert_eq!(receiver.told().len(), 0, "nothing was said to a stranger");
    assert!(rig.pointsman.log().contains("the endpoint's certificate"), "{}", rig.pointsman.log());
    let services = service(rig.port, &[("main", vec![&main]), ("spare", vec![&spare])], "");
    rig.pointsman.write_services(&format!("{}{services}", table(&certificates.ca)));
    rig.pointsman.cli_expect(&["reload"], 0);
    receiver.wait_for("PointsmanSwitchover", "firing", || rig.pointsman.log());
    assert_eq!(receiver.told()[0].headers["authorization"], "Bearer s3cret-token");

    // A file that is refused is told, and that it was mended; neither shows a secret, nor does anything else.
    rig.pointsman.write_services(&format!("{}{}", table(&certificates.ca), services.replace("listen", "lisen")));
    rig.pointsman.cli_expect(&["reload"], 2);
    receiver.wait_for("PointsmanConfigurationRefused", "firing", || rig.pointsman.log());
    rig.pointsman.write_services(&format!("{}{services}", table(&certificates.ca).replace("k3y", "other-k3y")));
    rig.pointsman.cli_expect(&["reload"], 0);
    receiver.wait_for("PointsmanConfigurationRefused", "resolved", || rig.pointsman.log());
    let (_, config) = rig.pointsman.api("/v1/config", None);
    let book = std::fs::read_to_string(rig.pointsman.folder().join("state/webhooks/pager.json")).expect("its book");
    let shown = [rig.pointsman.log(), config.to_string(), json!(rig.journal("")).to_string(), book];
    for text in shown {
        assert!(!text.contains("s3cret") && !text.contains("k3y"), "{text}");
    }
    assert_eq!(config["telemetry"]["webhooks"][0]["token"], "***");
}

#[test]
fn a_webhook_comes_and_goes_by_a_reload() {
    require_server!("redis7");
    let receiver = Receiver::start(free_port());
    let (rig, main, spare) = start("", "");
    let services = service(rig.port, &[("main", vec![&main]), ("spare", vec![&spare])], "");
    let hooks = hook(
        "late",
        &format!("http://127.0.0.1:{}/", receiver.port()),
        "events = [\"switchover\", \"not_ready\"]\nnot_ready_after = \"0s\"",
    );
    rig.switch("spare");
    rig.pointsman.write_services(&format!("{hooks}{services}"));
    rig.pointsman.cli_expect(&["reload"], 0);
    wait_for("it is there", PATIENCE, || {
        rig.pointsman.metric(&["pointsman_webhook_behind_records{hook=\"late\"}"]) == Some(0.0)
    });
    rig.wait_ready();
    assert!(receiver.alerts().iter().all(|(name, _)| name != "PointsmanSwitchover"), "what was before is no news");
    rig.switch("main");
    receiver.wait_for("PointsmanSwitchover", "firing", || rig.pointsman.log());
    // The standby dies: no way to fail over; it comes back: there is.
    let mut spare = spare;
    spare.kill();
    receiver.wait_for("PointsmanNotReadyForFailover", "firing", || rig.pointsman.log());
    spare.restart();
    receiver.wait_for("PointsmanNotReadyForFailover", "resolved", || rig.pointsman.log());
    rig.pointsman.write_services(&services);
    rig.pointsman.cli_expect(&["reload"], 0);
    wait_for("it is gone", PATIENCE, || rig.pointsman.metric(&["pointsman_webhook_behind_records{"]).is_none());
}

#[test]
fn a_switch_that_waits_for_a_second_person_is_told_and_one_that_did_not_wait_too() {
    require_server!("redis7");
    let receiver = Receiver::start(free_port());
    // Who runs the test is ann.
    let people = format!(
        "[[admin.people]]\nname = \"ann\"\nrole = \"approver\"\nuid = {}\n\
         [[admin.people]]\nname = \"ben\"\nrole = \"approver\"\nuid = 64999\n",
        rustix::process::geteuid().as_raw()
    );
    let hooks = hook("pager", &format!("http://127.0.0.1:{}/", receiver.port()), "");
    let (rig, _main, _spare) = start(&format!("{people}{hooks}"), "require_approval = true");
    rig.pointsman.cli_expect(&["switchover", "cart", "--reason", "the sale"], 6);
    receiver.wait_for("PointsmanApprovalWaiting", "firing", || rig.pointsman.log());
    let message = receiver.taken().remove(0);
    let alert = &message["alerts"][0];
    let summary = alert["annotations"]["summary"].as_str().expect("a summary");
    assert!(summary.contains("ann") && summary.contains("second person"), "{summary}");
    let id = rig.service()["operation"]["id"].as_str().expect("an id").to_owned();
    assert!(
        alert["annotations"]["description"]
            .as_str()
            .is_some_and(|words| words.contains(&id) && words.contains("the sale"))
    );
    rig.pointsman.cli_expect(&["withdraw", &id, "--reason", "not today"], 0);
    receiver.wait_for("PointsmanApprovalWaiting", "resolved", || rig.pointsman.log());
    let urgent = ["switchover", "cart", "--override", "approval", "--reason", "it burns"];
    rig.pointsman.cli_expect(&urgent, 0);
    receiver.wait_for("PointsmanOverrideUsed", "firing", || rig.pointsman.log());
}

/// One body that is never taken must not keep the rest waiting for ever; that it is given up after a while is a unit test.
#[test]
fn a_body_that_is_refused_is_made_smaller() {
    require_server!("redis7");
    let receiver = Receiver::start(free_port());
    let hooks =
        hook("archive", &format!("http://127.0.0.1:{}/", receiver.port()), "format = \"json\"\nevents = [\"record\"]");
    let (rig, _main, _spare) = start(&hooks, "");
    receiver.behave(Manner::Says(413));
    mode(&rig, "read_only");
    receiver.wait_asked(2);
    receiver.behave(Manner::Takes);
    let last = rig.journal("").last().expect("records")["seq"].clone();
    wait_for("it is told everything", PATIENCE, || {
        receiver.taken().iter().any(|body| body.to_string().contains(&format!("\"seq\":{last}")))
    });
}

/// A real Alertmanager is told the same alert by its own API, and what its webhook sends is compared with ours: every field, its type, and
/// the fingerprint.
#[test]
fn the_form_is_that_of_a_real_alertmanager() {
    require_server!("redis7");
    require_server!("alertmanager");
    let (ours, theirs) = (Receiver::start(free_port()), Receiver::start(free_port()));
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("alertmanager.yml");
    let text = format!(
        "route: {{receiver: pager, group_by: [svc], group_wait: 10ms, group_interval: 1s}}\n\
         receivers:\n- name: pager\n  webhook_configs: [{{url: 'http://127.0.0.1:{}/'}}]\n",
        theirs.port()
    );
    std::fs::write(&config, text).expect("written");
    let port = free_port();
    let arguments = [
        format!("--config.file={}", config.display()),
        format!("--storage.path={}", folder.path().join("data").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--cluster.listen-address=".to_owned(),
    ];
    let program = common::servers_folder().join("alertmanager/prometheus-alertmanager");
    let _alertmanager = Process::start(&program, &arguments, &[], &folder.path().join("log"));
    let hooks = hook("pager", &format!("http://127.0.0.1:{}/", ours.port()), "events = [\"switchover\"]");
    let (rig, _main, _spare) = start(&hooks, "on_call = \"cache team\"");
    rig.switch("spare");
    ours.wait_for("PointsmanSwitchover", "firing", || rig.pointsman.log());
    let mine = ours.taken().remove(0);
    let alert = &mine["alerts"][0];
    let body = json!([{"labels": alert["labels"], "annotations": alert["annotations"]}]).to_string();
    wait_for("it takes the alert", PATIENCE, || {
        let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return false };
        let head = format!(
            "POST /api/v2/alerts HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut answer = String::new();
        stream.write_all((head + &body).as_bytes()).and_then(|()| stream.read_to_string(&mut answer)).is_ok()
            && answer.contains(" 200 ")
    });
    theirs.wait_for("PointsmanSwitchover", "firing", || String::from("see its folder"));
    let theirs = theirs.taken().remove(0);
    assert_eq!(shape(&mine), shape(&theirs), "{mine:#}\n{theirs:#}");
    for same in ["version", "status", "receiver", "groupLabels", "commonLabels", "commonAnnotations", "truncatedAlerts"]
    {
        assert_eq!(mine[same], theirs[same], "{same}");
    }
    for same in ["fingerprint", "labels", "annotations", "status"] {
        assert_eq!(mine["alerts"][0][same], theirs["alerts"][0][same], "{same}");
    }
    assert_eq!(mine["groupKey"], theirs["groupKey"]);
}

/// A value's fields and types, as text.
fn shape(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let each = fields.iter().map(|(name, value)| format!("{name}:{}", shape(value)));
            format!("{{{}}}", each.collect::<Vec<_>>().join(","))
        }
        Value::Array(all) => format!("[{}]", all.first().map(shape).unwrap_or_default()),
        Value::String(_) => "text".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Null => "null".to_owned(),
    }
}
