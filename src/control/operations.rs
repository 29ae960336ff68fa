//! The operations of all services as a list: what runs or waits, and what ended lately.
//!
//! Inputs: the desks' memory and the journal's fold. Output: operations as they stand. It reads only.

use super::handle::Handle;
use crate::model::{
    name::{OperationId, ServiceName},
    operation::{Operation, Outcome},
};
use std::collections::BTreeMap;

impl Handle {
    /// What runs or waits for a second person first, then what ended, each newest first; of one service or of all. What is older
    /// than the last few dozens of a service stands in the journal only.
    pub fn operations(&self, svc: Option<&ServiceName>, limit: usize) -> Vec<Operation> {
        let state = self.shared.coordinator.state();
        let mut found: BTreeMap<OperationId, Operation> = BTreeMap::new();
        for desk in self.shared.desks.load().iter().filter(|desk| svc.is_none_or(|svc| desk.name == *svc)) {
            if let Some(state) = state.services.get(&desk.name) {
                let waiting = state.waiting.iter().map(|waiting| &waiting.operation);
                let underway = state.underway.iter().map(|underway| &underway.operation);
                let known = waiting.chain(underway).chain(&state.ended);
                found.extend(known.map(|operation| (operation.id.clone(), operation.clone())));
            }
            // The desk hears of each phase; the fold of what is durable only.
            let newest = desk.operations.load();
            found.extend(newest.iter().map(|operation| (operation.id.clone(), operation.clone())));
        }
        let open = |operation: &Operation| matches!(operation.outcome, Outcome::Running | Outcome::Waiting);
        let mut all: Vec<Operation> = found.into_values().collect();
        all.sort_by_key(|operation| std::cmp::Reverse((open(operation), operation.started)));
        all.truncate(limit);
        all
    }
}
