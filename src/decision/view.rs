//! What `status` and the API show, built from what the machine knows. Reads only.

use super::{Now, guards::Purpose, health::NodeState, machine::Machine};
use crate::model::{
    name::{ClusterName, NodeAddress},
    observation::{Answer, Part},
    operation::Step,
    route::Mode,
    view::{ClusterView, Health, NodeView, Readiness, Role, RouteView, ServiceView, Standing},
};
use std::time::Duration;

impl Machine {
    /// What `status` shows. `connections` and `read_route` are left out: the driver fills them in.
    pub fn view(&self, now: Now) -> ServiceView {
        let (state, note) = self.standing(now);
        let route = if self.starting { &self.durable.route } else { &self.route };
        ServiceView {
            mode: self.mode(),
            epoch: self.route.epoch.max(self.durable.highest_epoch()),
            state,
            note,
            route: route.target.clone().map(|target| RouteView {
                cluster: target.cluster,
                node: target.node,
                since: self.durable.since,
            }),
            switchover_ready: self.ready(Purpose::Switchover { cut: false }, now),
            failover_ready: self.ready(Purpose::Failover { by_hand: false }, now),
            clusters: self.settings.clusters.iter().map(|cluster| self.cluster_view(cluster, now)).collect(),
            on_call: self.settings.on_call.clone(),
            operation: self.switch.as_ref().map(|switch| &switch.operation).or(self.waiting_operation()).cloned(),
            groups: self.settings.group.iter().cloned().collect(),
            require_approval: self.settings.approval.required,
            practised: self.durable.practised.clone(),
            warnings: self.warnings(),
            ..ServiceView::unknown(self.svc.clone(), self.settings.kind)
        }
    }

    fn ready(&self, purpose: Purpose, now: Now) -> Readiness {
        let (target, reasons) = self.choose(purpose, None, &[], now);
        Readiness { ready: reasons.is_empty(), to: target.map(|target| target.cluster), reasons }
    }

    /// The one word for what the service is doing, and why.
    fn standing(&self, now: Now) -> (Standing, String) {
        if let Some(switch) = &self.switch {
            let words = format!("{} to {}", switch.operation.kind, switch.to.cluster);
            return match switch.step {
                _ if !switch.blocked.is_empty() => (Standing::Blocked, format!("{words}: {}", switch.blocked)),
                _ if self.route.mode == Mode::Hold => (Standing::Holding, words),
                Step::Serve | Step::Demote | Step::Verify => (Standing::Returning, words),
                _ => (Standing::Switching, words),
            };
        }
        if self.starting && self.unclear.is_empty() {
            return (Standing::Starting, "asking every node for its role".into());
        }
        let trouble = self.trouble(now);
        let departed = |node: &NodeAddress| self.durable.departed.contains_key(node);
        if let Some(node) =
            self.durable.fences.keys().find(|node| !departed(node)).or(self.durable.fences.keys().next())
        {
            if let (Some(trouble), true) = (&trouble, departed(node) || self.strange.is_some()) {
                return trouble.clone();
            }
            let failure = self.nodes.get(node).map_or(String::new(), |state| state.failure(now.mono));
            let rebuild = self.rebuild_note(node).filter(|_| failure.is_empty());
            let words =
                rebuild.as_ref().unwrap_or(if self.return_error.is_empty() { &failure } else { &self.return_error });
            let words = format!("{node} is fenced and not a standby yet: {words}");
            return (Standing::Returning, words.trim_end_matches([':', ' ']).into());
        }
        match (trouble, self.mode()) {
            (Some((state, words)), _) => (state, words),
            (None, Mode::Closed) => (Standing::Closed, "closed by an operator".into()),
            (None, Mode::Hold) => (Standing::Holding, "held by an operator".into()),
            (None, Mode::Open | Mode::ReadOnly) => match self.durable.paused_until.filter(|until| *until > now.wall) {
                Some(until) => (Standing::Paused, format!("automatic failover is off until {until:.0}")),
                None => (Standing::Steady, self.small_note()),
            },
        }
    }

    /// What keeps a service that isn't being switched from being steady.
    fn trouble(&self, now: Now) -> Option<(Standing, String)> {
        if !self.unclear.is_empty() {
            return Some((Standing::Blocked, self.unclear.clone()));
        }
        if let Some(strange) = self.strange.as_ref().filter(|_| self.alert.words.is_empty()) {
            return Some((Standing::Blocked, strange.text.clone()));
        }
        let target = self.routed()?;
        let Some(node) = self.routed_node() else {
            return Some((Standing::Blocked, format!("{} is routed and not configured", target.node)));
        };
        if !self.alert.words.is_empty() {
            let refusals = self.alert.refusals.iter().map(|refusal| refusal.detail.as_str());
            let words = std::iter::once(self.alert.words.as_str()).chain(refusals).collect::<Vec<_>>().join("; ");
            let state = match (self.alert.heard, self.alert.refusals.is_empty()) {
                (true, _) => Standing::Isolated,
                (false, true) => Standing::Suspect,
                (false, false) => Standing::Blocked,
            };
            return Some((state, words));
        }
        let failure = node.failure(now.mono);
        if !failure.is_empty() {
            let state = if node.health == Health::Down { Standing::Blocked } else { Standing::Suspect };
            return Some((state, format!("{} {failure}", target.node)));
        }
        let answer = node.fresh().filter(|answer| !answer.writable)?;
        let words = format!("{} takes no writes: {}", target.node, said_by(answer));
        Some((Standing::Suspect, words.trim_end_matches([':', ' ']).into()))
    }

    /// What an operator of a steady service should know.
    fn small_note(&self) -> String {
        match &self.disk.error {
            Some(error) => format!("the journal can't be written: {error}"),
            None if self.mode() == Mode::ReadOnly => format!("read only until `pointsman mode {} open`", self.svc),
            None => {
                let strays = self.durable.strays.iter();
                let mut strays = strays.filter_map(|node| Some(format!("{node} {}", self.stray_note(node)?)));
                // What a whole cluster says of itself stands at its first node.
                let routed = self.routed_node().filter(|_| !self.settings.serves_as_whole());
                let routed = || routed.and_then(NodeState::fresh).map(said_by);
                self.identity().into_iter().next().or_else(|| strays.next()).or_else(routed).unwrap_or_default()
            }
        }
    }

    fn cluster_view(&self, cluster: &crate::config::Cluster, now: Now) -> ClusterView {
        let name = ClusterName::from(cluster.name.as_str());
        let nodes: Vec<(NodeAddress, &NodeState)> = cluster
            .nodes
            .iter()
            .map(|node| NodeAddress::from(node.address.as_str()))
            .filter_map(|address| self.nodes.get(&address).map(|state| (address, state)))
            .collect();
        let drained = self.durable.drained.contains(&name);
        let views: Vec<NodeView> = nodes.iter().map(|(address, state)| self.node_view(address, state, now)).collect();
        let whole = self.settings.serves_as_whole();
        // The cluster is what its best node is: the routed one, else the first that is up.
        let routed = self.routed().map(|target| &target.node);
        let best = views
            .iter()
            .position(|view| Some(&view.address) == routed)
            .or_else(|| views.iter().position(|view| view.health == Health::Up))
            .unwrap_or(0);
        let (view, state) = (views.get(best), nodes.get(best).map(|(_, state)| *state));
        let role = view.map(|view| view.role).unwrap_or_default();
        let follows = role == Role::Standby && self.managed();
        ClusterView {
            name,
            site: cluster.site.clone(),
            role: if drained { Role::Drained } else { role },
            health: view.map(|view| view.health).unwrap_or_default(),
            lag_seconds: view.and_then(|view| view.lag_seconds),
            delay_seconds: state.filter(|_| follows).and_then(NodeState::delay).map(|delay| delay.as_secs_f64()),
            distance: state.filter(|_| follows).and_then(|state| self.distance(state)),
            drained,
            nodes: if whole { self.members(cluster) } else { views },
        }
    }

    fn distance(&self, standby: &NodeState) -> Option<u64> {
        let primary = self.routed_node()?.answer.as_ref()?;
        Some(primary.received.saturating_sub(standby.answer.as_ref()?.received))
    }

    fn node_view(&self, address: &NodeAddress, state: &NodeState, now: Now) -> NodeView {
        let role = self.node_role(address, state);
        let follows = role == Role::Standby && self.managed();
        let lag = self.routed_node().filter(|_| follows).and_then(|primary| state.lag(primary, now.mono));
        let failure = state.failure(now.mono);
        let said = self.stray_note(address).or_else(|| self.rebuild_note(address));
        let said = said.or_else(|| state.fresh().map(said_by)).unwrap_or_default();
        NodeView {
            address: address.clone(),
            health: state.health,
            role,
            version: state.answer.as_ref().map(|answer| answer.version.clone()).unwrap_or_default(),
            note: if failure.is_empty() { said } else { failure },
            lag_seconds: lag.as_ref().map(Duration::as_secs_f64),
            probe_seconds: state.last.as_ref().map(|last| last.took.as_secs_f64()),
        }
    }

    pub(super) fn node_role(&self, address: &NodeAddress, state: &NodeState) -> Role {
        let fenced = self.durable.fences.contains_key(address);
        let routed = self.routed().is_some_and(|target| target.node == *address);
        match state.answer.as_ref() {
            None => Role::Unknown,
            Some(Answer { part: Part::Primary { .. }, .. }) if fenced => Role::Fenced,
            Some(_) if fenced => Role::Returning,
            // Independent clusters all take writes; the one that is routed is the primary of the service.
            Some(_) if !self.managed() && !routed => Role::Standby,
            Some(Answer { part: Part::Primary { .. }, .. }) => Role::Primary,
            Some(Answer { part: Part::Standby { .. }, .. }) => Role::Standby,
        }
    }
}

/// What a node says of itself that an operator should know.
pub(super) fn said_by(answer: &Answer) -> String {
    joined([answer.sick.clone(), answer.unfit.clone(), answer.note.clone()])
}

/// Words that are there, with semicolons.
pub(super) fn joined(words: impl IntoIterator<Item = String>) -> String {
    let words: Vec<String> = words.into_iter().filter(|words| !words.is_empty()).collect();
    words.join("; ")
}
