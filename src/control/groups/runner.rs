//! Takes orders for groups and sites up, and lets no two of them meet at a service.
//!
//! Inputs: requests of handles, reports of what runs, time. Outputs: one task an operation, the newest state of each, events for
//! followers. What waits for a second person is watched here. It never waits inside: whatever takes time is a task of its own.

use super::{
    GroupConsent, GroupOrder, GroupReply, Of, judge::members, restart::was_interrupted, show::waiting_words, work::Work,
};
use crate::{
    control::{
        feed::Event,
        handle::{Handle, Key},
        recorder::Recorder,
    },
    model::{
        group::{GroupKey, GroupKind, GroupOperation, GroupView, OnError, SITE},
        guard::{Guard, Refusal},
        name::{OperationId, ServiceName},
        operation::Outcome,
        route::Epoch,
    },
};
use jiff::Timestamp;
use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// How often what waits is looked at, and groups are shown anew.
const LOOK: Duration = Duration::from_millis(500);
/// How many reports may wait.
const REPORTS: usize = 64;

/// A request on its way to the runner.
pub(in crate::control) enum Request {
    /// An order.
    Order {
        /// What.
        order: GroupOrder,
        /// The caller's idempotency key.
        key: Option<Key>,
        /// Told how it ended.
        reply: oneshot::Sender<GroupReply>,
        /// Told the id as soon as there is one.
        accepted: oneshot::Sender<OperationId>,
    },
    /// A second person's word.
    Consent {
        /// What.
        consent: GroupConsent,
        /// Told how it ended.
        reply: oneshot::Sender<GroupReply>,
        /// Told the id as soon as it runs.
        accepted: oneshot::Sender<OperationId>,
    },
}

/// An operation that has a task.
pub(super) struct Running {
    operation: GroupOperation,
    key: Option<GroupKey>,
    callers: Vec<oneshot::Sender<GroupReply>>,
}

/// The runner of all groups and sites.
pub(in crate::control) struct Runner {
    pub(super) handle: Handle,
    pub(super) recorder: Recorder,
    reports: mpsc::Sender<GroupOperation>,
    inbox: mpsc::Receiver<GroupOperation>,
    tasks: JoinSet<GroupOperation>,
    pub(super) running: BTreeMap<OperationId, Running>,
    /// What was shown last.
    shown: Vec<GroupView>,
    dry_runs: u64,
}

impl Runner {
    /// A runner that gives its orders through this handle.
    pub fn new(handle: Handle, recorder: Recorder) -> Self {
        let (reports, inbox) = mpsc::channel(REPORTS);
        let (tasks, running, shown) = (JoinSet::new(), BTreeMap::new(), Vec::new());
        Self { handle, recorder, reports, inbox, tasks, running, shown, dry_runs: 0 }
    }

    /// Runs until every handle is gone.
    pub async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let open = self.handle.group_operations();
        for operation in open.into_iter().filter(was_interrupted) {
            self.start(operation, None, Work::settle);
        }
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.requested(request),
                    None => return,
                },
                Some(report) = self.inbox.recv() => self.reported(report),
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(operation) => self.ended(operation),
                    Err(error) => tracing::error!(%error, "the operation of a group died; a restart says how far it came"),
                },
                _ = look.tick() => {
                    self.look_at_waiting();
                    self.show();
                }
            }
        }
    }

    fn requested(&mut self, request: Request) {
        match request {
            Request::Order { order, key, reply, accepted } => self.ordered(order, key, reply, accepted),
            Request::Consent { consent, reply, accepted } => self.consented(consent, reply, accepted),
        }
    }

    fn ordered(
        &mut self,
        order: GroupOrder,
        key: Option<Key>,
        reply: oneshot::Sender<GroupReply>,
        accepted: oneshot::Sender<OperationId>,
    ) {
        // A dry run changes nothing, so asking again is harmless and its key needs no memory.
        let key = key.filter(|_| !order.dry_run).map(|key| GroupKey { key: key.key, request: key.digest });
        let Some(reply) = self.unless_repeated(key.as_ref(), reply, std::convert::identity) else { return };
        let config = self.handle.configuration();
        let names = match members(&self.handle, &config, &order) {
            Ok(names) => names,
            Err(words) => return drop(reply.send(GroupReply::Unknown(words))),
        };
        let mut operation = self.operation_of(&order, &names);
        let id = operation.id.clone();
        if let Some(refusal) = self.busy(&operation, order.overrides(Guard::Approval)).filter(|_| !order.dry_run) {
            operation.outcome = Outcome::Refused;
            self.start(operation, key, async move |mut work| {
                work.refuse(vec![refusal]).await;
                work.operation
            });
        } else {
            self.start(operation, key, async move |work| work.order(&order).await);
        }
        self.wait_for(id, reply, accepted);
    }

    /// Lets a caller wait for what was started.
    pub(super) fn wait_for(
        &mut self,
        id: OperationId,
        reply: oneshot::Sender<GroupReply>,
        accepted: oneshot::Sender<OperationId>,
    ) {
        if let Some(running) = self.running.get_mut(&id) {
            running.callers.push(reply);
            // Who waits for the end needs no id.
            let _ = accepted.send(id);
        }
    }

    /// Another operation of a group or a site has one of these services, or waits for the same.
    pub(super) fn busy(&self, wanted: &GroupOperation, may_wait: bool) -> Option<Refusal> {
        let has =
            |operation: &GroupOperation, svc: &ServiceName| operation.members.iter().any(|member| member.svc == *svc);
        let meets = |operation: &&GroupOperation| wanted.members.iter().any(|member| has(operation, &member.svc));
        let runs =
            |other: &&GroupOperation| other.outcome == Outcome::Running && !is_dry(other) && other.id != wanted.id;
        let running = self.running.values().map(|running| &running.operation).filter(runs);
        if let Some(other) = running.into_iter().find(meets) {
            let GroupOperation { id, group, actor, started, .. } = other;
            let words = format!("{id} of {group} is under way, ordered by {actor}, since {started:.0}");
            return Some(Refusal::new(Guard::Busy, words));
        }
        let all = self.handle.group_operations();
        let asks = wanted.kind == GroupKind::Switchover && !may_wait;
        let waits =
            |other: &&GroupOperation| other.outcome == Outcome::Waiting && other.id != wanted.id && meets(other);
        all.iter().filter(|_| asks).find(waits).map(|other| Refusal::new(Guard::Busy, waiting_words(other)))
    }

    fn operation_of(&mut self, order: &GroupOrder, names: &[ServiceName]) -> GroupOperation {
        let config = self.handle.configuration();
        let (group, on_error) = match &order.of {
            Of::Group(name) => (name.clone(), config.group(name).map_or(OnError::Stop, |group| group.on_error)),
            Of::Site(name) => (format!("{SITE}{name}"), OnError::GoOn),
        };
        let switch = order.kind == GroupKind::Switchover;
        let judge =
            super::judge::Judge { handle: &self.handle, config, terms: order.terms.clone(), dry_run: order.dry_run };
        let member = |name: &ServiceName| {
            let mut member = judge.member(name, None);
            if !switch {
                (member.from, member.epoch) = (None, Epoch::default());
            }
            member
        };
        let members = names.iter().map(member).collect();
        GroupOperation {
            id: self.next_id(&group, order.dry_run),
            group,
            kind: order.kind.clone(),
            actor: order.actor.clone(),
            approver: None,
            expires: None,
            rehearsal: order.rehearsal,
            reason: order.reason.clone(),
            started: Timestamp::now(),
            outcome: Outcome::Running,
            on_error: if switch { on_error } else { OnError::GoOn },
            guards: Vec::new(),
            detail: String::new(),
            members,
            terms: order.terms.clone(),
        }
    }

    /// An id that no other operation has, also where the first record of the last one isn't written yet.
    fn next_id(&mut self, group: &str, dry_run: bool) -> OperationId {
        if dry_run {
            self.dry_runs += 1;
            return format!("{group}-{}-dry-run", self.dry_runs).into();
        }
        let mut groups = self.handle.shared.coordinator.state().groups.clone();
        for Running { operation, .. } in self.running.values().filter(|running| !is_dry(&running.operation)) {
            groups.apply(operation, None, operation.started);
        }
        groups.next_id(group)
    }

    /// Gives the caller back, unless their key came before: then they hear, now or at its end, what came of that, as `shown`.
    pub(super) fn unless_repeated(
        &mut self,
        key: Option<&GroupKey>,
        reply: oneshot::Sender<GroupReply>,
        shown: impl FnOnce(GroupOperation) -> GroupOperation,
    ) -> Option<oneshot::Sender<GroupReply>> {
        let Some((key, (request, id))) = key.and_then(|key| Some((key, self.earlier(&key.key)?))) else {
            return Some(reply);
        };
        let earlier =
            if request == key.request { self.known(&id, reply) } else { Some((reply, GroupReply::KeyReused)) };
        // A caller that went away needs no answer.
        drop(earlier.map(|(reply, answer)| match answer {
            GroupReply::Ended(operation) => reply.send(GroupReply::Ended(Box::new(shown(*operation)))),
            answer => reply.send(answer),
        }));
        None
    }

    /// What came with this key before.
    fn earlier(&self, key: &str) -> Option<(String, OperationId)> {
        let running = self.running.values().find(|running| running.key.as_ref().is_some_and(|known| known.key == key));
        if let Some(Running { operation, key: Some(key), .. }) = running {
            return Some((key.request.clone(), operation.id.clone()));
        }
        let state = self.handle.shared.coordinator.state();
        let (request, id, time) = state.groups.keys.get(key)?;
        let day_ago = Timestamp::now() - jiff::SignedDuration::from_hours(24);
        (*time >= day_ago).then(|| (request.clone(), id.clone()))
    }

    /// Lets a caller wait for a known operation, or says how it stands.
    fn known(
        &mut self,
        id: &OperationId,
        reply: oneshot::Sender<GroupReply>,
    ) -> Option<(oneshot::Sender<GroupReply>, GroupReply)> {
        if let Some(running) = self.running.get_mut(id) {
            running.callers.push(reply);
            return None;
        }
        let known =
            self.handle.group_operation(id).map_or(GroupReply::Late, |known| GroupReply::Ended(Box::new(known)));
        Some((reply, known))
    }

    /// Gives an operation a task.
    pub(super) fn start<F>(&mut self, operation: GroupOperation, key: Option<GroupKey>, work: impl FnOnce(Work) -> F)
    where
        F: Future<Output = GroupOperation> + Send + 'static,
    {
        let task = work(Work {
            handle: self.handle.clone(),
            recorder: self.recorder.clone(),
            reports: self.reports.clone(),
            operation: operation.clone(),
            key: key.clone(),
        });
        self.running.insert(operation.id.clone(), Running { operation, key, callers: Vec::new() });
        self.tasks.spawn(task);
    }

    /// An operation moved on.
    fn reported(&mut self, operation: GroupOperation) {
        if let Some(running) = self.running.get_mut(&operation.id) {
            running.operation = operation.clone();
        }
        self.keep(operation);
        self.show();
    }

    fn ended(&mut self, operation: GroupOperation) {
        let Some(Running { callers, .. }) = self.running.remove(&operation.id) else { return };
        for caller in callers {
            // A caller that went away needs no answer.
            let _ = caller.send(GroupReply::Ended(Box::new(operation.clone())));
        }
        if !is_dry(&operation) {
            self.keep(operation);
        }
        self.show();
    }

    /// Keeps what is newer than the journal.
    pub(super) fn keep(&self, operation: GroupOperation) {
        let mut live = BTreeMap::clone(&self.handle.shared.group_operations.load());
        let state = self.handle.shared.coordinator.state();
        live.insert(operation.id.clone(), operation);
        live.retain(|id, operation| state.groups.operation(id) != Some(operation));
        self.handle.shared.group_operations.store(Arc::new(live));
    }

    /// Tells followers what looks different.
    fn show(&mut self) {
        let mut views = self.handle.groups();
        let operations = self.handle.group_operations();
        let of_sites = operations.iter().filter(|operation| operation.group.starts_with(SITE));
        views.extend(of_sites.take(1).map(Handle::site_in_motion));
        for view in views.iter().filter(|view| !self.shown.contains(view)) {
            self.recorder.feed().publish(Event::Group(Arc::new(view.clone())));
        }
        self.shown = views;
    }
}

fn is_dry(operation: &GroupOperation) -> bool {
    operation.id.as_str().ends_with("-dry-run")
}
