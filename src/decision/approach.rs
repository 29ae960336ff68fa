//! The approach of a planned switch: everything still runs, and what would lengthen the hold is waited for before it.
//!
//! Input: a switch that is written down, what nodes and workers say. Output: the hold's beginning, when every guard holds on facts that
//! are newer than the order; or the guards that didn't in time. It holds nobody; at most it slows writers a little.

use super::{
    Effect, Now,
    guards::Purpose,
    health::NodeState,
    machine::Machine,
    switch::{Stage, Switch},
};
use crate::model::{
    guard::{Guard, Refusal},
    route::Readying,
};
use std::time::Duration;

/// Between two looks whether a candidate comes nearer.
const SLOWER_EVERY: Duration = Duration::from_secs(1);
/// The first pause of each write meanwhile.
const SLOW: Duration = Duration::from_millis(1);
/// The longest.
const SLOWEST: Duration = Duration::from_millis(16);

impl Machine {
    pub(super) fn approach(&mut self, switch: &mut Switch, now: Now) {
        switch.approached = now.mono;
        self.enter(switch, Stage::Approaching, switch.timeout, now);
        self.publish(self.route.clone(), Some((switch.to.clone(), Readying::Warm)), false);
        for node in [switch.from.node.clone(), switch.to.node.clone()] {
            self.emit(Effect::Probe { node: node.clone() });
            self.read_fitness(&node, now);
        }
    }

    /// Everything still runs; the hold begins when every guard holds on facts that are newer than the order.
    pub(super) fn approached(&mut self, switch: &mut Switch, over: bool, now: Now) {
        let from = self.nodes.get(&switch.from.node).filter(|node| node.seen > switch.approached);
        switch.mark = switch.mark.or_else(|| Some(from?.fresh()?.received));
        let mut refusals = self.readiness(Purpose::Commit(switch), &switch.to, now);
        refusals.retain(|refusal| !switch.overrides(refusal.name));
        if refusals.is_empty() {
            self.close(switch, now);
        } else if over {
            self.refuse_switch(switch, refusals, now);
        } else if switch.mark.is_some() {
            self.probe(&switch.to.node, now);
            self.slow_down(switch, &refusals, now);
        }
    }

    /// A candidate that doesn't catch up with the writers gets a little time from each of them, once nothing else is waited for:
    /// more of it after each second in which it came no nearer.
    fn slow_down(&mut self, switch: &mut Switch, refusals: &[Refusal], now: Now) {
        let answer = |node| self.nodes.get(node).and_then(NodeState::fresh);
        let (Some(from), Some(to)) = (answer(&switch.from.node), answer(&switch.to.node)) else { return };
        let behind = from.received.saturating_sub(to.applied);
        let waits = to.lineage.transactions.is_some() && refusals.iter().all(|refusal| refusal.name == Guard::Lag);
        if switch.slow.again.is_zero() || !waits {
            switch.slow.again = now.mono + SLOWER_EVERY;
        }
        if now.mono < switch.slow.again {
            return;
        }
        let nearer = behind < switch.slow.behind / 4 * 3;
        (switch.slow.again, switch.slow.behind) = (now.mono + SLOWER_EVERY, behind);
        if nearer || switch.slow.pause >= SLOWEST {
            return;
        }
        switch.slow.pause = (switch.slow.pause * 2).clamp(SLOW, SLOWEST);
        let next = Some((switch.to.clone(), Readying::Warm));
        let (route, slow) = (self.route.clone(), Some(switch.slow.pause));
        self.emit(Effect::Publish { route, next, cut_sessions: false, slow });
    }
}
