//! The kinds of bad configuration, as a table: each is found by a file in `tests/config` or by one made here, has its place, a caret
//! under what is wrong, and a help that says what to do. Mistakes of one file are told all at once.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pointsman::config::{Loaded, Options, Severity, load, load_bytes};

/// Every kind that must be found: its code, and its message without the names and numbers of one case.
const KINDS: &[(&str, &str)] = &[
    ("unreadable", "can't be read: …"),
    ("too-large", "the file is larger than N MiB"),
    ("not-utf8", "this byte is not UTF-N"),
    ("syntax", "duplicate key"),
    ("syntax", "unexpected key or value, …"),
    ("syntax", "unclosed inline table, …"),
    ("syntax", "invalid basic string, …"),
    ("syntax", "missing comma between array elements, …"),
    ("unknown-key", "unknown key X"),
    ("unknown-key", "unknown key X in X"),
    ("wrong-type", "X must be true or false, …"),
    ("wrong-type", "X must be a string, …"),
    ("wrong-type", "X must be a whole number, …"),
    ("wrong-type", "X must be a table, …"),
    ("wrong-type", "X must be a duration such as X, …"),
    ("wrong-type", "X must be a command or a list of commands, …"),
    ("wrong-type", "X needs a unit"),
    ("bad-value", "X is no value of X"),
    ("bad-value", "X is empty"),
    ("bad-value", "X has a control character or a line break"),
    ("bad-value", "X is not a duration"),
    ("bad-value", "X is not a size"),
    ("bad-value", "X is not an address to listen on"),
    ("bad-value", "port N is not allowed"),
    ("bad-value", "the socket's path X is not absolute"),
    ("bad-value", "the socket's path is N bytes long"),
    ("bad-value", "X is not the address of a node"),
    ("bad-value", "X can't be a name"),
    ("bad-value", "X is not the name of a command"),
    ("bad-value", "X is no log filter"),
    ("bad-value", "X is no pattern of indices"),
    ("bad-value", "X can't be sent: a colon ends the name in basic authentication"),
    ("out-of-range", "X must be from N to N"),
    ("out-of-range", "X has N members, N are allowed"),
    ("out-of-range", "X has N clusters, N are allowed"),
    ("out-of-range", "X has more than N patterns or N bytes"),
    ("out-of-range", "X is longer than N characters"),
    ("missing", "X is missing in X"),
    ("missing", "X is empty"),
    ("missing", "X gives no password"),
    ("missing", "X has only one of X and X"),
    ("missing", "X must have at least two members, found N"),
    ("missing", "the file has no service"),
    ("duplicate", "X is taken already: X in line N listens on X"),
    ("duplicate", "X is taken already: X, by default, listens on X"),
    ("duplicate", "node X stands in line N already"),
    ("duplicate", "node X is managed by another service: X in line N"),
    ("duplicate", "the service has a cluster X already"),
    ("duplicate", "the service has a user X already"),
    ("conflict", "X gives several passwords"),
    ("conflict", "node X is a listener of the same service"),
    ("conflict", "X belongs to a service of kind X"),
    ("conflict", "X belongs to services with standbys"),
    ("conflict", "X has no meaning in a service of kind X"),
    ("not-supported", "X comes with a later version"),
    ("secret-missing", "the environment variable X is not set"),
    ("secret-missing", "X can't be used: No such file or directory …"),
    ("secret-missing", "X can't be used: it is empty"),
    ("secret-missing", "X can't be used: it is longer than N bytes"),
    ("secret-missing", "X can't be used: it is not a regular file"),
    ("secret-exposed", "X is readable by everyone"),
];

/// Warnings: the file is used all the same.
const WARNINGS: &[(&str, &str)] = &[
    ("secret-exposed", "a password stands in the file in clear"),
    ("doubtful", "all clusters are in one site, X"),
    ("doubtful", "transactions get N to end, longer than requests are held (N)"),
    ("doubtful", "a probe may take N, longer than the X of N"),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A message without what one case alone has.
fn kind(message: &str) -> String {
    let mut text = String::new();
    let mut quote = None;
    for c in message.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => (quote, text) = (None, text + "X"),
            (Some(_), _) => {}
            (None, '`' | '"') => quote = Some(c),
            (None, c) => text.push(c),
        }
    }
    let number = |word: &str| {
        let bare = word.trim_matches(['(', ')', ',', '.']);
        let counts = bare.starts_with(|c: char| c.is_ascii_digit()) && bare.len() <= 8;
        if counts { word.replace(bare, "N") } else { word.to_owned() }
    };
    let text = text.split(' ').map(number).collect::<Vec<_>>().join(" ").replace("UTF-8", "UTF-N");
    // What follows differs from system to system, or with what was found.
    for (before, keep) in [(", found ", true), (", expected ", true), ("can't be read: ", false), ("directory ", false)]
    {
        if let Some((head, _)) = text.split_once(before)
            && !text.contains("at least two")
        {
            return format!("{head}{}…", if keep { ", " } else { before });
        }
    }
    text
}

/// Files that can't lie in a folder of cases.
fn made() -> Vec<Loaded> {
    let bare = std::fs::read_to_string(folder("config/redis.toml")).expect("an example");
    let read = |text: &str| load_bytes("made.toml", text.as_bytes(), Path::new("/nowhere"), Options::default());
    let with = |old: &str, new: &str| {
        assert!(bare.contains(old), "{old}");
        read(&bare.replace("password_file = \"/etc/pointsman/cart.password\"", "password = \"x\"").replace(old, new))
    };
    let nodes = (0..300).map(|n| format!("\"n{n}:1\"")).collect::<Vec<_>>().join(", ");
    let clusters = (0..17).map(|n| format!("[[services.cart.clusters]]\nname = \"c{n}\"\nnodes = \"c{n}:1\"\n"));
    let mysql = std::fs::read_to_string(folder("config/mysql.toml")).expect("an example");
    let search = std::fs::read_to_string(folder("config/elasticsearch.toml")).expect("an example");
    let many = (0..70).map(|n| format!("\"i{n}\"")).collect::<Vec<_>>().join(", ");
    let mut all = vec![
        load(Path::new("/nowhere/pointsman.toml"), Options::default()),
        read(&"#".repeat((1 << 20) + 1)),
        with("unix:/run/pointsman/cart.sock", &format!("unix:/{}", "x".repeat(120))),
        with("\"10.0.0.5:6379\"", &nodes),
        with("[[services.cart.clusters]]", &(clusters.collect::<String>() + "[[services.cart.clusters]]")),
        read(&mysql.replace("name = \"shop\"", &format!("name = \"{}\"", "x".repeat(129)))),
        read(&search.replace("kind = \"elasticsearch\"", &format!("kind = \"elasticsearch\"\nindices = [{many}]"))),
    ];
    all.extend(secrets(&bare));
    all
}

/// Password files that are no good.
fn secrets(bare: &str) -> Vec<Loaded> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("p");
    let text = bare.replace("/etc/pointsman/cart.password", "p");
    let read = || load_bytes("made.toml", text.as_bytes(), dir.path(), Options::default());
    let mut all = Vec::new();
    for (content, mode) in [("", 0o600), (&*"x".repeat(5000), 0o600), ("secret", 0o644)] {
        std::fs::write(&file, content).expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("permissions set");
        all.push(read());
    }
    std::fs::remove_file(&file).expect("there");
    std::fs::create_dir(&file).expect("a folder in its place");
    all.push(read());
    all
}

fn cases() -> Vec<Loaded> {
    let entries = std::fs::read_dir(folder("tests/config")).expect("the cases").map(|entry| entry.expect("an entry"));
    let files = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "toml"));
    let read = |path: PathBuf| {
        let bytes = std::fs::read(path).expect("a case");
        load_bytes("case.toml", &bytes, Path::new("/nowhere"), Options::default())
    };
    files.map(read).chain(made()).collect()
}

#[test]
fn every_kind_is_named_at_its_place_with_a_caret_and_a_help() {
    let (mut errors, mut warnings) = (BTreeMap::new(), BTreeMap::new());
    let mut poor = Vec::new();
    for loaded in cases() {
        let report = loaded.render_all(false);
        for problem in &loaded.problems {
            let code = serde_json::to_value(problem.code).expect("a word");
            let kind = (code.as_str().expect("a word").to_owned(), kind(&problem.message));
            let head = format!("{}:{}:{}: {}: ", problem.file, problem.line, problem.column, problem.severity.as_str());
            let block = report.split(&format!("{head}{}\n", problem.message)).nth(1).unwrap_or_default();
            let block = block.split("case.toml:").next().unwrap_or_default();
            let whole = ["unreadable", "too-large"].contains(&kind.0.as_str())
                || problem.message.starts_with("the file has no");
            if block.is_empty() || problem.help.is_none() || (!whole && !block.contains('^')) {
                poor.push(format!("{head}{}\n{block}", problem.message));
            }
            let found = if problem.severity == Severity::Error { &mut errors } else { &mut warnings };
            *found.entry(kind).or_insert(0) += 1;
        }
    }
    assert!(poor.is_empty(), "without a place, a caret or a help:\n{}", poor.join("\n"));
    for (table, found) in [(KINDS, &errors), (WARNINGS, &warnings)] {
        let key = |(code, kind): &(&str, &str)| ((*code).to_owned(), (*kind).to_owned());
        let lacking: Vec<_> = table.iter().map(key).filter(|kind| !found.contains_key(kind)).collect();
        assert!(lacking.is_empty(), "no case leads to {lacking:#?}\nfound: {:#?}", found.keys());
    }
    assert!(errors.len() >= 40, "{} kinds", errors.len());
}

#[test]
fn all_mistakes_of_one_file_are_told_at_once() {
    let text = "stat_dir = \"/x\"\ngrace = 30\nworkers = 65\n[admin]\nsocket = \"x\"\n[telemetry]\nlisten = \"localhost:9321\"\n\
        log = \"inof\"\n[services.\"a b\"]\nkind = \"reddis\"\nlisten = [\"127.0.0.1:0\", 5]\ntune = 1\nmax_conections = 5\n\
        client_buffer = \"1 MB of it\"\n[services.\"a b\".health]\nfall = 0\ninterval = \"5ms\"\nsecond_opinion = \"nobody\"\n\
        [[services.\"a b\".clusters]]\nname = \"-\"\nnodes = []\n";
    let loaded = load_bytes("case.toml", text.as_bytes(), Path::new("/nowhere"), Options::default());
    let lines: Vec<usize> = loaded.problems.iter().map(|problem| problem.line).collect();
    for line in [1, 2, 3, 5, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 18, 20, 21] {
        assert!(lines.contains(&line), "line {line} has a mistake: {}", loaded.render_all(false));
    }
    assert!(lines.is_sorted() && lines.len() >= 18, "{lines:?}");
}
