//! Reads what only services of kind elasticsearch have, and refuses for them what they lack.
//!
//! Input: a service's table and its kind. Output: the state that targets need, and of which indices. Never: whether such indices
//! exist; that is found by asking.

use super::Reader;
use crate::config::problem::Code;
use crate::config::schema::{Require, Search};
use crate::config::table::{Field, Table};
use crate::config::units::{Invalid, shown};
use crate::model::name::Kind;

/// The patterns stand in the line of a request, of which the servers take 4,096 bytes.
const MAX_PATTERNS: usize = 64;
const MAX_BYTES: usize = 2048;
/// What no index's name has, beside blanks and control characters, and what would change where a request goes.
const NOT_IN_NAMES: &str = "\\/?\"<>|#,:%";

/// `require` and `indices`.
pub(super) fn search(table: &mut Table<'_>, kind: Option<Kind>, r: &mut Reader<'_>) -> Search {
    let words = [("green", Require::Green), ("yellow", Require::Yellow), ("red", Require::Red)];
    let require = table.get("require").filter(|field| !is_foreign(field, kind, r));
    let require = require.and_then(|field| field.choice(&mut r.sink, &words, &[])).unwrap_or_default();
    let indices = table.get("indices").filter(|field| !is_foreign(field, kind, r));
    Search { require, indices: indices.map(|field| patterns(&field, r)).unwrap_or_default() }
}

fn patterns(field: &Field<'_>, r: &mut Reader<'_>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for member in field.list(&mut r.sink, "a pattern or a list of patterns").unwrap_or_default() {
        let pattern = member.string(&mut r.sink).map(pattern);
        if let Some(pattern) = pattern.and_then(|pattern| member.accept(&mut r.sink, pattern))
            && !all.contains(&pattern)
        {
            all.push(pattern);
        }
    }
    if all.len() > MAX_PATTERNS || all.iter().map(|pattern| pattern.len() + 1).sum::<usize>() > MAX_BYTES {
        let message = format!("`{}` has more than {MAX_PATTERNS} patterns or {MAX_BYTES} bytes", field.name);
        r.sink.error(field.span.clone(), Code::OutOfRange, message, "use wildcards, or leave it out for all indices");
    }
    all
}

fn pattern(text: &str) -> Result<String, Invalid> {
    let foreign = |c: char| c.is_whitespace() || c.is_uppercase() || NOT_IN_NAMES.contains(c);
    if text.is_empty() || text.starts_with(['_', '+', '-']) || text.contains(foreign) {
        let help = "the name of an index, an alias or a data stream, `*` for any characters, as in \"orders-*\"";
        return Err(Invalid::new(format!("{} is no pattern of indices", shown(text)), help));
    }
    Ok(text.to_owned())
}

/// Reports a key that only services of kind elasticsearch have.
fn is_foreign(field: &Field<'_>, kind: Option<Kind>, r: &mut Reader<'_>) -> bool {
    let foreign = kind.is_some_and(|kind| kind != Kind::Elasticsearch);
    if foreign {
        let message = format!("`{}` belongs to a service of kind \"elasticsearch\"", field.name);
        r.sink.error(field.span.clone(), Code::Conflict, message, "leave it out");
    }
    foreign
}

/// Reports a key of nodes that have roles, which those of Elasticsearch haven't.
pub(super) fn lacks(field: &Field<'_>, kind: Option<Kind>, r: &mut Reader<'_>) -> bool {
    let lacks = kind == Some(Kind::Elasticsearch);
    if lacks {
        let message = format!("`{}` has no meaning in a service of kind \"elasticsearch\"", field.name);
        r.sink.error(field.span.clone(), Code::Conflict, message, "leave it out");
    }
    lacks
}
