//! Rows of an answer, as text.
//!
//! Input: the payloads of row packets of the text protocol. Output: values by column. It never fails on what isn't there: a NULL, and a
//! column that isn't there, are empty.

use super::client::CallError;
use crate::protocol::mysql::wire::Cursor;

/// Rows of one statement, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Option<String>>>,
}

impl Rows {
    /// The first row; none if there is none.
    pub(super) fn first(&self) -> Option<Row<'_>> {
        self.iter().next()
    }

    /// All rows.
    pub(super) fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|values| Row { columns: &self.columns, values })
    }
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    columns: &'a [String],
    values: &'a [Option<String>],
}

impl<'a> Row<'a> {
    /// The value of a column by its name; empty for NULL and for a column that isn't there.
    pub(super) fn get(self, name: &str) -> &'a str {
        let index = self.columns.iter().position(|column| column.eq_ignore_ascii_case(name));
        index.map_or("", |index| self.at(index))
    }

    /// The value of a column by its place, from 0; empty for NULL and for a column that isn't there.
    pub(super) fn at(self, index: usize) -> &'a str {
        self.values.get(index).and_then(Option::as_deref).unwrap_or_default()
    }

    /// Columns and values.
    pub(super) fn pairs(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.columns
            .iter()
            .map(String::as_str)
            .zip(self.values.iter().map(|value| value.as_deref().unwrap_or_default()))
    }

    /// Whether a column says 1, `ON` or `Yes`.
    pub(super) fn flag(self, name: &str) -> bool {
        matches!(self.get(name), "1" | "ON" | "Yes")
    }

    /// A column's number.
    pub(super) fn number(self, name: &str) -> Option<u64> {
        self.get(name).parse().ok()
    }
}

/// The values in a row packet.
pub(super) fn values(packet: &[u8], columns: usize) -> Result<Vec<Option<String>>, CallError> {
    let mut cursor = Cursor::new(packet);
    let mut values = Vec::with_capacity(columns);
    for _ in 0..columns {
        if cursor.left().first() == Some(&0xfb) {
            cursor.u8()?;
            values.push(None);
        } else {
            values.push(Some(String::from_utf8_lossy(cursor.lenenc_bytes()?).into_owned()));
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_short_ones_are_alien() {
        assert_eq!(values(b"\x01a\xfb\x00", 3).unwrap(), [Some("a".to_owned()), None, Some(String::new())]);
        assert!(matches!(values(b"\x05a", 1), Err(CallError::Alien(_))));
        assert!(matches!(values(b"", 1), Err(CallError::Alien(_))));
    }
}
