//! One side of a comparison: a server, alone or behind a Pointsman.

use super::wire::{Got, LIMIT, Wire, encode};
use crate::common::instance::Pointsman;
use crate::common::ports::free_port;
use crate::common::redis_server::{Builder, RedisServer};
use crate::common::{PATIENCE, wait_for};

/// Where clients connect, and what is behind it.
pub struct Side {
    /// `direct` or `pointsman`.
    pub name: &'static str,
    /// The port that clients use.
    pub port: u16,
    /// The server that answers.
    pub server: RedisServer,
    /// The other cluster: a replica, or an unrelated server.
    pub spare: RedisServer,
    /// What the server asks for.
    pub password: Option<&'static str>,
    /// What is in front of it.
    pub pointsman: Option<Pointsman>,
}

/// What kind of servers a comparison needs.
#[derive(Clone, Copy, Debug)]
pub struct Kind<'a> {
    /// `redis7`, …
    pub component: &'a str,
    /// True: the second server is a replica of the first.
    pub replica: bool,
    /// More settings of both servers.
    pub settings: &'a [(&'a str, &'a str)],
    /// What the servers ask for.
    pub password: Option<&'static str>,
    /// More lines of the service's table.
    pub service: &'a str,
}

impl<'a> Kind<'a> {
    /// Two unrelated servers with nothing special.
    pub fn plain(component: &'a str) -> Self {
        Self { component, replica: false, settings: &[], password: None, service: "" }
    }

    /// A primary and its replica.
    pub fn replicated(component: &'a str) -> Self {
        Self { replica: true, ..Self::plain(component) }
    }

    /// Servers that ask for the password `secret`.
    pub fn locked(component: &'a str) -> Self {
        let service = "[services.cart.credentials]\nusername = \"default\"\npassword_env = \"NODE_PASSWORD\"";
        Self { password: Some("secret"), service, ..Self::plain(component) }
    }

    fn builder(&self) -> Builder {
        let mut builder = RedisServer::builder(self.component);
        if self.component != "redis6" {
            builder = builder.set("enable-debug-command", "yes");
        }
        for (name, value) in self.settings {
            builder = builder.set(name, value);
        }
        if let Some(password) = self.password {
            builder = builder.set("requirepass", password);
        }
        builder
    }

    fn servers(&self) -> (RedisServer, RedisServer) {
        let server = self.builder().start();
        if !self.replica {
            return (server, self.builder().start());
        }
        let spare = self.builder().replica_of(&server).start();
        spare.wait_synced();
        (server, spare)
    }

    /// Both sides: a server that is asked directly, and its twin behind a Pointsman.
    pub fn both(&self) -> [Side; 2] {
        let second = match std::env::var("POINTSMAN_BEHAVIOUR").as_deref() {
            Ok("direct") => self.direct("pointsman"),
            _ => self.through(),
        };
        [self.direct("direct"), second]
    }

    fn direct(&self, name: &'static str) -> Side {
        let (server, spare) = self.servers();
        Side { name, port: server.port(), server, spare, password: self.password, pointsman: None }
    }

    /// A server behind a Pointsman.
    pub fn through(&self) -> Side {
        let (server, spare) = self.servers();
        let port = free_port();
        let replication = if self.replica { "managed" } else { "none" };
        let services = format!(
            "[services.cart]\nkind = \"redis\"\nlisten = [\"127.0.0.1:{port}\"]\nreplication = \"{replication}\"\n{}\n\
             [[services.cart.clusters]]\nname = \"main\"\nnodes = [\"{}\"]\n\
             [[services.cart.clusters]]\nname = \"spare\"\nnodes = [\"{}\"]\n",
            self.service,
            server.address(),
            spare.address()
        );
        let mut pointsman =
            Pointsman::prepare(&services).environment("NODE_PASSWORD", self.password.unwrap_or_default());
        pointsman.launch();
        // A server that asks for a password is there, too.
        let ready = |answer: &[u8]| answer == b"+PONG\r\n" || answer.starts_with(b"-NOAUTH");
        wait_for("Pointsman has a route", PATIENCE, || {
            let mut wire = Wire::connect(port);
            wire.send(&encode(&["PING"]));
            match wire.frame(LIMIT) {
                Got::Frame(answer) => ready(&answer),
                other => panic!("{other:?} for the first PING; Pointsman's log:\n{}", pointsman.log()),
            }
        });
        Side { name: "pointsman", port, server, spare, password: self.password, pointsman: Some(pointsman) }
    }
}

impl Side {
    /// A client's connection.
    pub fn connect(&self) -> Wire {
        Wire::connect(self.port)
    }

    /// A connection to the server itself, logged in.
    pub fn admin(&self) -> Wire {
        let mut wire = Wire::connect(self.server.port());
        if let Some(password) = self.password {
            wire.ask(&["AUTH", password]);
        }
        wire
    }

    /// Takes away what a script left behind, on a connection to the server itself.
    pub fn tidy(wire: &mut Wire) {
        // Older servers have no functions.
        for line in ["CLIENT UNPAUSE", "FLUSHALL", "FUNCTION FLUSH", "SCRIPT FLUSH", "CONFIG SET maxmemory 0"] {
            let words: Vec<&str> = line.split(' ').collect();
            wire.ask(&words);
        }
    }
}
