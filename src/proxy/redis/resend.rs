//! What of the requests that a lost upstream leaves unanswered may be sent again.
//!
//! Input: those requests, oldest first, and whether a transaction was open before them. Output: how many of them fail, and which
//! EXEC has lost its race. Never: a part of a transaction without the rest of it.

use super::ask::Ask;
use crate::protocol::redis::{command::Retry, session::Change};

/// A request (empty if it wasn't kept), whether all of it was written, and what is known of it.
pub type Left = (Vec<u8>, bool, Ask);

/// Requests, sorted by what becomes of them.
#[derive(Default)]
pub struct Sorted {
    /// The oldest ones: they may have run, or can't be sent again.
    pub failed: Vec<Ask>,
    /// The others, which are sent again.
    pub again: Vec<Left>,
    /// True when the first part of a transaction failed whose end is still to come.
    pub torn: bool,
}

/// Sorts them; Pointsman's own are dropped.
pub fn sort(mut left: Vec<Left>, in_multi: bool) -> Sorted {
    left.retain(|(.., ask)| !ask.is_own());
    let (mut multi, mut torn, mut failed) = (in_multi, false, 0);
    for (index, (request, sent, ask)) in left.iter().enumerate() {
        let change = ask.change.as_deref();
        let exec = change == Some(&Change::Exec);
        let ends = exec || matches!(change, Some(Change::Discard | Change::Reset));
        multi |= change == Some(&Change::Multi);
        // What is only queued has not run; what changes the connection changed one that is gone.
        let harmless = ask.block.is_some() || ask.retry == Retry::Read || (!exec && (multi || change.is_some()));
        if torn || (*sent && !harmless) || request.is_empty() {
            failed = index + 1;
            torn = multi && !ends;
        }
        multi &= !ends;
    }
    let again = left.split_off(failed);
    Sorted { failed: left.into_iter().map(|(.., ask)| ask).collect(), again, torn }
}

/// What becomes of a watch whose connection is gone.
#[derive(Debug, PartialEq, Eq)]
pub enum Race {
    /// It is given up among these requests.
    Over,
    /// This EXEC among them has lost.
    Lost(usize),
    /// The EXEC that loses is still to come.
    Open,
}

/// Finds that among requests that are sent again.
pub fn race<'a>(asks: impl Iterator<Item = &'a Ask>, in_multi: bool) -> Race {
    let mut multi = in_multi;
    for (index, ask) in asks.enumerate() {
        match ask.change.as_deref() {
            Some(Change::Multi) => multi = true,
            Some(Change::Exec) if multi => return Race::Lost(index),
            Some(Change::Discard) if multi => return Race::Over,
            Some(Change::Unwatch) if !multi => return Race::Over,
            Some(Change::Reset) => return Race::Over,
            _ => {}
        }
    }
    Race::Open
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::redis::{
        command::{DenyList, classify},
        scan::{Limits, RequestScanner, Scan},
        session::Session,
    };

    /// A request as it is asked; written, unless it begins with `~`; `!` stands for one that was too large to be kept.
    fn left(words: &str) -> Left {
        let (sent, kept) = (!words.starts_with('~'), !words.starts_with('!'));
        let mut request = Vec::new();
        let words: Vec<&[u8]> = words.trim_start_matches(['~', '!']).split(' ').map(str::as_bytes).collect();
        crate::protocol::redis::reply::request(&mut request, &words);
        let Ok(Scan::Complete(head)) = RequestScanner::default().next(&request, &Limits::default()) else {
            panic!("no request")
        };
        let ask = Ask::new(&classify(&head, &request, &DenyList::default()), &request, &mut Session::default());
        (if kept { request } else { Vec::new() }, sent, ask)
    }

    /// How many fail, how many are sent again, and whether a transaction is torn.
    fn sorted(requests: &[&str], in_multi: bool) -> (usize, usize, bool) {
        let Sorted { failed, again, torn } = sort(requests.iter().map(|words| left(words)).collect(), in_multi);
        (failed.len(), again.len(), torn)
    }

    fn raced(requests: &[&str], in_multi: bool) -> Race {
        let asks: Vec<Left> = requests.iter().map(|words| left(words)).collect();
        race(asks.iter().map(|(.., ask)| ask), in_multi)
    }

    #[test]
    fn what_may_have_run_fails_with_all_before_it() {
        assert_eq!(sorted(&["GET k", "SET k 1", "GET k", "~SET k 2"], false), (2, 2, false));
        assert_eq!(sorted(&["MULTI", "SET k 1", "EXEC", "~SET k 2"], false), (3, 1, false));
        assert_eq!(sorted(&["MULTI", "SET k 1", "~EXEC"], false), (0, 3, false));
        assert_eq!(sorted(&["SET k 1", "~EXEC"], true), (0, 2, false));
    }

    #[test]
    fn a_transaction_fails_as_a_whole() {
        assert_eq!(sorted(&["MULTI", "!SET k 1", "~SET k 2", "~EXEC", "~SET k 3"], false), (4, 1, false));
        assert_eq!(sorted(&["!SET k 1", "~SET k 2", "~DISCARD", "~SET k 3"], true), (3, 1, false));
        assert_eq!(sorted(&["!SET k 1", "~SET k 2"], true), (2, 0, true), "its end is still to come");
        assert_eq!(sorted(&["!SET k 1", "~MULTI", "~SET k 2", "~EXEC"], false), (1, 3, false), "not its transaction");
    }

    #[test]
    fn the_exec_of_the_transaction_that_watched_loses() {
        assert_eq!(raced(&["~SET k 1", "~EXEC", "~MULTI", "~EXEC"], true), Race::Lost(1));
        assert_eq!(raced(&["~GET k", "~MULTI", "~SET k 1", "~EXEC"], false), Race::Lost(3));
        assert_eq!(raced(&["~EXEC", "~SET k 1"], false), Race::Open, "an EXEC without MULTI is only an error");
        assert_eq!(raced(&["~DISCARD", "~MULTI", "~EXEC"], true), Race::Over);
        assert_eq!(raced(&["~UNWATCH", "~MULTI", "~EXEC"], false), Race::Over);
        assert_eq!(raced(&["~UNWATCH", "~EXEC"], true), Race::Lost(1), "it is only queued");
    }
}
