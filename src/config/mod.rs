//! Configuration: the schema, its loading with every error at once, and the difference of two versions.

pub mod schema;
mod secret;

pub use schema::{
    Admin, AfterFailover, Cluster, Config, Credentials, Failback, Failover, Health, Kind, Listen, ListenerTls,
    LogFormat, Node, NodeIdentity, NodeTls, Replication, SecondOpinion, Service, Telemetry, Unfenced,
};
pub use secret::Secret;
