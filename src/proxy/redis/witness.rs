//! Which process is at a node, where an application's user may not ask: asked with Pointsman's own login, on a connection of its
//! own that is opened behind the one in question.
//!
//! Input: an upstream that was just opened. Output: the process that answered there afterwards. It is the upstream's too if it is
//! the one that was served before: that one has kept its address all the time. Never: more than one such connection at a time,
//! however many upstreams are opened at once.

use super::{lane::Lane, open::enter};
use crate::{
    model::name::NodeAddress,
    protocol::redis::session::{Change, Login, Session},
    proxy::question::Question,
};
use std::{
    cell::RefCell,
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

/// Logins that may not ask are remembered up to this number: each refusal is an entry in the server's `ACL LOG`.
const MOST: usize = 1024;

/// What one lane knows of its node's process.
#[derive(Default)]
pub struct Witness {
    /// Digests of the commands that log in as who may not ask.
    denied: RefCell<HashSet<u64>>,
    /// Asked on one connection for all.
    process: Question<NodeAddress, Option<Box<str>>>,
}

impl Witness {
    /// True when who logs in by `setup` may not ask.
    pub fn is_denied(&self, setup: &[u8]) -> bool {
        let denied = self.denied.borrow();
        !denied.is_empty() && denied.contains(&digest(setup))
    }

    /// Remembers that.
    pub fn deny(&self, setup: &[u8]) {
        let mut denied = self.denied.borrow_mut();
        if denied.len() >= MOST {
            denied.clear();
        }
        denied.insert(digest(setup));
    }

    /// The process that answers at `node` on a connection that is opened from now on; `None` if nobody answers.
    pub async fn ask(&self, lane: &Lane, node: &NodeAddress) -> Option<Box<str>> {
        let put = async |node: &NodeAddress| {
            let mut setup = Vec::new();
            let replies = own_session(lane).open(&mut setup);
            enter(lane, node, &setup, replies, replies, true).await.ok().and_then(|upstream| upstream.process)
        };
        self.process.ask(node.clone(), put).await
    }
}

/// A session of Pointsman's own user.
fn own_session(lane: &Lane) -> Session {
    let mut session = Session::default();
    let settings = lane.seat.settings();
    if let Some(credentials) = &settings.credentials
        && let Some(password) = credentials.password.clone()
    {
        let user = credentials.username.as_ref().map(|user| user.as_bytes().into());
        session.apply(Change::Login(Arc::new(Login { user, password })));
    }
    session
}

fn digest(setup: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    setup.hash(&mut hasher);
    hasher.finish()
}
