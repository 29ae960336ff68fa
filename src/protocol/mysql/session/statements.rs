//! Prepared statements by the client's own ids, which stay the same whatever node the session is on.
//!
//! Input: the commands of a session, and what the node answers to them. Output: the node's id of each statement, the text to prepare it again
//! where the node doesn't know it, and the parameters' types where it was told none. On the first node the ids are the node's own, so that
//! nothing has to be rewritten. Never: values of parameters.
//!
//! Source: the manual's "Prepared Statements", `COM_STMT_EXECUTE`, `COM_STMT_SEND_LONG_DATA`, `COM_STMT_FETCH`.

use std::collections::BTreeMap;

use super::layout::Layout;
use crate::protocol::mysql::capability::{Capabilities, status};
use crate::protocol::mysql::sql::Statement;

/// The id by which MariaDB's drivers name the statement that was prepared last.
const LAST: u32 = u32::MAX;

/// One prepared statement.
#[derive(Debug)]
pub struct Prepared {
    /// What the text does.
    pub statement: Statement,
    /// The text; `None` if it was too long to be kept.
    text: Option<Box<[u8]>>,
    /// Its id on the present node.
    at_node: Option<u32>,
    /// The types of the parameters as they were last sent, names included; empty until they were.
    types: Box<[u8]>,
    /// The present node was told the types.
    typed: bool,
    params: u16,
    /// Pieces of a parameter were sent that no execution has used.
    long_data: bool,
    /// A cursor is open.
    cursor: bool,
}

/// What an execution needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Execution {
    /// Nothing.
    Ready,
    /// The types: see [`Statements::with_types`].
    Types,
    /// More bytes of it, to know that.
    More,
}

/// All prepared statements of a session.
#[derive(Debug, Default)]
pub struct Statements {
    known: BTreeMap<u32, Prepared>,
    /// The largest id that was given.
    last: u32,
    /// What is being prepared.
    pending: Option<(Option<Box<[u8]>>, Statement)>,
    /// Statements with a cursor or unused long data.
    open: u32,
    /// Statements whose text wasn't kept.
    textless: u32,
}

impl Statements {
    /// A statement is sent to be prepared. `text` is `None` if it is too long to be kept.
    pub fn preparing(&mut self, text: Option<&[u8]>, statement: Statement) {
        self.pending = Some((text.map(Into::into), statement));
    }

    /// The node has prepared it under this id. Returns the id that the client is to use.
    pub fn prepared(&mut self, at_node: u32, params: u16) -> u32 {
        let (text, statement) = self.pending.take().unwrap_or((None, Statement::UNKNOWN));
        let id = if at_node > self.last { at_node } else { self.last.wrapping_add(1) };
        self.last = id;
        self.textless += u32::from(text.is_none());
        let prepared = Prepared {
            statement,
            text,
            at_node: Some(at_node),
            types: Box::default(),
            typed: false,
            params,
            long_data: false,
            cursor: false,
        };
        self.known.insert(id, prepared);
        id
    }

    /// The node refused to prepare it.
    pub fn refused(&mut self) {
        self.pending = None;
    }

    fn resolve(&self, id: u32) -> u32 {
        if id == LAST { self.last } else { id }
    }

    /// The statement of that id.
    pub fn get(&self, id: u32) -> Option<&Prepared> {
        self.known.get(&self.resolve(id))
    }

    /// The node's id of it; `None` where it has to be prepared first, or isn't known.
    #[inline]
    pub fn at_node(&self, id: u32) -> Option<u32> {
        self.get(id)?.at_node
    }

    /// The text to prepare again.
    pub fn text(&self, id: u32) -> Option<&[u8]> {
        self.get(id)?.text.as_deref()
    }

    /// It was prepared on the present node under this id.
    pub fn prepared_again(&mut self, id: u32, at_node: u32) {
        let id = self.resolve(id);
        if let Some(prepared) = self.known.get_mut(&id) {
            prepared.at_node = Some(at_node);
            prepared.typed = false;
        }
    }

    /// Forgets it. Returns the node's id, if the node knows it.
    pub fn close(&mut self, id: u32) -> Option<u32> {
        let id = self.resolve(id);
        let closed = self.known.remove(&id)?;
        self.open -= u32::from(closed.long_data || closed.cursor);
        self.textless -= u32::from(closed.text.is_none());
        closed.at_node
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self { last: self.last, ..Self::default() };
    }

    /// The session has another node, which knows none of them.
    pub fn forget_node(&mut self) {
        for prepared in self.known.values_mut() {
            prepared.at_node = None;
            prepared.typed = false;
            prepared.long_data = false;
            prepared.cursor = false;
        }
        self.open = 0;
        self.pending = None;
    }

    /// True while the node has pieces of a parameter, or an open cursor.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.open > 0
    }

    /// Why none of this can be had on another node.
    pub fn stuck(&self) -> Option<&'static str> {
        if self.known.values().any(|prepared| prepared.cursor) {
            Some("open cursor")
        } else if self.open > 0 {
            Some("long data sent for a statement that was not executed")
        } else {
            (self.textless > 0).then_some("prepared statement whose text is too long to be kept")
        }
    }

    fn set_open(&mut self, id: u32, change: impl FnOnce(&mut Prepared)) {
        let id = self.resolve(id);
        if let Some(prepared) = self.known.get_mut(&id) {
            let before = prepared.long_data || prepared.cursor;
            change(prepared);
            let after = prepared.long_data || prepared.cursor;
            self.open = self.open + u32::from(after) - u32::from(before);
        }
    }

    /// `COM_STMT_SEND_LONG_DATA` was sent.
    pub fn long_data(&mut self, id: u32) {
        self.set_open(id, |prepared| prepared.long_data = true);
    }

    /// `COM_STMT_RESET` was sent.
    pub fn reset(&mut self, id: u32) {
        self.set_open(id, |prepared| (prepared.long_data, prepared.cursor) = (false, false));
    }

    /// An execution is sent: it uses the long data up, and closes the cursor of the execution before it.
    #[inline]
    pub fn executing(&mut self, id: u32) {
        if self.open > 0 {
            self.reset(id);
        }
    }

    /// An execution, or a fetch, was answered with these status flags; an error has none.
    #[inline]
    pub fn answered(&mut self, id: u32, status: Option<u16>) {
        let opened = status.is_some_and(|status| status & status::CURSOR_EXISTS != 0);
        let ended = status.is_none_or(|status| status & status::LAST_ROW_SENT != 0);
        if self.open > 0 || opened {
            self.set_open(id, |prepared| prepared.cursor = (opened || prepared.cursor) && !ended);
        }
    }

    /// Looks at an execution's payload, whole or its beginning: remembers the types if it has them, says what it needs otherwise.
    pub fn execution(&mut self, payload: &[u8], whole: bool, capabilities: Capabilities) -> Execution {
        let id = id_of(payload).map(|id| self.resolve(id));
        let Some(prepared) = id.and_then(|id| self.known.get_mut(&id)) else { return Execution::Ready };
        let Ok(layout) = Layout::read(payload, prepared.params, capabilities) else {
            return if whole { Execution::Ready } else { Execution::More };
        };
        match layout {
            None => Execution::Ready,
            Some(Layout { types: Some((from, to)), .. }) => {
                let types = payload.get(from..to).unwrap_or_default();
                if *prepared.types != *types {
                    prepared.types = types.into();
                }
                prepared.typed = true;
                Execution::Ready
            }
            Some(_) if prepared.typed || prepared.types.is_empty() => Execution::Ready,
            Some(_) => Execution::Types,
        }
    }

    /// Appends an execution's payload, or the beginning of it that [`Self::execution`] has seen, with the types that the present node wasn't
    /// told.
    pub fn with_types(&mut self, payload: &[u8], capabilities: Capabilities, out: &mut Vec<u8>) {
        let id = id_of(payload).map(|id| self.resolve(id));
        let prepared = id.and_then(|id| self.known.get_mut(&id));
        let layout = prepared.as_ref().and_then(|known| Layout::read(payload, known.params, capabilities).ok()?);
        let (Some(prepared), Some(Layout { flag, begin, .. })) = (prepared, layout) else {
            return out.extend_from_slice(payload);
        };
        prepared.typed = true;
        let (before, behind) = payload.split_at(begin);
        let start = out.len();
        out.extend_from_slice(before);
        out.extend_from_slice(&prepared.types);
        out.extend_from_slice(behind);
        let (at, bit) = flag;
        if let Some(flags) = out.get_mut(start + at) {
            *flags |= bit;
        }
    }
}

/// The statement's id in the payload of every `COM_STMT_` command but the one that prepares.
#[inline]
pub fn id_of(payload: &[u8]) -> Option<u32> {
    payload.get(1..).and_then(<[u8]>::first_chunk).map(|id| u32::from_le_bytes(*id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Capabilities = Capabilities::PROTOCOL_41;
    const NAMED: Capabilities = Capabilities::QUERY_ATTRIBUTES;

    fn one(params: u16) -> (Statements, u32) {
        let mut statements = Statements::default();
        statements.preparing(Some(b"SELECT ?"), Statement::UNKNOWN);
        let id = statements.prepared(1, params);
        (statements, id)
    }

    fn execution(id: u32, flags: u8, rest: &[u8]) -> Vec<u8> {
        let mut payload = vec![0x17];
        payload.extend_from_slice(&id.to_le_bytes());
        payload.extend_from_slice(&[flags, 1, 0, 0, 0]);
        payload.extend_from_slice(rest);
        payload
    }

    #[test]
    fn ids_are_the_nodes_until_the_session_moves_and_never_given_twice() {
        let (mut statements, first) = one(0);
        assert_eq!((first, statements.at_node(1), statements.at_node(LAST)), (1, Some(1), Some(1)));
        statements.preparing(Some(b"SELECT 2"), Statement::UNKNOWN);
        assert_eq!(statements.prepared(2, 0), 2);
        statements.forget_node();
        assert_eq!((statements.at_node(1), statements.text(1)), (None, Some(&b"SELECT ?"[..])));
        statements.preparing(Some(b"SELECT 3"), Statement::UNKNOWN);
        assert_eq!(statements.prepared(1, 0), 3, "1 and 2 are the client's");
        statements.prepared_again(1, 2);
        assert_eq!((statements.at_node(1), statements.at_node(3), statements.at_node(2)), (Some(2), Some(1), None));
        assert_eq!((statements.close(1), statements.close(1), statements.close(2)), (Some(2), None, None));
        statements.preparing(None, Statement::UNKNOWN);
        assert_eq!(statements.prepared(9, 0), 9);
        assert_eq!(statements.stuck(), Some("prepared statement whose text is too long to be kept"));
        statements.clear();
        assert_eq!((statements.stuck(), statements.get(3).is_none()), (None, true));
    }

    #[test]
    fn types_are_told_again_on_another_node_only() {
        for (caps, flags, count, types) in
            [(PLAIN, 0, &b""[..], &b"\x03\0\xfd\0"[..]), (NAMED, 8, b"\x02", b"\x03\0\0\xfd\0\x01a")]
        {
            let (mut statements, id) = one(2);
            let first = execution(id, flags, &[count, b"\0\x01", types, b"\x07\0\0\0\x01x"].concat());
            let later = execution(id, flags, &[count, b"\0\0\x08\0\0\0\x01y"].concat());
            assert_eq!(statements.execution(&first, true, caps), Execution::Ready);
            assert_eq!(statements.execution(&later, true, caps), Execution::Ready);
            statements.forget_node();
            statements.prepared_again(id, 1);
            assert_eq!(statements.execution(&later, true, caps), Execution::Types);
            assert_eq!(statements.execution(&later[..10], false, caps), Execution::More);
            let mut out = Vec::new();
            statements.with_types(&later, caps, &mut out);
            let expected = execution(id, flags, &[count, b"\0\x01", types, b"\x08\0\0\0\x01y"].concat());
            assert_eq!(out, expected);
            assert_eq!(statements.execution(&later, true, caps), Execution::Ready);
        }
    }

    #[test]
    fn bulk_executions_and_others_know_the_same_types() {
        let (mut statements, id) = one(2);
        let bulk = |flags: u8, rest: &[u8]| [&[0xfa], &id.to_le_bytes()[..], &[flags, 0], rest].concat();
        let (types, row) = (b"\x03\0\xfd\0", b"\0\x07\0\0\0\0\x01x");
        assert_eq!(statements.execution(&bulk(128, &types[..3]), false, PLAIN), Execution::More);
        assert_eq!(statements.execution(&bulk(128, &[&types[..], row].concat()), true, PLAIN), Execution::Ready);
        assert_eq!(statements.execution(&bulk(0, row), true, PLAIN), Execution::Ready);
        statements.forget_node();
        statements.prepared_again(id, 1);
        assert_eq!(statements.execution(&bulk(64, row), false, PLAIN), Execution::Types);
        let mut out = Vec::new();
        statements.with_types(&bulk(64, row), PLAIN, &mut out);
        assert_eq!(out, bulk(128 | 64, &[&types[..], row].concat()));
        assert_eq!(statements.execution(&execution(id, 0, b"\0\0\x08\0\0\0\x01y"), true, PLAIN), Execution::Ready);
    }

    #[test]
    fn no_beginning_of_an_execution_is_a_panic() {
        let (mut statements, id) = one(2);
        let whole = execution(id, 8, b"\x02\0\x01\x03\0\0\xfd\0\x01a\x07\0\0\0\x01x");
        for end in 0..whole.len() {
            statements.execution(&whole[..end], true, NAMED);
            statements.execution(&whole[..end], false, PLAIN);
            statements.with_types(&whole[..end], NAMED, &mut Vec::new());
        }
        let bulk = [&[0xfa], &id.to_le_bytes()[..], &[128, 0, 3, 0, 0xfd, 0]].concat();
        for end in 0..bulk.len() {
            statements.execution(&bulk[..end], true, PLAIN);
            statements.with_types(&bulk[..end], PLAIN, &mut Vec::new());
        }
    }

    #[test]
    fn a_cursor_and_long_data_keep_the_session_until_they_are_used_up() {
        let (mut statements, id) = one(1);
        statements.answered(id, Some(status::CURSOR_EXISTS));
        assert_eq!(statements.stuck(), Some("open cursor"));
        statements.answered(id, Some(status::CURSOR_EXISTS));
        assert!(statements.is_open());
        statements.answered(id, Some(status::CURSOR_EXISTS | status::LAST_ROW_SENT));
        assert!(!statements.is_open());
        statements.answered(id, Some(status::CURSOR_EXISTS));
        statements.executing(id);
        assert!(!statements.is_open());
        statements.answered(id, Some(0));
        statements.long_data(id);
        statements.long_data(id);
        assert!(statements.is_open() && statements.stuck().is_some());
        statements.executing(id);
        assert!(!statements.is_open());
        statements.long_data(id);
        statements.reset(id);
        assert!(!statements.is_open());
        statements.long_data(id);
        statements.close(id);
        assert!(!statements.is_open() && statements.stuck().is_none());
    }
}
