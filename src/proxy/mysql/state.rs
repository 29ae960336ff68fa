//! What is known of a session's state, from its commands and from what the node says of them.

use super::{door::Login, plan::Plan, relay::Answering};
use crate::protocol::mysql::capability::{Capabilities, command as com, status};

/// The state of one session.
#[derive(Debug, Default)]
pub struct State {
    /// The command at the front of the inbox has had its pause.
    pub paused: bool,
    status: u16,
    /// The schema it is in.
    pub schema: Option<Box<[u8]>>,
    /// A transaction was lost with its node, and its application hasn't been told.
    doomed: bool,
}

impl State {
    /// A session that has just logged in.
    pub fn new(_login: &Login, schema: Option<&[u8]>) -> Self {
        Self { schema: schema.map(Into::into), status: status::AUTOCOMMIT, ..Self::default() }
    }

    /// True while something is open that only the application's own commands end.
    pub fn is_open(&self) -> bool {
        self.doomed || self.status & status::IN_TRANS != 0
    }

    /// True once for a transaction that was lost.
    pub fn take_doomed(&mut self) -> bool {
        std::mem::take(&mut self.doomed)
    }

    /// What a command is.
    pub fn plan(&mut self, command: u8, _payload: &[u8], _whole: bool) -> Plan {
        let writes = matches!(command, com::QUERY | com::STMT_EXECUTE);
        Plan { reads: !writes, writes, ends: writes, about_last: false }
    }

    /// A command was sent.
    pub fn sent(&mut self, _command: u8, _payload: &[u8], _plan: &Plan) {}

    /// An OK or EOF packet came. True if the application must get it rewritten.
    pub fn on_ok(&mut self, _packet: &[u8], status: u16, _of: &Answering, _client: Capabilities) -> bool {
        self.status = status;
        false
    }

    /// An error ended the answer.
    pub fn on_error(&mut self, _number: u16, _of: &Answering) {}

    /// A statement was prepared. The id for the application, if it is another one.
    pub fn on_prepared(&mut self, _statement: u32, _columns: u16, _params: u16) -> Option<u32> {
        None
    }

    /// Appends an OK packet as the application is to see it.
    pub fn rewrite(&self, packet: &[u8], _client: Capabilities, out: &mut Vec<u8>) {
        out.extend_from_slice(packet);
    }
}
