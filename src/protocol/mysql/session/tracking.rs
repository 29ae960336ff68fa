//! What a client wants to be told of its session's changes, and what of a node's trackers it gets.
//!
//! Pointsman has nodes tell everything. A client that took `CLIENT_SESSION_TRACK` gets what it would get without Pointsman, by the servers'
//! defaults or by what it set `session_track_...` to.

use super::super::ok::{Tracker, Trackers, put_tracker};
use super::super::sql::set::Value;

/// What has a node tell everything: sent first on every connection, and again after anything that undoes it.
pub const SETUP: &str = "SET SESSION session_track_system_variables='*', session_track_schema=ON, session_track_state_change=ON, \
                         session_track_transaction_info='CHARACTERISTICS'";

/// What is sent before that on the read port: a statement that writes unseen, in a stored function, is refused by whatever node it is on.
pub const READ_ONLY: &str = "SET SESSION TRANSACTION READ ONLY";

/// System variables that servers tell by default.
const DEFAULT: [&[u8]; 5] =
    [b"time_zone", b"autocommit", b"character_set_client", b"character_set_results", b"character_set_connection"];

/// What a client wants to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one for each tracker")]
pub struct Wanted {
    schema: bool,
    changed: bool,
    /// Names in lower case with commas between; `None` for the default.
    variables: Option<Box<[u8]>>,
    transaction: bool,
    characteristics: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { schema: true, changed: false, variables: None, transaction: false, characteristics: false }
    }
}

fn text(value: Value<'_>) -> Option<&[u8]> {
    match value {
        Value::Word(word) => Some(word),
        Value::Literal([b'\'' | b'"', inner @ .., b'\'' | b'"']) => Some(inner),
        Value::Literal(number) => Some(number),
        Value::Expression => None,
    }
}

impl Wanted {
    /// The client sets a variable. True if it is one by which it says what it wants to be told, and by which the node now tells no more than
    /// that: [`SETUP`] has to be sent again.
    pub fn set(&mut self, name: &[u8], value: Value<'_>) -> bool {
        let Some(rest) = name.strip_prefix(b"session_track_") else { return false };
        let value = text(value).unwrap_or_default().to_ascii_lowercase();
        let default = value == b"default";
        let on = matches!(&*value, b"on" | b"1" | b"true");
        match rest {
            b"schema" => self.schema = on || default,
            b"state_change" => self.changed = on,
            b"system_variables" => self.variables = if default { None } else { Some(value.into()) },
            b"transaction_info" => {
                self.characteristics = matches!(&*value, b"characteristics" | b"2");
                self.transaction = self.characteristics || matches!(&*value, b"state" | b"1");
            }
            // GTIDs are the client's own affair: they aren't asked for.
            _ => return false,
        }
        true
    }

    fn wants(&self, tracker: &Tracker<'_>) -> bool {
        match *tracker {
            Tracker::Variable { name, .. } => match self.variables.as_deref() {
                None => DEFAULT.contains(&name),
                Some(b"*") => true,
                Some(list) => list.split(|&byte| byte == b',').any(|one| one.trim_ascii() == name),
            },
            Tracker::Schema(_) => self.schema,
            Tracker::Changed(_) => self.changed,
            Tracker::Gtids(_) | Tracker::Other(_) => true,
            Tracker::Characteristics(_) => self.characteristics,
            Tracker::Transaction(_) => self.transaction,
        }
    }

    /// Appends those of a node's trackers that the client gets, encoded.
    pub fn filter(&self, trackers: Trackers<'_>, out: &mut Vec<u8>) {
        for tracker in trackers {
            if self.wants(&tracker) {
                put_tracker(out, tracker);
            }
        }
    }
}
