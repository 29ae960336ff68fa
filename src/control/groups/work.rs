//! One operation of several services, from its first question to its end.
//!
//! Inputs: an order that was taken up. Outputs: orders to the members, one after the other, each under the epoch that was judged;
//! a record of each step; back again, where the group says so. It never guesses: a member that didn't say *done* is not counted as
//! switched, and what it said stands in the record.

use super::{
    GroupOrder,
    judge::{Judge, Judged},
    show::routed,
};
use crate::{
    control::{
        handle::{Handle, OrderReply},
        recorder::Recorder,
    },
    model::{
        group::{GroupKey, GroupKind, GroupMember, GroupOperation, OnError},
        guard::{Guard, Refusal},
        operation::{Command, Operation, Order, Outcome},
        record::{Change, Draft, RecordKind},
    },
};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

/// How long a member that was switched may take to be ready for the way back.
const BACK: Duration = Duration::from_secs(30);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(500);

/// An operation under way.
pub(super) struct Work {
    pub(super) handle: Handle,
    pub(super) recorder: Recorder,
    /// To the runner: its state after each step.
    pub(super) reports: mpsc::Sender<GroupOperation>,
    pub(super) operation: GroupOperation,
    /// The idempotency key, until it is written.
    pub(super) key: Option<GroupKey>,
}

impl Work {
    fn judge(&self, dry_run: bool) -> Judge<'_> {
        let terms = self.operation.terms.clone();
        Judge { handle: &self.handle, config: self.handle.configuration(), terms, dry_run }
    }

    /// Takes an order through.
    pub(super) async fn order(mut self, order: &GroupOrder) -> GroupOperation {
        if self.operation.kind != GroupKind::Switchover {
            self.begin().await;
            return self.operation;
        }
        let names: Vec<_> = self.operation.members.iter().map(|member| member.svc.clone()).collect();
        let judge = self.judge(order.dry_run);
        let Judged { members, refusals } = judge.switch(&names, order).await;
        let waits = judge.waits(&members, &order.kind);
        self.operation.members = members;
        if order.dry_run {
            self.operation.outcome = if refusals.is_empty() { Outcome::Done } else { Outcome::Refused };
            self.operation.guards = refusals;
        } else if !refusals.is_empty() {
            self.refuse(refusals).await;
        } else if let Some(timeout) = waits {
            self.wait(timeout).await;
        } else {
            self.begin().await;
        }
        self.operation
    }

    /// A second person agreed: every guard is asked again, at the epochs that were shown.
    pub(super) async fn approved(mut self, by: String, reason: String) -> GroupOperation {
        let Judged { members, refusals } = self.judge(false).again(&self.operation).await;
        self.operation.approver = Some(by.clone());
        self.operation.expires = None;
        self.operation.started = Timestamp::now();
        self.operation.members = members;
        let approved = Change::Approved { id: self.operation.id.clone(), by: by.clone(), reason: reason.clone() };
        let draft = Draft { kind: RecordKind::Decision, actor: by, reason, ..self.draft(approved) };
        self.write(vec![draft]).await;
        if refusals.is_empty() {
            self.begin().await;
        } else {
            self.refuse(refusals).await;
        }
        self.operation
    }

    /// Nothing is changed.
    pub(super) async fn refuse(&mut self, refusals: Vec<Refusal>) {
        self.operation.outcome = Outcome::Refused;
        self.operation.guards.extend(refusals);
        self.end().await;
    }

    async fn wait(&mut self, timeout: Duration) {
        let timeout = SignedDuration::try_from(timeout).unwrap_or(SignedDuration::from_mins(15));
        self.operation.outcome = Outcome::Waiting;
        self.operation.expires = Timestamp::now().checked_add(timeout).ok();
        if let Err(error) = self.record().await {
            self.operation.expires = None;
            self.refuse(vec![Refusal::new(Guard::Journal, error)]).await;
        }
    }

    /// All guards held: it is written down, then the members follow each other.
    async fn begin(&mut self) {
        self.operation.outcome = Outcome::Running;
        if let Err(error) = self.record().await
            && !self.operation.terms.overrides.contains(&Guard::Journal)
        {
            return self.refuse(vec![Refusal::new(Guard::Journal, error)]).await;
        }
        for index in 0..self.operation.members.len() {
            let member = &self.operation.members[index];
            if member.outcome != Some(Outcome::Done) && !member.stays() {
                self.one(index).await;
            }
            let done = self.operation.members[index].outcome == Some(Outcome::Done);
            if !done && self.operation.on_error != OnError::GoOn {
                break;
            }
        }
        let failed = self.operation.members.iter().any(|member| member.outcome != Some(Outcome::Done));
        if failed && self.operation.on_error == OnError::SwitchBack && self.operation.kind == GroupKind::Switchover {
            self.switch_back().await;
        }
        (self.operation.outcome, self.operation.detail) = conclusion(&self.operation);
        self.end().await;
    }

    /// One member's turn.
    async fn one(&mut self, index: usize) {
        let GroupMember { svc, to, epoch, .. } = self.operation.members[index].clone();
        let command = match &self.operation.kind {
            GroupKind::Switchover => self.switchover(to),
            GroupKind::Pause { seconds } => Command::Pause(Duration::from_secs(*seconds)),
            GroupKind::Resume => Command::Resume,
            GroupKind::Mode { mode } => Command::Mode(*mode),
        };
        let bound = (self.operation.kind == GroupKind::Switchover).then_some(epoch);
        let order = Order { if_epoch: bound, ..self.member_order(command) };
        self.operation.members[index].outcome = Some(Outcome::Running);
        self.report().await;
        let reply = self.handle.order(&svc, order, None, None).await;
        let member = &mut self.operation.members[index];
        (member.operation, member.outcome, member.detail) = match reply {
            OrderReply::Ended(ended) => (Some(ended.id.clone()), Some(ended.outcome), words(&ended)),
            OrderReply::UnknownService | OrderReply::UnknownCluster(_) => {
                (None, Some(Outcome::Refused), "it isn't configured any more".into())
            }
            _ => (None, Some(Outcome::Unknown), "no answer: it isn't known whether the order was taken".into()),
        };
        self.note().await;
    }

    fn switchover(&self, to: Option<crate::model::name::ClusterName>) -> Command {
        let terms = &self.operation.terms;
        let timeout = Duration::from_millis(terms.timeout_ms);
        Command::Switchover { to, dry_run: false, cut_sessions: terms.cut_sessions, timeout }
    }

    fn member_order(&self, command: Command) -> Order {
        let operation = &self.operation;
        Order {
            overrides: operation.terms.overrides.clone(),
            approver: operation.approver.clone(),
            group: Some(operation.id.clone()),
            rehearsal: operation.rehearsal,
            ..Order::new(command, operation.actor.clone(), operation.reason.clone())
        }
    }

    /// Those that were switched go back, the last one first.
    async fn switch_back(&mut self) {
        for index in (0..self.operation.members.len()).rev() {
            let member = &self.operation.members[index];
            let there = self.handle.service(&member.svc).as_ref().and_then(routed);
            let moved = member.operation.is_some() && member.from != member.to && there == member.to;
            if moved {
                self.back(index).await;
            }
        }
    }

    async fn back(&mut self, index: usize) {
        let GroupMember { svc, from, to, .. } = self.operation.members[index].clone();
        let limit = Instant::now() + BACK;
        let mut said = String::new();
        // A node that was just demoted needs a moment until it is a candidate again.
        while Instant::now() < limit {
            let Some(view) = self.handle.service(&svc).filter(|view| routed(view) == to) else {
                said = "its route was moved meanwhile".into();
                break;
            };
            let order = Order { if_epoch: Some(view.epoch), ..self.member_order(self.switchover(from.clone())) };
            match self.handle.order(&svc, order, None, None).await {
                OrderReply::Ended(ended) if ended.outcome == Outcome::Done => {
                    let member = &mut self.operation.members[index];
                    member.outcome = Some(Outcome::RolledBack);
                    member.detail = format!("switched back by {}", ended.id);
                    return self.note().await;
                }
                OrderReply::Ended(ended) if matches!(ended.outcome, Outcome::Refused | Outcome::RolledBack) => {
                    said = words(&ended);
                }
                OrderReply::Ended(ended) => {
                    said = words(&ended);
                    break;
                }
                _ => {
                    said = "no answer".into();
                    break;
                }
            }
            sleep(AGAIN).await;
        }
        self.operation.members[index].detail = format!("not switched back: {said}");
        self.note().await;
    }

    pub(super) async fn end(&mut self) {
        super::show::log(&self.operation);
        self.note().await;
    }

    /// Writes how it stands; a journal that can't be written was logged, and doesn't stop what runs.
    async fn note(&mut self) {
        let _ = self.record().await;
    }

    /// Writes how it stands, then shows it.
    async fn record(&mut self) -> Result<(), String> {
        let change = Change::Group { operation: Box::new(self.operation.clone()), key: self.key.clone() };
        let kind = if self.operation.outcome == Outcome::Refused { RecordKind::Refusal } else { RecordKind::Operation };
        let draft = Draft { kind, ..self.draft(change) };
        let written = self.recorder.append(vec![draft]).await.map_err(|error| error.detail);
        match &written {
            Ok(_) => self.key = None,
            Err(error) => tracing::error!(op = %self.operation.id, error, "the journal can't be written"),
        }
        self.report().await;
        written.map(|_| ())
    }

    async fn write(&self, drafts: Vec<Draft>) {
        if let Err(error) = self.recorder.append(drafts).await {
            tracing::error!(op = %self.operation.id, error = error.detail, "the journal can't be written");
        }
    }

    fn draft(&self, change: Change) -> Draft {
        let (actor, reason) = (self.operation.actor.clone(), self.operation.reason.clone());
        Draft { svc: None, kind: RecordKind::Operation, actor, reason, epoch: None, change }
    }

    async fn report(&self) {
        // A runner that is gone shows nothing any more.
        let _ = self.reports.send(self.operation.clone()).await;
    }
}

/// What an operation of a member says.
fn words(operation: &Operation) -> String {
    let guards = operation.guards.iter().filter(|_| operation.outcome == Outcome::Refused);
    let guards = guards.map(|guard| format!("{}: {}", guard.name.as_str(), guard.detail));
    let all: Vec<String> = guards.chain([operation.detail.clone()]).filter(|words| !words.is_empty()).collect();
    all.join("; ")
}

/// How the whole ended, from how its members did.
pub(super) fn conclusion(operation: &GroupOperation) -> (Outcome, String) {
    let members = &operation.members;
    let is = |member: &GroupMember, outcomes: &[Outcome]| member.outcome.is_some_and(|is| outcomes.contains(&is));
    let unsure = |member: &GroupMember| is(member, &[Outcome::Partial, Outcome::Unknown, Outcome::Running]);
    let moved = |member: &GroupMember| {
        is(member, &[Outcome::Done]) && (operation.kind != GroupKind::Switchover || member.from != member.to)
    };
    let outcome = if members.iter().all(|member| is(member, &[Outcome::Done])) {
        Outcome::Done
    } else if members.iter().any(|member| unsure(member) || moved(member)) {
        Outcome::Partial
    } else if members.iter().any(|member| is(member, &[Outcome::RolledBack])) {
        Outcome::RolledBack
    } else {
        Outcome::Refused
    };
    let told = members.iter().filter(|_| outcome != Outcome::Done).map(|member| {
        let to = member.to.as_ref().filter(|_| moved(member)).map(|to| format!(" (in {to})")).unwrap_or_default();
        let how = member.outcome.map_or("not begun", Outcome::as_str);
        let detail = if member.detail.is_empty() { String::new() } else { format!(": {}", member.detail) };
        format!("{} {how}{to}{detail}", member.svc)
    });
    (outcome, told.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::route::Epoch;

    fn operation(outcomes: &[Option<Outcome>]) -> GroupOperation {
        let member = |outcome: &Option<Outcome>| GroupMember {
            svc: "cart".into(),
            operation: None,
            outcome: *outcome,
            from: Some("main".into()),
            to: Some("spare".into()),
            epoch: Epoch(1),
            detail: String::new(),
        };
        GroupOperation {
            actor: "ann".into(),
            members: outcomes.iter().map(member).collect(),
            ..GroupOperation::begun("checkout-1", "checkout", GroupKind::Switchover)
        }
    }

    #[test]
    fn what_moved_is_never_called_refused() {
        use Outcome::{Done, Partial, Refused, RolledBack, Unknown};
        for (members, outcome) in [
            (vec![Some(Done), Some(Done)], Done),
            (vec![Some(Done), Some(Refused)], Partial),
            (vec![Some(Done), None], Partial),
            (vec![Some(Refused), None], Refused),
            (vec![Some(RolledBack), None], RolledBack),
            (vec![Some(RolledBack), Some(Refused)], RolledBack),
            (vec![Some(RolledBack), Some(Partial)], Partial),
            (vec![Some(RolledBack), Some(Unknown)], Partial),
            (vec![Some(Outcome::Running), None], Partial),
        ] {
            assert_eq!(conclusion(&operation(&members)).0, outcome, "{members:?}");
        }
        // One that was there already did not move.
        let mut there = operation(&[Some(Done), Some(Refused)]);
        there.members[0].to = there.members[0].from.clone();
        assert_eq!(conclusion(&there).0, Refused);
        let words = conclusion(&operation(&[Some(Done), None])).1;
        assert_eq!(words, "cart done (in spare); cart not begun");
    }
}
