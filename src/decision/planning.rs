//! Planned switches that nobody ordered: away from a primary that can't write, and back to the preferred cluster.
//!
//! Input: a primary that answers. Output: an ordinary switchover, ordered by Pointsman itself, or the reason why not. Never in
//! a hurry: nothing is lost by waiting.

use super::{Now, guards::Purpose, machine::Machine, switch::Switch};
use crate::{
    config::Failback,
    model::{
        name::ClusterName,
        operation::{Command, Operation, Order},
    },
};
use std::time::Duration;

/// Between two planned switches that nobody ordered.
const PLAN_AGAIN: Duration = Duration::from_secs(10);
/// How long a planned switch that nobody ordered may approach.
const APPROACH: Duration = Duration::from_secs(10);

impl Machine {
    /// What nobody ordered and is no emergency: away from a primary that can't write, and back to the preferred cluster.
    pub(super) fn plan(&mut self, now: Now) {
        if now.mono < self.plan_again || !self.own_guards(now).is_empty() || self.busy().is_some() {
            return;
        }
        let Some(node) = self.routed_node() else { return };
        let sick =
            node.fresh().map(|answer| answer.sick.clone()).filter(|_| node.sick_for >= self.settings.health.fall);
        let preferred = self.settings.clusters.first().map(|cluster| ClusterName::from(cluster.name.as_str()));
        let (to, reason) = match (sick.filter(|sick| !sick.is_empty()), preferred) {
            (Some(sick), _) => (None, sick),
            (None, Some(preferred)) if self.may_fail_back(&preferred, now) => {
                (Some(preferred), "back to the preferred cluster".to_owned())
            }
            _ => return,
        };
        self.plan_again = now.mono + PLAN_AGAIN;
        let (target, refusals) = self.choose(Purpose::Switchover { cut: false }, to.as_ref(), &[], now);
        match (target, self.route.target.clone()) {
            (Some(to), Some(from)) if refusals.is_empty() => {
                let command = Command::Switchover {
                    to: Some(to.cluster.clone()),
                    dry_run: false,
                    cut_sessions: false,
                    timeout: APPROACH,
                };
                let operation = self.own_operation(command, &reason, now);
                let mut switch = Box::new(Switch::new(operation, from, to, self.mode(), self.managed(), now));
                switch.timeout = APPROACH;
                self.begin(switch, Vec::new(), now);
            }
            _ if to.is_none() => {
                self.not_done("switchover", &reason, refusals);
                self.alert.words = reason;
            }
            _ => {}
        }
    }

    fn may_fail_back(&self, preferred: &ClusterName, now: Now) -> bool {
        let there = self.route.target.as_ref().is_none_or(|target| target.cluster == *preferred);
        let wanted = self.settings.failover.failback == Failback::Automatic;
        let steady = now.mono >= self.moved_at + self.settings.failover.cooldown;
        wanted && !there && steady && self.open_fences().next().is_none() && !self.durable.drained.contains(preferred)
    }

    pub(super) fn own_operation(&mut self, command: Command, reason: &str, now: Now) -> Operation {
        let to = match &command {
            Command::Failover { to, .. } | Command::Switchover { to, .. } => to.clone(),
            _ => None,
        };
        let order = Order::new(command, "pointsman", reason);
        Operation { to, ..self.operation_of(&order, now) }
    }
}
