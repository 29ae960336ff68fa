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
    scene::{changes, stays},
    table,
};
use std::{fmt::Write as _, time::Duration};

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
    Rig { pointsman: Pointsman::prepare(&configuration(port, servers, settings)), port }
}

/// The tables of the service.
pub fn configuration(port: u16, servers: &[MysqlServer], settings: &str) -> String {
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
    text
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

/// Transactions that only one server holds.
#[derive(Debug, Default)]
pub struct Strays {
    /// In the notation of Pointsman; empty when there is none.
    pub said: String,
    /// How many they are.
    pub count: usize,
}

/// The transactions that `old`, a primary that was left, holds and its heir doesn't.
#[track_caller]
pub fn strays(old: &MysqlServer, heir: &MysqlServer) -> Strays {
    if old.pick(true, false) {
        let executed = "SELECT @@GLOBAL.gtid_executed";
        let (ours, theirs) = (asked(old, executed), asked(heir, executed));
        let said = asked(old, &format!("SELECT GTID_SUBTRACT('{ours}', '{theirs}')"));
        return Strays { count: said.split(',').map(transactions).sum(), said };
    }
    // Its own line of history, of which the heir has a part: `0-3-17`, domain, server, sequence.
    let line = format!("0-{}-", asked(old, "SELECT @@server_id"));
    let last = |server: &MysqlServer| {
        let state = asked(server, "SELECT @@GLOBAL.gtid_binlog_state");
        let known = state.split(',').find_map(|id| id.trim().strip_prefix(&line)?.parse().ok());
        known.unwrap_or(0_usize)
    };
    match (last(heir), last(old)) {
        (theirs, ours) if ours > theirs => {
            Strays { said: format!("{line}{}..{ours}", theirs + 1), count: ours - theirs }
        }
        _ => Strays::default(),
    }
}

/// One value of a server that is being fenced or demoted, which may end those who ask.
#[track_caller]
fn asked(server: &MysqlServer, statement: &str) -> String {
    let mut value = String::new();
    wait_for(statement, PATIENCE, || {
        let Ok(rows) = server.try_query(statement) else { return false };
        value = rows.into_iter().flatten().next().unwrap_or_default().replace('\n', "");
        true
    });
    value
}

/// `uuid:5-9` are five transactions, `uuid:5` is one.
fn transactions(set: &str) -> usize {
    let ranges = set.split(':').skip(1).filter(|range| !range.is_empty());
    let numbers = ranges.map(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.trim().parse::<usize>().expect("a number");
        number(to) - number(from) + 1
    });
    numbers.sum()
}

/// A primary that was left is back, with its strays: fenced, no standby, all of them named, the loss known, the service unharmed.
#[track_caller]
pub fn is_named(rig: &Rig, old: &MysqlServer, alone: &Strays) {
    rig.wait("its transactions are named", |service| service.to_string().contains(&alone.said));
    stays("fenced, and no standby", Duration::from_secs(1), || !takes_writes(old) && !old.replicates());
    wait_for("the loss is amended", PATIENCE, || !changes(rig, "amended").is_empty());
    let amended = changes(rig, "amended").pop().expect("just seen");
    assert_eq!(amended["lost"]["known"], true, "{amended:#}");
    assert_eq!(amended["lost"]["count"], alone.count, "{amended:#}");
    assert_eq!(rig.service()["mode"], "open", "the service is unharmed");
}

/// Whether the route leads to this server, open.
#[track_caller]
pub fn wait_route(rig: &Rig, server: &MysqlServer) {
    rig.wait("routed there", |service| service["route"]["node"] == server.address() && service["mode"] == "open");
}
