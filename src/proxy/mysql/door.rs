//! The application's login, which ends here: greeting, proof of the password, verdict.
//!
//! Input: an accepted connection. Output: who logged in, with what; or MySQL's own error at the application. The proof is checked against the
//! configured users. Never: a node; unbounded time or bytes.

use super::{handle::Handle, lane::Lane, manners::Manners, random, threads::Seat, wait};
use crate::{
    config::User,
    model::{name::Kind, secret::Secret},
    net::{ServerTls, Stream},
    protocol::mysql::{
        auth,
        capability::Capabilities,
        error::{self, Code},
        greeting::NONCE,
        login::{self, AuthSwitch, ChangeUser, First, LOGIN_MAX, SSL_REQUEST},
        packet::{self, HEADER},
    },
    proxy::{Arrival, line::Line},
};
use std::{io, rc::Rc, time::Duration};
use tokio::time::timeout;

/// How long a login may take, as MySQL's `connect_timeout` has it.
pub const LIMIT: Duration = Duration::from_secs(10);
/// The longest connection attributes that are passed on: those of known drivers take some hundred bytes.
const ATTRIBUTES: usize = 4 * 1024;

/// As whom a session is logged in, and what its application can do. Kept for new connections to nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The account.
    pub user: Box<str>,
    /// What both sides agreed on.
    pub capabilities: Capabilities,
    /// The application's collation.
    pub collation: u8,
    /// Its connection attributes, encoded.
    pub attributes: Box<[u8]>,
}

/// An application that has proved who it is, and waits for the last word.
pub struct Guest {
    /// The way to it.
    pub line: Line,
    /// Its address.
    pub peer: Box<str>,
    /// Its place among the sessions.
    pub seat: Seat,
    /// Who it is.
    pub login: Login,
    /// The schema it wants to be in.
    pub schema: Option<Box<[u8]>>,
    /// The next packet's number.
    pub sequence: u8,
    /// What it has sent already behind its login.
    pub unread: Vec<u8>,
    /// What it is to get in front of the last word, in one write.
    pub owed: Vec<u8>,
}

/// Why a guest is not let in.
#[derive(Debug)]
pub enum Refusal {
    /// It was told, or is gone.
    Gone(io::Error),
    /// To be told.
    Told(Code, String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

/// A login under way on one connection.
pub struct Talk<'a> {
    line: &'a mut Line,
    unread: &'a mut Vec<u8>,
    /// The next packet's number.
    pub sequence: u8,
    /// What is to be sent with the next packet.
    owed: Vec<u8>,
}

impl<'a> Talk<'a> {
    /// Goes on with the packet of that number.
    pub fn new(line: &'a mut Line, unread: &'a mut Vec<u8>, sequence: u8) -> Self {
        Self { line, unread, sequence, owed: Vec::new() }
    }

    async fn packet(&mut self) -> io::Result<Vec<u8>> {
        let mut payload = Vec::new();
        let sequence = self.line.packet(self.unread, &mut payload, LOGIN_MAX).await?;
        if sequence != self.sequence {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.sequence = sequence.wrapping_add(1);
        Ok(payload)
    }

    /// Sends one packet, and what is owed before it.
    pub async fn send(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.owe(fill);
        self.line.send(&std::mem::take(&mut self.owed)).await
    }

    /// Keeps one packet until the next one is sent, so that the application isn't woken for it alone.
    fn owe(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        self.sequence = packet::write_with(&mut self.owed, self.sequence, fill);
    }

    /// Asks for the proof by another plugin.
    pub async fn switch(&mut self, plugin: &[u8], nonce: &[u8; NONCE]) -> io::Result<Vec<u8>> {
        self.send(|out| AuthSwitch::write(out, plugin, nonce)).await?;
        self.packet().await
    }
}

/// Receives an application. What it must be told, it was told when this returns nothing.
pub async fn receive(lane: &Rc<Lane>, arrival: Arrival) -> Option<Guest> {
    let (mut stream, peer, tls) = match arrival.plain() {
        Ok(plain) => plain,
        Err(error) => {
            tracing::debug!(%error, "a connection ended before its session began");
            return None;
        }
    };
    let Some(manners) = wait::for_manners(lane).await else {
        let mut out = Vec::new();
        packet::write_with(&mut out, 0, |out| error::write(out, error::SHUTDOWN, false, &wait::excuse(lane)));
        // An application that is gone already is told nothing.
        let _ = timeout(LIMIT, stream.write_all(&out)).await;
        return None;
    };
    let seat = lane.threads.sit();
    let nonce = random::nonce();
    let mut unread = Vec::new();
    let welcomed = timeout(LIMIT, greet(stream, &manners, seat.id, nonce, tls, &mut unread)).await;
    let Ok(Ok((stream, sequence))) = welcomed else {
        tracing::debug!(%peer, "a connection ended before it had logged in");
        return None;
    };
    let mut way = Line::new(stream);
    let mut talk = Talk::new(&mut way, &mut unread, sequence);
    let outcome = timeout(LIMIT, admit(lane, &mut talk, &peer, seat, &manners, nonce)).await;
    let (code, text) = match outcome {
        Ok(Ok((seat, login, schema))) => {
            let (sequence, owed) = (talk.sequence, talk.owed);
            return Some(Guest { line: way, peer, seat, login, schema, sequence, unread, owed });
        }
        Ok(Err(Refusal::Told(code, text))) => (code, text),
        Ok(Err(Refusal::Gone(error))) if error.kind() == io::ErrorKind::InvalidData => {
            (error::BAD_HANDSHAKE, "Bad handshake".to_owned())
        }
        Ok(Err(Refusal::Gone(error))) => {
            tracing::debug!(%error, %peer, "a connection ended before it had logged in");
            return None;
        }
        Err(_) => {
            tracing::debug!(%peer, "a login took too long");
            (error::READ_TIMEOUT, "Got timeout reading communication packets".to_owned())
        }
    };
    // It may be as good as gone: its socket takes the few bytes at once or never.
    let _ = timeout(LIMIT, talk.send(|out| error::write(out, code, true, &text))).await;
    None
}

/// Sends the greeting, and changes to TLS if the application asks for it. Returns the number of the packet that its login has.
async fn greet(
    mut stream: Stream,
    manners: &Manners,
    id: u32,
    nonce: [u8; NONCE],
    tls: Option<ServerTls>,
    unread: &mut Vec<u8>,
) -> io::Result<(Stream, u8)> {
    let mut out = Vec::new();
    packet::write_with(&mut out, 0, |out| manners.greet(out, id, nonce, tls.is_some()));
    stream.write_all(&out).await?;
    let Some(tls) = tls else { return Ok((stream, 1)) };
    // Behind a request for TLS the first bytes of TLS may lie: they are left where they are.
    let mut first = [0; HEADER + SSL_REQUEST];
    let mut filled = 0;
    while let Some(room) = first.get_mut(filled..).filter(|room| !room.is_empty()) {
        match stream.try_read(room) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(many) => filled += many,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.readable().await?,
            Err(error) => return Err(error),
        }
    }
    let asks = packet::read(&first).is_some_and(|(_, payload)| matches!(First::read(payload), Ok(First::Tls(_))));
    match stream {
        Stream::Tcp(socket) if asks => Ok((tls.accept(socket).await?, 2)),
        stream => {
            unread.extend_from_slice(&first);
            Ok((stream, 1))
        }
    }
}

type Admitted = (Seat, Login, Option<Box<[u8]>>);

async fn admit(
    lane: &Rc<Lane>,
    talk: &mut Talk<'_>,
    peer: &str,
    mut seat: Seat,
    manners: &Manners,
    nonce: [u8; NONCE],
) -> Result<Admitted, Refusal> {
    let payload = talk.packet().await?;
    let Ok(First::Login(first)) = First::read(&payload) else {
        return Err(Refusal::Gone(io::ErrorKind::InvalidData.into()));
    };
    let capabilities = first.head.capabilities & manners.offered(false);
    let schema = first.schema.map(Into::into);
    let named = if first.plugin.is_empty() { auth::NATIVE } else { first.plugin };
    let plugin = if capabilities.has(Capabilities::PLUGIN_AUTH) { manners.plugin() } else { auth::NATIVE };
    let (mut proof, mut nonce) = (first.auth.to_vec(), nonce);
    if named != plugin {
        nonce = random::nonce();
        proof = talk.switch(plugin, &nonce).await?;
    }
    let user = judge(lane, first.user, plugin, &nonce, &proof, peer)?;
    if plugin == auth::CACHING_SHA2 {
        talk.owe(|out| login::auth_more(out, &[auth::FAST_OK]));
    }
    if !seat.belongs_to(&user.name, user.max_connections) {
        return Err(user_is_full(&user));
    }
    let attributes = if first.attributes.len() <= ATTRIBUTES { first.attributes } else { b"" };
    let login = Login {
        user: user.name.as_str().into(),
        capabilities,
        collation: first.head.collation,
        attributes: attributes.into(),
    };
    Ok((seat, login, schema))
}

/// The same on an open connection. The proof that comes with the request is of the greeting's challenge, which nobody keeps: another one is
/// asked for, as servers do when the plugin differs.
pub async fn change(
    lane: &Rc<Lane>,
    talk: &mut Talk<'_>,
    handle: &Handle,
    before: &Login,
    payload: &[u8],
) -> Result<(Login, Option<Box<[u8]>>), Refusal> {
    let malformed = || Refusal::Gone(io::ErrorKind::InvalidData.into());
    let change = ChangeUser::read(payload, before.capabilities).map_err(|_| malformed())?;
    let by_name = before.capabilities.has(Capabilities::PLUGIN_AUTH);
    let plugin = lane.manners().filter(|_| by_name).map_or(auth::NATIVE, |manners| manners.plugin());
    let nonce = random::nonce();
    let proof = timeout(LIMIT, talk.switch(plugin, &nonce)).await.map_err(io::Error::from)??;
    let user = judge(lane, change.user, plugin, &nonce, &proof, &handle.peer)?;
    if plugin == auth::CACHING_SHA2 {
        talk.send(|out| login::auth_more(out, &[auth::FAST_OK])).await?;
    }
    if !handle.seat.borrow_mut().belongs_to(&user.name, user.max_connections) {
        return Err(user_is_full(&user));
    }
    let collation = change.collation.and_then(|collation| u8::try_from(collation).ok()).unwrap_or(before.collation);
    let attributes = if change.attributes.is_empty() { &before.attributes } else { change.attributes };
    let login = Login {
        user: user.name.as_str().into(),
        capabilities: before.capabilities,
        collation,
        attributes: attributes.get(..attributes.len().min(ATTRIBUTES)).unwrap_or_default().into(),
    };
    Ok((login, Some(change.schema).filter(|schema| !schema.is_empty()).map(Into::into)))
}

/// The user who proved to be one, as far as the configuration lists it.
fn judge(
    lane: &Lane,
    user: &[u8],
    plugin: &[u8],
    nonce: &[u8; NONCE],
    proof: &[u8],
    peer: &str,
) -> Result<User, Refusal> {
    let settings = lane.seat.settings();
    debug_assert_eq!(settings.kind, Kind::Mysql);
    let listed = settings.users.iter().find(|listed| listed.name.as_bytes() == user);
    let nobody = Secret::default();
    let password = listed.and_then(|user| user.password.as_ref()).unwrap_or(&nobody);
    // Checked for unlisted users too, so that the time it takes tells nobody who is listed.
    let right = auth::check(plugin, password.expose(), nonce, proof);
    if let Some(listed) = listed.filter(|listed| right && listed.password.is_some()) {
        return Ok(listed.clone());
    }
    let user = String::from_utf8_lossy(user).into_owned();
    let why = if listed.is_some() { "wrong password" } else { "not among the configured users" };
    tracing::warn!(service = %settings.name, user = ?user, %peer, why, "a login was refused");
    let with = if proof.is_empty() { "NO" } else { "YES" };
    let text = format!("Access denied for user '{user}'@'{}' (using password: {with})", host(peer));
    Err(Refusal::Told(error::ACCESS_DENIED, text))
}

/// The host of a peer as a server would show it.
fn host(peer: &str) -> &str {
    let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
    match host {
        "unix" | "127.0.0.1" | "[::1]" => "localhost",
        host => host.trim_start_matches('[').trim_end_matches(']'),
    }
}

fn user_is_full(user: &User) -> Refusal {
    let limit = user.max_connections.unwrap_or_default();
    let name = &user.name;
    let text = format!("User '{name}' has exceeded the 'max_user_connections' resource (current value: {limit})");
    Refusal::Told(error::USER_LIMIT, text)
}
