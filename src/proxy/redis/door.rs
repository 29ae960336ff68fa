//! Whether the server lets in who says no password. An upstream that was opened without one stays logged in when a password is
//! set on the running server; a new client must not come in through it.
//!
//! Input: sessions that begin. Output: a bare connection to the route's node at most once a second while they do, and a number
//! that grows when its answer is another one: sessions share upstreams only with those that came in under the same number.
//! Never: a word to a client.

use super::{
    lane::Lane,
    open::{OpenError, Proof, open},
};
use crate::model::{name::NodeAddress, route::Mode};
use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};
use tokio::{select, sync::Notify, time::timeout};

/// How long an answer holds.
const FRESH: Duration = Duration::from_secs(1);
/// How long a session waits for it: a node that doesn't answer lets nobody in anyway.
const LIMIT: Duration = Duration::from_millis(500);

/// What was found out about one lane's node.
#[derive(Default)]
pub struct Door {
    /// Whether it was open, at which node.
    last: RefCell<Option<(NodeAddress, bool)>>,
    /// How often the answer was another one than before.
    answers: Cell<u32>,
    asked: Cell<Option<Instant>>,
    asking: Cell<bool>,
    answered: Notify,
}

/// Ends the asking, whatever happens to who asks.
struct Asking<'a>(&'a Door);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.asking.set(false);
        self.0.answered.notify_waiters();
    }
}

impl Door {
    /// True when nothing has to be asked.
    pub fn is_fresh(&self) -> bool {
        self.asked.get().is_some_and(|asked| asked.elapsed() < FRESH)
    }

    /// How often its answer has changed.
    pub fn answers(&self) -> u32 {
        self.answers.get()
    }

    /// Asks, or waits for who asks already.
    pub async fn knock(&self, lane: &Lane) {
        while !self.is_fresh() {
            let answered = self.answered.notified();
            if self.asking.replace(true) {
                answered.await;
                continue;
            }
            let _asking = Asking(self);
            select! {
                () = self.ask(lane) => {}
                // It may be another node's door by now; whoever comes next asks there.
                () = lane.changed.notified() => {}
            }
            self.asked.set(Some(Instant::now()));
        }
    }

    async fn ask(&self, lane: &Lane) {
        let Some(target) = lane.seat.target().filter(|_| lane.seat.mode() != Mode::Hold) else { return };
        let open = match timeout(LIMIT, open(lane, &target.node, &[], 0, 1, Proof::Answer)).await {
            Ok(Ok(_)) => true,
            Ok(Err(OpenError::Refused(error))) if error.starts_with(b"-NOAUTH") => false,
            // It was let in, without the right to PING.
            Ok(Err(OpenError::Refused(error))) if error.starts_with(b"-NOPERM") => true,
            // That says nothing about passwords.
            Ok(Err(_)) | Err(_) => return,
        };
        let before = self.last.replace(Some((target.node.clone(), open)));
        if before.is_some_and(|(node, was)| node == target.node && was != open) {
            self.answers.set(self.answers.get() + 1);
        }
    }
}
