//! What upstreams are told apart by.

use crate::protocol::redis::{
    Protocol,
    session::{Change, Login, Session},
};
use std::sync::Arc;

/// What an upstream is logged in as.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    login: Option<Arc<Login>>,
    database: u32,
    database_first: bool,
    protocol: Protocol,
}

impl Key {
    /// The key of a session.
    pub fn of(session: &Session) -> Self {
        Self {
            login: session.login().cloned(),
            database: session.database(),
            database_first: session.database_first(),
            protocol: session.protocol(),
        }
    }

    /// A session that is nothing but this key: what its upstream has to be told.
    pub fn session(&self) -> Session {
        let mut session = Session::default();
        let changes = [Change::Hello(Some(self.protocol), self.login.clone(), None), Change::Database(self.database)];
        if self.database_first {
            changes.into_iter().rev().for_each(|change| session.apply(change));
        } else {
            changes.into_iter().for_each(|change| session.apply(change));
        }
        session
    }
}
