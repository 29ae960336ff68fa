//! Whether the process that is served still lives: one connection of Pointsman's own to it, kept, and asked again behind each login.
//!
//! A server says at once who it is (`server_uuid`), but takes longer to say since when than for the rest of a login. The witness was told that
//! once, when it was opened. If a session's connection leads to a server of the served identity, and the witness answers a question that was
//! put after that connection was greeted, then both lead to the same process: of two processes with one identity only one lives at a time.
//!
//! Input: a node, and which process is served there. Output: whether that one lived after the question was put. Never: more than one
//! question at a time, however many sessions log in at once; anything of an application's.

use super::{
    ask,
    door::Login,
    lane::Lane,
    open::{self, Backend, OpenError},
    process,
};
use crate::{
    model::name::NodeAddress,
    protocol::mysql::{
        capability::{Capabilities, command as com},
        packet,
    },
    proxy::question::Question,
};
use std::{cell::RefCell, sync::Arc, time::Duration};
use tokio::time::timeout;

/// A kept connection that doesn't answer for so long was forgotten on its way: another one is opened.
const BRIEFLY: Duration = Duration::from_millis(500);
/// As whom Pointsman logs in where the configuration names nobody.
const DEFAULT_USER: &str = "pointsman";

/// What is known of the served process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Living {
    /// It lives.
    Yes,
    /// Another process answers at its node.
    No,
    /// Nobody answers, or Pointsman isn't let in.
    Unknown,
}

/// The process that was asked for.
#[derive(Clone, PartialEq, Eq)]
struct Whom {
    node: NodeAddress,
    served: Arc<str>,
}

/// What one lane knows of the process that is served.
#[derive(Default)]
pub struct Witness {
    kept: RefCell<Option<(Whom, Backend)>>,
    living: Question<Whom, Living>,
}

impl Witness {
    /// Whether that process lives, by a question that is put from now on.
    pub async fn ask(&self, lane: &Lane, node: &NodeAddress, served: &Arc<str>, mariadb: bool) -> Living {
        let whom = Whom { node: node.clone(), served: Arc::clone(served) };
        self.living.ask(whom, async |whom: &Whom| self.put(lane, whom, mariadb).await).await
    }

    /// Closes its connection: the route has moved.
    pub fn dismiss(&self) {
        self.kept.borrow_mut().take();
    }

    async fn put(&self, lane: &Lane, whom: &Whom, mariadb: bool) -> Living {
        let kept = self.kept.borrow_mut().take();
        if let Some((of, mut kept)) = kept
            && of == *whom
            && matches!(timeout(BRIEFLY, answers(&mut kept)).await, Ok(true))
        {
            *self.kept.borrow_mut() = Some((of, kept));
            return Living::Yes;
        }
        let Ok(mut fresh) = log_in(lane, &whom.node).await else { return Living::Unknown };
        let Ok(mut answers) = ask::ask_all(&mut fresh, &[process::question(mariadb)]).await else {
            return Living::Unknown;
        };
        let row = answers.pop().and_then(|answer| answer.row).unwrap_or_default();
        if !process::is_served(&whom.served, &row) {
            return Living::No;
        }
        *self.kept.borrow_mut() = Some((whom.clone(), fresh));
        Living::Yes
    }
}

/// True if it says that it is there.
async fn answers(kept: &mut Backend) -> bool {
    let mut ping = Vec::new();
    packet::command(&mut ping, com::PING, b"");
    matches!(ask::say(kept, &ping, &[com::PING]).await.as_deref(), Ok([Ok(_)]))
}

/// A connection of Pointsman's own user.
async fn log_in(lane: &Lane, node: &NodeAddress) -> Result<Backend, OpenError> {
    let settings = lane.seat.settings();
    let (user, password) = settings.credentials.as_ref().map_or_else(Default::default, |credentials| {
        (credentials.username.as_deref(), credentials.password.clone().unwrap_or_default())
    });
    let login = Login {
        user: user.unwrap_or(DEFAULT_USER).into(),
        capabilities: Capabilities::default(),
        collation: open::UTF8MB4,
        attributes: Box::default(),
    };
    open::log_in(lane, node, &login, &password, None).await
}
