//! The routes that the router has, read from the text of `src/admin`: axum doesn't tell them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every `.route("PATH", get(…).post(…))` of the room, but those of the telemetry listener.
pub fn routes() -> BTreeSet<(String, String)> {
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin");
    let mut found = BTreeSet::new();
    for file in files(&room) {
        if file.file_name().is_some_and(|name| name == "watch.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("a source");
        // Tests at a file's end have routers of their own.
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for call in text.split(".route(").skip(1) {
            let call = end(call);
            // The page's own files come from a table; they are no data.
            let Some(path) = call.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
                continue;
            };
            for (word, method) in [("get(", "GET"), ("post(", "POST"), ("delete(", "DELETE"), ("put(", "PUT")] {
                if call.contains(word) {
                    found.insert((method.to_owned(), path.to_owned()));
                }
            }
        }
    }
    found
}

/// A call's text up to the bracket that ends it.
fn end(text: &str) -> &str {
    let mut depth = 1;
    let closing = text.char_indices().find(|(_, c)| {
        depth += i32::from(*c == '(') - i32::from(*c == ')');
        depth == 0
    });
    closing.map_or(text, |(at, _)| &text[..at])
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut all = Vec::new();
    for path in entries {
        if path.is_dir() {
            all.extend(files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            all.push(path);
        }
    }
    all
}

/// Whether a described path is one that a route serves: a name in braces stands for anything.
pub fn serves(route: &str, path: &str) -> bool {
    let (route, path): (Vec<_>, Vec<_>) = (route.split('/').collect(), path.split('/').collect());
    route.len() == path.len() && route.iter().zip(&path).all(|(a, b)| a == b || a.starts_with('{'))
}
