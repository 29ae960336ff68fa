//! Addresses that may be taken once only: listeners over the whole file, nodes within a service and between managers.
//!
//! Input: each address as it is read. Output: a problem where one is taken already, naming the first place. Never: name
//! resolution; that two names are one node is found by asking the nodes.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use crate::config::problem::Code;
use crate::config::schema::{Listen, Replication};
use crate::config::table::{Field, Sink};

/// What was taken so far.
#[derive(Default)]
pub(super) struct Places {
    listeners: Vec<(Listen, String)>,
    /// Nodes by canonical address, with the service that manages them and where it says so.
    managed: HashMap<String, String>,
}

/// What one service took.
pub(super) struct ServicePlaces {
    pub(super) listen: Vec<Listen>,
    pub(super) replication: Replication,
    /// Canonical addresses and the lines they stand in.
    nodes: HashMap<String, usize>,
}

impl ServicePlaces {
    pub(super) fn new(listen: Vec<Listen>, replication: Replication) -> Self {
        Self { listen, replication, nodes: HashMap::new() }
    }
}

impl Places {
    /// A listener that the file gives.
    pub(super) fn listen(&mut self, sink: &mut Sink<'_>, field: &Field<'_>, address: &Listen) {
        if let Some((taken, by)) = self.listeners.iter().find(|(other, _)| overlap(other, address)) {
            let message = format!("`{address}` is taken already: {by} listens on `{taken}`");
            sink.error(field.span.clone(), Code::Duplicate, message, "give each listener an address of its own");
        }
        let by = format!("`{}` in line {}", field.name, sink.line(field.span.start));
        self.listeners.push((address.clone(), by));
    }

    /// A listener that stands in no line because its key is absent.
    pub(super) fn default_listen(&mut self, key: &str, address: &Listen) {
        self.listeners.push((address.clone(), format!("`{key}`, by default,")));
    }

    /// A node of a service.
    pub(super) fn node(&mut self, sink: &mut Sink<'_>, field: &Field<'_>, canonical: &str, of: &mut ServicePlaces) {
        let line = sink.line(field.span.start);
        if let Some(first) = of.nodes.insert(canonical.to_owned(), line) {
            let message = format!("node `{canonical}` stands in line {first} already");
            sink.error(field.span.clone(), Code::Duplicate, message, "a node belongs to one cluster, once");
            return;
        }
        let own = canonical.parse::<SocketAddr>().map(Listen::Tcp);
        if own.is_ok_and(|own| of.listen.iter().any(|listen| overlap(listen, &own))) {
            let help = "give the address of the store, not the one that applications connect to";
            let message = format!("node `{canonical}` is a listener of the same service");
            sink.error(field.span.clone(), Code::Conflict, message, help);
        }
        if of.replication == Replication::Managed {
            let here = format!("`{}` in line {line}", field.name);
            if let Some(other) = self.managed.insert(canonical.to_owned(), here) {
                let message = format!("node `{canonical}` is managed by another service: {other}");
                sink.error(
                    field.span.clone(),
                    Code::Duplicate,
                    message,
                    "two services would undo each other's switches",
                );
            }
        }
    }
}

/// Whether both can't be bound at once. A wildcard takes its port on every address of its family, and `::` on IPv4 too.
fn overlap(a: &Listen, b: &Listen) -> bool {
    let covers = |wild: IpAddr, other: IpAddr| wild.is_unspecified() && (wild.is_ipv6() || other.is_ipv4());
    match (a, b) {
        (Listen::Tcp(a), Listen::Tcp(b)) => {
            a.port() == b.port() && (a.ip() == b.ip() || covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
        }
        (a, b) => a == b,
    }
}
