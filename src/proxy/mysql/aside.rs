//! Commands that are carried out step by step: another user, a clean session, a statement that has to be prepared again.
//!
//! Input: such a command at the front of the inbox. Output: its answer; a session whose state is what the command says. Never: a lock or a
//! temporary table of the session before it that outlives the answer.

use super::{
    ask::{self, AskError},
    door::{self, Refusal, Talk},
    local, open,
    session::{Aside, Session},
    state::State,
};
use crate::{
    protocol::mysql::{
        capability::command as com,
        packet::{self, HEADER, Header},
    },
    proxy::counters::Outcome,
};
use std::rc::Rc;

impl Session {
    /// Carries out the command at the front of the inbox. Returns false when the session ends.
    pub(super) async fn aside(&mut self, aside: Aside) -> bool {
        match aside {
            Aside::ChangeUser => self.change_user().await,
            Aside::Reset => self.reset().await,
            Aside::Track => self.track().await,
            Aside::Prepare(statement) => self.prepare_again(statement).await,
        }
    }

    /// Takes the command at the front of the inbox out of it, header and payload.
    fn take_command(&mut self) -> Vec<u8> {
        let len = Header::read(&self.inbox).map_or(0, |header| HEADER + header.len);
        self.inbox.drain(..len.min(self.inbox.len())).collect()
    }

    /// A clean session for the same user, on the same connection: session tracking is turned on again before the application goes on.
    async fn reset(&mut self) -> bool {
        let command = self.take_command();
        let Some(backend) = &mut self.backend else { return false };
        self.lane.began(&self.handle);
        let answer = ask::say(backend, &command, &[com::RESET_CONNECTION]).await;
        let done = match answer.map(|answers| answers.into_iter().next()) {
            Ok(Some(Ok(answer))) => {
                let status = answer.status;
                match open::track(&self.lane, backend).await {
                    Ok(()) => {
                        self.state.reset();
                        self.say(|out| local::ok(out, 1, status));
                        true
                    }
                    Err(_) => false,
                }
            }
            Ok(Some(Err(AskError::Refused(code, text)))) => {
                self.say(|out| local::error(out, 1, code, &text));
                true
            }
            _ => false,
        };
        self.lane.counters.count(Outcome::Answered, 1);
        self.idle_again();
        if !done {
            // Nothing of the old session is wanted any more, so that a new connection is as good.
            self.state.reset();
            self.drop_backend();
            self.say(|out| local::ok(out, 1, crate::protocol::mysql::capability::status::AUTOCOMMIT));
        }
        true
    }

    /// Has the node tell of changes again, after the application has turned that off.
    async fn track(&mut self) -> bool {
        let Some(backend) = &mut self.backend else { return true };
        match open::track(&self.lane, backend).await {
            Ok(()) => true,
            Err(_) => self.lost_idle().is_none(),
        }
    }

    /// Another user, or the same one again: what the old session held is given up before the new one begins.
    async fn change_user(&mut self) -> bool {
        let command = self.take_command();
        let payload = command.get(HEADER..).unwrap_or_default();
        let before = self.handle.login.borrow().clone();
        let mut unread = std::mem::take(&mut self.inbox);
        let mut talk = Talk::new(&mut self.client, &mut unread, 1);
        let changed = door::change(&self.lane, &mut talk, &self.handle, &before, payload).await;
        let sequence = talk.sequence;
        self.inbox = unread;
        self.stalled = false;
        let (login, schema) = match changed {
            Ok(changed) => changed,
            Err(Refusal::Told(code, text)) => {
                self.say(|out| local::error(out, sequence, code, &text));
                self.ending = true;
                return true;
            }
            Err(Refusal::Gone(_)) => return false,
        };
        if let Some(backend) = &mut self.backend {
            let mut bytes = Vec::new();
            packet::command(&mut bytes, com::RESET_CONNECTION, b"");
            // If the node is gone, so is what the session held there.
            let _ = ask::say(backend, &bytes, &[com::RESET_CONNECTION]).await;
        }
        self.drop_backend();
        self.handle.set_twin(None);
        self.state = State::new(&login, schema.as_deref());
        *self.handle.login.borrow_mut() = Rc::new(login);
        match self.connect(true).await {
            Ok(()) => {
                let status = self.backend.as_ref().map_or(0, |backend| backend.status);
                self.say(|out| local::ok(out, sequence, status));
            }
            Err(trouble) => {
                let (code, text) = trouble.told(&self.lane);
                self.say(|out| local::error(out, sequence, code, &text));
                self.ending = true;
            }
        }
        self.tell_lane();
        true
    }

    /// Prepares a statement on this connection that the application has prepared on another one.
    async fn prepare_again(&mut self, statement: u32) -> bool {
        let Some(backend) = &mut self.backend else { return true };
        let Some(text) = self.state.statements.text(statement) else { return false };
        let mut bytes = Vec::new();
        packet::command(&mut bytes, com::STMT_PREPARE, text);
        let answer = ask::say(backend, &bytes, &[com::STMT_PREPARE]).await;
        match answer.map(|answers| answers.into_iter().next()) {
            Ok(Some(Ok(answer))) => {
                self.state.statements.prepared_again(statement, answer.statement.unwrap_or_default());
                true
            }
            Ok(Some(Err(AskError::Refused(code, text)))) => {
                // As on a server whose table was changed under the statement: that command fails, the session goes on.
                self.refuse(code, &text);
                self.drop_command();
                true
            }
            _ => {
                let ends = self.lost_idle().is_some();
                !ends
            }
        }
    }
}
