//! The connection ids that applications are given, over all workers of a service: from 2^31 up, so that none is a node's.
//!
//! Input: sessions that begin, change their node's connection, and end. Output: whom a `KILL` means, and how many connections a user has.
//! Nothing in here is touched by a command other than `KILL`.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

/// The first id of Pointsman's own.
pub const FIRST: u32 = 1 << 31;

/// The sessions of one service.
#[derive(Debug, Default)]
pub struct Threads {
    next: AtomicU32,
    #[expect(
        clippy::disallowed_types,
        reason = "taken when a session begins or ends and by KILL, never by other commands"
    )]
    table: std::sync::Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    sessions: HashMap<u32, Arc<Thread>>,
    users: HashMap<Box<str>, usize>,
}

/// One session as a `KILL` sees it.
#[derive(Debug, Default)]
pub struct Thread {
    /// Its connection's id at its node; 0 while it has none.
    pub at_node: AtomicU64,
    /// It is to end when its node's connection does.
    pub killed: AtomicBool,
}

/// A place among the sessions, given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    /// The id that the application was told.
    pub id: u32,
    /// What others see of the session.
    pub thread: Arc<Thread>,
    user: Option<Box<str>>,
    threads: Arc<Threads>,
}

impl Threads {
    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A new session's seat.
    pub fn sit(self: &Arc<Self>) -> Seat {
        let thread = Arc::<Thread>::default();
        loop {
            let id = FIRST | self.next.fetch_add(1, Relaxed);
            let mut table = self.table();
            if let std::collections::hash_map::Entry::Vacant(free) = table.sessions.entry(id) {
                free.insert(Arc::clone(&thread));
                return Seat { id, thread, user: None, threads: Arc::clone(self) };
            }
        }
    }

    /// The session of that id.
    pub fn find(&self, id: u32) -> Option<Arc<Thread>> {
        self.table().sessions.get(&id).map(Arc::clone)
    }
}

impl Seat {
    /// Counts the session as that user's; false if it would be one too many.
    pub fn belongs_to(&mut self, user: &str, limit: Option<usize>) -> bool {
        let mut table = self.threads.table();
        let count = table.users.entry(user.into()).or_default();
        if self.user.as_deref() != Some(user) {
            if limit.is_some_and(|limit| *count >= limit) {
                return false;
            }
            *count += 1;
            if let Some(before) = self.user.replace(user.into()) {
                table.leave(&before);
            }
        }
        true
    }
}

impl Table {
    fn leave(&mut self, user: &str) {
        if let Some(count) = self.users.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                self.users.remove(user);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.threads.table();
        table.sessions.remove(&self.id);
        if let Some(user) = self.user.take() {
            table.leave(&user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_pointsmans_own_and_found_until_their_session_ends() {
        let threads = Arc::<Threads>::default();
        let (first, second) = (threads.sit(), threads.sit());
        assert!(first.id >= FIRST && second.id >= FIRST && first.id != second.id);
        first.thread.at_node.store(42, Relaxed);
        assert_eq!(threads.find(first.id).map(|thread| thread.at_node.load(Relaxed)), Some(42));
        let id = first.id;
        drop(first);
        assert!(threads.find(id).is_none() && threads.find(second.id).is_some());
    }

    #[test]
    fn a_user_has_as_many_connections_as_the_limit_says() {
        let threads = Arc::<Threads>::default();
        let mut seats: Vec<Seat> = (0..3).map(|_| threads.sit()).collect();
        assert!(seats[0].belongs_to("shop", Some(2)) && seats[1].belongs_to("shop", Some(2)));
        assert!(!seats[2].belongs_to("shop", Some(2)) && seats[2].belongs_to("reports", Some(1)));
        assert!(seats[0].belongs_to("shop", Some(2)), "it is counted already");
        assert!(seats[1].belongs_to("reports", None));
        assert!(seats[2].belongs_to("shop", Some(2)));
        drop(seats);
        assert!(threads.table().users.is_empty());
    }
}
