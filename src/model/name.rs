//! Names of things: services, clusters, nodes, and the kinds of stores.

use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(Arc::from(text))
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(Arc::from(text))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

name!(
    /// A service: one name, one or more listeners, the thing that is switched.
    ServiceName
);
name!(
    /// A cluster of a service: one complete copy of its data, the unit that is switched to.
    ClusterName
);
name!(
    /// A node's endpoint as configured: `host:port`. The configured text is the identity; what it resolves to may change.
    NodeAddress
);
name!(
    /// An operation's id, unique in a journal: its service's name, `-`, and a number that only grows (`cart-17`).
    OperationId
);

/// The kind of store a service speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Redis or Valkey.
    Redis,
    /// MySQL or MariaDB.
    Mysql,
    /// Elasticsearch or OpenSearch.
    Elasticsearch,
}

impl Kind {
    /// The name used in configuration, metrics and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Mysql => "mysql",
            Self::Elasticsearch => "elasticsearch",
        }
    }
}
