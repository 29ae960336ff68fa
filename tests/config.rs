//! The configuration as its users meet it: every kind of mistake with its exact report, the examples in `config/`, and
//! hostile bytes.
//!
//! `tests/config/invalid_*.toml` each have their report beside them (`.txt`). After a change that is meant,
//! `UPDATE_EXPECTED=1 cargo test --test config` writes the reports again; read the difference before committing it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pointsman::config::{
    AfterFailover, Code, Failover, Health, Loaded, Options, Replication, Severity, diff, load, load_bytes,
};
use proptest::prelude::*;

/// Every password that stands in a case.
const SECRETS: [&str; 5] = ["hunter2", "leaked-by", "nor-is-this", "in-clear-but", "unfinished"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Loads with the bare file name, so that reports don't depend on where the project lies.
fn load_case(path: &Path) -> Loaded {
    let bytes = std::fs::read(path).expect("the case can be read");
    let name = path.file_name().expect("a file has a name").to_string_lossy();
    load_bytes(&name, &bytes, Path::new("/nowhere"), Options { secrets: true })
}

#[test]
fn every_invalid_file_gives_the_report_beside_it() {
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder("tests/config"))
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    cases.sort();
    assert!(cases.len() >= 25, "only {} cases found", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let loaded = load_case(case);
        let invalid = case.file_name().is_some_and(|name| name.to_string_lossy().starts_with("invalid_"));
        assert_eq!(loaded.config.is_none(), invalid, "{}", case.display());
        let report = loaded.render_all(false);
        for secret in SECRETS {
            assert!(!report.contains(secret) && !loaded.to_json().contains(secret), "{report}");
        }
        let beside = case.with_extension("txt");
        if update {
            std::fs::write(&beside, &report).expect("the report can be written");
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        if report != expected {
            wrong.push(format!("{}\n--- expected\n{expected}\n--- found\n{report}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn text_of(name: &str) -> String {
    std::fs::read_to_string(folder(name)).expect("the example can be read")
}

fn without_secrets(text: &str) -> Loaded {
    load_bytes("example.toml", text.as_bytes(), Path::new("/etc/pointsman"), Options { secrets: false })
}

#[test]
fn the_examples_pass_without_secrets() {
    for name in ["config/pointsman.toml", "config/redis.toml", "config/mysql.toml", "config/elasticsearch.toml"] {
        let loaded = load(&folder(name), Options { secrets: false });
        assert_eq!(loaded.render_all(false), "", "{name}");
        assert!(loaded.config.is_some(), "{name}");
    }
}

/// Takes the comment sign from every line that is a key or a table header.
fn uncommented(text: &str) -> String {
    let optional = |line: &str| {
        let rest = line.strip_prefix("# ")?;
        let key = rest.split(" = ").next()?;
        let is_key = rest.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let is_table =
            ["[services.", "[admin.", "[[admin.", "[[telemetry."].iter().any(|start| rest.starts_with(start));
        (is_key || is_table).then(|| rest.to_owned())
    };
    text.lines().map(|line| optional(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

#[test]
fn every_optional_part_of_the_reference_is_valid_and_shows_the_default() {
    let text = text_of("config/pointsman.toml");
    let all = uncommented(&text);
    assert!(all.matches("\nserver_name = ").count() == 1 && all.contains("\nworkers = 1\n"), "{all}");
    let loaded = without_secrets(&all);
    assert_eq!(loaded.render_all(false), "");
    let (full, bare) = (loaded.config.expect("valid"), without_secrets(&text).config.expect("valid"));
    let examples = [
        "admin.listen",
        "admin.allowed_hosts",
        "admin.tls.",
        "admin.people.",
        "listen_read",
        "deny",
        "on_call",
        "tls.",
        "node_tls.",
        "workers",
        "users.shop",
        "idle_in_transaction",
        "indices",
        "journal.keep:",
        "telemetry.webhooks",
    ];
    let different: Vec<String> = diff(&bare, &full)
        .into_iter()
        .filter(|change| {
            let services = ["services.cart.", "services.orders.", "services.search."];
            let key = services.iter().find_map(|name| change.key.strip_prefix(name)).unwrap_or(&change.key);
            !examples.iter().any(|example| format!("{key}:").starts_with(example))
        })
        .map(|change| change.to_string())
        .collect();
    assert!(different.is_empty(), "the reference shows other values than the defaults: {different:?}");
}

/// The known keys, asked from the reader itself, all stand in the reference.
#[test]
fn the_reference_names_every_key() {
    let reference = text_of("config/pointsman.toml");
    for table in [
        "",
        "[admin]",
        "[telemetry]",
        "[[telemetry.webhooks]]",
        "[journal]",
        "[services.a]",
        "[services.a.health]",
        "[services.a.failover]",
    ] {
        let loaded = without_secrets(&format!("{table}\nqqqqqq = 1\n"));
        let known = loaded.problems.iter().find_map(|problem| problem.help.as_ref()?.strip_prefix("known here: "));
        for key in known.expect("an unknown key").split(", ") {
            let shown = [format!("{key} ="), format!("{key}]"), format!("[{key}.")];
            assert!(shown.iter().any(|form| reference.contains(form)), "{table} {key}");
        }
    }
}

#[test]
fn values_arrive_as_written() {
    let config = without_secrets(&text_of("config/redis.toml")).config.expect("valid");
    let cart = config.service("cart").expect("the service");
    assert_eq!(
        cart.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["127.0.0.1:6379", "unix:/run/pointsman/cart.sock"]
    );
    assert_eq!(cart.health, Health::default());
    assert_eq!(cart.failover, Failover::defaults(Replication::Managed));
    assert_eq!(
        cart.clusters.iter().map(|c| (c.name.as_str(), c.site.as_str())).collect::<Vec<_>>(),
        [("main", "east"), ("spare", "west")]
    );
    let none = text_of("config/redis.toml").replace("kind =", "replication = \"none\"\nkind =");
    let config = without_secrets(&none).config.expect("valid");
    assert_eq!(config.services[0].failover.after_failover, AfterFailover::ReadOnly);
}

#[test]
fn json_has_the_documented_fields() {
    let loaded = without_secrets("stat_dir = \"/x\"\n");
    let json: serde_json::Value = serde_json::from_str(&loaded.to_json()).expect("JSON");
    assert_eq!(json["ok"], false);
    let expected = serde_json::json!({"severity": "error", "file": "example.toml", "line": 1, "column": 1,
        "code": "unknown-key", "message": "unknown key `stat_dir`", "help": "did you mean `state_dir`?"});
    assert!(json["problems"].as_array().expect("a list").contains(&expected), "{json}");
    assert_eq!(without_secrets(&text_of("config/redis.toml")).to_json(), r#"{"ok":true,"problems":[]}"#);
}

/// Loads one service whose password comes from a file with that content and those permissions.
fn with_password_file(content: &[u8], mode: u32) -> Loaded {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("cart.password");
    std::fs::write(&path, content).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("permissions set");
    let text = text_of("config/redis.toml").replace("/etc/pointsman/cart.password", "cart.password");
    load_bytes("example.toml", text.as_bytes(), dir.path(), Options { secrets: true })
}

#[test]
fn a_password_file_is_read_and_its_line_end_dropped() {
    for content in ["s3cret\n", "s3cret\r\n", "s3cret"] {
        let config = with_password_file(content.as_bytes(), 0o640).config.expect("valid");
        assert!(!format!("{config:?}").contains("s3cret"));
        let password = config.services[0].credentials.as_ref().and_then(|login| login.password.clone());
        assert_eq!(password.expect("a password").expose(), b"s3cret");
    }
}

#[test]
fn a_password_file_that_everyone_can_read_or_that_holds_none_is_refused() {
    let long = vec![b'x'; 5000];
    let cases: [(&[u8], u32, Code); 4] = [
        (b"s3cret", 0o644, Code::SecretExposed),
        (b"", 0o600, Code::SecretMissing),
        (b"\r\n", 0o600, Code::SecretMissing),
        (&long, 0o600, Code::SecretMissing),
    ];
    for (content, mode, code) in cases {
        let loaded = with_password_file(content, mode);
        assert!(loaded.config.is_none());
        assert_eq!(loaded.problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), [code]);
        assert!(!loaded.render_all(false).contains("s3cret"));
    }
}

#[test]
fn a_file_that_is_too_large_or_absent_is_refused() {
    let large = load_bytes("large.toml", &vec![b'#'; (1 << 20) + 1], Path::new(""), Options::default());
    assert_eq!(large.problems[0].code, Code::TooLarge);
    let absent = load(Path::new("/nowhere/pointsman.toml"), Options::default());
    assert!(absent.render_all(false).starts_with("/nowhere/pointsman.toml:1:1: error: can't be read: "));
    assert!(large.config.is_none() && absent.config.is_none());
}

#[test]
fn a_diff_names_each_change_and_no_secret() {
    let old = text_of("config/redis.toml")
        .replace("password_file = \"/etc/pointsman/cart.password\"", "password = \"old-1\"");
    let new = old
        .replace("password = \"old-1\"", "password = \"new-2\"")
        .replace("state_dir = \"/var/lib/pointsman\"", "state_dir = \"/srv\"\ngrace = \"5s\"")
        .replace("on_call = \"cache team\"", "deny = \"shutdown\"\nhealth.fall = 4")
        .replace("nodes = [\"10.0.1.5:6379\"]", "nodes = [\"10.0.1.5:6379\", \"10.0.1.6:6379\"]")
        + "[services.basket]\nkind = \"redis\"\nlisten = \"127.0.0.1:7000\"\nclusters = [{ name = \"a\", nodes = \"a:1\" }, { name = \"b\", nodes = \"b:1\" }]\n";
    let load = |text: &str| load_bytes("x", text.as_bytes(), Path::new(""), Options { secrets: true }).config;
    let (old, new) = (load(&old).expect("valid"), load(&new).expect("valid"));
    let lines: Vec<String> = diff(&old, &new).iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "grace: 30s -> 5s",
            "state_dir: /var/lib/pointsman -> /srv (needs a restart)",
            "services.basket: (none) -> redis on 127.0.0.1:7000, clusters a, b",
            "services.cart.clusters.spare: site west, nodes 10.0.1.5:6379 -> site west, nodes 10.0.1.5:6379, 10.0.1.6:6379",
            "services.cart.credentials.password: (secret) -> (changed)",
            "services.cart.deny: (default) -> SHUTDOWN",
            "services.cart.health.fall: 3 -> 4",
            "services.cart.on_call: cache team -> (none)",
        ]
    );
    assert!(diff(&old, &old).is_empty());
}

/// Anything at all may stand in the file; loading and every report of it must come back.
fn survives(bytes: &[u8]) {
    let loaded = load_bytes("x.toml", bytes, Path::new("/nowhere"), Options { secrets: true });
    let errors = loaded.problems.iter().any(|problem| problem.severity == Severity::Error);
    assert_eq!(loaded.config.is_none(), errors);
    assert_eq!(
        loaded.render_all(false).lines().filter(|line| line.starts_with("x.toml:")).count(),
        loaded.problems.len()
    );
    loaded.render_all(true);
    loaded.to_json();
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        survives(&bytes);
    }

    #[test]
    fn mutated_examples_never_panic(cut in 0usize..6000, len in 0usize..40, insert in "[\\PC\n\r\"'=\\[\\]{}.,0-9]{0,12}") {
        let mut bytes = uncommented(&text_of("config/pointsman.toml")).into_bytes();
        let from = cut.min(bytes.len());
        let to = (from + len).min(bytes.len());
        bytes.splice(from..to, insert.bytes());
        survives(&bytes);
    }

    #[test]
    fn swapped_values_never_panic(line in 0usize..200, value in "-?[0-9]{1,25}|\"[ -~]{0,30}\"|\\[\\]|\\{\\}|true|[0-9].[0-9]e9|1979-05-27") {
        let text = uncommented(&text_of("config/pointsman.toml"));
        let keys = text.lines().filter(|line| line.contains(" = ")).count();
        let mut nth = 0;
        let changed: String = text.lines().map(|old| {
            let Some((key, _)) = old.split_once(" = ") else { return format!("{old}\n") };
            nth += 1;
            if nth == line % keys + 1 { format!("{key} = {value}\n") } else { format!("{old}\n") }
        }).collect();
        survives(changed.as_bytes());
    }
}

#[test]
fn a_huge_file_of_mistakes_is_answered_soon_and_in_bounds() {
    let one_line = format!("x = [{}", "1,".repeat(500_000));
    let keys = (0..60_000).map(|n| format!("key{n} = 1")).collect::<Vec<_>>().join("\n");
    let equals = "=".repeat(1 << 20);
    let deep = "[".repeat(1 << 20);
    for text in [one_line, keys, equals, deep] {
        let begin = std::time::Instant::now();
        survives(text.as_bytes());
        assert!(begin.elapsed() < Duration::from_secs(20), "{} bytes took {:?}", text.len(), begin.elapsed());
    }
}
