//! Counts what a worker allocates for a command: nothing, once its buffers have grown.
//!
//! The worker runs on the test's own thread, because allocations are counted for one thread; the node and the applications
//! are threads of their own.

use super::{
    Arrival, Counted,
    counters::Counters,
    worker::{Message, Port, work},
};
use crate::{
    config::{Replication, Service},
    model::{
        name::{ClusterName, Kind, NodeAddress, ServiceName},
        route::{Epoch, Mode, Route, Target},
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

/// What every new upstream is asked first.
const GREETING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const REQUEST: &[u8] = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
const REPLY: &[u8] = b"$1\r\nv\r\n";
const CLIENTS: usize = 20;
const ROUNDS: usize = 200;

/// What applications do next: so many rounds, so many commands in a row; and whom to tell when all are answered.
struct Load {
    rounds: usize,
    pipeline: usize,
    done: oneshot::Sender<()>,
}

#[test]
fn a_command_allocates_nothing() {
    allocate_nothing(false);
}

#[test]
fn a_command_on_the_read_port_allocates_nothing() {
    allocate_nothing(true);
}

fn allocate_nothing(reads: bool) {
    let (inbox, messages) = mpsc::unbounded_channel();
    let loads = applications(&inbox, board(node(), reads));
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = LocalSet::new();
    local.spawn_local(work(0, messages));
    let run = |rounds, pipeline| {
        let (done, answered) = oneshot::channel();
        loads.send(Load { rounds, pipeline, done }).expect("the applications' thread");
        let counted = allocation_counter::measure(|| {
            local.block_on(&runtime, answered).expect("answers");
        });
        counted.count_total
    };
    for pipeline in [1, 16] {
        // Each application sends as many in a row here as all of them together below, so that every buffer is large enough.
        run(20, pipeline * CLIENTS);
        let counted = run(ROUNDS, pipeline);
        assert_eq!(counted, 0, "allocations in {} commands, {pipeline} in a row", ROUNDS * CLIENTS * pipeline);
    }
}

/// A node that has one answer, after the greeting.
fn node() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    let mut greeting = [0; GREETING.len()];
    let greeted = stream.read_exact(&mut greeting).is_ok() && greeting == GREETING;
    if !greeted || stream.write_all(b"+PONG\r\n").is_err() {
        return;
    }
    let mut buffer = vec![0; 64 * 1024];
    let mut pending = 0;
    while let Ok(many @ 1..) = stream.read(&mut buffer) {
        pending += many;
        let replies = REPLY.repeat(pending / REQUEST.len());
        pending %= REQUEST.len();
        if stream.write_all(&replies).is_err() {
            return;
        }
    }
}

/// Tells the worker to serve applications that get their commands through the channel which is returned.
fn applications(inbox: &mpsc::UnboundedSender<Message>, board: Arc<Board>) -> std_mpsc::Sender<Load> {
    let port = Port { name: ServiceName::from("cart"), reads: board.reads };
    let tell = |message| assert!(inbox.send(message).is_ok(), "a worker");
    tell(Message::Serve {
        port: port.clone(),
        board,
        counters: Arc::<Counters>::default(),
        tls: None,
        threads: Arc::default(),
    });
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
    let (sender, loads) = std_mpsc::channel();
    thread::spawn(move || {
        for Load { rounds, pipeline, done } in loads {
            (0..rounds).for_each(|_| round(&mut clients, pipeline));
            // The test that asked has failed if nobody listens.
            let _ = done.send(());
        }
    });
    sender
}

/// Every client sends, then every client reads.
fn round(clients: &mut [TcpStream], pipeline: usize) {
    for client in &mut *clients {
        client.write_all(&REQUEST.repeat(pipeline)).expect("a worker that reads");
    }
    for client in clients {
        let mut replies = vec![0; REPLY.len() * pipeline];
        client.read_exact(&mut replies).expect("a worker that answers");
        assert_eq!(replies, REPLY.repeat(pipeline));
    }
}

fn board(node: SocketAddr, reads: bool) -> Arc<Board> {
    let settings = Service::plain("cart", Kind::Redis, Replication::None);
    let target = Target { cluster: ClusterName::from("a"), node: NodeAddress::from(node.to_string()) };
    let mode = if reads { Mode::ReadOnly } else { Mode::Open };
    let view = View::new(Route { epoch: Epoch(1), mode, target: Some(target) }, Arc::new(settings));
    if reads { Board::for_reads(view, 1).0 } else { Board::new(view, 1).0 }
}
