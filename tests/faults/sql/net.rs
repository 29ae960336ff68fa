//! Paths that are broken: a primary that nobody reaches, and one that only Pointsman doesn't reach.

use super::{
    load::{Ledger, Load},
    scene::{configuration, is_named, on_both, strays, takes_writes},
};
use crate::{
    common::{
        instance::Pointsman,
        mysql_server::MysqlServer,
        netns::{Host, Network},
    },
    rig::Rig,
    scene::{HANG, changes, epoch, pass, until},
    table,
};
use std::time::{Duration, Instant};

const SESSIONS: usize = 8;
/// Where applications connect, on the application's own host.
const PORT: u16 = 3306;
/// How long a path is broken where nothing is to happen.
const BROKEN: Duration = Duration::from_secs(4);

/// A primary, its standby, and applications with their Pointsman, each on a host of its own. What is dropped last keeps the network.
struct Hosts {
    rig: Rig,
    nodes: [MysqlServer; 2],
    main_host: Host,
    spare_host: Host,
    app: Host,
    _network: Network,
}

impl Hosts {
    #[track_caller]
    fn start(component: &str, settings: &str) -> Self {
        let network = Network::new().unwrap_or_else(|| table::skip("network namespaces and iptables"));
        let [main_host, spare_host, app] = ["main", "spare", "app"].map(|name| network.host(name));
        // Both have MySQL's own port, which would be the number of each.
        let build = |host: &Host, number: &str| MysqlServer::builder(component).within(host).set("server-id", number);
        let main = build(&main_host, "1").start();
        let spare = build(&spare_host, "2").replica_of(&main).start();
        Load::prepare(&main);
        spare.wait_synced(&main);
        let nodes = [main, spare];
        let pointsman = Pointsman::prepare(&configuration(PORT, &nodes, settings)).within(&app);
        let mut rig = Rig { pointsman, port: PORT };
        rig.pointsman.launch();
        rig.wait_ready();
        Self { rig, nodes, main_host, spare_host, app, _network: network }
    }

    #[track_caller]
    fn load(&self) -> Load {
        let load = self.app.run(|| Load::start(PORT, SESSIONS, "w"));
        load.progress(100);
        self.nodes[1].wait_synced(&self.nodes[0]);
        load
    }

    fn heal(&self) {
        [&self.main_host, &self.spare_host, &self.app].into_iter().for_each(Host::heal);
    }

    fn routed_to(&self, node: usize) -> bool {
        let service = self.rig.service();
        service["route"]["node"] == self.nodes[node].address() && service["mode"] == "open"
    }
}

/// Nobody reaches the primary, and the service says that it is replaced all the same: it is fenced when the path is back.
pub fn isolated() -> String {
    on_both(|component| {
        let world = Hosts::start(component, &format!("{HANG}\n[services.cart.failover]\nunfenced = \"promote\""));
        let load = world.load();
        world.main_host.isolate();
        let cut = Instant::now();
        until("another one serves", || world.routed_to(1));
        // Its own clients go on writing there.
        world.nodes[0].query("INSERT INTO shop.ledger (id, who) VALUES ('local:0', 'local')");
        load.progress(100);
        world.heal();
        let fenced = until("it is fenced", || !takes_writes(&world.nodes[0]));
        let alone = strays(&world.nodes[0], &world.nodes[1]);
        assert!(alone.count > 0, "one was written there");
        is_named(&world.rig, &world.nodes[0], &alone);
        load.progress(100);
        let ledger = load.finish();
        ledger.is_clean(&world.nodes[1]);
        format!(
            "gap {} ms, {} rows lost; fenced {} ms after the path was back, {} transactions named",
            ledger.gap(cut).as_millis(),
            ledger.lost(&world.nodes[1]).len(),
            fenced.as_millis(),
            alone.count
        )
    })
}

/// The same with the default: nothing is done, an operator is told, and service goes on when the path is back.
pub fn isolated_and_blocked() -> String {
    on_both(|component| {
        let world = Hosts::start(component, HANG);
        let (load, before) = (world.load(), epoch(&world.rig));
        world.main_host.isolate();
        let said = until("it is said", || {
            let service = world.rig.service();
            service["state"] == "blocked"
                && service["note"].as_str().is_some_and(|note| note.contains("can't be fenced"))
        });
        pass(BROKEN);
        world.heal();
        let ledger = goes_on(&world, load, before);
        format!("blocked and said after {} ms; 0 rows lost, {} connections cut", said.as_millis(), ledger.cut)
    })
}

/// Only Pointsman doesn't reach the primary: its standby hears it, so nothing is done.
pub fn alone_cut_off() -> String {
    on_both(|component| {
        let world = Hosts::start(component, HANG);
        let (load, before) = (world.load(), epoch(&world.rig));
        world.app.cut(&world.main_host);
        let said = until("it is said", || world.rig.service()["state"] == "isolated");
        pass(BROKEN);
        world.heal();
        let ledger = goes_on(&world, load, before);
        format!("no flip, said after {} ms; 0 rows lost, {} connections cut", said.as_millis(), ledger.cut)
    })
}

/// No flip, not even tried, and nothing lost.
#[track_caller]
fn goes_on(world: &Hosts, load: Load, before: u64) -> Ledger {
    load.progress(50);
    world.rig.wait_ready();
    let ledger = load.finish();
    ledger.is_true(&world.nodes[0]);
    assert!(ledger.lost(&world.nodes[0]).is_empty(), "{:?}", ledger.lost(&world.nodes[0]));
    assert_eq!((epoch(&world.rig), changes(&world.rig, "began").len()), (before, 0), "no flip");
    assert!(!takes_writes(&world.nodes[1]), "one writer");
    ledger
}
