//! What an action does at a node, and what Pointsman hears of it.

use super::{
    Item, MS, SECOND, Sabotage, Storm, Us,
    net::US,
    node::{FENCE, Follows, PING_BYTES, Proc},
    probe::Reached,
};
use crate::{
    decision::{Event, Ticket},
    model::{
        action::{Action, Done},
        error::{Side, StoreError},
        name::NodeAddress,
    },
};

/// Between two looks of an action that waits for a position.
const POLL: Us = 10 * MS;

pub(super) fn failed(detail: String, maybe_done: bool) -> StoreError {
    StoreError { side: Side::Node, retryable: true, maybe_done, detail }
}

impl Storm {
    /// Sends an action on its way.
    pub(super) fn act(&mut self, ticket: Ticket, action: Action, limit: Us) {
        let Some(n) = self.index(action.node().as_str()) else { return };
        let until = self.now + limit;
        let life = self.core.life;
        match self.reach(US, n) {
            Reached::Open | Reached::Silent => {
                let there = self.net.travel(US, n + 1, &mut self.dice);
                self.at(there, Item::Perform(ticket, action, until, life));
            }
            Reached::Refused => self.acted(MS, ticket, life, Err(failed(format!("{} refuses", action.node()), false))),
            // A connection that is kept takes the command, and nobody knows what becomes of it.
            Reached::Unreachable => {
                self.acted(limit, ticket, life, Err(failed(format!("{} gave no answer", action.node()), true)));
            }
        }
    }

    fn acted(&mut self, after: Us, ticket: Ticket, life: u64, result: Result<Done, StoreError>) {
        if life == self.core.life {
            self.ours(after, Item::Core(Event::Acted { ticket, result }));
        }
    }

    /// It arrived.
    pub(super) fn perform(&mut self, ticket: Ticket, action: Action, until: Us, life: u64) {
        let Some(n) = self.index(action.node().as_str()) else { return };
        let left = until - self.now.min(until);
        match (self.nodes[n].host, self.nodes[n].proc) {
            (false, _) => {
                return self.acted(left, ticket, life, Err(failed(format!("{} is gone", action.node()), true)));
            }
            (_, Proc::Down) => {
                return self.acted(MS, ticket, life, Err(failed(format!("{} refuses", action.node()), false)));
            }
            (_, Proc::Loading) => {
                return self.acted(MS, ticket, life, Err(failed(format!("{} is loading", action.node()), false)));
            }
            (_, Proc::Hung) => {
                self.acted(left, ticket, life, Err(failed(format!("{} hangs", action.node()), true)));
                return self.nodes[n].inbox.push(Item::Perform(ticket, action, 0, 0));
            }
            (_, Proc::Up) => {}
        }
        if let Action::CatchUp { position, .. } = &action
            && self.position_of(n) < *position
            && self.now + POLL < until
            && life == self.core.life
        {
            return self.at(POLL, Item::Perform(ticket, action, until, life));
        }
        let result = self.do_it(n, &action);
        self.say(|_| format!("done {action:?}: {result:?}"));
        let back = self.net.travel(n + 1, US, &mut self.dice);
        if self.net.open(US, n + 1) && back < left {
            self.acted(back, ticket, life, result);
        } else {
            self.acted(left, ticket, life, Err(failed(format!("{} did not say so", action.node()), true)));
        }
    }

    /// Whom it follows outlives its restart.
    fn remember_role(&mut self, n: usize) {
        if self.plan.named {
            self.nodes[n].file = self.nodes[n].follows;
        }
    }

    fn follow(&self, to: &NodeAddress) -> Follows {
        self.index(to.as_str()).map_or(Follows::Void, Follows::Node)
    }

    /// Data that nobody else has keeps a node from following anybody.
    fn made_to_follow(&mut self, n: usize, to: &NodeAddress, done: Done) -> Result<Done, StoreError> {
        let follows = self.follow(to);
        if self.has_strays(n, follows) {
            return Err(failed("it holds transactions that nobody else has".to_owned(), false));
        }
        self.nodes[n].follow(follows, self.now);
        self.remember_role(n);
        Ok(done)
    }

    fn do_it(&mut self, n: usize, action: &Action) -> Result<Done, StoreError> {
        let now = self.now;
        let no = |why: &str| Err(failed(format!("{} {why}", action.node()), false));
        let (lineage, at) = (self.lineage_of(n), self.position_of(n));
        let lied = |sabotage| self.sabotage == Some(sabotage);
        match action {
            Action::Fence { .. } if !self.nodes[n].is_primary() => no("is no primary and can't be fenced"),
            Action::Fence { .. } => {
                let before = self.nodes[n].to_write;
                if !lied(Sabotage::FenceDropped) {
                    self.nodes[n].to_write = FENCE;
                }
                let saved = (before < FENCE).then(|| before.to_string());
                Ok(Done::Fenced { position: at, lineage, saved })
            }
            Action::CatchUp { position, lineage: of, .. } => {
                let node = &self.nodes[n];
                let all = lineage.beyond(of).is_none() || lineage.continues(of);
                if node.link.up && lineage.id != of.id {
                    no("follows another history")
                } else if node.link.up && at >= *position && all {
                    Ok(Done::CaughtUp)
                } else {
                    no("did not catch up in time")
                }
            }
            Action::Confirm { position, .. } => {
                let node = &self.nodes[n];
                let still = at == *position || at == position + PING_BYTES;
                let fenced = node.is_primary() && node.to_write >= FENCE && still;
                if fenced || lied(Sabotage::FenceDropped) { Ok(Done::Confirmed) } else { no("is not fenced any more") }
            }
            Action::Promote { .. } => {
                self.promoted(n);
                self.runs += 1;
                let replid = (self.runs << 8) + 2;
                self.nodes[n].promote(replid);
                self.remember_role(n);
                Ok(Done::Promoted)
            }
            Action::Demote { to, .. } => {
                let result = self.made_to_follow(n, to, Done::Demoted);
                if result.is_ok() {
                    self.broken_connections(n);
                }
                result
            }
            Action::Repoint { to, .. } => self.made_to_follow(n, to, Done::Repointed),
            Action::Park { .. } if self.nodes[n].is_primary() => no("is no standby any more, so it isn't parked"),
            Action::Park { .. } => {
                if !lied(Sabotage::ParkSkipped) {
                    self.nodes[n].follow(Follows::Void, now);
                }
                Ok(Done::Parked)
            }
            Action::Unfence { saved, .. } => {
                if self.nodes[n].to_write >= FENCE {
                    self.nodes[n].to_write = saved.as_ref().and_then(|saved| saved.parse().ok()).unwrap_or(0);
                }
                Ok(Done::Unfenced)
            }
            Action::Persist { .. } if self.nodes[n].to_write >= FENCE => no("is fenced, its file would keep it"),
            Action::Persist { .. } => {
                if self.plan.files {
                    self.nodes[n].file = self.nodes[n].follows;
                }
                Ok(Done::Persisted)
            }
        }
    }

    /// Somebody beside Pointsman writes to any node that takes it: the fence must stop that too.
    pub(super) fn outsider(&mut self) {
        let outside = self.net.outside();
        for n in 0..self.nodes.len() {
            let node = &self.nodes[n];
            let open = node.host && node.proc == Proc::Up && self.net.open(outside, n + 1);
            if open && node.takes_writes(self.now) {
                let write = self.ledger.foreign(n, self.now);
                self.nodes[n].push(Some(write), self.now);
            }
        }
        if !self.healed {
            let after = 100 * MS + self.dice.below(SECOND / 4);
            self.at(after, Item::Outsider);
        }
    }
}
