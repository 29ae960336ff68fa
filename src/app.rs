//! Wires the floors together: the only file that knows them all, and every kind of store by name.
//!
//! Inputs: the configuration's path, signals. Outputs: a running Pointsman and its exit code. It decides nothing: it loads,
//! opens, connects the rooms to each other, and passes signals on.

use crate::{
    admin::{AdminApi, AdminSocket, AdminTcp, AdminTls, Sources, WatchListener},
    config::{self, Config, LogFormat, Options, Service},
    control::{self, Handle, Parts, Workshop},
    coord::local::Local,
    model::name::{Kind, ServiceName},
    net::TlsFileError,
    protocol::{elastic::Class, redis::command::DenyList},
    proxy::{self, Proxy},
    route::Board,
    store::{Store, elastic::ElasticStore, mysql::MysqlStore, redis::RedisStore},
    telemetry::{Metrics, Traffic, start_logging},
    tell,
};
use std::{
    fmt::Display,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The configuration can't be used.
const BAD_CONFIGURATION: u8 = 2;
/// The machine doesn't give what it takes to run: a folder, a port, a thread.
const CAN_NOT_RUN: u8 = 1;
/// What operators, monitoring, the stores and the journal may take beside applications.
const OWN_DESCRIPTORS: u64 = 4352;
/// Runs until SIGTERM or SIGINT. Code 0 after an orderly end, 2 for a configuration that can't be used (printed with its
/// places), 1 when the machine refuses something.
pub fn run(file: &Path) -> ExitCode {
    let (config, warnings) = match load(file) {
        Ok(loaded) => loaded,
        Err(report) => {
            eprint!("{report}");
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    eprint!("{warnings}");
    match serve(file, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("pointsman: {why}");
            ExitCode::from(CAN_NOT_RUN)
        }
    }
}

/// The store of a service: the one place that knows which kinds there are.
pub fn store(config: &Config, service: &Arc<Service>) -> Result<Arc<dyn Store>, String> {
    match service.kind {
        Kind::Redis => told(service, RedisStore::new(service.clone(), &instance(config))),
        Kind::Mysql => told(service, MysqlStore::new(service.clone(), &instance(config))),
        Kind::Elasticsearch => told(service, ElasticStore::new(service.clone())),
    }
}

/// The store of a service for one who only looks at its nodes.
pub fn visiting_store(config: &Config, service: &Arc<Service>) -> Result<Arc<dyn Store>, String> {
    match service.kind {
        Kind::Redis => told(service, RedisStore::visitor(service.clone(), &instance(config))),
        Kind::Mysql => told(service, MysqlStore::visitor(service.clone(), &instance(config))),
        Kind::Elasticsearch => told(service, ElasticStore::new(service.clone())),
    }
}

fn told<S: Store + 'static>(service: &Service, built: Result<S, TlsFileError>) -> Result<Arc<dyn Store>, String> {
    built.map(|store| Arc::new(store) as Arc<dyn Store>).map_err(|error| format!("services.{}: {error}", service.name))
}

/// What the floor of the configuration can't know, as `file:line:col: error: message`, one line a problem.
pub fn problems(file: &Path, config: &Config) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let redis = config.services.iter().filter(|service| service.kind == Kind::Redis);
    redis
        .filter_map(|service| {
            let unknown = DenyList::parse(service.deny.as_deref()?).err()?;
            let (line, column) = place(&text, &unknown.name);
            let name = &unknown.name;
            Some(format!(
                "{}:{line}:{column}: error: services.{}.deny: {name:?} is no command of Redis; a module's has a dot",
                file.display(),
                service.name
            ))
        })
        .collect()
}

/// Where a quoted word stands, from 1; the beginning of the file where it isn't found as it was read.
fn place(text: &str, word: &str) -> (usize, usize) {
    let found = text.lines().enumerate().find_map(|(line, content)| {
        let at = content.to_ascii_uppercase().find(&format!("\"{}\"", word.to_ascii_uppercase()))?;
        Some((line + 1, content.get(..at)?.chars().count() + 1))
    });
    found.unwrap_or((1, 1))
}

/// The configuration and the report of its warnings, or the report of why it can't be used.
fn load(file: &Path) -> Result<(Config, String), String> {
    let loaded = config::load(file, Options::default());
    let report = loaded.render_all(false);
    let Some(config) = loaded.config else { return Err(report) };
    let problems = problems(file, &config);
    if problems.is_empty() { Ok((config, report)) } else { Err(report + &problems.join("\n") + "\n") }
}

/// Tells this Pointsman from others at the nodes, the same over restarts: the machine, and the folder that only one process
/// of it can hold.
fn instance(config: &Config) -> String {
    format!("{}:{}", rustix::system::uname().nodename().to_string_lossy(), config.state_dir.display())
}

fn serve(file: &Path, config: Config) -> Result<(), String> {
    let json = config.telemetry.log_format == LogFormat::Json;
    start_logging(&config.telemetry.log, json).map_err(|error| error.to_string())?;
    check_descriptors(&config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the main thread has no runtime: {error}"))?;
    runtime.block_on(run_all(file, config))
}

async fn run_all(file: &Path, config: Config) -> Result<(), String> {
    let mut signals = Signals::listen()?;
    let grace = config.grace;
    let coordinator = Local::open(&config.state_dir).map_err(|error| error.detail)?;
    let admin = AdminSocket::bind(&config.admin).map_err(|error| in_words("admin.socket", &error))?;
    let tls = AdminTls::default();
    tls.prepare(&config.admin)?();
    let tcp = AdminTcp::bind(&config.admin, &tls).await.map_err(|error| error.to_string())?;
    let watch = WatchListener::bind(config.telemetry.listen).await.map_err(|error| error.to_string())?;
    let proxy = Proxy::start(config.workers).map_err(|error| in_words("workers", &error))?;
    let workers = proxy.workers();
    let proxy = DataPath::new(proxy);
    let metrics = Metrics::new();
    tokio::spawn(inspect(stores(&config)));
    let workshop = Arc::new(Wiring { file: file.to_owned(), data_path: proxy.clone(), admin: tls });
    let parts = Parts { config, coordinator: Arc::new(coordinator), workers, workshop, metrics: metrics.clone() };
    let handle = control::start(parts)?;
    let (counted, asked) = (proxy.clone(), handle.clone());
    let sources = Sources {
        handle: handle.clone(),
        metrics: metrics.clone(),
        traffic: Box::new(move |svc: &ServiceName| counted.traffic(svc, asked.held(svc))),
    };
    let api = AdminApi::start(handle.clone(), metrics.clone());
    let mut serving = vec![
        tokio::spawn(admin.serve(api.clone())),
        tokio::spawn(watch.serve(sources)),
        tokio::spawn(tell::run(handle.clone(), metrics)),
        tokio::spawn(watchdog(handle.clone())),
    ];
    serving.extend(tcp.map(|tcp| tokio::spawn(tcp.serve(api))));
    notify(&[sd_notify::NotifyState::Ready]);
    let (seq, hash) = handle.head();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), journal_head = format!("{seq}:{hash}"), "ready");
    signals.until_told_to_stop(&handle).await;
    stop(&handle, &proxy, grace, &mut signals).await;
    serving.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

/// The stores of all services; what can't be built is said when the service starts.
fn stores(config: &Config) -> Vec<(Service, Arc<dyn Store>)> {
    let services = config.services.iter();
    services.filter_map(|service| Some((service.clone(), store(config, &Arc::new(service.clone())).ok()?))).collect()
}

/// Says in the log what stands in the way of the nodes' work (too few connections, missing rights), as `check --connect` does.
/// A node that doesn't answer is left to the status.
async fn inspect(stores: Vec<(Service, Arc<dyn Store>)>) {
    for (service, store) in &stores {
        for (_, node) in service.nodes() {
            let inspection = store.inspect(&node.address).await;
            for finding in inspection.findings.iter().filter(|_| inspection.version.is_some()) {
                let (service, node, advice, mend) = (&service.name, &node.address, &finding.message, &finding.mend);
                if finding.error {
                    tracing::warn!(%service, %node, %mend, "{advice}");
                } else {
                    tracing::info!(%service, %node, %mend, "{advice}");
                }
            }
        }
    }
}

fn in_words(what: &str, error: &dyn Display) -> String {
    format!("{what}: {error}")
}

fn notify(states: &[sd_notify::NotifyState<'_>]) {
    // Without systemd there is nobody to tell.
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// Tells systemd, where it asks (`WatchdogSec`), that the control loop runs: three times in the time that it gives.
async fn watchdog(handle: Handle) {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else { return };
    let mut beat = tokio::time::interval(limit / 3);
    loop {
        beat.tick().await;
        if handle.alive(limit / 3) {
            notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}

/// The signals of a life.
struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    fn listen() -> Result<Self, String> {
        let listen = |kind| signal(kind).map_err(|error| in_words("signals", &error));
        Ok(Self {
            term: listen(SignalKind::terminate())?,
            int: listen(SignalKind::interrupt())?,
            hup: listen(SignalKind::hangup())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }

    /// Reloads at each SIGHUP until SIGTERM or SIGINT comes.
    async fn until_told_to_stop(&mut self, handle: &Handle) {
        loop {
            tokio::select! {
                _ = self.term.recv() => return,
                _ = self.int.recv() => return,
                _ = self.hup.recv() => {
                    let mut states = vec![sd_notify::NotifyState::Reloading];
                    states.extend(sd_notify::NotifyState::monotonic_usec_now().ok());
                    notify(&states);
                    // What came of it is in the log, the journal, the metrics and the status.
                    let _ = handle.reload("signal").await;
                    notify(&[sd_notify::NotifyState::Ready]);
                }
            }
        }
    }
}

/// Serves on until the last session has ended or the grace is over; then sessions are cut at safe points. A second signal
/// ends the grace at once.
async fn stop(handle: &Handle, data_path: &DataPath, grace: Duration, signals: &mut Signals) {
    handle.begin_shutdown();
    notify(&[sd_notify::NotifyState::Stopping]);
    tracing::info!(?grace, "stopping: sessions are served until they end or the grace is over");
    if let Some(proxy) = data_path.take() {
        let ended = tokio::select! {
            () = proxy.shutdown(grace) => true,
            () = signals.stop() => false,
        };
        if !ended {
            proxy.shutdown(Duration::ZERO).await;
        }
    }
    handle.stop().await;
    let (seq, hash) = handle.head();
    tracing::info!(journal_head = format!("{seq}:{hash}"), "stopped");
}

/// Every session takes a descriptor towards the application and, at worst, one towards a node: says when they may run out.
fn check_descriptors(config: &Config) {
    let needed =
        config.services.iter().map(|service| 2 * service.max_connections as u64).sum::<u64>() + OWN_DESCRIPTORS;
    if let Some(limit) = proxy::raise_descriptors().filter(|limit| *limit < needed) {
        tracing::warn!(limit, needed, "open files may run out before max_connections: raise the limit of open files");
    }
}

/// The data path, shared by control (which opens and closes services), the metrics page, and the end of the process.
#[derive(Clone)]
struct DataPath {
    #[expect(clippy::disallowed_types, reason = "taken for reloads and scrapes, never by a worker")]
    proxy: Arc<std::sync::Mutex<Option<Proxy>>>,
}

impl DataPath {
    #[expect(clippy::disallowed_types, reason = "see the field")]
    fn new(proxy: Proxy) -> Self {
        Self { proxy: Arc::new(std::sync::Mutex::new(Some(proxy))) }
    }

    /// Asks the proxy, unless it was taken away to end it.
    fn ask<T>(&self, question: impl FnOnce(&Proxy) -> T) -> Option<T> {
        let proxy = self.proxy.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        proxy.as_ref().map(question)
    }

    fn take(&self) -> Option<Proxy> {
        self.proxy.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }

    fn traffic(&self, svc: &ServiceName, held: u64) -> Traffic {
        let counted = self.ask(|proxy| proxy.counters(svc)).unwrap_or_default();
        let of_class = |(class, ends): (Class, [u64; proxy::Outcome::ALL.len()])| {
            let ends = proxy::Outcome::ALL.into_iter().zip(ends);
            ends.map(move |(end, many)| (class.as_str(), end.as_str(), many))
        };
        Traffic {
            held,
            commands: proxy::Outcome::ALL
                .iter()
                .zip(counted.commands)
                .map(|(end, many)| (end.as_str(), many))
                .collect(),
            requests: Class::ALL.into_iter().zip(counted.requests).flat_map(of_class).collect(),
            bounds_us: &proxy::BOUNDS_US,
            buckets: counted.buckets.to_vec(),
            sum_us: counted.sum_us,
        }
    }
}

/// What control asks of the floors beside and above it.
struct Wiring {
    file: PathBuf,
    data_path: DataPath,
    admin: AdminTls,
}

impl Wiring {
    fn proxy(&self, question: impl FnOnce(&Proxy) -> Result<(), proxy::ServeError>) -> Result<(), String> {
        match self.data_path.ask(question) {
            Some(result) => result.map_err(|error| error.to_string()),
            None => Err("Pointsman is stopping".into()),
        }
    }
}

impl Workshop for Wiring {
    fn load(&self) -> Result<Config, Vec<String>> {
        let loaded = load(&self.file).map_err(|report| report.lines().map(ToOwned::to_owned).collect::<Vec<_>>());
        loaded.map(|(config, _)| config)
    }

    fn store(&self, config: &Config, service: &Arc<Service>) -> Result<Arc<dyn Store>, String> {
        store(config, service)
    }

    fn open(&self, service: &Service, board: &Arc<Board>, reads: Option<&Arc<Board>>) -> Result<(), String> {
        self.proxy(|proxy| {
            proxy.serve(service, board)?;
            let opened = reads.map_or(Ok(()), |reads| proxy.serve_reads(service, reads));
            opened.inspect_err(|_| proxy.remove(&service.name))
        })
    }

    fn change(&self, service: &Service) -> Result<(), String> {
        self.proxy(|proxy| proxy.update(service))
    }

    fn admin(&self, admin: &config::Admin) -> Result<control::Commit, String> {
        self.admin.prepare(admin)
    }

    fn close(&self, service: &Service) {
        self.data_path.ask(|proxy| proxy.remove(&service.name));
    }
}
