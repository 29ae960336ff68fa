//! The language of the scripts: one line, one step.
//!
//! ```text
//! === name of a section [redis8]   every section has fresh connections and an empty server; in brackets: only for these
//! a SET key value                  connection `a` sends a command; its reply must be the same on both sides
//! a3 SUBSCRIBE x y z               ... its three replies
//! a# CLIENT INFO                   ... but for numbers; `a~`: only the type; `a*`: but for the order of elements
//! a$id CLIENT ID                   keeps the reply's value as {id} for later words, compares its type
//! a> BLPOP list 0                  sends and does not wait
//! a|  "SET key value\r\n"          sends these very bytes
//! a<  a<2  a<#2                    reads one reply, two, two without numbers
//! a?  a?#  text                    reads replies until one contains the text; compares only that one
//! a=# BUSY PING                    sends PING until a reply contains BUSY; compares only that one
//! a!                               the other side closes
//! a.                               nothing comes
//! a%                               closes the connection
//! @ CONFIG SET hz 100              said to the server itself, past Pointsman
//! wait blocked_clients 1           until INFO of the server itself says so
//! ```
//! Words are quoted as redis-cli does it; `{ab*3}` stands for `ababab`.

use super::mask::Mask;

/// What a line does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Sends a command and reads so many replies.
    Ask(usize, Mask),
    /// Sends a command and keeps the value of its reply under a name.
    Keep(String),
    /// Sends a command.
    Send,
    /// Sends the first word as it is.
    SendRaw,
    /// Reads replies.
    Read(usize, Mask),
    /// Reads until a reply contains the first word.
    Until(Mask),
    /// Sends a command, again and again, until a reply contains the first word.
    Again(Mask),
    /// Waits for the other side to close.
    Closed,
    /// Makes sure that nothing comes.
    Silence,
    /// Closes.
    Close,
    /// Said to the server itself.
    Server,
    /// Waits for a field of INFO.
    WaitInfo,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Step {
    /// Line number in its file.
    pub line: usize,
    /// The connection's name.
    pub connection: String,
    /// What to do.
    pub action: Action,
    /// With what.
    pub words: Vec<Vec<u8>>,
}

/// Steps that belong together.
#[derive(Clone, Debug)]
pub struct Section {
    /// From its `===` line.
    pub name: String,
    /// The servers it is for; empty: all.
    pub only: Vec<String>,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// Reads a script.
pub fn parse(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("=== ") {
            let (name, only) = name.split_once(" [").unwrap_or((name, ""));
            let only = only.trim_end_matches(']').split_whitespace().map(ToOwned::to_owned).collect();
            sections.push(Section { name: name.to_owned(), only, steps: Vec::new() });
        } else if !line.is_empty() && !line.starts_with("# ") {
            let step = step(index + 1, line);
            sections.last_mut().expect("a section begins before its steps").steps.push(step);
        }
    }
    sections
}

fn step(line: usize, text: &str) -> Step {
    let (head, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let words = split(rest).unwrap_or_else(|| panic!("line {line}: quotes in {text:?}"));
    let name: String = head.chars().take_while(char::is_ascii_alphabetic).collect();
    let action = match head {
        "wait" => Action::WaitInfo,
        "@" => Action::Server,
        _ => action(&head[name.len()..]).unwrap_or_else(|| panic!("line {line}: {text:?}")),
    };
    Step { line, connection: name, action, words }
}

fn action(signs: &str) -> Option<Action> {
    let mut rest = signs.chars();
    Some(match signs.chars().next() {
        Some('>') => Action::Send,
        Some('|') => Action::SendRaw,
        Some('!') => Action::Closed,
        Some('.') => Action::Silence,
        Some('%') => Action::Close,
        Some('$') => Action::Keep(signs[1..].to_owned()),
        Some('?') => Action::Until(counted(&signs[1..])?.1),
        Some('=') => Action::Again(counted(&signs[1..])?.1),
        Some('<') => {
            let (count, mask) = counted(&signs[1..])?;
            Action::Read(count, mask)
        }
        _ => {
            let (count, mask) = counted(rest.by_ref().as_str())?;
            Action::Ask(count, mask)
        }
    })
}

/// `#2`, `2#`, `2`, `#` or nothing.
fn counted(signs: &str) -> Option<(usize, Mask)> {
    let mask = signs.chars().find(|sign| !sign.is_ascii_digit());
    let digits: String = signs.chars().filter(char::is_ascii_digit).collect();
    let count = if digits.is_empty() { 1 } else { digits.parse().ok()? };
    Some((count, mask.map_or(Some(Mask::None), Mask::of)?))
}

/// Words as redis-cli reads them: `"…"` with escapes, `'…'` without, spaces between; `{ab*3}` is repeated text.
pub fn split(text: &str) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.as_bytes()[0] {
            b'"' => quoted(&rest[1..])?,
            b'\'' => {
                let (word, after) = rest[1..].split_once('\'')?;
                (word.as_bytes().to_vec(), after)
            }
            _ => {
                let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                (repeated(word).unwrap_or_else(|| word.as_bytes().to_vec()), after)
            }
        };
        words.push(word);
        rest = after.trim_start();
    }
    Some(words)
}

fn repeated(word: &str) -> Option<Vec<u8>> {
    let (text, times) = word.strip_prefix('{')?.strip_suffix('}')?.rsplit_once('*')?;
    Some(text.as_bytes().repeat(times.parse().ok()?))
}

fn quoted(text: &str) -> Option<(Vec<u8>, &str)> {
    let mut word = Vec::new();
    let mut rest = text;
    loop {
        let character = rest.chars().next()?;
        rest = &rest[character.len_utf8()..];
        match character {
            '"' => return Some((word, rest)),
            '\\' => {
                let escaped = rest.chars().next()?;
                rest = &rest[1..];
                match escaped {
                    'n' => word.push(b'\n'),
                    'r' => word.push(b'\r'),
                    't' => word.push(b'\t'),
                    'x' => {
                        word.push(u8::from_str_radix(rest.get(..2)?, 16).ok()?);
                        rest = &rest[2..];
                    }
                    other => word.extend(other.to_string().bytes()),
                }
            }
            other => word.extend(other.to_string().bytes()),
        }
    }
}

#[test]
fn lines_are_read() {
    let section = &parse("=== one\na3# GET \"a\\x00b\" {ab*2}\nb$id CLIENT ID\nc<~\n@ PING\n")[0];
    assert_eq!(section.steps[0].action, Action::Ask(3, Mask::Numbers));
    assert_eq!(section.steps[0].words, [&b"GET"[..], b"a\0b", b"abab"]);
    assert_eq!(section.steps[1].action, Action::Keep("id".into()));
    assert_eq!(section.steps[2].action, Action::Read(1, Mask::Type));
    assert_eq!(section.steps[3].action, Action::Server);
}
