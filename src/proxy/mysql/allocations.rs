//! Counts what a worker allocates for a command of MySQL: nothing, once its buffers have grown.
//!
//! The worker runs on the test's own thread, because allocations are counted for one thread; the node and the application are threads of
//! their own. The node knows just enough of the protocol.

use super::Threads;
use crate::{
    config::{Replication, Service, User},
    model::{
        name::{ClusterName, Kind, NodeAddress, ServiceName},
        route::{Epoch, Mode, Route, Target},
        secret::Secret,
    },
    protocol::mysql::{
        auth,
        capability::{Capabilities, command as com, status},
        greeting::Greeting,
        node_login::{Ask, Channel, NodeLogin, Progress},
        packet::{self, HEADER, Header},
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

/// OK with a tracker that the application didn't ask for, as MySQL sends it after each statement.
const OK: &[u8] = b"\x13\0\0\x01\0\x01\0\x02\x40\0\0\0\x0a\0\x08\x04when\x0215";
const ROUNDS: usize = 500;

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
    let loads = application(&inbox, board(node(), reads));
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = LocalSet::new();
    local.spawn_local(work(0, messages));
    let run = |rounds| {
        let (done, answered) = oneshot::channel();
        loads.send((rounds, done)).expect("the application's thread");
        let counted = allocation_counter::measure(|| {
            local.block_on(&runtime, answered).expect("answers");
        });
        counted.count_total
    };
    run(50);
    assert_eq!(run(ROUNDS), 0, "allocations in {ROUNDS} rounds");
}

/// A node that lets everybody in, and has one answer.
fn node() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

fn serve(mut stream: TcpStream) -> Option<()> {
    let capabilities = Capabilities::OWN | Capabilities::SHARED | Capabilities::LONG_PASSWORD;
    let greeting = Greeting {
        version: b"8.4.0",
        connection_id: 7,
        nonce: [b'n'; 20],
        capabilities: capabilities - Capabilities::QUERY_ATTRIBUTES - Capabilities::OPTIONAL_METADATA,
        collation: 45,
        status: status::AUTOCOMMIT,
        plugin: auth::NATIVE,
    };
    let mut out = Vec::new();
    packet::write_with(&mut out, 0, |out| greeting.write(out));
    stream.write_all(&out).ok()?;
    next(&mut stream)?;
    stream.write_all(b"\x07\0\0\x02\0\0\0\x02\0\0\0").ok()?;
    loop {
        match *next(&mut stream)?.first()? {
            com::STMT_PREPARE => stream.write_all(b"\x0c\0\0\x01\0\x01\0\0\0\0\0\0\0\0\0\0").ok()?,
            com::QUIT => return None,
            _ => stream.write_all(OK).ok()?,
        }
    }
}

/// The payload of the next packet.
fn next(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).ok()?;
    let mut payload = vec![0; Header::read(&header)?.len];
    stream.read_exact(&mut payload).ok()?;
    Some(payload)
}

type Load = (usize, oneshot::Sender<()>);

/// Tells the worker to serve an application that gets its orders through the channel which is returned.
fn application(inbox: &mpsc::UnboundedSender<Message>, board: Arc<Board>) -> std_mpsc::Sender<Load> {
    let port = Port { name: ServiceName::from("orders"), reads: board.reads };
    let tell = |message| assert!(inbox.send(message).is_ok(), "a worker");
    let threads = Arc::<Threads>::default();
    let counters = Arc::<Counters>::default();
    let [prepared, text]: [&[u8]; 2] = if board.reads {
        [b"SELECT 1", b"SELECT n FROM t WHERE s = 'x' AND m IN (1, 2)"]
    } else {
        [b"INSERT INTO t VALUES (1)", b"UPDATE t SET n = n + 1 WHERE s = 'x' AND m IN (1, 2)"]
    };
    tell(Message::Serve { port: port.clone(), board, counters, tls: None, threads });
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    let (accepted, peer) = listener.accept().expect("its other end");
    accepted.set_nonblocking(true).expect("a socket");
    let arrival = Arrival::Tcp(accepted, peer.to_string().into(), None);
    let counted = [Counted::new(&Arc::default()), Counted::new(&Arc::default())];
    tell(Message::Connection { port, arrival, counted });
    let (sender, loads) = std_mpsc::channel::<Load>();
    thread::spawn(move || {
        log_in(&mut client);
        let mut prepare = Vec::new();
        packet::command(&mut prepare, com::STMT_PREPARE, prepared);
        client.write_all(&prepare).expect("a worker that reads");
        next(&mut client).expect("a statement");
        let mut commands = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
        packet::command(&mut commands[0], com::QUERY, b"BEGIN");
        packet::command(&mut commands[1], com::STMT_EXECUTE, b"\x01\0\0\0\0\x01\0\0\0");
        packet::command(&mut commands[2], com::QUERY, text);
        packet::command(&mut commands[3], com::QUERY, b"COMMIT");
        for (rounds, done) in loads {
            for command in (0..rounds).flat_map(|_| &commands) {
                client.write_all(command).expect("a worker that reads");
                let answer = next(&mut client).expect("an answer");
                assert_eq!(answer, b"\0\x01\0\x02\0\0\0", "without the tracker");
            }
            // The test that asked has failed if nobody listens.
            let _ = done.send(());
        }
    });
    sender
}

fn log_in(client: &mut TcpStream) {
    let password = Secret::new(&b"secret"[..]);
    let mut login = NodeLogin::new(Ask {
        user: b"shop",
        password: &password,
        schema: None,
        capabilities: Capabilities::PROTOCOL_41,
        optional: Capabilities::default(),
        collation: 45,
        attributes: b"",
        channel: Channel::Plain,
        seed: [7; 20],
    });
    let mut unread = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let many = client.read(&mut chunk).expect("a word");
        unread.extend_from_slice(&chunk[..many]);
        let mut out = Vec::new();
        let (used, progress) = login.read(&unread, &mut out).expect("a login");
        unread.drain(..used);
        client.write_all(&out).expect("a worker that reads");
        if let Progress::Done(_) = progress {
            return;
        }
    }
}

fn board(node: SocketAddr, reads: bool) -> Arc<Board> {
    let user = User { name: "shop".into(), password: Some(Secret::new(&b"secret"[..])), max_connections: None };
    let settings = Service { users: vec![user], ..Service::plain("orders", Kind::Mysql, Replication::None) };
    let target = Target { cluster: ClusterName::from("a"), node: NodeAddress::from(node.to_string()) };
    let mode = if reads { Mode::ReadOnly } else { Mode::Open };
    let view = View::new(Route { epoch: Epoch(1), mode, target: Some(target) }, Arc::new(settings));
    if reads { Board::for_reads(view, 1).0 } else { Board::new(view, 1).0 }
}
