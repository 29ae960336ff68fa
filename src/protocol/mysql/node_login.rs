//! Logs in to a node: bytes of the node in, bytes for the node out.
//!
//! [`NodeLogin::read`] is fed what the node sent, and says what to do next. The password goes out only as a proof, or in full over TLS or a
//! Unix socket, or encrypted with the node's key. Never renegotiates; ends with the first OK or error.

use std::fmt;

use crate::model::secret::Secret;

use super::auth::{self, SEED};
use super::capability::Capabilities;
use super::error::{ERR, ErrPacket};
use super::greeting::{Greeting, NONCE};
use super::login::{AUTH_MORE, AUTH_SWITCH, AuthSwitch, Head, LOGIN_MAX, Login};
use super::packet::{self, HEADER, Header};
use super::wire::Malformed;

/// The longest packet that is announced to nodes, which is the protocol's own limit.
const MAX_PACKET: u32 = 1 << 30;

/// How the bytes get to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// TCP; the password is never sent in full, but encrypted with the node's key.
    Plain,
    /// TCP on which TLS is wanted: a node that offers none is an error.
    Tls,
    /// A Unix socket: nobody else reads it.
    Unix,
}

/// Whom to log in as, and how.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The account.
    pub user: &'a [u8],
    /// Its password.
    pub password: &'a Secret,
    /// The schema to be in.
    pub schema: Option<&'a [u8]>,
    /// What the client of this connection took. Those of [`Capabilities::SHARED`] must be offered by the node.
    pub capabilities: Capabilities,
    /// Of these, what the node doesn't offer is left out without an error (for connections that no client is behind).
    pub optional: Capabilities,
    /// The client's collation.
    pub collation: u8,
    /// Connection attributes, encoded.
    pub attributes: &'a [u8],
    /// How the bytes get there.
    pub channel: Channel,
    /// Random bytes, used once, for the encryption of the password.
    pub seed: [u8; SEED],
}

/// What to do next. Whatever was appended to `out` has to be written first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Read more, and call [`NodeLogin::read`] again.
    More,
    /// Begin TLS on the connection, then call [`NodeLogin::tls_ready`].
    NeedsTls,
    /// Logged in.
    Done(Node),
}

/// What is known of a node's connection after the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// The node's own id of the connection.
    pub connection_id: u32,
    /// What both sides can do.
    pub capabilities: Capabilities,
    /// Status flags of the OK packet.
    pub status: u16,
    /// True if the password itself had to be sent, because the node didn't remember its digest.
    pub full: bool,
}

/// Why there is no login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeLoginError {
    /// The node said no, in its words.
    Refused {
        /// The error's number.
        number: u16,
        /// The SQL state; `HY000` if it sent none.
        state: [u8; 5],
        /// The text.
        text: String,
    },
    /// Bytes that are no login of this protocol.
    Malformed,
    /// TLS is wanted, and the node offers none.
    NoTls,
    /// The node lacks what the client was promised.
    Lacks(Capabilities),
    /// The node wants a plugin that is not spoken here.
    Plugin(String),
    /// The node wants the password itself on a line that others can read, and gave no usable key.
    Readable,
}

impl fmt::Display for NodeLoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { number, state, text } => {
                write!(f, "the node refused the login: {number} ({}) {text}", state.escape_ascii())
            }
            Self::Malformed => f.write_str("the node sent bytes that are no MySQL login"),
            Self::NoTls => f.write_str("the node offers no TLS"),
            Self::Lacks(what) => write!(f, "the node lacks capabilities that the client uses: {what:?}"),
            Self::Plugin(name) => {
                write!(f, "the node wants the authentication plugin {name}, which is not spoken here")
            }
            Self::Readable => f.write_str("the node wants the password itself on an unencrypted line"),
        }
    }
}

impl std::error::Error for NodeLoginError {}

impl From<Malformed> for NodeLoginError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Greeting,
    /// TLS is being begun; the login follows with this sequence number.
    Tls,
    /// A proof was sent.
    Proof,
    /// The node's key was asked for.
    Key,
    /// Everything was sent.
    Verdict,
}

/// A login under way.
#[derive(Debug)]
pub struct NodeLogin<'a> {
    ask: Ask<'a>,
    phase: Phase,
    nonce: [u8; NONCE],
    plugin: Plugin,
    node: Node,
    /// The number of the next packet to send.
    sequence: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plugin {
    Native,
    CachingSha2,
    Clear,
}

impl Plugin {
    fn find(name: &[u8]) -> Option<Self> {
        match name {
            auth::NATIVE => Some(Self::Native),
            auth::CACHING_SHA2 => Some(Self::CachingSha2),
            auth::CLEAR => Some(Self::Clear),
            _ => None,
        }
    }

    fn name(self) -> &'static [u8] {
        match self {
            Self::Native => auth::NATIVE,
            Self::CachingSha2 => auth::CACHING_SHA2,
            Self::Clear => auth::CLEAR,
        }
    }
}

impl<'a> NodeLogin<'a> {
    /// Waits for the node's greeting.
    pub fn new(ask: Ask<'a>) -> Self {
        let node = Node { connection_id: 0, capabilities: Capabilities::default(), status: 0, full: false };
        Self { ask, phase: Phase::Greeting, nonce: [0; NONCE], plugin: Plugin::Native, node, sequence: 0 }
    }

    /// Takes whole packets off the front of `buf`. Returns how many bytes were used up, and what to do next; appends to `out` what has to be
    /// sent.
    pub fn read(&mut self, buf: &[u8], out: &mut Vec<u8>) -> Result<(usize, Progress), NodeLoginError> {
        let mut used = 0;
        loop {
            let rest = buf.get(used..).unwrap_or_default();
            if Header::read(rest).is_some_and(|header| header.len > LOGIN_MAX) {
                return Err(NodeLoginError::Malformed);
            }
            let Some((header, payload)) = packet::read(rest) else { return Ok((used, Progress::More)) };
            used += HEADER + payload.len();
            self.sequence = header.sequence.wrapping_add(1);
            let progress = self.packet(payload, out)?;
            if progress != Progress::More {
                return Ok((used, progress));
            }
        }
    }

    /// TLS has begun: appends the login.
    pub fn tls_ready(&mut self, out: &mut Vec<u8>) {
        if self.phase == Phase::Tls {
            self.log_in(out);
        }
    }

    fn packet(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<Progress, NodeLoginError> {
        let &first = payload.first().ok_or(Malformed)?;
        if first == ERR {
            let error = ErrPacket::read(payload)?;
            let text = String::from_utf8_lossy(error.text).into_owned();
            return Err(NodeLoginError::Refused {
                number: error.number,
                state: error.state.unwrap_or(*b"HY000"),
                text,
            });
        }
        match (self.phase, first) {
            (Phase::Greeting, _) => self.greeting(&Greeting::read(payload)?, out),
            (Phase::Proof | Phase::Verdict, 0) => {
                self.node.status = super::ok::status(payload).ok_or(Malformed)?;
                Ok(Progress::Done(self.node))
            }
            (Phase::Proof, AUTH_SWITCH) => self.switch(&AuthSwitch::read(payload)?, out),
            (Phase::Proof, AUTH_MORE) if self.plugin == Plugin::CachingSha2 => self.more(&payload[1..], out),
            (Phase::Key, AUTH_MORE) => {
                let sealed = auth::encrypt(self.ask.password.expose(), &self.nonce, &payload[1..], self.ask.seed);
                let sealed = sealed.ok_or(NodeLoginError::Readable)?;
                self.phase = Phase::Verdict;
                packet::write(out, self.sequence, &sealed);
                Ok(Progress::More)
            }
            _ => Err(NodeLoginError::Malformed),
        }
    }

    fn greeting(&mut self, greeting: &Greeting<'_>, out: &mut Vec<u8>) -> Result<Progress, NodeLoginError> {
        let wanted = self.ask.capabilities & Capabilities::SHARED;
        let lacking = wanted - self.ask.optional - greeting.capabilities;
        if lacking != Capabilities::default() {
            return Err(NodeLoginError::Lacks(lacking));
        }
        let mut capabilities = (wanted | Capabilities::OWN) & greeting.capabilities;
        if !greeting.is_mariadb() {
            capabilities = capabilities | Capabilities::LONG_PASSWORD;
        }
        if self.ask.schema.is_none() {
            capabilities = capabilities - Capabilities::CONNECT_WITH_DB;
        }
        self.nonce = greeting.nonce;
        // A node's first choice of a plugin need not be the account's: an unknown one is answered with another, and it will ask again.
        self.plugin = match Plugin::find(greeting.plugin) {
            Some(Plugin::CachingSha2) => Plugin::CachingSha2,
            _ => Plugin::Native,
        };
        self.node.connection_id = greeting.connection_id;
        self.node.capabilities = capabilities;
        if self.ask.channel != Channel::Tls {
            self.log_in(out);
            return Ok(Progress::More);
        }
        if !greeting.capabilities.has(Capabilities::SSL) {
            return Err(NodeLoginError::NoTls);
        }
        self.node.capabilities = capabilities | Capabilities::SSL;
        let head = self.head();
        self.sequence = packet::write_with(out, self.sequence, |out| head.write(out));
        self.phase = Phase::Tls;
        Ok(Progress::NeedsTls)
    }

    fn head(&self) -> Head {
        Head { capabilities: self.node.capabilities, max_packet: MAX_PACKET, collation: self.ask.collation }
    }

    fn log_in(&mut self, out: &mut Vec<u8>) {
        let proof = auth::prove(self.plugin.name(), self.ask.password.expose(), &self.nonce);
        let login = Login {
            head: self.head(),
            user: self.ask.user,
            auth: proof.as_ref().map(auth::Proof::bytes).unwrap_or_default(),
            schema: self.ask.schema,
            plugin: self.plugin.name(),
            attributes: self.ask.attributes,
        };
        packet::write_with(out, self.sequence, |out| login.write(out));
        self.phase = Phase::Proof;
    }

    fn switch(&mut self, switch: &AuthSwitch<'_>, out: &mut Vec<u8>) -> Result<Progress, NodeLoginError> {
        let unknown = || NodeLoginError::Plugin(String::from_utf8_lossy(switch.plugin).into_owned());
        self.plugin = Plugin::find(switch.plugin).ok_or_else(unknown)?;
        if self.plugin == Plugin::Clear {
            return self.send_clear(out);
        }
        self.nonce = switch.nonce.ok_or(Malformed)?;
        let proof = auth::prove(self.plugin.name(), self.ask.password.expose(), &self.nonce);
        packet::write(out, self.sequence, proof.as_ref().map(auth::Proof::bytes).unwrap_or_default());
        Ok(Progress::More)
    }

    fn more(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<Progress, NodeLoginError> {
        match data {
            [auth::FAST_OK] => self.phase = Phase::Verdict,
            [auth::FULL] if self.ask.channel != Channel::Plain => return self.send_clear(out),
            [auth::FULL] => {
                self.node.full = true;
                self.phase = Phase::Key;
                packet::write(out, self.sequence, &[auth::REQUEST_KEY]);
            }
            _ => return Err(NodeLoginError::Malformed),
        }
        Ok(Progress::More)
    }

    /// The password in full, only where nobody else reads it.
    fn send_clear(&mut self, out: &mut Vec<u8>) -> Result<Progress, NodeLoginError> {
        if self.ask.channel == Channel::Plain {
            return Err(NodeLoginError::Readable);
        }
        self.node.full = true;
        self.phase = Phase::Verdict;
        packet::write_with(out, self.sequence, |out| super::wire::put_nul(out, self.ask.password.expose()));
        Ok(Progress::More)
    }
}
