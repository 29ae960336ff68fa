//! What waits for a second person: agreed to, given up, or over.
//!
//! Inputs: a second person's word, time, the members' routes. Outputs: the operation's task goes on, or its end. The rules are those of
//! a single service: another name than the asker's, every guard asked again, bound to every member's epoch.

use super::{GroupConsent, GroupReply, runner::Runner};
use crate::model::{
    group::{GroupKey, GroupOperation},
    guard::{Guard, Refusal},
    name::OperationId,
    narrative::agreed,
    operation::Outcome,
    record::{Change, Draft, RecordKind},
    view::Standing,
};
use jiff::Timestamp;
use tokio::sync::oneshot;

impl Runner {
    /// Somebody says something to what waits.
    pub(super) fn consented(
        &mut self,
        consent: GroupConsent,
        reply: oneshot::Sender<GroupReply>,
        accepted: oneshot::Sender<OperationId>,
    ) {
        let GroupConsent { id, approve, actor, reason, key } = consent;
        let key = key.map(|key| GroupKey { key: key.key, request: key.digest });
        let shown = if approve { std::convert::identity } else { withdrawn };
        let Some(reply) = self.unless_repeated(key.as_ref(), reply, shown) else { return };
        let Some(mut operation) = self.handle.group_operation(&id) else {
            return drop(reply.send(GroupReply::Unknown(format!("no operation {id}"))));
        };
        let waits = operation.outcome == Outcome::Waiting && !self.running.contains_key(&id);
        let refusal = if !waits {
            let (known, agreed) = (operation.outcome.as_str(), agreed(operation.approver.as_deref()));
            let words = format!("{id} doesn't wait for a second person any more: {known}{agreed}");
            Some(Refusal::new(Guard::Approval, words))
        } else if approve && operation.actor == actor {
            Some(Refusal::new(Guard::Approval, format!("{actor} asked for {id}: another person must approve it")))
        } else if approve && operation.expires.is_none_or(|expires| Timestamp::now() >= expires) {
            Some(Refusal::new(Guard::Approval, format!("{id} expired: ask for it again")))
        } else {
            self.busy(&operation, true).filter(|_| approve)
        };
        if let Some(refusal) = refusal {
            // What waits goes on waiting.
            (operation.outcome, operation.guards) = (Outcome::Refused, vec![refusal]);
            return self.turned_down(operation, if approve { "approve" } else { "withdraw" }, actor, reason, reply);
        }
        if approve {
            operation.outcome = Outcome::Running;
            operation.started = Timestamp::now();
            // It was known as one that waits: whoever looks from now on sees it running.
            self.keep(operation.clone());
            self.start(operation, key, async move |work| work.approved(actor, reason).await);
            return self.wait_for(id, reply, accepted);
        }
        self.give_up(operation, key, format!("withdrawn by {actor}"), Some(reply));
    }

    /// Writes down that somebody's word was not taken, then says so.
    fn turned_down(
        &self,
        operation: GroupOperation,
        word: &str,
        actor: String,
        reason: String,
        reply: oneshot::Sender<GroupReply>,
    ) {
        let (id, guards) = (operation.id.clone(), operation.guards.clone());
        let change = Change::Refused { intent: format!("{word} {id}"), guards, id: Some(id) };
        let draft = Draft { svc: None, kind: RecordKind::Refusal, actor, reason, epoch: None, change };
        let recorder = self.recorder.clone();
        tokio::spawn(async move {
            if let Err(error) = recorder.append(vec![draft]).await {
                tracing::error!(op = %operation.id, error = error.detail, "the journal can't be written");
            }
            // A caller that went away needs no answer.
            let _ = reply.send(GroupReply::Ended(Box::new(operation)));
        });
    }

    /// Ends what waits, and tells a caller who asked for that that it is done.
    fn give_up(
        &mut self,
        operation: GroupOperation,
        key: Option<GroupKey>,
        words: String,
        reply: Option<oneshot::Sender<GroupReply>>,
    ) {
        self.start(operation, key, async move |mut work| {
            work.refuse(vec![Refusal::new(Guard::Approval, words)]).await;
            if let Some(reply) = reply {
                let _ = reply.send(GroupReply::Ended(Box::new(withdrawn(work.operation.clone()))));
            }
            work.operation
        });
    }

    /// What was asked for ends when its time is over, or a route moved from where it was.
    pub(super) fn look_at_waiting(&mut self) {
        let now = Timestamp::now();
        for operation in self.handle.group_operations() {
            if operation.outcome != Outcome::Waiting || self.running.contains_key(&operation.id) {
                continue;
            }
            let moved = operation.members.iter().filter(|member| !member.stays()).find_map(|member| {
                let view = self.handle.service(&member.svc).filter(|view| view.state != Standing::Starting)?;
                (view.epoch != member.epoch).then_some((&member.svc, view.epoch, member.epoch))
            });
            let words = match moved {
                Some((svc, is, was)) => {
                    format!("the route of {svc} moved since it was asked for: the epoch is {is}, it was {was}")
                }
                None if operation.expires.is_none_or(|expires| now >= expires) => {
                    format!("nobody approved it since {:.0}", operation.started)
                }
                None => continue,
            };
            self.give_up(operation, None, words, None);
        }
    }
}

/// The answer to whoever gave it up: what they asked for is done.
fn withdrawn(operation: GroupOperation) -> GroupOperation {
    let detail = format!("{} is withdrawn", operation.id);
    GroupOperation { outcome: Outcome::Done, detail, ..operation }
}
