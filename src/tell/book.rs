//! What one webhook has told, kept over restarts in a file of its own.
//!
//! Input: the file. Output: the book, and the file written anew so that it is whole after a crash. It holds no secret.

use super::event::{Event, Key};
use crate::{config::Notice, model::name::ServiceName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// The largest file that is read: a few hundred alerts have room in it.
const LARGEST: u64 = 4 << 20;

/// An alert that was told and isn't over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) notice: Notice,
    pub(super) svc: Option<ServiceName>,
    pub(super) starts: Timestamp,
    pub(super) summary: String,
    pub(super) description: String,
}

impl Told {
    /// That it is over.
    pub(super) fn over(&self, ends: Timestamp) -> Event {
        Event {
            notice: self.notice,
            svc: self.svc.clone(),
            starts: self.starts,
            ends: Some(ends),
            summary: self.summary.clone(),
            description: self.description.clone(),
            record: None,
        }
    }
}

/// How far a webhook has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Book {
    /// The number of the last record that was told, or needn't be.
    pub(super) after: u64,
    /// Alerts that were told and aren't over: at most one of each sort a service.
    #[serde(default)]
    pub(super) told: Vec<Told>,
}

impl Book {
    /// Of the file; where there is none, one that begins at the journal's end, since history is no news. The words say what is
    /// wrong with a file that can't be used.
    pub(super) fn open(file: &Path, head: u64) -> (Self, Option<String>) {
        let fresh = Self { after: head, told: Vec::new() };
        let read = fs::metadata(file).and_then(|meta| match meta.len() {
            0..=LARGEST => fs::read(file),
            _ => Err(io::Error::other("it is too large")),
        });
        let trouble = match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return (fresh, None),
            Err(error) => error.to_string(),
            Ok(bytes) => match serde_json::from_slice::<Self>(&bytes) {
                Ok(book) if book.after <= head => return (book, None),
                Ok(book) => format!("it has come to record {} of a journal that ends at {head}", book.after),
                Err(error) => error.to_string(),
            },
        };
        (fresh, Some(format!("{}: {trouble}", file.display())))
    }

    /// Replaces the file; after a crash it is the old one or the new one. `writer` is unique among those that may write it at once: a
    /// webhook that a reload changed may still be writing when its successor does.
    pub(super) fn save(&self, file: &Path, writer: u64) -> io::Result<()> {
        let folder = file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let beside = file.with_extension(format!("{writer}.new"));
        let mut new = File::create(&beside)?;
        new.write_all(&serde_json::to_vec(self)?)?;
        new.sync_all()?;
        fs::rename(&beside, file)?;
        File::open(folder)?.sync_all()
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.told.iter().any(|told| told.notice == key.0 && told.svc == key.1)
    }

    /// Keeps an alert until it is over; another one of its sort replaces it.
    pub(super) fn keep(&mut self, event: &Event) {
        let (notice, svc) = event.key();
        self.told.retain(|told| told.notice != notice || told.svc != svc);
        let (summary, description) = (event.summary.clone(), event.description.clone());
        self.told.push(Told { notice, svc, starts: event.starts, summary, description });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_comes_back_and_a_broken_one_begins_at_the_head() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("webhooks/pager.json");
        assert_eq!(Book::open(&file, 7), (Book { after: 7, told: Vec::new() }, None), "history is no news");
        let told = Told {
            notice: Notice::Failover,
            svc: Some("cart".into()),
            starts: Timestamp::UNIX_EPOCH,
            summary: "s".into(),
            description: "d".into(),
        };
        let book = Book { after: 5, told: vec![told] };
        book.save(&file, 1).expect("saved");
        assert_eq!(Book::open(&file, 9), (book.clone(), None));
        let (fresh, trouble) = Book::open(&file, 3);
        assert!(fresh.after == 3 && trouble.is_some_and(|words| words.contains("ends at 3")), "another journal");
        fs::write(&file, b"{\"after\":").expect("written");
        let (fresh, trouble) = Book::open(&file, 9);
        assert!(fresh.after == 9 && trouble.is_some());
    }
}
