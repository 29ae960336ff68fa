//! What to do with a command: pass it on, let it wait, refuse it, or carry it out step by step.
//!
//! Input: a command, the session's state, the gate. Output: it is sent, or what it needs. Never: a guess whether a statement may be sent
//! again: what isn't understood may not.

use super::{
    lane::Gate,
    session::{Aside, Need, Session},
    threads,
};
use crate::{
    model::route::Mode,
    protocol::mysql::{
        capability::command as com,
        error,
        packet::{HEADER, Header},
    },
};

/// Commands up to this length are read whole before they are passed on, so that all of them is known. Longer ones are judged by their beginning.
const WHOLE: usize = 64 * 1024;
/// That much of a longer one is read first.
const BEGINNING: usize = 4 * 1024;

/// What may be done with a command whose node was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It only reads: it may be sent again if nothing of its answer was delivered.
    Reads,
    /// It belongs to a transaction, which is lost with the node, and doesn't end it.
    InTransaction,
    /// Whether it was executed is known to nobody.
    Never,
}

/// What became of a command.
pub enum Taken {
    /// So many bytes are done with.
    Done(usize),
    /// More bytes are needed, or the route.
    Wait,
    /// It needs something else first.
    Need(Need),
}

/// A command as far as it was understood.
pub struct Plan {
    /// It may be sent again after it was executed: it reads only.
    pub reads: bool,
    /// It may change data.
    pub writes: bool,
    /// It ends a transaction, or may.
    pub ends: bool,
    /// It asks about the statement before it: only that one's connection knows.
    pub about_last: bool,
}

impl Session {
    /// Handles the command at the front of `buf`.
    pub(super) fn command(&mut self, buf: &mut [u8]) -> Taken {
        let Some(header) = Header::read(buf) else { return Taken::Wait };
        if header.sequence != 0 {
            self.refuse(error::OUT_OF_ORDER, "Got packets out of order");
            self.ending = true;
            return Taken::Done(buf.len());
        }
        if header.len == 0 {
            self.refuse(error::UNKNOWN_COMMAND, "Unknown command");
            return Taken::Done(HEADER);
        }
        let there = buf.len().min(HEADER + header.len);
        let whole = there == HEADER + header.len && !header.continues();
        if !whole && (header.len <= WHOLE || there < BEGINNING) {
            return Taken::Wait;
        }
        let Some(packet) = buf.get_mut(..there) else { return Taken::Wait };
        let Some(&command) = packet.get(HEADER) else { return Taken::Wait };
        match command {
            com::QUIT => return Taken::Need(Need::End),
            com::BINLOG_DUMP
            | com::BINLOG_DUMP_GTID
            | com::REGISTER_SLAVE
            | com::CLONE
            | com::SUBSCRIBE_GROUP_REPLICATION_STREAM => {
                self.refuse(
                    error::UNKNOWN_COMMAND,
                    "pointsman: replication doesn't go through Pointsman: connect to the node",
                );
                return if whole { Taken::Done(there) } else { Taken::Need(Need::End) };
            }
            _ => {}
        }
        let plan = self.state.plan(command, packet.get(HEADER..).unwrap_or_default(), whole);
        if let Some(taken) = self.gate(&plan, whole, there) {
            return taken;
        }
        match command {
            com::CHANGE_USER if whole => return Taken::Need(Need::Aside(Aside::ChangeUser)),
            com::RESET_CONNECTION if whole => return Taken::Need(Need::Aside(Aside::Reset)),
            com::PROCESS_KILL if whole => self.translate_kill(packet),
            _ => {}
        }
        if self.backend.is_none() {
            if self.state.take_doomed() {
                self.refuse(error::DEADLOCK, DOOMED);
                return if whole { Taken::Done(there) } else { Taken::Need(Need::End) };
            }
            return Taken::Need(Need::Backend);
        }
        let retry = match plan {
            _ if self.state.is_open() && !plan.ends => Retry::InTransaction,
            Plan { reads: true, .. } if whole && !self.state.is_open() => Retry::Reads,
            _ => Retry::Never,
        };
        self.state.sent(command, packet.get(HEADER..).unwrap_or_default(), &plan);
        self.state.paused = false;
        let keep = whole && !self.state.is_open();
        self.send(buf, command, retry, keep)
    }

    /// What the gate has against a command.
    fn gate(&mut self, plan: &Plan, whole: bool, there: usize) -> Option<Taken> {
        match self.lane.gate() {
            Gate::Open => return None,
            Gate::Hold if self.goes_on(plan) => return None,
            Gate::Hold => {
                self.lane.park(&self.handle);
                return Some(Taken::Wait);
            }
            Gate::Guarded => {}
        }
        let view = self.lane.view();
        let refused = match view.route.mode {
            Mode::ReadOnly if plan.writes => Some((
                error::OPTION_PREVENTS,
                format!(
                    "The MySQL server is running with the --read-only option so it cannot execute this statement \
                     (pointsman: service {} is in mode read_only)",
                    view.settings.name
                ),
            )),
            Mode::Closed => Some((error::SHUTDOWN, super::wait::excuse(&self.lane))),
            Mode::Hold if !self.goes_on(plan) => Some((error::SHUTDOWN, super::wait::excuse(&self.lane))),
            _ => None,
        };
        let (code, text) = refused?;
        self.refuse(code, &text);
        Some(if whole { Taken::Done(there) } else { Taken::Need(Need::End) })
    }

    /// True for a command that must run where the session is: it belongs to what is open there, or asks about what was.
    fn goes_on(&self, plan: &Plan) -> bool {
        self.backend.is_some() && (self.state.is_open() || plan.about_last)
    }

    /// Puts the node's id in the place of Pointsman's own.
    fn translate_kill(&mut self, packet: &mut [u8]) {
        let Some(id) = packet.get_mut(HEADER + 1..HEADER + 5) else { return };
        let Ok(bytes) = <[u8; 4]>::try_from(&*id) else { return };
        let asked = u32::from_le_bytes(bytes);
        if asked >= threads::FIRST
            && let Some(thread) = self.lane.threads.find(asked)
        {
            let at_node = thread.at_node.load(std::sync::atomic::Ordering::Relaxed);
            thread.killed.store(true, std::sync::atomic::Ordering::Relaxed);
            id.copy_from_slice(&u32::try_from(at_node).unwrap_or_default().to_le_bytes());
        }
    }
}

/// What the application is told whose transaction was lost with its node.
pub const DOOMED: &str =
    "pointsman: the transaction was rolled back because its node was lost; try restarting transaction";
