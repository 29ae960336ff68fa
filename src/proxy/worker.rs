//! One thread that carries traffic: a single-threaded runtime, its sessions and its upstreams. Nothing in it is shared.
//!
//! Input: connections and orders, through one inbox. Output: sessions, each a task whose panic ends only itself. Never: a lock,
//! or work for another worker.

use super::{Arrival, Counted, counters::Counters, desk::Desk, elastic, mysql, redis};
use crate::{
    model::name::{Kind, ServiceName},
    net::ClientTls,
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
};
use tokio::{runtime, sync::mpsc, task::LocalSet};

/// A way into a service: what is served through it has a board and sessions of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    /// The service.
    pub name: ServiceName,
    /// True for its read port.
    pub reads: bool,
}

/// What a worker is told.
pub enum Message {
    /// Serve this port.
    Serve {
        port: Port,
        board: Arc<Board>,
        counters: Arc<Counters>,
        tls: Option<ClientTls>,
        threads: Arc<mysql::Threads>,
    },
    /// Use these TLS files towards the nodes.
    NodeTls { port: Port, tls: Option<ClientTls> },
    /// Serve this connection, which counts as long as the two live.
    Connection { port: Port, arrival: Arrival, counted: [Counted; 2] },
    /// Serve this port no more.
    Remove { port: Port },
    /// Invite clients to leave, where their protocol has words for it.
    Retire,
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
    pub fn give(&self, port: Port, arrival: Arrival, counted: Counted) {
        let counted = [counted, Counted::new(&self.load)];
        // A worker that is gone drops the connection, which is all that can be done with it.
        let _ = self.inbox.send(Message::Connection { port, arrival, counted });
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

/// One port of a service on this worker, of one kind or another.
#[derive(Clone)]
enum Lane {
    Redis(Rc<redis::Lane>),
    Mysql(Rc<mysql::Lane>),
    Elastic(Rc<elastic::Lane>),
}

impl Lane {
    fn set_node_tls(&self, tls: Option<ClientTls>) {
        match self {
            Self::Redis(lane) => lane.seat.set_node_tls(tls),
            Self::Mysql(lane) => lane.seat.set_node_tls(tls),
            Self::Elastic(lane) => lane.set_node_tls(tls),
        }
    }

    fn end_sessions(&self, now: bool) {
        match self {
            Self::Redis(lane) => lane.end_sessions(now),
            Self::Mysql(lane) => lane.end_sessions(now),
            Self::Elastic(lane) => lane.end_sessions(now),
        }
    }

    fn retire(&self) {
        match self {
            Self::Redis(_) | Self::Mysql(_) => {}
            Self::Elastic(lane) => lane.retire(),
        }
    }

    /// Serves one connection. A small task starts the session's own, so that what only the beginning needs is freed.
    fn greet(&self, arrival: Arrival, counted: [Counted; 2]) {
        match self {
            Self::Redis(lane) => redis::greet(Rc::clone(lane), arrival, counted),
            Self::Mysql(lane) => mysql::greet(Rc::clone(lane), arrival, counted),
            Self::Elastic(lane) => elastic::greet(Rc::clone(lane), arrival, counted),
        }
    }
}

/// What the thread does: serves what it is told through `messages`, until nobody can tell it anything more.
pub(super) async fn work(index: usize, mut messages: mpsc::UnboundedReceiver<Message>) {
    let turn = Rc::new(redis::Turn::default());
    tokio::task::spawn_local(Rc::clone(&turn).flush_forever());
    let desk = Rc::new(Desk::default());
    let mut lanes: HashMap<Port, Lane> = HashMap::new();
    while let Some(message) = messages.recv().await {
        match message {
            Message::Serve { port, board, counters, tls, threads } => {
                let kind = board.view().settings.kind;
                let lane = match kind {
                    Kind::Redis => {
                        let lane = redis::Lane::new(index, Rc::clone(&turn), board, counters, tls);
                        redis::follow(&lane);
                        Lane::Redis(lane)
                    }
                    Kind::Mysql => {
                        let lane = mysql::Lane::new(index, Rc::clone(&desk), board, counters, threads, tls);
                        mysql::follow(&lane);
                        Lane::Mysql(lane)
                    }
                    Kind::Elasticsearch => {
                        let lane = elastic::Lane::new(index, Rc::clone(&desk), board, counters, tls);
                        elastic::follow(&lane);
                        Lane::Elastic(lane)
                    }
                };
                lanes.insert(port, lane);
            }
            Message::NodeTls { port, tls } => {
                if let Some(lane) = lanes.get(&port) {
                    lane.set_node_tls(tls);
                }
            }
            Message::Connection { port, arrival, counted } => {
                if let Some(lane) = lanes.get(&port) {
                    lane.greet(arrival, counted);
                }
            }
            Message::Remove { port } => {
                if let Some(lane) = lanes.remove(&port) {
                    lane.end_sessions(true);
                }
            }
            Message::Retire => lanes.values().for_each(Lane::retire),
            Message::End => lanes.values().for_each(|lane| lane.end_sessions(false)),
        }
    }
}
