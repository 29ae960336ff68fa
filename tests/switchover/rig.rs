//! One service in front of real servers, and what tests ask of it.
#![allow(dead_code, reason = "several test programs use a part of it each")]
#![allow(unreachable_pub, reason = "a module of test programs")]

use crate::common::{
    PATIENCE, instance::Pointsman, ports::free_port, raw::Raw, redis_server::RedisServer, relay::Relay, wait_for,
};
use serde_json::Value;
use std::{fmt::Write as _, os::unix::net::UnixStream};

/// A Pointsman with the service `cart`.
pub struct Rig {
    /// The process.
    pub pointsman: Pointsman,
    /// Where applications connect.
    pub port: u16,
}

impl Rig {
    /// Starts a service over these clusters (name and nodes) and waits until it is steady.
    #[track_caller]
    pub fn start(clusters: &[(&str, Vec<&RedisServer>)], settings: &str) -> Self {
        let mut rig = Self::prepare(clusters, settings);
        rig.pointsman.launch();
        rig.wait_steady();
        rig
    }

    /// As [`Rig::start`], with so many worker threads.
    #[track_caller]
    pub fn with_workers(clusters: &[(&str, Vec<&RedisServer>)], workers: usize) -> Self {
        let mut rig = Self::prepare(clusters, "");
        let file = std::fs::read_to_string(rig.pointsman.config_file()).expect("just written");
        rig.pointsman.write_config(&format!("workers = {workers}\n{file}"));
        rig.pointsman.launch();
        rig.wait_steady();
        rig
    }

    /// As [`Rig::start`], not yet started.
    pub fn prepare(clusters: &[(&str, Vec<&RedisServer>)], settings: &str) -> Self {
        let port = free_port();
        Self { pointsman: Pointsman::prepare(&service(port, clusters, settings)), port }
    }

    /// A primary in `main` and its replica in `spare`.
    #[track_caller]
    pub fn pair(settings: &str) -> (Self, RedisServer, RedisServer) {
        let (primary, replica) = RedisServer::pair("redis7");
        let rig = Self::start(&[("main", vec![&primary]), ("spare", vec![&replica])], settings);
        (rig, primary, replica)
    }

    /// A service whose primary is reached through a relay; its standby follows it on a path of its own.
    #[track_caller]
    pub fn behind(relay: &Relay, main: &RedisServer, spare: &RedisServer, settings: &str) -> Self {
        let (main, spare, port) = (main.address(), spare.address(), free_port());
        let through = relay.address();
        let text = format!(
            "[services.cart]\nkind = \"redis\"\nlisten = [\"127.0.0.1:{port}\"]\n{settings}\n\
             [[services.cart.clusters]]\nname = \"main\"\n\
             nodes = [{{ address = \"{through}\", replicate_from = \"{main}\" }}]\n\
             [[services.cart.clusters]]\nname = \"spare\"\nnodes = [\"{spare}\"]\n"
        );
        let rig = Self { pointsman: Pointsman::start(&text), port };
        rig.wait_ready();
        rig
    }

    /// A raw connection through Pointsman.
    #[track_caller]
    pub fn raw(&self) -> Raw {
        self.pointsman.raw(self.port)
    }

    /// The service as the API shows it; null while the API does not answer.
    pub fn service(&self) -> Value {
        if UnixStream::connect(self.pointsman.folder().join("admin.sock")).is_err() {
            return Value::Null;
        }
        self.pointsman.api("/v1/services/cart", None).1
    }

    /// Waits until a planned switch would be let through.
    #[track_caller]
    pub fn wait_ready(&self) {
        self.wait("ready for a switch", |service| service["switchover_ready"]["ready"] == true);
    }

    /// Waits until the route is known and nothing is under way.
    #[track_caller]
    pub fn wait_steady(&self) {
        self.wait("steady", |service| service["state"] == "steady" && service["mode"] == "open");
    }

    /// Waits until the service looks so.
    #[track_caller]
    pub fn wait(&self, what: &str, looks: impl Fn(&Value) -> bool) {
        let mut last = Value::Null;
        let so = crate::common::holds_within(PATIENCE, || {
            last = self.service();
            looks(&last)
        });
        assert!(so, "not {what}: {last:#}\nlog:\n{}", self.pointsman.log());
    }

    /// A planned switch that must be done; gives the operation.
    #[track_caller]
    pub fn switch(&self, to: &str) -> Value {
        let operation = self.switch_ends(to, &[], 0);
        assert_eq!(operation["outcome"], "done", "{operation:#}");
        operation
    }

    /// A planned switch that ends with this exit code; gives the operation.
    #[track_caller]
    pub fn switch_ends(&self, to: &str, more: &[&str], code: i32) -> Value {
        let mut arguments = vec!["switchover", "cart", "--to", to, "--json"];
        arguments.extend(more);
        let out = self.pointsman.cli_expect(&arguments, code);
        let answer: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
        // A refusal is a problem that holds the operation.
        answer.get("operation").filter(|operation| operation.is_object()).cloned().unwrap_or(answer)
    }

    /// The names of the guards that an operation names.
    pub fn guards(operation: &Value) -> Vec<String> {
        let guards = operation["guards"].as_array().cloned().unwrap_or_default();
        guards.iter().filter_map(|guard| guard["name"].as_str().map(ToOwned::to_owned)).collect()
    }

    /// The journal's records that fit, oldest first.
    #[track_caller]
    pub fn journal(&self, query: &str) -> Vec<Value> {
        let (status, body) = self.pointsman.api(&format!("/v1/journal?{query}"), None);
        assert_eq!(status, 200, "{body}");
        body["records"].as_array().cloned().unwrap_or_default()
    }
}

/// The tables of the service `cart`.
pub fn service(port: u16, clusters: &[(&str, Vec<&RedisServer>)], settings: &str) -> String {
    let mut text = format!("[services.cart]\nkind = \"redis\"\nlisten = [\"127.0.0.1:{port}\"]\n{settings}\n");
    for (name, nodes) in clusters {
        let nodes: Vec<_> = nodes.iter().map(|node| format!("\"{}\"", node.address())).collect();
        write!(
            text,
            "[[services.cart.clusters]]\nname = \"{name}\"\nsite = \"{name}\"\nnodes = [{}]\n",
            nodes.join(", ")
        )
        .expect("writing to a string");
    }
    text
}

/// Waits until this server says that it has this role.
#[track_caller]
pub fn wait_role(server: &RedisServer, role: &str) {
    wait_for(&format!("{} is {role}", server.address()), PATIENCE, || server.info("role") == role);
}

/// What a server carries of a fence: `min-replicas-to-write`.
#[track_caller]
pub fn fence(server: &RedisServer) -> String {
    match server.command(&["CONFIG", "GET", "min-replicas-to-write"]) {
        crate::common::raw::Reply::Array(pair) if pair.len() == 2 => pair[1].text(),
        other => panic!("CONFIG GET gave {other:?}"),
    }
}
