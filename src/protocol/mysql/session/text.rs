//! Where a statement's text begins in a `COM_QUERY` that may carry attributes.
//!
//! Source: the manual's `COM_QUERY` and "Binary Protocol Value".

use crate::protocol::mysql::capability::Capabilities;
use crate::protocol::mysql::wire::{Cursor, Malformed};

/// Where the text begins in the payload, whose first byte is the command's. `None` if that can't be told: a part of it is missing, or an
/// attribute is of an unknown type.
#[inline]
pub fn query_text(payload: &[u8], capabilities: Capabilities) -> Option<usize> {
    if !capabilities.has(Capabilities::QUERY_ATTRIBUTES) {
        return Some(1);
    }
    // Nearly always there are none, in one set of them.
    if let [_, 0, 1, ..] = payload {
        return Some(3);
    }
    attributes_end(payload).ok()
}

fn attributes_end(payload: &[u8]) -> Result<usize, Malformed> {
    let mut cursor = Cursor::new(payload);
    cursor.u8()?;
    let count = usize::try_from(cursor.lenenc()?).map_err(|_| Malformed)?;
    cursor.lenenc()?;
    if count > 0 {
        let nulls = cursor.take(count.div_ceil(8))?;
        if cursor.u8()? != 1 {
            return Err(Malformed);
        }
        let mut types = cursor;
        for _ in 0..count {
            cursor.u16()?;
            cursor.lenenc_bytes()?;
        }
        for index in 0..count {
            let kind = types.u16()?;
            types.lenenc_bytes()?;
            if nulls.get(index / 8).is_some_and(|bits| bits >> (index % 8) & 1 != 0) {
                continue;
            }
            skip(&mut cursor, kind & 0xff)?;
        }
    }
    Ok(payload.len() - cursor.left().len())
}

/// Steps over one value of the binary protocol.
fn skip(cursor: &mut Cursor<'_>, kind: u16) -> Result<(), Malformed> {
    let fixed = match kind {
        1 => 1,
        2 | 13 => 2,
        3 | 4 | 9 => 4,
        5 | 8 => 8,
        6 => 0,
        7 | 10 | 11 | 12 => usize::from(cursor.u8()?),
        0 | 15 | 16 | 245..=255 => return cursor.lenenc_bytes().map(|_| ()),
        _ => return Err(Malformed),
    };
    cursor.take(fixed).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_found_behind_attributes() {
        let with = Capabilities::QUERY_ATTRIBUTES;
        assert_eq!(query_text(b"\x03SELECT 1", Capabilities::default()), Some(1));
        assert_eq!(query_text(b"\x03\0\x01SELECT 1", with), Some(3));
        let payload = b"\x03\x03\x01\x04\x01\x08\0\x01n\xfd\0\x01s\x03\0\x01z\x07\0\0\0\0\0\0\0\x02hiSELECT 1";
        let at = query_text(payload, with).expect("the text");
        assert_eq!(&payload[at..], b"SELECT 1");
        for end in 0..at {
            assert!(query_text(&payload[..end], with).is_none_or(|found| found <= end));
        }
    }
}
