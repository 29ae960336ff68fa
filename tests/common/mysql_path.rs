//! The data path of MySQL alone: a `Proxy` used as a library and a board that the test publishes itself.

use super::data_path;
use super::mysql_server::{MysqlServer, PASSWORD, SHOP};
use super::ports::free_port;
use pointsman::config::{Listen, Service, User};
use pointsman::model::name::{ClusterName, Kind, NodeAddress, ServiceName};
use pointsman::model::route::{Epoch, Mode, Readying, Route, Target};
use pointsman::model::secret::Secret;
use pointsman::model::signal::Signal;
use pointsman::proxy::{Proxy, ServeError, Snapshot};
use pointsman::route::{Board, View};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A proxy with one service, and what control would hold of it.
pub struct MysqlPath {
    /// The proxy.
    pub proxy: Proxy,
    /// The service's board.
    pub board: Arc<Board>,
    /// What the workers report.
    pub signals: mpsc::Receiver<Signal>,
    /// Where the service listens.
    pub port: u16,
}

fn settings(port: u16) -> Service {
    let shop = User { name: SHOP.into(), password: Some(Secret::new(PASSWORD.as_bytes())), max_connections: None };
    Service {
        name: "orders".into(),
        kind: Kind::Mysql,
        listen: vec![Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))],
        users: vec![shop],
        ..data_path::settings(port)
    }
}

fn target(server: &MysqlServer) -> Target {
    Target { cluster: ClusterName::from("a"), node: NodeAddress::from(server.address()) }
}

impl MysqlPath {
    /// One worker, routed to `server`.
    pub fn to(server: &MysqlServer) -> Self {
        Self::with(server, |_| {})
    }

    /// As [`MysqlPath::to`], with other settings.
    pub fn with(server: &MysqlServer, change: impl Fn(&mut Service)) -> Self {
        if let Ok(filter) = std::env::var("POINTSMAN_TEST_LOG") {
            // Another test of this program may have begun it already.
            let _ = pointsman::telemetry::start_logging(&filter, false);
        }
        // Another test program may take a port between the choice and the bind: another one will do.
        let mut tries = (0..5).map(|_| Self::try_with(server, &change));
        tries.find_map(Result::ok).expect("a listener")
    }

    fn try_with(server: &MysqlServer, change: &impl Fn(&mut Service)) -> Result<Self, ServeError> {
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

    /// How an application connects as that user.
    pub fn options(&self, user: &str, password: &str, schema: Option<&str>) -> mysql::OptsBuilder {
        mysql::OptsBuilder::new()
            .ip_or_hostname(Some("127.0.0.1"))
            .tcp_port(self.port)
            .prefer_socket(false)
            .user(Some(user))
            .pass(Some(password))
            .db_name(schema)
    }

    /// A connection of the application's user.
    #[track_caller]
    pub fn connect(&self) -> mysql::Conn {
        mysql::Conn::new(self.options(SHOP, PASSWORD, Some("shop"))).expect("a login")
    }

    /// Publishes the next epoch's route.
    pub fn publish(&self, mode: Mode, to: &MysqlServer, next: Option<(&MysqlServer, Readying)>) {
        let before = self.board.view();
        let route = Route { epoch: before.route.epoch.next(), mode, target: Some(target(to)) };
        let next = next.map(|(server, readying)| (target(server), readying));
        self.board.publish(View { route, next, ..View::clone(&before) });
    }

    /// Waits for a signal of the current epoch.
    #[track_caller]
    pub fn wait_signal(&mut self, wanted: impl Fn(Epoch) -> Signal) {
        data_path::wait_signal(&mut self.signals, &wanted(self.board.view().route.epoch));
    }

    /// What was counted.
    pub fn counters(&self) -> Snapshot {
        self.proxy.counters(&ServiceName::from("orders"))
    }

    /// The planned switch by hand, as control does it: warm, hold, drain, fence, catch up, promote, flip.
    pub fn switch(&mut self, from: &MysqlServer, to: &MysqlServer) {
        self.publish(Mode::Open, from, Some((to, Readying::Warm)));
        self.wait_signal(|epoch| Signal::Warm { worker: 0, epoch });
        self.publish(Mode::Hold, from, Some((to, Readying::Warm)));
        self.wait_signal(|epoch| Signal::Drained { worker: 0, epoch });
        from.query(from.pick("SET GLOBAL super_read_only=ON", "SET GLOBAL read_only=ON"));
        to.wait_synced(from);
        if to.pick(true, false) {
            to.query("STOP REPLICA");
            to.query("RESET REPLICA ALL");
        } else {
            to.query("STOP SLAVE");
            to.query("RESET SLAVE ALL");
        }
        to.query("SET GLOBAL read_only=OFF");
        self.publish(Mode::Open, to, None);
    }
}
