//! Real Redis and Valkey servers, each with a free port and a folder of its own.

use super::certificates::Certificates;
use super::netns::Host;
use super::ports::free_port;
use super::process::Process;
use super::raw::{Raw, Reply};
use super::{PATIENCE, holds_within, servers_folder, wait_for};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What to start; see [`RedisServer::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    component: String,
    arguments: Vec<String>,
    primary: Option<(String, u16)>,
    host: Option<Host>,
    unix_socket: bool,
    certificates: Option<Certificates>,
    users: Vec<String>,
    with_file: bool,
    port: Option<u16>,
    environment: Vec<(String, String)>,
}

impl Builder {
    /// Adds a setting of redis.conf: `.set("maxmemory", "10mb")`. The last one of a name wins.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.arguments.extend([format!("--{name}"), value.to_owned()]);
        self
    }

    /// Starts as a replica of another server.
    #[must_use]
    pub fn replica_of(mut self, primary: &RedisServer) -> Self {
        self.primary = Some((primary.host_address().to_owned(), primary.port()));
        self
    }

    /// Also listens on a Unix socket ([`RedisServer::unix_socket`]).
    #[must_use]
    pub fn unix_socket(mut self) -> Self {
        self.unix_socket = true;
        self
    }

    /// Also listens with TLS ([`RedisServer::tls_port`]). Clients need no certificate unless `tls-auth-clients` is set to `yes`.
    #[must_use]
    pub fn tls(mut self, certificates: &Certificates) -> Self {
        self.certificates = Some(certificates.clone());
        self
    }

    /// Adds an ACL user, in the words of ACL SETUSER: `.user("app on >secret ~* +@all")`.
    #[must_use]
    pub fn user(mut self, rule: &str) -> Self {
        self.users.push(rule.to_owned());
        self
    }

    /// Starts from a configuration file, so that CONFIG REWRITE works and its settings survive [`RedisServer::restart`].
    #[must_use]
    pub fn with_file(mut self) -> Self {
        self.with_file = true;
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Listens on this port instead of a free one of its choice.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Runs on that host, at Redis's own port, and takes connections from every other host.
    #[must_use]
    pub fn within(mut self, host: &Host) -> Self {
        self.arguments.splice(0..0, ["--bind", "0.0.0.0", "--protected-mode", "no"].map(ToOwned::to_owned));
        self.port = Some(6379);
        self.host = Some(host.clone());
        self
    }

    /// Starts the server and waits until it answers PING (replicas too; see [`RedisServer::wait_synced`]).
    #[track_caller]
    pub fn start(self) -> RedisServer {
        let mut log = String::new();
        for _ in 0..5 {
            let mut server = self.prepare();
            server.process = Some(server.launch());
            if server.comes_up() {
                return server;
            }
            log = server.log();
            // Somebody took the port between the choice and the bind: another one will do.
            if self.port.is_some() || !log.contains("in use") {
                break;
            }
        }
        panic!("{} does not start; its log:\n{log}", self.component);
    }

    fn prepare(&self) -> RedisServer {
        let folder = tempfile::Builder::new().prefix("pointsman-redis-").tempdir().expect("a temporary folder");
        let port = self.port.unwrap_or_else(free_port);
        let tls_port = self.certificates.as_ref().map(|_| free_port());
        let mut arguments = quick_settings(folder.path(), port);
        if let Some((host, port)) = &self.primary {
            arguments.extend(["--replicaof".to_owned(), host.clone(), port.to_string()]);
        }
        if self.unix_socket {
            arguments.extend(["--unixsocket".to_owned(), folder.path().join("redis.sock").display().to_string()]);
        }
        if let (Some(files), Some(port)) = (&self.certificates, tls_port) {
            arguments.extend(tls_settings(files, port));
        }
        for rule in &self.users {
            arguments.push("--user".to_owned());
            arguments.extend(rule.split_whitespace().map(ToOwned::to_owned));
        }
        arguments.extend(self.arguments.iter().cloned());
        if self.with_file {
            arguments = into_file(&arguments, &folder.path().join("redis.conf"));
        }
        let (program, environment) = (program(&self.component), self.environment.clone());
        let host = self.host.clone();
        RedisServer { process: None, program, arguments, environment, folder, port, tls_port, host }
    }
}

/// Settings that make replication and start quick, and keep nothing on disk.
fn quick_settings(folder: &Path, port: u16) -> Vec<String> {
    let folder = folder.display().to_string();
    let settings = [
        ("port", port.to_string()),
        ("bind", "127.0.0.1".to_owned()),
        ("dir", folder),
        ("save", String::new()),
        ("appendonly", "no".to_owned()),
        ("repl-diskless-sync", "yes".to_owned()),
        ("repl-diskless-sync-delay", "0".to_owned()),
        ("daemonize", "no".to_owned()),
    ];
    settings.into_iter().flat_map(|(name, value)| [format!("--{name}"), value]).collect()
}

fn tls_settings(files: &Certificates, port: u16) -> Vec<String> {
    let path = |path: &Path| path.display().to_string();
    let settings = [
        ("tls-port", port.to_string()),
        ("tls-cert-file", path(&files.server)),
        ("tls-key-file", path(&files.server_key)),
        ("tls-ca-cert-file", path(&files.ca)),
        ("tls-auth-clients", "optional".to_owned()),
    ];
    settings.into_iter().flat_map(|(name, value)| [format!("--{name}"), value]).collect()
}

/// Writes the settings as a redis.conf and gives the only argument that is left: its path.
fn into_file(arguments: &[String], file: &Path) -> Vec<String> {
    let mut text = String::new();
    for word in arguments {
        match word.strip_prefix("--") {
            Some(name) => text.extend(["\n", name]),
            None if word.is_empty() => text.push_str(" \"\""),
            None => text.extend([" ", word]),
        }
    }
    text.push('\n');
    std::fs::write(file, text).expect("writing redis.conf");
    vec![file.display().to_string()]
}

/// The server's program in a component's folder: `redis-server`, or `valkey-server`.
/// The server of that component.
pub fn program(component: &str) -> PathBuf {
    let folder = servers_folder().join(component);
    ["redis-server", "valkey-server"].iter().map(|name| folder.join(name)).find(|path| path.exists()).unwrap_or_else(|| {
        let folder = folder.display();
            panic!("no server in {folder}: run tests/servers/install, or begin the test with require_server!({component:?})")
    })
}

/// A running (or killed) server.
pub struct RedisServer {
    process: Option<Process>,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    folder: TempDir,
    port: u16,
    tls_port: Option<u16>,
    host: Option<Host>,
}

impl RedisServer {
    /// A server of an installed component (`redis6`, `redis7`, `redis8`, `valkey`) with settings.
    pub fn builder(component: &str) -> Builder {
        Builder {
            component: component.to_owned(),
            arguments: Vec::new(),
            primary: None,
            host: None,
            unix_socket: false,
            certificates: None,
            users: Vec::new(),
            with_file: false,
            port: None,
            environment: Vec::new(),
        }
    }

    /// A server with nothing special.
    #[track_caller]
    pub fn start(component: &str) -> Self {
        Self::builder(component).start()
    }

    /// A primary and its replica, in sync.
    #[track_caller]
    pub fn pair(component: &str) -> (Self, Self) {
        let primary = Self::start(component);
        let replica = Self::builder(component).replica_of(&primary).start();
        replica.wait_synced();
        (primary, replica)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:PORT`, or its host's address: as a node's address in a configuration.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host_address(), self.port)
    }

    fn host_address(&self) -> &str {
        self.host.as_ref().map_or("127.0.0.1", Host::address)
    }

    /// Runs `act` where the server runs.
    fn there<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        match &self.host {
            Some(host) => host.run(act),
            None => act(),
        }
    }

    /// Its port with TLS; panics when it was started without.
    pub fn tls_port(&self) -> u16 {
        self.tls_port.expect("started with .tls(…)")
    }

    /// Its Unix socket, when it was started with one.
    pub fn unix_socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Its process id; panics after [`RedisServer::kill`].
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("running").id()
    }

    /// Whether its process is there.
    pub fn runs(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.ended().is_none())
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// A raw connection of its own.
    #[track_caller]
    pub fn raw(&self) -> Raw {
        self.there(|| Raw::connect(self.port))
    }

    /// Runs one command on a new connection.
    #[track_caller]
    pub fn command(&self, words: &[&str]) -> Reply {
        self.raw().command(words)
    }

    /// One field of INFO; empty when there is none.
    #[track_caller]
    pub fn info(&self, field: &str) -> String {
        let text = self.command(&["INFO", "everything"]).text();
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.unwrap_or_default().trim().to_owned()
    }

    /// A client of the `redis` crate.
    pub fn client(&self) -> redis::Client {
        redis::Client::open(format!("redis://127.0.0.1:{}/", self.port)).expect("an address")
    }

    /// Waits until this replica's link is up and it has received everything its primary has written.
    #[track_caller]
    pub fn wait_synced(&self) {
        let primary = self.primary();
        wait_for("the replica is in sync", PATIENCE, || {
            self.info("master_link_status") == "up" && self.written_by(&primary) == self.info("slave_repl_offset")
        });
    }

    /// Waits until this replica has received what its primary has written by now, however much that writes meanwhile.
    #[track_caller]
    pub fn wait_received(&self) {
        let written: u64 = self.written_by(&self.primary()).parse().expect("an offset");
        wait_for("the replica has received it", PATIENCE, || {
            self.info("slave_repl_offset").parse().is_ok_and(|received: u64| received >= written)
        });
    }

    /// The host and port that this replica follows.
    #[track_caller]
    fn primary(&self) -> (String, u16) {
        (self.info("master_host"), self.info("master_port").parse().expect("a replica of a host"))
    }

    /// The position of that primary, as reached from here.
    #[track_caller]
    fn written_by(&self, (host, port): &(String, u16)) -> String {
        let ask = || Raw::try_connect_to((host.as_str(), *port)).expect("its primary takes connections");
        let text = self.there(ask).command(&["INFO", "replication"]).text();
        let offset = text.lines().find_map(|line| line.strip_prefix("master_repl_offset:"));
        offset.unwrap_or_default().trim().to_owned()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Stops the process where it is (SIGSTOP): connections stay, answers stay out.
    pub fn freeze(&self) {
        self.process.as_ref().expect("running").signal(Signal::STOP);
    }

    /// Lets a frozen process go on.
    pub fn thaw(&self) {
        self.process.as_ref().expect("running").signal(Signal::CONT);
    }

    /// Ends it by SIGTERM and waits.
    #[track_caller]
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::TERM);
            process.wait();
        }
    }

    /// Starts it again after [`RedisServer::kill`] or [`RedisServer::stop`], on its port, with the settings it was started with;
    /// empty, unless it was told to keep its data.
    #[track_caller]
    pub fn restart(&mut self) {
        self.process = None;
        self.process = Some(self.launch());
        assert!(self.comes_up(), "does not start again; its log:\n{}", self.log());
    }

    fn launch(&self) -> Process {
        let host = self.host.as_ref();
        Process::start_on(host, &self.program, &self.arguments, &self.environment, &self.log_file())
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Waits until it answers anything to PING (NOAUTH is an answer); false when its process has ended.
    fn comes_up(&mut self) -> bool {
        let (port, host) = (self.port, self.host.clone());
        let connect = || match &host {
            Some(host) => host.run(|| Raw::try_connect(port)),
            None => Raw::try_connect(port),
        };
        let process = self.process.as_mut().expect("just launched");
        let mut answers = false;
        holds_within(PATIENCE, || {
            let ended = process.ended().is_some();
            // The answer must be this process's own, not that of another server on a port lost to it.
            answers = !ended && connect().is_ok_and(|mut raw| !loading(&raw.command(&["PING"])));
            ended || answers
        });
        answers && process.ended().is_none()
    }
}

fn loading(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if text.starts_with("LOADING"))
}
