//! The data path: listeners, workers, and one folder a kind of store.
//!
//! Inputs: a service's settings and its board, applications' connections. Outputs: their bytes on the route's node and back,
//! signals and counts on the board. It never decides where the route points to, and never runs a store.

mod acceptor;
#[cfg(test)]
mod allocations;
mod arrival;
mod bell;
mod conn;
mod counters;
mod desk;
mod elastic;
mod limits;
mod line;
mod listen;
mod mysql;
mod pace;
mod pool;
mod question;
mod redis;
mod seat;
mod worker;

pub use counters::{BOUNDS_US, Counters, Outcome, Snapshot};
pub use limits::raise_descriptors;
pub use listen::ListenError;

use crate::{
    config::{Listen, Service},
    model::name::ServiceName,
    net::{ClientTls, ServerTls, TlsFileError},
    route::Board,
};
use acceptor::{Acceptor, Door};
use arrival::Arrival;
use std::{
    cell::RefCell,
    collections::HashMap,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use worker::{Message, Port, Worker};

/// How long sessions get to end at safe points when the grace is over.
const CUT: Duration = Duration::from_secs(1);

/// Why a service can't be served.
#[derive(Debug)]
pub enum ServeError {
    /// A listener can't be opened.
    Listen(ListenError),
    /// A TLS file can't be used.
    Tls(TlsFileError),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ServeError {}

/// What the proxy knows of one service.
struct Served {
    /// Its own, and that of its read port if it has one.
    doors: Vec<Arc<Door>>,
    counters: Vec<Arc<Counters>>,
}

/// The workers and the acceptor. Owned by one thread, which is not one of theirs.
pub struct Proxy {
    workers: Vec<Worker>,
    acceptor: Acceptor,
    services: RefCell<HashMap<ServiceName, Served>>,
}

impl Proxy {
    /// Starts `workers` threads that carry traffic, and one that accepts connections.
    pub fn start(workers: usize) -> io::Result<Self> {
        let workers = (0..workers.max(1)).map(Worker::start).collect::<io::Result<Vec<_>>>()?;
        let acceptor = Acceptor::start()?;
        Ok(Self { workers, acceptor, services: RefCell::default() })
    }

    /// How many workers there are: the board of a service is made for as many.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Opens the listeners of a service and serves it by what its board says. Nothing is served if one listener fails.
    pub fn serve(&self, settings: &Service, board: &Arc<Board>) -> Result<(), ServeError> {
        let counters: Vec<Arc<Counters>> = self.workers.iter().map(|_| Arc::default()).collect();
        let port = Port { name: settings.name.clone(), reads: false };
        let door = self.open(port, (settings, &settings.listen), board, &counters, Arc::default())?;
        self.services.borrow_mut().insert(settings.name.clone(), Served { doors: vec![door], counters });
        Ok(())
    }

    /// Opens the read port of a service that is served, by what a board of its own says. Its connections and commands are
    /// counted with those of the service. Nothing is served if one listener fails.
    pub fn serve_reads(&self, settings: &Service, board: &Arc<Board>) -> Result<(), ServeError> {
        let mut services = self.services.borrow_mut();
        let Some(Served { doors, counters }) = services.get_mut(&settings.name) else { return Ok(()) };
        let sessions = doors.first().map(|door| door.count()).unwrap_or_default();
        let port = Port { name: settings.name.clone(), reads: true };
        doors.push(self.open(port, (settings, &settings.listen_read), board, counters, sessions)?);
        Ok(())
    }

    fn open(
        &self,
        port: Port,
        (settings, places): (&Service, &[Listen]),
        board: &Arc<Board>,
        counters: &[Arc<Counters>],
        sessions: Arc<AtomicUsize>,
    ) -> Result<Arc<Door>, ServeError> {
        let (server_tls, tls) = load_tls(settings)?;
        let listeners = listen::open_all(places).map_err(ServeError::Listen)?;
        // The ids of MySQL's connections are a port's own, as they are a server's.
        let threads = Arc::<mysql::Threads>::default();
        for (worker, counters) in self.workers.iter().zip(counters) {
            let (port, board, counters) = (port.clone(), Arc::clone(board), Arc::clone(counters));
            worker.tell(Message::Serve { port, board, counters, tls: tls.clone(), threads: Arc::clone(&threads) });
        }
        let hands = self.workers.iter().map(Worker::hand).collect();
        let door = Arc::new(Door::new(port, Arc::clone(board), server_tls, hands, sessions));
        self.acceptor.open(&door, listeners);
        Ok(door)
    }

    /// Applies changed settings: listeners, TLS files (read again). What the boards carry needs no call, and where the read port
    /// listens doesn't change. On an error nothing is changed.
    pub fn update(&self, settings: &Service) -> Result<(), ServeError> {
        let services = self.services.borrow();
        let Some(served) = services.get(&settings.name) else { return Ok(()) };
        let (server_tls, client_tls) = load_tls(settings)?;
        let main = served.doors.iter().find(|door| !door.port().reads);
        let known = main.map(|door| self.acceptor.listening(door.port())).unwrap_or_default();
        let fresh: Vec<_> = settings.listen.iter().filter(|one| !known.contains(one)).cloned().collect();
        let listeners = listen::open_all(&fresh).map_err(ServeError::Listen)?;
        for door in &served.doors {
            door.set_tls(server_tls.clone());
            for worker in &self.workers {
                worker.tell(Message::NodeTls { port: door.port().clone(), tls: client_tls.clone() });
            }
        }
        if let Some(door) = main {
            self.acceptor.close(door.port(), |listen| !settings.listen.contains(listen));
            self.acceptor.open(door, listeners);
        }
        Ok(())
    }

    /// Closes a service's listeners and ends its sessions.
    pub fn remove(&self, name: &ServiceName) {
        let Some(served) = self.services.borrow_mut().remove(name) else { return };
        for door in &served.doors {
            self.acceptor.close(door.port(), |_| true);
            for worker in &self.workers {
                worker.tell(Message::Remove { port: door.port().clone() });
            }
        }
    }

    /// What was counted for a service since it is served, over all workers.
    pub fn counters(&self, name: &ServiceName) -> Snapshot {
        let mut sum = Snapshot::default();
        for counters in self.services.borrow().get(name).into_iter().flat_map(|served| &served.counters) {
            counters.add_to(&mut sum);
        }
        sum
    }

    /// Serves on, new connections too, until no session is left or `grace` has passed; then cuts sessions at safe points.
    pub async fn shutdown(&self, grace: Duration) {
        for worker in &self.workers {
            worker.tell(Message::Retire);
        }
        self.until_empty(grace).await;
        for worker in &self.workers {
            worker.tell(Message::End);
        }
        self.until_empty(CUT).await;
        let names: Vec<_> = self.services.borrow().keys().cloned().collect();
        for name in names {
            self.remove(&name);
        }
    }

    async fn until_empty(&self, limit: Duration) {
        let doors: Vec<_> =
            self.services.borrow().values().flat_map(|served| served.doors.iter().map(Arc::clone)).collect();
        let empty = async {
            while doors.iter().any(|door| door.sessions() > 0) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // A limit that passes is how it ends when sessions stay.
        let _ = tokio::time::timeout(limit, empty).await;
    }
}

fn load_tls(settings: &Service) -> Result<(Option<ServerTls>, Option<ClientTls>), ServeError> {
    let server = settings.tls.as_ref().map(ServerTls::load).transpose().map_err(ServeError::Tls)?;
    let client = settings.node_tls.as_ref().map(ClientTls::load).transpose().map_err(ServeError::Tls)?;
    Ok((server, client))
}

/// Counts one thing for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
