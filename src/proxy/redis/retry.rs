//! The one rule of what is sent again: a command that the node proves not to have executed, by a role or state that a flip
//! changes, if nothing later of its client was executed.
//!
//! Input: error replies. Output: requests put aside until the route moves or the node is ready, then sent again in order; or,
//! when that takes too long or something later was executed, the errors as they came.

use super::{
    ask::{Answer, Ask},
    client::Client,
    lane::Lane,
    pinned::Pinned,
    queue::{Entry, Queue},
    settle::spoil,
    shared::Shared,
};
use crate::{
    config::Replication,
    model::route::Mode,
    protocol::redis::{
        command::Retry,
        reply::ErrorKind,
        scan::{Reply, ReplyKind},
        session::{Change, Session},
    },
    proxy::counters::Outcome,
};
use std::{
    collections::VecDeque,
    rc::Rc,
    time::{Duration, Instant},
};

/// How long after a refusal the same node is asked again.
const AGAIN: Duration = Duration::from_millis(100);
/// What EXEC says when the node refused the whole transaction for its role or state.
const ABORTED: &[u8] = b"-EXECABORT Transaction discarded because of: ";

/// True for an error that proves that the command was not executed and that may be gone after a flip.
pub fn is_passing(lane: &Lane, reply: Reply, bytes: &[u8]) -> bool {
    if reply.kind != ReplyKind::Error || reply.streamed {
        return false;
    }
    let text = bytes.strip_prefix(ABORTED).or(bytes.strip_prefix(b"-")).unwrap_or_default();
    let word = text.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let view = lane.seat.view();
    let passing = match ErrorKind::of(word) {
        // On the read port a node is read only, and stays so.
        ErrorKind::WrongNode => !lane.seat.board.reads || word != b"READONLY",
        // Our fence while a switch is under way, and just after it a new primary that its standbys don't follow yet; otherwise the
        // application's own setting.
        ErrorKind::NoReplicas => view.route.mode == Mode::Hold || view.next.is_some() || lane.is_settling(),
        _ => false,
    };
    let roles_move = view.settings.replication != Replication::None;
    passing && roles_move && lane.outage().is_none_or(|outage| outage < view.settings.failover.hold_timeout)
}

struct Refused {
    entry: Entry,
    request: Vec<u8>,
    error: Vec<u8>,
}

/// Requests that were refused, oldest first.
#[derive(Default)]
pub struct Aside {
    refused: VecDeque<Refused>,
    since: Option<Instant>,
}

impl Aside {
    /// Puts a request aside. Its client sends nothing more until it is dealt with.
    pub fn put(&mut self, lane: &Lane, entry: Entry, request: &[u8], error: &[u8]) {
        lane.wrong_role();
        entry.client.hold(true);
        self.since.get_or_insert_with(Instant::now);
        self.refused.push_back(Refused { entry, request: request.to_vec(), error: error.to_vec() });
    }

    /// True for a request whose client has others put aside: they were executed out of order if this one was.
    pub fn concerns(&self, entry: &Entry) -> bool {
        entry.client.is_held() && self.refused.iter().any(|refused| Rc::ptr_eq(&refused.entry.client, &entry.client))
    }

    /// Delivers the errors that wait for the client of `entry`.
    pub fn give_up(&mut self, entry: &Entry) {
        self.refused.retain(|refused| {
            let other = !Rc::ptr_eq(&refused.entry.client, &entry.client);
            if !other {
                refused.deliver();
            }
            other
        });
        entry.client.hold(false);
    }

    /// Delivers all errors that wait.
    pub fn give_up_all(&mut self) {
        self.since = None;
        for refused in self.refused.drain(..) {
            refused.deliver();
            refused.entry.client.hold(false);
        }
    }

    /// True when it is time to ask the same node again.
    pub fn is_due(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() > AGAIN)
    }

    /// Takes everything out, to be sent again.
    pub fn take(&mut self, lane: &Lane) -> Vec<(Vec<u8>, Entry)> {
        self.since = None;
        lane.counters.count(Outcome::Retried, self.refused.len() as u64);
        let again = |refused: Refused| {
            refused.entry.client.hold(false);
            (refused.request, refused.entry)
        };
        self.refused.drain(..).map(again).collect()
    }
}

impl Refused {
    fn deliver(&self) {
        let client = &self.entry.client;
        client.say(|out| out.extend_from_slice(&self.error));
        client.flush();
        client.answered(1);
    }
}

impl Shared {
    /// Puts the oldest request aside if its error may pass; false if the error is to be delivered.
    pub(super) fn put_aside(&self, lane: &Lane, queue: &mut Queue<Entry>, reply: Reply, bytes: &[u8]) -> bool {
        let error = bytes.get(..reply.len).unwrap_or_default();
        if !is_passing(lane, reply, error) || queue.front().is_none_or(|entry| entry.retry == Retry::Never) {
            return false;
        }
        let request = queue.front_bytes().to_vec();
        let Some(entry) = queue.answered() else { return false };
        self.aside.borrow_mut().put(lane, entry, &request, error);
        true
    }

    /// Sends again what was refused, before anything new.
    pub(super) fn send_again(&self, lane: &Lane) {
        let mut again = self.aside.borrow_mut().take(lane);
        if again.is_empty() {
            return;
        }
        let mut queue = self.queue.borrow_mut();
        // What was never sent waits behind: its clients have nothing put aside, so any order among clients will do.
        for (request, entry) in again.drain(..) {
            queue.push(&request, entry);
        }
    }

    /// Looks after what was refused: asks the same node again after a while, or delivers the errors when time has run out.
    pub fn look_after(&self, lane: &Lane, over: bool) {
        if over {
            self.aside.borrow_mut().give_up_all();
        } else if self.is_up() && lane.seat.mode() != Mode::Hold && self.aside.borrow().is_due() {
            self.send_again(lane);
            self.flush();
        }
    }
}

/// A request that was refused on a pinned upstream.
pub struct Refusal {
    /// Its bytes.
    pub request: Vec<u8>,
    /// What is known of it.
    pub ask: Ask,
    /// The node's words.
    pub error: Box<[u8]>,
}

impl Pinned {
    /// Puts the oldest request aside if its error may pass; false if the reply is to be delivered. What can't be asked again for
    /// itself, or blocks and so tells nothing of whether it runs, is only put aside when nothing else is unanswered.
    pub(super) fn put_aside(&mut self, lane: &Lane, reply: Reply, error: &[u8]) -> bool {
        let alone = self.refused.is_empty() && self.queue.len() == 1;
        let may = |ask: &Ask| ask.may_be_asked_again() && (alone || (ask.block.is_none() && ask.answer == Answer::One));
        let again = self.queue.entries().all(may);
        if !again || !is_passing(lane, reply, error) || self.queue.front_bytes().is_empty() {
            return false;
        }
        let request = self.queue.front_bytes().to_vec();
        let Some(ask) = self.queue.answered() else { return false };
        lane.wrong_role();
        self.refused.push(Refusal { request, ask, error: error.into() });
        true
    }

    /// Something later was answered, so what was refused is not asked again.
    pub(super) fn deliver_refusals(&mut self, client: Option<&Client>, session: &mut Session) {
        for refusal in self.refused.drain(..) {
            spoil(session, &refusal.ask);
            if refusal.ask.change.as_deref() == Some(&Change::Exec) {
                session.exec_failed();
            }
            if let Some(client) = client {
                client.deliver(&refusal.error, true);
            }
        }
    }
}
