//! The record as an auditor finds it, on the real binary: whole, damaged, rewritten, cut, removed by retention, on a full disk; and
//! what it says of the configuration.

mod common;
#[path = "switchover/rig.rs"]
mod rig;

use common::{PATIENCE, instance::program, redis_server::RedisServer, volume::Volume, wait_for};
use pointsman::{
    coord::{Coordinator, local::Local},
    model::record::{Change, Draft, RecordKind},
};
use rig::{Rig, wait_role};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// `audit verify` of a state folder: the code, what it says, what it complains.
fn verify(state: &Path, more: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(program());
    command.args(["audit", "verify", "--state-dir"]).arg(state).args(more);
    let output = command.output().expect("the binary under test starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("a code"), text(&output.stdout), text(&output.stderr))
}

fn segments(state: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(state.join("journal")).expect("a journal").map(|file| file.expect("a file").path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect();
    files.sort();
    files
}

/// A copy of a journal, to be damaged.
fn copy(state: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("journal")).expect("a folder");
    for file in segments(state) {
        fs::copy(&file, folder.path().join("journal").join(file.file_name().expect("a name"))).expect("a copy");
    }
    folder
}

fn heads(log: &str) -> Vec<String> {
    let head = |line: &str| Some(line.split("journal_head=\"").nth(1)?.split('"').next()?.to_owned());
    log.lines().filter_map(head).collect()
}

#[test]
fn a_journal_is_whole_while_it_is_written_and_afterwards_and_its_heads_stand_in_the_log() {
    require_server!("redis7");
    let (mut rig, _main, _spare) = Rig::pair("");
    rig.wait_ready();
    let state = rig.pointsman.folder().join("state");
    rig.switch("spare");
    rig.wait_ready();
    rig.switch("main");
    let (code, out, err) = verify(&state, &[]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.starts_with("whole: records 1 to ") && out.contains("a Pointsman has it open"), "{out}");
    assert!(out.contains("doesn't prove that it wasn't written anew"), "{out}");
    let said = heads(&rig.pointsman.log());
    assert!(said.len() >= 3, "at the start, hourly from then on, at each end of an operation: {said:?}");
    for head in &said {
        let (code, out, err) = verify(&state, &["--head", head]);
        assert_eq!(code, 0, "{head}: {out}{err}");
        assert!(out.contains("the head that was given is in it"), "{out}");
    }
    let (_, journal) = rig.pointsman.api("/v1/journal?limit=1", None);
    let head = format!("{}:{}", journal["head"]["seq"], journal["head"]["hash"].as_str().expect("a hash"));
    assert_eq!(verify(&state, &["--head", &head, "--head", &said[0]]).0, 0);
    rig.pointsman.terminate();
    assert_eq!(rig.pointsman.wait().code(), Some(0));
    let last = heads(&rig.pointsman.log()).pop().expect("the last word");
    let config = rig.pointsman.config_file();
    let mut command = Command::new(program());
    command.args(["audit", "verify", "--json", "--head", &last, "--config"]).arg(&config);
    let output = command.output().expect("the binary under test starts");
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (output.status.code(), &found["ok"], &found["running"]),
        (Some(0), &json!(true), &json!(false)),
        "{found}"
    );
    assert_eq!(format!("{}:{}", found["head"]["seq"], found["head"]["hash"].as_str().expect("a hash")), last);
}

#[test]
fn damage_is_found_at_any_place_and_named() {
    require_server!("redis7");
    let (mut rig, _main, _spare) = Rig::pair("");
    rig.wait_ready();
    rig.switch("spare");
    let head = heads(&rig.pointsman.log()).pop().expect("a head");
    rig.pointsman.terminate();
    rig.pointsman.wait();
    let folder = copy(&rig.pointsman.folder().join("state"));
    let path = segments(folder.path()).remove(0);
    let bytes = fs::read(&path).expect("a file");
    let lines = bytes.split(|byte| *byte == b'\n').count() - 1;
    let text = bytes.iter().rposition(|byte| *byte != 0).expect("text") + 1;
    let places = [0, 9, 80, 200, text / 2, text - 2, text - 1, text, text + 1000, bytes.len() - 1];
    for at in places {
        let mut changed = bytes.clone();
        changed[at] ^= 0x20;
        fs::write(&path, changed).expect("written");
        let (code, out, err) = verify(folder.path(), &["--json"]);
        assert_eq!(code, 5, "byte {at}: {out}{err}");
        let found: Value = serde_json::from_str(&out).expect("JSON");
        let line = found["problem"]["line"].as_u64().expect("a line");
        assert!(line >= 1 && line <= lines as u64 + 1, "{found}");
        let place =
            format!("{}:{line}: the journal is damaged at record {}", path.display(), found["problem"]["record"]);
        assert!(err.contains(&place), "{err} {place}");
    }
    fs::write(&path, &bytes).expect("written");
    assert_eq!(verify(folder.path(), &["--head", &head]).0, 0);
    // Another journal that is whole, by somebody who began anew: only the head tells.
    let (mut other, _primary, _standby) = Rig::pair("");
    other.wait_ready();
    other.switch("spare");
    other.pointsman.terminate();
    other.pointsman.wait();
    let theirs = other.pointsman.folder().join("state");
    assert_eq!(verify(&theirs, &[]).0, 0);
    let (code, _, err) = verify(&theirs, &["--head", &head]);
    assert_eq!(code, 5, "{err}");
    assert_eq!(verify(Path::new("/nonexistent"), &[]).0, 2);
    assert_eq!(verify(&theirs, &["--head", "12"]).0, 2);
}

/// A journal of at least so many segments, as years would have left it.
fn fill(state: &Path, many: usize) {
    let journal = Local::open(state).expect("a journal");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    while segments(state).len() < many {
        let change = Change::Noted { text: "x".repeat(200_000) };
        let (kind, actor, reason) = (RecordKind::Decision, String::new(), String::new());
        let draft = Draft { svc: None, kind, actor, reason, epoch: None, change };
        runtime.block_on(journal.append(vec![draft])).expect("written");
    }
}

#[test]
fn old_segments_go_as_configured_and_what_is_left_is_proven_from_there() {
    require_server!("redis7");
    let (main, spare) = RedisServer::pair("redis7");
    let mut rig = Rig::prepare(&[("main", vec![&main]), ("spare", vec![&spare])], "");
    let file = fs::read_to_string(rig.pointsman.config_file()).expect("just written");
    let with = |size: &str| file.replacen("[admin]", &format!("[journal]\nkeep_size = \"{size}\"\n[admin]"), 1);
    rig.pointsman.write_config(&with("64MiB"));
    let state = rig.pointsman.folder().join("state");
    fill(&state, 12);
    rig.pointsman.launch();
    rig.wait_ready();
    let before = segments(&state).len();
    rig.pointsman.write_config(&with("8MiB"));
    rig.pointsman.cli_expect(&["reload"], 0);
    wait_for("the oldest are gone", PATIENCE, || segments(&state).len() < before);
    let removed = || rig.journal("text=are%20removed&order=newest&limit=1").pop();
    wait_for("it is recorded", PATIENCE, || removed().is_some());
    let removed = removed().expect("just seen")["detail"]["removed"].clone();
    wait_for("it is shown", PATIENCE, || {
        rig.pointsman.metric(&["pointsman_journal_first_seq"]).is_some_and(|first| first > 1.0)
    });
    let (_, journal) = rig.pointsman.api("/v1/journal?limit=1", None);
    assert_eq!(journal["records"][0]["seq"], journal["head"]["first"], "{}", journal["head"]);
    assert_eq!(removed["seq"].as_u64().map(|seq| seq + 1), journal["head"]["first"].as_u64());
    let (code, out, err) = verify(&state, &[]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains(&format!("proven from record {} on", journal["head"]["first"])), "{out}");
    let last = format!("{}:{}", removed["seq"], removed["hash"].as_str().expect("a hash"));
    assert!(out.contains(&last) && rig.pointsman.log().contains(&last), "{out}");
    assert_eq!(verify(&state, &["--head", &last]).0, 0, "what is left continues it");
    // A start reads what is left, and knows the route.
    let epoch = rig.service()["epoch"].clone();
    rig.pointsman.kill();
    rig.pointsman.launch();
    rig.wait_steady();
    assert_eq!(rig.service()["epoch"], epoch);
    // Whoever removes more is found out.
    let folder = copy(&state);
    fs::remove_file(segments(folder.path()).remove(0)).expect("it is there");
    let (code, _, err) = verify(folder.path(), &[]);
    assert!(code == 5 && err.contains("nothing says that Pointsman removed them"), "{err}");
}

/// A pair whose Pointsman can't write its journal any more; none where no disk may be mounted.
fn on_a_full_disk(settings: &str) -> Option<(Rig, RedisServer, RedisServer, Volume)> {
    let Some(volume) = Volume::new(24) else {
        eprintln!("skipped: no loop mount here");
        return None;
    };
    let (main, spare) = RedisServer::pair("redis7");
    let mut rig = Rig::prepare(&[("main", vec![&main]), ("spare", vec![&spare])], settings);
    symlink(volume.path(), rig.pointsman.folder().join("state")).expect("its state folder is that disk");
    rig.pointsman.launch();
    rig.wait_ready();
    assert_eq!(rig.pointsman.metric(&["pointsman_journal_writable"]), Some(1.0));
    volume.fill();
    for length in [1000, 100, 0] {
        let order = json!({ "reason": "x".repeat(length) });
        wait_for("the journal takes no more", 3 * PATIENCE, || {
            rig.pointsman.api("/v1/services/cart/resume", Some(&order)).0 == 422
        });
    }
    Some((rig, main, spare, volume))
}

#[test]
fn a_service_may_fail_over_although_its_journal_is_full_and_it_is_written_later() {
    require_server!("redis7");
    let policy = "[services.cart.health]\ninterval = \"100ms\"\nfall = 2\n\
                  [services.cart.failover]\nfull_journal = \"promote\"";
    let Some((mut rig, mut main, spare, volume)) = on_a_full_disk(policy) else { return };
    main.kill();
    wait_role(&spare, "master");
    rig.wait("served there", |service| service["route"]["node"] == spare.address() && service["mode"] == "open");
    assert_eq!(rig.raw().command(&["SET", "k", "v"]).text(), "OK");
    let epoch = rig.service()["epoch"].clone();
    volume.empty();
    let ended = || rig.journal("svc=cart&kind=operation&text=failover&order=newest&limit=50");
    wait_for("it is written late", PATIENCE, || ended().iter().any(|record| record["detail"]["what"] == "ended"));
    let ended = ended().into_iter().find(|record| record["detail"]["what"] == "ended").expect("just seen");
    assert_eq!(Rig::guards(&ended["detail"]["operation"]), ["journal"], "what was passed is named: {ended:#}");
    rig.pointsman.kill();
    rig.pointsman.launch();
    rig.wait("served there", |service| service["route"]["node"] == spare.address() && service["mode"] == "open");
    assert_eq!(rig.service()["epoch"], epoch, "no older epoch after a restart");
}

#[test]
fn a_full_disk_is_said_everywhere_and_its_end_is_found_without_an_order() {
    require_server!("redis7");
    let Some((rig, _main, _spare, volume)) = on_a_full_disk("") else { return };
    rig.wait("said in its note", |service| service["note"].as_str().is_some_and(|note| note.contains("No space left")));
    wait_for("said as a metric", PATIENCE, || rig.pointsman.metric(&["pointsman_journal_writable"]) == Some(0.0));
    let (_, journal) = rig.pointsman.api("/v1/journal?limit=1", None);
    assert!(journal["head"]["error"].to_string().contains("No space left"), "{}", journal["head"]);
    let (status, problem) = rig.pointsman.api("/v1/services/cart/switchover", Some(&json!({ "to": "spare" })));
    assert_eq!((status, &problem["guards"][0]["name"]), (422, &json!("journal")), "{problem:#}");
    assert!(rig.pointsman.log().contains("the journal can't be written"));
    let lines = |words: &str| rig.pointsman.log().lines().filter(|line| line.contains(words)).count();
    let (code, out, err) = verify(&volume.path(), &[]);
    assert_eq!(code, 0, "what was written is whole: {out}{err}");
    volume.empty();
    rig.wait_ready();
    wait_for("the metric too", PATIENCE, || rig.pointsman.metric(&["pointsman_journal_writable"]) == Some(1.0));
    assert!(lines("the journal can be written again") >= 1);
    assert!(lines("the journal can't be written") <= 10, "said once each time, not each second");
    assert!(!rig.journal("svc=cart&text=could%20not%20be%20written%20since").is_empty(), "and how long it was so");
    rig.switch("spare");
}

#[test]
fn a_configuration_that_changed_while_nothing_ran_is_recorded_at_the_start_without_secrets() {
    require_server!("redis7");
    let (mut rig, _main, _spare) = Rig::pair("on_call = \"day shift\"");
    let changes = |rig: &Rig| rig.journal("kind=configuration");
    assert_eq!(changes(&rig).len(), 1, "what the first start found");
    let file = fs::read_to_string(rig.pointsman.config_file()).expect("its file");
    rig.pointsman.kill();
    let login = "[services.cart.credentials]\npassword = \"nothing-to-see\"\n[[services.cart.clusters]]";
    let file = file.replace("day shift", "night shift").replacen("[[services.cart.clusters]]", login, 1);
    rig.pointsman.write_config(&file);
    rig.pointsman.launch_only();
    wait_for("recorded", PATIENCE, || !rig.service().is_null() && changes(&rig).len() == 2);
    let record = &changes(&rig)[1];
    let lines = record["detail"]["changes"].to_string();
    assert!(lines.contains("services.cart.on_call: day shift -> night shift (since the last start)"), "{record:#}");
    assert!(lines.contains("services.cart.credentials.password: (none) -> (secret)"), "{record:#}");
    let journal =
        segments(&rig.pointsman.folder().join("state")).into_iter().map(|path| fs::read(path).expect("a file"));
    let text: Vec<u8> = journal.flatten().collect();
    assert!(!String::from_utf8_lossy(&text).contains("nothing-to-see"), "a secret stands in the journal");
    rig.pointsman.kill();
    rig.pointsman.launch_only();
    wait_for("up again", PATIENCE, || !rig.service().is_null());
    assert_eq!(changes(&rig).len(), 2, "no change, no record");
}
