//! What upstreams are told apart by.

use crate::protocol::redis::{
    Protocol,
    session::{Change, Login, Selector, Session},
};
use std::sync::Arc;

/// What an upstream is logged in as.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    login: Option<Arc<Login>>,
    database: u32,
    selector: Selector,
    protocol: Protocol,
}

impl Key {
    /// The key of a session.
    pub fn of(session: &Session) -> Self {
        Self {
            login: session.login().cloned(),
            database: session.database(),
            selector: session.selector().clone(),
            protocol: session.protocol(),
        }
    }

    /// A session that is nothing but this key: what its upstream has to be told.
    pub fn session(&self) -> Session {
        let mut session = Session::default();
        session.apply(Change::Hello(Some(self.protocol), self.login.clone(), None));
        session.apply(Change::Database(self.database));
        session.set_selector(self.selector.clone());
        session
    }
}
