//! Orders that wait a moment until the nodes were compared anew: what replication doesn't carry is read every ten seconds only,
//! and an operator who has just mended it, or broken it, asks for the truth.
//!
//! Input: an order to switch, fitness as it comes. Output: the order, once it can be judged. It judges nothing itself.

use super::{Effect, Now, Ticket, guards::Purpose, machine::Machine};
use crate::model::{
    guard::Guard,
    name::NodeAddress,
    operation::{Command, Order},
};
use std::time::Duration;

/// After so long the order is judged by what is known: the node that doesn't answer is named by its old reading or its silence.
const LIMIT: Duration = Duration::from_secs(2);
/// How many orders may wait; more are judged by what is known.
const MOST: usize = 16;

/// An order that waits.
#[derive(Debug)]
pub(super) struct Asked {
    ticket: Ticket,
    order: Order,
    at: Duration,
}

impl Machine {
    /// Whether the order waits for new readings: every dry run, since it answers for the switch that would follow, and a
    /// switch that an old reading would refuse. One that is let through reads again in its approach.
    pub(super) fn asks_first(&mut self, ticket: Ticket, order: &Order, now: Now) -> bool {
        let meant = self.meant(order);
        let (to, purpose, dry) = match &meant.command {
            Command::Switchover { to, cut_sessions, dry_run, .. } => {
                (to.as_ref(), Purpose::Switchover { cut: *cut_sessions }, *dry_run)
            }
            Command::Failover { to, dry_run, .. } => (to.as_ref(), Purpose::Failover { by_hand: true }, *dry_run),
            _ => return false,
        };
        if self.starting || self.busy().is_some() || self.asked.len() >= MOST {
            return false;
        }
        let unfit = |guard: Guard| {
            matches!(guard, Guard::Fit | Guard::Difference | Guard::Rights) && !meant.overrides.contains(&guard)
        };
        let (_, refusals) = self.choose(purpose, to, &meant.overrides, now);
        if !dry && !refusals.iter().any(|refusal| unfit(refusal.name)) {
            return false;
        }
        let answering = self.nodes.iter().filter(|(_, node)| node.fresh().is_some());
        for node in answering.map(|(address, _)| address.clone()).collect::<Vec<NodeAddress>>() {
            self.read_fitness(&node, now);
        }
        self.emit(Effect::Wake { at: now.mono + LIMIT });
        self.asked.push(Asked { ticket, order: order.clone(), at: now.mono });
        true
    }

    /// Called after each event: takes up what has waited long enough.
    pub(super) fn take_asked(&mut self, now: Now) {
        let read_since = |at: Duration| {
            let mut answering = self.nodes.values().filter(|node| node.fresh().is_some());
            answering.all(|node| node.fitness.as_ref().is_some_and(|read| read.at > at))
        };
        let due = |asked: &Asked| now.mono >= asked.at + LIMIT || read_since(asked.at);
        let Some(index) = self.asked.iter().position(due) else { return };
        let Asked { ticket, order, .. } = self.asked.remove(index);
        self.take_order(ticket, &order, now);
        self.take_asked(now);
    }
}
