//! Replies in a row for one client, handed over together: one write instead of many.

use super::{client::Client, lane::Lane, queue::Entry};
use crate::proxy::counters::Outcome;
use std::rc::Rc;

/// A walk over one chunk of replies.
pub struct Run<'a> {
    lane: &'a Lane,
    buf: &'a [u8],
    now_us: u32,
    /// Clients that will get more in this turn: they are flushed at its end.
    touched: &'a mut Vec<Rc<Client>>,
    /// Where the current client's replies start.
    start: usize,
    /// Up to where the chunk was looked at.
    end: usize,
    count: u32,
    at_us: u32,
    client: Option<Rc<Client>>,
    slow: Option<Rc<Client>>,
}

impl<'a> Run<'a> {
    /// Starts at the beginning of `buf`.
    pub fn new(lane: &'a Lane, buf: &'a [u8], now_us: u32, touched: &'a mut Vec<Rc<Client>>) -> Self {
        Self { lane, buf, now_us, touched, start: 0, end: 0, count: 0, at_us: 0, client: None, slow: None }
    }

    /// What was not looked at.
    pub fn rest(&self) -> &'a [u8] {
        self.buf.get(self.end..).unwrap_or_default()
    }

    /// The next `len` bytes answer this request.
    pub fn add(&mut self, entry: Entry, len: usize) {
        if !self.client.as_ref().is_some_and(|client| Rc::ptr_eq(client, &entry.client)) {
            self.hand_over();
            self.client = Some(entry.client);
        }
        self.at_us = entry.at_us;
        self.count += 1;
        self.end += len;
    }

    /// The next `len` bytes are nobody's.
    pub fn skip(&mut self, len: usize) {
        self.hand_over();
        self.end += len;
        self.start = self.end;
    }

    /// Hands the last ones over; returns how many bytes were used, and a client that keeps too much waiting.
    pub fn finish(mut self) -> (usize, Option<Rc<Client>>) {
        self.hand_over();
        (self.end, self.slow)
    }

    fn hand_over(&mut self) {
        if let Some(client) = self.client.take() {
            let bytes = self.buf.get(self.start..self.end).unwrap_or_default();
            client.answered(self.count);
            if client.deliver(bytes, client.outstanding() > 0) {
                self.touched.push(Rc::clone(&client));
            }
            self.lane.counters.count(Outcome::Answered, u64::from(self.count));
            self.lane.counters.took(self.now_us.wrapping_sub(self.at_us), u64::from(self.count));
            let room = self.lane.client_buffer();
            if !client.is_measured(self.count, bytes.len(), room) {
                client.measure(self.count, bytes.len(), room);
            }
            if client.waiting() > room {
                self.slow = Some(client);
            }
        }
        self.start = self.end;
        self.count = 0;
    }
}
