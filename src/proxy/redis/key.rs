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
    /// Without a login: the answers of the server's door that came before it was let in.
    entry: u32,
}

impl Key {
    /// The key of a session that came in after so many answers of the door.
    pub fn of(session: &Session, entry: u32) -> Self {
        let login = session.login().cloned();
        let entry = if login.is_none() { entry } else { 0 };
        let (database, selector) = (session.database(), session.selector().clone());
        Self { login, database, selector, protocol: session.protocol(), entry }
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
