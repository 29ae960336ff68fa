//! Nothing in `src/` imports upward or sideways, files stay short, and the library's root re-exports nothing.
//!
//! Reads the source as text: comments and literals are blanked, then every path that begins with `crate`, `super` or `pointsman`
//! is followed, in `use` trees and in code. A room may name its own folder and rooms on strictly lower floors.

#[path = "layers/floors.rs"]
mod floors;
#[path = "layers/paths.rs"]
mod paths;
#[path = "layers/strip.rs"]
mod strip;

use std::path::{Path, PathBuf};

/// No file is longer than this, so that each keeps one duty.
const LONGEST: usize = 400;

/// Tables of data, one line an entry, which nobody reads line by line.
const TABLES: &[&str] = &["src/protocol/redis/command/table.rs"];

#[test]
fn rooms_import_only_from_lower_floors() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        wrong.extend(floors::violations(&name, &text));
    }
    assert!(wrong.is_empty(), "imports upward or sideways:\n{}", wrong.join("\n"));
}

#[test]
fn files_are_short() {
    let long = |(name, text): &(String, String)| !TABLES.contains(&name.as_str()) && text.lines().count() > LONGEST;
    let found: Vec<String> = sources().into_iter().filter(long).map(|(name, _)| name).collect();
    assert!(found.is_empty(), "longer than {LONGEST} lines: {found:?}");
}

#[test]
fn the_root_re_exports_nothing() {
    let text = std::fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    assert_eq!(floors::re_exports(&text), Vec::<String>::new());
}

/// The reader sees what is really there: a count of zero would make the tests above pass on nothing.
#[test]
fn every_room_of_the_library_has_a_floor_and_a_source() {
    let text = std::fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let rooms: Vec<String> = strip::strip(&text)
        .lines()
        .filter_map(|line| Some(line.trim().strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned()))
        .collect();
    assert!(rooms.len() >= 10, "rooms of src/lib.rs: {rooms:?}");
    for room in &rooms {
        assert!(floors::floor(room).is_some(), "no floor for {room}");
        let file = |(name, _): &(String, String)| floors::room(name) == *room;
        assert!(sources().iter().any(file), "no source for {room}");
    }
}

#[track_caller]
fn is_wrong(file: &str, text: &str) {
    assert_ne!(floors::violations(file, text), Vec::<String>::new(), "passed: {text}");
}

#[track_caller]
fn is_right(file: &str, text: &str) {
    assert_eq!(floors::violations(file, text), Vec::<String>::new());
}

#[test]
fn an_upward_import_is_found() {
    is_wrong("src/model/mod.rs", "use crate::route::Board;");
    is_wrong("src/protocol/redis/scan.rs", "use crate::proxy::redis::Session;");
    is_wrong("src/control/driver.rs", "pub(crate) use crate::app::wire;");
    is_wrong("src/admin/mod.rs", "use pointsman::cli::run;");
}

#[test]
fn a_sideways_import_is_found() {
    is_wrong("src/proxy/mod.rs", "use crate::store::Store;");
    is_wrong("src/coord/local.rs", "use crate::store::Store;");
    is_wrong("src/route/mod.rs", "use crate::decision::step;");
    is_wrong("src/config/mod.rs", "use crate::telemetry::Names;");
}

#[test]
fn nested_trees_are_followed() {
    is_wrong("src/proxy/mod.rs", "use crate::{model::Epoch, store::{self, Store}};");
    is_wrong("src/proxy/mod.rs", "use crate::{\n    model::{Epoch, Route},\n    route,\n    coord,\n};");
    is_wrong("src/proxy/mod.rs", "use {std::io, crate::{model, {store}}};");
    is_wrong("src/proxy/mod.rs", "use crate::{self as root};");
    is_wrong("src/proxy/mod.rs", "use crate::*;");
    is_right("src/proxy/mod.rs", "use crate::{model::{Epoch, store::Thing}, route::{self, store}};");
}

#[test]
fn paths_in_code_types_and_macros_are_found() {
    is_wrong("src/proxy/mod.rs", "fn f() { let s = crate::store::Store::new(); }");
    is_wrong("src/proxy/mod.rs", "fn f(s: &dyn crate :: store :: Store) {}");
    is_wrong("src/proxy/mod.rs", "log!(\"{}\", crate::store::NAME);");
    is_wrong("src/proxy/mod.rs", "fn f() { ::pointsman::admin::serve() }");
    is_wrong("src/proxy/mod.rs", "fn f() { let s = r#crate::store::X; crate::r#store::X }");
}

#[test]
fn super_is_followed_to_the_room_it_means() {
    is_wrong("src/proxy/mod.rs", "use super::store::Store;");
    is_wrong("src/proxy/redis/mod.rs", "use super::super::store::Store;");
    is_wrong("src/proxy/redis/session.rs", "use super::super::super::{model, store};");
    is_wrong("src/app.rs", "use super::cli;");
    is_wrong("src/proxy/redis/mod.rs", "mod tests { use super::super::super::store::Store; }");
    is_right("src/proxy/redis/mod.rs", "mod tests { use super::super::store; }");
    is_right("src/proxy/redis/session.rs", "use super::{hold, super::drain}; mod tests { use super::*; }");
    is_right("src/proxy/redis/session.rs", "use super::store::Local;");
}

#[test]
fn what_is_no_path_is_left_alone() {
    is_right(
        "src/model/mod.rs",
        "// use crate::proxy::X;\n/* crate::store /* nested */ crate::cli */\n/// [`crate::app`]\n",
    );
    is_right(
        "src/model/mod.rs",
        "const A: &str = \"crate::proxy \\\" crate::cli\"; const B: &str = r#\"crate::\"app\"#;",
    );
    is_right("src/model/mod.rs", "const A: &[u8] = b\"crate::proxy\"; const C: char = '\"'; fn f<'a>(x: &'a str) {}");
    is_right("src/proxy/mod.rs", "pub(crate) fn f() {} pub(super) fn g() {} pub(in crate::proxy) fn h() {}");
    is_right("src/model/mod.rs", "use other_crate::proxy; fn f(my_crate: u8) { tokio::net::crate_like() }");
}

#[test]
fn code_after_literals_is_still_read() {
    is_wrong("src/model/mod.rs", "const Q: char = '\"'; use crate::proxy;");
    is_wrong("src/model/mod.rs", "const Q: char = '\\''; use crate::proxy;");
    is_wrong("src/model/mod.rs", "fn f<'a>(x: &'a str) {} use crate::proxy; fn g<'b>() {}");
    is_wrong("src/model/mod.rs", "const R: &str = r##\"a \"# b\"##; use crate::proxy;");
    is_wrong("src/model/mod.rs", "/* a */ use crate::proxy; // b");
    is_wrong("src/model/mod.rs", "const E: &str = \"\\\\\"; use crate::proxy;");
}

#[test]
fn a_room_without_a_floor_is_found() {
    is_wrong("src/model/mod.rs", "use crate::attic::Box;");
    is_wrong("src/attic/mod.rs", "pub struct Thing;");
}

#[test]
fn right_imports_pass() {
    is_right("src/main.rs", "use pointsman::{cli, app::run};");
    is_right("src/proxy/redis/mod.rs", "use crate::proxy::hold; use crate::{model, route::Board, net::connect};");
    is_right("src/control/mod.rs", "use crate::{store::Store, coord, proxy};");
    is_right("src/lib.rs", "pub mod admin;");
}

#[test]
fn a_re_export_is_found() {
    assert_eq!(floors::re_exports("pub mod model;\npub use model::Epoch;").len(), 1);
    assert_eq!(floors::re_exports("pub(crate) use model::{Epoch, Route};").len(), 1);
    assert!(floors::re_exports("pub mod model; // pub use model::Epoch;").is_empty());
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file: its path from the repository's root, and its text.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(&root().join("src"), &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, into: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).expect("below the root").display().to_string();
            into.push((name, std::fs::read_to_string(&path).expect("a source file")));
        }
    }
}
