//! Operators' orders on their way through a driver: who waits for which, and which idempotency key each came with.
//!
//! Inputs: requests, the core's answers. Outputs: tickets for the core, replies to callers, keys for the journal. A key is
//! durable before its caller hears anything, so that a caller who asks again after a crash doesn't switch twice.

use super::{
    desk::{Desk, OrderRequest, Reply},
    effects::Job,
    feed::{Event, Feed},
    handle::Key,
    keeping, said,
};
use crate::{
    coord::Coordinator,
    decision::Ticket,
    model::{
        name::OperationId,
        operation::{Command, Operation, Order, Outcome},
        record::{Change, Draft, RecordKind},
    },
    telemetry::Metrics,
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::oneshot;

/// The orders of one service that have not been answered.
pub(super) struct Orders {
    desk: Arc<Desk>,
    coordinator: Arc<dyn Coordinator>,
    feed: Arc<Feed>,
    metrics: Metrics,
    next: u64,
    waiting: BTreeMap<Ticket, Waiting>,
}

/// An order that has not been answered, and everyone who waits for it.
struct Waiting {
    actor: String,
    key: Option<Key>,
    keyed: bool,
    dry_run: bool,
    id: Option<OperationId>,
    accepted: Vec<oneshot::Sender<OperationId>>,
    ended: Vec<oneshot::Sender<Reply>>,
}

impl Orders {
    /// No orders yet.
    pub fn new(desk: Arc<Desk>, coordinator: Arc<dyn Coordinator>, feed: Arc<Feed>, metrics: Metrics) -> Self {
        Self { desk, coordinator, feed, metrics, next: 0, waiting: BTreeMap::new() }
    }

    /// Takes a request up: a ticket and the order for the core, unless its key says that the order was given before.
    pub fn take(&mut self, request: OrderRequest) -> Option<(Ticket, Order)> {
        let OrderRequest { order, key, accepted, ended } = request;
        // A dry run changes nothing, so asking again is harmless and its key needs no memory.
        let dry_run = is_dry_run(&order.command);
        let key = key.filter(|_| !dry_run);
        if let Some(key) = &key
            && let Some(earlier) = self.earlier(key)
        {
            self.join(earlier, accepted, ended);
            return None;
        }
        self.next += 1;
        let ticket = Ticket(self.next);
        let actor = order.actor.clone();
        let waiting =
            Waiting { actor, key, keyed: false, dry_run, id: None, accepted: vec![accepted], ended: vec![ended] };
        self.waiting.insert(ticket, waiting);
        Some((ticket, order))
    }

    /// The core took the order up as this operation.
    pub fn accepted(&mut self, ticket: Ticket, id: OperationId) -> Option<Job> {
        let waiting = self.waiting.get_mut(&ticket)?;
        waiting.id = Some(id.clone());
        let callers = std::mem::take(&mut waiting.accepted);
        let tell = {
            let id = id.clone();
            move || callers.into_iter().for_each(|caller| drop(caller.send(id.clone())))
        };
        let Some(key) = waiting.key.clone() else {
            tell();
            return None;
        };
        waiting.keyed = true;
        let draft = self.keyed(&key, id, &self.waiting[&ticket].actor);
        Some(Job { drafts: vec![draft], tell: None, run: Some(Box::new(tell)) })
    }

    /// The core answered the order.
    pub fn answer(&mut self, ticket: Ticket, operation: Operation) -> Option<Job> {
        let waiting = self.waiting.remove(&ticket)?;
        let id = operation.id.clone();
        if !waiting.dry_run {
            self.progress(operation.clone());
        }
        let callers = waiting.ended;
        let tell =
            move || callers.into_iter().for_each(|caller| drop(caller.send(Reply::Ended(Box::new(operation.clone())))));
        match waiting.key {
            Some(key) if !waiting.keyed => {
                let draft = self.keyed(&key, id, &waiting.actor);
                Some(Job { drafts: vec![draft], tell: None, run: Some(Box::new(tell)) })
            }
            _ => {
                tell();
                None
            }
        }
    }

    /// Guards that an operator passes are said loudly, and counted.
    pub fn overridden(&self, drafts: &[Draft]) {
        for draft in drafts {
            if let Change::Overridden { id, guard } = &draft.change {
                said::overridden(draft, id, guard);
                self.metrics.overridden(&self.desk.name, self.desk.settings().kind, guard.name);
            }
        }
    }

    /// Shows an operation's state to handles and followers, and counts its end once.
    pub fn progress(&self, operation: Operation) {
        let ended = |operation: &Operation| !matches!(operation.outcome, Outcome::Running | Outcome::Waiting);
        if ended(&operation) && !self.desk.operation(&operation.id).as_ref().is_some_and(ended) {
            self.metrics.ended(&operation, self.desk.settings().kind);
            said::ended(&operation, &keeping::head(&self.coordinator.condition()));
        }
        self.desk.remember(&operation);
        self.feed.publish(Event::Operation(Arc::new(operation)));
    }

    /// What became of the order that first came with this key.
    fn earlier(&self, key: &Key) -> Option<Earlier> {
        let same = |request: &str| request == key.digest;
        let in_flight = self.waiting.iter().find(|(_, waiting)| waiting.key.as_ref().is_some_and(|k| k.key == key.key));
        if let Some((ticket, waiting)) = in_flight {
            let request = waiting.key.as_ref().map_or("", |key| &key.digest);
            return Some(if same(request) { Earlier::Waiting(*ticket) } else { Earlier::Other });
        }
        let state = self.coordinator.state();
        let (request, id, time) = state.services.get(&self.desk.name)?.keys.get(&key.key)?;
        let day_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24);
        if *time < day_ago {
            return None;
        }
        Some(if same(request) { Earlier::Known(id.clone()) } else { Earlier::Other })
    }

    /// Lets a second caller wait with the first, or answers it at once.
    fn join(&mut self, earlier: Earlier, accepted: oneshot::Sender<OperationId>, ended: oneshot::Sender<Reply>) {
        let reply = match earlier {
            Earlier::Other => Reply::KeyReused,
            Earlier::Known(id) => Reply::Known(id),
            Earlier::Waiting(ticket) => {
                let Some(waiting) = self.waiting.get_mut(&ticket) else { return };
                match &waiting.id {
                    Some(id) => drop(accepted.send(id.clone())),
                    None => waiting.accepted.push(accepted),
                }
                waiting.ended.push(ended);
                return;
            }
        };
        // A caller that went away needs no answer.
        let _ = ended.send(reply);
    }

    fn keyed(&self, key: &Key, id: OperationId, actor: &str) -> Draft {
        Draft {
            svc: Some(self.desk.name.clone()),
            kind: RecordKind::Operation,
            actor: actor.to_owned(),
            reason: String::new(),
            epoch: None,
            change: Change::Keyed { key: key.key.clone(), request: key.digest.clone(), id },
        }
    }
}

/// What is known of a key.
enum Earlier {
    /// Its order has not been answered.
    Waiting(Ticket),
    /// Its order became this operation.
    Known(OperationId),
    /// It came with another request.
    Other,
}

fn is_dry_run(command: &Command) -> bool {
    matches!(command, Command::Switchover { dry_run: true, .. } | Command::Failover { dry_run: true, .. })
}
