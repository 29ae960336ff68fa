//! `config/pointsman.schema.json` and the reader of the configuration say the same.
//!
//! The commented reference `config/pointsman.toml` is the ground: every key of the schema must stand in it, every key that the reader
//! knows in a table must stand in the schema, and for each key a row of values is put in its place: what the schema refuses the reader
//! refuses too, and types, words and whole numbers that the reader refuses the schema refuses. A new key needs a line in the reference
//! and one in the schema; a forgotten one fails here by its name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use pointsman::config::{Code, JSON_SCHEMA, Loaded, Options, Severity, diff, load_bytes};
use serde_json::Value as Json;
use toml::{Table, Value};

/// A key that nobody has, and that is like no other.
const NO_KEY: &str = "qqqqqqqq";

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn schema() -> Json {
    serde_json::from_str(JSON_SCHEMA).expect("the schema is JSON")
}

fn validator() -> Validator {
    jsonschema::draft7::new(&schema()).expect("a schema of draft 7")
}

fn read(text: &str) -> Loaded {
    load_bytes("case.toml", text.as_bytes(), Path::new("/etc/pointsman"), Options { secrets: false })
}

/// The reference with every optional part in force.
fn reference() -> Table {
    let text = std::fs::read_to_string(folder("config/pointsman.toml")).expect("the reference");
    let optional = |line: &str| {
        let rest = line.strip_prefix("# ")?;
        let key = rest.split(" = ").next()?;
        let is_key = rest.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let is_head = rest.starts_with('[') && rest.ends_with(']') && !rest.contains(' ');
        (is_key || is_head).then(|| rest.to_owned())
    };
    let all: String = text.lines().map(|line| optional(line).unwrap_or_else(|| line.to_owned()) + "\n").collect();
    all.parse().unwrap_or_else(|error| panic!("the reference without its comment signs is no TOML: {error}"))
}

/// TOML as the schema sees it. A date has no type in JSON; it must fit nothing that a key may be.
fn json(value: &Value) -> Json {
    match value {
        Value::Datetime(_) => Json::Null,
        Value::Array(members) => members.iter().map(json).collect(),
        Value::Table(table) => table.iter().map(|(key, value)| (key.clone(), json(value))).collect(),
        plain => serde_json::to_value(plain).expect("a plain value"),
    }
}

/// One step on the way to a value.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Member(usize),
}

type Way = Vec<Step>;

fn shown(way: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Key(key) => format!(".{key}"),
        Step::Member(index) => format!("[{index}]"),
    };
    way.iter().map(step).collect::<String>().trim_start_matches('.').to_owned()
}

/// The schema of what stands at `way`: references followed, and of alternatives those that fit the value's sort.
fn at<'s>(root: &'s Json, way: &[Step], document: &Value) -> Option<&'s Json> {
    let (mut node, mut value) = (resolved(root, root, document), document);
    for step in way {
        let next = match step {
            Step::Key(key) => {
                value = value.get(key)?;
                node.get("properties").and_then(|keys| keys.get(key)).or_else(|| node.get("additionalProperties"))?
            }
            Step::Member(index) => {
                value = value.get(index)?;
                node.get("items")?
            }
        };
        if next == &Json::Bool(false) {
            return None;
        }
        node = resolved(root, next, value);
    }
    Some(node)
}

fn resolved<'s>(root: &'s Json, node: &'s Json, value: &Value) -> &'s Json {
    let follow = |reference: &Json| {
        let path = reference.as_str().and_then(|text| text.strip_prefix('#')).expect("a reference within the schema");
        root.pointer(path).unwrap_or_else(|| panic!("{path} is not in the schema"))
    };
    if let Some(reference) = node.get("$ref") {
        return resolved(root, follow(reference), value);
    }
    if node.get("type").is_none() && node.get("properties").is_none() {
        if let Some(parts) = node.get("allOf").and_then(Json::as_array) {
            return resolved(root, &parts[0], value);
        }
        if let Some(parts) = node.get("oneOf").and_then(Json::as_array) {
            let sort = match value {
                Value::Array(_) => "array",
                Value::Table(_) => "object",
                _ => "string",
            };
            let fits = |part: &&Json| resolved(root, part, value).get("type").is_none_or(|found| found == sort);
            return resolved(root, parts.iter().find(fits).unwrap_or(&parts[0]), value);
        }
    }
    node
}

/// Every value of the document with its way, tables before what they hold.
fn walk(value: &Value, way: &Way, each: &mut impl FnMut(&Way, &Value)) {
    each(way, value);
    let step = |step| way.iter().cloned().chain([step]).collect();
    match value {
        Value::Table(table) => table.iter().for_each(|(key, value)| walk(value, &step(Step::Key(key.clone())), each)),
        Value::Array(members) => {
            members.iter().enumerate().for_each(|(index, value)| walk(value, &step(Step::Member(index)), each));
        }
        _ => {}
    }
}

/// The document with another value in one place.
fn with(document: &Value, way: &[Step], new: Value) -> String {
    let mut document = document.clone();
    let mut place = &mut document;
    for (index, step) in way.iter().enumerate() {
        place = match step {
            Step::Key(key) if index + 1 == way.len() => {
                let table = place.as_table_mut().expect("a table");
                table.entry(key.clone()).or_insert(Value::Boolean(false))
            }
            Step::Key(key) => place.get_mut(key).expect("there"),
            Step::Member(index) => place.get_mut(index).expect("there"),
        };
    }
    *place = new;
    toml::to_string(&document).expect("TOML")
}

fn keys(table: &Json) -> BTreeSet<String> {
    table.get("properties").and_then(Json::as_object).into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

/// What the reader says that it knows in the table at `way`.
fn known(document: &Value, way: &Way) -> BTreeSet<String> {
    let way: Way = way.iter().cloned().chain([Step::Key(NO_KEY.to_owned())]).collect();
    let loaded = read(&with(document, &way, Value::Integer(1)));
    let unknown = loaded.problems.iter().find(|problem| problem.message.contains(NO_KEY));
    let unknown = unknown.unwrap_or_else(|| panic!("{}: the reader takes any key", shown(&way)));
    let known = unknown.help.as_ref().and_then(|help| help.strip_prefix("known here: "));
    known.expect("a list of keys").split(", ").map(ToOwned::to_owned).collect()
}

/// The tables with keys of their own, not those of names that users give.
fn tables(document: &Value) -> Vec<Way> {
    let (schema, mut found) = (schema(), Vec::new());
    walk(document, &Vec::new(), &mut |way, value| {
        let node = at(&schema, way, document);
        if value.is_table() && node.is_none_or(|node| node.get("properties").is_some()) {
            found.push(way.clone());
        }
    });
    found
}

#[test]
fn each_key_of_the_reader_is_in_the_schema_and_the_reference_and_the_reverse() {
    let (schema, document) = (schema(), Value::Table(reference()));
    let tables = tables(&document);
    assert!(tables.len() >= 20, "only {} tables found", tables.len());
    let (mut unseen, mut wrong): (BTreeSet<(String, String)>, _) = (BTreeSet::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for way in &tables {
        let Some(node) = at(&schema, way, &document) else {
            wrong.push(format!("{}: in the reference, not in the schema", shown(way)));
            continue;
        };
        let (described, known) = (keys(node), known(&document, way));
        // The table's sort, so that two clusters or two services are one place.
        let place = node.get("properties").map(ToString::to_string).unwrap_or_default();
        for key in known.symmetric_difference(&described) {
            let whose = if known.contains(key) { "the reader" } else { "the schema" };
            wrong.push(format!("{}.{key}: known to {whose} alone", shown(way)));
        }
        let held = at_value(&document, way).and_then(Value::as_table).expect("a table");
        for key in described {
            let id = (place.clone(), format!("{key} (as in {})", shown(way)));
            if held.contains_key(&key) {
                unseen.retain(|(other, name)| *other != place || !name.starts_with(&format!("{key} ")));
                seen.insert((place.clone(), key));
            } else if !seen.contains(&(place.clone(), key.clone())) {
                unseen.insert(id);
            }
        }
    }
    // A password in clear is nothing that a reference should show.
    unseen.retain(|(_, name)| !name.starts_with("password (") && !name.starts_with("password_env ("));
    wrong.extend(unseen.into_iter().map(|(_, name)| format!("{name}: in the schema, not in config/pointsman.toml")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn at_value<'v>(document: &'v Value, way: &[Step]) -> Option<&'v Value> {
    way.iter().try_fold(document, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Member(index) => value.get(index),
    })
}

/// Values of every sort, and those at the edges that the schema names.
fn probes(node: &Json) -> Vec<Value> {
    let table = |key: &str| Value::Table(Table::from_iter([(key.to_owned(), Value::Integer(1))]));
    let date: Value = "x = 1979-05-27".parse::<Table>().expect("TOML")["x"].clone();
    let mut all = vec![true.into(), 7.into(), 0.into(), (-1).into(), 1.5.into(), "qq".into(), "".into(), "1s".into()];
    all.extend([Value::Array(vec![]), Value::Array(vec!["qq".into()]), table(NO_KEY), date, "a\u{1b}b".into()]);
    for (edge, beyond) in [("minimum", -1), ("maximum", 1)] {
        let edge = node.get(edge).and_then(Json::as_i64);
        all.extend(edge.into_iter().flat_map(|edge| [edge, edge + beyond]).map(Value::Integer));
    }
    let words = node.get("enum").and_then(Json::as_array).into_iter().flatten();
    all.extend(words.filter_map(Json::as_str).map(Value::from));
    all
}

/// What the schema must find too: the rest (a duration's limits, an address taken twice) is beyond it.
fn is_the_schemas(code: Code, value: &Value) -> bool {
    match code {
        Code::UnknownKey | Code::WrongType => true,
        Code::OutOfRange => value.is_integer(),
        _ => false,
    }
}

#[test]
fn for_every_key_the_schema_refuses_only_what_the_reader_refuses() {
    let (schema, validator, document) = (schema(), validator(), Value::Table(reference()));
    let (mut wrong, mut tried) = (Vec::new(), 0);
    walk(&document, &Vec::new(), &mut |way, _| {
        if way.is_empty() {
            return;
        }
        let Some(node) = at(&schema, way, &document) else { return };
        for value in probes(node) {
            let text = with(&document, way, value.clone());
            let (loaded, valid) = (read(&text), validator.is_valid(&json(&Value::Table(text.parse().expect("TOML")))));
            let errors: Vec<_> = loaded.problems.iter().filter(|p| p.severity == Severity::Error).collect();
            let told = errors.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>().join("; ");
            if !valid && errors.is_empty() {
                wrong.push(format!("{} = {value}: the schema refuses it, the reader takes it", shown(way)));
            }
            if valid && errors.iter().any(|problem| is_the_schemas(problem.code, &value)) {
                wrong.push(format!("{} = {value}: the reader refuses it ({told}), the schema takes it", shown(way)));
            }
            tried += 1;
        }
    });
    assert!(tried > 1000, "only {tried} values tried");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_words_of_the_schema_are_those_of_the_reader() {
    let (schema, document) = (schema(), Value::Table(reference()));
    let (mut wrong, mut compared) = (Vec::new(), 0);
    walk(&document, &Vec::new(), &mut |way, _| {
        let words = at(&schema, way, &document).and_then(|node| node.get("enum")).and_then(Json::as_array);
        let Some(words) = words else { return };
        let words: BTreeSet<&str> = words.iter().filter_map(Json::as_str).collect();
        let loaded = read(&with(&document, way, NO_KEY.into()));
        let help = loaded.problems.iter().find_map(|problem| problem.help.as_ref()?.strip_prefix("one of "));
        let help = help.unwrap_or_else(|| panic!("{}: the reader names no words", shown(way)));
        let taken: BTreeSet<&str> = help.split(", ").map(|word| word.trim_matches('"')).collect();
        // Of some kinds of store not every word makes sense.
        if !taken.is_subset(&words) || (words != taken && !shown(way).ends_with(".replication")) {
            wrong.push(format!("{}: the schema has {words:?}, the reader {taken:?}", shown(way)));
        }
        compared += 1;
    });
    assert!(compared >= 10, "only {compared} keys with words");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_defaults_of_the_schema_are_those_of_the_reader() {
    let (schema, full) = (schema(), Value::Table(reference()));
    let bare = std::fs::read_to_string(folder("config/pointsman.toml")).expect("the reference");
    let bare = Value::Table(bare.parse().expect("TOML"));
    let before = read(&toml::to_string(&bare).expect("TOML")).config.expect("the reference is valid");
    let mut compared = 0;
    let mut wrong = Vec::new();
    walk(&full, &Vec::new(), &mut |way, _| {
        let default = at_own(&schema, way, &full).and_then(|node| node.get("default")).cloned();
        let Some(default) = default else { return };
        let holds = |way: &[Step]| at_value(&bare, way).is_some();
        if holds(way) || !holds(&way[..way.len() - 1]) {
            return;
        }
        let default = Value::try_from(default).expect("a plain value");
        let after = read(&with(&bare, way, default.clone())).config;
        let after = after.unwrap_or_else(|| panic!("{} = {default}: no value for it", shown(way)));
        wrong.extend(diff(&before, &after).iter().map(|change| format!("{} = {default}: {change}", shown(way))));
        compared += 1;
    });
    assert!(compared >= 20, "only {compared} defaults compared");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The key's own words, before references are followed: its default stands there.
fn at_own<'s>(root: &'s Json, way: &[Step], document: &Value) -> Option<&'s Json> {
    let Some((Step::Key(key), before)) = way.split_last() else { return None };
    at(root, before, document)?.get("properties")?.get(key)
}

#[test]
fn the_examples_fit_and_bad_files_do_not() {
    let validator = validator();
    let files = |name: &str| {
        let entries = std::fs::read_dir(folder(name)).expect("a folder").map(|entry| entry.expect("an entry").path());
        entries.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect::<Vec<_>>()
    };
    let (mut fit, mut refused) = (0, 0);
    for path in files("config").into_iter().chain(files("tests/config")) {
        let bytes = std::fs::read(&path).expect("a file");
        let loaded = load_bytes("case.toml", &bytes, Path::new("/nowhere"), Options { secrets: false });
        let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes)).into_owned();
        let Ok(table) = text.parse::<Table>() else { continue };
        let document = json(&Value::Table(table));
        let told = validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path()));
        let told = told.collect::<Vec<_>>();
        let name = path.display();
        if loaded.config.is_some() {
            assert_eq!(told, [""; 0], "{name}: the reader takes it");
            fit += 1;
        } else if loaded.problems.iter().any(|p| matches!(p.code, Code::UnknownKey | Code::WrongType)) {
            assert!(!told.is_empty(), "{name}: the schema takes it");
            refused += 1;
        }
    }
    assert!(fit >= 5 && refused >= 8, "{fit} fit, {refused} refused");
}

#[test]
fn editors_find_the_schema_in_every_example() {
    for name in ["pointsman", "redis", "mysql", "elasticsearch"] {
        let text = std::fs::read_to_string(folder(&format!("config/{name}.toml"))).expect("an example");
        assert!(text.starts_with("#:schema ./pointsman.schema.json\n"), "config/{name}.toml");
    }
}
