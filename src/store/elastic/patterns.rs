//! Patterns of indices: as a part of a path, and whether a name matches one.
//!
//! Input: patterns as configured, names of indices. Output: text, yes or no. No I/O.

/// Patterns with commas, behind `lead`, each byte that isn't plain as `%XX`; empty for none.
pub(super) fn path(lead: &str, patterns: &[String]) -> String {
    if patterns.is_empty() {
        return String::new();
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*~".contains(&byte);
    let encode = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    let all: Vec<String> = patterns.iter().map(|pattern| pattern.bytes().map(encode).collect()).collect();
    format!("{lead}{}", all.join(","))
}

/// Whether an index counts: by the patterns, or, without any, if it is none of the server's own, whose names begin with a dot.
pub(super) fn counts(patterns: &[String], index: &str) -> bool {
    if patterns.is_empty() {
        !index.starts_with('.')
    } else {
        patterns.iter().any(|pattern| matches_pattern(pattern, index))
    }
}

/// `*` stands for any characters.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(head) else { return false };
    // The part between two stars may be taken where it comes first; the one behind the last star ends the name.
    let mut name = name;
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return name.ends_with(part);
        }
        let Some(at) = name.find(part) else { return false };
        name = name.get(at + part.len()..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, name, expected) in [
            ("orders", "orders", true),
            ("orders", "orders-1", false),
            ("orders-*", "orders-", true),
            ("*-2026", "logs-2026", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*", ".hidden", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches_pattern(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn without_patterns_all_count_but_the_servers_own() {
        assert!(counts(&[], "orders") && !counts(&[], ".tasks"));
        assert!(counts(&[".tasks".into()], ".tasks"));
        assert_eq!(path("/", &[]), "");
        assert_eq!(path("/", &["orders-*".into(), "größe".into()]), "/orders-*,gr%C3%B6%C3%9Fe");
    }
}
