//! A path that can break: a relay between Pointsman and a node, which passes bytes on, swallows them, or refuses.
#![expect(clippy::disallowed_types, reason = "threads of a test, far from the data path")]

use super::{PATIENCE, holds_within, ports::free_port};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, Ordering::Relaxed},
    },
    thread,
};

/// A relay; its threads end with it.
pub struct Relay {
    port: u16,
    state: Arc<State>,
    listener: Mutex<Option<Arc<AtomicBool>>>,
}

struct State {
    to: AtomicU16,
    /// Bytes are swallowed in both directions; connections stay.
    silent: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Relay {
    /// A relay to a port of this host, which passes everything on.
    pub fn to(port: u16) -> Self {
        let state = State { to: AtomicU16::new(port), silent: AtomicBool::new(false), open: Mutex::default() };
        let relay = Self { port: free_port(), state: Arc::new(state), listener: Mutex::default() };
        relay.listen();
        relay
    }

    /// Its own address.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Swallows every byte from now on, or passes them on again. What was swallowed is lost, so connections of that time are
    /// ended when it is over.
    pub fn silence(&self, silent: bool) {
        self.state.silent.store(silent, Relaxed);
        if !silent {
            self.cut();
        }
    }

    /// Ends every connection and refuses new ones, or takes them again.
    pub fn refuse(&self, refuse: bool) {
        let stop = self.listener.lock().expect("no thread panicked").take();
        if let Some(stop) = stop {
            stop.store(true, Relaxed);
            // Each connection wakes the listener, which sees that it is to end; it has when nobody can connect any more.
            let gone = || TcpStream::connect(("127.0.0.1", self.port)).is_err();
            assert!(holds_within(PATIENCE, gone), "the relay's listener ends");
        }
        self.cut();
        if !refuse {
            self.listen();
        }
    }

    /// Leads new connections to another port of this host; those that are there stay.
    pub fn lead_to(&self, port: u16) {
        self.state.to.store(port, Relaxed);
    }

    fn cut(&self) {
        for stream in self.state.open.lock().expect("no thread panicked").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn listen(&self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).expect("the relay's port is free");
        let stop = Arc::new(AtomicBool::new(false));
        *self.listener.lock().expect("no thread panicked") = Some(stop.clone());
        let state = self.state.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if stop.load(Relaxed) {
                    return;
                }
                state.clone().carry(&client);
            }
        });
    }
}

impl State {
    fn carry(self: Arc<Self>, client: &TcpStream) {
        let Ok(node) = TcpStream::connect(("127.0.0.1", self.to.load(Relaxed))) else { return };
        for stream in [client, &node] {
            let _ = stream.set_nodelay(true);
            self.open.lock().expect("no thread panicked").extend(stream.try_clone());
        }
        let pair = || Some((client.try_clone().ok()?, node.try_clone().ok()?));
        let (Some((from, to)), Some((back, home))) = (pair(), pair()) else { return };
        let other = self.clone();
        thread::spawn(move || self.copy(from, to));
        thread::spawn(move || other.copy(home, back));
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 16 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if !self.silent.load(Relaxed) && to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(stop) = self.listener.lock().expect("no thread panicked").take() {
            stop.store(true, Relaxed);
            let _ = TcpStream::connect(("127.0.0.1", self.port));
        }
        self.cut();
    }
}
