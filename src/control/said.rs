//! What of a service's life is worth a log line: an operation that ended, a state or a node that changed.
//!
//! Inputs: operations and views. Outputs: structured lines with `svc`, `epoch` and, where there is one, `op`. It never logs what
//! changes with each probe, nor anything of an application's data.

use crate::model::{
    guard::{Guard, Refusal},
    name::OperationId,
    operation::{Operation, Outcome},
    record::Draft,
    view::{Health, NodeView, ServiceView, Standing},
};

/// An operation ended. `journal_head` vouches for all that led there.
pub(super) fn ended(operation: &Operation, journal_head: &str) {
    let Operation { id, svc, kind, actor, reason, detail, .. } = operation;
    let epoch = operation.epoch_after.unwrap_or(operation.epoch_before);
    let outcome = operation.outcome.as_str();
    let guards: Vec<&str> = operation.guards.iter().map(|guard| guard.name.as_str()).collect();
    let guards = guards.join(",");
    if matches!(operation.outcome, Outcome::Done) {
        tracing::info!(%svc, %epoch, op = %id, kind, outcome, actor, reason, detail, guards, journal_head, "operation ended");
    } else {
        tracing::warn!(
            %svc, %epoch, op = %id, kind, outcome, actor, reason, detail, guards, journal_head, "operation ended"
        );
    }
}

/// An operator passes a guard by name.
pub(super) fn overridden(draft: &Draft, id: &OperationId, guard: &Refusal) {
    let svc = draft.svc.as_ref().map_or("", |svc| svc.as_str());
    let (name, why, Draft { actor, reason, .. }) = (guard.name.as_str(), &guard.detail, draft);
    tracing::error!(svc, op = %id, guard = name, why, actor, reason, "a guard is overridden");
}

/// Whether this Pointsman may move the service's roles changed: another one manages it too, or doesn't any more.
fn managers(before: &ServiceView, now: &ServiceView) {
    let (svc, epoch) = (&now.name, now.epoch);
    match (identity(before), identity(now)) {
        (None, Some(why)) => tracing::warn!(%svc, %epoch, why, "this Pointsman does not manage the service"),
        (Some(_), None) => tracing::info!(%svc, %epoch, "this Pointsman manages the service"),
        _ => {}
    }
}

/// Why somebody else is taken to be in charge, if so.
fn identity(view: &ServiceView) -> Option<&str> {
    let reasons = &view.switchover_ready.reasons;
    reasons.iter().find(|reason| reason.name == Guard::Identity).map(|reason| reason.detail.as_str())
}

/// A service's state changed, or a node's health.
pub(super) fn changes(before: &ServiceView, now: &ServiceView) {
    let (svc, epoch) = (&now.name, now.epoch);
    if before.state != now.state {
        let (was, state, note) = (before.state.as_str(), now.state.as_str(), &now.note);
        if matches!(now.state, Standing::Suspect | Standing::Blocked | Standing::Isolated) {
            tracing::warn!(%svc, %epoch, was, state, note, "the service's state changed");
        } else {
            tracing::info!(%svc, %epoch, was, state, note, "the service's state changed");
        }
    }
    managers(before, now);
    let known: Vec<&NodeView> = before.clusters.iter().flat_map(|cluster| &cluster.nodes).collect();
    for node in now.clusters.iter().flat_map(|cluster| &cluster.nodes) {
        let was =
            known.iter().find(|known| known.address == node.address).map_or(Health::Unknown, |known| known.health);
        if was != node.health {
            let (was, health, why) = (was.as_str(), node.health.as_str(), &node.note);
            if node.health == Health::Up {
                tracing::info!(%svc, %epoch, node = %node.address, was, health, "the node's health changed");
            } else {
                tracing::warn!(%svc, %epoch, node = %node.address, was, health, why, "the node's health changed");
            }
        }
    }
}
