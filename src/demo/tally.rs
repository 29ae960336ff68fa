//! What the load saw. Everything runs on one thread, so cells do.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

/// Shared by the clients and the show.
#[derive(Default)]
pub(super) struct Tally {
    /// Commands answered.
    pub(super) commands: Cell<u64>,
    /// Commands that failed, connections that broke.
    pub(super) errors: Cell<u64>,
    /// Messages, pops and counts that didn't come, or came twice.
    pub(super) wrong: Cell<u64>,
    /// The longest wait since the last [`Tally::take_second`].
    second: Cell<Duration>,
    /// The longest wait since the last [`Tally::take_stall`].
    stall: Cell<Duration>,
    /// The first few things that went wrong, in words.
    pub(super) words: RefCell<Vec<String>>,
}

impl Tally {
    /// A command was answered.
    pub(super) fn answered(&self, took: Duration) {
        self.commands.set(self.commands.get() + 1);
        self.second.set(self.second.get().max(took));
        self.stall.set(self.stall.get().max(took));
    }

    /// A command failed.
    pub(super) fn failed(&self, who: &str, error: &dyn std::fmt::Display) {
        self.errors.set(self.errors.get() + 1);
        self.say(format!("{who}: {error}"));
    }

    /// `count` answers were not what they had to be.
    pub(super) fn wrong(&self, who: &str, count: u64, what: &str) {
        self.wrong.set(self.wrong.get() + count);
        self.say(format!("{who}: {what}"));
    }

    /// The longest wait since the last call.
    pub(super) fn take_second(&self) -> Duration {
        self.second.take()
    }

    /// The longest wait since the last call.
    pub(super) fn take_stall(&self) -> Duration {
        self.stall.take()
    }

    fn say(&self, words: String) {
        let mut all = self.words.borrow_mut();
        if all.len() < 10 {
            all.push(words);
        }
    }
}
