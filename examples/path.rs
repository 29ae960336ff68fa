//! Measures by hand: LISTEN TARGET WORKERS
use pointsman::{config::*, model::{name::*, route::*}, proxy::Proxy, route::{Board, View}};
use std::sync::Arc;
fn main() {
    tracing_subscriber::fmt().with_env_filter("debug").with_writer(std::io::stderr).init();
    let args: Vec<String> = std::env::args().collect();
    let workers: usize = args[3].parse().unwrap();
    let service = Service { name: "cart".into(), kind: Kind::Redis, listen: vec![Listen::Tcp(args[1].parse().unwrap())], listen_read: vec![],
        replication: Replication::Managed, tune: false, deny: None, max_connections: 20000, client_buffer: 1<<20, on_call: String::new(), tls: None, node_tls: None,
        credentials: None, health: Health::default(), failover: Failover::defaults(Replication::Managed), clusters: vec![] };
    let target = Target { cluster: ClusterName::from("main"), node: NodeAddress::from(args[2].as_str()) };
    let view = View { route: Route { epoch: Epoch(1), mode: Mode::Open, target: Some(target) }, next: None, cut_sessions: false, settings: Arc::new(service.clone()) };
    let (board, _signals) = Board::new(view, workers);
    pointsman::proxy::raise_descriptors();
    let proxy = Proxy::start(workers).unwrap();
    proxy.serve(&service, &board).unwrap();
    println!("serving");
    loop { std::thread::sleep(std::time::Duration::from_secs(1)); }
}
