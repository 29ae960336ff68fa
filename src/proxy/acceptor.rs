//! Accepts connections and hands each to the least loaded worker.
//!
//! One thread with its own runtime, so that a busy worker never delays an accept. Input: listeners. Output: connections in the
//! workers' inboxes, or the store's own refusal when a service has too many. Never: reads.

use super::{
    Arrival, Counted, elastic,
    listen::Listener,
    mysql, redis,
    worker::{Hand, Port},
};
use crate::{config::Listen, model::name::Kind, net::ServerTls, route::Board};
use arc_swap::ArcSwapOption;
use std::{
    cell::RefCell,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, UnixListener},
    runtime,
    sync::mpsc,
    task::AbortHandle,
};

/// A pause after a failed accept: the process has no descriptor left, most likely.
const PAUSE: Duration = Duration::from_millis(20);

/// A way into one service.
pub struct Door {
    port: Port,
    board: Arc<Board>,
    tls: ArcSwapOption<ServerTls>,
    hands: Vec<Hand>,
    sessions: Arc<AtomicUsize>,
}

impl Door {
    /// A door to `hands`; `sessions` counts those of all doors of its service, which has one limit for them.
    pub fn new(
        port: Port,
        board: Arc<Board>,
        tls: Option<ServerTls>,
        hands: Vec<Hand>,
        sessions: Arc<AtomicUsize>,
    ) -> Self {
        Self { port, board, tls: ArcSwapOption::from_pointee(tls), hands, sessions }
    }

    /// The count of its service's sessions.
    pub fn count(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.sessions)
    }

    /// Which way in it is.
    pub fn port(&self) -> &Port {
        &self.port
    }

    /// Takes other TLS settings for connections from now on.
    pub fn set_tls(&self, tls: Option<ServerTls>) {
        self.tls.store(tls.map(Arc::new));
    }

    /// Sessions of its service now.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Relaxed)
    }

    fn is_full(&self) -> bool {
        self.sessions() >= self.board.view().settings.max_connections
    }

    /// What a connection over the limit is told: nothing where that would have to come after the handshake of TLS.
    fn refusal(&self) -> &'static [u8] {
        match self.board.view().settings.kind {
            Kind::Redis if self.tls.load().is_none() => redis::TOO_MANY,
            Kind::Mysql => mysql::TOO_MANY,
            Kind::Elasticsearch if self.tls.load().is_none() => elastic::TOO_MANY,
            Kind::Redis | Kind::Elasticsearch => b"",
        }
    }

    fn pass(&self, arrival: impl FnOnce(Option<ServerTls>) -> io::Result<Arrival>) {
        let counted = Counted::new(&self.sessions);
        let least = self.hands.iter().min_by_key(|hand| hand.load());
        match (least, arrival(self.tls.load().as_deref().cloned())) {
            (Some(hand), Ok(arrival)) => hand.give(self.port.clone(), arrival, counted),
            (_, Err(error)) => tracing::debug!(%error, "a connection was lost before it was served"),
            (None, _) => {}
        }
    }
}

struct Opening {
    door: Arc<Door>,
    listener: Listener,
    ready: std::sync::mpsc::Sender<Option<AbortHandle>>,
}

/// The accepting thread.
pub struct Acceptor {
    inbox: mpsc::UnboundedSender<Opening>,
    open: RefCell<Vec<(Port, Listen, AbortHandle)>>,
}

impl Acceptor {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let (inbox, mut openings) = mpsc::unbounded_channel::<Opening>();
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("accept".into()).spawn(move || {
            runtime.block_on(async {
                while let Some(Opening { door, listener, ready }) = openings.recv().await {
                    let task = match listener {
                        Listener::Tcp(listener) => TcpListener::from_std(listener)
                            .map(|listener| tokio::spawn(accept_tcp(listener, door)).abort_handle()),
                        Listener::Unix(listener) => UnixListener::from_std(listener)
                            .map(|listener| tokio::spawn(accept_unix(listener, door)).abort_handle()),
                    };
                    // Who asked waits for this; if it is gone, the process ends.
                    let _ = ready.send(task.ok());
                }
            });
        })?;
        Ok(Self { inbox, open: RefCell::default() })
    }

    /// Accepts on these from now on.
    pub fn open(&self, door: &Arc<Door>, listeners: Vec<(Listen, Listener)>) {
        for (listen, listener) in listeners {
            let (ready, answer) = std::sync::mpsc::channel();
            let sent = self.inbox.send(Opening { door: Arc::clone(door), listener, ready });
            if let (Ok(()), Ok(Some(task))) = (sent, answer.recv()) {
                self.open.borrow_mut().push((door.port.clone(), listen, task));
            }
        }
    }

    /// Where a port is listened for.
    pub fn listening(&self, port: &Port) -> Vec<Listen> {
        self.open.borrow().iter().filter(|(of, ..)| of == port).map(|(_, listen, _)| listen.clone()).collect()
    }

    /// Closes some listeners of a port.
    pub fn close(&self, port: &Port, which: impl Fn(&Listen) -> bool) {
        self.open.borrow_mut().retain(|(of, listen, task)| {
            let close = of == port && which(listen);
            if close {
                task.abort();
                if let Listen::Unix(path) = listen {
                    let _ = std::fs::remove_file(path);
                }
            }
            !close
        });
    }
}

async fn accept_tcp(listener: TcpListener, door: Arc<Door>) {
    loop {
        match listener.accept().await {
            Ok((mut stream, peer)) if door.is_full() => {
                tracing::warn!(service = %door.port.name, %peer, "too many connections");
                let _ = stream.write_all(door.refusal()).await;
            }
            Ok((stream, peer)) => {
                door.pass(|tls| Ok(Arrival::Tcp(stream.into_std()?, peer.to_string().into(), tls)));
            }
            Err(error) => {
                tracing::warn!(service = %door.port.name, %error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn accept_unix(listener: UnixListener, door: Arc<Door>) {
    loop {
        match listener.accept().await {
            Ok((mut stream, _)) if door.is_full() => {
                tracing::warn!(service = %door.port.name, "too many connections");
                let _ = stream.write_all(door.refusal()).await;
            }
            Ok((stream, _)) => door.pass(|_| Ok(Arrival::Unix(stream.into_std()?))),
            Err(error) => {
                tracing::warn!(service = %door.port.name, %error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
