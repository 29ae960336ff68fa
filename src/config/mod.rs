//! Configuration: the schema, its loading with every error at once, and the difference of two versions.
//!
//! Input: one TOML file and what it names. Output: `Config`, or problems with their places. Never: the network, a panic
//! on any file, a secret in anything printed.

mod admin;
mod approval;
mod diff;
mod groups;
mod load;
mod lookup;
mod mask;
mod problem;
mod read;
pub mod schema;
mod source;
mod table;
pub mod units;

pub use admin::{Admin, Person, TokenHash};
pub use approval::Approval;
pub use diff::{Change, Effect, diff};
pub use groups::Group;
pub use load::{Loaded, Options, load, load_bytes};
pub use problem::{Code, Problem, Severity, to_json};
pub use schema::{
    AfterFailover, Cluster, Config, Credentials, Failback, Failover, Health, Listen, ListenerTls, LogFormat, Node,
    NodeIdentity, NodeTls, Replication, ReplicationUser, Require, Search, SecondOpinion, Service, Telemetry, Unfenced,
    User,
};
