//! Writes drafts through the coordinator and tells the followers of events what became durable.

use super::feed::{Event, Feed};
use crate::{
    coord::{CoordError, Coordinator, Keep},
    model::{
        record::{Change, Draft, Record, RecordKind},
        state::Removed,
    },
};
use std::sync::Arc;

/// The journal as control writes it. Cloning one is cheap.
#[derive(Clone)]
pub(super) struct Recorder {
    coordinator: Arc<dyn Coordinator>,
    feed: Arc<Feed>,
}

impl Recorder {
    /// A recorder of that journal, for those followers.
    pub fn new(coordinator: Arc<dyn Coordinator>, feed: Arc<Feed>) -> Self {
        Self { coordinator, feed }
    }

    /// Makes the drafts durable together, then shows them.
    pub async fn append(&self, drafts: Vec<Draft>) -> Result<Vec<Record>, CoordError> {
        let records = self.coordinator.append(drafts).await?;
        for record in &records {
            self.feed.publish(Event::Journal(Arc::new(record.clone())));
        }
        Ok(records)
    }

    /// Lets old parts of the journal go, and shows the record of that.
    pub async fn retain(&self, keep: Keep) -> Result<Option<Removed>, CoordError> {
        let record = self.coordinator.retain(keep).await?;
        let removed = record.as_ref().and_then(|record| match &record.detail {
            Change::Removed { removed } => Some(removed.clone()),
            _ => None,
        });
        if let Some(record) = record {
            self.feed.publish(Event::Journal(Arc::new(record)));
        }
        Ok(removed)
    }

    /// Records something of the whole process. A journal that can't be written is logged, since there is nobody to refuse.
    pub async fn note(&self, kind: RecordKind, actor: &str, change: Change) {
        let draft = Draft { svc: None, kind, actor: actor.to_owned(), reason: String::new(), epoch: None, change };
        if let Err(error) = self.append(vec![draft]).await {
            tracing::error!(error = error.detail, "a record could not be written");
        }
    }

    /// The followers' events.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// The journal itself.
    pub fn coordinator(&self) -> &Arc<dyn Coordinator> {
        &self.coordinator
    }
}
