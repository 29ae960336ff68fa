//! A node of a search cluster that does what a test tells it: for framing, and for what a real server does rarely.
#![expect(clippy::disallowed_types, reason = "threads of a test, far from the data path")]

use pointsman::protocol::http::{Body, ChunkScanner, Limits, RequestHead};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `GET`, ...
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The whole head.
    pub head: String,
    /// The body, chunks joined; empty if it wasn't read.
    pub body: String,
}

/// What a node does about a request.
pub enum Reply {
    /// Sends this.
    Bytes(Vec<u8>),
    /// Sends this and closes the connection.
    Last(Vec<u8>),
    /// Says nothing until the other side closes.
    Hang,
}

/// A whole answer with that body.
pub fn ok(body: &str) -> Reply {
    let head =
        "HTTP/1.1 200 OK\r\nX-elastic-product: Elasticsearch\r\nKeep-Alive: 60\r\ncontent-type: application/json";
    Reply::Bytes(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

/// The same in chunks of so many bytes.
pub fn chunked(body: &str, size: usize) -> Reply {
    let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.as_bytes().chunks(size) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    Reply::Bytes(bytes)
}

type Handler = dyn Fn(&Asked) -> Reply + Send + Sync;

struct State {
    handler: Box<Handler>,
    seen: Mutex<Vec<Asked>>,
    open: Mutex<Vec<TcpStream>>,
    accepted: AtomicUsize,
    /// Connections that the other side closed while their request hung.
    left: AtomicUsize,
    dead: AtomicBool,
}

/// A node; its connections end with it.
pub struct MockNode {
    port: u16,
    state: Arc<State>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread of the mock panics with it")
}

impl MockNode {
    /// A node that answers so.
    pub fn start(handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State {
            handler: Box::new(handler),
            seen: Mutex::default(),
            open: Mutex::default(),
            accepted: AtomicUsize::new(0),
            left: AtomicUsize::new(0),
            dead: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.dead.load(Relaxed) {
                    return;
                }
                shared.accepted.fetch_add(1, Relaxed);
                held(&shared.open).push(stream.try_clone().expect("a second handle"));
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(&state, stream));
            }
        });
        Self { port, state }
    }

    /// A node that says its name and what it was asked: `NAME METHOD TARGET BODY`.
    pub fn echo(name: &'static str) -> Self {
        Self::start(move |asked| ok(&format!("{name} {} {} {}", asked.method, asked.target, asked.body)))
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What it was asked until now.
    pub fn seen(&self) -> Vec<Asked> {
        held(&self.state.seen).clone()
    }

    /// Connections until now.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Relaxed)
    }

    /// Requests that hung and were given up.
    pub fn left(&self) -> usize {
        self.state.left.load(Relaxed)
    }

    /// Ends: connections break, and new ones are refused.
    pub fn kill(&self) {
        self.state.dead.store(true, Relaxed);
        // Wakes the thread that accepts, which then closes the listener.
        let _ = TcpStream::connect(self.address());
        for stream in held(&self.state.open).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        while TcpStream::connect(self.address()).is_ok() {}
    }
}

impl Drop for MockNode {
    fn drop(&mut self) {
        self.kill();
    }
}

fn serve(state: &State, mut stream: TcpStream) {
    let mut inbox = Vec::new();
    while let Some(asked) = read(&mut stream, &mut inbox) {
        held(&state.seen).push(asked.clone());
        match (state.handler)(&asked) {
            Reply::Bytes(bytes) if stream.write_all(&bytes).is_ok() => {}
            Reply::Bytes(_) => return,
            Reply::Last(bytes) => {
                let _ = stream.write_all(&bytes);
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            Reply::Hang => {
                while matches!(stream.read(&mut [0; 64]), Ok(1..)) {}
                state.left.fetch_add(1, Relaxed);
                return;
            }
        }
    }
}

/// The next request; the body of one for `/early...` isn't read.
fn read(stream: &mut TcpStream, inbox: &mut Vec<u8>) -> Option<Asked> {
    let (mut asked, framing, expects) = loop {
        if let Some((head, used)) = RequestHead::parse(inbox, &Limits::NODE).expect("Pointsman sends proper heads") {
            let asked = Asked {
                method: head.method.as_str().into(),
                target: head.target.into(),
                head: String::from_utf8_lossy(inbox.get(..used)?).into_owned(),
                body: String::new(),
            };
            let found = (asked, head.body, head.expect_continue);
            inbox.drain(..used);
            break found;
        }
        more(stream, inbox)?;
    };
    if asked.target.starts_with("/early") {
        return Some(asked);
    }
    if expects {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    let mut body = Vec::new();
    match framing {
        Body::Length(length) => {
            let length = usize::try_from(length).expect("a test's length");
            while inbox.len() < length {
                more(stream, inbox)?;
            }
            body.extend(inbox.drain(..length));
        }
        Body::Chunked => {
            let mut scanner = ChunkScanner::default();
            loop {
                let scanned = scanner.decode(inbox, &mut body).expect("proper chunks");
                inbox.drain(..scanned.len);
                if scanned.done {
                    break;
                }
                more(stream, inbox)?;
            }
        }
        Body::None | Body::UntilClose => {}
    }
    asked.body = String::from_utf8_lossy(&body).into_owned();
    Some(asked)
}

fn more(stream: &mut TcpStream, inbox: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 64 * 1024];
    let many = stream.read(&mut chunk).ok().filter(|many| *many > 0)?;
    inbox.extend_from_slice(&chunk[..many]);
    Some(())
}
