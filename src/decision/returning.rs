//! Clean-up after operations that ended with a fence or a stray left: the node returns, serves again, or follows.
//!
//! Input: the fences and strays in the journal, intended fences of primaries that failovers left among them. Output: actions,
//! tried again until none is left; and what a returned primary had that nobody else has. It never touches a node that we did
//! not fence or leave, but for standbys that a switch of ours left behind.

use super::{
    Now,
    health::NodeState,
    machine::{Machine, TRY_AGAIN},
    naming::NOWHERE,
    pending::{Pending, Then},
};
use crate::model::{
    action::{Action, Done},
    error::StoreError,
    lineage::shown,
    name::NodeAddress,
    observation::{Answer, Lineage, Part},
    operation::Loss,
    record::{Change, Draft, RecordKind},
    transactions::Transactions,
};
use std::{collections::BTreeMap, time::Duration};

/// Between two tries to make strays follow: they may be away for days, and nothing waits for them.
pub(super) const GATHER_AGAIN: Duration = Duration::from_secs(5);

impl Machine {
    /// Called after each event.
    pub(super) fn clean_up(&mut self, now: Now) {
        if self.starting || self.is_returning() || now.mono < self.clean_up_at {
            return;
        }
        // That a primary which was left is fenced is in the journal since it was left: it waits for no other record's disk.
        let writing = self.is_writing();
        let waits = |node: &NodeAddress, action: &Action| {
            writing && (!matches!(action, Action::Fence { .. }) || self.is_fence_being_written(node))
        };
        let mut ways = self.durable.fences.keys().filter_map(|node| Some((node.clone(), self.way_back(node, now)?)));
        if let Some((node, action)) = ways.find(|(node, action)| !waits(node, action) && self.is_due(node, action)) {
            self.clean_up_at = now.mono + TRY_AGAIN;
            let limit = self.act_limit();
            self.act(action, limit, Pending::Return(node));
        }
    }

    /// A record that it was fenced is on its way to the disk.
    fn is_fence_being_written(&self, fenced: &NodeAddress) -> bool {
        let says_so = |draft: &Draft| matches!(&draft.change, Change::Fenced { node, .. } if node == fenced);
        self.pending
            .values()
            .any(|pending| matches!(pending, Pending::Write { drafts, .. } if drafts.iter().any(says_so)))
    }

    /// While a switch is under way only that which must not wait is done: a primary that a failover left and that returned
    /// stops taking writes. The nodes that the switch itself moves are its own business.
    fn is_due(&self, node: &NodeAddress, action: &Action) -> bool {
        self.switch.as_ref().is_none_or(|switch| {
            let its_own = *node == switch.to.node || (*node == switch.from.node && switch.demotes());
            matches!(action, Action::Fence { .. }) && !its_own
        })
    }

    /// What a fenced node needs next; nothing while that can't be told.
    fn way_back(&self, node: &NodeAddress, now: Now) -> Option<Action> {
        let fence = self.durable.fences.get(node)?;
        let unfence = Action::Unfence { node: node.clone(), saved: fence.saved.clone() };
        let state = self.nodes.get(node)?;
        let answer = state.fresh()?;
        let routed = &self.route.target.as_ref()?.node;
        let primary = || self.nodes.get(routed)?.fresh().filter(|answer| matches!(answer.part, Part::Primary { .. }));
        match &answer.part {
            _ if routed == node => Some(unfence),
            // Its operator may be rebuilding it: `pointsman rebuild` prints commands for a paused service.
            _ if self.is_paused(now) && self.held_strays(node, answer) => None,
            // Its primary is in trouble too. What it holds may be the best that is left, so it must be free to serve.
            Part::Standby { .. } if self.is_parked(node, answer) => {
                let ours = self.durable.lineage.as_ref().is_some_and(|known| answer.lineage.is_same(known));
                ours.then_some(unfence)
            }
            // Its own start-up file made it follow somebody else.
            Part::Standby { of, .. } if !self.is_named(routed, of) => {
                primary().map(|_| Action::Repoint { node: node.clone(), to: routed.clone() })
            }
            Part::Standby { link_up: true, .. } => Some(unfence),
            Part::Standby { .. } => None,
            // It stops first, so that what it holds can be counted and nobody adds to it.
            Part::Primary { .. } if fence.position.is_none() => Some(Action::Fence { node: node.clone() }),
            // Never a standby, but by an operator: what it alone holds would be lost, or come back. A restart forgets the fence.
            Part::Primary { .. } if self.strays_at(node).is_some() => {
                let told = state.fenced.is_none_or(|fenced| state.asked > fenced);
                (told && !answer.fenced).then(|| Action::Fence { node: node.clone() })
            }
            Part::Primary { .. } => primary().map(|_| Action::Demote { node: node.clone(), to: routed.clone() }),
        }
    }

    /// A primary that a failover left has returned with transactions of its own, whatever it holds now.
    fn held_strays(&self, node: &NodeAddress, answer: &Answer) -> bool {
        let operation = self.durable.departed.get(node).and_then(|departed| self.operation(&departed.id));
        let lost = operation.is_some_and(|operation| operation.lost.known && operation.lost.count > 0);
        lost && answer.lineage.transactions.is_some()
    }

    /// An operator has switched off what Pointsman does by itself.
    fn is_paused(&self, now: Now) -> bool {
        self.durable.paused_until.is_some_and(|until| until > now.wall)
    }

    /// A primary that a failover left has stopped: how much it wrote that its heir had not received is what was lost.
    fn count_loss(&mut self, node: &NodeAddress, position: u64, lineage: &Lineage) -> Option<Draft> {
        let departed = self.durable.departed.get(node)?;
        let lost = self.lost_by_name(node, position, lineage).unwrap_or_else(|| {
            // Where transactions have names, a count of them proves nothing.
            let ours = lineage.id == departed.lineage && lineage.transactions.is_none();
            Loss {
                known: ours,
                count: if ours { position.saturating_sub(departed.position) } else { 0 },
                unit: lineage.unit().into(),
                detail: if ours {
                    format!("{node} returned and had that much which its heir had not received, pings included")
                } else {
                    format!("{node} returned with another history: what it had can't be told any more")
                },
            }
        });
        let id = departed.id.clone();
        if let Some(switch) = self.switch.as_mut().filter(|switch| switch.operation.id == id) {
            switch.operation.lost = lost.clone();
        }
        let change = Change::Amended { id, lost };
        Some(self.draft(RecordKind::Operation, change, ""))
    }

    /// The transactions that a returned primary has and the routed one hasn't, where they have names.
    fn lost_by_name(&self, node: &NodeAddress, position: u64, lineage: &Lineage) -> Option<Loss> {
        let routed = self.routed_node()?.answer.as_ref()?;
        let strays = lineage.beyond(&routed.lineage)?;
        // It had all that it was seen to have, and all that its heir has from it.
        let departed = self.durable.departed.get(node);
        let whole = departed.is_none_or(|departed| position >= departed.held.max(departed.position));
        let detail = if !whole {
            format!("{node} returned without all that it had, so more may be lost: {}", shown(&strays))
        } else if strays.is_empty() {
            format!("{node} returned with nothing that its heir doesn't have")
        } else {
            format!("{node} returned with transactions that its heir doesn't have: {}", shown(&strays))
        };
        Some(Loss { known: whole, count: strays.count(), unit: lineage.unit().into(), detail })
    }

    /// That a returned primary stays out, and why, in words.
    fn left_out(&self, node: &NodeAddress, lineage: &Lineage) -> Option<String> {
        let routed = self.routed_node()?.answer.as_ref()?;
        let strays = lineage.beyond(&routed.lineage).filter(|strays| !strays.is_empty())?;
        let strays = shown(&strays);
        Some(format!("{node} stays fenced: it holds transactions that nobody else has: {strays}"))
    }

    /// What a fenced primary holds that the routed one doesn't have, where that can be named; absent if nothing, or if it can't be told.
    fn strays_at(&self, node: &NodeAddress) -> Option<Transactions> {
        let routed = self.routed_node()?.answer.as_ref()?;
        let answer = self.nodes.get(node)?.answer.as_ref()?;
        let primary = matches!(answer.part, Part::Primary { .. }) && self.routed()?.node != *node;
        answer.lineage.beyond(&routed.lineage).filter(|strays| primary && !strays.is_empty())
    }

    /// Fences that will be lifted by themselves: not those of nodes that an operator has to rebuild, which may take days.
    pub(super) fn open_fences(&self) -> impl Iterator<Item = &NodeAddress> {
        self.durable.fences.keys().filter(|node| self.strays_at(node).is_none())
    }

    /// What an operator should know of a node that he has to rebuild; absent if it is none.
    pub(super) fn rebuild_note(&self, node: &NodeAddress) -> Option<String> {
        let strays = self.durable.fences.contains_key(node).then(|| self.strays_at(node)).flatten()?;
        Some(format!(
            "holds transactions that nobody else has: {}; `pointsman rebuild {} {node}` shows them and the way back",
            shown(&strays),
            self.svc
        ))
    }

    /// Called after each event while no switch is under way: tells strays to follow the routed primary.
    pub(super) fn gather(&mut self, now: Now) {
        if self.starting || self.is_writing() || self.is_returning() || !self.managed() || self.yields_to().is_some() {
            return;
        }
        let Some(routed) = self.route.target.clone() else { return };
        let strayed: Vec<_> =
            self.new_strays(&routed.node, now).into_iter().map(|node| Change::Strayed { node }).collect();
        if !strayed.is_empty() {
            let why = "follows another node than the routed primary, by its own file or somebody's order";
            let drafts = strayed.into_iter().map(|change| self.draft(RecordKind::Decision, change, why)).collect();
            return self.write(drafts, Then::Nothing);
        }
        let home = self.durable.strays.iter().filter(|node| self.is_home(node, &routed.node));
        let home: Vec<_> = home.cloned().map(|node| Change::Gathered { node }).collect();
        if !home.is_empty() {
            let why = "follows the routed primary, or is not configured any more";
            let drafts = home.into_iter().map(|change| self.draft(RecordKind::Decision, change, why)).collect();
            return self.write(drafts, Then::Nothing);
        }
        let answer = |node: &NodeAddress| self.nodes.get(node)?.fresh();
        let standby = |node: &NodeAddress| answer(node).is_some_and(|a| matches!(a.part, Part::Standby { .. }));
        if now.mono < self.gather_at || standby(&routed.node) || answer(&routed.node).is_none() {
            return;
        }
        let strays =
            self.durable.strays.iter().filter(|node| standby(node) && !self.durable.fences.contains_key(*node));
        for node in strays.cloned().collect::<Vec<_>>() {
            self.gather_at = now.mono + GATHER_AGAIN;
            let limit = self.act_limit();
            self.act(Action::Repoint { node: node.clone(), to: routed.node.clone() }, limit, Pending::Return(node));
        }
    }

    /// Standbys that have followed another of our nodes for so long that nobody is moving them by hand any more.
    fn new_strays(&mut self, routed: &NodeAddress, now: Now) -> Vec<NodeAddress> {
        let primary = |answer: &Answer| matches!(answer.part, Part::Primary { .. });
        let well = self.strange.is_none() && self.nodes.get(routed).and_then(NodeState::fresh).is_some_and(primary);
        let known = |node: &NodeAddress| {
            let ordered = [self.durable.parked.contains_key(node), self.durable.fences.contains_key(node)];
            ordered.contains(&true) || self.durable.strays.contains(node)
        };
        let elsewhere = |node: &NodeState| match node.fresh().map(|answer| &answer.part) {
            Some(Part::Standby { of, .. }) => {
                let ours = of.as_str() == NOWHERE || self.is_one_of_ours(of);
                ours && !self.is_named(routed, of)
            }
            _ => false,
        };
        let astray = self.nodes.iter().filter(|(address, node)| well && !known(address) && elsewhere(node));
        let astray: Vec<NodeAddress> = astray.map(|(address, _)| address.clone()).collect();
        self.stray_since.retain(|node, _| astray.contains(node));
        let long = |node: &NodeAddress, since: &mut BTreeMap<NodeAddress, Duration>| {
            now.mono >= *since.entry(node.clone()).or_insert(now.mono) + GATHER_AGAIN
        };
        astray.into_iter().filter(|node| long(node, &mut self.stray_since)).collect()
    }

    /// Whether a node is no stray any more.
    fn is_home(&self, node: &NodeAddress, routed: &NodeAddress) -> bool {
        let Some(state) = self.nodes.get(node) else { return true };
        let follows = |part: &Part| matches!(part, Part::Standby { of, .. } if self.is_named(routed, of));
        node == routed || state.fresh().is_some_and(|answer| follows(&answer.part))
    }

    /// What an operator should know of a stray; absent if the node is none.
    pub(super) fn stray_note(&self, node: &NodeAddress) -> Option<String> {
        let routed = &self.routed()?.node;
        self.durable.strays.contains(node).then(|| {
            let why = self.stray_errors.get(node).map(|why| format!(" ({why})")).unwrap_or_default();
            format!("does not follow {routed} yet, and is told again every {} s{why}", GATHER_AGAIN.as_secs())
        })
    }

    /// An action of the clean-up ended.
    pub(super) fn returned(&mut self, node: &NodeAddress, result: Result<Done, StoreError>, now: Now) {
        match result {
            Ok(Done::Unfenced) => {
                self.return_error.clear();
                let change = Change::Unfenced { node: node.clone() };
                let draft = self.draft(RecordKind::Decision, change, "the fence is not needed any more");
                self.write(vec![draft], Then::Nothing);
                // Else its own file makes it a primary again at its next start.
                let limit = self.act_limit();
                self.act(Action::Persist { node: node.clone() }, limit, Pending::Return(node.clone()));
            }
            Ok(Done::Fenced { position, lineage, saved }) => {
                self.return_error.clear();
                self.clean_up_at = now.mono;
                if let Some(state) = self.nodes.get_mut(node) {
                    state.fenced = Some(now.mono);
                }
                let mut drafts: Vec<Draft> = self.count_loss(node, position, &lineage).into_iter().collect();
                let fenced = Change::Fenced { node: node.clone(), saved, position };
                drafts.push(self.draft(RecordKind::Decision, fenced, "it returned after a failover"));
                if let Some(text) = self.left_out(node, &lineage) {
                    drafts.push(self.draft(RecordKind::Decision, Change::Noted { text }, ""));
                }
                self.write(drafts, Then::Nothing);
            }
            Ok(Done::Repointed) => {
                self.stray_errors.remove(node);
                self.probe(node, now);
                // Else its own file makes it follow somebody else at its next start.
                let limit = self.act_limit();
                self.act(Action::Persist { node: node.clone() }, limit, Pending::Return(node.clone()));
            }
            Ok(_) => {
                self.return_error.clear();
                self.clean_up_at = now.mono;
                self.probe(node, now);
            }
            Err(error) if self.durable.strays.contains(node) && !self.durable.fences.contains_key(node) => {
                self.stray_errors.insert(node.clone(), error.detail);
            }
            Err(error) => self.return_error = error.detail,
        }
    }
}
