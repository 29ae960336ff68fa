//! What is wrong with a configuration: one record a mistake, in the form that `check --json` prints.
//!
//! Input: a place in the source and words. Output: `Problem` values and their JSON. Never: the content of a secret.

use std::ops::Range;

use serde::Serialize;

/// Whether the file may be used all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is used; the operator should know.
    Warning,
}

impl Severity {
    /// The word printed between the place and the message.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// The kind of a mistake, for scripts: messages may be reworded, codes may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The file can't be opened or read.
    Unreadable,
    /// The file is over 1 MiB.
    TooLarge,
    /// The file is not UTF-8.
    NotUtf8,
    /// Not TOML.
    Syntax,
    /// A key that doesn't exist.
    UnknownKey,
    /// A value of the wrong TOML type.
    WrongType,
    /// A value of the right type that isn't one of those allowed.
    BadValue,
    /// A number, duration, size or list outside its bounds.
    OutOfRange,
    /// A key or a list member that must be there.
    Missing,
    /// Something that may be there once only.
    Duplicate,
    /// Keys or values that exclude each other.
    Conflict,
    /// A reserved name: it comes with a later version.
    NotSupported,
    /// A secret or TLS file that can't be had.
    SecretMissing,
    /// A secret that everyone may read, or that stands in the file in clear.
    SecretExposed,
    /// Allowed, but probably not what was meant.
    Doubtful,
}

/// One mistake, at its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether the file is refused for it.
    pub severity: Severity,
    /// The file's path as it was given.
    pub file: String,
    /// From 1; 1 where the whole file is meant.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The kind of mistake.
    pub code: Code,
    /// One sentence without a full stop.
    pub message: String,
    /// How to mend it, if there is more to say.
    pub help: Option<String>,
    /// The bytes of the source that the caret points at; `None` where the whole file is meant.
    #[serde(skip)]
    pub(super) span: Option<Range<usize>>,
}

/// The answer of `check --json`.
#[derive(Serialize)]
struct Answer<'a> {
    ok: bool,
    problems: &'a [Problem],
}

/// `{"ok":…,"problems":[…]}` on one line; `ok` means that no problem is an error.
#[expect(clippy::missing_panics_doc, reason = "serializing these plain types has no way to fail")]
pub fn to_json(problems: &[Problem]) -> String {
    let ok = !problems.iter().any(|problem| problem.severity == Severity::Error);
    serde_json::to_string(&Answer { ok, problems }).expect("strings, numbers and plain enums always serialize")
}
