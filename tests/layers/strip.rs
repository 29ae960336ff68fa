//! Blanks comments, strings and characters of Rust source, so that what is left is code.

/// The source with every comment and literal replaced by spaces; line ends stay.
pub fn strip(source: &str) -> String {
    let text: Vec<char> = source.chars().collect();
    let mut kept = String::with_capacity(source.len());
    let mut at = 0;
    while at < text.len() {
        let end = skipped(&text, at).unwrap_or(at);
        if end == at {
            kept.push(text[at]);
            at += 1;
        } else {
            kept.extend(text[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    kept
}

/// The end of the comment or literal that begins here; `None` when none does.
fn skipped(text: &[char], at: usize) -> Option<usize> {
    let next = text.get(at + 1).copied();
    match (text[at], next) {
        ('/', Some('/')) => Some(position(text, at, |rest| rest[0] == '\n')),
        ('/', Some('*')) => Some(block(text, at)),
        ('"', _) => Some(quoted(text, at)),
        ('r', Some('"' | '#')) if !continues_word(text, at) => raw(text, at),
        ('\'', _) => character(text, at),
        _ => None,
    }
}

fn position(text: &[char], from: usize, found: impl Fn(&[char]) -> bool) -> usize {
    (from..text.len()).find(|&at| found(&text[at..])).unwrap_or(text.len())
}

fn block(text: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0);
    while at + 1 < text.len() {
        match (text[at], text[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') if depth == 1 => return at + 2,
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    text.len()
}

fn quoted(text: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < text.len() {
        match text[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// `r"…"`, `r#"…"#`; `None` for a raw identifier.
fn raw(text: &[char], from: usize) -> Option<usize> {
    let hashes = text[from + 1..].iter().take_while(|&&c| c == '#').count();
    if text.get(from + 1 + hashes) != Some(&'"') {
        return None;
    }
    let closing: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let end = position(text, from + 2 + hashes, |rest| rest.starts_with(&closing));
    Some((end + closing.len()).min(text.len()))
}

/// A character; `None` for a lifetime.
fn character(text: &[char], from: usize) -> Option<usize> {
    if text.get(from + 1) == Some(&'\\') {
        return Some((position(text, from + 3, |rest| rest[0] == '\'') + 1).min(text.len()));
    }
    (text.get(from + 2) == Some(&'\'')).then_some(from + 3)
}

/// Whether the character here belongs to a longer word (`br"…"` is a literal all the same).
fn continues_word(text: &[char], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|index| text[index]);
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let prefixed = matches!(before(1), Some('b' | 'c')) && !word(before(2));
    word(before(1)) && !prefixed
}
