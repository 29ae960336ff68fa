//! The end of a switch, after the new route serves: roles in order, the fence lifted, everything looked at once more.
//!
//! Input: a switch whose candidate was promoted. Output: the old primary as a standby, the others behind the new one, and
//! the operation's end. Nothing here leads back.

use super::{
    Now,
    machine::Machine,
    pending::Pending,
    switch::{Stage, Switch},
};
use crate::model::{
    action::Action,
    name::NodeAddress,
    observation::Part,
    operation::Outcome,
    record::{Change, Draft},
    view::Health,
};
use std::time::Duration;

/// How long the old primary and the others get to become standbys before the operation ends as partial.
const RETURN_LIMIT: Duration = Duration::from_secs(15);
/// How often nodes are looked at while the end is verified.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Machine {
    pub(super) fn served(&mut self, switch: &mut Switch, failed: Option<String>, now: Now) {
        if let Some(error) = failed {
            switch.say(&format!("the new route serves and is not in the journal: {error}"));
        }
        self.enter(switch, Stage::Demoting, RETURN_LIMIT, now);
        if switch.demotes() && self.durable.fences.contains_key(&switch.from.node) {
            self.send_demote(switch);
        }
        self.repoint_others(switch);
    }

    pub(super) fn send_demote(&mut self, switch: &mut Switch) {
        let limit = self.act_limit();
        self.switch_act(switch, Action::Demote { node: switch.from.node.clone(), to: switch.to.node.clone() }, limit);
    }

    /// Every other standby is told to follow; those that don't answer now are strays, which the clean-up tells later.
    fn repoint_others(&mut self, switch: &mut Switch) {
        for (address, node) in &self.nodes {
            let primary = node.fresh().is_some_and(|answer| matches!(answer.part, Part::Primary { .. }));
            if *address != switch.from.node && *address != switch.to.node && !primary {
                switch.strays.insert(address.clone());
            }
        }
        let answer = |address: &NodeAddress| self.nodes.get(address).is_some_and(|node| node.fresh().is_some());
        for node in switch.strays.iter().filter(|address| answer(address)).cloned().collect::<Vec<_>>() {
            let action = Action::Repoint { node: node.clone(), to: switch.to.node.clone() };
            let limit = self.act_limit();
            let ticket = self.act(action, limit, Pending::SwitchSide(node));
            switch.side.insert(ticket);
        }
    }

    /// What the journal is told at the end of a switch that promoted: who strays now, and who doesn't any more.
    pub(super) fn strays_of(&self, switch: &mut Switch) -> Vec<Draft> {
        if !switch.promoted || !switch.managed {
            return Vec::new();
        }
        let strays = switch.strays.clone();
        for node in &strays {
            switch.say(&format!("{node} does not follow {} yet, and is told again until it does", switch.to.node));
        }
        let strayed = strays.iter().map(|node| Change::Strayed { node: node.clone() });
        let gathered = self.durable.strays.difference(&strays).map(|node| Change::Gathered { node: node.clone() });
        strayed.chain(gathered).map(|change| switch.draft(change)).collect()
    }

    pub(super) fn verify(&mut self, switch: &mut Switch, now: Now) {
        let left = switch.deadline.saturating_sub(now.mono);
        switch.approached = now.mono;
        self.enter(switch, Stage::Verifying, left, now);
        self.look_again(switch, now);
    }

    fn look_again(&mut self, switch: &mut Switch, now: Now) {
        if switch.demotes() {
            self.probe(&switch.from.node, now);
        }
        self.probe(&switch.to.node, now);
        self.retry(switch, LOOK_AGAIN, now);
    }

    pub(super) fn verified(&mut self, switch: &mut Switch, retry: bool, now: Now) {
        let fresh = |node: &NodeAddress| {
            self.nodes.get(node).filter(|state| state.seen > switch.approached).and_then(|state| state.fresh())
        };
        let new = fresh(&switch.to.node).is_some_and(|answer| matches!(answer.part, Part::Primary { .. }));
        let old =
            fresh(&switch.from.node).is_some_and(|answer| matches!(answer.part, Part::Standby { link_up: true, .. }));
        let fenced = switch.demotes() && self.durable.fences.contains_key(&switch.from.node);
        let fallen_back =
            fresh(&switch.from.node).is_some_and(|answer| matches!(answer.part, Part::Primary { .. }) && fenced);
        match (new, old, fenced) {
            // It restarted, without its fence and in its old role.
            (true, ..) if fallen_back => {
                let left = switch.deadline.saturating_sub(now.mono);
                self.enter(switch, Stage::Demoting, left, now);
                self.send_demote(switch);
            }
            (true, true, true) => {
                let left = switch.deadline.saturating_sub(now.mono);
                self.enter(switch, Stage::Lifting, left, now);
                self.send_unfence(switch);
            }
            (true, _, false) => self.persist(switch, now),
            // Only when this operation has ended can another one replace it.
            _ if self.nodes.get(&switch.to.node).is_some_and(|node| node.health == Health::Down) => {
                switch.say(&format!("{} died as soon as it served", switch.to.node));
                self.partial(switch, now);
            }
            _ if retry => self.look_again(switch, now),
            _ => {}
        }
    }

    pub(super) fn send_unfence(&mut self, switch: &mut Switch) {
        let limit = self.act_limit();
        let saved = switch.saved.clone();
        self.switch_act(switch, Action::Unfence { node: switch.from.node.clone(), saved }, limit);
    }

    /// Best effort: a node's own file should say what the node is. A failure is said, not counted.
    pub(super) fn persist(&mut self, switch: &mut Switch, now: Now) {
        self.enter(switch, Stage::Persisting, Duration::ZERO, now);
        let answers = self
            .nodes
            .iter()
            .filter(|(address, node)| node.fresh().is_some() && (**address != switch.from.node || switch.demotes()));
        for node in answers.map(|(address, _)| address.clone()).collect::<Vec<_>>() {
            let limit = self.act_limit();
            let ticket = self.act(Action::Persist { node: node.clone() }, limit, Pending::SwitchSide(node));
            switch.side.insert(ticket);
        }
    }

    pub(super) fn finished(&mut self, switch: &mut Switch, now: Now) {
        let fence = switch.demotes() && self.durable.fences.contains_key(&switch.from.node);
        let drafts = fence.then(|| switch.draft(Change::Unfenced { node: switch.from.node.clone() }));
        self.end(switch, Outcome::Done, switch.last_epoch(), drafts.into_iter().collect(), now);
    }

    /// The new route serves; the old primary is not yet a standby. The clean-up goes on after the operation's end.
    pub(super) fn partial(&mut self, switch: &mut Switch, now: Now) {
        let why = std::mem::take(&mut switch.blocked);
        let words =
            format!("{} is not a standby of {} yet, and is being returned: {why}", switch.from.node, switch.to.node);
        switch.say(words.trim_end_matches([':', ' ']));
        self.end(switch, Outcome::Partial, switch.last_epoch(), Vec::new(), now);
    }
}
