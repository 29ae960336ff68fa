//! Conditions: what is so now, since when, and what was so for a while although nobody could be told.
//!
//! Input: the services as they stand, again and again. Output: conditions with their times. It never looks at the journal.

use super::{
    event::{Event, Key},
    words,
};
use crate::{
    config::Notice,
    model::{
        group::GroupOperation,
        guard::Guard,
        name::ServiceName,
        operation::Outcome,
        view::{ServiceView, Standing},
    },
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Something that is so, and may end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) since: Timestamp,
    /// When it was over; absent while it lasts.
    pub(super) ended: Option<Timestamp>,
    pub(super) summary: String,
    pub(super) description: String,
}

impl Condition {
    pub(super) fn event(&self, (notice, svc): &Key) -> Event {
        Event {
            notice: *notice,
            svc: svc.clone(),
            starts: self.since,
            ends: None,
            summary: self.summary.clone(),
            description: self.description.clone(),
            record: None,
        }
    }

    /// How long it has lasted, or did.
    pub(super) fn lasted(&self, now: Timestamp) -> jiff::SignedDuration {
        self.ended.unwrap_or(now).duration_since(self.since)
    }
}

/// Every condition that lasts, and those that ended since the last delivery. At most one of each sort a service.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<Key, Condition>);

impl Seen {
    /// Looks at what is so now.
    pub(super) fn look(&mut self, holds: Vec<Holds>, now: Timestamp) {
        for (key, condition) in &mut self.0 {
            let lasts = holds.iter().any(|holds| holds.key == *key);
            if !lasts && condition.ended.is_none() {
                condition.ended = Some(now);
            }
        }
        for Holds { key, summary, description } in holds {
            let condition = self.0.entry(key).or_insert_with(|| Condition {
                since: now,
                ended: None,
                summary: String::new(),
                description: String::new(),
            });
            (condition.ended, condition.summary, condition.description) = (None, summary, description);
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Condition> {
        self.0.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Condition)> {
        self.0.iter()
    }

    /// What ended has been told.
    pub(super) fn settle(&mut self) {
        self.0.retain(|_, condition| condition.ended.is_none());
    }

    /// What ended before anybody had to hear of it is forgotten.
    pub(super) fn forget(&mut self, of_no_matter: impl Fn(&Key, &Condition) -> bool) {
        self.0.retain(|key, condition| condition.ended.is_none() || !of_no_matter(key, condition));
    }
}

/// A condition that is so now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holds {
    key: Key,
    summary: String,
    description: String,
}

/// Whether a notice is a condition, which ends by itself.
pub(super) fn is_condition(notice: Notice) -> bool {
    matches!(notice, Notice::Blocked | Notice::NotReady | Notice::Approval | Notice::Journal | Notice::Configuration)
}

/// Every condition that is so. Where others move the roles (`external`), Pointsman is never ready to, and that is no news. `groups` are
/// the operations of groups and sites, of which one may wait as its members' may; it is told under the group's name.
pub(super) fn holds(
    views: &[ServiceView],
    external: &[ServiceName],
    groups: &[GroupOperation],
    refused: Option<&str>,
) -> Vec<Holds> {
    let mut all = Vec::new();
    for operation in groups.iter().filter(|operation| operation.outcome == Outcome::Waiting) {
        let (summary, description) = words::group_approval(operation);
        all.push(Holds { key: (Notice::Approval, Some(operation.group.as_str().into())), summary, description });
    }
    for view in views {
        let mut add = |notice, (summary, description)| {
            all.push(Holds { key: (notice, Some(view.name.clone())), summary, description });
        };
        if matches!(view.state, Standing::Blocked | Standing::Isolated) {
            add(Notice::Blocked, words::blocked(view));
        }
        let paused = !view.failover_ready.reasons.is_empty()
            && view.failover_ready.reasons.iter().all(|reason| reason.name == Guard::Paused);
        if !view.failover_ready.ready && !paused && !external.contains(&view.name) {
            add(Notice::NotReady, words::not_ready(view));
        }
        let reasons = view.switchover_ready.reasons.iter().chain(&view.failover_ready.reasons);
        if let Some(reason) = reasons.into_iter().find(|reason| reason.name == Guard::Journal) {
            add(Notice::Journal, words::journal(view, &reason.detail));
        }
        if let Some(operation) = view.operation.as_ref().filter(|operation| operation.outcome == Outcome::Waiting) {
            add(Notice::Approval, words::approval(operation));
        }
    }
    if let Some(problem) = refused {
        let (summary, description) = words::configuration(problem);
        all.push(Holds { key: (Notice::Configuration, None), summary, description });
    }
    all
}
