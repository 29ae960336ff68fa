//! How a node greets: applications are greeted alike, so that they see the version and the capabilities they would see without Pointsman.

use crate::protocol::mysql::{
    auth,
    capability::{Capabilities, status},
    greeting::{Greeting, NONCE},
};

/// What a node's greeting says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manners {
    version: Box<[u8]>,
    capabilities: Capabilities,
    collation: u8,
    mariadb: bool,
}

impl Manners {
    /// Those of a node that greeted so.
    pub fn of(greeting: &Greeting<'_>) -> Self {
        Self {
            version: greeting.version.into(),
            capabilities: greeting.capabilities,
            collation: greeting.collation,
            mariadb: greeting.is_mariadb(),
        }
    }

    /// The plugin that applications log in with.
    pub fn plugin(&self) -> &'static [u8] {
        if self.mariadb { auth::NATIVE } else { auth::CACHING_SHA2 }
    }

    /// True for MariaDB.
    pub fn is_mariadb(&self) -> bool {
        self.mariadb
    }

    /// What applications are offered: what the node can do, as far as it passes through unchanged.
    pub fn offered(&self, tls: bool) -> Capabilities {
        let own =
            Capabilities::OWN | Capabilities::LONG_PASSWORD | Capabilities::IGNORE_SIGPIPE | Capabilities::RESERVED;
        let offered = self.capabilities & (Capabilities::SHARED | own);
        if tls { offered | Capabilities::SSL } else { offered - Capabilities::SSL }
    }

    /// Appends the greeting's payload.
    pub fn greet(&self, out: &mut Vec<u8>, connection_id: u32, nonce: [u8; NONCE], tls: bool) {
        let greeting = Greeting {
            version: &self.version,
            connection_id,
            nonce,
            capabilities: self.offered(tls),
            collation: self.collation,
            status: status::AUTOCOMMIT,
            plugin: self.plugin(),
        };
        greeting.write(out);
    }
}
