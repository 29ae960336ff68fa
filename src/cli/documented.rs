//! The commands that the documentation tells are commands that there are: each `pointsman …` in a code block or between backquotes is
//! parsed by the grammar itself. Test code alone.

use super::{args::Arguments, exit::MEANINGS};
use crate::model::{guard::Guard, view::Standing};
use clap::{CommandFactory, Parser};
use std::path::{Path, PathBuf};

/// Words that stand for something of the reader's, as the docs write them, and a value of that sort.
const PLACEHOLDERS: [(&str, &str); 12] = [
    ("SVC", "cart"),
    ("ID", "cart-17"),
    ("C", "spare"),
    ("CLUSTER", "spare"),
    ("NODE", "10.0.0.5:6379"),
    ("N", "7"),
    ("D", "30s"),
    ("SEQ", "7"),
    ("KEY", "night-1"),
    ("GUARD", "fit"),
    ("SHELL", "bash"),
    ("SEQ:HASH", "7:ab12"),
];

/// Whether a command line parses; what follows a pipe, a redirection or `#` is the shell's.
pub(super) fn parses(line: &str) -> Result<(), String> {
    let words = words(line).ok_or("an open quote")?;
    if let [_, name] = words.as_slice()
        && Arguments::command().find_subcommand(name).is_some()
    {
        // Running text speaks of a command by its name alone.
        return Ok(());
    }
    let words = words.iter().map(|word| {
        let found = PLACEHOLDERS.iter().find(|(placeholder, _)| placeholder == word);
        found.map_or_else(|| word.clone(), |(_, value)| (*value).to_owned())
    });
    match Arguments::try_parse_from(words) {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion => Ok(()),
            _ => Err(error.to_string()),
        },
    }
}

/// The words of a simple command as a shell sees them; `None` where a quote stays open.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut all, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.push(c),
            (None, '"' | '\'') => (quote, begun) = (Some(c), true),
            (None, '|' | '>' | '<' | ';' | '&') => {
                // `2>`: the number belongs to the redirection.
                if word.bytes().all(|byte| byte.is_ascii_digit()) {
                    word.clear();
                }
                break;
            }
            (None, '#') if word.is_empty() && !begun => break,
            (None, c) if c.is_whitespace() => {
                if begun || !word.is_empty() {
                    all.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (None, c) => word.push(c),
        }
    }
    if begun || !word.is_empty() {
        all.push(word);
    }
    quote.is_none().then_some(all)
}

/// The command lines of a page, each with the number of its line or of its paragraph's first.
fn commands(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut block, mut paragraph) = (Vec::new(), false, String::new());
    let mut began = 1;
    let mut lines = text.lines().chain([""]).enumerate();
    while let Some((number, line)) = lines.next() {
        let fence = line.trim_start().starts_with("```");
        if fence || line.trim().is_empty() {
            // Every second piece of running text stands between backquotes, also over the end of a line.
            let pieces = paragraph.split('`').skip(1).step_by(2);
            found.extend(pieces.filter(|piece| is_whole(piece)).map(|piece| (began, piece.to_owned())));
            (paragraph, began) = (String::new(), number + 2);
            block ^= fence;
        } else if block {
            let mut whole = line.to_owned();
            while whole.ends_with('\\') {
                whole.pop();
                whole += lines.next().map_or("", |(_, next)| next.trim());
            }
            let whole = command(&whole).filter(|command| is_whole(command));
            found.extend(whole.map(|command| (number + 1, command)));
        } else {
            paragraph += line.trim();
            paragraph.push(' ');
        }
    }
    found
}

/// The part of a line of a shell that calls us: behind a prompt, `sudo`, and variables that it sets.
fn command(line: &str) -> Option<String> {
    let mut rest = line.trim_start().trim_start_matches("$ ").trim_start_matches("# ").trim_start_matches("sudo ");
    while let Some((first, after)) = rest.split_once(' ')
        && first.contains('=')
    {
        rest = after;
    }
    let called = rest.strip_prefix("target/release/").unwrap_or(rest);
    called.starts_with("pointsman ").then(|| called.to_owned())
}

/// A command is often named only in part, or several at once.
fn is_whole(piece: &str) -> bool {
    piece.starts_with("pointsman ")
        && !piece.contains(['…', '['])
        && !piece.contains(" | ")
        && !piece.contains(" <")
        && piece.split(' ').count() > 1
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs")).expect("docs/").map(|entry| entry.expect("an entry").path());
    let mut all: Vec<_> = docs.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    all.push(root.join("README.md"));
    all.sort();
    all
}

#[test]
fn every_command_of_the_documentation_parses() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page");
        for (line, command) in commands(&text) {
            seen += 1;
            if let Err(error) = parses(&command) {
                let name = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
                wrong.push(format!("{name}:{line}: {command}\n    {}", error.lines().next().unwrap_or_default()));
            }
        }
    }
    assert!(seen >= 60, "only {seen} commands found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What an operator may see at night stands on the page for the night.
#[test]
fn the_page_for_an_incident_tells_every_state_guard_and_exit_code() {
    let page = include_str!("../../docs/incident.md");
    let states = Standing::ALL.iter().map(|state| format!("`{}`", state.as_str()));
    let guards = Guard::ALL.iter().map(|guard| format!("| `{}` |", guard.as_str()));
    let codes = MEANINGS.iter().map(|(exit, _)| format!("| {} |", *exit as u8));
    let lacking: Vec<String> = states.chain(guards).chain(codes).filter(|word| !page.contains(word.as_str())).collect();
    assert_eq!(lacking, [""; 0]);
}

#[test]
fn commands_are_found_and_lies_are_told() {
    let page = "Say `pointsman status` or `pointsman mode SVC a | b`.\n```\n$ A=b pointsman pause cart \\\n  --for 5m # why\nls\n```\n";
    assert_eq!(commands(page), [(1, "pointsman status".into()), (3, "pointsman pause cart --for 5m # why".into())]);
    assert_eq!(parses("pointsman history SVC --limit 3 | tail"), Ok(()));
    assert!(parses("pointsman status --bogus").is_err());
    assert_eq!(words("a 'b c' \"\" # d"), Some(vec!["a".into(), "b c".into(), String::new()]));
    assert_eq!(words("a 'b"), None);
}
