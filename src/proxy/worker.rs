//! One thread that carries traffic: a single-threaded runtime, its sessions and its upstreams. Nothing in it is shared.
//!
//! Input: connections and orders, through one inbox. Output: sessions, each a task whose panic ends only itself. Never: a lock,
//! or work for another worker.

use super::{
    Counted,
    conn::split,
    counters::Counters,
    redis::{self, Lane, Turn},
};
use crate::{
    model::name::ServiceName,
    net::{ClientTls, ServerTls, Stream, tune_client},
    route::Board,
};
use std::{
    collections::HashMap,
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};
use tokio::{runtime, sync::mpsc, task::LocalSet, time::timeout};

/// How long a client may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A connection as it was accepted.
pub enum Arrival {
    /// TCP, its peer, and the TLS to speak.
    Tcp(std::net::TcpStream, Box<str>, Option<ServerTls>),
    /// A Unix socket.
    Unix(std::os::unix::net::UnixStream),
}

/// What a worker is told.
pub enum Message {
    /// Serve this service.
    Serve { name: ServiceName, board: Arc<Board>, counters: Arc<Counters>, tls: Option<ClientTls> },
    /// Use these TLS files towards the nodes.
    NodeTls { name: ServiceName, tls: Option<ClientTls> },
    /// Serve this connection, which counts as long as the two live.
    Connection { name: ServiceName, arrival: Arrival, counted: [Counted; 2] },
    /// Serve this service no more.
    Remove { name: ServiceName },
    /// End all sessions at safe points.
    End,
}

/// What gives connections to a worker.
#[derive(Clone)]
pub struct Hand {
    inbox: mpsc::UnboundedSender<Message>,
    load: Arc<AtomicUsize>,
}

impl Hand {
    /// Its sessions now.
    pub fn load(&self) -> usize {
        self.load.load(Relaxed)
    }

    /// Gives it a connection.
    pub fn give(&self, name: ServiceName, arrival: Arrival, counted: Counted) {
        let counted = [counted, Counted::new(&self.load)];
        // A worker that is gone drops the connection, which is all that can be done with it.
        let _ = self.inbox.send(Message::Connection { name, arrival, counted });
    }
}

/// A running worker.
pub struct Worker {
    hand: Hand,
}

impl Worker {
    /// Starts the thread.
    pub fn start(index: usize) -> io::Result<Self> {
        let (inbox, messages) = mpsc::unbounded_channel();
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            LocalSet::new().block_on(&runtime, work(index, messages));
        })?;
        Ok(Self { hand: Hand { inbox, load: Arc::default() } })
    }

    /// What gives connections to it.
    pub fn hand(&self) -> Hand {
        self.hand.clone()
    }

    /// Tells it something.
    pub fn tell(&self, message: Message) {
        // It ends only with the process.
        let _ = self.hand.inbox.send(message);
    }
}

/// What the thread does: serves what it is told through `messages`, until nobody can tell it anything more.
pub(super) async fn work(index: usize, mut messages: mpsc::UnboundedReceiver<Message>) {
    let turn = Rc::new(Turn::default());
    tokio::task::spawn_local(Rc::clone(&turn).flush_forever());
    let mut lanes: HashMap<ServiceName, Rc<Lane>> = HashMap::new();
    while let Some(message) = messages.recv().await {
        match message {
            Message::Serve { name, board, counters, tls } => {
                let lane = Lane::new(index, Rc::clone(&turn), board, counters, tls);
                redis::follow(&lane);
                lanes.insert(name, lane);
            }
            Message::NodeTls { name, tls } => {
                if let Some(lane) = lanes.get(&name) {
                    lane.set_node_tls(tls);
                }
            }
            Message::Connection { name, arrival, counted } => {
                if let Some(lane) = lanes.get(&name) {
                    tokio::task::spawn_local(greet(Rc::clone(lane), arrival, counted));
                }
            }
            Message::Remove { name } => {
                if let Some(lane) = lanes.remove(&name) {
                    lane.end_sessions(true);
                }
            }
            Message::End => lanes.values().for_each(|lane| lane.end_sessions(false)),
        }
    }
}

/// Serves one connection. A small task starts the session's own, so that what only the beginning needs is freed.
async fn greet(lane: Rc<Lane>, arrival: Arrival, counted: [Counted; 2]) {
    match shake_hands(arrival).await {
        Ok((stream, peer)) => {
            let (reader, writer) = split(stream);
            redis::begin(lane, reader, writer, peer, counted);
        }
        Err(error) => tracing::debug!(%error, "a connection ended before its session began"),
    }
}

async fn shake_hands(arrival: Arrival) -> io::Result<(Stream, Box<str>)> {
    match arrival {
        Arrival::Unix(stream) => Ok((Stream::Unix(tokio::net::UnixStream::from_std(stream)?), "unix".into())),
        Arrival::Tcp(stream, peer, tls) => {
            let stream = tokio::net::TcpStream::from_std(stream)?;
            tune_client(&stream);
            match tls {
                None => Ok((Stream::Tcp(stream), peer)),
                Some(tls) => Ok((timeout(HANDSHAKE, Box::pin(tls.accept(stream))).await??, peer)),
            }
        }
    }
}
