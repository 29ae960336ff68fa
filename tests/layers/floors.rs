//! The floors of docs/ARCHITECTURE.md, and what breaks them.

use super::paths::{self, Found};
use super::strip::strip;

/// Every room and its floor. `lib` is the root file, which may name every room: it declares them.
const FLOORS: &[(&str, u8)] = &[
    ("lib", 10),
    ("main", 9),
    ("cli", 8),
    ("demo", 7),
    ("app", 6),
    ("admin", 5),
    ("tell", 5),
    ("control", 4),
    ("proxy", 3),
    ("store", 3),
    ("coord", 3),
    ("decision", 2),
    ("route", 2),
    ("net", 2),
    ("protocol", 1),
    ("config", 1),
    ("telemetry", 1),
    ("model", 0),
];

/// The floor of a room.
pub fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// The room of a source file: `src/proxy/redis/mod.rs` is in `proxy`, `src/app.rs` is `app`.
pub fn room(file: &str) -> String {
    modules(file).into_iter().next().unwrap_or_else(|| "lib".to_owned())
}

/// The module path of a source file, from the crate's root.
fn modules(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut modules: Vec<String> = path.split('/').map(ToOwned::to_owned).collect();
    if matches!(modules.last().map(String::as_str), Some("mod" | "lib")) {
        modules.pop();
    }
    modules
}

/// What of this file's paths goes upward, sideways, or nowhere known; one line each.
pub fn violations(file: &str, text: &str) -> Vec<String> {
    let from = room(file);
    let Some(own) = floor(&from) else { return vec![format!("{file}: no floor for the room {from}")] };
    let judge = |found: Found| {
        let shown = found.segments.join("::");
        // Deeper in the own room, or a path that leads nowhere a compiler would follow.
        let to = target(file, &found)?;
        let allowed = to == from || floor(&to).is_some_and(|floor| floor < own);
        (!allowed).then(|| format!("{file}: {shown}: {from} may not import {to}"))
    };
    paths::find(&strip(text)).into_iter().filter_map(judge).collect()
}

/// The room that a path leads to; `None` inside a room. Naming the root itself (`crate::*`, `crate::{self}`) counts as the room `lib`.
fn target(file: &str, found: &Found) -> Option<String> {
    let ups = found.segments.iter().take_while(|segment| *segment == "super").count();
    let rest = |skip: usize| {
        let named = found.segments.get(skip).map(String::as_str);
        Some(named.filter(|name| !matches!(*name, "self" | "*")).unwrap_or("lib").to_owned())
    };
    if ups == 0 {
        return rest(1);
    }
    // `main.rs` is a crate of its own: above it is nothing.
    let depth = modules(file).len() + found.inline;
    if ups < depth { None } else { rest(ups) }
}

/// Lines of the library's root that re-export something.
pub fn re_exports(text: &str) -> Vec<String> {
    let code = strip(text);
    let is_one =
        |line: &&str| line.trim_start().starts_with("pub") && line.split_whitespace().any(|word| word == "use");
    code.lines().filter(is_one).map(ToOwned::to_owned).collect()
}
