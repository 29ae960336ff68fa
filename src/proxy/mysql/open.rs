//! Opens a session's connection to a node: logs in as the session's user, turns session tracking on, and sees which process it is.
//!
//! Input: a node, who logs in. Output: a connection on which nothing is outstanding, or what was said against it. Never: retries, or a
//! connection to another process than the one that the board says is served.

use super::{
    ask::{self, Answer, AskError},
    door::Login,
    lane::Lane,
    manners::Manners,
    process, random,
    witness::Living,
};
use crate::{
    model::{name::NodeAddress, secret::Secret, signal::Signal},
    net::{ConnectError, Endpoint, Stream},
    protocol::mysql::{
        capability::Capabilities,
        error::{self, Code},
        greeting::Greeting,
        login::{LOGIN_MAX, put_attribute},
        node_login::{Ask, Channel, Node, NodeLogin, NodeLoginError, Progress},
        packet,
        session::tracking::{READ_ONLY, SETUP},
    },
    proxy::line::Line,
};
use bytes::{Buf, BytesMut};
use std::{rc::Rc, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// How long a connection, its login and its first questions may take.
pub const LIMIT: Duration = Duration::from_secs(5);

/// A session's connection to a node.
pub struct Backend {
    /// The connection.
    pub line: Line,
    /// The node.
    pub node: NodeAddress,
    /// The node's own id of the connection.
    pub thread: u32,
    /// What both sides can do.
    pub capabilities: Capabilities,
    /// Status flags after the login.
    pub status: u16,
    /// Session tracking is to be turned on with the first command.
    pub setup_due: bool,
    /// Keeps the lane's count; none for one that is no session's.
    counted: Option<Rc<Lane>>,
}

impl Backend {
    /// Itself, unless the server has closed it, or has said something that nobody asked for.
    pub fn alive(mut self) -> Option<Self> {
        self.line.is_quiet().then_some(self)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(lane) = &self.counted {
            lane.count_backend(false);
        }
        let mut goodbye = Vec::new();
        packet::command(&mut goodbye, crate::protocol::mysql::capability::command::QUIT, b"");
        // The server may be gone already; if it isn't, it frees the session sooner, and doesn't count it as aborted.
        let _ = self.line.writer.try_write(&goodbye);
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub enum OpenError {
    /// No connection.
    Connect,
    /// Connected, and then the connection broke or stayed silent.
    Lost,
    /// The node takes nobody now (too many connections, shutting down): trying again later helps.
    NotReady,
    /// Another process answers than the one that is served: it is judged, and then it is or it isn't.
    Stranger,
    /// The node refuses this login, and will refuse it again.
    Refused(Code, String),
}

impl From<AskError> for OpenError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Lost => Self::Lost,
            AskError::Refused(code, text) => Self::Refused(code, text),
        }
    }
}

/// Connects to `node` and logs in, ready for anything.
pub async fn open(lane: &Rc<Lane>, node: &NodeAddress, login: &Login) -> Result<Backend, OpenError> {
    in_time(lane, node, enter(lane, node, login, None, Ready::Now)).await
}

/// The same for a session that has just begun, in `schema`, if there is one.
pub async fn begin(
    lane: &Rc<Lane>,
    node: &NodeAddress,
    login: &Login,
    schema: Option<&[u8]>,
) -> Result<Backend, OpenError> {
    in_time(lane, node, enter(lane, node, login, schema, Ready::WithFirstCommand)).await
}

/// When session tracking is turned on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ready {
    Now,
    /// In one go with the session's first command, unless a question has to be answered before it.
    WithFirstCommand,
}

async fn in_time(
    lane: &Lane,
    node: &NodeAddress,
    enter: impl Future<Output = Result<Backend, OpenError>>,
) -> Result<Backend, OpenError> {
    let _turn = lane.opening.acquire().await;
    let opened = timeout(LIMIT, enter).await;
    let result = opened.unwrap_or_else(|_| {
        lane.seat.report(Signal::TimedOut, node);
        Err(OpenError::Connect)
    });
    match &result {
        Err(OpenError::Lost) => lane.seat.report(Signal::Reset, node),
        Err(OpenError::NotReady) => lane.seat.report(Signal::WrongRole, node),
        Err(OpenError::Stranger) => lane.seat.report(Signal::Stranger, node),
        Ok(_) | Err(_) => {}
    }
    result
}

/// Logs in once to learn how the node greets, as any of the configured users. True if that is known now.
pub async fn introduce(lane: &Rc<Lane>, node: &NodeAddress) -> bool {
    let settings = lane.seat.settings();
    for user in &settings.users {
        let login = Login {
            user: user.name.as_str().into(),
            capabilities: Capabilities::default(),
            collation: UTF8MB4,
            attributes: Box::default(),
        };
        match open(lane, node, &login).await {
            // It may be that this user isn't let in from here: the greeting came all the same, if it came.
            Ok(_) | Err(OpenError::Refused(..)) if lane.manners().is_some() => return true,
            Err(OpenError::Refused(..)) => {}
            _ => return false,
        }
    }
    false
}

/// Logs in as each of the configured users at a node that isn't served now, so that it remembers their passwords when it is: a login at a MySQL
/// that doesn't takes longer. What comes of it is in the log.
pub async fn be_remembered(lane: &Rc<Lane>, node: &NodeAddress) {
    for user in &lane.seat.settings().users {
        let login = Login {
            user: user.name.as_str().into(),
            capabilities: Capabilities::default(),
            collation: UTF8MB4,
            attributes: Box::default(),
        };
        let _turn = lane.opening.acquire().await;
        // A node that is down is the probes' affair.
        let _ = timeout(LIMIT, enter(lane, node, &login, None, Ready::Now)).await;
    }
}

/// `utf8mb4_general_ci`, which every server has.
pub(super) const UTF8MB4: u8 = 45;

async fn enter(
    lane: &Rc<Lane>,
    node: &NodeAddress,
    login: &Login,
    schema: Option<&[u8]>,
    ready: Ready,
) -> Result<Backend, OpenError> {
    let settings = lane.seat.settings();
    let user = settings.users.iter().find(|user| *user.name == *login.user);
    let Some(password) = user.and_then(|user| user.password.as_ref()) else {
        // A reload has taken the user out meanwhile.
        let text = format!("Access denied for user '{}': not configured any more", login.user);
        return Err(OpenError::Refused(error::ACCESS_DENIED, text));
    };
    let mut backend = log_in(lane, node, login, password, schema).await?;
    backend.counted = Some(Rc::clone(lane));
    lane.count_backend(true);
    prepare(lane, &mut backend, ready).await?;
    Ok(backend)
}

/// Connects to `node` and logs in with that password, whoever answers there.
pub(super) async fn log_in(
    lane: &Lane,
    node: &NodeAddress,
    login: &Login,
    password: &Secret,
    schema: Option<&[u8]>,
) -> Result<Backend, OpenError> {
    let endpoint = lane.seat.endpoint(node);
    let socket = match endpoint.connect_plain(LIMIT).await {
        Ok(socket) => socket,
        Err(error) => {
            tracing::debug!(%node, %error, "no connection");
            match error {
                ConnectError::Refused => lane.seat.report(Signal::Refused, node),
                ConnectError::TimedOut | ConnectError::Silent => lane.seat.report(Signal::TimedOut, node),
                _ => {}
            }
            return Err(OpenError::Connect);
        }
    };
    let (way, entered) = Knock { lane, node, login, password, schema, endpoint: &endpoint }.log_in(socket).await?;
    let Node { connection_id: thread, capabilities, status, .. } = entered;
    Ok(Backend { line: way, node: node.clone(), thread, capabilities, status, setup_due: true, counted: None })
}

/// Makes a fresh session at the node one that can be followed, and sees that it is one at the process that is served.
async fn prepare(lane: &Lane, backend: &mut Backend, ready: Ready) -> Result<(), OpenError> {
    let Some(served) = lane.seat.view().process.clone().filter(|_| lane.seat.leads_to(&backend.node)) else {
        return match ready {
            Ready::WithFirstCommand if !lane.seat.board.reads => Ok(()),
            _ => Ok(track(lane, backend).await?),
        };
    };
    let mariadb = lane.manners().is_some_and(|manners| manners.is_mariadb());
    let node = backend.node.clone();
    let mut questions = setup(lane).to_vec();
    questions.push(process::identity(mariadb));
    let (answers, living) =
        tokio::join!(ask::ask_all(backend, &questions), lane.witness.ask(lane, &node, &served, mariadb));
    if !process::is_identity(&served, &last_row(answers?)) {
        return Err(OpenError::Stranger);
    }
    backend.setup_due = false;
    match living {
        Living::Yes => Ok(()),
        Living::No => Err(OpenError::Stranger),
        Living::Unknown => {
            let answers = ask::ask_all(backend, &[process::question(mariadb)]).await?;
            if process::is_served(&served, &last_row(answers)) { Ok(()) } else { Err(OpenError::Stranger) }
        }
    }
}

fn last_row(mut answers: Vec<Answer>) -> Vec<Option<Vec<u8>>> {
    answers.pop().and_then(|answer| answer.row).unwrap_or_default()
}

/// Turns session tracking on again, after the server has reset the session.
pub async fn track(lane: &Lane, backend: &mut Backend) -> Result<(), AskError> {
    ask::ask_all(backend, setup(lane)).await?;
    backend.setup_due = false;
    Ok(())
}

/// What every fresh session at a node is told first.
fn setup(lane: &Lane) -> &'static [&'static str] {
    if lane.seat.board.reads { &[READ_ONLY, SETUP] } else { &[SETUP] }
}

/// One login under way.
struct Knock<'a> {
    lane: &'a Lane,
    node: &'a NodeAddress,
    login: &'a Login,
    password: &'a Secret,
    schema: Option<&'a [u8]>,
    endpoint: &'a Endpoint,
}

impl Knock<'_> {
    async fn log_in(&self, socket: TcpStream) -> Result<(Line, Node), OpenError> {
        let mut attributes = self.login.attributes.to_vec();
        put_attribute(&mut attributes, b"_proxy", b"pointsman");
        let mut login = NodeLogin::new(Ask {
            user: self.login.user.as_bytes(),
            password: self.password,
            schema: self.schema,
            capabilities: self.login.capabilities,
            optional: Capabilities::default(),
            collation: self.login.collation,
            attributes: &attributes,
            channel: if self.endpoint.is_secure() { Channel::Tls } else { Channel::Plain },
            seed: random::seed(),
        });
        let mut stream = Stream::Tcp(socket);
        let mut unread = BytesMut::new();
        let mut out = Vec::new();
        let mut greeted = false;
        loop {
            if stream.read_buf(&mut unread).await.unwrap_or_default() == 0 || unread.len() > LOGIN_MAX * 2 {
                return Err(OpenError::Lost);
            }
            if !greeted && let Some((_, payload)) = packet::read(&unread) {
                greeted = true;
                if let Ok(greeting) = Greeting::read(payload) {
                    self.lane.learn(self.node, Manners::of(&greeting));
                }
            }
            let (used, progress) = login.read(&unread, &mut out).map_err(|error| self.refused(&error))?;
            unread.advance(used);
            stream.write_all(&out).await.map_err(|_| OpenError::Lost)?;
            out.clear();
            match progress {
                Progress::More => {}
                Progress::NeedsTls => {
                    stream = self.secure(stream).await?;
                    login.tls_ready(&mut out);
                    stream.write_all(&out).await.map_err(|_| OpenError::Lost)?;
                    out.clear();
                }
                Progress::Done(node) => return Ok((Line::new(stream), node)),
            }
        }
    }

    async fn secure(&self, stream: Stream) -> Result<Stream, OpenError> {
        let Stream::Tcp(socket) = stream else { return Err(OpenError::Lost) };
        self.endpoint.secure(socket, LIMIT).await.map_err(|error| {
            tracing::warn!(node = %self.node, %error, "no TLS with the node");
            OpenError::Lost
        })
    }

    fn refused(&self, error: &NodeLoginError) -> OpenError {
        let (node, user) = (self.node, &self.login.user);
        match error {
            NodeLoginError::Refused { number, text, .. } if is_passing(*number) => {
                tracing::debug!(%node, %user, number, text, "the node takes nobody now");
                OpenError::NotReady
            }
            NodeLoginError::Refused { number, state, text } => {
                tracing::warn!(%node, %user, number, text, "the node refused a login");
                OpenError::Refused(Code { number: *number, state: *state }, text.clone())
            }
            other => {
                tracing::warn!(%node, %user, error = %other, "no login at the node");
                OpenError::Refused(error::UNKNOWN, format!("pointsman: {other}"))
            }
        }
    }
}

/// True for what a node says that takes nobody now, and may take somebody later: it starts, it stops, or it is full.
fn is_passing(number: u16) -> bool {
    matches!(number, 1040 | 1053 | 1129 | 1203 | 3032 | 3159)
}
