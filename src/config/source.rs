//! The text of a configuration file: places in it, and its lines for showing.
//!
//! Input: the text and the byte ranges of secrets. Output: line and column of a byte; `file:line:col` reports with a caret.
//! Never: a secret in a shown line; they are masked before anything is rendered.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::problem::{Problem, Severity};

/// The widest piece of one line that is shown, in bytes: a file may be one line of a megabyte.
const SHOWN_LINE: usize = 400;

/// One file's name and text.
pub(super) struct Source {
    name: String,
    text: String,
    /// The byte at which each line begins.
    lines: Vec<usize>,
}

impl Source {
    pub(super) fn new(name: String, text: String) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name, text, lines }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Overwrites secrets with stars, keeping every byte's place. Ranges that don't fit the text are ignored.
    pub(super) fn mask(&mut self, secrets: &[Range<usize>]) {
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        for range in secrets {
            for byte in bytes.get_mut(range.clone()).unwrap_or_default() {
                if !matches!(byte, b'\n' | b'\r') {
                    *byte = b'*';
                }
            }
        }
        // A range that cut a character in two leaves invalid bytes; each becomes one replacement character.
        self.text =
            String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, byte: usize) -> usize {
        self.lines.partition_point(|start| *start <= byte).max(1)
    }

    /// Line and column of a byte, both from 1, the column in characters.
    pub(super) fn position(&self, byte: usize) -> (usize, usize) {
        let line = self.line(byte);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..byte.min(self.text.len())).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    /// The problem as people read it: `file:line:col: error: message`, the line, a caret, the help.
    pub(super) fn render(&self, problem: &Problem, colour: bool) -> String {
        let Problem { severity, file, line, column, message, .. } = problem;
        let mut text = format!("{file}:{line}:{column}: {}: {message}\n", severity.as_str());
        let level = match severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_level(level);
        if let Some((shown, marked)) = problem.span.as_ref().and_then(|span| self.excerpt(*line, span)) {
            let annotation = AnnotationKind::Primary.span(marked);
            group = group.element(Snippet::source(shown).line_start(*line).fold(false).annotation(annotation));
        } else if problem.help.is_none() {
            return text;
        }
        if let Some(help) = &problem.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        text.push_str(&renderer.decor_style(DecorStyle::Ascii).render(&[group]));
        text.push('\n');
        text
    }

    /// The line that a span begins in, cut to what can be shown, and the part of it to mark.
    fn excerpt(&self, line: usize, span: &Range<usize>) -> Option<(&str, Range<usize>)> {
        let start = *self.lines.get(line.checked_sub(1)?)?;
        let end = self.lines.get(line).map_or(self.text.len(), |next| next - 1);
        let shown = self.text.get(start..end)?.trim_end_matches('\r');
        let shown = match shown.char_indices().find(|(at, _)| *at >= SHOWN_LINE) {
            Some((cut, _)) => shown.get(..cut)?,
            None => shown,
        };
        let from = span.start.saturating_sub(start).min(shown.len());
        let to = span.end.saturating_sub(start).clamp(from, shown.len());
        shown.is_char_boundary(from).then_some(())?;
        shown.is_char_boundary(to).then_some((shown, from..to))
    }
}
