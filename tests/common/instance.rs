//! A running Pointsman, with a configuration, a state folder and an admin socket of its own.

use super::netns::Host;
use super::ports::free_port;
use super::process::Process;
use super::raw::Raw;
use super::{PATIENCE, holds_within};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use tempfile::TempDir;

/// The binary under test; `POINTSMAN_PROGRAM` names another one, such as a release build.
pub fn program() -> PathBuf {
    std::env::var_os("POINTSMAN_PROGRAM").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_pointsman")), PathBuf::from)
}

/// A Pointsman; killed on drop.
pub struct Pointsman {
    process: Option<Process>,
    folder: TempDir,
    environment: Vec<(String, String)>,
    /// The port of its telemetry listener.
    pub telemetry: u16,
    host: Option<Host>,
}

impl Pointsman {
    /// Starts one with these `[services.…]` tables and waits until every listener takes connections. `{dir}` stands for its
    /// folder. The head of the file is written here: state folder, short grace, admin socket, telemetry.
    #[track_caller]
    pub fn start(services: &str) -> Self {
        let mut pointsman = Self::prepare(services);
        pointsman.launch();
        pointsman
    }

    /// As [`Pointsman::start`], not yet started: for an environment, or another file.
    pub fn prepare(services: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("pointsman-test-").tempdir().expect("a temporary folder");
        let pointsman = Self { process: None, folder, environment: Vec::new(), telemetry: free_port(), host: None };
        pointsman.write_services(services);
        pointsman
    }

    /// Starts on that host from now on.
    #[must_use]
    pub fn within(mut self, host: &Host) -> Self {
        self.host = Some(host.clone());
        self
    }

    /// Sets a variable for the starts that follow.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts (again) and waits until every listener takes connections; panics with its log when it ends instead.
    #[track_caller]
    pub fn launch(&mut self) {
        self.launch_only();
        let listeners = self.listeners();
        let (process, host) = (self.process.as_mut().expect("just launched"), self.host.clone());
        let up = holds_within(PATIENCE, || {
            process.ended().is_some() || listeners.iter().all(|listener| takes_connections(host.as_ref(), listener))
        });
        let ended = process.ended();
        assert!(up && ended.is_none(), "Pointsman is not up ({ended:?}, {listeners:?}); its log:\n{}", self.log());
    }

    /// Starts (again) without waiting for anything. One that still runs is killed first.
    pub fn launch_only(&mut self) {
        self.process = None;
        let arguments = ["run", "--config", &self.config_file().display().to_string()].map(ToOwned::to_owned);
        let log = self.folder.path().join("log");
        self.process = Some(Process::start_on(self.host.as_ref(), &program(), &arguments, &self.environment, &log));
    }

    /// Replaces the services of its file; takes effect by [`Pointsman::reload`] or at the next start.
    pub fn write_services(&self, services: &str) {
        self.write_admin("", services);
    }

    /// Replaces what `[admin]` holds beside the socket, and the services.
    pub fn write_admin(&self, admin: &str, services: &str) {
        let head = format!(
            "state_dir = \"{{dir}}/state\"\ngrace = \"2s\"\n[admin]\nsocket = \"{{dir}}/admin.sock\"\n{admin}\n\
             [telemetry]\nlisten = \"127.0.0.1:{}\"\n",
            self.telemetry
        );
        self.write_config(&format!("{head}{services}"));
    }

    /// Replaces its whole file.
    pub fn write_config(&self, text: &str) {
        let text = text.replace("{dir}", &self.folder.path().display().to_string());
        std::fs::write(self.config_file(), text).expect("writing the configuration");
    }

    /// Its folder: `pointsman.toml`, `state/`, `admin.sock`, `log`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("pointsman.toml")
    }

    /// Its process id; panics when it does not run.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("running").id()
    }

    /// What it has logged, over restarts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Runs a subcommand of the binary against this instance's admin socket.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        let socket = format!("unix:{}", self.folder.path().join("admin.sock").display());
        let mut command = Command::new(program());
        command.args(arguments).env("POINTSMAN_ADMIN", socket).env("NO_COLOR", "1");
        command.output().expect("the binary under test starts")
    }

    /// Runs a subcommand that must end with this exit code; gives its standard output.
    #[track_caller]
    pub fn cli_expect(&self, arguments: &[&str], code: i32) -> String {
        let output = self.cli(arguments);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}\nstdout: {out}\nstderr: {err}\nlog: {}",
            self.log()
        );
        out.into_owned()
    }

    /// A request to the admin API; gives status and body. `body` makes it a POST.
    #[track_caller]
    pub fn api(&self, path: &str, body: Option<&serde_json::Value>) -> (u16, serde_json::Value) {
        let stream = UnixStream::connect(self.folder.path().join("admin.sock")).expect("the admin socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read limit");
        let (status, text) = exchange(stream, path, body);
        (status, serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)))
    }

    /// A page of the telemetry listener: `/metrics`, `/livez`, `/readyz`.
    #[track_caller]
    pub fn telemetry(&self, path: &str) -> (u16, String) {
        let connect = || TcpStream::connect(("127.0.0.1", self.telemetry)).expect("the telemetry listener");
        let stream = on(self.host.as_ref(), connect);
        stream.set_read_timeout(Some(PATIENCE)).expect("a read limit");
        exchange(stream, path, None)
    }

    /// The value of the first sample whose name and labels contain all of `parts`.
    #[track_caller]
    pub fn metric(&self, parts: &[&str]) -> Option<f64> {
        let (_, text) = self.telemetry("/metrics");
        let mut samples = text.lines().filter(|line| !line.starts_with('#'));
        let line = samples.find(|line| parts.iter().all(|part| line.contains(part)))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// A raw connection to a port of its host.
    #[track_caller]
    pub fn raw(&self, port: u16) -> Raw {
        on(self.host.as_ref(), || Raw::connect(port))
    }

    /// SIGHUP.
    pub fn reload(&self) {
        self.process.as_ref().expect("running").signal(Signal::HUP);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// SIGSTOP.
    pub fn freeze(&self) {
        self.process.as_ref().expect("running").signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.process.as_ref().expect("running").signal(Signal::CONT);
    }

    /// SIGTERM, without waiting.
    pub fn terminate(&self) {
        self.process.as_ref().expect("running").signal(Signal::TERM);
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        self.process.as_mut().expect("launched").wait()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.ended().is_none())
    }

    /// Every address that the services of its file listen on.
    fn listeners(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.config_file()).expect("its configuration");
        let table: toml::Table = text.parse().expect("a valid configuration: use launch_only for others");
        let services = table.get("services").and_then(toml::Value::as_table);
        let mut found = Vec::new();
        for service in services.into_iter().flat_map(toml::Table::values) {
            for key in ["listen", "listen_read"] {
                match service.get(key) {
                    Some(toml::Value::String(address)) => found.push(address.clone()),
                    Some(toml::Value::Array(many)) => {
                        found.extend(many.iter().filter_map(|one| one.as_str().map(Into::into)));
                    }
                    _ => {}
                }
            }
        }
        found
    }
}

/// Runs `act` on a host, if one is named.
fn on<T: Send>(host: Option<&Host>, act: impl FnOnce() -> T + Send) -> T {
    match host {
        Some(host) => host.run(act),
        None => act(),
    }
}

fn takes_connections(host: Option<&Host>, listener: &str) -> bool {
    match listener.strip_prefix("unix:") {
        Some(path) => UnixStream::connect(path).is_ok(),
        None => on(host, || TcpStream::connect(listener).is_ok()),
    }
}

/// One HTTP/1.1 request on a connection that the server closes; bodies by length, by chunks or to the end.
#[track_caller]
fn exchange(mut stream: impl Read + Write, path: &str, body: Option<&serde_json::Value>) -> (u16, String) {
    let (method, body) = body.map_or(("GET", String::new()), |json| ("POST", json.to_string()));
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    let entity = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(format!("{head}{entity}").as_bytes()).expect("sending the request");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the whole answer");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    (status, if chunked { joined(body) } else { body.to_owned() })
}

/// The chunks of a chunked body, joined.
fn joined(mut rest: &str) -> String {
    let mut whole = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
        whole.push_str(&after[..size]);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    whole
}
