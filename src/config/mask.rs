//! Finds secrets in a configuration's text, so that no report shows them.
//!
//! Input: the tree or, where the file is broken, its lines. Output: byte ranges to overwrite. Never: the values. It rather
//! hides too much: whatever stands under a key that sounds like a secret, misspelt ones too.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// Keys of a table of credentials that are no secrets; any other key in there may be a misspelt `password`.
const PLAIN: [&str; 5] = ["username", "name", "password_file", "password_env", "max_connections"];

/// The values under keys that sound like secrets.
pub(super) fn by_tree(root: &DeTable<'_>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    table(root, false, &mut found);
    found
}

/// `login`: the table holds credentials. The parser bounds the depth of the tree, and so of this recursion.
fn table(entries: &DeTable<'_>, login: bool, found: &mut Vec<Range<usize>>) {
    for (key, value) in entries {
        let key = key.get_ref().as_ref();
        if sounds_secret(key) || (login && !PLAIN.contains(&key)) {
            found.push(value.span());
        } else {
            inside(value.get_ref(), key.contains("credential") || key.contains("user"), found);
        }
    }
}

fn inside(value: &DeValue<'_>, login: bool, found: &mut Vec<Range<usize>>) {
    match value {
        DeValue::Table(entries) => table(entries, login, found),
        DeValue::Array(members) => members.iter().for_each(|member| inside(member.get_ref(), login, found)),
        _ => {}
    }
}

/// Everything after the `=` of a key that sounds like a secret, to the end of its line.
pub(super) fn by_line(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let secret = line.match_indices('=').find(|(at, _)| {
            let before = line.get(..*at).unwrap_or_default().trim_end();
            let key = before.rsplit([' ', '\t', ',', '{', '.', '=']).next().unwrap_or_default();
            sounds_secret(key.trim_matches(['"', '\'']))
        });
        if let Some((at, _)) = secret {
            found.push(start + at + 1..start + line.trim_end().len().max(at + 1));
        }
        start += line.len();
    }
    found
}

fn sounds_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    let names_one = ["pas", "secret", "token", "pwd"].iter().any(|part| key.contains(part));
    // A webhook's address may hold a login or a key.
    (names_one && !key.ends_with("_file") && !key.ends_with("_env")) || key == "url"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str, ranges: &[Range<usize>]) -> Vec<String> {
        let mut found: Vec<String> =
            ranges.iter().filter_map(|range| text.get(range.clone())).map(str::to_owned).collect();
        found.sort();
        found
    }

    #[test]
    fn the_tree_hides_values_of_secrets_misspelt_ones_and_long_ones() {
        let text =
            "credentials = { username = 'u', pw = 'a', password_file = 'f' }\nx.Passwd = \"\"\"b\nc\"\"\"\nlog = 'd'\n";
        let tree = DeTable::parse(text).expect("TOML");
        assert_eq!(hidden(text, &by_tree(tree.get_ref())), ["\"\"\"b\nc\"\"\"", "'a'"]);
    }

    #[test]
    fn lines_hide_what_follows_the_key_of_a_secret() {
        let text = "a = { password = 'x\nTOKEN_2='y\npassword_file = 'f'\n log = 'd'\npas =\n";
        assert_eq!(hidden(text, &by_line(text)), ["", " 'x", "'y"]);
    }
}
