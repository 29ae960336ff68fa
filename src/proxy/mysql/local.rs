//! What Pointsman itself says to an application.

use crate::protocol::mysql::{
    error::{self, Code},
    packet,
};

/// Appends an OK packet: nothing affected, these status flags.
pub fn ok(out: &mut Vec<u8>, sequence: u8, status: u16) {
    packet::write_with(out, sequence, |out| {
        out.extend_from_slice(&[0, 0, 0]);
        out.extend_from_slice(&status.to_le_bytes());
        out.extend_from_slice(&[0, 0]);
    });
}

/// Appends an ERR packet.
pub fn error(out: &mut Vec<u8>, sequence: u8, code: Code, text: &str) {
    packet::write_with(out, sequence, |out| error::write(out, code, true, text));
}
