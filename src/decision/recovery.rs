//! A restart in the middle of a switch: back before the point of no return, forward after it.
//!
//! Input: the operation that the journal says is under way. Output: the same stages as an ordinary switch, entered where
//! the journal proves the old process to have been. The hold is published first, so that clients wait.

use super::{
    Now,
    machine::Machine,
    pending::Then,
    switch::{Stage, Switch},
};
use crate::model::{
    observation::{Answer, Part},
    operation::{Outcome, Step},
    record::Change,
    route::{Epoch, Mode},
    state::Underway,
};
use std::time::Duration;

const STOPPED: &str = "Pointsman stopped during the operation";

fn is_primary(answer: &Answer) -> bool {
    matches!(answer.part, Part::Primary { .. })
}

impl Machine {
    /// Takes up what the journal says is under way.
    pub(super) fn recover(&mut self, now: Now) {
        let Some(Underway { operation, from: Some(from), to: Some(to), step, mode }) = self.durable.underway.clone()
        else {
            return;
        };
        let mut switch = Box::new(Switch::new(operation, from, to, mode, self.managed(), now));
        if switch.operation.kind == "failover" {
            switch.unplanned(&self.settings.failover);
        }
        let fence = self.durable.fences.get(&switch.from.node);
        switch.fence_first = !switch.planned && fence.is_some_and(|fence| fence.position.is_some());
        switch.fence_sent = fence.is_some() && switch.demotes();
        switch.saved = fence.and_then(|fence| fence.saved.clone());
        let (route, before) = (self.durable.route.clone(), switch.operation.epoch_before);
        let at_target = route.target.as_ref() == Some(&switch.to);
        let forward = switch.managed && step >= Step::Promote && step != Step::Abort;
        match (route.mode == Mode::Hold, forward) {
            (true, true) => {
                switch.say(STOPPED);
                switch.maybe_promoted = true;
                self.hold_again(&mut switch, now);
            }
            (true, false) => self.hold_again(&mut switch, now),
            (false, _) if route.epoch == before => {
                switch.say(&format!("{STOPPED}'s approach; nothing had changed"));
                self.end(&mut switch, Outcome::RolledBack, before, Vec::new(), now);
            }
            (false, true) if at_target => {
                switch.say(STOPPED);
                switch.maybe_promoted = true;
                switch.hold_epoch = Epoch(route.epoch.0.saturating_sub(1));
                self.enter(&mut switch, Stage::Looking, Duration::ZERO, now);
            }
            (false, _) => {
                switch.say(STOPPED);
                let outcome = if at_target { Outcome::Done } else { Outcome::RolledBack };
                self.publish(route.clone(), None, false);
                self.end(&mut switch, outcome, route.epoch, Vec::new(), now);
            }
        }
        self.switch = Some(switch);
    }

    /// The route that ends the hold may have been shown already, the old one too, where the journal's disk was full: the hold of
    /// the second attempt takes a later epoch, written first.
    pub(super) fn hold_again(&mut self, switch: &mut Switch, now: Now) {
        switch.hold_epoch = self.durable.route.epoch.next().next();
        self.enter(switch, Stage::Resuming, Duration::ZERO, now);
        self.write(vec![switch.draft(Change::Routed { route: switch.hold() })], Then::Switch);
    }

    pub(super) fn resumed(&mut self, switch: &mut Switch, now: Now) {
        switch.blocked.clear();
        self.publish(switch.hold(), None, false);
        if switch.maybe_promoted {
            self.enter(switch, Stage::Looking, Duration::ZERO, now);
        } else {
            self.abort(switch, STOPPED, now);
        }
    }

    /// After promote may have been sent: every node was asked once, and what they say decides.
    pub(super) fn looked(&mut self, switch: &mut Switch, now: Now) {
        if self.nodes.values().any(|node| node.last.is_none()) {
            return;
        }
        let answer = |node| self.nodes.get(node).and_then(|state| state.fresh());
        let (old, new) = (answer(&switch.from.node), answer(&switch.to.node));
        let new_is_primary = new.is_some_and(is_primary);
        let old_takes_writes = old.is_some_and(|answer| is_primary(answer) && !answer.fenced);
        if new_is_primary {
            self.serve(switch, now);
        } else if self.durable.route == switch.new_route() {
            switch.say(&format!("{} served and is not the primary now", switch.to.node));
            self.publish(switch.new_route(), None, false);
            self.end(switch, Outcome::Partial, switch.last_epoch(), Vec::new(), now);
        } else if old_takes_writes && new.is_some() {
            self.abort(switch, "the fence was lifted by somebody else before the promotion", now);
        } else {
            self.promote(switch, now);
        }
    }
}
