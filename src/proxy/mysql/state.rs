//! What is known of a session's state, from its commands and from what the node says of them.

use super::{door::Login, plan::Plan, relay::Answering};
use crate::protocol::mysql::{
    capability::{Capabilities, command as com, status},
    ok::{OkPacket, Tracker, put_tracker},
    packet,
};

/// The state of one session.
#[derive(Debug, Default)]
pub struct State {
    /// The command at the front of the inbox has had its pause.
    pub paused: bool,
    status: u16,
    /// The schema it is in.
    schema: Option<Box<[u8]>>,
    /// A transaction was lost with its node, and its application hasn't been told.
    doomed: bool,
}

impl State {
    /// A session that has just logged in.
    pub fn new(_login: &Login, schema: Option<&[u8]>) -> Self {
        Self { schema: schema.map(Into::into), status: status::AUTOCOMMIT, ..Self::default() }
    }

    /// `COM_RESET_CONNECTION`: as after the login.
    pub fn reset(&mut self) {
        let schema = self.schema.take();
        *self = Self { schema, status: status::AUTOCOMMIT, ..Self::default() };
    }

    /// The schema it is in.
    pub fn schema(&self) -> Option<&[u8]> {
        self.schema.as_deref()
    }

    /// True when a new connection can be brought into this state although the old one is gone.
    pub fn survives(&self) -> bool {
        true
    }

    /// Why it can't move now.
    pub fn stuck(&self) -> Option<String> {
        None
    }

    /// True once after [`Self::stuck`] may have changed.
    pub fn take_news(&mut self) -> bool {
        false
    }

    /// What has to be asked on the old connection before a move.
    pub fn question(&self) -> Option<String> {
        None
    }

    /// The answer to it.
    pub fn answered(&mut self, _answer: Option<&super::ask::Answer>) {}

    /// Appends the commands that bring a fresh connection into this state.
    pub fn replay(&mut self, _capabilities: Capabilities, bytes: &mut Vec<u8>, commands: &mut Vec<u8>) {
        if let Some(schema) = &self.schema {
            packet::command(bytes, com::INIT_DB, schema);
            commands.push(com::INIT_DB);
        }
    }

    /// Its connection is gone, and with it the node's ids of prepared statements.
    pub fn forget_backend(&mut self) {}

    /// If a transaction was open, it is gone, and the application will be told.
    pub fn transaction_lost(&mut self) {
        self.doomed |= self.status & status::IN_TRANS != 0;
        self.status &= !(status::IN_TRANS | status::IN_TRANS_READONLY);
    }

    /// The text of a prepared statement.
    pub fn text_of(&self, _statement: u32) -> Option<&[u8]> {
        None
    }

    /// The statement was prepared on the present connection under this id.
    pub fn prepared_again(&mut self, _statement: u32, _at_node: Option<u32>) {}

    /// True while something is open that only the application's own commands end.
    pub fn is_open(&self) -> bool {
        self.doomed || self.status & status::IN_TRANS != 0
    }

    /// True once for a transaction that was lost.
    pub fn take_doomed(&mut self) -> bool {
        std::mem::take(&mut self.doomed)
    }

    /// What a command is.
    pub fn plan(&mut self, command: u8, payload: &[u8], _whole: bool) -> Plan {
        // Only until the classification of statements is there.
        let text = payload.get(1..).unwrap_or_default();
        let text = if text.starts_with(&[0, 1]) { &text[2..] } else { text };
        let word: Vec<u8> = text.iter().take_while(|b| b.is_ascii_alphabetic()).map(u8::to_ascii_lowercase).collect();
        let query = command == com::QUERY;
        let reads = query && matches!(&word[..], b"select" | b"show");
        let ends = !query || matches!(&word[..], b"commit" | b"begin" | b"start" | b"rollback" | b"set");
        let rolls_back = query && word == b"rollback";
        Plan { reads, writes: query && !reads, ends, rolls_back, about_last: false }
    }

    /// A command was sent.
    pub fn sent(&mut self, _command: u8, _payload: &[u8], _plan: &Plan) {}

    /// An OK or EOF packet came. True if the application must get it rewritten.
    pub fn on_ok(&mut self, _packet: &[u8], status: u16, _of: &Answering) -> bool {
        self.status = status;
        status & status::SESSION_STATE_CHANGED != 0
    }

    /// An error ended the answer.
    pub fn on_error(&mut self, _number: u16, _of: &Answering) {}

    /// A statement was prepared. The id for the application, if it is another one.
    pub fn on_prepared(&mut self, _statement: u32, _columns: u16, _params: u16) -> Option<u32> {
        None
    }

    /// Appends an OK packet as the application is to see it.
    pub fn rewrite(&self, packet: &[u8], node: Capabilities, client: Capabilities, out: &mut Vec<u8>) {
        let Some((header, ok)) = packet::read(packet)
            .and_then(|(header, payload)| Some((header, OkPacket::read(payload, node).ok()?)))
        else {
            return out.extend_from_slice(packet);
        };
        let mut shown = Vec::new();
        if client.has(Capabilities::SESSION_TRACK) {
            ok.trackers().filter(|tracker| is_wanted(tracker)).for_each(|tracker| put_tracker(&mut shown, tracker));
        }
        packet::write_with(out, header.sequence, |out| ok.write(out, &shown));
    }
}

/// True for what servers tell by default.
fn is_wanted(tracker: &Tracker<'_>) -> bool {
    match tracker {
        Tracker::Schema(_) => true,
        Tracker::Variable { name, .. } => matches!(
            *name,
            b"time_zone" | b"autocommit" | b"character_set_client" | b"character_set_results" | b"character_set_connection"
        ),
        _ => false,
    }
}
