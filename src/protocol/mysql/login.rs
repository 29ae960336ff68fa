//! What a client sends to log in, and what a server asks of it in between.
//!
//! Source: the manual's `Protocol::HandshakeResponse41`, `Protocol::SSLRequest`, `COM_CHANGE_USER`, `Protocol::AuthSwitchRequest` and
//! `Protocol::AuthMoreData`; MariaDB's knowledge base, "Handshake response packet".

use super::capability::Capabilities;
use super::greeting::NONCE;
use super::wire::{Cursor, Malformed, put_lenenc_bytes, put_nul};

/// The longest payload that is read before a client has logged in, or from a node while logging in to it. Connection attributes are the long
/// part; servers keep less than 64 KB of them.
pub const LOGIN_MAX: usize = 72 * 1024;

/// Payload bytes of a request for TLS: the head of a login.
pub const SSL_REQUEST: usize = 32;

/// First byte of a request to use another plugin.
pub const AUTH_SWITCH: u8 = 0xfe;

/// First byte of a plugin's own data.
pub const AUTH_MORE: u8 = 0x01;

/// What comes first in every login, and alone in a request for TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// What the client can do and wants.
    pub capabilities: Capabilities,
    /// The longest packet that the client takes, in bytes.
    pub max_packet: u32,
    /// The client's collation, its lower byte; MySQL has ids above 255 that a login can't say.
    pub collation: u8,
}

/// A client's first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First<'a> {
    /// The client wants TLS, and sends its login inside.
    Tls(Head),
    /// The client logs in.
    Login(Login<'a>),
}

/// `HandshakeResponse41`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Login<'a> {
    /// Capabilities, longest packet, collation.
    pub head: Head,
    /// The account's name.
    pub user: &'a [u8],
    /// The answer to the challenge; empty for an empty password.
    pub auth: &'a [u8],
    /// The schema to be in, if one was named.
    pub schema: Option<&'a [u8]>,
    /// The plugin that `auth` is of; empty if the client named none.
    pub plugin: &'a [u8],
    /// Connection attributes as they stand in the packet, without the length of them all: see [`attributes`].
    pub attributes: &'a [u8],
}

impl Head {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let low = cursor.u32()?;
        let max_packet = cursor.u32()?;
        let collation = cursor.u8()?;
        cursor.take(19)?;
        let extended = cursor.u32()?;
        let mut bits = u64::from(low);
        if bits & Capabilities::LONG_PASSWORD.0 == 0 {
            bits |= u64::from(extended) << 32;
        }
        let capabilities = Capabilities(bits);
        if !capabilities.has(Capabilities::PROTOCOL_41) {
            return Err(Malformed);
        }
        Ok(Self { capabilities, max_packet, collation })
    }

    /// Appends the payload of a request for TLS, or the head of a login.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mariadb = !self.capabilities.has(Capabilities::LONG_PASSWORD);
        let extended = if mariadb { self.capabilities.extended() } else { 0 };
        out.extend_from_slice(&self.capabilities.low().to_le_bytes());
        out.extend_from_slice(&self.max_packet.to_le_bytes());
        out.push(self.collation);
        out.extend_from_slice(&[0; 19]);
        out.extend_from_slice(&extended.to_le_bytes());
    }
}

impl<'a> First<'a> {
    /// Reads the payload of a client's first packet, or of its second if the first asked for TLS.
    pub fn read(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload);
        let head = Head::read(&mut cursor)?;
        if cursor.is_empty() {
            return if head.capabilities.has(Capabilities::SSL) { Ok(Self::Tls(head)) } else { Err(Malformed) };
        }
        Login::read(head, cursor).map(Self::Login)
    }
}

impl<'a> Login<'a> {
    fn read(head: Head, mut cursor: Cursor<'a>) -> Result<Self, Malformed> {
        let has = |bit| head.capabilities.has(bit);
        let user = cursor.nul()?;
        let auth = if has(Capabilities::LENENC_AUTH) {
            cursor.lenenc_bytes()?
        } else if has(Capabilities::SECURE_CONNECTION) {
            let len = cursor.u8()?;
            cursor.take(usize::from(len))?
        } else {
            cursor.nul()?
        };
        // Old drivers leave the zero byte out, and some leave out the whole field, if it is the last.
        let schema = has(Capabilities::CONNECT_WITH_DB).then(|| cursor.nul_or_rest()).filter(|name| !name.is_empty());
        let plugin = if has(Capabilities::PLUGIN_AUTH) { cursor.nul_or_rest() } else { b"" };
        let attributes = read_attributes(&mut cursor, head.capabilities)?;
        Ok(Self { head, user, auth, schema, plugin, attributes })
    }

    /// Appends the packet's payload. `head.capabilities` decides which fields are written: `CONNECT_WITH_DB`, `PLUGIN_AUTH`, `CONNECT_ATTRS`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let has = |bit| self.head.capabilities.has(bit);
        self.head.write(out);
        put_nul(out, self.user);
        if has(Capabilities::LENENC_AUTH) {
            put_lenenc_bytes(out, self.auth);
        } else {
            // An answer to a challenge is 32 bytes at most, so its length is a byte in either form.
            let auth = &self.auth[..self.auth.len().min(250)];
            put_lenenc_bytes(out, auth);
        }
        if has(Capabilities::CONNECT_WITH_DB) {
            put_nul(out, self.schema.unwrap_or_default());
        }
        if has(Capabilities::PLUGIN_AUTH) {
            put_nul(out, self.plugin);
        }
        if has(Capabilities::CONNECT_ATTRS) {
            put_lenenc_bytes(out, self.attributes);
        }
    }
}

/// `COM_CHANGE_USER`, a login on an open connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChangeUser<'a> {
    /// The account's name.
    pub user: &'a [u8],
    /// The answer to the challenge of the connection's greeting.
    pub auth: &'a [u8],
    /// The schema to be in; empty for none.
    pub schema: &'a [u8],
    /// The client's collation, if it named one; here with both bytes.
    pub collation: Option<u16>,
    /// The plugin that `auth` is of; empty if the client named none.
    pub plugin: &'a [u8],
    /// Connection attributes: see [`attributes`].
    pub attributes: &'a [u8],
}

impl<'a> ChangeUser<'a> {
    /// Reads the payload, whose first byte is the command's. `capabilities` are those of the connection's login.
    pub fn read(payload: &'a [u8], capabilities: Capabilities) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload);
        if cursor.u8()? != super::capability::command::CHANGE_USER {
            return Err(Malformed);
        }
        let user = cursor.nul()?;
        let len = cursor.u8()?;
        let auth = cursor.take(usize::from(len))?;
        let schema = cursor.nul_or_rest();
        let mut change = Self { user, auth, schema, ..Self::default() };
        if cursor.left().len() >= 2 {
            change.collation = Some(cursor.u16()?);
            if capabilities.has(Capabilities::PLUGIN_AUTH) {
                change.plugin = cursor.nul_or_rest();
            }
            change.attributes = read_attributes(&mut cursor, capabilities)?;
        }
        Ok(change)
    }

    /// Appends the payload, the command's byte first.
    pub fn write(&self, out: &mut Vec<u8>, capabilities: Capabilities) {
        out.push(super::capability::command::CHANGE_USER);
        put_nul(out, self.user);
        let auth = &self.auth[..self.auth.len().min(250)];
        put_lenenc_bytes(out, auth);
        put_nul(out, self.schema);
        out.extend_from_slice(&self.collation.unwrap_or_default().to_le_bytes());
        if capabilities.has(Capabilities::PLUGIN_AUTH) {
            put_nul(out, self.plugin);
        }
        if capabilities.has(Capabilities::CONNECT_ATTRS) {
            put_lenenc_bytes(out, self.attributes);
        }
    }
}

fn read_attributes<'a>(cursor: &mut Cursor<'a>, capabilities: Capabilities) -> Result<&'a [u8], Malformed> {
    if cursor.is_empty() || !capabilities.has(Capabilities::CONNECT_ATTRS) {
        return Ok(b"");
    }
    cursor.lenenc_bytes()
}

/// The connection attributes in `raw`, names and values; stops at the first that is malformed.
pub fn attributes(raw: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut cursor = Cursor::new(raw);
    std::iter::from_fn(move || Some((cursor.lenenc_bytes().ok()?, cursor.lenenc_bytes().ok()?)))
}

/// Appends one connection attribute to `raw`.
pub fn put_attribute(raw: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    put_lenenc_bytes(raw, name);
    put_lenenc_bytes(raw, value);
}

/// A server's request to log in by another plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthSwitch<'a> {
    /// The plugin.
    pub plugin: &'a [u8],
    /// The new challenge, if it has the usual length.
    pub nonce: Option<[u8; NONCE]>,
}

impl<'a> AuthSwitch<'a> {
    /// Reads the payload, whose first byte is [`AUTH_SWITCH`].
    pub fn read(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload);
        if cursor.u8()? != AUTH_SWITCH {
            return Err(Malformed);
        }
        let plugin = cursor.nul()?;
        let nonce = cursor.rest().first_chunk().copied();
        Ok(Self { plugin, nonce })
    }

    /// Appends the payload.
    pub fn write(out: &mut Vec<u8>, plugin: &[u8], nonce: &[u8; NONCE]) {
        out.push(AUTH_SWITCH);
        put_nul(out, plugin);
        out.extend_from_slice(nonce);
        out.push(0);
    }
}

/// Appends the payload of a plugin's own data.
pub fn auth_more(out: &mut Vec<u8>, data: &[u8]) {
    out.push(AUTH_MORE);
    out.extend_from_slice(data);
}
