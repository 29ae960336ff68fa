//! Services that switch together and one that is alone, behind one Pointsman, each a primary in `east` and its standby in `west`.
#![allow(dead_code, reason = "several test programs use a part of it each")]
#![allow(unreachable_pub, reason = "a module of test programs")]

use crate::common::{PATIENCE, holds_within, instance::Pointsman, ports::free_port, redis_server::RedisServer};
use serde_json::Value;

/// A service of a primary in the site `east` and its standby in `west`.
pub struct Member {
    pub name: &'static str,
    pub main: RedisServer,
    pub spare: RedisServer,
    pub tables: String,
}

pub fn member(name: &'static str, settings: &str) -> Member {
    let (main, spare) = RedisServer::pair("redis7");
    let port = free_port();
    let cluster = |cluster: &str, site: &str, server: &RedisServer| {
        let address = server.address();
        format!("[[services.{name}.clusters]]\nname = \"{cluster}\"\nsite = \"{site}\"\nnodes = [\"{address}\"]\n")
    };
    let tables = format!(
        "[services.{name}]\nkind = \"redis\"\nlisten = [\"127.0.0.1:{port}\"]\n{settings}\n{}{}",
        cluster("main", "east", &main),
        cluster("spare", "west", &spare)
    );
    Member { name, main, spare, tables }
}

pub fn service(pointsman: &Pointsman, name: &str) -> Value {
    pointsman.api(&format!("/v1/services/{name}"), None).1
}

pub fn group(pointsman: &Pointsman) -> Value {
    pointsman.api("/v1/groups", None).1["groups"][0].clone()
}

pub fn operation(pointsman: &Pointsman, id: &str) -> Value {
    pointsman.api(&format!("/v1/operations/{id}"), None).1
}

#[track_caller]
pub fn ready(pointsman: &Pointsman, names: &[&str]) {
    for name in names {
        let mut last = Value::Null;
        let so = holds_within(PATIENCE, || {
            last = service(pointsman, name);
            last["state"] == "steady" && last["switchover_ready"]["ready"] == true
        });
        assert!(so, "{name} is not ready: {last:#}\n{}", pointsman.log());
    }
}

/// Orders and their stock, which switch together, and `cart`, which is alone; ready for a switch.
#[track_caller]
pub fn services(settings: &str, more: &str, environment: &[(&str, &str)]) -> (Pointsman, [Member; 3]) {
    let members = [member("orders", settings), member("stock", ""), member("cart", "")];
    let services = members.iter().map(|member| member.tables.as_str()).collect::<String>();
    let text = format!("{services}[groups.checkout]\nmembers = [\"orders\", \"stock\"]\n{more}");
    let mut pointsman = Pointsman::prepare(&text);
    for (name, value) in environment {
        pointsman = pointsman.environment(name, value);
    }
    pointsman.launch();
    ready(&pointsman, &members.each_ref().map(|member| member.name));
    (pointsman, members)
}

pub fn routed(pointsman: &Pointsman, name: &str) -> String {
    service(pointsman, name)["route"]["cluster"].as_str().unwrap_or_default().to_owned()
}

/// What a subcommand answers as JSON; a refused operation too.
#[track_caller]
pub fn expect(pointsman: &Pointsman, arguments: &[&str], code: i32) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let out = pointsman.cli_expect(&arguments, code);
    let answer: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
    answer.get("group_operation").filter(|operation| operation.is_object()).cloned().unwrap_or(answer)
}

pub fn outcomes(operation: &Value) -> Vec<&str> {
    let members = operation["members"].as_array().map(Vec::as_slice).unwrap_or_default();
    members.iter().map(|member| member["outcome"].as_str().unwrap_or("-")).collect()
}
