//! Which shared upstream a session takes.
//!
//! Input: what the session is logged in as, and whether it is about to send a script. Output: an upstream of that kind. Never: one
//! that keeps others waiting, as long as there may be another.

use super::{drive::begin, key::Key, lane::Lane, shared::Shared};
use crate::protocol::redis::command::Retry;
use std::{rc::Rc, time::Duration};

/// How long a write has to wait, and how much later something else has to be answered, before writes are taken to be stopped.
const STOPPED: Duration = Duration::from_millis(100);
/// Upstreams of the same login, database and protocol at most.
const SAME: usize = 4;
/// The same for scripts.
const SAME_FOR_SCRIPTS: usize = 8;

/// The upstream of that login, database and protocol, made if there is none, or none that doesn't stand still.
pub fn join(lane: &Rc<Lane>, key: Key) -> Rc<Shared> {
    let known = known(lane, &key, false);
    let best = known.iter().find(|one| !one.stands_still(lane));
    best.or(known.get(SAME - 1)).map_or_else(|| begin(lane, key, false), Rc::clone)
}

/// The same for a script, which may run for as long as it likes: one that carries nothing. When all carry something, the one
/// whose oldest request is the youngest: it is the least likely to be what keeps the others waiting.
pub fn join_for_script(lane: &Rc<Lane>, key: Key) -> Rc<Shared> {
    let known = known(lane, &key, true);
    let now = lane.turn.now_us();
    let idle = known.iter().find(|one| one.is_idle());
    // One that is on its way is enough: a node that can't be reached isn't tried by all.
    let coming = || known.iter().find(|one| !one.is_up());
    let youngest = || known.iter().min_by_key(|one| one.age_of_oldest(now)).filter(|_| known.len() >= SAME_FOR_SCRIPTS);
    idle.or_else(coming).or_else(youngest).map_or_else(|| begin(lane, key, true), Rc::clone)
}

/// True while the node keeps a write waiting and answers on another upstream: somebody has told it to pause writes past
/// Pointsman, most likely.
pub fn are_writes_stopped(lane: &Lane) -> bool {
    let now = lane.turn.tick();
    let shared = lane.shared.borrow();
    let silent = shared.iter().filter(|one| one.waits_for_write()).map(|one| one.silent_for(now)).max();
    silent.and_then(|silent| silent.checked_sub(STOPPED)).filter(|silent| !silent.is_zero()).is_some_and(|silent| {
        shared.iter().any(|one| {
            let heard = Duration::from_micros(now.wrapping_sub(one.heard_us.get()).into());
            one.is_up() && heard < silent
        })
    })
}

fn known(lane: &Lane, key: &Key, scripts: bool) -> Vec<Rc<Shared>> {
    lane.shared.borrow().iter().filter(|one| one.scripts == scripts && one.key == *key).map(Rc::clone).collect()
}

impl Shared {
    /// True when it is connected and carries nothing.
    pub fn is_idle(&self) -> bool {
        self.is_up() && self.queue.borrow().is_empty()
    }

    fn waits_for_write(&self) -> bool {
        !self.scripts && self.queue.borrow().front().is_some_and(|oldest| oldest.retry != Retry::Read)
    }

    /// For how long the oldest request waits, in microseconds; `None` if there is none.
    fn age_of_oldest(&self, now_us: u32) -> Option<u32> {
        self.queue.borrow().front().map(|oldest| now_us.wrapping_sub(oldest.at_us))
    }
}
