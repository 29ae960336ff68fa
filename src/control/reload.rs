//! What a reload may change, decided before anything is touched.
//!
//! Inputs: the configuration in force, the new one, what each service is doing. Outputs: what to add, change and remove;
//! or every reason why this file can't be applied to a running process, and then nothing changes.

use crate::{
    config::{self, Config, Effect, Service},
    model::{name::ServiceName, state::ServiceState},
};
use std::{collections::BTreeMap, sync::Arc};

/// What a reload does.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// One line a difference.
    pub changes: Vec<String>,
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
    let changes = config::diff(old, new);
    let fixed = changes.iter().filter(|change| change.effect == Effect::NeedsRestart);
    let mut refused: Vec<_> = fixed.map(ToString::to_string).collect();
    let mut plan = Plan { changes: changes.iter().map(ToString::to_string).collect(), ..Plan::default() };
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

fn service_wide(old: &Service, new: &Service, state: Option<&ServiceState>) -> Vec<String> {
    let mut refused = Vec::new();
    let name = &new.name;
    let Some(state) = state else { return refused };
    if old.clusters != new.clusters && state.underway.is_some() {
        refused.push(format!("{name}: an operation runs: change the clusters when it has ended"));
    }
    // A route to a cluster that serves as a whole goes on to whatever nodes that has then.
    let whole = new.serves_as_whole();
    let stays = |cluster: &str, node: &str| {
        new.nodes()
            .any(|(c, n)| (cluster.is_empty() || c.name.as_str() == cluster) && (whole || n.address.as_str() == node))
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
