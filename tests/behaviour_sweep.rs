//! Every command and subcommand that a server has, with too few, enough and too many arguments: the same answer through
//! Pointsman, from whichever server it is asked. What is denied is refused and not executed.

mod behaviour;
mod common;

use behaviour::mask::Mask;
use behaviour::side::{Kind, Side};
use behaviour::wire::{Got, LIMIT, SILENCE, Wire, encode};
use common::raw::{Raw, Reply};

/// What is not asked here: it ends or reconfigures the server, or has a script or a test of its own.
const LEFT_OUT: &[&str] = &[
    "DEBUG",
    "MONITOR",
    "MIGRATE",
    "RESTORE-ASKING",
    "CLIENT|PAUSE",
    "CLIENT|REPLY",
    "CLIENT|KILL",
    "PFDEBUG",
    "PFSELFTEST",
    "MULTI",
    "MODULE|UNLOAD",
    "SCRIPT|DEBUG",
    "CLIENT|ID",
    "COMMANDLOG|GET",
    "HOTKEYS|START",
    "BGSAVE",
    "BGREWRITEAOF",
    "SAVE",
];
/// What no two servers answer in the same words: only the type is compared.
const MASKED: &[&str] = &[
    "INFO",
    "TIME",
    "LASTSAVE",
    "CLIENT|INFO",
    "CLIENT|LIST",
    "RANDOMKEY",
    "MEMORY|STATS",
    "MEMORY|DOCTOR",
    "LATENCY|DOCTOR",
    "MEMORY|MALLOC-STATS",
    "LATENCY|HISTOGRAM",
    "LATENCY|LATEST",
    "ACL|GENPASS",
    "ACL|LOG",
    "COMMAND",
    "COMMAND|LIST",
    "COMMAND|DOCS",
    "COMMAND|INFO",
    "LOLWUT",
    "HELLO",
    "CLUSTER|MYID",
    "CLUSTER|MYSHARDID",
    "CLUSTER|NODES",
    "CLUSTER|SHARDS",
    "CLUSTER|SLOTS",
    "SLOWLOG|GET",
    "ROLE",
    "ACL|CAT",
    "ACL|LIST",
    "ACL|GETUSER",
    "ACL|USERS",
    "SLOWLOG|LEN",
    "KEYS",
    "SCAN",
    "MEMORY|USAGE",
    "CLUSTER|INFO",
    "CLUSTER|LINKS",
    "CONFIG|GET",
    "OBJECT|IDLETIME",
    "PUBSUB|CHANNELS",
    "COMMANDLOG|LEN",
    "ACL|DRYRUN",
    "FUNCTION|DUMP",
];
/// Denied by default: refused in Pointsman's own words.
const DENIED: &[&str] = &["REPLICAOF", "SLAVEOF", "FAILOVER", "SHUTDOWN", "SYNC", "PSYNC", "REPLCONF"];
/// Subcommands of CLUSTER that are not denied.
const CLUSTER_ALLOWED: &[&str] = &[
    "COUNTKEYSINSLOT",
    "GETKEYSINSLOT",
    "HELP",
    "INFO",
    "KEYSLOT",
    "LINKS",
    "MYID",
    "MYSHARDID",
    "NODES",
    "REPLICAS",
    "SHARDS",
    "SLAVES",
    "SLOTS",
    "COUNT-FAILURE-REPORTS",
    "SLOT-STATS",
    "GETSLOTMIGRATIONS",
];

/// `GET`, `CLIENT|INFO`: everything that the server says it has, in order.
fn commands(port: u16) -> Vec<String> {
    let Reply::Array(table) = Raw::connect(port).command(&["COMMAND"]) else { panic!("COMMAND gives an array") };
    let mut names = Vec::new();
    for entry in &table {
        let Reply::Array(fields) = entry else { panic!("an entry is an array") };
        names.push(fields[0].text().to_ascii_uppercase());
        if let Some(Reply::Array(subcommands)) = fields.get(9) {
            for subcommand in subcommands {
                let Reply::Array(fields) = subcommand else { panic!("an entry is an array") };
                names.push(fields[0].text().to_ascii_uppercase());
            }
        }
    }
    names.sort();
    names
}

fn is_denied(name: &str) -> bool {
    let cluster = name.strip_prefix("CLUSTER|").is_some_and(|sub| !CLUSTER_ALLOWED.contains(&sub));
    cluster || DENIED.contains(&name)
}

/// All that comes back for one request on a fresh connection, up to the answer of a PING behind it.
fn answers(side: &Side, words: &[&str], mask: Mask) -> Vec<String> {
    let mut wire = side.connect();
    let mut bytes = encode(words);
    bytes.extend(encode(&["PING", "the-end"]));
    wire.send(&bytes);
    let mut said = Vec::new();
    loop {
        match wire.frame(LIMIT) {
            Got::Frame(frame) if frame.windows(7).any(|part| part == b"the-end") && !said.is_empty() => {
                return said;
            }
            Got::Frame(frame) if frame.starts_with(b"-") => said.push(Mask::None.apply(&frame)),
            Got::Frame(frame) => said.push(mask.apply(&frame)),
            other => {
                said.push(format!("{other:?}"));
                return said;
            }
        }
    }
}

fn seed(side: &Side) {
    let mut wire = Wire::connect(side.server.port());
    for line in [
        "FLUSHALL",
        "SET k 1",
        "RPUSH l a b",
        "HSET h f v",
        "SADD s 1 2",
        "ZADD z 1 a",
        "XADD x 1-1 f v",
        "XGROUP CREATE x g 0",
        "CLIENT UNPAUSE",
    ] {
        wire.ask(&line.split(' ').collect::<Vec<_>>());
    }
}

fn sweep(component: &str) {
    let sides = Kind::plain(component).both();
    let mut differences = Vec::new();
    let mut asked = 0;
    for name in commands(sides[0].server.port()) {
        if LEFT_OUT.contains(&name.as_str()) || is_denied(&name) {
            continue;
        }
        let masked = MASKED.contains(&name.as_str());
        let mask = if masked { Mask::Type } else { Mask::None };
        sides.iter().for_each(seed);
        for arguments in ["", "k", "l 1", "h f 1", "s x y 1", "1 z 1 x 1", "x g nope 0 1-1 x", "nope nope"] {
            let words: Vec<&str> = name.split('|').chain(arguments.split_whitespace()).collect();
            let [direct, through] = sides.each_ref().map(|side| answers(side, &words, mask));
            asked += 1;
            if direct != through {
                differences.push(format!("{}\n  direct:    {direct:?}\n  pointsman: {through:?}", words.join(" ")));
            }
        }
    }
    assert!(asked > 1000, "only {asked} requests: the server's COMMAND was not understood");
    assert!(differences.is_empty(), "{} of {asked} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn redis6() {
    require_server!("redis6");
    sweep("redis6");
}

#[test]
fn redis7() {
    require_server!("redis7");
    sweep("redis7");
}

#[test]
fn redis8() {
    require_server!("redis8");
    sweep("redis8");
}

#[test]
fn valkey() {
    require_server!("valkey");
    sweep("valkey");
}

#[test]
fn what_changes_the_topology_is_denied() {
    require_server!("redis8");
    let mut side = Kind::plain("redis8").through();
    let mut denied: Vec<String> = commands(side.server.port()).into_iter().filter(|name| is_denied(name)).collect();
    denied.sort();
    assert!(denied.len() > 20, "{denied:?}");
    for name in denied {
        let words: Vec<&str> = name.split('|').chain(["127.0.0.1", "1"]).collect();
        let said = side.connect().ask(&words);
        let shown = name.replace('|', " ");
        let expected = format!("-ERR pointsman: {shown} is denied on service cart (deny)\r\n");
        assert_eq!(String::from_utf8_lossy(&said), expected);
        let queued = {
            let mut wire = side.connect();
            wire.ask(&["MULTI"]);
            wire.ask(&words)
        };
        assert!(queued.starts_with(b"-ERR pointsman: "), "{shown} within MULTI: {}", queued.escape_ascii());
    }
    assert_eq!(side.server.info("role"), "master");
    assert!(side.pointsman.as_mut().expect("running").runs());
    let mut wire = side.connect();
    wire.send(&encode(&["shutdown", "nosave"]));
    assert!(matches!(wire.frame(LIMIT), Got::Frame(error) if error.starts_with(b"-ERR pointsman: SHUTDOWN")));
    assert_eq!(wire.frame(SILENCE), Got::Silence);
}
