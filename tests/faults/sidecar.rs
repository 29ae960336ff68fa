//! What happens to Pointsman itself, its disk and its file.

use crate::{
    common::{PATIENCE, redis_server::RedisServer, wait_for},
    rig::{Rig, fence, service, wait_role},
    scene::{
        HANG, QUICK, a_server, changes, durable, epoch, is_stopped, pass, prepared, ready, servers, stays, streams,
        wait_route,
    },
    survivors::Survivors,
    writers::Writers,
};
use std::time::Duration;

/// How many clients write.
const WRITERS: usize = 5;

/// It stands still for seconds, alone and together with the primary, and then gets a twentieth of the time it needs.
pub fn starved() -> String {
    let chatty = || a_server().set("repl-ping-replica-period", "1");
    let nodes = servers(chatty, 1);
    let rig = ready(&nodes, &format!("{HANG}\n[services.cart.failover]\nunfenced = \"promote\""));
    let before = epoch(&rig);
    let writers = Writers::start(rig.port, WRITERS);
    writers.progress(50);
    for pause in [500, 3000, 6000] {
        rig.pointsman.freeze();
        pass(Duration::from_millis(pause));
        rig.pointsman.thaw();
        writers.progress(50);
    }
    rig.pointsman.freeze();
    nodes[0].freeze();
    pass(Duration::from_secs(4));
    rig.pointsman.thaw();
    // Silence that was there when it woke proves nothing before hang_window.
    pass(Duration::from_millis(700));
    nodes[0].thaw();
    writers.progress(50);
    for _ in 0..20 {
        rig.pointsman.freeze();
        pass(Duration::from_millis(190));
        rig.pointsman.thaw();
        pass(Duration::from_millis(10));
    }
    writers.progress(50);
    rig.wait_ready();
    let noted = writers.finish();
    noted.no_errors();
    assert_eq!((noted.unknown.len(), noted.missing(&nodes[0])), (0, 0));
    assert_eq!(epoch(&rig), before, "no flip");
    assert!(changes(&rig, "began").is_empty(), "not even tried");
    "stood still for 0.5, 3, 6 s, 4 s with the primary, 4 s with 5 % of the time: no flip, no error".into()
}

/// Frozen for longer than the pause lasts, and killed, between promote and demote of a planned switch: the fence holds.
pub fn gone_before_demote() -> String {
    let nodes = servers(durable, 1);
    let mut rig = prepared(&nodes, QUICK);
    let ledger = Survivors::start(rig.port, WRITERS, "w");
    rig.pointsman = rig.pointsman.environment("POINTSMAN_STOP_AT", "before_act_demote");
    rig.pointsman.launch();
    for (from, to, name, killed) in [(0, 1, "b", false), (1, 0, "a", true)] {
        rig.wait_ready();
        ledger.progress(50);
        std::thread::scope(|scope| {
            let switching = scope.spawn(|| rig.pointsman.cli(&["switchover", "cart", "--to", name]));
            wait_for("it stops before the demotion", PATIENCE, || is_stopped(rig.pointsman.id()));
            assert_eq!(nodes[to].info("role"), "master", "promoted");
            let direct = nodes[from].command(&["SET", "stolen", "v"]).text();
            assert!(direct.starts_with("NOREPLICAS"), "the old primary took a write: {direct}");
            if !killed {
                // Longer than the pause lasts.
                pass(Duration::from_secs(6));
                let direct = nodes[from].command(&["SET", "stolen", "v"]).text();
                assert!(direct.starts_with("NOREPLICAS"), "the old primary took a write: {direct}");
                rig.pointsman.thaw();
                assert_eq!(switching.join().expect("an answer").status.code(), Some(0));
            }
            if killed {
                signal_kill(rig.pointsman.id());
            }
        });
        if killed {
            rig.pointsman.launch();
        }
        rig.wait_ready();
        wait_role(&nodes[from], "slave");
        assert_eq!((fence(&nodes[0]), fence(&nodes[1])), ("0".into(), "0".into()));
        // A process stops once only.
        rig.pointsman.launch();
    }
    let noted = ledger.finish();
    assert_eq!(noted.missing(&nodes[0]), 0, "acknowledged and lost");
    let left_over = left_by_a_failover();
    format!("6 s frozen and killed: NOREPLICAS meanwhile, finished afterwards, 0 lost; {left_over}")
}

fn signal_kill(id: u32) {
    use rustix::process::{Pid, Signal, kill_process};
    let id = Pid::from_raw(i32::try_from(id).expect("an id")).expect("an id");
    kill_process(id, Signal::KILL).expect("it runs");
}

/// A failover's dead primary returns with its data while Pointsman is away: two servers would take writes, and Pointsman leads
/// nobody to the wrong one.
fn left_by_a_failover() -> String {
    let mut nodes = servers(durable, 1);
    let mut rig = ready(&nodes, QUICK);
    let writers = Survivors::start(rig.port, WRITERS, "w");
    writers.progress(100);
    streams(&nodes[1]);
    nodes[0].kill();
    wait_role(&nodes[1], "master");
    rig.pointsman.kill();
    nodes[0].restart();
    rig.pointsman.launch();
    writers.progress(50);
    rig.wait_ready();
    wait_role(&nodes[0], "slave");
    assert_eq!(rig.service()["route"]["node"], nodes[1].address());
    let noted = writers.finish();
    let lost = noted.missing(&nodes[1]);
    assert!(lost <= WRITERS, "{lost} lost");
    format!("after a failover: the returned primary demoted, {lost} lost of those under way")
}

/// The primary dies, its standby is parked, Pointsman dies too, and the primary comes back empty first: nobody copies it.
pub fn emptied_while_away() -> String {
    let mut nodes = servers(a_server, 1);
    let mut rig = ready(&nodes, &format!("{QUICK}\n[services.cart.failover]\nautomatic = false"));
    let writers = Survivors::start(rig.port, WRITERS, "w");
    writers.progress(200);
    streams(&nodes[1]);
    nodes[0].kill();
    wait_for("the standby is parked", PATIENCE, || nodes[1].info("master_port") == "1");
    rig.pointsman.kill();
    let noted = writers.finish();
    nodes[0].restart();
    rig.pointsman.launch_only();
    rig.wait("blocked", |service| service["state"] == "blocked");
    stays("the standby keeps its data", Duration::from_secs(2), || nodes[1].info("master_port") == "1");
    rig.pointsman.cli_expect(&["failover", "cart", "--accept-loss", "--reason", "it came back empty"], 0);
    wait_route(&rig, &nodes[1]);
    let gone = noted.missing(&nodes[1]);
    assert!(gone <= WRITERS, "{gone} of {} lost", noted.acknowledged.len());
    rig.wait_ready();
    wait_role(&nodes[0], "slave");
    format!(
        "blocked, said; by hand: the standby serves; of {} acknowledged writes lost {gone}",
        noted.acknowledged.len()
    )
}

/// The folder with everything it knew is gone. The primary of a healthy pair is found again. Of two that take writes, the heir may
/// be told by its history, the other one never serves; else neither does, and that is said until somebody demotes one.
pub fn forgetful() -> String {
    let (mut nodes, mut rig) = split();
    forget(&mut rig);
    rig.pointsman.launch_only();
    let heir = settles(&rig, &nodes);
    nodes[0].command(&["REPLICAOF", "127.0.0.1", &nodes[1].port().to_string()]);
    wait_route(&rig, &nodes[1]);
    assert_eq!(rig.raw().command(&["SET", "k", "v"]).text(), "OK");
    rig.wait_ready();

    rig.pointsman.kill();
    nodes[0].kill();
    nodes[0].restart();
    forget(&mut rig);
    rig.pointsman.launch_only();
    assert!(!settles(&rig, &nodes), "of two strangers none is served");
    let refused = rig.raw().command(&["SET", "k", "stolen"]).text();
    assert!(!refused.contains("OK"), "closed: {refused}");
    nodes[0].command(&["REPLICAOF", "127.0.0.1", &nodes[1].port().to_string()]);
    wait_route(&rig, &nodes[1]);
    rig.wait_ready();

    forget(&mut rig);
    rig.pointsman.launch();
    rig.wait_ready();
    assert_eq!(rig.service()["route"]["node"], nodes[1].address(), "of a healthy pair the primary serves");
    assert_eq!(nodes[1].command(&["GET", "k"]).text(), "v");
    let told = if heir { "the heir serves" } else { "closed, said" };
    format!("a healthy pair: its primary serves; a primary and its heir: {told}; two strangers: closed, said")
}

/// Of two that take writes: whether the second, the heir, is served; else both are refused, for good, and that is said. The
/// first one never is.
fn settles(rig: &Rig, nodes: &[RedisServer]) -> bool {
    let (mut heir, mut last) = (false, serde_json::Value::Null);
    wait_for("told or refused", PATIENCE, || {
        last = rig.service();
        heir = last["route"]["node"] == nodes[1].address();
        assert_ne!(last["route"]["node"], nodes[0].address(), "{last:#}");
        heir || (last["state"] == "blocked" && last["note"].as_str().is_some_and(|note| note.contains("take writes")))
    });
    stays("as it was judged", Duration::from_secs(1), || rig.service()["route"]["node"] == last["route"]["node"]);
    heir
}

/// A pair after a failover that its old primary slept through: both take writes, and Pointsman is away.
fn split() -> (Vec<RedisServer>, Rig) {
    let chatty = || a_server().set("repl-ping-replica-period", "1");
    let nodes = servers(chatty, 1);
    let mut rig = ready(&nodes, &format!("{HANG}\n[services.cart.failover]\nunfenced = \"promote\""));
    nodes[0].freeze();
    wait_route(&rig, &nodes[1]);
    rig.pointsman.kill();
    nodes[0].thaw();
    wait_role(&nodes[0], "master");
    (nodes, rig)
}

/// Ends Pointsman and removes its `state_dir`.
fn forget(rig: &mut Rig) {
    rig.pointsman.kill();
    std::fs::remove_dir_all(rig.pointsman.folder().join("state")).expect("its state");
}

/// A file that can't be used changes nothing under load, and is said.
pub fn bad_file() -> String {
    let nodes = servers(a_server, 1);
    let rig = ready(&nodes, QUICK);
    let clusters = [("a", vec![&nodes[0]]), ("b", vec![&nodes[1]])];
    let good = service(rig.port, &clusters, QUICK);
    let before = epoch(&rig);
    let writers = Writers::start(rig.port, WRITERS);
    writers.progress(50);
    for bad in [good.replace("listen", "lisen"), good.replace("100ms", "100"), "][".to_owned()] {
        rig.pointsman.write_services(&bad);
        rig.pointsman.reload();
        rig.pointsman.cli_expect(&["reload"], 2);
        rig.wait("said", |service| service["note"].as_str().unwrap_or_default().contains("configuration"));
        writers.progress(50);
    }
    rig.pointsman.write_services(&good);
    rig.pointsman.cli_expect(&["reload"], 0);
    rig.wait_ready();
    let noted = writers.finish();
    noted.no_errors();
    assert_eq!((noted.unknown.len(), noted.missing(&nodes[0])), (0, 0));
    assert_eq!((epoch(&rig), rig.service()["note"].clone()), (before, "".into()));
    "3 bad files: exit code 2, said in status, nothing changed, no error".into()
}
