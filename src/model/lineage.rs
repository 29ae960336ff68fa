//! Comparisons of histories: which one continues which, who holds more, and what only one of two holds.
//!
//! Input: two histories, as nodes and the journal tell them. Output: yes, no, or a set. There are two forms. A *stream* has a name
//! and positions: whoever is promoted gives it a new name and keeps the old one as its parent. A *set* names each transaction, so
//! nothing has to be concluded from names. Only this file tells the two apart.

use super::{observation::Lineage, transactions::Transactions};

/// How much of a set is shown to people before it is cut short, in bytes.
const SHOWN: usize = 400;

impl Lineage {
    /// Both as sets, if they are.
    fn sets<'a>(&'a self, other: &'a Self) -> Option<(&'a Transactions, &'a Transactions)> {
        self.transactions.as_ref().zip(other.transactions.as_ref())
    }

    /// Whether who holds this holds `known`, or goes on from it.
    pub fn continues(&self, known: &Self) -> bool {
        match self.sets(known) {
            Some((ours, theirs)) => ours.contains(theirs),
            None => !known.id.is_empty() && (self.id == known.id || self.previous == known.id),
        }
    }

    /// Whether the two are one history, of which one may have more.
    pub fn is_same(&self, known: &Self) -> bool {
        match self.sets(known) {
            Some((ours, theirs)) => ours.contains(theirs) || theirs.contains(ours),
            None => self.id == known.id,
        }
    }

    /// Whether the journal knows it by this name. All sets have one name.
    pub fn is_called(&self, known: &Self) -> bool {
        self.id == known.id
    }

    /// Whether who follows `primary` can be told by having its history: a set is shared by all who have replicated it.
    pub fn is_stream_of(&self, primary: &Self) -> bool {
        self.transactions.is_none() && !self.id.is_empty() && self.id == primary.id
    }

    /// Whether it tells by itself what it continues, so that nothing need be concluded from how many items there are.
    pub fn tells_its_parent(&self) -> bool {
        self.transactions.is_some() || !self.previous.is_empty()
    }

    /// Whether it was promoted from the history of `other`, or holds all of it and more: it is the newer one.
    pub fn succeeds(&self, other: &Self) -> bool {
        match self.sets(other) {
            Some((ours, theirs)) => ours != theirs && ours.contains(theirs),
            None => !self.previous.is_empty() && self.previous == other.id,
        }
    }

    /// Whether it succeeds `other`, and nothing that `other` holds, up to `received`, is missing.
    pub fn succeeds_all(&self, other: &Self, received: u64) -> bool {
        self.succeeds(other) && (self.transactions.is_some() || received <= self.previous_until)
    }

    /// Whether it is the beginning of `known`, up to `received`, and nothing else. Of a stream: of its parent.
    pub fn is_beginning_of(&self, known: &Self, received: u64) -> bool {
        match self.sets(known) {
            Some((ours, theirs)) => theirs.contains(ours),
            None => self.id == known.previous && received <= known.previous_until,
        }
    }

    /// Up to where it shares the history that was `served`: what it has received, or where it was promoted.
    pub fn shared_until(&self, served: Option<&Self>, received: u64) -> u64 {
        if served.is_some_and(|served| self.id == served.id) { received } else { self.previous_until }
    }

    /// Whether who has received `received` of this has more of the history that was `served`, by the server process `author`, than
    /// who shares it until `until`, as `other` says.
    pub fn has_more(&self, received: u64, (other, until): (&Self, u64), served: &Self, author: &str) -> bool {
        match self.sets(other) {
            Some((ours, theirs)) => !ours.written_later(theirs, name_of(author)).is_empty(),
            None => self.id == served.id && received > until,
        }
    }

    /// What it holds that `other` doesn't, but for what the server process `author` may have written since `other` was told. `None`
    /// where a history names no transactions.
    pub fn errant(&self, other: &Self, author: &str) -> Option<Transactions> {
        let (ours, theirs) = self.sets(other)?;
        let beyond = ours.subtract(theirs);
        Some(beyond.subtract(&ours.written_later(theirs, name_of(author))))
    }

    /// What it holds that `other` doesn't. `None` where a history names no transactions.
    pub fn beyond(&self, other: &Self) -> Option<Transactions> {
        let (ours, theirs) = self.sets(other)?;
        Some(ours.subtract(theirs))
    }

    /// What its positions count.
    pub fn unit(&self) -> &'static str {
        if self.transactions.is_some() { "transactions" } else { "bytes" }
    }
}

/// The server's own name in the ids of what it writes, from what its process is called (`name/start`; MariaDB's names end in the
/// server's number, behind a colon).
fn name_of(process: &str) -> &str {
    let server = process.split('/').next().unwrap_or_default();
    server.rsplit(':').next().unwrap_or_default()
}

/// A set in the server's own notation, cut short for people where it is long.
pub fn shown(set: &Transactions) -> String {
    let text = set.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}... ({} in all)", &text[..end], set.count()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";
    const B: &str = "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb";

    fn stream(id: &str, previous: &str, previous_until: u64) -> Lineage {
        Lineage { id: id.into(), previous: previous.into(), previous_until, transactions: None }
    }

    fn set(text: &str) -> Lineage {
        let text = text.replace('A', A).replace('B', B);
        Lineage { id: "gtid".into(), transactions: Some(text.parse().expect("a set")), ..Lineage::default() }
    }

    #[test]
    fn a_stream_is_known_by_its_names() {
        let (old, heir) = (stream("x", "", 0), stream("y", "x", 100));
        assert!(heir.continues(&old) && !old.continues(&heir) && heir.succeeds(&old) && !heir.is_same(&old));
        assert!(heir.succeeds_all(&old, 100) && !heir.succeeds_all(&old, 101));
        assert!(old.is_beginning_of(&heir, 100) && !old.is_beginning_of(&heir, 101));
        assert!(heir.tells_its_parent() && !old.tells_its_parent());
        assert_eq!((heir.errant(&old, "p/1"), heir.unit()), (None, "bytes"));
    }

    #[test]
    fn an_empty_set_continues_nothing_that_was_served() {
        let (empty, served) = (set(""), set("A:1-10"));
        assert!(!empty.continues(&served) && served.continues(&empty));
        assert!(
            served.is_same(&empty) && served.succeeds(&empty) && !empty.succeeds(&served) && !served.succeeds(&served)
        );
    }

    #[test]
    fn what_the_primary_wrote_later_is_no_errant_transaction_and_everything_else_is() {
        let (then, author) = (set("A:1-10,B:1-5"), format!("{A}/1700000000"));
        let standby = set("A:1-12,B:1-6");
        assert_eq!(standby.errant(&then, &author).expect("sets"), set("B:6").transactions.expect("a set"));
        assert!(standby.has_more(0, (&then, 0), &then, &author), "the primary's own last two");
        assert!(!set("A:1-10,B:1-9").has_more(0, (&then, 0), &then, &author));
        // A hole in what is known of the primary's own is not later.
        assert_eq!(
            set("A:1-10").errant(&set("A:1-4:6-10"), &author).expect("sets"),
            set("A:5").transactions.expect("a set")
        );
    }

    #[test]
    fn of_a_mariadb_domain_the_servers_number_tells_who_wrote_it() {
        let mariadb =
            |text: &str| Lineage { transactions: Some(text.parse().expect("a position")), ..Lineage::default() };
        let then = mariadb("0-1-100");
        assert!(mariadb("0-1-105").errant(&then, "db1:3306:1/17").expect("sets").is_empty());
        assert_eq!(
            mariadb("0-1-100,0-2-101").errant(&then, "db1:3306:1/17").expect("sets").to_string(),
            "0-2-101..101"
        );
    }

    #[test]
    fn a_long_set_is_cut_short_for_people() {
        let many: Vec<String> = (0..400).map(|n| format!("{A}:{}", n * 2 + 1)).collect();
        let set: Transactions = many.join(",").parse().expect("a set");
        assert!(shown(&set).len() < 500 && shown(&set).ends_with("(400 in all)"));
    }
}
