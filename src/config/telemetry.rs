//! `[telemetry]` as plain values: metrics, health, logs, and whom to tell.
//!
//! Input: nothing; the reader builds these from TOML. Output: the settings of everything that is told to the outside. Never in
//! here: a secret in any printed form. The path of a webhook's address counts as one, since many services put a key there.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::secret::Secret;

/// `[telemetry]`: metrics, health and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    /// The listener of `/metrics`, `/livez` and `/readyz`. Default `127.0.0.1:9321`. Needs a restart to change.
    pub listen: SocketAddr,
    /// A level or a `tracing` filter such as `info,pointsman::control=debug`. Default `info`.
    pub log: String,
    /// One line of text or one JSON object a record. Default text.
    pub log_format: LogFormat,
    /// Where the runbooks are; `#` and an anchor are put behind it. Default `docs/runbooks.md`.
    pub runbook_url: String,
    /// Whom to tell what happens, at most 16, no name twice.
    pub webhooks: Vec<Webhook>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9321)),
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            runbook_url: "docs/runbooks.md".to_owned(),
            webhooks: Vec::new(),
        }
    }
}

/// `telemetry.log_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For log collectors: one object a line.
    Json,
}

/// `[[telemetry.webhooks]]`: an HTTP endpoint that is told what happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Same characters as a service's name. What was told is remembered under it.
    pub name: String,
    /// Where to.
    pub url: WebhookUrl,
    /// In which form. Default alertmanager.
    pub format: WebhookFormat,
    /// What of. Default: all that calls for a person ([`Notice::DEFAULT`]).
    pub events: Vec<Notice>,
    /// Sent as a bearer token. `None` where none is configured, and when the file was loaded without secrets.
    pub token: Option<Secret>,
    /// Who signs the endpoint's certificate, where it speaks TLS. Default `/etc/ssl/certs/ca-certificates.crt`.
    pub ca: PathBuf,
    /// How long one delivery may take, 100 ms to 60 s. Default 5 s.
    pub timeout: Duration,
    /// How long a service must be without a way to fail over before that is told; at most a day. Default 1 min: a switch takes
    /// it away for a moment.
    pub not_ready_after: Duration,
}

/// `url` of a webhook.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// `host:port`, an IPv6 address in brackets.
    pub authority: String,
    /// What `Host` says: without a port where that is the scheme's own.
    pub host: String,
    /// From the first slash on, with the query; may hold a key, so that it is never printed.
    pub path: Secret,
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let path = if self.path.expose() == b"/" { "/" } else { "/***" };
        write!(f, "{scheme}://{}{path}", self.host)
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `format` of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WebhookFormat {
    /// What Prometheus's Alertmanager sends to its webhooks, version 4.
    #[default]
    Alertmanager,
    /// Plain JSON: each event with its journal record and the service as it stands.
    Json,
}

macro_rules! notices {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// What a webhook can be told.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Notice { $($(#[$doc])* $variant),+ }

        impl Notice {
            /// Every one, in the order of the reference.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in the configuration and in messages.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

notices! {
    /// A failover moved the route.
    Failover = "failover",
    /// A switch was rolled back, is partly done, or nobody knows.
    Failed = "failed",
    /// Something keeps the service from being served or failed over, and an operator has to decide.
    Blocked = "blocked",
    /// A failover would be refused, and has been for a while.
    NotReady = "not_ready",
    /// An operator passed a guard.
    Override = "override",
    /// A switch waits for a second person.
    Approval = "approval",
    /// The journal can't be written.
    Journal = "journal",
    /// The configuration file was refused.
    Configuration = "configuration",
    /// A planned switch is done.
    Switchover = "switchover",
    /// A switch or a failover was refused by a guard.
    Refused = "refused",
    /// Pointsman started.
    Start = "start",
    /// Every record of the journal; plain JSON only.
    Record = "record",
}

impl Notice {
    /// What calls for a person.
    pub const DEFAULT: [Self; 8] = [
        Self::Failover,
        Self::Failed,
        Self::Blocked,
        Self::NotReady,
        Self::Override,
        Self::Approval,
        Self::Journal,
        Self::Configuration,
    ];
}
