//! What docs/redis.md says that differs from a server on localhost, or that only Pointsman has.

mod behaviour;
mod common;

use behaviour::side::{Kind, Side};
use behaviour::wire::{Got, LIMIT, Wire, encode};
use common::{PATIENCE, instance::Pointsman, raw::Raw, redis_server::RedisServer, wait_for};

fn through() -> Side {
    Kind::plain("redis7").through()
}

#[track_caller]
fn expect(wire: &mut Wire, line: &str, reply: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(String::from_utf8_lossy(&wire.ask(&words)), reply, "{line}");
}

const WRONGPASS: &str = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";

#[test]
fn a_revoked_password_stops_working() {
    require_server!("redis7");
    let side = through();
    let mut admin = side.admin();
    for rule in ["<secret >other", "off"] {
        admin.ask(&["ACL", "SETUSER", "app", "reset", "on", ">secret", "~*", "&*", "+@all"]);
        let mut logged_in = side.connect();
        expect(&mut logged_in, "AUTH app secret", "+OK\r\n");
        expect(&mut logged_in, "SET k v", "+OK\r\n");
        admin.ask(&["ACL", "SETUSER", "app"].into_iter().chain(rule.split(' ')).collect::<Vec<_>>());
        expect(&mut side.connect(), "AUTH app secret", WRONGPASS);
        expect(&mut side.connect(), "HELLO 3 AUTH app secret", WRONGPASS);
        expect(&mut logged_in, "MULTI", WRONGPASS);
        assert_eq!(logged_in.frame(LIMIT), Got::Closed);
    }
}

#[test]
fn a_deleted_user_is_refused() {
    require_server!("redis7");
    let side = through();
    let mut admin = side.admin();
    admin.ask(&["ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all"]);
    let mut logged_in = side.connect();
    expect(&mut logged_in, "AUTH app secret", "+OK\r\n");
    expect(&mut logged_in, "SET k v", "+OK\r\n");
    expect(&mut admin, "ACL DELUSER app", ":1\r\n");
    // The server has closed the shared connection, and the session ends when no other is to be had: with or without this request.
    logged_in.send(&encode(&["GET", "k"]));
    let mut said = logged_in.frame(LIMIT);
    if said == Got::Frame(WRONGPASS.into()) {
        said = logged_in.frame(LIMIT);
    }
    assert_eq!(said, Got::Closed);
    expect(&mut side.connect(), "GET k", "$1\r\nv\r\n");
}

#[test]
fn a_killed_connection_is_replaced() {
    require_server!("redis7");
    let side = through();
    let mut subscriber = side.connect();
    subscriber.ask(&["SUBSCRIBE", "news"]);
    let mut admin = side.admin();
    expect(&mut admin, "CLIENT KILL TYPE pubsub", ":1\r\n");
    wait_for("the subscription is back", PATIENCE, || {
        admin.ask(&["PUBSUB", "NUMSUB", "news"]) == b"*2\r\n$4\r\nnews\r\n:1\r\n"
    });
    expect(&mut side.connect(), "PUBLISH news hello", ":1\r\n");
    assert_eq!(subscriber.frame(LIMIT), Got::Frame(b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n".to_vec()));
}

/// A pause that Pointsman wasn't told of: once it is noticed, who writes keeps nobody waiting.
#[test]
fn writes_that_the_node_keeps_waiting_do_not_stop_reads() {
    require_server!("redis7");
    let side = through();
    let mut admin = side.admin();
    expect(&mut admin, "CLIENT PAUSE 100000 WRITE", "+OK\r\n");
    let mut writers = vec![side.connect()];
    writers[0].send(&encode(&["SET", "k", "v"]));
    wait_for("a read passes the write", PATIENCE, || {
        let mut reader = side.connect();
        reader.send(&encode(&["GET", "k"]));
        reader.frame(PATIENCE / 20) != Got::Silence
    });
    // Of what came too early some may wait; from some moment on, nothing that reads does.
    wait_for("ten writers keep no reader waiting", PATIENCE, || {
        writers.extend((0..10).map(|_| side.connect()));
        writers.iter_mut().rev().take(10).for_each(|writer| assert!(writer.send(&encode(&["SET", "k", "v"]))));
        (0..10).all(|_| {
            let mut reader = side.connect();
            reader.send(&encode(&["GET", "k"]));
            reader.frame(PATIENCE / 20) == Got::Frame(b"$-1\r\n".to_vec())
        })
    });
    expect(&mut admin, "CLIENT UNPAUSE", "+OK\r\n");
    for mut writer in writers {
        assert_eq!(writer.frame(LIMIT), Got::Frame(b"+OK\r\n".to_vec()));
    }
}

/// Connections of one's own are used by one client after the other: each time they are called what the client is called.
#[test]
fn a_connection_is_called_what_its_client_is_called() {
    require_server!("redis8");
    let side = Kind::plain("redis8").through();
    let label = |wire: &mut Wire| {
        let list = String::from_utf8(wire.ask(&["CLIENT", "LIST", "TYPE", "normal"])).expect("text");
        // Pointsman itself asks for the list, too.
        let asks = |line: &&str| line.contains(" cmd=client|list ") && !line.contains(" name=pointsman:");
        let own = list.lines().find(asks).expect("its own line").to_owned();
        let words = own.split(' ').filter(|word| word.starts_with("name=") || word.starts_with("lib-"));
        words.collect::<Vec<_>>().join(" ")
    };
    let (mut shop, mut other) = (side.connect(), side.connect());
    expect(&mut shop, "CLIENT SETNAME web", "+OK\r\n");
    expect(&mut shop, "CLIENT SETINFO lib-name shop", "+OK\r\n");
    expect(&mut shop, "CLIENT SETINFO lib-ver 1.2", "+OK\r\n");
    for _ in 0..2 {
        assert_eq!(label(&mut shop), "name=web lib-name=shop lib-ver=1.2");
        assert_eq!(label(&mut other), "name= lib-name= lib-ver=");
    }
    expect(&mut shop, "RESET", "+RESET\r\n");
    assert_eq!(label(&mut shop), "name= lib-name=shop lib-ver=1.2", "the library outlives RESET");
}

#[test]
fn read_only_lets_reads_through() {
    require_server!("redis7");
    let side = through();
    let pointsman = side.pointsman.as_ref().expect("a Pointsman");
    let mut wire = side.connect();
    expect(&mut wire, "SET k v", "+OK\r\n");
    expect(&mut wire, "MULTI", "+OK\r\n");
    expect(&mut wire, "EXEC", "*0\r\n");
    pointsman.cli_expect(&["mode", "cart", "read_only"], 0);
    let refused = "-READONLY pointsman: service cart is read only for now\r\n";
    wait_for("the mode holds", PATIENCE, || wire.ask(&["SET", "other", "w"]) == refused.as_bytes());
    for line in
        ["SET k w", "DEL k", "PUBLISH c m", "EVAL return(1) 0", "FCALL f 0", "NOPE", "BLPOP l 0", "XADD s * f v"]
    {
        expect(&mut wire, line, refused);
    }
    expect(&mut wire, "GET k", "$1\r\nv\r\n");
    expect(&mut wire, "PING", "+PONG\r\n");
    expect(&mut wire, "SELECT 1", "+OK\r\n");
    expect(&mut wire, "SELECT 0", "+OK\r\n");
    expect(&mut wire, "EVAL_RO return(1) 0", ":1\r\n");
    let script = ["EVAL", "#!lua flags=no-writes\nreturn redis.call('get', KEYS[1])", "1", "k"];
    assert_eq!(wire.ask(&script), b"$1\r\nv\r\n");
    expect(&mut side.connect(), "GET k", "$1\r\nv\r\n");
    pointsman.cli_expect(&["mode", "cart", "open"], 0);
    expect(&mut wire, "SET k w", "+OK\r\n");
    expect(&mut wire, "GET k", "$1\r\nw\r\n");
}

#[test]
fn a_list_of_ones_own_replaces_what_is_denied() {
    require_server!("redis7");
    let service = "deny = [\"CONFIG SET\", \"KEYS\", \"FT.DROPINDEX\"]";
    let side = Kind { service, ..Kind::plain("redis7") }.through();
    let mut wire = side.connect();
    expect(&mut wire, "keys *", "-ERR pointsman: KEYS is denied on service cart (deny)\r\n");
    expect(&mut wire, "CONFIG SET hz 10", "-ERR pointsman: CONFIG SET is denied on service cart (deny)\r\n");
    expect(&mut wire, "CONFIG GET hz", "*2\r\n$2\r\nhz\r\n$2\r\n10\r\n");
    expect(&mut wire, "ft.dropindex x", "-ERR pointsman: FT.DROPINDEX is denied on service cart (deny)\r\n");
    expect(&mut wire, "REPLICAOF NO ONE", "+OK\r\n");
}

#[test]
fn a_unix_socket_is_a_listener_too() {
    require_server!("redis7");
    let (server, spare) = (RedisServer::start("redis7"), RedisServer::start("redis7"));
    let pointsman = Pointsman::start(&format!(
        "[services.cart]\nkind = \"redis\"\nlisten = \"unix:{{dir}}/cart.sock\"\nreplication = \"none\"\n\
         [[services.cart.clusters]]\nname = \"main\"\nnodes = [\"{}\"]\n\
         [[services.cart.clusters]]\nname = \"spare\"\nnodes = [\"{}\"]\n",
        server.address(),
        spare.address()
    ));
    let mut raw = Raw::connect_unix(&pointsman.folder().join("cart.sock"));
    wait_for("it has a route", PATIENCE, || raw.command(&["PING"]).text() == "PONG");
    raw.send("MULTI\r\nSET k v\r\nEXEC\r\nGET k\r\n").expect("+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n$1\r\nv\r\n");
}

#[test]
fn who_shares_a_user_does_not_share_a_name_or_a_database() {
    require_server!("redis7");
    let side = through();
    let mut wires: Vec<Wire> = (0..30).map(|_| side.connect()).collect();
    for (index, wire) in wires.iter_mut().enumerate() {
        expect(wire, &format!("SELECT {}", index % 16), "+OK\r\n");
        expect(wire, &format!("CLIENT SETNAME n{index}"), "+OK\r\n");
        expect(wire, &format!("SET mine {}", index % 16), "+OK\r\n");
    }
    for (index, wire) in wires.iter_mut().enumerate() {
        let database = (index % 16).to_string();
        expect(wire, "GET mine", &format!("${}\r\n{database}\r\n", database.len()));
        let name = format!("n{index}");
        expect(wire, "CLIENT GETNAME", &format!("${}\r\n{name}\r\n", name.len()));
        wire.send(&encode(&["CLIENT", "INFO"]));
        let Got::Frame(info) = wire.frame(LIMIT) else { panic!("no answer") };
        let info = String::from_utf8_lossy(&info).into_owned();
        assert!(info.contains(&format!(" name={name} ")) && info.contains(&format!(" db={database} ")), "{info}");
    }
}
