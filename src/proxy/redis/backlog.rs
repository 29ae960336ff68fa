//! Clients that are owed more than their buffer: what is under way to them on a shared upstream has to go somewhere, or all
//! who share it wait.
//!
//! Input: clients whose buffer is full. Output: whether there is room for more of theirs, and the end of those who don't read.
//! Each has its own `client_buffer`; what goes beyond comes out of one bound for all. Never: a wait.

use super::client::Client;
use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

/// Bytes beyond their own buffers that all clients of one lane may keep here together.
const MOST: usize = 16 * 1024 * 1024;
/// How long one may keep its buffer full without taking anything.
const IDLE: Duration = Duration::from_secs(5);

struct Full {
    client: Rc<Client>,
    /// What waited when it last took something.
    waiting: usize,
    since: Instant,
}

/// The clients of one lane with a full buffer.
#[derive(Default)]
pub struct Backlog(RefCell<Vec<Full>>);

impl Backlog {
    /// Notes a client whose buffer of `room` bytes is full; true if more of what is under way to it may be kept.
    pub fn has_room(&self, client: &Rc<Client>, room: usize) -> bool {
        let mut full = self.0.borrow_mut();
        if !full.iter().any(|known| Rc::ptr_eq(&known.client, client)) {
            full.push(Full { client: Rc::clone(client), waiting: client.waiting(), since: Instant::now() });
        }
        full.iter().map(|one| one.client.waiting().saturating_sub(room)).sum::<usize>() <= MOST
    }

    /// Forgets those whose buffer has room again; closes those who have taken nothing for long.
    pub fn sweep(&self, room: usize) {
        self.0.borrow_mut().retain_mut(|one| {
            let waiting = one.client.waiting();
            if waiting < one.waiting {
                one.since = Instant::now();
            }
            one.waiting = waiting;
            if one.since.elapsed() > IDLE {
                one.client.close();
            }
            waiting > room && !one.client.is_closed()
        });
    }
}
