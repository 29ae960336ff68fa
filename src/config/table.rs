//! Typed reading of TOML tables: each reader says what it expected and goes on, so that every mistake is reported at once.
//!
//! Input: the spanned tree of the `toml` crate. Output: values, and problems at their places. A table remembers which keys
//! were asked for; whatever else it holds is an unknown key. Never: a panic on any tree, or a value shown in a message
//! where it might be a secret.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, de::DeString};

use super::problem::{Code, Problem, Severity};
use super::source::Source;
use super::units::{self, Invalid, shown};

/// Problems kept; a file of garbage must not become a report of a hundred megabytes.
const MAX_PROBLEMS: usize = 200;
/// Members of any list in the file.
const MAX_LIST: usize = 256;

/// What to do about a list beyond that.
const TOO_MANY: &str = "run a second Pointsman with a file of its own for the rest";

/// Where problems are gathered.
pub(super) struct Sink<'s> {
    source: &'s Source,
    problems: Vec<Problem>,
    /// How many were not kept, and whether one of them is an error.
    dropped: usize,
    refused: bool,
}

impl<'s> Sink<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        Self { source, problems: Vec::new(), dropped: 0, refused: false }
    }

    /// Line of a byte, for messages that point at a second place.
    pub(super) fn line(&self, byte: usize) -> usize {
        self.source.line(byte)
    }

    pub(super) fn error(
        &mut self,
        span: Range<usize>,
        code: Code,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Severity::Error, Some(span), code, message.into(), help.into());
    }

    pub(super) fn warning(
        &mut self,
        span: Range<usize>,
        code: Code,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Severity::Warning, Some(span), code, message.into(), help.into());
    }

    /// A problem of the whole file, without a caret.
    pub(super) fn whole_file(&mut self, code: Code, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Error, None, code, message.into(), help.into());
    }

    fn push(&mut self, severity: Severity, span: Option<Range<usize>>, code: Code, message: String, help: String) {
        if self.is_full() {
            self.dropped += 1;
            self.refused |= severity == Severity::Error;
            return;
        }
        let (line, column) = span.as_ref().map_or((1, 1), |span| self.source.position(span.start));
        let help = (!help.is_empty()).then_some(help);
        let file = self.source.name().to_owned();
        self.problems.push(Problem { severity, file, line, column, code, message, help, span });
    }

    /// Whether further problems are only counted.
    fn is_full(&self) -> bool {
        self.problems.len() >= MAX_PROBLEMS
    }

    /// Every problem in the order of the file.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| (problem.line, problem.column));
        if self.dropped > 0 {
            let message = format!("{} more problems are not shown", self.dropped);
            let file = self.source.name().to_owned();
            let severity = if self.refused { Severity::Error } else { Severity::Warning };
            let code = Code::OutOfRange;
            self.problems.push(Problem { severity, file, line: 1, column: 1, code, message, help: None, span: None });
        }
        self.problems
    }
}

/// One value of the file with its name in messages.
#[derive(Clone)]
pub(super) struct Field<'a> {
    /// The dotted path from the file's root; a member of a list has the list's.
    pub(super) name: String,
    pub(super) span: Range<usize>,
    value: &'a DeValue<'a>,
}

impl<'a> Field<'a> {
    fn new(name: String, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self { name, span: value.span(), value: value.get_ref() }
    }

    fn wrong_type(&self, sink: &mut Sink<'_>, expected: &str) {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let key = self.name.rsplit('.').next().unwrap_or_default();
        let help = match (expected, self.value) {
            ("true or false", _) => format!("write `{key} = true` or `{key} = false`, without quotes"),
            ("a whole number", _) => format!("write digits alone, as in `{key} = 3`"),
            ("a table", _) => format!("begin a table: `[{}]`, and its keys below", self.name),
            ("a list of tables", _) => format!("begin each with `[[{}]]`, and its keys below", self.name),
            (_, DeValue::Array(_) | DeValue::Table(_)) => format!("write one text in quotes: `{key} = \"…\"`"),
            _ => format!("write it in quotes: `{key} = \"…\"`"),
        };
        let message = format!("`{}` must be {expected}, found {found}", self.name);
        sink.error(self.span.clone(), Code::WrongType, message, help);
    }

    /// A value outside its bounds; the help names the bound that is nearest.
    fn out_of_range(&self, sink: &mut Sink<'_>, low: &str, high: &str, below: bool) {
        let message = format!("`{}` must be from {low} to {high}", self.name);
        let (sort, nearest) = if below { ("too small", low) } else { ("too large", high) };
        sink.error(self.span.clone(), Code::OutOfRange, message, format!("this is {sort}: {nearest} is the nearest"));
    }

    pub(super) fn boolean(&self, sink: &mut Sink<'_>) -> Option<bool> {
        let value = self.value.as_bool();
        if value.is_none() {
            self.wrong_type(sink, "true or false");
        }
        value
    }

    pub(super) fn string(&self, sink: &mut Sink<'_>) -> Option<&'a str> {
        self.string_as(sink, "a string")
    }

    /// Control characters are refused everywhere: these texts reach terminals, logs and the wire.
    fn string_as(&self, sink: &mut Sink<'_>, expected: &str) -> Option<&'a str> {
        let value = self.value.as_str();
        match value {
            None => self.wrong_type(sink, expected),
            Some(text) if text.chars().any(char::is_control) => {
                let message = format!("`{}` has a control character or a line break", self.name);
                let help = "it would reach terminals and logs: write it as one line of plain text";
                sink.error(self.span.clone(), Code::BadValue, message, help);
                return None;
            }
            Some(_) => {}
        }
        value
    }

    /// A string that must not be empty.
    pub(super) fn text(&self, sink: &mut Sink<'_>) -> Option<String> {
        let text = self.string(sink)?;
        if text.is_empty() {
            let message = format!("`{}` is empty", self.name);
            sink.error(
                self.span.clone(),
                Code::BadValue,
                message,
                "write something between the quotes, or leave it out",
            );
            return None;
        }
        Some(text.to_owned())
    }

    pub(super) fn integer(&self, sink: &mut Sink<'_>, bounds: RangeInclusive<u32>) -> Option<u32> {
        let DeValue::Integer(digits) = self.value else {
            self.wrong_type(sink, "a whole number");
            return None;
        };
        let value = i64::from_str_radix(digits.as_str(), digits.radix());
        let fits = value.as_ref().ok().and_then(|value| u32::try_from(*value).ok()).filter(|v| bounds.contains(v));
        if fits.is_none() {
            let below =
                value.map_or_else(|_| digits.as_str().starts_with('-'), |value| value < i64::from(*bounds.start()));
            self.out_of_range(sink, &bounds.start().to_string(), &bounds.end().to_string(), below);
        }
        fits
    }

    pub(super) fn duration(&self, sink: &mut Sink<'_>, bounds: &RangeInclusive<Duration>) -> Option<Duration> {
        if let DeValue::Integer(digits) = self.value {
            let help = format!("write \"{digits}ms\" or \"{digits}s\"");
            sink.error(self.span.clone(), Code::WrongType, format!("`{}` needs a unit", self.name), help);
            return None;
        }
        let text = self.string_as(sink, "a duration such as \"200ms\"")?;
        let value = self.accept(sink, units::parse_duration(text))?;
        self.within(sink, value, bounds, units::show_duration)
    }

    pub(super) fn size(&self, sink: &mut Sink<'_>, bounds: &RangeInclusive<u64>) -> Option<u64> {
        if let DeValue::Integer(digits) = self.value {
            let help = format!("write \"{digits}B\"");
            sink.error(self.span.clone(), Code::WrongType, format!("`{}` needs a unit", self.name), help);
            return None;
        }
        let text = self.string_as(sink, "a size such as \"64MiB\"")?;
        let value = self.accept(sink, units::parse_size(text))?;
        self.within(sink, value, bounds, units::show_size)
    }

    fn within<T: PartialOrd + Copy>(
        &self,
        sink: &mut Sink<'_>,
        value: T,
        bounds: &RangeInclusive<T>,
        show: fn(T) -> String,
    ) -> Option<T> {
        if bounds.contains(&value) {
            return Some(value);
        }
        self.out_of_range(sink, &show(*bounds.start()), &show(*bounds.end()), value < *bounds.start());
        None
    }

    /// Turns a parser's reason into a problem at this place.
    pub(super) fn accept<T>(&self, sink: &mut Sink<'_>, parsed: Result<T, Invalid>) -> Option<T> {
        parsed.map_err(|invalid| sink.error(self.span.clone(), Code::BadValue, invalid.message, invalid.help)).ok()
    }

    /// One of a few words; `later` are words that are reserved.
    pub(super) fn choice<T: Copy>(&self, sink: &mut Sink<'_>, words: &[(&str, T)], later: &[&str]) -> Option<T> {
        let text = self.string(sink)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        if later.contains(&text) {
            let message = format!("`{} = \"{text}\"` comes with a later version", self.name);
            let help = format!("this version has \"{}\"", names.join("\", \""));
            sink.error(self.span.clone(), Code::NotSupported, message, help);
            return None;
        }
        let help = closest(text, &names)
            .map_or_else(|| format!("one of \"{}\"", names.join("\", \"")), |word| format!("did you mean \"{word}\"?"));
        sink.error(self.span.clone(), Code::BadValue, format!("{} is no value of `{}`", shown(text), self.name), help);
        None
    }

    /// The members of a list; a single string or table stands for a list of one.
    pub(super) fn list(&self, sink: &mut Sink<'_>, expected: &str) -> Option<Vec<Field<'a>>> {
        let members: Vec<_> = match self.value {
            DeValue::Array(array) => array.iter().map(|value| Field::new(self.name.clone(), value)).collect(),
            DeValue::String(_) | DeValue::Table(_) => vec![self.clone()],
            _ => {
                self.wrong_type(sink, expected);
                return None;
            }
        };
        if members.len() > MAX_LIST {
            let message = format!("`{}` has {} members, {MAX_LIST} are allowed", self.name, members.len());
            sink.error(self.span.clone(), Code::OutOfRange, message, TOO_MANY);
            return None;
        }
        Some(members)
    }

    pub(super) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    pub(super) fn table(&self, sink: &mut Sink<'_>) -> Option<Table<'a>> {
        let DeValue::Table(entries) = self.value else {
            self.wrong_type(sink, "a table");
            return None;
        };
        Some(Table::new(self.name.clone(), self.span.clone(), Some(entries)))
    }
}

/// One table of the file.
pub(super) struct Table<'a> {
    pub(super) name: String,
    pub(super) span: Range<usize>,
    /// `None` where the table is absent: then every key is.
    entries: Option<&'a DeTable<'a>>,
    asked: Vec<&'static str>,
}

impl<'a> Table<'a> {
    pub(super) fn root(root: &'a Spanned<DeTable<'a>>) -> Self {
        Self::new(String::new(), 0..0, Some(root.get_ref()))
    }

    fn new(name: String, span: Range<usize>, entries: Option<&'a DeTable<'a>>) -> Self {
        Self { name, span, entries, asked: Vec::new() }
    }

    fn path(&self, key: &str) -> String {
        let key: String = key.chars().take(64).collect();
        if self.name.is_empty() {
            key.escape_debug().to_string()
        } else {
            format!("{}.{}", self.name, key.escape_debug())
        }
    }

    /// The value of a key, if it is there.
    pub(super) fn get(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.asked.push(key);
        self.entries?.get(key).map(|value| Field::new(self.path(key), value))
    }

    /// The value of a key that must be there.
    pub(super) fn require(&mut self, sink: &mut Sink<'_>, key: &'static str, help: &str) -> Option<Field<'a>> {
        let field = self.get(key);
        if field.is_none() {
            let place = if self.name.is_empty() { String::new() } else { format!(" in `{}`", self.name) };
            sink.error(self.span.clone(), Code::Missing, format!("`{key}` is missing{place}"), help);
        }
        field
    }

    /// The table under a key, if it is there.
    pub(super) fn table(&mut self, sink: &mut Sink<'_>, key: &'static str) -> Option<Table<'a>> {
        self.get(key)?.table(sink)
    }

    /// The table under a key; an absent one is empty, so that its defaults are filled in at one place.
    pub(super) fn section(&mut self, sink: &mut Sink<'_>, key: &'static str) -> Table<'a> {
        self.table(sink, key).unwrap_or_else(|| Table::new(self.path(key), self.span.clone(), None))
    }

    /// Every entry with its key, in the order of the file, for a table whose keys are names that the user gave.
    pub(super) fn named(&self, sink: &mut Sink<'_>) -> Vec<(&'a str, Range<usize>, Field<'a>)> {
        let mut entries: Vec<_> = self.entries.into_iter().flatten().collect();
        if entries.len() > MAX_LIST {
            let message = format!("`{}` has {} members, {MAX_LIST} are allowed", self.name, entries.len());
            sink.error(self.span.clone(), Code::OutOfRange, message, TOO_MANY);
            return Vec::new();
        }
        entries.sort_by_key(|(key, _)| key.span().start);
        let named = |(key, value): (&'a Spanned<DeString<'a>>, _)| {
            (key.get_ref().as_ref(), key.span(), Field::new(self.path(key.get_ref()), value))
        };
        entries.into_iter().map(named).collect()
    }

    /// Every key, for a table whose keys are names that the user gave.
    pub(super) fn keys(&self) -> Vec<String> {
        self.entries.into_iter().flatten().map(|(key, _)| key.get_ref().to_string()).collect()
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self, sink: &mut Sink<'_>) {
        for (key, _) in self.entries.into_iter().flatten() {
            self.unknown(sink, key);
        }
    }

    fn unknown(&self, sink: &mut Sink<'_>, key: &Spanned<DeString<'_>>) {
        let name = key.get_ref().as_ref();
        if self.asked.contains(&name) {
            return;
        }
        let place = if self.name.is_empty() { String::new() } else { format!(" in `{}`", self.name) };
        // Looking for a like word takes its time, and nobody reads what is only counted.
        let like = if sink.is_full() { None } else { closest(name, &self.asked) };
        let help = like
            .map_or_else(|| format!("known here: {}", self.asked.join(", ")), |word| format!("did you mean `{word}`?"));
        sink.error(key.span(), Code::UnknownKey, format!("unknown key {}{place}", shown(name)), help);
    }
}

/// The word most like the one given, if it is alike enough to be meant: one slip in three letters.
pub(super) fn closest<'w>(given: &str, words: &[&'w str]) -> Option<&'w str> {
    if given.len() > 64 {
        return None;
    }
    let slips = (given.chars().count() / 3).max(1);
    let near = words.iter().map(|word| (strsim::osa_distance(given, word), *word));
    near.filter(|(distance, _)| *distance <= slips).min().map(|(_, word)| word)
}
