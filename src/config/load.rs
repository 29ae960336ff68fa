//! Loading: from a path or a text to a configuration and everything that is wrong with it.
//!
//! Input: a path, options. Output: `Loaded`: the configuration if no problem is an error, every problem, and their reports.
//! Never: a panic on any bytes, a secret in a report, more than 1 MiB read.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use toml::Spanned;
use toml::de::DeTable;

use super::mask;
use super::problem::{Code, Problem, Severity, to_json};
use super::read;
use super::schema::Config;
use super::source::Source;
use super::table::{Sink, Table};

/// The largest file that is read.
const MAX_FILE: usize = 1 << 20;

/// What a file that isn't TOML should have looked like.
const TOML: &str = "one `key = \"text\"` a line (text in quotes, numbers without), `[table]` or `[[list]]` before its keys, `#` before a remark";

/// How to load.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether password files, variables and TLS files are opened. Without them (`check --no-secrets`) passwords are `None`.
    pub secrets: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { secrets: true }
    }
}

/// What loading gave.
pub struct Loaded {
    /// The configuration; `None` when any problem is an error.
    pub config: Option<Config>,
    /// Errors and warnings in the order of the file.
    pub problems: Vec<Problem>,
    source: Source,
}

impl Loaded {
    /// Every problem for people: `file:line:col: error: message`, the line with a caret, the help. `colour` adds terminal
    /// colours. Ends with a line feed unless it is empty.
    pub fn render_all(&self, colour: bool) -> String {
        self.problems.iter().map(|problem| self.source.render(problem, colour)).collect()
    }

    /// `{"ok":…,"problems":[…]}` on one line.
    pub fn to_json(&self) -> String {
        to_json(&self.problems)
    }
}

/// Loads a file. Relative paths in it start from its own folder.
pub fn load(path: &Path, options: Options) -> Loaded {
    let name = path.to_string_lossy().into_owned();
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        let help = match error.kind() {
            ErrorKind::NotFound => {
                "mend the path, or write the file: config/pointsman.toml of the sources names every key"
            }
            ErrorKind::PermissionDenied => "let the user that Pointsman runs as read it",
            _ => "",
        };
        return refused(name, Code::Unreadable, format!("can't be read: {error}"), help);
    }
    load_bytes(&name, &bytes, path.parent().unwrap_or(Path::new("")), options)
}

/// Loads a file's content. `name` stands in the problems; relative paths start from `base`.
pub fn load_bytes(name: &str, bytes: &[u8], base: &Path, options: Options) -> Loaded {
    let name = name.to_owned();
    if bytes.len() > MAX_FILE {
        let help = "is it the right file? a configuration has some kilobytes";
        return refused(name, Code::TooLarge, "the file is larger than 1 MiB".to_owned(), help);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match str::from_utf8(bytes) {
        Ok(text) => parse(name, text, base, options),
        Err(error) => not_utf8(name, bytes, error.valid_up_to()),
    }
}

/// A file of which nothing can be shown.
fn refused(name: String, code: Code, message: String, help: &str) -> Loaded {
    let source = Source::new(name, String::new());
    let mut sink = Sink::new(&source);
    sink.whole_file(code, message, help);
    Loaded { config: None, problems: sink.finish(), source }
}

fn not_utf8(name: String, bytes: &[u8], at: usize) -> Loaded {
    let utf16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    let help = if utf16 { "it looks like UTF-16: save it as UTF-8" } else { "save the file as UTF-8" };
    // Up to the bad byte the lossy text equals the file, so the place is right; what follows is shown as replacements.
    let mut source = Source::new(name, String::from_utf8_lossy(bytes).into_owned());
    source.mask(&mask::by_line(source.text()));
    let mut sink = Sink::new(&source);
    sink.error(at..at + '\u{fffd}'.len_utf8(), Code::NotUtf8, "this byte is not UTF-8", help);
    Loaded { config: None, problems: sink.finish(), source }
}

fn parse(name: String, text: &str, base: &Path, options: Options) -> Loaded {
    let (tree, faults) = DeTable::parse_recoverable(text);
    let mut source = Source::new(name, text.to_owned());
    source.mask(&mask::by_tree(tree.get_ref()));
    if !faults.is_empty() {
        // What could be read of a broken file says little about the rest: only the faults themselves are reported.
        source.mask(&mask::by_line(text));
        let problems = syntax(&source, &faults, text.len());
        return Loaded { config: None, problems, source };
    }
    let (config, problems) = read_tree(&tree, &source, base, options);
    let refused = problems.iter().any(|problem| problem.severity == Severity::Error);
    Loaded { config: config.filter(|_| !refused), problems, source }
}

fn read_tree<'a>(
    tree: &'a Spanned<DeTable<'a>>,
    source: &Source,
    base: &Path,
    options: Options,
) -> (Option<Config>, Vec<Problem>) {
    read::config(Table::root(tree), source, base, options)
}

fn syntax(source: &Source, faults: &[toml::de::Error], end: usize) -> Vec<Problem> {
    let mut sink = Sink::new(source);
    let mut faults: Vec<_> = faults.iter().map(|fault| (fault.span().unwrap_or(end..end), fault)).collect();
    // The first fault of a line is the one to mend; what the parser says of its rest follows from it.
    faults.sort_by_key(|(span, _)| span.start);
    faults.dedup_by_key(|(span, _)| sink.line(span.start));
    for (span, fault) in faults {
        sink.error(span, Code::Syntax, fault.message().replace('\n', ", "), TOML);
    }
    sink.finish()
}
