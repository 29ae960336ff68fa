//! `[groups.NAME]`: services that are switched together.
//!
//! Input: nothing; the reader builds it. Output: the settings that `control` reads. Never: anything of the services themselves.

use super::schema::Config;
use crate::model::{group::OnError, name::ServiceName};

/// Services that are switched together, in this order; each keeps its own epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// As a service's name, and no service has it.
    pub name: String,
    /// At least two; no service is in two groups.
    pub members: Vec<ServiceName>,
    /// What happens to the others when one can't be switched: stop, which is the default, or switch back.
    pub on_error: OnError,
}

impl Config {
    /// The group of that name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// The group that a service belongs to.
    pub fn group_of(&self, svc: &ServiceName) -> Option<&Group> {
        self.groups.iter().find(|group| group.members.contains(svc))
    }
}
