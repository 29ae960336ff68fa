//! OK and EOF packets, and what they say of the session.
//!
//! Source: the manual's `Protocol::OK_Packet` and `Protocol::EOF_Packet`.

use super::wire::Cursor;

/// The status flags of an OK packet (also one that ends rows and begins with 0xfe) or an EOF packet; `None` if it is too short for them.
#[inline]
pub fn status(payload: &[u8]) -> Option<u16> {
    let mut cursor = Cursor::new(payload);
    if cursor.u8().ok()? == 0xfe && payload.len() < 7 {
        cursor.u16().ok()?;
        return cursor.u16().ok();
    }
    cursor.lenenc().ok()?;
    cursor.lenenc().ok()?;
    cursor.u16().ok()
}
