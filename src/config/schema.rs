//! The configuration as plain values: what one valid file says, with every default filled in.
//!
//! Input: nothing; the reader beside this file (`read`) builds these from TOML. Output: the types that every higher floor
//! reads its settings from. Never in here: parsing, validation, I/O, or the text of a secret in any printed form.
//!
//! Each type's `Default` is the value of an absent key, and the commented reference `config/pointsman.toml` is tested
//! against it. Names that belong to later versions have no field here: the reader refuses them.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::admin::Admin;
use super::approval::Approval;
use super::groups::Group;
use super::journal::{FullJournal, Journal};
use super::telemetry::Telemetry;
use crate::model::name::{ClusterName, Kind, NodeAddress, ServiceName};
use crate::model::secret::Secret;

/// One whole configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The folder of the journal: routes, epochs, fences and operations survive restarts here. Default
    /// `/var/lib/pointsman`. Needs a restart to change.
    pub state_dir: PathBuf,
    /// How long sessions, new ones too, are served after SIGTERM before they are cut at safe points. Default 30 s, at
    /// most a day; 0 cuts at once.
    pub grace: Duration,
    /// Threads that carry traffic, 1 to 64. Default: 1 up to 4 cores, then a quarter of the cores. Needs a restart to
    /// change.
    pub workers: usize,
    /// Where operators reach this process.
    pub admin: Admin,
    /// Where its metrics and logs go.
    pub telemetry: Telemetry,
    /// How much of the journal is kept.
    pub journal: Journal,
    /// The services in the order of the file; at least one, and no name twice.
    pub services: Vec<Service>,
    /// Services that are switched together; no service in two of them.
    pub groups: Vec<Group>,
}

/// `[services.NAME]`: one name that is switched, and the listeners applications connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// 1 to 63 letters, digits, `-` and `_`, beginning with a letter or digit.
    pub name: ServiceName,
    /// The kind of store. Redis also means Valkey, MySQL MariaDB, Elasticsearch OpenSearch.
    pub kind: Kind,
    /// Where applications connect; at least one, unique over the whole file.
    pub listen: Vec<Listen>,
    /// Where applications read from lag-bounded standbys; may be empty.
    pub listen_read: Vec<Listen>,
    /// Who moves the roles of the nodes. Default managed; of Elasticsearch always none.
    pub replication: Replication,
    /// Whether Pointsman may set what detection needs on the nodes (ping and heartbeat periods). Default false.
    pub tune: bool,
    /// Commands that applications may not send, in upper case, a subcommand after a blank (`CLUSTER MEET`). `None` is
    /// the kind's own list (commands that change the topology); an empty list denies nothing.
    pub deny: Option<Vec<String>>,
    /// Client connections at once, 1 to 1,000,000. Default 10,000.
    pub max_connections: usize,
    /// Bytes that one slow reader may make Pointsman keep, 16 KiB to 1 GiB. Default 1 MiB.
    pub client_buffer: usize,
    /// Whom to call; shown to operators and sent with alerts. May be empty.
    pub on_call: String,
    /// TLS on the listeners, towards applications.
    pub tls: Option<ListenerTls>,
    /// TLS towards the nodes.
    pub node_tls: Option<NodeTls>,
    /// Pointsman's own login at the nodes; `None` where the nodes ask for none.
    pub credentials: Option<Credentials>,
    /// The application's users, where Pointsman itself checks logins (MySQL): at least one there, no name twice; else none.
    pub users: Vec<User>,
    /// How a node of MySQL that was demoted logs in to the new primary.
    pub replication_user: Option<ReplicationUser>,
    /// How long a transaction of MySQL may be idle before its session is ended, 100 ms to a day; `None` is no limit.
    pub idle_in_transaction: Option<Duration>,
    /// What a cluster of Elasticsearch must be like before the route may be moved to it.
    pub search: Search,
    /// How the nodes are probed.
    pub health: Health,
    /// How routes move.
    pub failover: Failover,
    /// Whether a switch by hand waits for a second person.
    pub approval: Approval,
    /// At least two, in order of preference; no name twice.
    pub clusters: Vec<Cluster>,
    /// The group that it is switched with, as `groups` of the whole file says.
    pub group: Option<String>,
}

impl Service {
    /// A service with the default of each key that has one, and without listeners, users and clusters.
    pub fn plain(name: &str, kind: Kind, replication: Replication) -> Self {
        Self {
            name: name.into(),
            kind,
            listen: Vec::new(),
            listen_read: Vec::new(),
            replication,
            tune: false,
            deny: None,
            max_connections: 10_000,
            client_buffer: 1 << 20,
            on_call: String::new(),
            tls: None,
            node_tls: None,
            credentials: None,
            users: Vec::new(),
            replication_user: None,
            idle_in_transaction: None,
            search: Search::default(),
            health: Health::default(),
            failover: Failover::defaults(replication),
            approval: Approval::default(),
            clusters: Vec::new(),
            group: None,
        }
    }
}

/// A place that applications connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Listen {
    /// `host:port`, an IP address; the port is never 0.
    Tcp(SocketAddr),
    /// `unix:/path`, absolute, at most 107 bytes.
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `replication`: who moves the roles. `mirrored` is reserved for a later version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Replication {
    /// Pointsman fences, promotes and demotes.
    #[default]
    Managed,
    /// Somebody else does (Sentinel, an orchestrator, another host's Pointsman): the writable node is followed.
    External,
    /// The clusters are independent: only the route moves.
    None,
}

/// `[services.NAME.tls]`: PEM files for the listeners. They are known to exist when loaded with secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// When set, applications must show a certificate that one of these signed.
    pub client_ca: Option<PathBuf>,
}

/// `[services.NAME.node_tls]`: PEM files towards the nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeTls {
    /// Who signs the nodes' certificates.
    pub ca: PathBuf,
    /// Pointsman's own certificate and key, for nodes that ask for one.
    pub identity: Option<NodeIdentity>,
    /// The name expected in the nodes' certificates instead of the host in their address.
    pub server_name: Option<String>,
}

/// Pointsman's client certificate towards the nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeIdentity {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// `[services.NAME.credentials]`: Pointsman's own login (probe, fence, promote).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user; `None` is the store's default user.
    pub username: Option<String>,
    /// Its password, never empty. `None` only when the file was loaded without secrets.
    pub password: Option<Secret>,
}

/// `[[services.NAME.users]]`: one of the application's users, who is let in with this password only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name at the nodes, 1 to 128 characters.
    pub name: String,
    /// Its password, never empty. `None` only when the file was loaded without secrets.
    pub password: Option<Secret>,
    /// Connections at once, 1 to 1,000,000; `None` leaves only the service's limit.
    pub max_connections: Option<usize>,
}

/// `[services.NAME.replication_user]`: the login that nodes replicate with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationUser {
    /// Its name at the nodes, 1 to 128 characters.
    pub name: String,
    /// Its password, never empty. `None` only when the file was loaded without secrets.
    pub password: Option<Secret>,
}

/// What only services of kind elasticsearch have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Search {
    /// The least state of a cluster that the route may be moved to. Default yellow.
    pub require: Require,
    /// Patterns of the indices that count for that state and that are compared before a switch, at most 64; empty means all.
    pub indices: Vec<String>,
}

/// `require`: the state that a cluster reports of its shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Require {
    /// Any, as long as the cluster has a master: some shards may serve nothing.
    Red,
    /// Every primary shard serves.
    #[default]
    Yellow,
    /// Every shard serves, replicas too.
    Green,
}

/// `[services.NAME.health]`: how nodes are probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// From one probe of a node to the next; 10 ms to 60 s. Default 200 ms.
    pub interval: Duration,
    /// How long one probe may take; 10 ms to 60 s. Default 500 ms.
    pub timeout: Duration,
    /// Failed probes in a row that make a node down; 1 to 100. Default 3.
    pub fall: u32,
    /// Good probes in a row that make it up again; 1 to 100. Default 2.
    pub rise: u32,
    /// Silence that counts as a hang; longer than the slowest script. 100 ms to 10 min. Default 6 s.
    pub hang_window: Duration,
    /// Who must agree that a primary is gone.
    pub second_opinion: SecondOpinion,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(200),
            timeout: Duration::from_millis(500),
            fall: 3,
            rise: 2,
            hang_window: Duration::from_secs(6),
            second_opinion: SecondOpinion::Standby,
        }
    }
}

/// `health.second_opinion`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SecondOpinion {
    /// A standby that lost its link to the primary, or heard nothing from it.
    #[default]
    Standby,
    /// Pointsman's own probes suffice; must be asked for.
    None,
}

/// `[services.NAME.failover]`: how routes move, planned or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failover {
    /// Whether a dead primary is replaced without an operator. Default true.
    pub automatic: bool,
    /// The most a candidate of a failover may have missed; at most a day. Default 10 s.
    pub max_lag: Duration,
    /// What to do when a silent or unreachable primary can't be fenced. Default block.
    pub unfenced: Unfenced,
    /// Whether a dead primary is replaced although the journal's disk is full. Default block.
    pub full_journal: FullJournal,
    /// The mode after a failover. Default open, or read only where `replication = "none"`.
    pub after_failover: AfterFailover,
    /// How long after a move no automatic one follows; at most a day. Default 60 s.
    pub cooldown: Duration,
    /// Who moves the route back to the preferred cluster. Default manual.
    pub failback: Failback,
    /// The longest that requests are held, one clock for a whole outage; 100 ms to 10 min. Default 10 s.
    pub hold_timeout: Duration,
    /// What transactions in flight get to end in, after closing; 10 ms to 10 min, sensibly below `hold_timeout`. Default
    /// 1 s.
    pub drain_timeout: Duration,
}

impl Failover {
    /// The values of an absent table, which depend on who replicates.
    pub fn defaults(replication: Replication) -> Self {
        Self {
            automatic: true,
            max_lag: Duration::from_secs(10),
            unfenced: Unfenced::Block,
            full_journal: FullJournal::Block,
            after_failover: match replication {
                Replication::Managed | Replication::External => AfterFailover::Open,
                Replication::None => AfterFailover::ReadOnly,
            },
            cooldown: Duration::from_mins(1),
            failback: Failback::Manual,
            hold_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(1),
        }
    }
}

/// `failover.unfenced`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Unfenced {
    /// Don't promote: an operator decides.
    #[default]
    Block,
    /// Promote all the same: available, at the price of writes that may be lost.
    Promote,
}

/// `failover.after_failover`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AfterFailover {
    /// Reads and writes.
    #[default]
    Open,
    /// Reads only, until an operator opens it.
    ReadOnly,
}

/// `failover.failback`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Failback {
    /// An operator.
    #[default]
    Manual,
    /// Pointsman, by a planned switch, when the preferred cluster is whole again.
    Automatic,
}

/// `[[services.NAME.clusters]]`: one complete copy of the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Same characters as a service's name.
    pub name: ClusterName,
    /// Where it stands; empty when not given.
    pub site: String,
    /// At least one; no address twice in a service.
    pub nodes: Vec<Node>,
}

/// One endpoint of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// `host:port`; a name is resolved again on each connect.
    pub address: NodeAddress,
    /// `host:port` that other nodes replicate from, where it differs from `address`.
    pub replicate_from: Option<NodeAddress>,
}
