//! Real MySQL and MariaDB servers, each with a free port and a data folder of its own.
//!
//! Every server logs its changes under GTIDs and has the same users, which no binary log knows of: [`ROOT`] without a password, [`MANAGER`],
//! [`REPL`] and [`SHOP`] with the password [`PASSWORD`], and a database `shop`.

use super::certificates::Certificates;
use super::netns::Host;
use super::ports::free_port;
use super::process::Process;
use super::{PATIENCE, holds_within, servers_folder, wait_for};
use mysql::prelude::Queryable;
use rustix::process::Signal;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// May do everything, from anywhere, without a password.
pub const ROOT: &str = "root";
/// Pointsman's own login, with exactly the rights that it documents.
pub const MANAGER: &str = "pointsman";
/// The login of standbys at their primary.
pub const REPL: &str = "repl";
/// An application's login: everything within the databases `shop` and `sbtest`.
pub const SHOP: &str = "shop";
/// The password of all of them but [`ROOT`].
pub const PASSWORD: &str = "secret";

/// The users of both flavours, but for the rights of [`MANAGER`].
const USERS: [&str; 9] = [
    "CREATE USER 'root'@'%'",
    "GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION",
    "CREATE USER 'repl'@'%' IDENTIFIED BY 'secret'",
    "GRANT REPLICATION SLAVE ON *.* TO 'repl'@'%'",
    "CREATE USER 'shop'@'%' IDENTIFIED BY 'secret'",
    "GRANT ALL ON shop.* TO 'shop'@'%'",
    "GRANT ALL ON sbtest.* TO 'shop'@'%'",
    "CREATE DATABASE shop",
    "CREATE USER 'pointsman'@'%' IDENTIFIED BY 'secret'",
];

/// MySQL, or what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// MySQL 9.7 (component `mysql9`).
    Mysql,
    /// MariaDB 10.11 (component `mariadb`).
    MariaDb,
}

impl Flavour {
    fn of(component: &str) -> Self {
        if component == "mariadb" { Self::MariaDb } else { Self::Mysql }
    }

    fn program(self) -> &'static str {
        if self == Self::Mysql { "mysqld" } else { "mariadbd" }
    }

    /// The rights of [`MANAGER`].
    fn rights(self) -> &'static [&'static str] {
        match self {
            Self::Mysql => &pointsman::store::mysql::MYSQL_GRANTS,
            Self::MariaDb => &pointsman::store::mysql::MARIADB_GRANTS,
        }
    }

    /// Settings that start quickly, use little memory, and lose nothing when the process is killed (the machine isn't).
    fn settings(self) -> Vec<(&'static str, &'static str)> {
        let mut settings = vec![
            ("bind-address", "127.0.0.1"),
            ("log-bin", "binlog"),
            ("relay-log", "relay"),
            ("log-slave-updates", "ON"),
            ("binlog-format", "ROW"),
            ("sync-binlog", "0"),
            ("innodb-flush-log-at-trx-commit", "2"),
            ("innodb-buffer-pool-size", "32M"),
            ("max-connections", "150"),
            ("table-open-cache", "200"),
            ("table-definition-cache", "400"),
            ("skip-name-resolve", "ON"),
            // Nobody is locked out for connections that a test broke off.
            ("max-connect-errors", "1000000"),
        ];
        match self {
            Self::Mysql => settings.extend([
                ("gtid-mode", "ON"),
                ("enforce-gtid-consistency", "ON"),
                ("mysqlx", "OFF"),
                ("secure-file-priv", ""),
            ]),
            Self::MariaDb => settings.extend([("performance-schema", "ON"), ("gtid-strict-mode", "ON")]),
        }
        if self == Self::Mysql {
            settings.retain(|(name, _)| *name != "log-slave-updates" && *name != "binlog-format");
            settings.push(("log-replica-updates", "ON"));
        }
        settings
    }
}

/// What to start; see [`MysqlServer::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    component: String,
    settings: Vec<(String, String)>,
    primary: Option<(String, u16)>,
    host: Option<Host>,
    certificates: Option<Certificates>,
    statements: Vec<String>,
    port: Option<u16>,
}

impl Builder {
    /// Adds a setting: `.set("max-connections", "10")`. The last one of a name wins.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes it a replica of another server, read-only, which is up and running when [`Builder::start`] returns.
    #[must_use]
    pub fn replica_of(mut self, primary: &MysqlServer) -> Self {
        self.primary = Some((primary.host_address().to_owned(), primary.port()));
        self
    }

    /// Takes TLS by these certificates. Without, MySQL offers certificates that it makes itself, and MariaDB none.
    #[must_use]
    pub fn tls(mut self, certificates: &Certificates) -> Self {
        self.certificates = Some(certificates.clone());
        self
    }

    /// Runs a statement as root when it has started for the first time, unseen by the binary log: for further users, say.
    #[must_use]
    pub fn run(mut self, statement: &str) -> Self {
        self.statements.push(statement.to_owned());
        self
    }

    /// Listens on this port instead of a free one of its choice.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Runs on that host, at MySQL's own port, and takes connections from every other host.
    #[must_use]
    pub fn within(mut self, host: &Host) -> Self {
        self = self.set("bind-address", "0.0.0.0");
        self.port = Some(3306);
        self.host = Some(host.clone());
        self
    }

    /// Starts the server and waits until it answers; a replica, until it replicates.
    #[track_caller]
    pub fn start(self) -> MysqlServer {
        let mut log = String::new();
        for _ in 0..5 {
            let mut server = self.prepare();
            server.process = Some(server.launch());
            if server.comes_up() {
                self.finish(&server);
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

    fn prepare(&self) -> MysqlServer {
        let flavour = Flavour::of(&self.component);
        let folder = tempfile::Builder::new().prefix("pointsman-mysql-").tempdir().expect("a temporary folder");
        let (data, port) = (folder.path().join("data"), self.port.unwrap_or_else(free_port));
        copy(&template(&self.component), &data);
        let mut settings: Vec<(String, String)> =
            flavour.settings().iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let own = [
            ("datadir", path("data")),
            // Its own: a server that starts deletes the temporary tables that it finds there, another one's too.
            ("tmpdir", path("")),
            ("socket", path("mysql.sock")),
            ("pid-file", path("pid")),
            ("port", port.to_string()),
            ("server-id", port.to_string()),
            ("user", "root".to_owned()),
        ];
        settings.extend(own.map(|(name, value)| (name.to_owned(), value)));
        if let Some(files) = &self.certificates {
            let files = [("ssl-ca", &files.ca), ("ssl-cert", &files.server), ("ssl-key", &files.server_key)];
            settings.extend(files.map(|(name, file)| (name.to_owned(), file.display().to_string())));
        }
        settings.extend(self.settings.iter().cloned());
        // The wrapper of MySQL says so itself, since it has to come first.
        let first = (flavour == Flavour::MariaDb).then(|| "--no-defaults".to_owned());
        let arguments = settings.iter().map(|(name, value)| format!("--{name}={value}"));
        let arguments = first.into_iter().chain(arguments).collect();
        let program = servers_folder().join(&self.component).join(flavour.program());
        MysqlServer { process: None, flavour, program, arguments, folder, port, host: self.host.clone() }
    }

    fn finish(&self, server: &MysqlServer) {
        let mut connection = server.connect();
        for statement in ["SET SESSION sql_log_bin=0"].into_iter().chain(self.statements.iter().map(String::as_str)) {
            connection.query_drop(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        if let Some((host, port)) = &self.primary {
            server.follow(host, *port);
            server.query(server.pick("SET GLOBAL super_read_only=ON", "SET GLOBAL read_only=ON"));
            wait_for("the replica replicates", PATIENCE, || server.replicates());
        }
    }
}

/// The data folder that every server of this component begins with; made once, and again when the users change.
fn template(component: &str) -> PathBuf {
    let flavour = Flavour::of(component);
    let statements: Vec<&str> = USERS.iter().chain(flavour.rights()).copied().collect();
    let mut hasher = DefaultHasher::new();
    statements.hash(&mut hasher);
    let folder = servers_folder().join(component);
    let made = folder.join(format!("data-{:016x}", hasher.finish()));
    let lock = std::fs::File::create(folder.join(".data.lock")).expect("a lock beside the server");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("the lock");
    if !made.exists() {
        let fresh = folder.join("data-new");
        let _ = std::fs::remove_dir_all(&fresh);
        let file = folder.join("data-new.sql");
        let text = statements.join(";\n") + ";\n";
        let first = if flavour == Flavour::MariaDb { "FLUSH PRIVILEGES;\n" } else { "" };
        std::fs::write(&file, first.to_owned() + &text).expect("a file beside the server");
        initialise(flavour, &folder, &fresh, &file);
        // Whoever starts from a copy is a server of its own.
        let _ = std::fs::remove_file(fresh.join("auto.cnf"));
        std::fs::rename(&fresh, &made).expect("the folder made just now");
    }
    made
}

fn initialise(flavour: Flavour, folder: &Path, data: &Path, statements: &Path) {
    let mut command = match flavour {
        Flavour::Mysql => {
            let mut command = Command::new(folder.join("mysqld"));
            command.args(["--initialize-insecure", "--skip-log-bin", "--user=root", "--innodb-redo-log-capacity=32M"]);
            command.arg(format!("--init-file={}", statements.display()));
            command
        }
        Flavour::MariaDb => {
            let mut command = Command::new(folder.join("mariadb-install-db"));
            command.args([
                "--no-defaults",
                "--user=root",
                "--skip-test-db",
                "--auth-root-authentication-method=normal",
            ]);
            command.arg(format!("--extra-file={}", statements.display()));
            command
        }
    };
    let output = command.arg(format!("--datadir={}", data.display())).output().expect("the server's program");
    let text = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    // MariaDB's script goes on after a statement that failed.
    assert!(output.status.success() && !text.contains("ERROR"), "{flavour:?} makes no data folder:\n{text}");
}

fn copy(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    let status = command.args(["-a", "--reflink=auto"]).args([from, to]).status().expect("cp");
    assert!(status.success(), "copying {}", from.display());
}

/// A running (or killed) server.
pub struct MysqlServer {
    process: Option<Process>,
    flavour: Flavour,
    program: PathBuf,
    arguments: Vec<String>,
    folder: TempDir,
    port: u16,
    host: Option<Host>,
}

impl MysqlServer {
    /// A server of an installed component (`mysql9`, `mariadb`) with settings.
    pub fn builder(component: &str) -> Builder {
        Builder {
            component: component.to_owned(),
            settings: Vec::new(),
            primary: None,
            host: None,
            certificates: None,
            statements: Vec::new(),
            port: None,
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
        (primary, replica)
    }

    /// Which of the two it is.
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// The first for MySQL, the second for MariaDB.
    pub fn pick<T>(&self, mysql: T, mariadb: T) -> T {
        if self.flavour == Flavour::Mysql { mysql } else { mariadb }
    }

    /// Its port.
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

    /// Its Unix socket.
    pub fn unix_socket(&self) -> PathBuf {
        self.folder.path().join("mysql.sock")
    }

    /// Its data folder, which survives [`MysqlServer::restart`].
    pub fn data_folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Its process id; panics after [`MysqlServer::kill`].
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

    /// A connection of its own as root, by the Unix socket.
    #[track_caller]
    pub fn connect(&self) -> mysql::Conn {
        self.try_connect().expect("a connection as root")
    }

    /// As [`MysqlServer::connect`], for a server that may be gone.
    pub fn try_connect(&self) -> mysql::Result<mysql::Conn> {
        let options = mysql::OptsBuilder::new().user(Some(ROOT)).socket(Some(self.unix_socket().display().to_string()));
        mysql::Conn::new(options)
    }

    /// A connection of a user over TCP, with [`PASSWORD`] unless it is root.
    pub fn connect_as(&self, user: &str, database: Option<&str>) -> mysql::Result<mysql::Conn> {
        let password = (user != ROOT).then_some(PASSWORD);
        let options = mysql::OptsBuilder::new()
            .ip_or_hostname(Some(self.host_address()))
            .tcp_port(self.port)
            .prefer_socket(false)
            .user(Some(user))
            .pass(password)
            .db_name(database);
        mysql::Conn::new(options)
    }

    /// Runs one statement as root on a new connection; rows as text, NULL as `NULL`.
    #[track_caller]
    pub fn query(&self, statement: &str) -> Vec<Vec<String>> {
        self.try_query(statement).unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    /// As [`MysqlServer::query`], where it may fail.
    pub fn try_query(&self, statement: &str) -> mysql::Result<Vec<Vec<String>>> {
        rows(&mut self.try_connect()?, statement)
    }

    /// The first value of the first row; empty when there is none.
    #[track_caller]
    pub fn value(&self, statement: &str) -> String {
        self.query(statement).into_iter().next().and_then(|row| row.into_iter().next()).unwrap_or_default()
    }

    /// One column of the replication status; empty when it is no replica.
    #[track_caller]
    pub fn replica_status(&self, column: &str) -> String {
        let statement = self.pick("SHOW REPLICA STATUS", "SHOW SLAVE STATUS");
        let row: Option<mysql::Row> = self.connect().query_first(statement).expect(statement);
        let text = row.and_then(|row| row.get::<Option<Vec<u8>>, _>(column)).flatten().unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Its executed transactions, in the server's own notation.
    pub fn executed(&self) -> String {
        self.value(self.pick("SELECT @@GLOBAL.gtid_executed", "SELECT @@GLOBAL.gtid_current_pos")).replace('\n', "")
    }

    /// Makes it follow a server as [`REPL`], from wherever it is.
    #[track_caller]
    pub fn follow(&self, host: &str, port: u16) {
        let statements = match self.flavour {
            Flavour::Mysql => [
                format!(
                    "CHANGE REPLICATION SOURCE TO SOURCE_HOST='{host}', SOURCE_PORT={port}, SOURCE_USER='{REPL}', \
                     SOURCE_PASSWORD='{PASSWORD}', SOURCE_AUTO_POSITION=1, SOURCE_SSL=1, SOURCE_CONNECT_RETRY=1, \
                     SOURCE_HEARTBEAT_PERIOD=1"
                ),
                "START REPLICA".to_owned(),
            ],
            Flavour::MariaDb => [
                format!(
                    "CHANGE MASTER TO MASTER_HOST='{host}', MASTER_PORT={port}, MASTER_USER='{REPL}', \
                     MASTER_PASSWORD='{PASSWORD}', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, \
                     MASTER_HEARTBEAT_PERIOD=1"
                ),
                "START SLAVE".to_owned(),
            ],
        };
        for statement in &statements {
            self.query(statement);
        }
    }

    /// Whether both threads of its replication run.
    #[track_caller]
    pub fn replicates(&self) -> bool {
        let columns =
            self.pick(["Replica_IO_Running", "Replica_SQL_Running"], ["Slave_IO_Running", "Slave_SQL_Running"]);
        columns.iter().all(|column| self.replica_status(column) == "Yes")
    }

    /// Waits until this replica has applied what `primary` has written so far.
    #[track_caller]
    pub fn wait_synced(&self, primary: &Self) {
        let set = primary.value(primary.pick("SELECT @@GLOBAL.gtid_executed", "SELECT @@GLOBAL.gtid_binlog_pos"));
        let wait = self.pick("WAIT_FOR_EXECUTED_GTID_SET", "MASTER_GTID_WAIT");
        assert_eq!(self.value(&format!("SELECT {wait}('{}', 20)", set.replace('\n', ""))), "0", "it is in sync");
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

    /// Starts it again after [`MysqlServer::kill`] or [`MysqlServer::stop`], on its port and data folder.
    #[track_caller]
    pub fn restart(&mut self) {
        self.process = None;
        self.process = Some(self.launch());
        assert!(self.comes_up(), "does not start again; its log:\n{}", self.log());
    }

    fn launch(&self) -> Process {
        Process::start_on(self.host.as_ref(), &self.program, &self.arguments, &[], &self.log_file())
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Waits until it answers a question; false when its process has ended.
    fn comes_up(&mut self) -> bool {
        let mut answers = false;
        holds_within(PATIENCE * 2, || {
            let ended = self.process.as_mut().expect("just launched").ended().is_some();
            answers = !ended && self.try_query("SELECT 1").is_ok();
            ended || answers
        });
        answers
    }
}

/// Runs one statement on a connection; rows as text, NULL as `NULL`.
pub fn rows(connection: &mut mysql::Conn, statement: &str) -> mysql::Result<Vec<Vec<String>>> {
    let rows: Vec<mysql::Row> = connection.query(statement)?;
    let text = |value: mysql::Value| match value {
        mysql::Value::NULL => "NULL".to_owned(),
        mysql::Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => other.as_sql(true),
    };
    Ok(rows.into_iter().map(|row| row.unwrap().into_iter().map(text).collect()).collect())
}
