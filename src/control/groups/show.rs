//! Groups, sites and their operations as shown.
//!
//! Inputs: the configuration, the services' views, the journal's fold and what is newer than it. Outputs: plain values. It reads only.

use crate::{
    config::{Config, Group},
    control::handle::Handle,
    model::{
        group::{Gathering, GroupOperation, GroupView, OnError, SITE, SiteCluster, SiteView},
        name::{ClusterName, OperationId, ServiceName},
        operation::Outcome,
        view::ServiceView,
    },
};
use std::collections::BTreeMap;

/// Where a service stands: the site of its routed cluster, or that cluster's name where it has no site.
pub(super) fn place<'c>(config: &'c Config, view: &ServiceView) -> Option<&'c str> {
    let cluster = &view.route.as_ref()?.cluster;
    Some(config.service(view.name.as_str())?.cluster(cluster.as_str())?.place())
}

/// The routed cluster of a service.
pub(super) fn routed(view: &ServiceView) -> Option<ClusterName> {
    view.route.as_ref().map(|route| route.cluster.clone())
}

impl Handle {
    /// Every group in the order of the configuration.
    pub fn groups(&self) -> Vec<GroupView> {
        let config = self.configuration();
        let operations = self.group_operations();
        config.groups.iter().map(|group| self.group(&config, group, &operations)).collect()
    }

    fn group(&self, config: &Config, group: &Group, operations: &[GroupOperation]) -> GroupView {
        let views: Vec<ServiceView> = group.members.iter().filter_map(|name| self.service(name)).collect();
        let mut places: BTreeMap<&str, Vec<&ServiceName>> = BTreeMap::new();
        for view in &views {
            places.entry(place(config, view).unwrap_or("nowhere yet")).or_default().push(&view.name);
        }
        let operation = operations.iter().find(|operation| operation.group == group.name).cloned();
        let split = places.len() > 1;
        let site = views.first().and_then(|view| {
            let site = &config.service(view.name.as_str())?.cluster(routed(view)?.as_str())?.site;
            (!split && !site.is_empty()).then(|| site.clone())
        });
        let told = places.iter().map(|(place, names)| {
            let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            format!("{} in {place}", names.join(" and "))
        });
        GroupView {
            name: group.name.clone(),
            members: group.members.clone(),
            on_error: group.on_error,
            state: gathering(split, operation.as_ref()),
            split,
            site,
            note: if split { told.collect::<Vec<_>>().join(", ") } else { String::new() },
            operation,
        }
    }

    /// The operation of a site as a view, for followers of events.
    pub(super) fn site_in_motion(operation: &GroupOperation) -> GroupView {
        GroupView {
            name: operation.group.clone(),
            members: operation.members.iter().map(|member| member.svc.clone()).collect(),
            on_error: OnError::GoOn,
            state: gathering(false, Some(operation)),
            split: false,
            site: operation.group.strip_prefix(SITE).map(ToOwned::to_owned),
            note: operation.detail.clone(),
            operation: Some(operation.clone()),
        }
    }

    /// Every site that a cluster names, in the order of the configuration.
    pub fn sites(&self) -> Vec<SiteView> {
        let config = self.configuration();
        let mut sites: Vec<SiteView> = Vec::new();
        for (service, cluster) in
            config.services.iter().flat_map(|service| service.clusters.iter().map(move |c| (service, c)))
        {
            if cluster.site.is_empty() {
                continue;
            }
            let known = sites.iter().position(|site| site.name == cluster.site).unwrap_or_else(|| {
                sites.push(SiteView { name: cluster.site.clone(), routed: Vec::new(), clusters: Vec::new() });
                sites.len() - 1
            });
            let Some(site) = sites.get_mut(known) else { continue };
            site.clusters.push(SiteCluster { svc: service.name.clone(), cluster: cluster.name.clone() });
            if self.service(&service.name).as_ref().and_then(routed).as_ref() == Some(&cluster.name) {
                site.routed.push(service.name.clone());
            }
        }
        sites
    }

    /// Operations of groups and sites: what runs or waits first, then what ended lately, each newest first.
    pub fn group_operations(&self) -> Vec<GroupOperation> {
        let state = self.shared.coordinator.state();
        let known = state.groups.ended.iter().chain(state.groups.open.values());
        let mut found: BTreeMap<OperationId, GroupOperation> =
            known.map(|operation| (operation.id.clone(), operation.clone())).collect();
        // What is newer than the last record.
        let live = self.shared.group_operations.load();
        found.extend(live.iter().map(|(id, operation)| (id.clone(), operation.clone())));
        let mut all: Vec<GroupOperation> = found.into_values().collect();
        all.sort_by_key(|operation| std::cmp::Reverse((operation.is_open(), operation.started)));
        all
    }

    /// An operation of a group or a site that runs, waits or ended lately.
    pub fn group_operation(&self, id: &OperationId) -> Option<GroupOperation> {
        let live = self.shared.group_operations.load().get(id).cloned();
        live.or_else(|| self.shared.coordinator.state().groups.operation(id).cloned())
    }
}

/// What waits, as a second one who asks is told.
pub(super) fn waiting_words(waiting: &GroupOperation) -> String {
    let GroupOperation { id, group, actor, started, .. } = waiting;
    format!("{id} waits for a second person: switchover of {group}, asked for by {actor} at {started:.0}")
}

/// An operation of several services ended, or waits.
pub(super) fn log(operation: &GroupOperation) {
    let GroupOperation { id, group, kind, actor, reason, detail, .. } = operation;
    let (kind, outcome) = (kind.as_str(), operation.outcome.as_str());
    if operation.outcome == Outcome::Done {
        tracing::info!(group, op = %id, kind, outcome, actor, reason, detail, "operation of a group ended");
    } else {
        tracing::warn!(group, op = %id, kind, outcome, actor, reason, detail, "operation of a group ended");
    }
}

fn gathering(split: bool, operation: Option<&GroupOperation>) -> Gathering {
    match operation.map(|operation| operation.outcome) {
        Some(Outcome::Running) => Gathering::Switching,
        Some(Outcome::Waiting) => Gathering::Waiting,
        _ if split => Gathering::Split,
        _ => Gathering::Together,
    }
}
