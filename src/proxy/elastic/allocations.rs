//! Counts what a worker allocates for a request: nothing, once its buffers have grown.
//!
//! The worker runs on the test's own thread, because allocations are counted for one thread; the node and the applications are threads of
//! their own.

use crate::{
    config::{Replication, Service},
    model::{
        name::{ClusterName, Kind, NodeAddress},
        route::{Epoch, Mode, Route, Target},
    },
    proxy::{
        Arrival, Counted,
        counters::Counters,
        worker::{Message, Port, work},
    },
    route::{Board, View},
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, mpsc as std_mpsc},
    thread,
};
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
    task::LocalSet,
};

const REQUEST: &[u8] =
    b"GET /orders/_doc/7 HTTP/1.1\r\nHost: localhost:9200\r\nAccept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n";
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nX-elastic-product: Elasticsearch\r\ncontent-type: application/json\r\ncontent-length: 16\r\n\r\n{\"found\":\"true\"}";
const CLIENTS: usize = 20;
const ROUNDS: usize = 200;

/// What applications do next: so many rounds; and whom to tell when all are answered.
type Load = (usize, oneshot::Sender<()>);

#[test]
fn a_request_allocates_nothing() {
    let (inbox, messages) = mpsc::unbounded_channel();
    let loads = applications(&inbox, node());
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = LocalSet::new();
    local.spawn_local(work(0, messages));
    let run = |rounds| {
        let (done, answered) = oneshot::channel();
        loads.send((rounds, done)).expect("the applications' thread");
        let counted = allocation_counter::measure(|| {
            local.block_on(&runtime, answered).expect("answers");
        });
        counted.count_total
    };
    run(50);
    assert_eq!(run(ROUNDS), 0, "allocations in {} requests", ROUNDS * CLIENTS);
}

/// A node that has one answer.
fn node() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut request = [0; 4096];
                while let Ok(1..) = stream.read(&mut request) {
                    if stream.write_all(ANSWER).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Tells the worker to serve applications that get their orders through the channel which is returned.
fn applications(inbox: &mpsc::UnboundedSender<Message>, node: SocketAddr) -> std_mpsc::Sender<Load> {
    let port = Port { name: "search".into(), reads: false };
    let tell = |message| assert!(inbox.send(message).is_ok(), "a worker");
    let (counters, threads) = (Arc::<Counters>::default(), Arc::default());
    tell(Message::Serve { port: port.clone(), board: board(node), counters, tls: None, threads });
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(TcpStream::connect(address).expect("a connection"));
        let (accepted, peer) = listener.accept().expect("its other end");
        accepted.set_nonblocking(true).expect("a socket");
        let arrival = Arrival::Tcp(accepted, peer.to_string().into(), None);
        let counted = [Counted::new(&Arc::default()), Counted::new(&Arc::default())];
        tell(Message::Connection { port: port.clone(), arrival, counted });
    }
    let (sender, loads) = std_mpsc::channel::<Load>();
    thread::spawn(move || {
        for (rounds, done) in loads {
            (0..rounds).for_each(|_| round(&mut clients));
            // The test that asked has failed if nobody listens.
            let _ = done.send(());
        }
    });
    sender
}

/// Every client sends, then every client reads.
fn round(clients: &mut [TcpStream]) {
    for client in &mut *clients {
        client.write_all(REQUEST).expect("a worker that reads");
    }
    for client in clients {
        let mut answer = vec![0; ANSWER.len()];
        client.read_exact(&mut answer).expect("a worker that answers");
        assert_eq!(answer, ANSWER, "{}", String::from_utf8_lossy(&answer));
    }
}

fn board(node: SocketAddr) -> Arc<Board> {
    let settings = Service::plain("search", Kind::Elasticsearch, Replication::None);
    let target = Target { cluster: ClusterName::from("a"), node: NodeAddress::from(node.to_string()) };
    let route = Route { epoch: Epoch(1), mode: Mode::Open, target: Some(target) };
    Board::new(View::new(route, Arc::new(settings)), 1).0
}
