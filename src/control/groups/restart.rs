//! What a process that stopped in the middle of a group's operation left.
//!
//! Inputs: the operation as the journal has it, the members' own operations. Output: its end. Nothing is ordered: a member's own switch
//! is taken up by its core, and which of the others should follow, or go back, is for people to say.

use super::work::{Work, conclusion};
use crate::model::{
    group::{GroupMember, GroupOperation},
    operation::{Operation, Outcome},
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a member's own recovery is waited for.
const RECOVERY: Duration = Duration::from_mins(2);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);

impl Work {
    /// Says how far it came, once every member's own operation has ended.
    pub(super) async fn settle(mut self) -> GroupOperation {
        let limit = Instant::now() + RECOVERY;
        while self.look() && Instant::now() < limit {
            sleep(LOOK).await;
        }
        let (outcome, told) = conclusion(&self.operation);
        let moved = outcome != Outcome::Refused;
        self.operation.outcome = if moved { outcome } else { Outcome::RolledBack };
        let nothing = if moved { "" } else { "; nothing had changed" };
        self.operation.detail = format!("Pointsman stopped during the operation{nothing}; {told}");
        self.end().await;
        self.operation
    }

    /// What the members' own operations say; whether one still runs.
    fn look(&mut self) -> bool {
        let id = self.operation.id.clone();
        let mut runs = false;
        for member in &mut self.operation.members {
            let known = self.handle.operations(Some(&member.svc), usize::MAX);
            // The last one is the way back, where there was one.
            let Some(last) = known.iter().find(|operation| operation.group.as_ref() == Some(&id)) else { continue };
            runs |= last.outcome == Outcome::Running;
            told_by(member, last);
        }
        runs
    }
}

fn told_by(member: &mut GroupMember, last: &Operation) {
    let back = last.to == member.from && last.outcome == Outcome::Done && last.to != member.to;
    member.operation = Some(last.id.clone());
    member.outcome = Some(if back { Outcome::RolledBack } else { last.outcome });
    if back {
        member.detail = format!("switched back by {}", last.id);
    } else if !last.detail.is_empty() {
        member.detail.clone_from(&last.detail);
    }
}

/// Whether a start must look after it.
pub(super) fn was_interrupted(operation: &GroupOperation) -> bool {
    operation.outcome == Outcome::Running
}
