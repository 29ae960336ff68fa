//! Where the parameters' types stand in an execution of a prepared statement, which has them only the first time.
//!
//! Input: an execution's payload, or its beginning. Output: positions in it. Never: values of parameters.
//!
//! Source: the manual's `COM_STMT_EXECUTE`; MariaDB's knowledge base, `COM_STMT_BULK_EXECUTE`.

use crate::protocol::mysql::capability::{Capabilities, command};
use crate::protocol::mysql::wire::{Cursor, Malformed};

/// Where the flags of an execution stand in the payload, behind the command and the id.
const FLAGS: usize = 5;
/// Where that ends which every execution has: command, id, flags, the number 1.
const FIXED: usize = 10;
/// The same of a bulk execution: command, id, flags. The types follow at once.
const BULK_FIXED: usize = 7;
/// Flag of a bulk execution, in the first of its two bytes of flags: the types are in it.
const BULK_TYPES: u8 = 128;
/// Flag of an execution: the number of parameters is in it even if it is zero.
const COUNTED: u8 = 8;

/// Where things stand in an execution's payload.
pub(super) struct Layout {
    /// The byte that says whether there are types, and its bit.
    pub flag: (usize, u8),
    /// Where they stand, or would.
    pub begin: usize,
    /// The types, with names where the protocol has them.
    pub types: Option<(usize, usize)>,
}

impl Layout {
    /// `None` for an execution without parameters; an error where the beginning of one isn't enough.
    pub fn read(payload: &[u8], params: u16, capabilities: Capabilities) -> Result<Option<Self>, Malformed> {
        if payload.first() == Some(&command::STMT_BULK_EXECUTE) {
            return Self::of_bulk(payload, params);
        }
        let mut cursor = Cursor::new(payload);
        let flags = *payload.get(FLAGS).ok_or(Malformed)?;
        cursor.take(FIXED)?;
        let named = capabilities.has(Capabilities::QUERY_ATTRIBUTES);
        let mut count = u64::from(params);
        if params == 0 && !(named && flags & COUNTED != 0) {
            return Ok(None);
        }
        if named && flags & COUNTED != 0 {
            count = cursor.lenenc()?;
        }
        if count == 0 {
            return Ok(None);
        }
        let count = usize::try_from(count).map_err(|_| Malformed)?;
        cursor.take(count.div_ceil(8))?;
        let at = |cursor: &Cursor<'_>| payload.len() - cursor.left().len();
        let flag = (at(&cursor), 1);
        let typed = cursor.u8()? == 1;
        let begin = at(&cursor);
        if !typed {
            return Ok(Some(Self { flag, begin, types: None }));
        }
        for _ in 0..count {
            cursor.u16()?;
            if named {
                cursor.lenenc_bytes()?;
            }
        }
        Ok(Some(Self { flag, begin, types: Some((begin, at(&cursor))) }))
    }

    fn of_bulk(payload: &[u8], params: u16) -> Result<Option<Self>, Malformed> {
        let flags = *payload.get(FLAGS).ok_or(Malformed)?;
        let end = BULK_FIXED + 2 * usize::from(params);
        if payload.len() < if flags & BULK_TYPES == 0 { BULK_FIXED } else { end } {
            return Err(Malformed);
        }
        let types = (flags & BULK_TYPES != 0).then_some((BULK_FIXED, end));
        Ok(Some(Self { flag: (FLAGS, BULK_TYPES), begin: BULK_FIXED, types }))
    }
}
