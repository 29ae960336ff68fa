//! Effects that take time: each runs in a task of its own and reports to the driver's inbox.

use super::{
    crash,
    desk::{About, RebuildRequest},
    driver::Happened,
    recorder::Recorder,
};
use crate::{
    decision::Ticket,
    model::{
        action::{Action, Done},
        error::{Side, StoreError},
        name::NodeAddress,
        record::{Change, Draft},
    },
    store::Store,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// How many writes may wait for the disk.
const JOBS: usize = 64;

/// Something to make durable, and what follows when it is, or could not be made so.
pub(super) struct Job {
    /// What.
    pub drafts: Vec<Draft>,
    /// The core hears of it under this ticket.
    pub tell: Option<Ticket>,
    /// This runs; a journal that can't be written was logged.
    pub run: Option<Box<dyn FnOnce() + Send>>,
}

impl Job {
    /// A write that the core asked for. What goes along with the beginning of an operation becomes durable with it or not
    /// at all.
    pub fn core(ticket: Ticket, drafts: Vec<Draft>, along: &mut Option<Job>) -> Self {
        let begins = drafts.iter().any(|draft| matches!(draft.change, Change::Began { .. }));
        let mut job = Self { drafts, tell: Some(ticket), run: None };
        if let Some(along) = begins.then(|| along.take()).flatten() {
            job.drafts.extend(along.drafts);
            job.run = along.run;
        }
        job
    }
}

/// Starts the service's writer: one task that writes in order, so that a slow disk never stops the driver.
pub(super) fn writer(recorder: Recorder, results: mpsc::Sender<Happened>) -> mpsc::Sender<Job> {
    let (jobs, mut queue) = mpsc::channel::<Job>(JOBS);
    tokio::spawn(async move {
        // A full disk is tried again each second, and said once.
        let mut trouble: Option<String> = None;
        while let Some(Job { drafts, tell, run }) = queue.recv().await {
            let name = name_of(&drafts);
            crash::point("before", "write", || name.clone());
            let svc = drafts.iter().find_map(|draft| draft.svc.clone());
            let result = recorder.append(drafts).await;
            let svc = svc.as_ref().map_or("", |svc| svc.as_str());
            match &result {
                Err(error) if trouble.as_ref() != Some(&error.detail) => {
                    tracing::error!(svc, error = error.detail, write = name, "the journal can't be written");
                    trouble = Some(error.detail.clone());
                }
                Err(_) => {}
                Ok(_) => {
                    if trouble.take().is_some() {
                        tracing::info!(svc, write = name, "the journal can be written again");
                    }
                }
            }
            crash::point("after", "write", || name);
            if let Some(run) = run {
                run();
            }
            if let Some(ticket) = tell {
                let result = result.map_err(|error| error.detail);
                if results.send(Happened::Written(ticket, result)).await.is_err() {
                    return;
                }
            }
        }
    });
    jobs
}

/// Starts an action. One that takes longer than `limit` counts as perhaps done, and its connection is dropped.
pub(super) fn act(
    store: Arc<dyn Store>,
    about: About,
    ticket: Ticket,
    action: Action,
    limit: Duration,
    results: mpsc::Sender<Happened>,
) {
    tokio::spawn(async move {
        let name = action_name(&action);
        crash::point("before", "act", || name.to_owned());
        let result = match tokio::time::timeout(limit, store.act(&action)).await {
            Ok(result) => result,
            Err(_) => Err(too_late(&action, limit)),
        };
        log(&about, &action, &result);
        crash::point("after", "act", || name.to_owned());
        let _ = results.send(Happened::Acted(ticket, result)).await;
    });
}

/// Asks the store what a node alone holds, in a task of its own.
pub(super) fn rebuild(store: Arc<dyn Store>, primary: Option<NodeAddress>, request: RebuildRequest) {
    let RebuildRequest { node, reply } = request;
    let no = |detail: String| StoreError { side: Side::Client, retryable: false, maybe_done: false, detail };
    tokio::spawn(async move {
        let told = match primary {
            None => Err(no("no primary is known that it could be a standby of".into())),
            Some(primary) if primary == node => Err(no(format!("{node} is the primary"))),
            Some(primary) => store.rebuild(&node, &primary).await,
        };
        // Whoever asked may have gone.
        let _ = reply.send(told);
    });
}

fn too_late(action: &Action, limit: Duration) -> StoreError {
    StoreError {
        side: Side::Node,
        retryable: true,
        maybe_done: true,
        detail: format!("{} did not end {} within {limit:?}", action.node(), action_name(action)),
    }
}

fn log(about: &About, action: &Action, result: &Result<Done, StoreError>) {
    let (node, action) = (action.node(), action_name(action));
    let About { svc, epoch, op } = about;
    match result {
        Ok(_) => tracing::info!(%svc, %epoch, op, %node, action, "done"),
        Err(error) => {
            tracing::warn!(%svc, %epoch, op, %node, action, %error, retryable = error.retryable, "failed");
        }
    }
}

/// What an action is called in logs and crash points.
pub(super) fn action_name(action: &Action) -> &'static str {
    match action {
        Action::Fence { .. } => "fence",
        Action::CatchUp { .. } => "catch_up",
        Action::Confirm { .. } => "confirm",
        Action::Promote { .. } => "promote",
        Action::Demote { .. } => "demote",
        Action::Repoint { .. } => "repoint",
        Action::Unfence { .. } => "unfence",
        Action::Park { .. } => "park",
        Action::Persist { .. } => "persist",
    }
}

/// What a write is called in logs and crash points: its changes in order.
fn name_of(drafts: &[Draft]) -> String {
    let names: Vec<_> = drafts.iter().map(|draft| change_name(&draft.change)).collect();
    names.join("+")
}

fn change_name(change: &Change) -> String {
    match change {
        Change::Routed { route } => format!("routed_{}", route.mode.as_str()),
        Change::FenceIntended { .. } => "fence_intended".into(),
        Change::Fenced { .. } => "fenced".into(),
        Change::Unfenced { .. } => "unfenced".into(),
        Change::Parked { .. } => "parked".into(),
        Change::Unparked { .. } => "unparked".into(),
        Change::Silenced { .. } => "silenced".into(),
        Change::Departed { .. } => "departed".into(),
        Change::Amended { .. } => "amended".into(),
        Change::Retargeted { .. } => "retargeted".into(),
        Change::Strayed { .. } => "strayed".into(),
        Change::Gathered { .. } => "gathered".into(),
        Change::Estranged { .. } => "estranged".into(),
        Change::LineageSeen { .. } => "lineage_seen".into(),
        Change::Group { .. } => "group".into(),
        Change::Asked { .. } => "asked".into(),
        Change::Approved { .. } => "approved".into(),
        Change::Overridden { .. } => "overridden".into(),
        Change::Began { .. } => "began".into(),
        Change::Entered { step, .. } => format!("entered_{}", step.as_str()),
        Change::Ended { .. } => "ended".into(),
        Change::Refused { .. } => "refused".into(),
        Change::Drained { .. } => "drained".into(),
        Change::Restored { .. } => "restored".into(),
        Change::Paused { .. } => "paused".into(),
        Change::Resumed => "resumed".into(),
        Change::Keyed { .. } => "keyed".into(),
        Change::Suspected { .. } => "suspected".into(),
        Change::Removed { .. } => "removed".into(),
        Change::Configured { .. } => "configured".into(),
        Change::ConfigurationRejected { .. } => "configuration_rejected".into(),
        Change::Noted { .. } => "noted".into(),
    }
}
