//! What a reload may change, decided before anything is touched.
//!
//! Inputs: the configuration in force, the new one, what each service is doing. Outputs: what to add, change and remove;
//! or every reason why this file can't be applied to a running process, and then nothing changes.

use crate::{
    config::{Config, Service},
    model::{name::ServiceName, state::ServiceState},
};
use std::{collections::BTreeMap, sync::Arc};

/// What a reload does.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// New services.
    pub add: Vec<Arc<Service>>,
    /// Services that stay: settings, passwords or certificates may be new.
    pub keep: Vec<Arc<Service>>,
    /// Services that end.
    pub remove: Vec<ServiceName>,
}

/// Compares the two, or says one line for each thing that can't be changed live.
pub(super) fn plan(
    old: &Config,
    new: &Config,
    states: &BTreeMap<ServiceName, ServiceState>,
) -> Result<Plan, Vec<String>> {
    let mut refused = process_wide(old, new);
    let mut plan = Plan::default();
    for service in &new.services {
        match old.services.iter().find(|known| known.name == service.name) {
            None => plan.add.push(Arc::new(service.clone())),
            Some(known) => {
                refused.extend(service_wide(known, service, states.get(&service.name)));
                plan.keep.push(Arc::new(service.clone()));
            }
        }
    }
    for known in old.services.iter().filter(|known| new.services.iter().all(|service| service.name != known.name)) {
        if states.get(&known.name).is_some_and(|state| state.underway.is_some()) {
            refused.push(format!("{}: an operation runs: remove the service when it has ended", known.name));
        }
        plan.remove.push(known.name.clone());
    }
    if refused.is_empty() { Ok(plan) } else { Err(refused) }
}

fn process_wide(old: &Config, new: &Config) -> Vec<String> {
    let fixed = [
        ("state_dir", old.state_dir == new.state_dir),
        ("workers", old.workers == new.workers),
        ("admin.socket", old.admin == new.admin),
        ("telemetry.listen", old.telemetry.listen == new.telemetry.listen),
        ("telemetry.log", old.telemetry.log == new.telemetry.log),
        ("telemetry.log_format", old.telemetry.log_format == new.telemetry.log_format),
    ];
    let changed = fixed.into_iter().filter(|(_, same)| !same);
    changed.map(|(key, _)| format!("{key} can't be changed by a reload: restart Pointsman for it")).collect()
}

fn service_wide(old: &Service, new: &Service, state: Option<&ServiceState>) -> Vec<String> {
    let mut refused = Vec::new();
    let name = &new.name;
    if old.kind != new.kind {
        refused.push(format!("{name}: the kind can't be changed by a reload: give the new service another name"));
    }
    if old.replication != new.replication {
        refused.push(format!("{name}: replication can't be changed by a reload: restart Pointsman for it"));
    }
    let Some(state) = state else { return refused };
    if old.clusters != new.clusters && state.underway.is_some() {
        refused.push(format!("{name}: an operation runs: change the clusters when it has ended"));
    }
    let stays = |cluster: &str, node: &str| {
        new.nodes().any(|(c, n)| (cluster.is_empty() || c.name.as_str() == cluster) && n.address.as_str() == node)
    };
    if let Some(target) = &state.route.target
        && !stays(target.cluster.as_str(), target.node.as_str())
    {
        refused.push(format!(
            "{name}: the route goes to {} of cluster {}, which this file doesn't have: switch over first",
            target.node, target.cluster
        ));
    }
    for node in state.fences.keys().filter(|node| !stays("", node.as_str())) {
        refused.push(format!("{name}: {node} carries a fence that Pointsman must lift: it can't be removed yet"));
    }
    refused
}
