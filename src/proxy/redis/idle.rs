//! Closes shared upstreams that no session uses: there may be one for each user, database and protocol that was ever seen.
//!
//! Input: a lane's upstreams and their owners. Output: orders to their drivers. Never: one that a session could still use.

use super::{lane::Lane, shared::Shared};
use std::{
    rc::Rc,
    time::{Duration, Instant},
};

/// Who owns an upstream that no session uses: the lane, its driver, and what looks after that.
const OWNERS: usize = 3;
/// How long such an upstream is kept.
const IDLE: Duration = Duration::from_mins(1);
/// How many of them are kept at most, those used last.
const IDLE_MOST: usize = 8;

/// Closes the upstreams that no session has used for long, and those that are too many.
pub fn retire_idle(lane: &Lane) {
    let mut shared = lane.shared.borrow_mut();
    let mut times: Vec<_> = shared.iter().filter_map(|one| one.idle_since(OWNERS)).collect();
    times.sort_unstable_by(|one, other| other.cmp(one));
    let last = times.get(IDLE_MOST);
    shared.retain(|one| {
        let since = one.idle_since(OWNERS);
        let keep = since.is_none_or(|since| since.elapsed() < IDLE && last.is_none_or(|last| since > *last));
        if !keep {
            one.retire();
        }
        keep
    });
}

impl Shared {
    /// Since when no session uses it: since it was first asked and had no more than these `others` as owners.
    pub fn idle_since(self: &Rc<Self>, others: usize) -> Option<Instant> {
        let idle = Rc::strong_count(self) <= others;
        self.idle.set(idle.then(|| self.idle.get().unwrap_or_else(Instant::now)));
        self.idle.get()
    }

    /// Ends its driver; nobody may join it any more.
    pub fn retire(&self) {
        self.retired.set(true);
        self.kick.notify_waiters();
    }

    /// True after [`Shared::retire`].
    pub fn is_retired(&self) -> bool {
        self.retired.get()
    }
}
