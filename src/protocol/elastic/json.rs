//! Finds ids in JSON without reading it into a tree: the values of a few keys near the top.

/// A string value that was asked for: where its contents begin and end in the text, quotes not included.
pub type Found = (usize, usize);

/// How deep a key is remembered; ids are found no deeper.
const DEEP: usize = 3;

/// What a walk over a text tells at each string value.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// How many objects and arrays are open.
    pub depth: usize,
    /// The keys that lead here in the outermost objects, empty where an array is: of `{"a":["x"],"b":{"c":"y"}}` they are `a` and
    /// nothing at `x`, `b` and `c` at `y`. Those beyond `depth` say nothing.
    pub keys: [&'a [u8]; DEEP],
}

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// `each` had what it wanted.
    Stopped,
    /// The text ended, in the middle of a value or behind one.
    Text,
    /// The outermost value was closed by that byte; only told when `one` is set.
    Value,
    /// It isn't JSON.
    NotJson,
}

/// Walks over the string values of one JSON text, or of several behind one another (`_msearch`), and calls `each` with the place
/// of a value and its contents, until that returns true. It checks no more than it needs: brackets, strings and keys.
pub fn walk<'a>(text: &'a [u8], one: bool, mut each: impl FnMut(Place<'a>, Found) -> bool) -> End {
    let mut depth = 0usize;
    let mut keys: [&[u8]; DEEP] = [b""; DEEP];
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'{' | b'[' => {
                depth += 1;
                if depth <= DEEP {
                    keys[depth - 1] = b"";
                }
            }
            b'}' | b']' if depth == 0 => return End::NotJson,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 && one {
                    return End::Value;
                }
            }
            b'"' => {
                let Some(end) = string_end(text, at + 1) else { return End::Text };
                let contents = (at + 1, end);
                at = end;
                match next_byte(text, end + 1) {
                    None => return End::Text,
                    Some(b':') if (1..=DEEP).contains(&depth) => keys[depth - 1] = &text[contents.0..contents.1],
                    Some(b':') => {}
                    _ if each(Place { depth, keys }, contents) => return End::Stopped,
                    _ => {}
                }
            }
            byte if depth == 0 && !byte.is_ascii_whitespace() => return End::NotJson,
            _ => {}
        }
        at += 1;
    }
    End::Text
}

/// Where the string that begins at `at` ends: the place of its closing quote.
fn string_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

fn next_byte(text: &[u8], from: usize) -> Option<u8> {
    text.get(from..)?.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}
