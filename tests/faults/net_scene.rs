//! A pair and a Pointsman, each on a host of its own, and clients beside the servers.

use crate::{
    common::{
        instance::Pointsman,
        netns::{Host, Network},
        raw::Reply,
        redis_server::RedisServer,
    },
    rig::{Rig, service},
    scene::a_server,
    table,
    writers::Writers,
};
use std::{
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Where applications connect, on the application's own host.
pub const PORT: u16 = 6379;

/// `main`, its standby `spare`, and applications with their Pointsman. What is dropped last keeps the network.
pub struct Hosts {
    pub rig: Rig,
    pub main: RedisServer,
    pub spare: RedisServer,
    /// A second standby, where there is one.
    pub third: Option<RedisServer>,
    pub main_host: Host,
    pub spare_host: Host,
    pub app: Host,
    pub network: Network,
}

/// Both servers with these settings, and a ready Pointsman with those.
#[track_caller]
pub fn hosts(server: &[(&str, &str)], settings: &str) -> Hosts {
    hosts_of(2, server, settings)
}

/// As [`hosts`], with so many servers: two or three.
#[track_caller]
pub fn hosts_of(count: usize, server: &[(&str, &str)], settings: &str) -> Hosts {
    let needs = "network namespaces and iptables";
    let network = Network::new().unwrap_or_else(|| table::skip(needs));
    let [main_host, spare_host, app] = ["main", "spare", "app"].map(|name| network.host(name));
    let build = |host: &Host| {
        let builder = a_server().within(host).set("repl-ping-replica-period", "1");
        server.iter().fold(builder, |builder, (name, value)| builder.set(name, value))
    };
    let main = build(&main_host).start();
    let spare = build(&spare_host).replica_of(&main).start();
    spare.wait_synced();
    let third = (count > 2).then(|| build(&network.host("third")).replica_of(&main).start());
    third.iter().for_each(RedisServer::wait_synced);
    let mut rig = manager(&app, [&main, &spare].into_iter().chain(&third), settings);
    rig.pointsman.launch();
    rig.wait_ready();
    Hosts { rig, main, spare, third, main_host, spare_host, app, network }
}

/// A Pointsman of these servers on a host, not yet started.
pub fn manager<'a>(host: &Host, servers: impl IntoIterator<Item = &'a RedisServer>, settings: &str) -> Rig {
    let clusters = ["main", "spare", "third"].into_iter().zip(servers.into_iter().map(|server| vec![server]));
    let text = service(PORT, &clusters.collect::<Vec<_>>(), settings);
    Rig { pointsman: Pointsman::prepare(&text).within(host), port: PORT }
}

impl Hosts {
    /// Writers beside Pointsman, of which some writes reached the standby.
    #[track_caller]
    pub fn writers(&self, count: usize) -> Writers {
        let writers = self.app.run(|| Writers::start(PORT, count));
        writers.progress(200);
        crate::scene::streams(&self.spare);
        writers
    }

    /// Every path passes again.
    pub fn heal(&self) {
        [&self.main_host, &self.spare_host, &self.app].into_iter().for_each(Host::heal);
    }

    /// The standby that was promoted, once it serves.
    #[track_caller]
    pub fn heir(&self) -> &RedisServer {
        self.rig.wait("routed elsewhere", |service| service["route"]["cluster"] != "main" && service["mode"] == "open");
        let routed = self.rig.service()["route"]["node"].clone();
        let standbys = [Some(&self.spare), self.third.as_ref()].into_iter().flatten();
        standbys.into_iter().find(|server| routed == server.address()).expect("one of ours")
    }

    /// Whether the old primary serves, at the epoch of before.
    pub fn no_flip(&self, epoch: u64) -> bool {
        crate::scene::epoch(&self.rig) == epoch && self.spare.info("role") == "slave"
    }
}

/// A client on a server's own host, which nobody keeps from writing there but the server.
pub struct Local {
    stop: Sender<()>,
    thread: JoinHandle<Taken>,
}

/// The first and the last moment at which a server took a write of a client beside it.
#[derive(Debug, Default)]
pub struct Taken {
    /// When the first answer came.
    pub first: Option<Instant>,
    /// When the last write that was taken was sent.
    pub last: Option<Instant>,
}

impl Local {
    /// Begins to write on that host.
    pub fn start(host: &Host) -> Self {
        let (stop, stopping) = channel();
        let client = redis::Client::open("redis://127.0.0.1:6379/").expect("an address");
        let write = move || {
            let mut taken = Taken::default();
            while stopping.recv_timeout(Duration::from_millis(2)) == Err(RecvTimeoutError::Timeout) {
                let sent = Instant::now();
                let Ok(mut connection) = client.get_connection_with_timeout(Duration::from_millis(200)) else {
                    continue;
                };
                let _ = connection.set_read_timeout(Some(Duration::from_millis(200)));
                if redis::cmd("SET").arg("local").arg("v").query::<()>(&mut connection).is_ok() {
                    taken.first.get_or_insert_with(Instant::now);
                    taken.last = Some(sent);
                }
            }
            taken
        };
        let thread = host.run(|| std::thread::spawn(write));
        Self { stop, thread }
    }

    /// Ends it.
    pub fn finish(self) -> Taken {
        let _ = self.stop.send(());
        self.thread.join().expect("it never panics")
    }
}

/// Whether this server takes no write of anybody, because it has too few standbys.
pub fn has_stopped_itself(server: &RedisServer) -> bool {
    matches!(server.command(&["SET", "local", "v"]), Reply::Error(text) if text.starts_with("NOREPLICAS"))
}
