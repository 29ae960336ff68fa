//! What the scenarios of MySQL and MariaDB share: pairs, a service over them, and questions to the servers.

use super::load::Load;
use crate::{
    common::{
        PATIENCE,
        instance::Pointsman,
        mysql_server::{MANAGER, MysqlServer, PASSWORD, REPL, SHOP},
        ports::free_port,
        wait_for,
    },
    rig::Rig,
    table,
};
use std::fmt::Write as _;

/// Both flavours, as `tests/servers/install` calls them.
pub const FLAVOURS: [&str; 2] = ["mysql9", "mariadb"];

/// Plays a scenario on both flavours; what each measured.
pub fn on_both(scenario: impl Fn(&str) -> String) -> String {
    let told = FLAVOURS.map(|component| {
        table::needs(component);
        let told = scenario(component);
        println!("{component}: {told}");
        format!("{component}: {told}")
    });
    told.join(". ")
}

/// A primary and `standbys` of it, in sync, with the table that the load writes to.
#[track_caller]
pub fn servers(component: &str, standbys: usize) -> Vec<MysqlServer> {
    let mut all = vec![MysqlServer::start(component)];
    for _ in 0..standbys {
        let standby = MysqlServer::builder(component).replica_of(&all[0]).start();
        all.push(standby);
    }
    Load::prepare(&all[0]);
    all[1..].iter().for_each(|standby| standby.wait_synced(&all[0]));
    all
}

/// One service whose clusters are these servers, ready for a switch. They are called a, b, c.
#[track_caller]
pub fn ready(servers: &[MysqlServer], settings: &str) -> Rig {
    let mut rig = prepared(servers, settings);
    rig.pointsman.launch();
    rig.wait_ready();
    rig
}

/// As [`ready`], not yet started.
#[track_caller]
pub fn prepared(servers: &[MysqlServer], settings: &str) -> Rig {
    let port = free_port();
    let login = |word: &str, name: &str| format!("{word} = \"{name}\"\npassword = \"{PASSWORD}\"\n");
    let mut text = format!(
        "[services.cart]\nkind = \"mysql\"\nlisten = [\"127.0.0.1:{port}\"]\n{settings}\n\
         [services.cart.credentials]\n{}[services.cart.replication_user]\n{}[[services.cart.users]]\n{}",
        login("username", MANAGER),
        login("name", REPL),
        login("name", SHOP)
    );
    for (name, server) in ["a", "b", "c"].iter().zip(servers) {
        let node = server.address();
        write!(text, "[[services.cart.clusters]]\nname = \"{name}\"\nsite = \"{name}\"\nnodes = [\"{node}\"]\n")
            .expect("writing to a string");
    }
    Rig { pointsman: Pointsman::prepare(&text), port }
}

/// Whether a server would take an application's writes; false for one that doesn't answer.
pub fn takes_writes(server: &MysqlServer) -> bool {
    let asked = server.try_query("SELECT @@GLOBAL.read_only");
    asked.is_ok_and(|rows| rows == [["0"]])
}

/// Waits until applications may write there.
#[track_caller]
pub fn wait_writable(server: &MysqlServer) {
    wait_for(&format!("{} takes writes", server.address()), PATIENCE, || takes_writes(server));
}

/// Waits until it follows that primary, with both threads.
#[track_caller]
pub fn wait_follows(server: &MysqlServer, primary: &MysqlServer) {
    let port = server.pick("Source_Port", "Master_Port");
    wait_for(&format!("{} follows {}", server.address(), primary.address()), PATIENCE, || {
        server.try_connect().is_ok() && server.replica_status(port) == primary.port().to_string() && server.replicates()
    });
}

/// The transactions that `one` has executed and `other` hasn't, in MySQL's notation; empty for MariaDB, which can't subtract.
pub fn strays(one: &MysqlServer, other: &MysqlServer) -> String {
    if one.pick(false, true) {
        return String::new();
    }
    let (mine, theirs) = (one.executed(), other.executed());
    one.value(&format!("SELECT GTID_SUBTRACT('{mine}', '{theirs}')"))
}

/// Whether the route leads to this server, open.
#[track_caller]
pub fn wait_route(rig: &Rig, server: &MysqlServer) {
    rig.wait("routed there", |service| service["route"]["node"] == server.address() && service["mode"] == "open");
}
