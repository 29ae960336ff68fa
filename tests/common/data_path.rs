//! The data path alone: a `Proxy` used as a library and a board that the test publishes itself.

use super::ports::free_port;
use super::raw::Raw;
use super::redis_server::RedisServer;
use super::{PATIENCE, wait_for};
use pointsman::config::{Listen, Replication, Service};
use pointsman::model::name::{ClusterName, Kind, NodeAddress, ServiceName};
use pointsman::model::route::{Epoch, Mode, Readying, Route, Target};
use pointsman::model::signal::Signal;
use pointsman::proxy::{Proxy, ServeError, Snapshot};
use pointsman::route::{Board, View};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A proxy with one service, and what control would hold of it.
pub struct DataPath {
    /// The proxy.
    pub proxy: Proxy,
    /// The service's board.
    pub board: Arc<Board>,
    /// What the workers report.
    pub signals: mpsc::Receiver<Signal>,
    /// Where the service listens.
    pub port: u16,
}

/// Settings of a service that listens on `port`.
pub fn settings(port: u16) -> Service {
    Service {
        listen: vec![Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))],
        ..Service::plain("cart", Kind::Redis, Replication::Managed)
    }
}

/// Waits for that signal; what comes before it is of no interest.
#[track_caller]
pub fn wait_signal(signals: &mut mpsc::Receiver<Signal>, wanted: &Signal) {
    wait_for(&format!("{wanted:?}"), PATIENCE, || {
        while let Ok(signal) = signals.try_recv() {
            if signal == *wanted {
                return true;
            }
        }
        false
    });
}

fn target(server: &RedisServer) -> Target {
    Target { cluster: ClusterName::from("a"), node: NodeAddress::from(server.address()) }
}

impl DataPath {
    /// One worker, routed to `server`.
    pub fn to(server: &RedisServer) -> Self {
        Self::with(server, |_| {})
    }

    /// As [`DataPath::to`], with other settings.
    pub fn with(server: &RedisServer, change: impl Fn(&mut Service)) -> Self {
        // Another test program may take a port between the choice and the bind: another one will do.
        let mut tries = (0..5).map(|_| Self::try_with(server, &change));
        tries.find_map(Result::ok).expect("a listener")
    }

    fn try_with(server: &RedisServer, change: &impl Fn(&mut Service)) -> Result<Self, ServeError> {
        let port = free_port();
        let mut settings = settings(port);
        change(&mut settings);
        let route = Route { epoch: Epoch(1), mode: Mode::Open, target: Some(target(server)) };
        let view = View::new(route, Arc::new(settings.clone()));
        let (board, signals) = Board::new(view, 1);
        let proxy = Proxy::start(1).expect("threads");
        proxy.serve(&settings, &board)?;
        Ok(Self { proxy, board, signals, port })
    }

    /// A connection of an application.
    #[track_caller]
    pub fn raw(&self) -> Raw {
        Raw::connect(self.port)
    }

    /// Publishes the next epoch's route.
    pub fn publish(&self, mode: Mode, to: &RedisServer, next: Option<(&RedisServer, Readying)>) {
        let before = self.board.view();
        let route = Route { epoch: before.route.epoch.next(), mode, target: Some(target(to)) };
        let next = next.map(|(server, readying)| (target(server), readying));
        let process = before.process.as_ref().map(|_| to.info("run_id").into());
        self.board.publish(View { route, process, next, ..View::clone(&before) });
    }

    /// Publishes that the process which runs at this server now is the one that is served.
    pub fn serve(&self, server: &RedisServer) {
        let before = self.board.view();
        self.board.publish(View { process: Some(server.info("run_id").into()), ..View::clone(&before) });
    }

    /// Publishes the hold of a failover: the server's process is being left, and none is served.
    pub fn leave(&self, server: &RedisServer) {
        let before = self.board.view();
        let route = Route { epoch: before.route.epoch.next(), mode: Mode::Hold, target: Some(target(server)) };
        self.board.publish(View { route, process: Some("".into()), ..View::clone(&before) });
    }

    /// Waits for a signal of the current epoch.
    #[track_caller]
    pub fn wait_signal(&mut self, wanted: impl Fn(Epoch) -> Signal) {
        wait_signal(&mut self.signals, &wanted(self.board.view().route.epoch));
    }

    /// Waits for [`Signal::Warm`] of the current epoch.
    #[track_caller]
    pub fn wait_warm(&mut self) {
        self.wait_signal(|epoch| Signal::Warm { worker: 0, epoch });
    }

    /// Waits for [`Signal::Drained`] of the current epoch.
    #[track_caller]
    pub fn wait_drained(&mut self) {
        self.wait_signal(|epoch| Signal::Drained { worker: 0, epoch });
    }

    /// Waits for [`Signal::HandedOver`] of the current epoch.
    #[track_caller]
    pub fn wait_handed_over(&mut self) {
        self.wait_signal(|epoch| Signal::HandedOver { worker: 0, epoch });
    }

    /// What was counted.
    pub fn counters(&self) -> Snapshot {
        self.proxy.counters(&ServiceName::from("cart"))
    }
}

/// The planned switch by hand, as control does it: hold, drain, fence, catch up, hand over, promote, demote, flip.
pub fn switch(path: &mut DataPath, from: &RedisServer, to: &RedisServer) {
    path.publish(Mode::Open, from, Some((to, Readying::Warm)));
    path.wait_warm();
    path.publish(Mode::Hold, from, Some((to, Readying::Warm)));
    path.wait_drained();
    from.command(&["CLIENT", "PAUSE", "5000", "WRITE"]);
    from.command(&["CONFIG", "SET", "min-replicas-to-write", "1000"]);
    to.wait_synced();
    path.publish(Mode::Hold, from, Some((to, Readying::HandOver)));
    path.wait_handed_over();
    to.command(&["REPLICAOF", "NO", "ONE"]);
    from.command(&["REPLICAOF", "127.0.0.1", &to.port().to_string()]);
    from.command(&["CLIENT", "UNPAUSE"]);
    from.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    from.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    from.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    path.publish(Mode::Open, to, None);
}
