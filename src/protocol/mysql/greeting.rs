//! The packet that a server sends first.
//!
//! Source: the manual's `Protocol::HandshakeV10`; MariaDB's knowledge base, "Initial handshake packet".

use super::capability::Capabilities;
use super::wire::{Cursor, Malformed, put_nul};

/// Bytes of the random challenge that a login answers.
pub const NONCE: usize = 20;

/// A challenge from random bytes. Clients that take it for text must find its end in the right place, so no byte is zero or `$`, and all
/// are ASCII; as servers make theirs.
pub fn nonce(random: [u8; NONCE]) -> [u8; NONCE] {
    random.map(|byte| match byte & 0x7f {
        0 | b'$' => 1,
        plain => plain,
    })
}

/// What MariaDB puts before its version so that old replicas take it for MySQL 5.5; real version texts follow.
const REPLICATION_PREFIX: &[u8] = b"5.5.5-";

/// A server's greeting, protocol 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting<'a> {
    /// The version's text, as sent.
    pub version: &'a [u8],
    /// The connection's id, of which the protocol has 32 bits.
    pub connection_id: u32,
    /// The challenge.
    pub nonce: [u8; NONCE],
    /// What the server can do.
    pub capabilities: Capabilities,
    /// The server's default collation, its lower byte.
    pub collation: u8,
    /// Status flags.
    pub status: u16,
    /// The plugin that the server tries first.
    pub plugin: &'a [u8],
}

impl<'a> Greeting<'a> {
    /// Reads the packet's payload. One that begins with 0xff is an error packet: see [`super::error::ErrPacket`].
    pub fn read(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload);
        if cursor.u8()? != 10 {
            return Err(Malformed);
        }
        let version = cursor.nul()?;
        let connection_id = cursor.u32()?;
        let mut nonce = [0; NONCE];
        nonce[..8].copy_from_slice(cursor.take(8)?);
        cursor.u8()?;
        let low = cursor.u16()?;
        let collation = cursor.u8()?;
        let status = cursor.u16()?;
        let high = cursor.u16()?;
        let nonce_len = usize::from(cursor.u8()?);
        cursor.take(6)?;
        let extended = cursor.u32()?;
        let mut bits = u64::from(low) | u64::from(high) << 16;
        if bits & Capabilities::LONG_PASSWORD.0 == 0 {
            bits |= u64::from(extended) << 32;
        }
        let capabilities = Capabilities(bits);
        if !capabilities.has(Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION) {
            return Err(Malformed);
        }
        // The rest of the challenge is at least 13 bytes, of which the last is zero.
        let rest = cursor.take(nonce_len.saturating_sub(8).max(13))?;
        nonce[8..].copy_from_slice(rest.get(..NONCE - 8).ok_or(Malformed)?);
        let named = capabilities.has(Capabilities::PLUGIN_AUTH);
        let plugin = if named { cursor.nul_or_rest() } else { super::auth::NATIVE };
        Ok(Self { version, connection_id, nonce, capabilities, collation, status, plugin })
    }

    /// Appends the packet's payload.
    pub fn write(&self, out: &mut Vec<u8>) {
        let bits = self.capabilities.low().to_le_bytes();
        let mariadb = !self.capabilities.has(Capabilities::LONG_PASSWORD);
        let extended = if mariadb { self.capabilities.extended() } else { 0 };
        out.push(10);
        put_nul(out, self.version);
        out.extend_from_slice(&self.connection_id.to_le_bytes());
        out.extend_from_slice(&self.nonce[..8]);
        out.push(0);
        out.extend_from_slice(&bits[..2]);
        out.push(self.collation);
        out.extend_from_slice(&self.status.to_le_bytes());
        out.extend_from_slice(&bits[2..]);
        let named = self.capabilities.has(Capabilities::PLUGIN_AUTH);
        out.push(if named { 21 } else { 0 });
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&extended.to_le_bytes());
        out.extend_from_slice(&self.nonce[8..]);
        out.push(0);
        if named {
            put_nul(out, self.plugin);
        }
    }

    /// True when the version's text is MariaDB's.
    pub fn is_mariadb(&self) -> bool {
        is_mariadb(self.version)
    }
}

/// True when a version's text is MariaDB's (`10.11.6-MariaDB`, `5.5.5-10.11.6-MariaDB`).
pub fn is_mariadb(version: &[u8]) -> bool {
    version.starts_with(REPLICATION_PREFIX) || version.windows(7).any(|word| word.eq_ignore_ascii_case(b"mariadb"))
}
