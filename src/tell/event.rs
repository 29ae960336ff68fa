//! One thing to tell, whatever the form.

use crate::{
    config::Notice,
    model::{name::ServiceName, record::Record},
};
use jiff::Timestamp;
use std::sync::Arc;

/// What an alert is about: of each pair there is one alert at a time.
pub(super) type Key = (Notice, Option<ServiceName>);

/// One thing to tell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    /// What sort.
    pub notice: Notice,
    /// The service; absent where it is about the whole process.
    pub svc: Option<ServiceName>,
    /// When it began.
    pub starts: Timestamp,
    /// When it was over; absent while it lasts.
    pub ends: Option<Timestamp>,
    /// One line.
    pub summary: String,
    /// What is known of it.
    pub description: String,
    /// The journal's record that says so, if one does.
    pub record: Option<Arc<Record>>,
}

impl Event {
    pub(super) fn key(&self) -> Key {
        (self.notice, self.svc.clone())
    }
}
