//! The configuration as its users meet it: every kind of mistake with its exact report, the examples in `config/`, and
//! hostile bytes.
//!
//! `tests/config/invalid_*.toml` each have their report beside them (`.txt`). After a change that is meant,
//! `UPDATE_EXPECTED=1 cargo test --test config` writes the reports again; read the difference before committing it.

use std::path::{Path, PathBuf};

use pointsman::config::{Loaded, Options, load, load_bytes};

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
