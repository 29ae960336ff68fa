//! What to do with a command: pass it on, let it wait, refuse it, or carry it out step by step.
//!
//! Input: a command, the session's state, the gate. Output: it is sent, or what it needs. Never: a guess whether a statement may be sent
//! again: what isn't understood may not.

use super::{
    command::Plan,
    lane::Gate,
    session::{Aside, Need, Session},
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
        if let Some(taken) = self.not_served(command, whole, there) {
            return taken;
        }
        let plan = self.state.plan(command, packet.get(HEADER..).unwrap_or_default(), whole);
        if let Some(taken) = self.gate(&plan, whole, there) {
            return taken;
        }
        match command {
            com::CHANGE_USER if whole => return Taken::Need(Need::Aside(Aside::ChangeUser)),
            com::STMT_CLOSE if whole => return self.close(buf, there),
            _ => {}
        }
        if self.backend.is_none() {
            return self.without_backend(&plan, whole, there);
        }
        if command == com::RESET_CONNECTION && whole {
            return Taken::Need(Need::Aside(Aside::Reset));
        }
        if let Some(pause) =
            self.lane.pause().filter(|_| plan.may_pause() && !self.state.paused && !self.state.is_open())
        {
            return Taken::Need(Need::Pause(pause));
        }
        let retry = match plan {
            _ if self.state.in_transaction() && !plan.ends => Retry::InTransaction,
            Plan { reads: true, .. } if whole && !self.state.is_open() => Retry::Reads,
            _ => Retry::Never,
        };
        // Rows of a bulk execution are executed one by one.
        let one = plan.is_one() && command != com::STMT_BULK_EXECUTE;
        // What is guarded because time has run out isn't tried again either.
        let may_wait = self.lane.gate() != Gate::Guarded || self.lane.seat.mode() == Mode::ReadOnly;
        if whole && one && !self.state.is_open() && may_wait {
            self.keep(packet);
        }
        self.state.paused = false;
        match command {
            com::QUERY | com::PROCESS_KILL => self.special(buf, there, whole, &plan, retry),
            com::STMT_EXECUTE
            | com::STMT_BULK_EXECUTE
            | com::STMT_FETCH
            | com::STMT_SEND_LONG_DATA
            | com::STMT_RESET => self.statement(buf, there, whole, &plan, retry),
            _ => self.pass(buf, there, whole, &plan, retry),
        }
    }

    /// Commands that end the session, or that nobody may send through Pointsman.
    fn not_served(&mut self, command: u8, whole: bool, there: usize) -> Option<Taken> {
        match command {
            com::QUIT => Some(Taken::Need(Need::End)),
            com::BINLOG_DUMP
            | com::BINLOG_DUMP_GTID
            | com::REGISTER_SLAVE
            | com::CLONE
            | com::SUBSCRIBE_GROUP_REPLICATION_STREAM => {
                let text = "pointsman: replication doesn't go through Pointsman: connect to the node";
                self.refuse(error::UNKNOWN_COMMAND, text);
                Some(done(whole, there))
            }
            _ => None,
        }
    }

    /// There is no connection: one is needed, unless the command belongs to a transaction that was lost with the last one.
    fn without_backend(&mut self, plan: &Plan, whole: bool, there: usize) -> Taken {
        if self.state.take_doomed() && !plan.rolls_back {
            self.tell_lane();
            self.refuse(error::DEADLOCK, DOOMED);
            return done(whole, there);
        }
        Taken::Need(Need::Backend)
    }

    /// Keeps a copy of a command, so that it can be sent again.
    fn keep(&mut self, packet: &[u8]) {
        if self.kept.capacity() == 0 {
            self.kept = self.lane.desk.pool.take();
        }
        self.kept.clear();
        self.kept.extend_from_slice(packet);
    }

    /// Sends a command as it is.
    pub(super) fn pass(&mut self, buf: &[u8], there: usize, whole: bool, plan: &Plan, retry: Retry) -> Taken {
        let payload = buf.get(HEADER..there).unwrap_or_default();
        let command = payload.first().copied().unwrap_or_default();
        self.state.sent(command, payload, whole, plan.statement);
        self.send(buf, command, retry)
    }

    /// Sends another command in the place of the one at the front of `buf`.
    pub(super) fn pass_instead(
        &mut self,
        instead: &[u8],
        there: usize,
        whole: bool,
        payload: &[u8],
        plan: &Plan,
        retry: Retry,
    ) -> Taken {
        let command = payload.first().copied().unwrap_or_default();
        self.state.sent(command, payload, whole, plan.statement);
        match self.send(instead, command, retry) {
            Taken::Done(_) => Taken::Done(there),
            other => other,
        }
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
        let view = self.lane.seat.view();
        let refused = match view.route.mode {
            Mode::ReadOnly if plan.writes => {
                let why = if self.lane.seat.board.reads { "this is the read port of" } else { "mode read_only of" };
                let text = format!(
                    "The MySQL server is running with the --read-only option so it cannot execute this statement \
                     (pointsman: {why} service {})",
                    view.settings.name
                );
                Some((error::OPTION_PREVENTS, text))
            }
            Mode::Closed => Some((error::SHUTDOWN, super::wait::excuse(&self.lane))),
            Mode::Hold if !self.goes_on(plan) => Some((error::SHUTDOWN, super::wait::excuse(&self.lane))),
            _ => None,
        };
        let (code, text) = refused?;
        self.refuse(code, &text);
        Some(done(whole, there))
    }

    /// True for a command that must run where the session is: it belongs to what is open there, or asks about what was.
    fn goes_on(&self, plan: &Plan) -> bool {
        self.backend.is_some() && (self.state.is_open() || plan.about_last)
    }
}

/// A command was answered without having been sent: what isn't there of it can't be told from the next one.
fn done(whole: bool, there: usize) -> Taken {
    if whole { Taken::Done(there) } else { Taken::Need(Need::End) }
}

/// What the application is told whose transaction was lost with its node.
pub const DOOMED: &str =
    "pointsman: the transaction was rolled back because its node was lost; try restarting transaction";
