//! Finds the paths of stripped source that begin at the crate's root or at a parent module, each with the depth of inline modules
//! around it.

/// A path, such as `crate::model::Epoch`, of as many segments as could be read; `*` is a segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The segments, the leading `crate`, `super` or `pointsman` among them.
    pub segments: Vec<String>,
    /// How many inline `mod … { }` are open around it.
    pub inline: usize,
}

/// Every such path of `code` (comments and literals are blank already).
pub fn find(code: &str) -> Vec<Found> {
    let tokens = tokens(code);
    let (mut found, mut blocks, mut at) = (Vec::new(), Vec::new(), 0);
    while at < tokens.len() {
        let inline = blocks.iter().filter(|&&module| module).count();
        match tokens[at].as_str() {
            "{" => blocks.push(at >= 2 && tokens[at - 2] == "mod"),
            "}" => drop(blocks.pop()),
            "use" if is_item(&tokens, at) => {
                let mut paths = Vec::new();
                at = tree(&tokens, at + 1, &[], &mut paths);
                found.extend(
                    paths.into_iter().filter(|path| is_rooted(path)).map(|segments| Found { segments, inline }),
                );
                continue;
            }
            word if is_root(word) && begins_path(&tokens, at) => {
                let (segments, end) = path(&tokens, at);
                found.push(Found { segments, inline });
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

fn is_root(word: &str) -> bool {
    matches!(word, "crate" | "super" | "pointsman")
}

fn is_rooted(path: &[String]) -> bool {
    path.first().is_some_and(|first| is_root(first))
}

/// `use` as a keyword of an item, not of `impl Trait + use<'a>`.
fn is_item(tokens: &[String], at: usize) -> bool {
    tokens.get(at + 1).is_some_and(|next| next != "<")
}

/// Whether a root word begins a path: `a::super` does not occur, `pub(crate)` has no `::` behind it.
fn begins_path(tokens: &[String], at: usize) -> bool {
    let absolute = at >= 1 && tokens[at - 1] == "::" && !(at >= 2 && is_word(&tokens[at - 2]));
    let first = at == 0 || tokens[at - 1] != "::" || absolute;
    first && tokens.get(at + 1).is_some_and(|next| next == "::")
}

/// A plain path in code; gives its segments and the place behind it.
fn path(tokens: &[String], from: usize) -> (Vec<String>, usize) {
    let (mut segments, mut at) = (vec![tokens[from].clone()], from + 1);
    while at + 1 < tokens.len() && tokens[at] == "::" && is_word(&tokens[at + 1]) {
        segments.push(tokens[at + 1].clone());
        at += 2;
    }
    (segments, at)
}

/// A `use` tree from here on; gives the place behind it.
fn tree(tokens: &[String], from: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let (mut segments, mut at) = (prefix.to_vec(), from);
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "::" => at += 1,
            "{" => return branches(tokens, at + 1, &segments, found),
            "as" => at += 2,
            word if is_word(word) || word == "*" => {
                segments.push(word.to_owned());
                at += 1;
            }
            _ => break,
        }
    }
    found.push(segments);
    at
}

fn branches(tokens: &[String], from: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut at = from;
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "}" => return at + 1,
            "," => at += 1,
            _ => {
                let end = tree(tokens, at, prefix, found);
                // What is no tree is no Rust either: step over it rather than stay.
                at = end.max(at + 1);
            }
        }
    }
    at
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, `::`, and single signs. A raw identifier is the word it stands for; a macro's `$crate` is `crate`.
fn tokens(code: &str) -> Vec<String> {
    let text: Vec<char> = code.chars().collect();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let length = text[at..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
        if length > 0 {
            let word: String = text[at..at + length].iter().collect();
            at += length;
            if word == "r" && text.get(at) == Some(&'#') {
                at += 1;
            } else {
                tokens.push(word);
            }
        } else if text[at] == ':' && text.get(at + 1) == Some(&':') {
            tokens.push("::".to_owned());
            at += 2;
        } else {
            if !text[at].is_whitespace() && text[at] != '$' {
                tokens.push(text[at].to_string());
            }
            at += 1;
        }
    }
    tokens
}
