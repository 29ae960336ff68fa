//! Configuration: the schema, its loading with every error at once, and the difference of two versions.

pub mod schema;

pub use schema::{
    Admin, AfterFailover, Cluster, Config, Credentials, Failback, Failover, Health, Listen, ListenerTls, LogFormat,
    Node, NodeIdentity, NodeTls, Replication, SecondOpinion, Service, Telemetry, Unfenced,
};
