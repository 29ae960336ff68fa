//! Commands that are passed on with a change: prepared statements by the node's ids, `KILL` of Pointsman's own ids, `@@socket`.

use super::{
    command::Plan,
    plan::{Retry, Taken},
    session::{Aside, Need, Session},
    threads,
};
use crate::{
    protocol::mysql::{
        capability::command as com,
        error,
        packet::{self, HEADER, Header, MAX_PAYLOAD},
        session::{
            statements::{Execution, id_of},
            text::query_text,
        },
        sql::{Flags, Kind, Lexer, Token, kill::kill},
    },
    proxy::counters::Outcome,
};
use std::sync::atomic::Ordering::Relaxed;

/// The parameters' types of an execution stand within so many bytes: 65,535 parameters are the most, with two bytes and a bit each.
const TYPES: usize = 256 * 1024;
/// Where a prepared statement's id stands in a packet.
const ID: usize = HEADER + 1;

impl Session {
    /// Sends a command that names a prepared statement.
    pub(super) fn statement(&mut self, buf: &mut [u8], there: usize, whole: bool, plan: &Plan, retry: Retry) -> Taken {
        let payload = buf.get(HEADER..there).unwrap_or_default();
        let command = payload.first().copied().unwrap_or_default();
        let Some(id) = id_of(payload) else {
            self.refuse(error::MALFORMED, "Malformed communication packet");
            return Taken::Done(there);
        };
        if self.state.statements.get(id).is_none() {
            return self.unknown(command, id, there, whole);
        }
        let Some(at_node) = self.state.statements.at_node(id) else {
            if command == com::STMT_RESET && whole {
                // The node that it is prepared on next knows neither its cursor nor its long data.
                self.state.statements.reset(id);
                self.say_ok();
                return Taken::Done(there);
            }
            return Taken::Need(Need::Aside(Aside::Prepare(id)));
        };
        let execution = if matches!(command, com::STMT_EXECUTE | com::STMT_BULK_EXECUTE) {
            self.state.statements.execution(payload, whole, self.state.capabilities())
        } else {
            Execution::Ready
        };
        let length = Header::read(buf).map_or(there, |header| HEADER + header.len);
        if execution == Execution::More && there < length.min(TYPES) {
            return Taken::Wait;
        }
        if execution == Execution::Types {
            let mut typed = vec![0; HEADER];
            self.state.statements.with_types(payload, self.state.capabilities(), &mut typed);
            // What isn't there yet follows as it is: only the length has to say that there is more of it.
            let len = length - there + typed.len() - HEADER;
            if len < MAX_PAYLOAD {
                typed.splice(..HEADER, Header { len, sequence: 0 }.bytes());
                if let Some(place) = typed.get_mut(ID..ID + 4) {
                    place.copy_from_slice(&at_node.to_le_bytes());
                }
                let payload = payload.to_vec();
                return self.pass_instead(&typed, there, whole, &payload, plan, retry);
            }
        }
        if execution != Execution::Ready {
            self.cut("pointsman: an execution of 16 MB can't be the first one on another node");
            return Taken::Done(there);
        }
        if at_node == id {
            return self.pass(buf, there, whole, plan, retry);
        }
        // The state knows it by the application's id, the node by its own.
        self.state.sent(command, payload, whole, plan.statement);
        if let Some(place) = buf.get_mut(ID..ID + 4) {
            place.copy_from_slice(&at_node.to_le_bytes());
        }
        self.send(buf, command, retry)
    }

    /// Answers for a statement that nobody has prepared, as a server does.
    fn unknown(&mut self, command: u8, id: u32, there: usize, whole: bool) -> Taken {
        if command != com::STMT_SEND_LONG_DATA {
            let of = match command {
                com::STMT_FETCH => "mysqld_stmt_fetch",
                com::STMT_RESET => "mysqld_stmt_reset",
                _ => "mysqld_stmt_execute",
            };
            self.refuse(error::UNKNOWN_STATEMENT, &format!("Unknown prepared statement handler ({id}) given to {of}"));
        }
        if whole { Taken::Done(there) } else { Taken::Need(Need::End) }
    }

    /// Forgets a prepared statement here, and at the node if it knows it.
    pub(super) fn close(&mut self, buf: &mut [u8], there: usize) -> Taken {
        let id = id_of(buf.get(HEADER..there).unwrap_or_default()).unwrap_or_default();
        let at_node = self.state.statements.close(id);
        self.tell_lane();
        let (Some(at_node), true) = (at_node, self.backend.is_some()) else { return Taken::Done(there) };
        if let Some(place) = buf.get_mut(ID..ID + 4) {
            place.copy_from_slice(&at_node.to_le_bytes());
        }
        self.send(buf, com::STMT_CLOSE, Retry::Never)
    }

    /// Sends a statement's text, or the old `KILL`.
    pub(super) fn special(&mut self, buf: &mut [u8], there: usize, whole: bool, plan: &Plan, retry: Retry) -> Taken {
        let command = buf.get(HEADER).copied().unwrap_or_default();
        if command == com::PROCESS_KILL {
            return self.kill_by_command(buf, there, plan);
        }
        if plan.statement.kind == Kind::Kill && whole {
            return self.kill_by_text(buf, there, plan);
        }
        if plan.statement.flags.any(Flags::SOCKET) {
            self.hide_socket(buf.get_mut(HEADER..there).unwrap_or_default());
        }
        self.pass(buf, there, whole, plan, retry)
    }

    /// The node's id of the connection that Pointsman has given this id. An error if there is no such connection; `None` for an id that isn't
    /// Pointsman's.
    fn victim(&mut self, id: u64, query: bool) -> Result<Option<u64>, ()> {
        let Ok(id) = u32::try_from(id) else { return Ok(None) };
        if id < threads::FIRST {
            return Ok(None);
        }
        let found = self.lane.threads.find(id);
        let at_node = found.as_ref().map_or(0, |thread| thread.at_node.load(Relaxed));
        let (Some(thread), 1..) = (found, at_node) else {
            self.refuse(error::NO_SUCH_THREAD, &format!("Unknown thread id: {id}"));
            return Err(());
        };
        if !query {
            // Before the node ends its connection, so that the session isn't taken for one that lost its node.
            thread.killed.store(true, Relaxed);
            self.victim = Some(thread);
        }
        Ok(Some(at_node))
    }

    fn kill_by_command(&mut self, buf: &mut [u8], there: usize, plan: &Plan) -> Taken {
        let id = id_of(buf.get(HEADER..there).unwrap_or_default()).unwrap_or_default();
        match self.victim(id.into(), false) {
            Err(()) => return Taken::Done(there),
            Ok(None) => {}
            Ok(Some(at_node)) => {
                let at_node = u32::try_from(at_node).unwrap_or_default();
                if let Some(place) = buf.get_mut(ID..ID + 4) {
                    place.copy_from_slice(&at_node.to_le_bytes());
                }
            }
        }
        self.pass(buf, there, true, plan, Retry::Never)
    }

    fn kill_by_text(&mut self, buf: &mut [u8], there: usize, plan: &Plan) -> Taken {
        let payload = buf.get(HEADER..there).unwrap_or_default();
        let start = query_text(payload, self.state.capabilities()).unwrap_or(1);
        let Some(meant) = kill(payload.get(start..).unwrap_or_default(), self.state.dialect()) else {
            return self.pass(buf, there, true, plan, Retry::Never);
        };
        match self.victim(meant.id, meant.query) {
            Err(()) => Taken::Done(there),
            Ok(None) => self.pass(buf, there, true, plan, Retry::Never),
            Ok(Some(at_node)) => {
                let (before, behind) = (start + meant.digits.start, start + meant.digits.end);
                let digits = at_node.to_string();
                let parts = [
                    payload.get(..before).unwrap_or_default(),
                    digits.as_bytes(),
                    payload.get(behind..).unwrap_or_default(),
                ];
                let changed = parts.concat();
                let mut out = Vec::new();
                packet::write(&mut out, 0, &changed);
                self.pass_instead(&out, there, true, &changed, plan, Retry::Never)
            }
        }
    }

    /// Puts an empty string in the place of `@@socket`, by which some drivers walk round a local proxy: some fail at NULL. The text's length
    /// stays the same.
    fn hide_socket(&mut self, payload: &mut [u8]) {
        let start = query_text(payload, self.state.capabilities()).unwrap_or(1);
        let Some(text) = payload.get(start..) else { return };
        let mut places = Vec::new();
        let mut lexer = Lexer::new(text, self.state.dialect());
        // Where `@@GLOBAL` stands, if the last tokens were that and a dot.
        let (mut scope, mut dot) = (None, false);
        while let Some(token) = lexer.next() {
            let span = lexer.span();
            match token {
                Token::System(name) if name.eq_ignore_ascii_case(b"socket") => places.push(span),
                Token::System(_) => (scope, dot) = (Some(span.start), false),
                Token::Symbol(b'.') if scope.is_some() => dot = true,
                Token::Word(name) if dot && name.eq_ignore_ascii_case(b"socket") && scope.is_some() => {
                    places.push(scope.take().unwrap_or(span.start)..span.end);
                }
                _ => (scope, dot) = (None, false),
            }
        }
        for place in places {
            if let Some(bytes) = payload.get_mut(start + place.start..start + place.end) {
                bytes.fill(b' ');
                if let Some(nothing) = bytes.get_mut(..2) {
                    nothing.copy_from_slice(b"''");
                }
            }
        }
    }

    /// Answers for the node that nothing was affected.
    fn say_ok(&mut self) {
        self.lane.counters.count(Outcome::Local, 1);
        let status = self.state.status();
        self.say(|out| super::local::ok(out, 1, status));
    }
}
