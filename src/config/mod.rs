//! Configuration: the schema, its loading with every error at once, and the difference of two versions.
//!
//! Input: one TOML file and what it names. Output: `Config`, or problems with their places. Never: the network, a panic
//! on any file, a secret in anything printed.

mod admin;
mod approval;
mod diff;
mod groups;
mod journal;
mod load;
mod lookup;
mod mask;
mod problem;
mod read;
pub mod schema;
mod source;
mod table;
pub mod telemetry;
pub mod units;

pub use admin::{Admin, Person, TokenHash};
pub use approval::Approval;
pub use diff::{Change, Effect, diff, settings};
pub use groups::Group;
pub use journal::{FullJournal, Journal};
pub use load::{Loaded, Options, load, load_bytes};
pub use problem::{Code, Problem, Severity, to_json};

/// The JSON schema of the file, for editors. It finds wrong keys, types and words while one writes; `load` finds more.
pub const JSON_SCHEMA: &str = include_str!("../../config/pointsman.schema.json");

pub use schema::{
    AfterFailover, Cluster, Config, Credentials, Failback, Failover, Health, Listen, ListenerTls, Node, NodeIdentity,
    NodeTls, Replication, ReplicationUser, Require, Search, SecondOpinion, Service, Unfenced, User,
};
pub use telemetry::{LogFormat, Notice, Telemetry, Webhook, WebhookFormat, WebhookUrl};
