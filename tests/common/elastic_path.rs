//! The data path of Elasticsearch and OpenSearch alone: a `Proxy` used as a library and a board that the test publishes itself.

use super::data_path;
use super::http::Http;
use super::ports::free_port;
use pointsman::config::{Cluster, Listen, Node, Replication, Service};
use pointsman::model::name::{ClusterName, Kind, NodeAddress, ServiceName};
use pointsman::model::observation::Peer;
use pointsman::model::route::{Epoch, Mode, Readying, Route, Target};
use pointsman::model::signal::Signal;
use pointsman::model::view::Health;
use pointsman::proxy::{Proxy, ServeError, Snapshot};
use pointsman::route::{Board, View};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A proxy with one service, and what control would hold of it.
pub struct ElasticPath {
    /// The proxy.
    pub proxy: Proxy,
    /// The service's board.
    pub board: Arc<Board>,
    /// What the workers report.
    pub signals: mpsc::Receiver<Signal>,
    /// Where the service listens.
    pub port: u16,
}

/// Clusters by their names, with the addresses of their nodes.
pub type Clusters<'a> = [(&'a str, Vec<String>)];

fn settings(port: u16, clusters: &Clusters<'_>) -> Service {
    let node = |address: &String| Node { address: NodeAddress::from(address.as_str()), replicate_from: None };
    let cluster = |(name, nodes): &(&str, Vec<String>)| Cluster {
        name: ClusterName::from(*name),
        site: String::new(),
        nodes: nodes.iter().map(node).collect(),
    };
    Service {
        listen: vec![Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))],
        clusters: clusters.iter().map(cluster).collect(),
        ..Service::plain("search", Kind::Elasticsearch, Replication::None)
    }
}

impl ElasticPath {
    /// One worker, routed to the first of these clusters.
    pub fn to(clusters: &Clusters<'_>) -> Self {
        Self::with(clusters, |_| {})
    }

    /// As [`ElasticPath::to`], with other settings.
    pub fn with(clusters: &Clusters<'_>, change: impl Fn(&mut Service)) -> Self {
        if let Ok(filter) = std::env::var("POINTSMAN_TEST_LOG") {
            // Another test of this program may have begun it already.
            let _ = pointsman::telemetry::start_logging(&filter, false);
        }
        // Another test program may take a port between the choice and the bind: another one will do.
        let mut tries = (0..5).map(|_| Self::try_with(clusters, &change));
        tries.find_map(Result::ok).expect("a listener")
    }

    fn try_with(clusters: &Clusters<'_>, change: &impl Fn(&mut Service)) -> Result<Self, ServeError> {
        let port = free_port();
        let mut settings = settings(port, clusters);
        change(&mut settings);
        let target = settings.endpoints().next().map(|(cluster, node)| target(cluster, node));
        let view = View::new(Route { epoch: Epoch(1), mode: Mode::Open, target }, Arc::new(settings.clone()));
        let (board, signals) = Board::new(view, 1);
        let proxy = Proxy::start(1).expect("threads");
        proxy.serve(&settings, &board)?;
        Ok(Self { proxy, board, signals, port })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A connection of an application.
    #[track_caller]
    pub fn http(&self) -> Http {
        Http::connect(&self.address()).expect("a connection")
    }

    fn target(&self, name: &str) -> Target {
        let view = self.board.view();
        let (cluster, node) =
            view.settings.endpoints().find(|(cluster, _)| cluster.name.as_str() == name).expect("configured");
        target(cluster, node)
    }

    /// Publishes the next epoch's route.
    pub fn publish(&self, mode: Mode, to: &str, next: Option<(&str, Readying)>) {
        let before = self.board.view();
        let route = Route { epoch: before.route.epoch.next(), mode, target: Some(self.target(to)) };
        let next = next.map(|(name, readying)| (self.target(name), readying));
        self.board.publish(View { route, next, ..View::clone(&before) });
    }

    /// Publishes what the probes found: this health for each of a cluster's nodes, in their order, and `Up` for all others.
    pub fn judge(&self, name: &str, health: &[Health]) {
        let before = self.board.view();
        let mut peers = Vec::new();
        for cluster in &before.settings.clusters {
            for (place, node) in cluster.nodes.iter().enumerate() {
                let judged = health.get(place).filter(|_| cluster.name.as_str() == name);
                peers.push(Peer {
                    cluster: cluster.name.clone(),
                    node: node.address.clone(),
                    health: judged.copied().unwrap_or(Health::Up),
                    version: String::new(),
                    note: String::new(),
                });
            }
        }
        self.board.publish(View { peers: peers.into(), ..View::clone(&before) });
    }

    /// Waits for a signal of the current epoch.
    #[track_caller]
    pub fn wait_signal(&mut self, wanted: impl Fn(Epoch) -> Signal) {
        data_path::wait_signal(&mut self.signals, &wanted(self.board.view().route.epoch));
    }

    /// The planned switch by hand, as control does it: warm, hold, commit, open.
    pub fn switch(&mut self, from: &str, to: &str) {
        self.publish(Mode::Open, from, Some((to, Readying::Warm)));
        self.wait_signal(|epoch| Signal::Warm { worker: 0, epoch });
        self.publish(Mode::Hold, from, Some((to, Readying::Warm)));
        self.wait_signal(|epoch| Signal::Drained { worker: 0, epoch });
        self.publish(Mode::Open, to, None);
    }

    /// What was counted.
    pub fn counters(&self) -> Snapshot {
        self.proxy.counters(&ServiceName::from("search"))
    }
}

fn target(cluster: &Cluster, node: &Node) -> Target {
    Target { cluster: cluster.name.clone(), node: node.address.clone() }
}
