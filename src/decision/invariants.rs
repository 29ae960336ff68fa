//! What must hold after every step, checked in debug builds: a broken one stops the test that found it.

use super::{Effect, machine::Machine, switch::Stage};
use crate::model::{action::Action, route::Mode};

impl Machine {
    pub(super) fn check_invariants(&self) {
        assert!(
            self.starting || self.route.epoch >= self.durable.route.epoch || self.adopting(),
            "an epoch never goes backward: {:?} after {:?}",
            self.route,
            self.durable.route
        );
        if let Some(switch) = &self.switch {
            let held = switch.stage >= Stage::Draining && switch.stage <= Stage::Promoting;
            let resuming = matches!(switch.stage, Stage::Resuming | Stage::Looking);
            if held && !resuming {
                assert_eq!(self.route.mode, Mode::Hold, "while a switch is between its routes, nothing is let through");
                assert_eq!(self.route.target.as_ref(), Some(&switch.from), "a hold names the old target");
            }
            if switch.stage == Stage::Reopening {
                assert!(!switch.promoted, "after the promotion there is no way back");
            }
        }
        for effect in self.effects() {
            if let Effect::Act { action: Action::Promote { node }, .. } = effect {
                self.check_promotion(node);
            }
        }
    }

    /// A write that moves the route is under way or was just folded; the publication follows in the same step or later.
    fn adopting(&self) -> bool {
        self.is_writing() || self.switch.is_some()
    }

    fn check_promotion(&self, node: &crate::model::name::NodeAddress) {
        let Some(switch) = &self.switch else {
            let routed = self.route.target.as_ref().is_some_and(|target| target.node == *node);
            assert!(routed, "outside of a switch only the routed node is made primary again");
            return;
        };
        assert_eq!(switch.to.node, *node, "only the candidate is promoted");
        assert_eq!(self.route.mode, Mode::Hold, "no promotion while the old route is open");
        if switch.managed {
            assert!(self.durable.fences.contains_key(&switch.from.node), "whoever is left is fenced on return");
        }
        if switch.planned && !switch.maybe_promoted {
            assert!(switch.drained.len() >= self.workers, "no promotion before every worker acknowledged the hold");
            assert!(switch.caught_up, "a planned switch commits only what the candidate has applied");
            assert!(self.durable.fences.contains_key(&switch.from.node), "no promotion without a fence in the journal");
        }
    }
}
