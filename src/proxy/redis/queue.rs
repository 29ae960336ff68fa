//! The requests of an upstream: their bytes until they are answered, and what is known of each.
//!
//! Input: requests in the order in which sessions send them, and replies in the order in which the server gives them. Output:
//! bytes to write, owners of replies, and after a loss what may be sent again. The bytes of an unanswered request stay here
//! because they have to be sent again after a flip; it costs no allocation, since the buffer is reused. Never: I/O.

use super::client::Client;
use crate::protocol::redis::command::Retry;
use std::{collections::VecDeque, rc::Rc};

/// Answered bytes are only cut off in front when there are so many of them.
const CUT: usize = 256 * 1024;
/// So many connections may break after a request that only reads was sent on them.
const LOSSES: u8 = 5;
/// A buffer that has grown larger is freed when it is empty.
const LARGEST: usize = 4 * 1024 * 1024;

/// One request that was not answered.
pub struct Entry {
    /// Who waits for the answer.
    pub client: Rc<Client>,
    /// When it was read, by the worker's clock.
    pub at_us: u32,
    /// May it be sent again?
    pub retry: Retry,
    /// How many connections broke after it was sent on them.
    pub lost: u8,
}

/// What to do with a request whose connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Send it on the next connection.
    Keep,
    /// Say that its outcome is unknown.
    Fail,
}

/// The queue of one upstream, with an `E` for each request.
pub struct Queue<E> {
    /// Requests from the oldest unanswered one on, after `answered` bytes of answered ones.
    bytes: Vec<u8>,
    answered: usize,
    /// Everything before this was given to the socket.
    written: usize,
    /// Each with the number of its bytes.
    entries: VecDeque<(usize, E)>,
    /// So many of the oldest are not whole any more: what was written of them was dropped.
    cut: usize,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { bytes: Vec::new(), answered: 0, written: 0, entries: VecDeque::new(), cut: 0 }
    }
}

impl<E> Queue<E> {
    /// Adds a request.
    pub fn push(&mut self, request: &[u8], entry: E) {
        self.bytes.extend_from_slice(request);
        self.entries.push_back((request.len(), entry));
    }

    /// Adds more bytes to the youngest request, or bytes that nothing answers if there is none.
    pub fn extend(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
        match self.entries.back_mut() {
            Some((len, _)) => *len += more.len(),
            None => self.answered += more.len(),
        }
    }

    /// Requests without an answer.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when everything was answered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of requests without an answer.
    pub fn weight(&self) -> usize {
        self.bytes.len() - self.answered.min(self.bytes.len())
    }

    /// What has not been written yet.
    pub fn unwritten(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// Notes that the socket took so many bytes.
    pub fn wrote(&mut self, many: usize) {
        self.written += many;
        if self.entries.is_empty() && self.written == self.bytes.len() {
            self.clear_bytes();
        }
    }

    /// True when a request was written, in part at least, and not answered.
    pub fn has_written(&self) -> bool {
        !self.entries.is_empty() && self.written > self.answered
    }

    /// The requests, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &E> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    /// The oldest request.
    pub fn front(&self) -> Option<&E> {
        self.entries.front().map(|(_, entry)| entry)
    }

    /// The oldest request, to be changed.
    pub fn front_mut(&mut self) -> Option<&mut E> {
        self.entries.front_mut().map(|(_, entry)| entry)
    }

    /// The bytes of the oldest request; none if they weren't kept.
    pub fn front_bytes(&self) -> &[u8] {
        if self.cut > 0 {
            return &[];
        }
        let len = self.entries.front().map_or(0, |(len, _)| *len);
        self.bytes.get(self.answered..self.answered + len).unwrap_or_default()
    }

    /// Takes the oldest request out: it was answered. `None` if nothing is unanswered or the oldest wasn't even written: then
    /// the server sent something that nobody asked for.
    pub fn answered(&mut self) -> Option<E> {
        let len = self.entries.front()?.0;
        if self.answered + len > self.written {
            return None;
        }
        let (_, entry) = self.entries.pop_front()?;
        self.cut = self.cut.saturating_sub(1);
        self.answered += len;
        if self.answered == self.bytes.len() {
            self.clear_bytes();
        } else if self.answered > CUT && self.answered > self.bytes.len() / 2 {
            self.bytes.drain(..self.answered);
            self.written -= self.answered;
            self.answered = 0;
        }
        Some(entry)
    }

    /// Drops the bytes that were written although they are unanswered: too many to keep. Those requests can't be sent again.
    pub fn forget_written(&mut self) {
        let (mut start, mut cut) = (self.answered, 0);
        for (len, _) in &mut self.entries {
            let end = start + *len;
            cut += usize::from(start < self.written);
            *len = end.saturating_sub(self.written.max(start));
            start = end;
        }
        self.cut = self.cut.max(cut);
        self.bytes.drain(..self.written.min(self.bytes.len()));
        self.answered = self.answered.saturating_sub(self.written);
        self.written = 0;
    }

    /// Takes every request out, with its bytes (none if they weren't kept) and whether all of them were written.
    pub fn take_all(&mut self) -> impl Iterator<Item = (Vec<u8>, bool, E)> + use<E> {
        let Self { bytes, answered, written, entries, cut } = std::mem::take(self);
        let mut at = answered;
        entries.into_iter().enumerate().map(move |(index, (len, entry))| {
            let end = at + len;
            let whole = bytes.get(at..end).filter(|_| index >= cut);
            let request = whole.unwrap_or_default().to_vec();
            at = end;
            (request, end <= written, entry)
        })
    }

    fn clear_bytes(&mut self) {
        self.bytes.clear();
        self.written = 0;
        self.answered = 0;
        if self.bytes.capacity() > LARGEST {
            self.bytes = Vec::new();
        }
    }
}

impl Queue<Entry> {
    /// The connection is gone. Keeps what may be sent again on the next one, and returns those whose outcome is unknown: of
    /// each client, everything up to its last request that may have changed something. A request on which connections broke
    /// again and again isn't sent for ever: it may be what breaks them.
    pub fn lost(&mut self) -> Vec<Entry> {
        let mut end = self.bytes.len();
        let mut fates = vec![Fate::Keep; self.entries.len()];
        for (fate, (len, entry)) in fates.iter_mut().zip(&self.entries).rev() {
            let sent = end <= self.written;
            end -= len;
            if sent && (entry.retry != Retry::Read || entry.lost >= LOSSES) {
                entry.client.mark(true);
            }
            if entry.client.is_marked() {
                *fate = Fate::Fail;
            }
        }
        let mut failed = Vec::new();
        for ((request, sent, mut entry), fate) in self.take_all().zip(fates) {
            entry.client.mark(false);
            if fate == Fate::Keep {
                entry.lost += u8::from(sent);
                self.push(&request, entry);
            } else {
                failed.push(entry);
            }
        }
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::Queue;

    #[test]
    fn what_was_written_and_dropped_is_never_whole_again() {
        let mut queue = Queue::default();
        for (number, request) in ["one", "two", "three", "four"].into_iter().enumerate() {
            queue.push(request.as_bytes(), number);
        }
        queue.wrote(8);
        assert_eq!(queue.answered(), Some(0));
        queue.forget_written();
        assert_eq!(queue.unwritten(), b"reefour", "the rest of a request still goes out");
        assert!(queue.front_bytes().is_empty());
        queue.wrote(3);
        assert_eq!(queue.answered(), Some(1));
        let left: Vec<_> = queue.take_all().collect();
        assert_eq!(left, [(Vec::new(), true, 2), (b"four".to_vec(), false, 3)]);
        queue.push(b"five", 4);
        assert_eq!(queue.front_bytes(), b"five");
    }
}
