//! What is wrong with the standbys when they are needed.

use crate::{
    common::{PATIENCE, raw::Reply, redis_server::RedisServer, relay::Relay, wait_for},
    rig::wait_role,
    scene::{self, QUICK, a_server, changes, epoch, is_stopped, prepared, ready, servers, streams, wait_route},
    survivors::Survivors,
    writers::Writers,
};
use std::time::{Duration, Instant};

/// How many clients write.
const WRITERS: usize = 8;

/// An answer that was on its way at a crash arrives within this time.
const UNDER_WAY: Duration = Duration::from_millis(50);

/// All standbys are far behind: a failover would lose seconds of writes, so it is left to an operator, with an estimate.
pub fn lagging() -> String {
    let primary = a_server().start();
    let relay = Relay::to(primary.port());
    let (standby, mut nodes) = (a_server().start(), vec![primary]);
    let port = relay.address().rsplit(':').next().expect("a port").to_owned();
    standby.command(&["REPLICAOF", "127.0.0.1", &port]);
    wait_for("the standby's link", PATIENCE, || standby.info("master_link_status") == "up");
    nodes.push(standby);
    // Else what it holds would have shrunk by more than half, which is another guard.
    let fill = "for i = 1, 20000 do redis.call('SET', 'old:' .. i, 'v') end return 1";
    assert_eq!(nodes[0].command(&["EVAL", fill, "0"]), Reply::Integer(1));
    nodes[1].wait_synced();
    let rig = ready(&nodes, &format!("{QUICK}\n[services.cart.failover]\nmax_lag = \"1s\"\nhold_timeout = \"1s\""));
    let before = epoch(&rig);
    let writers = Survivors::start(rig.port, WRITERS, "w");
    writers.progress(100);
    streams(&nodes[1]);
    relay.silence(true);
    // What is written now is lost with the primary.
    rig.wait("the standby is behind", |service| service["clusters"][1]["lag_seconds"].as_f64() > Some(2.0));
    nodes[0].kill();
    rig.wait("blocked, and why", |service| {
        service["state"] == "blocked" && service["note"].as_str().is_some_and(|note| note.contains("s behind"))
    });
    let service = rig.service();
    let (lag, bytes) = (&service["clusters"][1]["lag_seconds"], &service["clusters"][1]["distance"]);
    let (lag, bytes) = (lag.as_f64().expect("an estimate in seconds"), bytes.as_u64().expect("one in bytes"));
    assert!(lag > 1.0 && bytes > 0, "{service:#}");
    scene::stays("no flip", Duration::from_secs(1), || nodes[1].info("role") == "slave");
    assert_eq!(epoch(&rig), before, "no flip");
    let order = ["failover", "cart", "--accept-loss", "--override", "lag", "--reason", "it is a cache", "--json"];
    rig.pointsman.cli_expect(&order, 0);
    writers.progress(50);
    let noted = writers.finish();
    let lost = noted.missing(&nodes[1]);
    assert!(lost > 0, "they were behind");
    format!("blocked: {lag:.1} s and {bytes} B behind; by hand with `--override lag`: served, {lost} writes lost")
}

/// The candidate dies in the hold of a planned switch, before it has caught up: the old route opens, and nothing is lost.
pub fn dies_in_catch_up() -> String {
    let mut nodes = servers(a_server, 1);
    let mut rig = prepared(&nodes, QUICK);
    rig.pointsman = rig.pointsman.environment("POINTSMAN_STOP_AT", "before_act_catch_up");
    rig.pointsman.launch();
    rig.wait_ready();
    let writers = Writers::start(rig.port, WRITERS);
    writers.progress(100);
    let operation = std::thread::scope(|scope| {
        let switching = scope.spawn(|| rig.switch_ends("b", &[], 4));
        wait_for("it stops in the hold", PATIENCE, || is_stopped(rig.pointsman.id()));
        nodes[1].kill();
        rig.pointsman.thaw();
        switching.join().expect("rolled back")
    });
    assert_eq!(operation["outcome"], "rolled_back", "{operation:#}");
    writers.progress(100);
    let noted = writers.finish();
    noted.no_errors();
    assert_eq!((noted.unknown.len(), noted.missing(&nodes[0])), (0, 0));
    nodes[1].restart();
    rig.wait_ready();
    format!("rolled back; of {} acknowledged writes lost 0, errors 0", noted.acknowledged.len())
}

/// The primary dies, and its heir as soon as it is one: the next standby serves.
pub fn dies_after_promotion() -> String {
    let mut nodes = servers(a_server, 2);
    let rig = ready(&nodes, QUICK);
    let writers = Writers::start(rig.port, WRITERS);
    writers.progress(100);
    streams(&nodes[1]);
    streams(&nodes[2]);
    nodes[0].kill();
    let crash = Instant::now();
    let heir = first_primary(&nodes[1..]) + 1;
    nodes[heir].kill();
    let (death, third) = (Instant::now(), 3 - heir);
    wait_route(&rig, &nodes[third]);
    writers.progress(100);
    let noted = writers.finish();
    noted.no_errors();
    // What the heir acknowledged before the last one followed it is lost with it; nothing later is.
    let lost = noted.lost(&nodes[third]);
    let later = lost.iter().filter(|(_, at)| *at > death + UNDER_WAY).count();
    assert_eq!(later, 0, "acknowledged after the second death, and lost");
    let lost = lost.len();
    // Both return, and are standbys.
    nodes[0].restart();
    nodes[heir].restart();
    rig.wait_ready();
    wait_role(&nodes[0], "slave");
    wait_role(&nodes[heir], "slave");
    assert_eq!(nodes[third].info("role"), "master");
    format!(
        "heir killed {} ms after the primary, gap {} ms, {} operations, {lost} lost that the heir alone had",
        (death - crash).as_millis(),
        noted.gap(crash).as_millis(),
        changes(&rig, "began").len()
    )
}

/// Which of these becomes a primary first; asked on connections that are open already.
fn first_primary(servers: &[RedisServer]) -> usize {
    let mut asked: Vec<_> = servers.iter().map(RedisServer::raw).collect();
    let mut found = None;
    wait_for("a promotion", PATIENCE, || {
        found = asked.iter_mut().position(|raw| match raw.command(&["ROLE"]) {
            Reply::Array(role) => role.first().is_some_and(|role| role.text() == "master"),
            other => panic!("ROLE gave {other:?}"),
        });
        found.is_some()
    });
    found.expect("just seen")
}
